#include "serve/grpc/grpc_call.h"

#include "serve/io/inflate.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

void norn_grpc_call_init(norn_grpc_call *call, norn_io *io) {
    *call = (norn_grpc_call){.exchange.io = io};
    norn_buffer_init(&call->request, io->service->alloc);
    norn_buffer_init(&call->response, io->service->alloc);
}

static void give(norn_grpc_call *call, int64_t *held) {
    norn_budget_give(&call->exchange.io->service->budget, *held);
    *held = 0;
}

/// What an answer does not need any more.
static void drop_request(norn_grpc_call *call) {
    norn_request_destroy(call->exchange.request);
    call->exchange.request = NULL;
    norn_buffer_deinit(&call->request);
    give(call, &call->request_held);
}

static void drop_response(norn_grpc_call *call) {
    norn_buffer_deinit(&call->response);
    give(call, &call->response_held);
}

void norn_grpc_call_deinit(norn_grpc_call *call) {
    drop_request(call);
    drop_response(call);
}

void norn_grpc_call_cancel(norn_grpc_call *call) {
    if (call->exchange.request && !call->answered) norn_request_cancel(call->exchange.request);
}

bool norn_grpc_timeout(norn_span text, int64_t *ns) {
    static const struct {
        char unit;
        int64_t ns;
    } units[] = {{'H', 3600000000000}, {'M', 60000000000}, {'S', 1000000000},
                 {'m', 1000000},       {'u', 1000},        {'n', 1}};
    int64_t number = 0;
    if (text.count < 2 || text.count > 9) return false; // at most 8 digits
    for (size_t i = 0; i + 1 < text.count; i++) {
        if (text.bytes[i] < '0' || text.bytes[i] > '9') return false;
        number = 10 * number + (text.bytes[i] - '0');
    }
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (units[i].unit != (char)text.bytes[text.count - 1]) continue;
        if (__builtin_mul_overflow(number, units[i].ns, ns)) *ns = INT64_MAX; // 11,000 years
        return true;
    }
    return false;
}

// ---- answers

norn_status norn_grpc_call_hold(norn_grpc_call *call, int64_t bytes, int64_t *held) {
    norn_budget *budget = &call->exchange.io->service->budget;
    if (bytes <= 0) return NORN_OK;
    if (!norn_budget_take(budget, bytes))
        return norn_fail(NORN_RESOURCE_EXHAUSTED,
                         norn_budget_fits(budget, bytes)
                             ? "no room for %lld bytes: --memory-budget is used up; try again later"
                             : "no room for %lld bytes: --memory-budget is less than that",
                         (long long)bytes);
    *held += bytes;
    return NORN_OK;
}

static norn_status check_answer(norn_grpc_call *call) {
    const int64_t count = (int64_t)call->response.count;
    NORN_TRY(norn_buffer_status(&call->response));
    if (count - NORN_GRPC_PREFIX_BYTES > INT32_MAX)
        return norn_fail(NORN_RESOURCE_EXHAUSTED,
                         "the answer has %lld byte%s, more than a gRPC message may (2 GiB)",
                         (long long)count, norn_plural(count));
    return norn_grpc_call_hold(call, count - call->response_held, &call->response_held);
}

void norn_grpc_call_answer(norn_grpc_call *call, norn_status status) {
    if (status == NORN_OK) status = check_answer(call);
    call->status = status;
    call->answered = true;
    if (status == NORN_OK) {
        const size_t count = call->response.count - NORN_GRPC_PREFIX_BYTES;
        for (int i = 0; i < 4; i++) call->response.bytes[1 + i] = (uint8_t)(count >> (24 - 8 * i));
    } else {
        (void)snprintf(call->message, sizeof call->message, "%s", norn_message());
        call->open = false;
        drop_response(call);
    }
    drop_request(call);
    call->send(call);
}

// ---- the request message

/// All of the message's room is asked for at once, so that who was given it can always finish.
static norn_status begin_message(norn_grpc_call *call) {
    norn_service *service = call->exchange.io->service;
    const uint8_t *prefix = call->prefix;
    int64_t count = 0;
    for (int i = 1; i < NORN_GRPC_PREFIX_BYTES; i++) count = count << 8 | prefix[i];
    if (prefix[0] > 1)
        return norn_fail(NORN_INVALID_ARGUMENT, "the message's compressed flag is %d, not 0 or 1",
                         prefix[0]);
    if (prefix[0] && !call->encoded)
        return norn_fail(NORN_INTERNAL, // as the protocol has it
                         "the message says it is compressed, but no grpc-encoding says how");
    if (count > service->limits.request_bytes)
        return norn_fail(
            NORN_RESOURCE_EXHAUSTED, "the request has %lld byte%s, --max-request-bytes is %lld",
            (long long)count, norn_plural(count), (long long)service->limits.request_bytes);
    NORN_TRY(norn_grpc_call_hold(call, count, &call->request_held));
    call->message_bytes = (size_t)count;
    return NORN_OK;
}

