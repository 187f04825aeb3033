#include "device/device.h"
#include "base/log.h"

#include <dlfcn.h>
#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KIND_MAX = 8, KIND_TEXT = 16, ORDINAL_MAX = 1024 };

static struct {
    char kind[KIND_TEXT];
    norn_backend_open_fn open;
} registered[KIND_MAX];
static int registered_count;
static pthread_mutex_t registry_lock = PTHREAD_MUTEX_INITIALIZER;

/// Caller holds the lock.
static norn_backend_open_fn find_registered(const char *kind) {
    for (int i = 0; i < registered_count; i++)
        if (strcmp(registered[i].kind, kind) == 0) return registered[i].open;
    return NULL;
}

/// Caller holds the lock.
static void add_registered(const char *kind, norn_backend_open_fn open) {
    for (int i = 0; i < registered_count; i++) {
        if (strcmp(registered[i].kind, kind) != 0) continue;
        registered[i].open = open;
        return;
    }
    if (registered_count == KIND_MAX || strlen(kind) >= KIND_TEXT) {
        norn_log(NORN_LOG_ERROR, "device kind '%s' does not fit the registry", kind);
        return;
    }
    memcpy(registered[registered_count].kind, kind, strlen(kind) + 1);
    registered[registered_count++].open = open;
}

void norn_device_register(const char *kind, norn_backend_open_fn open) {
    pthread_mutex_lock(&registry_lock);
    add_registered(kind, open);
    pthread_mutex_unlock(&registry_lock);
}

/// The folder of the library or program that this function is in, with its slash.
static bool own_folder(char folder[PATH_MAX]) {
    Dl_info info;
    if (!dladdr((void *)(uintptr_t)&norn_device_open, &info) || !info.dli_fname) return false;
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
                         "device 'cuda': the CUDA backend cannot be loaded (%s); build it, put "
                         "libnorn_cuda.so beside libnorn.so, or set NORN_CUDA_LIBRARY",
                         why);
    void *symbol = dlsym(library, NORN_BACKEND_SYMBOL);
    if (!symbol) {
        dlclose(library);
        return norn_fail(NORN_UNAVAILABLE,
                         "device 'cuda': libnorn_cuda.so has no symbol " NORN_BACKEND_SYMBOL
                         "; it is of another version");
    }
    memcpy(open, &symbol, sizeof *open); // the library stays for the life of the process
    return NORN_OK;
}

/// "cuda:1" -> "cuda", 1. A kind alone is ordinal 0.
static bool split_name(const char *name, char kind[KIND_TEXT], int32_t *ordinal) {
    size_t count = strcspn(name, ":");
    if (count == 0 || count >= KIND_TEXT) return false;
    memcpy(kind, name, count);
    kind[count] = '\0';
    *ordinal = 0;
    if (name[count] == '\0') return true;
    const char *digits = name + count + 1;
    if (*digits == '\0') return false;
    for (; *digits; digits++) {
        if (*digits < '0' || *digits > '9' || *ordinal > ORDINAL_MAX) return false;
        *ordinal = *ordinal * 10 + (*digits - '0');
    }
    return true;
}

bool norn_device_is_name(const char *name) {
    char kind[KIND_TEXT];
    int32_t ordinal;
    if (!split_name(name, kind, &ordinal)) return false;
    if (strcmp(kind, "cpu") == 0) return !strchr(name, ':'); // there is one
    if (strcmp(kind, "cuda") == 0) return true;
    pthread_mutex_lock(&registry_lock);
    const bool known = find_registered(kind) != NULL;
    pthread_mutex_unlock(&registry_lock);
    return known;
}

norn_status norn_device_open(const char *name, norn_alloc alloc, norn_device **out) {
    char kind[KIND_TEXT];
    int32_t ordinal;
    *out = NULL;
    if (!split_name(name, kind, &ordinal))
        return norn_fail(NORN_INVALID_ARGUMENT,
                         "device '%.64s': not a device; write cpu, cuda or cuda:N", name);
    norn_backend_open_fn open = NULL;
    norn_status status = NORN_OK;
    pthread_mutex_lock(&registry_lock);
    open = find_registered(kind);
    if (!open && strcmp(kind, "cuda") == 0) {
        status = find_cuda(&open);
        if (status == NORN_OK) add_registered(kind, open);
    }
    pthread_mutex_unlock(&registry_lock);
    NORN_TRY(status);
    if (!open)
        return norn_fail(NORN_INVALID_ARGUMENT,
                         "device '%s': no such kind; write cpu, cuda or cuda:N", name);
    status = open(ordinal, alloc, out);
    if (status != NORN_OK) {
        *out = NULL;
        norn_note("device '%s'", name);
    }
    return status;
}

void norn_device_close(norn_device *device) {
    if (device) device->ops->destroy(device);
}
