#include "base/file_writer.h"

#include "base/file.h"
#include "base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { WRITE_BUFFER_BYTES = 256 * 1024 };

struct norn_file_writer {
    norn_alloc alloc;
    char *path, *temporary;
    unsigned char *buffer;
    size_t buffered;
    uint64_t offset; ///< of the next byte, buffered ones included
    int fd;
    bool made; ///< the temporary exists
};

static void writer_free(norn_file_writer *writer) {
    if (!writer) return;
    if (writer->fd >= 0) close(writer->fd);
    if (writer->made) unlink(writer->temporary);
    norn_free(writer->alloc, writer->buffer);
    norn_free(writer->alloc, writer->temporary);
    norn_free(writer->alloc, writer->path);
    norn_free(writer->alloc, writer);
}

norn_status norn_file_writer_open(const char *path, norn_alloc alloc, norn_file_writer **out) {
    norn_file_writer *writer = NULL;
    norn_status status;
    size_t room = strlen(path) + 64;
    *out = NULL;
    NORN_TRY_DONE(NORN_NEW(alloc, &writer));
    writer->alloc = alloc;
    writer->fd = -1;
    NORN_TRY_DONE(norn_alloc_string(alloc, path, &writer->path));
    NORN_TRY_DONE(NORN_NEW_ARRAY(alloc, room, &writer->temporary));
    NORN_TRY_DONE(norn_alloc_bytes(alloc, WRITE_BUFFER_BYTES, (void **)&writer->buffer));
    // Not mkstemp: its mode is 0600, where the umask is to decide.
    do {
        static _Atomic unsigned serial;
        snprintf(writer->temporary, room, "%s.%ld-%u.tmp", path, (long)getpid(), serial++);
        writer->fd = open(writer->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    } while (writer->fd < 0 && errno == EEXIST);
    if (writer->fd < 0) {
        status = norn_file_fail(path, "write");
        goto done;
    }
    writer->made = true;
    *out = writer;
    writer = NULL;
done:
    writer_free(writer);
    return status;
}

static norn_status write_all(norn_file_writer *writer, const unsigned char *bytes, size_t count) {
    while (count > 0) {
        ssize_t done = write(writer->fd, bytes, count);
        if (done < 0 && errno == EINTR) continue;
        if (done < 0) return norn_file_fail(writer->path, "write");
        bytes += done;
        count -= (size_t)done;
    }
    return NORN_OK;
}

static norn_status flush(norn_file_writer *writer) {
    size_t count = writer->buffered;
    writer->buffered = 0;
    return write_all(writer, writer->buffer, count);
}

norn_status norn_file_writer_append(norn_file_writer *writer, const void *bytes, size_t count) {
    writer->offset += count;
    if (count > WRITE_BUFFER_BYTES - writer->buffered) NORN_TRY(flush(writer));
    if (count >= WRITE_BUFFER_BYTES) return write_all(writer, bytes, count);
    if (count) memcpy(writer->buffer + writer->buffered, bytes, count);
    writer->buffered += count;
    return NORN_OK;
}

norn_status norn_file_writer_align(norn_file_writer *writer, size_t align) {
    static const unsigned char zeros[4096];
    size_t left = (align - (size_t)(writer->offset % align)) % align;
    while (left > 0) {
        size_t some = left < sizeof zeros ? left : sizeof zeros;
        NORN_TRY(norn_file_writer_append(writer, zeros, some));
        left -= some;
    }
    return NORN_OK;
}

uint64_t norn_file_writer_offset(const norn_file_writer *writer) {
    return writer->offset;
}

/// The rename is durable once its folder is. Errors are not: the data is in place, and file systems
/// that cannot sync a folder exist.
static void sync_folder_of(char *path) {
    char *slash = strrchr(path, '/');
    const char *folder = slash == path ? "/" : slash ? path : ".";
    if (slash && slash != path) *slash = '\0';
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return;
    (void)fsync(fd);
    close(fd);
}

norn_status norn_file_writer_finish(norn_file_writer *writer) {
    if (writer->fd < 0) return NORN_OK;
    NORN_TRY(flush(writer));
    const int fd = writer->fd;
    if (fsync(fd) != 0) return norn_file_fail(writer->path, "write");
    writer->fd = -1;
    return close(fd) == 0 ? NORN_OK : norn_file_fail(writer->path, "write"); // NFS tells only here
}

norn_status norn_file_writer_commit(norn_file_writer *writer) {
    norn_status status;
    NORN_TRY_DONE(norn_file_writer_finish(writer));
    if (rename(writer->temporary, writer->path) != 0) {
        status = norn_file_fail(writer->path, "replace");
        goto done;
    }
    writer->made = false;
    sync_folder_of(writer->path);
done:
    writer_free(writer);
    return status;
}

void norn_file_writer_abort(norn_file_writer *writer) {
    writer_free(writer);
}
