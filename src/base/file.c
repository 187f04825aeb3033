#include "base/file.h"

#include "base/checked.h"
#include "base/memory.h"
#include "base/thread.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    HUGE_PAGE_BYTES = 2 << 20,
    LARGE_BYTES = HUGE_PAGE_BYTES, ///< from here on a file has pages of its own, which go back to
                                   ///< the system when it is released
    CHUNK_BYTES = 4 << 20,         ///< what one thread reads at a time
    THREADED_BYTES = 32 << 20,     ///< below, threads cost more than they bring
    THREADS_MAX = 8,
    MEMORY_CHECK_BYTES = 64 << 20,
    PAGE_BYTES = 4096,
    TRIM_BYTES = 64 << 10, ///< a smaller gap is not worth a mapping of its own
};

struct norn_file {
    norn_alloc alloc;
    atomic_uint references;
    char *path;
    void *bytes; ///< NULL for an empty file
    size_t count;
    void *pages; ///< what munmap takes; NULL: `bytes` is the allocator's
    size_t page_bytes;
    bool sealed; ///< the pages are the file's own, which nobody can write
};

norn_status norn_file_fail(const char *path, const char *what) {
    int error = errno;
    norn_status status = NORN_UNKNOWN;
    if (error == ENOENT || error == ENOTDIR) status = NORN_NOT_FOUND;
    if (error == EACCES || error == EPERM || error == EROFS) status = NORN_PERMISSION_DENIED;
    if (error == ENOMEM || error == ENOSPC || error == EDQUOT || error == EMFILE || error == EFBIG)
        status = NORN_RESOURCE_EXHAUSTED;
    return norn_fail(status, "%s: cannot %s: %s", path, what, strerror(error));
}

// ---- reading

typedef struct read_job {
    int fd;
    char *to;
    size_t count;
    atomic_int error;         ///< errno of the first chunk that could not be read
    _Atomic(size_t) short_at; ///< where the file ended too early; SIZE_MAX: nowhere
} read_job;

static void read_chunk(read_job *job, size_t at, size_t count) {
    while (count > 0) {
        ssize_t done = pread(job->fd, job->to + at, count, (off_t)at);
        if (done < 0 && errno == EINTR) continue;
        if (done < 0) atomic_store(&job->error, errno);
        if (done == 0) atomic_store(&job->short_at, at);
        if (done <= 0) return;
        at += (size_t)done;
        count -= (size_t)done;
    }
}

static void read_chunks(void *context, int64_t begin, int64_t end, int32_t worker) {
    read_job *job = context;
    (void)worker;
    for (int64_t i = begin; i < end; i++) {
        size_t at = (size_t)i * CHUNK_BYTES, left = job->count - at;
        read_chunk(job, at, left < CHUNK_BYTES ? left : CHUNK_BYTES);
    }
}

/// The first `count` bytes of `fd`, on all cores when they are many.
static norn_status read_bytes(norn_file *file, int fd, size_t count) {
    read_job job = {.fd = fd, .to = file->bytes, .count = count, .short_at = SIZE_MAX};
    norn_pool *pool = NULL;
    if (count >= THREADED_BYTES) {
        const int32_t cores = norn_core_count();
        NORN_TRY(norn_pool_create(cores < THREADS_MAX ? cores : THREADS_MAX, file->alloc, &pool));
    }
    norn_pool_loop(pool, (int64_t)(count / CHUNK_BYTES + (count % CHUNK_BYTES != 0)), 1,
                   read_chunks, &job);
    norn_pool_destroy(pool);
    if (job.error) {
        errno = job.error;
        return norn_file_fail(file->path, "read");
    }
    if (job.short_at != SIZE_MAX)
        return norn_fail(NORN_DATA_LOSS,
                         "%s: it had %zu byte%s when it was opened and ended after %zu while it "
                         "was read; write a new file and rename it over the old one",
                         file->path, file->count, norn_plural(file->count), (size_t)job.short_at);
    return NORN_OK;
}

