#include "package/manifest.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    norn_manifest manifest;
    norn_arena arena;
    norn_arena_init(&arena, norn_alloc_heap(), 4096);
    if (norn_manifest_parse("MANIFEST.json", norn_span_of(data, size), &arena, &manifest) ==
        NORN_OK)
        for (size_t i = 0; i < manifest.file_count; i++)
            if (manifest.files[i].path[0] == '/' || strcmp(manifest.files[i].path, "..") == 0)
                abort();
    norn_arena_deinit(&arena);
    return 0;
}
