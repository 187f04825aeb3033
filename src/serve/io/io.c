#include "serve/io/io.h"

#include "base/log.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

static void on_wake(evutil_socket_t fd, short what, void *context) {
    norn_io *io = context;
    uint64_t count;
    norn_exchange *list, *in_order = NULL;
    (void)what;
    if (read(fd, &count, sizeof count) < 0 && errno != EAGAIN)
        norn_log(NORN_LOG_WARN, "eventfd: %s", strerror(errno));
    list = atomic_exchange_explicit(&io->finished, NULL, memory_order_acquire);
    while (list) { // the stack is newest first
        norn_exchange *next = list->next;
        list->next = in_order;
        in_order = list;
        list = next;
    }
    while (in_order) {
        norn_exchange *exchange = in_order;
        in_order = exchange->next;
        exchange->finish(exchange);
    }
}

void norn_io_finish(norn_exchange *exchange) {
    norn_io *io = exchange->io;
    const uint64_t one = 1;
    norn_exchange *head = atomic_load_explicit(&io->finished, memory_order_relaxed);
    do {
        exchange->next = head;
    } while (!atomic_compare_exchange_weak_explicit(&io->finished, &head, exchange,
                                                    memory_order_release, memory_order_relaxed));
    if (!head && write(io->wake_fd, &one, sizeof one) < 0)
        norn_log(NORN_LOG_WARN, "eventfd: %s", strerror(errno));
}

static void on_infer_done(norn_request *request) {
    norn_io_finish(request->context);
}

void norn_exchange_submit(norn_exchange *exchange) {
    exchange->request->done = on_infer_done;
    exchange->request->context = exchange;
    norn_servable *servable = exchange->request->servable;
    servable->calls->enqueue(servable, exchange->request);
}

norn_status norn_io_init(norn_io *io, norn_service *service) {
    *io = (norn_io){.service = service, .wake_fd = -1};
    io->base = event_base_new();
    io->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (io->base && io->wake_fd >= 0)
        io->wake = event_new(io->base, io->wake_fd, EV_READ | EV_PERSIST, on_wake, io);
    if (!io->wake || event_add(io->wake, NULL) != 0) {
        norn_io_deinit(io);
        return norn_fail(NORN_RESOURCE_EXHAUSTED, "cannot create an event loop: %s",
                         strerror(errno));
    }
    return NORN_OK;
}

static void *io_main(void *context) {
    norn_io *io = context;
    (void)event_base_loop(io->base, EVLOOP_NO_EXIT_ON_EMPTY);
    return NULL;
}

norn_status norn_io_start(norn_io *io) {
    if (pthread_create(&io->thread, NULL, io_main, io) != 0)
        return norn_fail(NORN_RESOURCE_EXHAUSTED, "cannot start an I/O thread");
    io->started = true;
    return NORN_OK;
}

static void on_stop(evutil_socket_t fd, short what, void *context) {
    (void)fd, (void)what;
    (void)event_base_loopbreak(context);
}

void norn_io_stop(norn_io *io) {
    const struct timeval now = {0, 0};
    if (!io->started) return;
    (void)event_base_once(io->base, -1, EV_TIMEOUT, on_stop, io->base, &now);
    pthread_join(io->thread, NULL);
    io->started = false;
}

void norn_io_deinit(norn_io *io) {
    if (io->wake) event_free(io->wake);
    if (io->wake_fd >= 0) (void)close(io->wake_fd);
    if (io->base) event_base_free(io->base);
    *io = (norn_io){.wake_fd = -1};
}
