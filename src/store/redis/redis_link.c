#include "store/redis/redis_link.h"
#include "store/redis/redis_command.h"

#include <errno.h>
#include <hiredis/hiredis.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { OUT_MAX = 256 << 10, READ_BYTES = 64 << 10, FEED_BYTES = 8 << 10, READS_MAX = 16 };

void norn_redis_link_init(norn_redis_link *link, norn_alloc alloc) {
    *link = (norn_redis_link){.alloc = alloc, .file = -1};
    norn_buffer_init(&link->out, alloc);
}

void norn_redis_link_deinit(norn_redis_link *link) {
    if (link->file >= 0) close(link->file);
    norn_redis_reader_destroy(link->reader);
    norn_buffer_deinit(&link->out);
}

// ---- opening and closing

norn_status norn_redis_link_open(norn_redis_link *link, const norn_redis_address *address,
                                 bool readonly, int64_t now_ns) {
    NORN_TRY(norn_redis_reader_create(link->alloc, &link->reader));
    if (readonly) {
        norn_redis_put_words(&link->out, "READONLY", NULL);
        link->greetings = 1; // a server without a cluster refuses, which does no harm
    }
    norn_status status = norn_buffer_status(&link->out);
    redisContext *context = NULL;
    if (status == NORN_OK) {
        context = redisConnectNonBlock(address->host, address->port);
        if (!context)
            status = norn_fail(NORN_RESOURCE_EXHAUSTED, "no memory for a connection");
        else if (context->err)
            status = norn_fail(NORN_UNAVAILABLE, "cannot connect: %s", context->errstr);
    }
    if (status == NORN_OK)
        link->file = redisFreeKeepFd(context);
    else if (context)
        redisFree(context);
    if (status != NORN_OK) {
        norn_redis_calls none = {0};
        norn_redis_link_close(link, &none, &none);
        return status;
    }
    link->connecting = true;
    link->moved_ns = now_ns;
    return NORN_OK;
}

void norn_redis_link_close(norn_redis_link *link, norn_redis_calls *sent,
                           norn_redis_calls *waiting) {
    if (link->file >= 0) close(link->file);
    link->file = -1;
    link->connecting = false;
    norn_redis_reader_destroy(link->reader);
    link->reader = NULL;
    norn_buffer_clear(&link->out);
    link->out.failed = false;
    link->out_at = 0;
    link->greetings = link->replies = 0;
    link->has_error = false;
    norn_redis_calls_join(sent, &link->sent);
    norn_redis_calls_join(waiting, &link->waiting);
}

short norn_redis_link_events(const norn_redis_link *link) {
    const bool more = link->out_at < link->out.count || link->waiting.first;
    const bool can = link->sent.count < NORN_REDIS_AHEAD || link->out_at < link->out.count;
    return (short)(POLLIN | (link->connecting || (more && can) ? POLLOUT : 0));
}

// ---- sending

static bool is_connected(norn_redis_link *link, norn_status *status) {
    int error = 0;
    socklen_t size = sizeof error;
    struct pollfd ready = {link->file, POLLOUT, 0};
    *status = NORN_OK;
    if (!link->connecting) return true;
    if (poll(&ready, 1, 0) <= 0) return false;
    if (getsockopt(link->file, SOL_SOCKET, SO_ERROR, &error, &size) != 0) error = errno;
    if (error) {
        *status = norn_fail(NORN_UNAVAILABLE, "cannot connect: %s", strerror(error));
        return false;
    }
    link->connecting = false;
    return true;
}

/// False: there is no memory for it, and nothing of it is written.
static bool write_call(norn_redis_link *link, norn_redis_call *call) {
    const size_t before = link->out.count;
    if (call->asking) norn_redis_put_words(&link->out, "ASKING", NULL);
    call->encode(call, &link->out);
    if (!link->out.failed) return true;
    link->out.failed = false;
    link->out.count = before;
    return false;
}

