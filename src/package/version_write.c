#include "package/version_write.h"

#include "base/file.h"
#include "base/file_writer.h"
#include "base/memory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { COPY_BYTES = 1 << 20, NAME_MAX_BYTES = 256 };

// ---- what others left

/// ".NAME.PID.partial" of a process that is no more.
static bool is_stale(const char *name) {
    char text[NAME_MAX_BYTES];
    static const char end[] = ".partial";
    const size_t length = strlen(name);
    if (name[0] != '.' || length >= sizeof text || length <= sizeof end ||
        strcmp(name + length - (sizeof end - 1), end) != 0)
        return false;
    memcpy(text, name, length - (sizeof end - 1));
    text[length - (sizeof end - 1)] = 0;
    const char *dot = strrchr(text, '.');
    long pid = 0;
    if (dot == text || dot[1] == 0) return false;
    for (const char *digit = dot + 1; *digit; digit++) {
        if (*digit < '0' || *digit > '9' || pid > 100000000) return false;
        pid = pid * 10 + (*digit - '0');
    }
    return pid > 0 && kill((pid_t)pid, 0) != 0 && errno == ESRCH;
}

static void remove_stale(const char *parent) {
    char path[NORN_FOLDER_PATH];
    DIR *folder = opendir(parent);
    if (!folder) return;
    for (const struct dirent *item; (item = readdir(folder)) != NULL;)
        if (is_stale(item->d_name) && norn_folder_path(parent, item->d_name, path) == NORN_OK)
            norn_folder_remove(path);
    (void)closedir(folder);
}

// ---- life

norn_status norn_version_write_begin(const char *path, norn_version_write *out) {
    char name[NORN_FOLDER_PATH], partial[NORN_FOLDER_PATH], text[NAME_MAX_BYTES];
    struct stat facts;
    *out = (norn_version_write){0};
    NORN_TRY(norn_folder_real(path, out->parent, name));
    NORN_TRY(norn_folder_path(out->parent, name, out->final));
    if (lstat(out->final, &facts) == 0)
        return norn_fail(NORN_ALREADY_EXISTS, "%s is there already; name another folder",
                         out->final);
    remove_stale(out->parent);
    if (snprintf(text, sizeof text, ".%.200s.%ld.partial", name, (long)getpid()) >=
        (int)sizeof text)
        return norn_fail(NORN_INVALID_ARGUMENT, "'%s' is too long a name", name);
    NORN_TRY(norn_folder_path(out->parent, text, partial));
    if (mkdir(partial, 0777) != 0) return norn_file_fail(partial, "make");
    strcpy(out->partial, partial);
    return NORN_OK;
}

norn_status norn_version_write_commit(norn_version_write *write) {
    if (rename(write->partial, write->final) != 0) {
        if (errno == EEXIST || errno == ENOTEMPTY || errno == ENOTDIR)
            return norn_fail(NORN_ALREADY_EXISTS,
                             "%s: somebody else has published it meanwhile; try again",
                             write->final);
        return norn_file_fail(write->final, "make");
    }
    write->partial[0] = 0;
    return norn_folder_sync(write->parent);
}

void norn_version_write_abort(norn_version_write *write) {
    if (write->partial[0]) norn_folder_remove(write->partial);
    write->partial[0] = 0;
}

// ---- copying

typedef struct copying {
    const norn_progress *progress;
    uint64_t done, total;
    void *room;
    norn_alloc alloc;
} copying;

static norn_status copy_bytes(copying *c, int fd, const char *path, norn_file_writer *writer) {
    ssize_t n;
    while ((n = read(fd, c->room, COPY_BYTES)) != 0) {
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return norn_file_fail(path, "read");
        NORN_TRY(norn_file_writer_append(writer, c->room, (size_t)n));
        norn_progress_say(c->progress, "copying", c->done += (uint64_t)n, c->total);
    }
    return NORN_OK;
}

static norn_status copy_file(copying *c, const char *from, const char *to) {
    char folder[NORN_FOLDER_PATH];
    norn_file_writer *writer;
    (void)snprintf(folder, sizeof folder, "%.*s", (int)(strrchr(to, '/') - to), to);
    NORN_TRY(norn_folder_make(folder));
    const int fd = open(from, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return norn_file_fail(from, "open");
    norn_status status = norn_file_writer_open(to, c->alloc, &writer);
    if (status == NORN_OK) {
        status = copy_bytes(c, fd, from, writer);
        if (status == NORN_OK)
            status = norn_file_writer_commit(writer);
        else
            norn_file_writer_abort(writer);
    }
    (void)close(fd);
    return status;
}

norn_status norn_version_write_copy(norn_version_write *write, const char *from,
                                    bool (*leaves_out)(const char *path),
                                    const norn_progress *progress, norn_alloc alloc) {
    char source[NORN_FOLDER_PATH], target[NORN_FOLDER_PATH];
    norn_folder_files files;
    NORN_TRY(norn_folder_files_read(from, alloc, &files));
    copying c = {.progress = progress, .total = files.bytes, .alloc = alloc};
    norn_status status = norn_alloc_bytes(alloc, COPY_BYTES, &c.room);
    for (size_t i = 0; i < files.count && status == NORN_OK; i++) {
        if (leaves_out && leaves_out(files.at[i])) continue;
        status = norn_folder_path(from, files.at[i], source);
        if (status == NORN_OK) status = norn_folder_path(write->partial, files.at[i], target);
        if (status == NORN_OK) status = copy_file(&c, source, target);
    }
    norn_free(alloc, c.room);
    norn_folder_files_deinit(&files);
    return status;
}
