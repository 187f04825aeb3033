/// NVRTC: source to a code object {cubin, PTX}; and code objects to loaded kernels.
#include "cuda/codegen/codegen.h"

#include <nvrtc.h>
#include <stdio.h>
#include <string.h>

enum { CODE_MAGIC = 0x444f434e }; // "NCOD"

typedef struct code_header {
    uint32_t magic, sm;
    uint64_t cubin_bytes, ptx_bytes; ///< the cubin follows the header, then the PTX with its NUL
} code_header;

static norn_status nvrtc_status(nvrtcResult result, const char *what) {
    if (result == NVRTC_SUCCESS) return NORN_OK;
    return norn_fail(NORN_INTERNAL, "nvrtc: %s: %s", what, nvrtcGetErrorString(result));
}

/// The compiler's first line that says "error".
static norn_status compile_error(nvrtcProgram program, norn_alloc alloc) {
    size_t bytes = 0;
    char *log = NULL;
    NORN_TRY(nvrtc_status(nvrtcGetProgramLogSize(program, &bytes), "log"));
    NORN_TRY(norn_alloc_zeroed(alloc, bytes + 1, 1, (void **)&log));
    norn_status status = nvrtc_status(nvrtcGetProgramLog(program, log), "log");
    if (status == NORN_OK) {
        char *line = strstr(log, "error");
        if (!line) line = log;
        line[strcspn(line, "\n")] = '\0';
        status = norn_fail(NORN_INTERNAL, "generated CUDA source does not compile: %s", line);
    }
    norn_free(alloc, log);
    return status;
}

static norn_status pack(nvrtcProgram program, int32_t sm, norn_alloc alloc, norn_span *code) {
    code_header header = {.magic = CODE_MAGIC, .sm = (uint32_t)sm};
    size_t cubin = 0, ptx = 0;
    char *bytes = NULL;
    NORN_TRY(nvrtc_status(nvrtcGetCUBINSize(program, &cubin), "cubin"));
    NORN_TRY(nvrtc_status(nvrtcGetPTXSize(program, &ptx), "ptx"));
    header.cubin_bytes = cubin;
    header.ptx_bytes = ptx;
    NORN_TRY(norn_alloc_zeroed(alloc, sizeof header + cubin + ptx, 1, (void **)&bytes));
    memcpy(bytes, &header, sizeof header);
    norn_status status = nvrtc_status(nvrtcGetCUBIN(program, bytes + sizeof header), "cubin");
    if (status == NORN_OK)
        status = nvrtc_status(nvrtcGetPTX(program, bytes + sizeof header + cubin), "ptx");
    if (status != NORN_OK) {
        norn_free(alloc, bytes);
        return status;
    }
    *code = norn_span_of(bytes, sizeof header + cubin + ptx);
    return NORN_OK;
}

norn_status norn_cuda_compile(const char *source, int32_t sm, norn_alloc alloc, norn_span *code) {
    nvrtcProgram program = NULL;
    char architecture[40];
    snprintf(architecture, sizeof architecture, "--gpu-architecture=sm_%d", (int)sm);
    const char *options[] = {architecture, "--std=c++17", "--extra-device-vectorization"};
    *code = (norn_span){0};
    NORN_TRY(
        nvrtc_status(nvrtcCreateProgram(&program, source, "region.cu", 0, NULL, NULL), "program"));
    nvrtcResult result = nvrtcCompileProgram(program, 3, options);
    norn_status status;
    if (result == NVRTC_ERROR_COMPILATION)
        status = compile_error(program, alloc);
    else if (result != NVRTC_SUCCESS)
        status = nvrtc_status(result, "compile");
    else
        status = pack(program, sm, alloc, code);
    nvrtcDestroyProgram(&program);
    return status;
}

// ---- loading
norn_status norn_cuda_module_load(const norn_cuda_device *device, norn_span code,
                                  norn_cuda_module *module) {
    code_header header;
    *module = (norn_cuda_module){0};
    if (code.count < sizeof header)
        return norn_fail(NORN_DATA_LOSS, "code object of %zu byte%s is truncated", code.count,
                         norn_plural(code.count));
    memcpy(&header, code.bytes, sizeof header);
    size_t rest = code.count - sizeof header;
    if (header.magic != CODE_MAGIC || header.cubin_bytes > rest ||
        header.ptx_bytes != rest - header.cubin_bytes || header.ptx_bytes == 0 ||
        code.bytes[code.count - 1] != '\0')
        return norn_fail(NORN_DATA_LOSS, "code object is corrupt");
    const uint8_t *cubin = code.bytes + sizeof header;
    // A cubin runs on its own major architecture from its minor on; PTX on anything newer.
    bool native = (int32_t)header.sm / 10 == device->sm / 10 && (int32_t)header.sm <= device->sm;
    const void *image = native ? cubin : cubin + header.cubin_bytes;
    return norn_cuda_status(
        cudaLibraryLoadData(&module->library, image, NULL, NULL, 0, NULL, NULL, 0),
        "loading a code object");
}

void norn_cuda_module_unload(norn_cuda_module *module) {
    if (module->library) (void)cudaLibraryUnload(module->library);
    module->library = NULL;
}

norn_status norn_cuda_module_kernel(const norn_cuda_module *module, const char *name,
                                    cudaKernel_t *kernel) {
    *kernel = NULL;
    return norn_cuda_status(cudaLibraryGetKernel(kernel, module->library, name), name);
}

cudaError_t norn_cuda_module_launch(cudaKernel_t kernel, uint32_t blocks, uint32_t threads,
                                    norn_cuda_generated_args *args, cudaStream_t stream) {
    cudaLaunchConfig_t config = {
        .gridDim = {blocks, 1, 1}, .blockDim = {threads, 1, 1}, .stream = stream};
    void *values[] = {args};
    return cudaLaunchKernelExC(&config, (const void *)kernel, values);
}
