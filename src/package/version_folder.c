#include "package/version_folder.h"

#include "base/file.h"
#include "base/memory.h"
#include "package/manifest.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool norn_version_parse(const char *text, int64_t *version) {
    char *end;
    if (*text < '0' || *text > '9') return false; // strtoll takes signs and blanks
    errno = 0;
    *version = strtoll(text, &end, 10);
    return errno == 0 && *end == 0;
}

static bool is_canonical(const norn_version_folder *folder) {
    char text[32];
    (void)snprintf(text, sizeof text, "%" PRId64, folder->version);
    return strcmp(text, folder->name) == 0;
}

/// Newest first; of one number the canonical name, then by name: the same whatever readdir says.
static int compare(const void *a, const void *b) {
    const norn_version_folder *x = a, *y = b;
    if (x->version != y->version) return x->version < y->version ? 1 : -1;
    const bool first = is_canonical(x), second = is_canonical(y);
    return first != second ? (first ? -1 : 1) : strcmp(x->name, y->name);
}

/// One entry a number: the first, which says what it was chosen over.
static size_t merge(norn_version_folder *folders, size_t count) {
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        norn_version_folder *last = kept ? &folders[kept - 1] : NULL;
        if (last && last->version == folders[i].version) {
            if (!last->other[0]) memcpy(last->other, folders[i].name, sizeof last->other);
            last->ambiguous = !is_canonical(last);
        } else {
            folders[kept++] = folders[i];
        }
    }
    return kept;
}

static bool take_item(const char *dir, const char *name, norn_version_folder *out) {
    char path[4096];
    *out = (norn_version_folder){0};
    if (strlen(name) >= sizeof out->name || !norn_version_parse(name, &out->version)) return false;
    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    memcpy(out->name, name, strlen(name));
    return norn_path_is_dir(path) && norn_manifest_is_ready(path);
}

norn_status norn_version_folders(const char *path, norn_alloc alloc, norn_version_folder **out,
                                 size_t *count) {
    norn_version_folder *folders = NULL;
    norn_status status = NORN_OK;
    size_t used = 0, capacity = 0;
    DIR *dir = opendir(path);
    *out = NULL;
    *count = 0;
    if (!dir) return norn_fail(NORN_NOT_FOUND, "%s: %s", path, strerror(errno));
    for (const struct dirent *item; (item = readdir(dir)) != NULL;) {
        norn_version_folder one;
        if (!take_item(path, item->d_name, &one)) continue;
        NORN_TRY_DONE(NORN_MORE(alloc, &folders, used, &capacity));
        folders[used++] = one;
    }
    if (used) qsort(folders, used, sizeof *folders, compare);
    *count = merge(folders, used);
    *out = folders;
    folders = NULL;
done:
    norn_free(alloc, folders);
    (void)closedir(dir);
    return status;
}

norn_status norn_version_next(const char *path, int64_t *out) {
    DIR *dir = opendir(path);
    int64_t version;
    *out = 1;
    if (!dir) return norn_fail(NORN_NOT_FOUND, "%s: %s", path, strerror(errno));
    for (const struct dirent *item; (item = readdir(dir)) != NULL;)
        if (norn_version_parse(item->d_name, &version) && version >= *out && version < INT64_MAX)
            *out = version + 1;
    (void)closedir(dir);
    return NORN_OK;
}
