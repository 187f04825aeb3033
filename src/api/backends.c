#include "api/backends.h"

#include "cpu/cpu_device.h"
#include "device/device.h"

#include <dlfcn.h>
#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- CUDA: a library that is loaded when a GPU is asked for

/// The folder of the library or program that this function is in, with its slash.
static bool own_folder(char folder[PATH_MAX]) {
    Dl_info info;
    if (!dladdr((void *)(uintptr_t)&norn_backends_offer, &info) || !info.dli_fname) return false;
    if (!realpath(info.dli_fname, folder)) return false;
    char *slash = strrchr(folder, '/');
    if (!slash) return false;
    slash[1] = '\0';
    return true;
}

/// libnorn_cuda.so where NORN_CUDA_LIBRARY says; else beside this code,
/// in ../lib, or where ld.so looks.
static void *load_cuda(char why[256]) {
    char folder[PATH_MAX], path[PATH_MAX + 32];
    const char *said = getenv("NORN_CUDA_LIBRARY");
    void *library = NULL;
    why[0] = '\0';
    if (said && *said) {
        library = dlopen(said, RTLD_NOW | RTLD_LOCAL);
        if (!library) snprintf(why, 256, "%s", dlerror());
        return library;
    }
    bool known = own_folder(folder);
    for (int place = 0; place < 3 && !library; place++) {
        if (place < 2 && !known) continue;
        if (place == 0) snprintf(path, sizeof path, "%slibnorn_cuda.so", folder);
        if (place == 1) snprintf(path, sizeof path, "%s../lib/libnorn_cuda.so", folder);
        if (place == 2) snprintf(path, sizeof path, "libnorn_cuda.so");
        library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
        // Keep what says most: that a library is there but lacks one of its own.
        if (!library && (!why[0] || strstr(why, "No such file")))
            snprintf(why, 256, "%s", dlerror());
    }
    return library;
}

static norn_status find_cuda(norn_backend_open_fn *open) {
    char why[256];
    void *library = load_cuda(why);
    if (!library)
        return norn_fail(NORN_UNAVAILABLE,
                         "the CUDA backend cannot be loaded (%s); build it, put "
                         "libnorn_cuda.so beside libnorn.so, or set NORN_CUDA_LIBRARY",
                         why);
    void *symbol = dlsym(library, NORN_BACKEND_SYMBOL);
    if (!symbol) {
        dlclose(library);
        return norn_fail(NORN_UNAVAILABLE, "libnorn_cuda.so has no symbol " NORN_BACKEND_SYMBOL
                                           "; it is of another version");
    }
    memcpy(open, &symbol, sizeof *open); // the library stays for the life of the process
    return NORN_OK;
}

static pthread_mutex_t cuda_lock = PTHREAD_MUTEX_INITIALIZER;

/// The library is looked for until it is found, and stays for the life of the process.
static norn_status open_cuda(int32_t ordinal, norn_alloc alloc, norn_device **out) {
    static norn_backend_open_fn found;
    norn_status status = NORN_OK;
    pthread_mutex_lock(&cuda_lock);
    if (!found) status = find_cuda(&found);
    const norn_backend_open_fn open = found;
    pthread_mutex_unlock(&cuda_lock);
    return status == NORN_OK ? open(ordinal, alloc, out) : status;
}

void norn_backends_offer(void) {
    norn_device_offer(&norn_cpu_kind);
    norn_device_offer(&(norn_device_kind){.name = "cuda", .open = open_cuda});
}