/// Two looks at a file that somebody writes to differ. (A write within the clock tick of the one
/// before it does not show; a plan's hashes do.)
static norn_status check_unchanged(const norn_file *file, int fd, const struct stat *before) {
    struct stat now;
    if (fstat(fd, &now) != 0) return norn_file_fail(file->path, "look at");
    if (now.st_size == before->st_size && now.st_mtim.tv_sec == before->st_mtim.tv_sec &&
        now.st_mtim.tv_nsec == before->st_mtim.tv_nsec)
        return NORN_OK;
    return norn_fail(NORN_DATA_LOSS,
                     "%s: it was written to while it was read (%" PRIdMAX " bytes before, %" PRIdMAX
                     " after); write a new file and rename it over the old one",
                     file->path, (intmax_t)before->st_size, (intmax_t)now.st_size);
}

// ---- memory

/// The kernel lets nobody write to it, root neither: then its pages can be shared.
static bool is_sealed(int fd) {
    struct statx facts;
    return statx(fd, "", AT_EMPTY_PATH, STATX_TYPE, &facts) == 0 &&
           (facts.stx_attributes & (STATX_ATTR_IMMUTABLE | STATX_ATTR_VERITY)) != 0;
}

static norn_status map_sealed(norn_file *file, int fd) {
    void *map = mmap(NULL, file->count, PROT_READ, MAP_PRIVATE, fd, 0);
    if (map == MAP_FAILED) return norn_file_fail(file->path, "map");
    file->bytes = file->pages = map;
    file->page_bytes = file->count;
    file->sealed = true;
    return NORN_OK;
}

/// Better a message now than the kernel's choice of a process to end later.
static norn_status check_room(const norn_file *file, size_t bytes) {
    if (bytes < MEMORY_CHECK_BYTES) return NORN_OK;
    const uint64_t left = norn_memory_left_bytes();
    if (bytes <= left) return NORN_OK;
    return norn_fail(NORN_RESOURCE_EXHAUSTED,
                     "%s: its %zu bytes do not fit in the %" PRIu64
                     " bytes of memory that are left; a file that nobody can write (chattr +i, or "
                     "fs-verity) is mapped instead of read",
                     file->path, bytes, left);
}

