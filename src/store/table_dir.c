#include "store/table_dir.h"
#include "base/memory.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static norn_status open_one(norn_table_dir *all, const char *dir, const char *file) {
    static const char suffix[] = ".safetensors";
    const size_t count = strlen(file), dir_count = strlen(dir), tail = sizeof suffix - 1;
    char *path, *name;
    if (file[0] == '.' || count <= tail || strcmp(file + count - tail, suffix) != 0) return NORN_OK;
    NORN_TRY(NORN_MORE(all->alloc, &all->tables, all->count, &all->capacity));
    NORN_TRY(norn_alloc_bytes(all->alloc, dir_count + count + 2, (void **)&path));
    memcpy(path, dir, dir_count);
    path[dir_count] = '/';
    memcpy(path + dir_count + 1, file, count + 1);
    norn_status status = norn_alloc_string(all->alloc, file, &name);
    if (status == NORN_OK) {
        name[count - tail] = '\0';
        status = norn_table_open(path, name, all->alloc, &all->tables[all->count]);
        norn_free(all->alloc, name);
    }
    all->count += status == NORN_OK;
    norn_free(all->alloc, path);
    return status;
}

static int by_name(const void *a, const void *b) {
    const norn_table *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

norn_status norn_table_dir_open(const char *dir, norn_alloc alloc, norn_table_dir *out) {
    *out = (norn_table_dir){.alloc = alloc};
    DIR *folder = opendir(dir);
    norn_status status = NORN_OK;
    if (!folder)
        return norn_fail(errno == EACCES ? NORN_PERMISSION_DENIED : NORN_NOT_FOUND,
                         "%s: cannot open the folder: %s", dir, strerror(errno));
    for (struct dirent *entry; status == NORN_OK && (entry = readdir(folder));)
        status = open_one(out, dir, entry->d_name);
    closedir(folder);
    if (status != NORN_OK)
        norn_table_dir_close(out);
    else if (out->count)
        qsort(out->tables, out->count, sizeof *out->tables, by_name);
    return status;
}

void norn_table_dir_close(norn_table_dir *tables) {
    while (tables->count > 0) norn_table_release(tables->tables[--tables->count]);
    norn_free(tables->alloc, tables->tables);
    tables->tables = NULL;
}
