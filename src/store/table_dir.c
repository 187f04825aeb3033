#include "store/table_dir.h"
#include "base/memory.h"
#include "base/wire.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char suffix[] = ".safetensors";

// ---- names

static norn_status add_name(norn_table_names *names, const char *file) {
    const size_t count = strlen(file), tail = sizeof suffix - 1;
    if (file[0] == '.' || count <= tail || strcmp(file + count - tail, suffix) != 0) return NORN_OK;
    NORN_TRY(NORN_MORE(names->alloc, &names->at, names->count, &names->capacity));
    NORN_TRY(norn_alloc_string(names->alloc, file, &names->at[names->count]));
    names->at[names->count++][count - tail] = '\0';
    return NORN_OK;
}

static int by_name(const void *a, const void *b) {
    const char *const *x = a, *const *y = b;
    return strcmp(*x, *y);
}

norn_status norn_table_names_read(const char *dir, norn_alloc alloc, norn_table_names *out) {
    *out = (norn_table_names){.alloc = alloc};
    DIR *folder = opendir(dir);
    norn_status status = NORN_OK;
    if (!folder)
        return norn_fail(errno == EACCES ? NORN_PERMISSION_DENIED : NORN_NOT_FOUND,
                         "%s: cannot open the folder: %s", dir, strerror(errno));
    for (struct dirent *entry; status == NORN_OK && (entry = readdir(folder));)
        status = add_name(out, entry->d_name);
    closedir(folder);
    if (status != NORN_OK)
        norn_table_names_deinit(out);
    else if (out->count)
        qsort(out->at, out->count, sizeof *out->at, by_name);
    return status;
}

void norn_table_names_deinit(norn_table_names *names) {
    while (names->count > 0) norn_free(names->alloc, names->at[--names->count]);
    norn_free(names->alloc, names->at);
    names->at = NULL;
}

// ---- tables

norn_status norn_table_dir_table(const char *dir, const char *name, norn_alloc alloc,
                                 norn_table **out) {
    norn_buffer path;
    *out = NULL;
    norn_buffer_init(&path, alloc);
    norn_buffer_format(&path, "%s/%s%s", dir, name, suffix);
    norn_buffer_append(&path, "", 1);
    norn_status status = norn_buffer_status(&path);
    if (status == NORN_OK) status = norn_table_open((const char *)path.bytes, name, alloc, out);
    norn_buffer_deinit(&path);
    return status;
}

static norn_status open_all(const char *dir, const norn_table_names *names, norn_table_dir *out) {
    for (size_t i = 0; i < names->count; i++) {
        NORN_TRY(NORN_MORE(out->alloc, &out->tables, out->count, &out->capacity));
        NORN_TRY(norn_table_dir_table(dir, names->at[i], out->alloc, &out->tables[i]));
        out->count++;
    }
    return NORN_OK;
}

norn_status norn_table_dir_open(const char *dir, norn_alloc alloc, norn_table_dir *out) {
    norn_table_names names;
    *out = (norn_table_dir){.alloc = alloc};
    NORN_TRY(norn_table_names_read(dir, alloc, &names));
    const norn_status status = open_all(dir, &names, out);
    norn_table_names_deinit(&names);
    if (status != NORN_OK) norn_table_dir_close(out);
    return status;
}

void norn_table_dir_close(norn_table_dir *tables) {
    while (tables->count > 0) norn_table_release(tables->tables[--tables->count]);
    norn_free(tables->alloc, tables->tables);
    tables->tables = NULL;
}
