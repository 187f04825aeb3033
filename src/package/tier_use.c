#include "package/tier_use.h"

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "store/tier_open.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATH_BYTES = 4096 };

typedef struct version_use {
    struct version_use *next;
    norn_version *version;
    uint32_t count;
} version_use;

typedef struct norn_open_tier {
    struct norn_open_tier *next;
    char *url;
    norn_tier *tier;
    version_use *versions; ///< that are used
} open_tier;

/// A folder can be opened once in a process, by whatever models and servers are in it.
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static open_tier *all;

// ---- tiers

static bool resolve(const char *url, const char *version_dir, char out[PATH_BYTES]) {
    const char *place = strchr(url, ':'), *slash = strrchr(version_dir, '/');
    char parent[PATH_BYTES], real[PATH_BYTES];
    if (!place || place[1] == '/' || strncmp(url, "rocksdb:", 8) != 0)
        return snprintf(out, PATH_BYTES, "%s", url) < PATH_BYTES;
    (void)snprintf(parent, sizeof parent, "%.*s", slash ? (int)(slash - version_dir) : 1,
                   slash ? version_dir : ".");
    // The same folder by another name is the same tier.
    return realpath(parent, real) && snprintf(out, PATH_BYTES, "%.*s:%s/%s", (int)(place - url),
                                              url, real, place + 1) < PATH_BYTES;
}

static void close_entry(open_tier *entry) {
    norn_tier_close(entry->tier);
    norn_free(norn_alloc_heap(), entry->url);
    norn_free(norn_alloc_heap(), entry);
}

static norn_status open_entry(const char *url, size_t memory_bytes, open_tier **out) {
    const norn_alloc alloc = norn_alloc_heap();
    open_tier *entry = all;
    while (entry && strcmp(entry->url, url) != 0) entry = entry->next;
    *out = entry;
    if (entry) return NORN_OK;
    NORN_TRY(NORN_NEW(alloc, &entry));
    norn_status status = norn_alloc_string(alloc, url, &entry->url);
    if (status == NORN_OK) status = norn_tier_open(url, memory_bytes, alloc, &entry->tier);
    if (status != NORN_OK) {
        close_entry(entry);
        return status;
    }
    entry->next = all;
    all = entry;
    *out = entry;
    return NORN_OK;
}

/// Nobody uses a version of it: it is closed.
static void leave_entry(open_tier *entry) {
    if (entry->versions) return;
    open_tier **at = &all;
    while (*at != entry) at = &(*at)->next;
    *at = entry->next;
    close_entry(entry);
}

// ---- versions

static bool is_used(const open_tier *entry, const norn_version *version) {
    const version_use *at = entry->versions;
    while (at && at->version != version) at = at->next;
    return at != NULL;
}

static norn_version *find(const open_tier *entry, uint64_t number) {
    norn_version *version;
    uint64_t step;
    for (uint32_t i = 0; entry->tier->ops->found(entry->tier, i, &version, &step) == NORN_OK; i++)
        if (version->number == number) return version;
    return NULL;
}

/// One at a time, for a drop changes what comes after.
static bool drop_one(const open_tier *entry, const char *version_dir) {
    const char *slash = strrchr(version_dir, '/');
    norn_version *version;
    uint64_t step;
    char path[PATH_BYTES];
    for (uint32_t i = 0; entry->tier->ops->found(entry->tier, i, &version, &step) == NORN_OK; i++) {
        (void)snprintf(path, sizeof path, "%.*s%llu", slash ? (int)(slash - version_dir + 1) : 0,
                       version_dir, (unsigned long long)version->number);
        if (is_used(entry, version) || norn_path_is_dir(path)) continue;
        norn_log(NORN_LOG_INFO, "%s: version %llu is dropped, for its folder is gone", entry->url,
                 (unsigned long long)version->number);
        entry->tier->ops->drop(entry->tier, version);
        return true;
    }
    return false;
}

static norn_status use_version(open_tier *entry, const char *version_dir, uint64_t number,
                               norn_version **out) {
    char tables[PATH_BYTES];
    norn_version *version = find(entry, number);
    version_use *use = entry->versions;
    if (!version) {
        (void)snprintf(tables, sizeof tables, "%s/tables", version_dir);
        NORN_TRY(entry->tier->ops->load(entry->tier, number, tables, &version));
    }
    while (use && use->version != version) use = use->next;
    if (!use) {
        NORN_TRY(NORN_NEW(norn_alloc_heap(), &use));
        use->version = version;
        use->next = entry->versions;
        entry->versions = use;
    }
    use->count++;
    *out = version;
    return NORN_OK;
}

norn_status norn_tier_use_open(const char *url, const char *version_dir, uint64_t number,
                               size_t memory_bytes, norn_tier_use *out) {
    char whole[PATH_BYTES];
    open_tier *entry;
    *out = (norn_tier_use){0};
    if (!resolve(url, version_dir, whole))
        return norn_fail(NORN_INVALID_ARGUMENT, "tier '%s': no such folder beside '%s'", url,
                         version_dir);
    pthread_mutex_lock(&lock);
    norn_status status = open_entry(whole, memory_bytes, &entry);
    if (status == NORN_OK) {
        status = use_version(entry, version_dir, number, &out->version);
        if (status == NORN_OK) {
            out->tier = entry->tier;
            out->opened = entry;
            while (drop_one(entry, version_dir)) continue;
        } else {
            leave_entry(entry);
        }
    }
    pthread_mutex_unlock(&lock);
    return status;
}

void norn_tier_use_close(norn_tier_use *use) {
    if (!use->opened) return;
    pthread_mutex_lock(&lock);
    version_use **at = &use->opened->versions;
    while ((*at)->version != use->version) at = &(*at)->next;
    if (--(*at)->count == 0) {
        version_use *gone = *at;
        *at = gone->next;
        norn_free(norn_alloc_heap(), gone);
    }
    leave_entry(use->opened);
    pthread_mutex_unlock(&lock);
    *use = (norn_tier_use){0};
}
