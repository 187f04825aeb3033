#include "package/folder_files.h"

#include "base/file.h"
#include "base/memory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { OPEN_FOLDERS = 16 };

norn_status norn_folder_path(const char *dir, const char *name, char out[NORN_FOLDER_PATH]) {
    const int length = snprintf(out, NORN_FOLDER_PATH, "%s/%s", dir, name);
    if (length < NORN_FOLDER_PATH) return NORN_OK;
    return norn_fail(NORN_INVALID_ARGUMENT, "'%.60s…' is too long a path", dir);
}

// ---- listing

static bool is_own(const char *path) {
    return strcmp(path, "MANIFEST.json") == 0 || strcmp(path, "READY") == 0;
}

static norn_status list(const char *dir, const char *below, norn_folder_files *out);

static norn_status take(const char *dir, const char *path, norn_folder_files *out) {
    char full[NORN_FOLDER_PATH];
    struct stat facts;
    NORN_TRY(norn_folder_path(dir, path, full));
    if (stat(full, &facts) != 0) return norn_file_fail(full, "read");
    if (S_ISDIR(facts.st_mode)) return list(dir, path, out);
    if (!S_ISREG(facts.st_mode))
        return norn_fail(NORN_INVALID_ARGUMENT, "%s is neither a file nor a folder", full);
    if (is_own(path)) return NORN_OK;
    NORN_TRY(NORN_MORE(out->alloc, &out->at, out->count, &out->capacity));
    NORN_TRY(norn_alloc_string(out->alloc, path, &out->at[out->count]));
    out->count++;
    out->bytes += (uint64_t)facts.st_size;
    return NORN_OK;
}

/// What lies in `below` of `dir`, "" being `dir` itself.
static norn_status list(const char *dir, const char *below, norn_folder_files *out) {
    char full[NORN_FOLDER_PATH], path[NORN_FOLDER_PATH];
    norn_status status = NORN_OK;
    NORN_TRY(norn_folder_path(dir, below, full));
    DIR *folder = opendir(full);
    if (!folder) return norn_file_fail(full, "list");
    for (const struct dirent *item; status == NORN_OK && (item = readdir(folder)) != NULL;) {
        if (strcmp(item->d_name, ".") == 0 || strcmp(item->d_name, "..") == 0) continue;
        if (*below)
            status = norn_folder_path(below, item->d_name, path);
        else
            (void)snprintf(path, sizeof path, "%s", item->d_name);
        if (status == NORN_OK) status = take(dir, path, out);
    }
    (void)closedir(folder);
    return status;
}

static int by_name(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

norn_status norn_folder_files_read(const char *dir, norn_alloc alloc, norn_folder_files *out) {
    *out = (norn_folder_files){.alloc = alloc};
    const norn_status status = list(dir, "", out);
    if (status != NORN_OK)
        norn_folder_files_deinit(out);
    else if (out->count)
        qsort(out->at, out->count, sizeof *out->at, by_name);
    return status;
}

void norn_folder_files_deinit(norn_folder_files *files) {
    while (files->count > 0) norn_free(files->alloc, files->at[--files->count]);
    norn_free(files->alloc, files->at);
    files->at = NULL;
}

// ---- making and removing

norn_status norn_folder_real(const char *path, char parent[NORN_FOLDER_PATH],
                             char name[NORN_FOLDER_PATH]) {
    char text[NORN_FOLDER_PATH];
    size_t length = strlen(path);
    while (length > 1 && path[length - 1] == '/') length--;
    if (length >= sizeof text) return norn_fail(NORN_INVALID_ARGUMENT, "the path is too long");
    memcpy(text, path, length);
    text[length] = 0;
    char *real = realpath(text, NULL);
    if (real && strlen(real) < sizeof text) strcpy(text, real);
    free(real);
    char *slash = strrchr(text, '/');
    const char *last = slash ? slash + 1 : text;
    if (!*last || strcmp(last, ".") == 0 || strcmp(last, "..") == 0)
        return norn_fail(NORN_INVALID_ARGUMENT, "'%s' names no folder", path);
    strcpy(name, last);
    if (!slash)
        strcpy(parent, ".");
    else
        (void)snprintf(parent, NORN_FOLDER_PATH, "%.*s", slash == text ? 1 : (int)(slash - text),
                       text);
    if (norn_path_is_dir(parent)) return NORN_OK;
    return norn_fail(NORN_NOT_FOUND, "%s: there is no such folder for '%s'", parent, name);
}

norn_status norn_folder_make(const char *path) {
    char text[NORN_FOLDER_PATH];
    if (strlen(path) >= sizeof text)
        return norn_fail(NORN_INVALID_ARGUMENT, "'%.60s…' is too long a path", path);
    strcpy(text, path);
    for (char *slash = strchr(text + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        if (mkdir(text, 0777) != 0 && errno != EEXIST) return norn_file_fail(text, "make");
        *slash = '/';
    }
    if (mkdir(text, 0777) != 0 && errno != EEXIST) return norn_file_fail(text, "make");
    return norn_path_is_dir(text) ? NORN_OK
                                  : norn_fail(NORN_INVALID_ARGUMENT, "%s is no folder", path);
}

static int remove_one(const char *path, const struct stat *facts, int kind, struct FTW *at) {
    (void)facts, (void)kind, (void)at;
    (void)remove(path);
    return 0;
}

void norn_folder_remove(const char *path) {
    (void)nftw(path, remove_one, OPEN_FOLDERS, FTW_DEPTH | FTW_PHYS);
}
