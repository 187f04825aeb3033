/// The thread that writes the log of a server, and the bounded memory between it and those who log.
#include "base/log_writer.h"

#include "base/log.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    RING_BYTES = 256 * 1024,
    PIECE_BYTES = PIPE_BUF, ///< one write() of so much is not torn by other writers of a pipe
};

/// Where lines go.
enum { TO_STDERR, TO_RING, TO_NOWHERE };

static _Atomic int way = TO_STDERR;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t arrived = PTHREAD_COND_INITIALIZER, emptied = PTHREAD_COND_INITIALIZER;
static pthread_t writer;
static char ring[RING_BYTES];
static size_t ring_begin, ring_count; ///< of the lines that are not written yet
static uint64_t dropped;              ///< lines since the log last said so
static bool stopping;

/// A write() that sees it through, whatever another process has made of the pipe.
static void write_all(const char *bytes, size_t count) {
    while (count > 0) {
        const ssize_t done = write(STDERR_FILENO, bytes, count);
        if (done >= 0) {
            bytes += done;
            count -= (size_t)done;
        } else if (errno == EAGAIN) {
            struct pollfd waiting = {.fd = STDERR_FILENO, .events = POLLOUT};
            (void)poll(&waiting, 1, -1);
        } else if (errno != EINTR) {
            return; // nowhere left to say so
        }
    }
}

// ---- the ring; all with the mutex held

static bool put(const char *bytes, size_t count) {
    if (count > RING_BYTES - ring_count) return false;
    const size_t at = (ring_begin + ring_count) % RING_BYTES;
    const size_t first = count < RING_BYTES - at ? count : RING_BYTES - at;
    memcpy(ring + at, bytes, first);
    memcpy(ring, bytes + first, count - first);
    ring_count += count;
    return true;
}

/// Whole lines from the front, at most PIECE_BYTES.
static size_t peek(char *piece) {
    size_t lines = 0;
    for (size_t i = 0; i < ring_count && i < PIECE_BYTES; i++) {
        piece[i] = ring[(ring_begin + i) % RING_BYTES];
        if (piece[i] == '\n') lines = i + 1;
    }
    return lines;
}

static void say_dropped(void) {
    char line[128];
    struct timespec now;
    struct tm utc;
    if (!dropped) return;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    size_t used = strftime(line, sizeof line, "%Y-%m-%dT%H:%M:%S", &utc);
    used += (size_t)snprintf(
        line + used, sizeof line - used, ".%03ldZ warn %llu line%s left out: nobody read the log\n",
        now.tv_nsec / 1000000, (unsigned long long)dropped, norn_number(dropped, " was", "s were"));
    if (put(line, used)) dropped = 0;
}

static void *writer_main(void *context) {
    char piece[PIECE_BYTES];
    (void)context;
    pthread_mutex_lock(&mutex);
    for (;;) {
        if (ring_count == 0) say_dropped();
        if (ring_count == 0) {
            pthread_cond_broadcast(&emptied);
            if (stopping) break;
            pthread_cond_wait(&arrived, &mutex);
            continue;
        }
        const size_t count = peek(piece);
        pthread_mutex_unlock(&mutex);
        write_all(piece, count);
        pthread_mutex_lock(&mutex);
        ring_begin = (ring_begin + count) % RING_BYTES;
        ring_count -= count;
    }
    pthread_mutex_unlock(&mutex);
    return NULL;
}

void norn_log_write(const char *line, size_t count) {
    const int to = atomic_load_explicit(&way, memory_order_acquire);
    if (to == TO_NOWHERE) return;
    if (to == TO_STDERR) {
        write_all(line, count);
        return;
    }
    pthread_mutex_lock(&mutex);
    say_dropped();
    if (dropped || !put(line, count)) dropped++;
    pthread_cond_signal(&arrived);
    pthread_mutex_unlock(&mutex);
}

norn_status norn_log_start(void) {
    sigset_t all, before;
    if (way == TO_RING) return NORN_OK;
    stopping = false;
    sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before); // signals are for those who wait for them
    const int result = pthread_create(&writer, NULL, writer_main, NULL);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (result != 0)
        return norn_fail(NORN_RESOURCE_EXHAUSTED, "cannot start the thread that writes the log");
    atomic_store_explicit(&way, TO_RING, memory_order_release);
    return NORN_OK;
}

void norn_log_stop(int64_t wait_ms) {
    struct timespec until;
    int result = 0;
    if (way != TO_RING) return;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += wait_ms / 1000;
    until.tv_nsec += wait_ms % 1000 * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_mutex_lock(&mutex);
    stopping = true;
    pthread_cond_signal(&arrived);
    while ((ring_count || dropped) && result == 0)
        result = pthread_cond_timedwait(&emptied, &mutex, &until);
    const bool stuck = ring_count > 0 || dropped > 0;
    atomic_store_explicit(&way, stuck ? TO_NOWHERE : TO_STDERR, memory_order_release);
    pthread_mutex_unlock(&mutex);
    if (stuck) {
        (void)pthread_detach(writer); // it ends with the process
    } else {
        pthread_join(writer, NULL);
    }
}
