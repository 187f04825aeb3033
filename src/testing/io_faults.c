#include "testing/io_faults.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

static atomic_long calls, renames, syncs, kill_in, kill_in_renames;
static atomic_int error_now;

long io_faults_count(void) {
    return atomic_load(&calls);
}
long io_faults_renames(void) {
    return atomic_load(&renames);
}
long io_faults_syncs(void) {
    return atomic_load(&syncs);
}
void io_faults_kill_at_rename(long count) {
    atomic_store(&kill_in_renames, count);
}
void io_faults_kill_at(long count) {
    atomic_store(&kill_in, count);
}
void io_faults_fail(int error) {
    atomic_store(&error_now, error);
}

static bool runs_out(atomic_long *left) {
    return atomic_load(left) > 0 && atomic_fetch_sub(left, 1) == 1;
}

static bool is_last(void) {
    atomic_fetch_add(&calls, 1);
    return runs_out(&kill_in);
}

static void end(void) {
    kill(getpid(), SIGKILL);
    for (;;) pause();
}

/// True: the call fails.
static bool enter(bool needs_disk) {
    if (is_last()) end();
    const int error = atomic_load(&error_now);
    if (!error || !needs_disk) return false;
    errno = error;
    return true;
}

// ---- the calls

ssize_t write(int file, const void *bytes, size_t count) {
    if (file <= 2) return syscall(SYS_write, file, bytes, count);
    if (is_last()) {
        (void)syscall(SYS_write, file, bytes, count / 2);
        end();
    }
    const int error = atomic_load(&error_now);
    if (!error) return syscall(SYS_write, file, bytes, count);
    errno = error;
    return -1;
}

static ssize_t write_at(int file, const void *bytes, size_t count, off_t at) {
    if (is_last()) {
        (void)syscall(SYS_pwrite64, file, bytes, count / 2, at);
        end();
    }
    const int error = atomic_load(&error_now);
    if (!error) return syscall(SYS_pwrite64, file, bytes, count, at);
    errno = error;
    return -1;
}
ssize_t pwrite(int file, const void *bytes, size_t count, off_t at) {
    return write_at(file, bytes, count, at);
}
ssize_t pwrite64(int file, const void *bytes, size_t count, off_t at) {
    return write_at(file, bytes, count, at);
}

int fsync(int file) {
    atomic_fetch_add(&syncs, 1);
    return enter(true) ? -1 : (int)syscall(SYS_fsync, file);
}
int fdatasync(int file) {
    atomic_fetch_add(&syncs, 1);
    return enter(true) ? -1 : (int)syscall(SYS_fdatasync, file);
}
int ftruncate(int file, off_t count) {
    return enter(true) ? -1 : (int)syscall(SYS_ftruncate, file, count);
}
int rename(const char *from, const char *to) {
    atomic_fetch_add(&renames, 1);
    if (runs_out(&kill_in_renames)) end();
    return enter(true) ? -1 : (int)syscall(SYS_rename, from, to);
}
int link(const char *from, const char *to) {
    return enter(true) ? -1 : (int)syscall(SYS_link, from, to);
}
int unlink(const char *path) {
    return enter(false) ? -1 : (int)syscall(SYS_unlink, path);
}
int mkdir(const char *path, mode_t mode) {
    return enter(true) ? -1 : (int)syscall(SYS_mkdir, path, mode);
}

static int open_file(const char *path, int flags, mode_t mode) {
    if ((flags & O_CREAT) && enter(true)) return -1;
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}
int open(const char *path, int flags, ...) {
    va_list more;
    va_start(more, flags);
    const mode_t mode = flags & O_CREAT ? va_arg(more, mode_t) : 0;
    va_end(more);
    return open_file(path, flags, mode);
}
int open64(const char *path, int flags, ...) {
    va_list more;
    va_start(more, flags);
    const mode_t mode = flags & O_CREAT ? va_arg(more, mode_t) : 0;
    va_end(more);
    return open_file(path, flags, mode);
}

/// A full disk says so to those who look before they write.
static int look(const char *path, struct statvfs *out) {
    struct statfs facts;
    if (syscall(SYS_statfs, path, &facts) != 0) return -1;
    *out = (struct statvfs){.f_bsize = (unsigned long)facts.f_bsize,
                            .f_frsize = (unsigned long)facts.f_frsize,
                            .f_blocks = facts.f_blocks,
                            .f_bfree = facts.f_bfree,
                            .f_bavail = facts.f_bavail};
    if (atomic_load(&error_now) == ENOSPC) out->f_bfree = out->f_bavail = 0;
    return 0;
}
int statvfs(const char *path, struct statvfs *out) {
    return look(path, out);
}
int statvfs64(const char *path, struct statvfs64 *out) {
    struct statvfs facts;
    if (look(path, &facts) != 0) return -1;
    *out = (struct statvfs64){.f_bsize = facts.f_bsize,
                              .f_frsize = facts.f_frsize,
                              .f_blocks = facts.f_blocks,
                              .f_bfree = facts.f_bfree,
                              .f_bavail = facts.f_bavail};
    return 0;
}