norn_status norn_grpc_call_data(norn_grpc_call *call, norn_span bytes) {
    while (bytes.count && call->prefix_count < NORN_GRPC_PREFIX_BYTES) {
        call->prefix[call->prefix_count++] = bytes.bytes[0];
        bytes = (norn_span){bytes.bytes + 1, bytes.count - 1};
        if (call->prefix_count == NORN_GRPC_PREFIX_BYTES) NORN_TRY(begin_message(call));
    }
    if (bytes.count > call->message_bytes - call->request.count)
        return norn_fail(NORN_UNIMPLEMENTED, "a unary call has one message, more bytes came");
    norn_buffer_append(&call->request, bytes.bytes, bytes.count);
    return norn_buffer_status(&call->request);
}

// ---- work that is too long for an I/O thread

static void finish_work(norn_exchange *exchange) {
    norn_grpc_call *call = (norn_grpc_call *)exchange;
    call->then(call);
}

static void run_work(norn_job *job) {
    norn_grpc_call *call = (norn_grpc_call *)((char *)job - offsetof(norn_grpc_call, job));
    call->status = call->work(call);
    if (call->status != NORN_OK)
        (void)snprintf(call->message, sizeof call->message, "%s", norn_message());
    call->exchange.finish = finish_work;
    norn_io_finish(&call->exchange);
}

void norn_grpc_call_work(norn_grpc_call *call, norn_status (*work)(norn_grpc_call *call),
                         void (*then)(norn_grpc_call *call)) {
    call->work = work;
    call->then = then;
    call->job.run = run_work;
    norn_workers_put(call->exchange.io->service->workers, &call->job);
}

norn_status norn_grpc_call_failed(const norn_grpc_call *call) {
    char text[sizeof call->message];
    if (call->status == NORN_OK) return NORN_OK;
    memcpy(text, call->message, sizeof text);
    return norn_fail(call->status, "%s", text);
}

/// A compressed message takes the place of the request. gRPC says the encoding in a header; gzip
/// and deflate say themselves which they are.
static norn_status inflate_message(norn_grpc_call *call) {
    const norn_service *service = call->exchange.io->service;
    const norn_span packed = norn_span_of(call->request.bytes, call->request.count);
    norn_buffer plain;
    norn_buffer_init(&plain, call->request.alloc);
    norn_status status = norn_inflate(packed, (size_t)service->limits.request_bytes, &plain);
    if (status == NORN_OK)
        status = norn_grpc_call_hold(call, (int64_t)plain.count, &call->request_held);
    if (status != NORN_OK) {
        norn_buffer_deinit(&plain);
        return status;
    }
    norn_buffer_deinit(&call->request);
    call->request = plain;
    return NORN_OK;
}

/// Did the one message of a unary request come?
static norn_status check_message(const norn_grpc_call *call) {
    if (call->prefix_count == 0)
        return norn_fail(NORN_UNIMPLEMENTED, "a unary call has one message, none came");
    if (call->prefix_count < NORN_GRPC_PREFIX_BYTES)
        return norn_fail(NORN_INVALID_ARGUMENT, "the request ends within its message's prefix");
    if (call->request.count < call->message_bytes)
        return norn_fail(NORN_INVALID_ARGUMENT, "the message says it has %zu byte%s, %zu came",
                         call->message_bytes, norn_plural(call->message_bytes),
                         call->request.count);
    return NORN_OK;
}

static norn_status begin_response(norn_grpc_call *call) {
    (void)norn_buffer_extend(&call->response, NORN_GRPC_PREFIX_BYTES);
    NORN_TRY(norn_buffer_status(&call->response));
    memset(call->response.bytes, 0, NORN_GRPC_PREFIX_BYTES);
    return NORN_OK;
}

static void dispatch(norn_grpc_call *call) {
    const norn_buffer *request = &call->request;
    norn_status status = norn_grpc_call_failed(call);
    if (status == NORN_OK) status = begin_response(call);
    if (status == NORN_OK) {
        norn_grpc_call_dispatch(
            call,
            norn_span_of(request->bytes ? request->bytes : (const uint8_t *)"", request->count));
    } else {
        norn_grpc_call_answer(call, status);
    }
}

void norn_grpc_call_run(norn_grpc_call *call) {
    const norn_status status = check_message(call);
    if (status != NORN_OK) {
        norn_grpc_call_answer(call, status);
    } else if (call->prefix[0]) {
        norn_grpc_call_work(call, inflate_message, dispatch);
    } else {
        dispatch(call);
    }
}