/// Zeroed pages that begin on a huge one, so that the kernel can use those.
static norn_status take_pages(norn_file *file) {
    if (!norn_size_add(file->count, HUGE_PAGE_BYTES, &file->page_bytes))
        return norn_fail(NORN_RESOURCE_EXHAUSTED, "%s: it does not fit in memory", file->path);
    void *pages = mmap(NULL, file->page_bytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (pages == MAP_FAILED) return norn_file_fail(file->path, "take memory for it");
    file->pages = pages;
    file->bytes = (void *)norn_align_up((size_t)(uintptr_t)pages, HUGE_PAGE_BYTES);
    return NORN_OK;
}

/// Nobody writes to a file's bytes, we neither.
static void seal_pages(const norn_file *file) {
    (void)mprotect(file->pages, file->page_bytes, PROT_READ);
}

/// Zeroed memory for the whole file, of which `wanted` bytes are going to be written.
static norn_status take_memory(norn_file *file, size_t wanted) {
    NORN_TRY(check_room(file, wanted));
    if (file->count < LARGE_BYTES)
        return norn_alloc_zeroed(file->alloc, file->count, 1, &file->bytes);
    NORN_TRY(take_pages(file));
    if (wanted == file->count)
        (void)madvise(file->bytes, file->count, MADV_HUGEPAGE); // fewer TLB misses in lookups
    return NORN_OK;
}

static norn_status fill(norn_file *file, int fd, const struct stat *facts, size_t head_bytes) {
    const size_t wanted = head_bytes < file->count ? head_bytes : file->count;
    if (file->count >= LARGE_BYTES && is_sealed(fd)) return map_sealed(file, fd);
    NORN_TRY(take_memory(file, wanted));
    NORN_TRY(read_bytes(file, fd, wanted));
    if (file->pages) seal_pages(file);
    return check_unchanged(file, fd, facts);
}

// ---- trimming

static int by_address(const void *a, const void *b) {
    const norn_span *x = a, *y = b;
    return x->bytes < y->bytes ? -1 : x->bytes > y->bytes;
}

static void give_back(uintptr_t begin, uintptr_t end) {
    begin = norn_align_up(begin, PAGE_BYTES);
    end -= end % PAGE_BYTES;
    if (end <= begin || end - begin < TRIM_BYTES) return;
    if (madvise((void *)begin, end - begin, MADV_DONTNEED) == 0)
        (void)mprotect((void *)begin, end - begin, PROT_NONE); // zeros would be silent
}

void norn_file_trim(norn_file *file, norn_span *used, size_t count) {
    if (!file->pages || file->sealed || atomic_load(&file->references) != 1) return;
    uintptr_t at = (uintptr_t)file->bytes;
    const uintptr_t end = at + file->count;
    if (count) qsort(used, count, sizeof *used, by_address);
    for (size_t i = 0; i < count; i++) {
        const uintptr_t begin = (uintptr_t)used[i].bytes;
        if (begin > at) give_back(at, begin);
        if (begin + used[i].count > at) at = begin + used[i].count;
    }
    give_back(at, end);
}

// ---- life

static norn_status create(const char *path, norn_alloc alloc, norn_file **out) {
    norn_file *file;
    *out = NULL;
    NORN_TRY(NORN_NEW(alloc, &file));
    file->alloc = alloc;
    atomic_init(&file->references, 1);
    const norn_status status = norn_alloc_string(alloc, path, &file->path);
    if (status != NORN_OK)
        norn_free(alloc, file);
    else
        *out = file;
    return status;
}

norn_status norn_file_copy(norn_span bytes, const char *path, norn_alloc alloc, norn_file **out) {
    norn_file *file;
    norn_status status = NORN_OK;
    *out = NULL;
    NORN_TRY(create(path, alloc, &file));
    file->count = bytes.count;
    if (bytes.count > 0) status = take_memory(file, bytes.count);
    if (status != NORN_OK) {
        norn_file_release(file);
        return status;
    }
    if (bytes.count) memcpy(file->bytes, bytes.bytes, bytes.count);
    if (file->pages) seal_pages(file);
    *out = file;
    return NORN_OK;
}

norn_status norn_file_read_head(const char *path, size_t head_bytes, norn_alloc alloc,
                                norn_file **out) {
    norn_file *file = NULL;
    norn_status status;
    struct stat facts;
    int fd = -1;
    *out = NULL;
    NORN_TRY_DONE(create(path, alloc, &file));
    // O_NONBLOCK: a FIFO in the place of a file must not hang the open.
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &facts) != 0) {
        status = norn_file_fail(path, "open");
        goto done;
    }
    if (!S_ISREG(facts.st_mode)) {
        status = norn_fail(NORN_INVALID_ARGUMENT, "%s: not a regular file%s", path,
                           S_ISDIR(facts.st_mode) ? " but a folder" : "");
        goto done;
    }
    file->count = (size_t)facts.st_size;
    if (file->count > 0) NORN_TRY_DONE(fill(file, fd, &facts, head_bytes));
    *out = file;
    file = NULL;
done:
    if (fd >= 0) close(fd);
    norn_file_release(file);
    return status;
}

norn_status norn_file_read(const char *path, norn_alloc alloc, norn_file **out) {
    return norn_file_read_head(path, SIZE_MAX, alloc, out);
}

norn_file *norn_file_retain(norn_file *file) {
    atomic_fetch_add_explicit(&file->references, 1, memory_order_relaxed);
    return file;
}

void norn_file_release(norn_file *file) {
    if (!file || atomic_fetch_sub_explicit(&file->references, 1, memory_order_acq_rel) != 1) return;
    if (file->pages)
        munmap(file->pages, file->page_bytes);
    else
        norn_free(file->alloc, file->bytes);
    norn_free(file->alloc, file->path);
    norn_free(file->alloc, file);
}

norn_span norn_file_bytes(const norn_file *file) {
    return norn_span_of(file->bytes, file->count);
}

const char *norn_file_path(const norn_file *file) {
    return file->path;
}

norn_status norn_folder_sync(const char *path) {
    const int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const bool done = fd >= 0 && fsync(fd) == 0;
    const norn_status status = done ? NORN_OK : norn_file_fail(path, "sync");
    if (fd >= 0) (void)close(fd);
    return status;
}

bool norn_path_is_dir(const char *path) {
    struct stat facts;
    return stat(path, &facts) == 0 && S_ISDIR(facts.st_mode);
}

bool norn_path_is_file(const char *path) {
    struct stat facts;
    return stat(path, &facts) == 0 && S_ISREG(facts.st_mode);
}