static norn_status write_calls(norn_redis_link *link, const norn_redis_answers *to,
                               int64_t now_ns) {
    while (link->waiting.first && link->sent.count < NORN_REDIS_AHEAD &&
           link->out.count - link->out_at < OUT_MAX) {
        norn_redis_call *call = norn_redis_calls_take(&link->waiting);
        if (!to->still(to->context, call)) continue;
        if (!write_call(link, call)) {
            const norn_status status =
                norn_fail(NORN_RESOURCE_EXHAUSTED, "no memory for a command");
            call->done(call, status, NULL);
            return status;
        }
        if (!link->sent.first) link->moved_ns = now_ns;
        norn_redis_calls_put(&link->sent, call);
    }
    return NORN_OK;
}

norn_status norn_redis_link_send(norn_redis_link *link, const norn_redis_answers *to,
                                 int64_t now_ns) {
    norn_status status;
    if (!is_connected(link, &status)) return status;
    for (;;) {
        NORN_TRY(write_calls(link, to, now_ns));
        if (link->out_at == link->out.count) return NORN_OK;
        const ssize_t sent = send(link->file, link->out.bytes + link->out_at,
                                  link->out.count - link->out_at, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno == EINTR) continue;
        if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return NORN_OK;
        if (sent < 0) return norn_fail(NORN_UNAVAILABLE, "cannot send: %s", strerror(errno));
        link->out_at += (size_t)sent;
        if (link->out_at < link->out.count) continue;
        norn_buffer_clear(&link->out);
        link->out_at = 0;
    }
}

// ---- reading

static norn_status take_reply(norn_redis_link *link, const norn_redis_answers *to,
                              const norn_redis_reply *reply, int64_t now_ns) {
    link->failures = 0;
    link->moved_ns = now_ns; // not when bytes come: a server may send one now and then for ever
    if (link->greetings) {
        link->greetings--;
        return NORN_OK;
    }
    norn_redis_call *call = link->sent.first;
    if (!call) return norn_fail(NORN_DATA_LOSS, "an answer to nothing");
    if (norn_redis_is(reply, 0, NORN_REDIS_ERROR) && !link->has_error) {
        const norn_span text = norn_redis_bytes(reply, 0);
        (void)snprintf(link->error, sizeof link->error, "%.*s", (int)text.count,
                       (const char *)text.bytes);
        link->has_error = true;
    }
    if (++link->replies < call->replies + call->asking) return NORN_OK;
    const norn_redis_value said = {.type = NORN_REDIS_ERROR,
                                   .count = (uint32_t)strlen(link->error)};
    const norn_redis_reply error = {&said, 1, link->error};
    const bool failed = link->has_error;
    (void)norn_redis_calls_take(&link->sent);
    link->replies = 0;
    link->has_error = false;
    to->answer(to->context, call, failed ? &error : reply);
    return NORN_OK;
}

static norn_status take_bytes(norn_redis_link *link, const norn_redis_answers *to,
                              const char *bytes, size_t count, int64_t now_ns) {
    norn_redis_reply reply;
    bool more = true;
    NORN_TRY(norn_redis_reader_feed(link->reader, bytes, count));
    for (;;) {
        NORN_TRY(norn_redis_reader_next(link->reader, &reply, &more));
        if (!more) return NORN_OK;
        NORN_TRY(take_reply(link, to, &reply, now_ns));
    }
}

norn_status norn_redis_link_read(norn_redis_link *link, const norn_redis_answers *to,
                                 int64_t now_ns) {
    char bytes[READ_BYTES];
    norn_status status;
    if (!is_connected(link, &status)) return status;
    for (int i = 0; i < READS_MAX; i++) {
        const ssize_t got = recv(link->file, bytes, sizeof bytes, MSG_DONTWAIT);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return NORN_OK;
        if (got < 0) return norn_fail(NORN_UNAVAILABLE, "cannot read: %s", strerror(errno));
        if (got == 0) return norn_fail(NORN_UNAVAILABLE, "it closed the connection");
        for (size_t at = 0; at < (size_t)got; at += FEED_BYTES) {
            const size_t rest = (size_t)got - at;
            NORN_TRY(
                take_bytes(link, to, bytes + at, rest < FEED_BYTES ? rest : FEED_BYTES, now_ns));
        }
        if ((size_t)got < sizeof bytes) return NORN_OK;
    }
    return NORN_OK;
}
