/// Streams: header fields and DATA to a call, its answer to frames.
///
/// What can be refused is refused when the header fields have come, not when the client
/// has sent all of its request: the answer ends the stream, and RST_STREAM(NO_ERROR)
/// says that the rest is not wanted.
#include "base/clock.h"
#include "base/memory.h"
#include "serve/grpc/grpc_connection.h"
#include "serve/io/inflate.h"

#include <stdio.h>
#include <string.h>

enum {
    BODY_BYTES_PER_S = 16 * 1024, ///< a request that comes more slowly is given up
    HEADER_OVERHEAD = 32,         ///< of a field, as SETTINGS_MAX_HEADER_LIST_SIZE counts
    MESSAGE_TEXT = 1600,
};

// ---- answers

static nghttp2_nv header(const char *name, const char *value) {
    nghttp2_nv nv = {
        .namelen = strlen(name), .valuelen = strlen(value), .flags = NGHTTP2_NV_FLAG_NONE};
    memcpy(&nv.name, &name, sizeof nv.name); // nghttp2 copies both; its fields are not const
    memcpy(&nv.value, &value, sizeof nv.value);
    return nv;
}

/// grpc-message: printable ASCII but '%' as it is, the rest percent-encoded.
static void encode_message(const char *text, char out[MESSAGE_TEXT]) {
    size_t used = 0;
    for (const unsigned char *c = (const unsigned char *)text; *c && used + 4 < MESSAGE_TEXT; c++) {
        if (*c >= 0x20 && *c <= 0x7e && *c != '%') {
            out[used++] = (char)*c;
        } else {
            used += (size_t)snprintf(out + used, 4, "%%%02X", *c);
        }
    }
    out[used] = 0;
}

/// grpc-status and grpc-message, as trailers or as the whole answer.
typedef struct status_fields {
    char status[16], message[MESSAGE_TEXT];
} status_fields;

static size_t put_status(const norn_grpc_call *call, status_fields *text, nghttp2_nv out[2]) {
    (void)snprintf(text->status, sizeof text->status, "%d", (int)call->status);
    out[0] = header("grpc-status", text->status);
    if (call->status == NORN_OK) return 1;
    encode_message(call->message, text->message);
    out[1] = header("grpc-message", text->message);
    return 2;
}

static ssize_t read_response(nghttp2_session *session, int32_t id, uint8_t *out, size_t length,
                             uint32_t *flags, nghttp2_data_source *source, void *context) {
    norn_grpc_stream *stream = source->ptr;
    const norn_buffer *response = &stream->call.response;
    const size_t left = response->count - stream->sent;
    const size_t count = left < length ? left : length;
    (void)context;
    if (count == 0 && stream->call.open) return NGHTTP2_ERR_DEFERRED; // until there is news
    if (count) memcpy(out, response->bytes + stream->sent, count);
    stream->sent += count;
    stream->moved_ns = norn_clock_now_ns();
    if (stream->sent == response->count && !stream->call.open) {
        status_fields text;
        nghttp2_nv trailer[2];
        const size_t fields = put_status(&stream->call, &text, trailer);
        *flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
        if (nghttp2_submit_trailer(session, id, trailer, fields) != 0)
            return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    return (ssize_t)count;
}

static int submit_answer(norn_grpc_stream *stream) {
    nghttp2_session *session = stream->connection->session;
    nghttp2_nv fields[5] = {header(":status", "200"), header("content-type", "application/grpc")};
    status_fields text;
    size_t count = 2;
    if (stream->call.status == NORN_OK) {
        const nghttp2_data_provider body = {.source.ptr = stream, .read_callback = read_response};
        return nghttp2_submit_response(session, stream->id, fields, count, &body);
    }
    count += put_status(&stream->call, &text, fields + count);
    if (stream->bad_encoding)
        fields[count++] = header("grpc-accept-encoding",
                                 norn_inflate_knows("gzip") ? "identity,deflate,gzip" : "identity");
    return nghttp2_submit_response(session, stream->id, fields, count, NULL);
}

/// Every tick looks at each of them, so there are not too many.
static void count_watch(norn_grpc_stream *stream) {
    norn_grpc_call *call = &stream->call;
    if (stream->connection->listener->watches < NORN_GRPC_WATCHES_MAX) {
        ++stream->connection->listener->watches;
        return;
    }
    call->open = false;
    call->status = NORN_RESOURCE_EXHAUSTED;
    (void)snprintf(call->message, sizeof call->message,
                   "%d services are watched already, the limit", NORN_GRPC_WATCHES_MAX);
}

/// norn_grpc_call.send: the answer is there.
static void on_answer(norn_grpc_call *call) {
    norn_grpc_stream *stream = (norn_grpc_stream *)call;
    norn_grpc_connection *connection = stream->connection;
    if (stream->stage == NORN_GRPC_RUNNING) norn_service_leave(call->exchange.io->service);
    stream->stage = NORN_GRPC_ANSWERED;
    stream->moved_ns = norn_clock_now_ns();
    if (!connection) { // the client has gone
        norn_grpc_stream_close(stream);
        return;
    }
    if (call->open) count_watch(stream);
    const bool good = submit_answer(stream) == 0;
    if (connection->sending) return; // a callback of flush or of receive: the caller flushes
    if (!good || !norn_grpc_flush(connection)) norn_grpc_connection_destroy(connection);
}

/// Answer with the failure that norn_fail has just told.
static void refuse(norn_grpc_stream *stream, norn_status status) {
    norn_grpc_call_answer(&stream->call, status);
}

/// What is no gRPC at all is answered in HTTP's own words.
static void refuse_http(norn_grpc_stream *stream, const char *code, const char *name,
                        const char *value) {
    const nghttp2_nv fields[] = {header(":status", code), header(name, value)};
    stream->stage = NORN_GRPC_ANSWERED;
    stream->call.answered = true;
    (void)nghttp2_submit_response(stream->connection->session, stream->id, fields, 2, NULL);
}

// ---- life

void norn_grpc_stream_close(norn_grpc_stream *stream) {
    norn_grpc_connection *connection = stream->connection;
    const norn_alloc alloc = stream->call.exchange.io->service->alloc;
    stream->connection = NULL;
    if (connection) {
        if (stream->call.open) --connection->listener->watches;
        if (stream->prev) {
            stream->prev->next = stream->next;
        } else {
            connection->streams = stream->next;
        }
        if (stream->next) stream->next->prev = stream->prev;
        if (!connection->streams) connection->idle_ns = norn_clock_now_ns();
    }
    if (stream->stage == NORN_GRPC_RUNNING) {
        norn_grpc_call_cancel(&stream->call); // its answer frees it
        return;
    }
    norn_grpc_call_deinit(&stream->call);
    norn_free(alloc, stream);
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *context) {
    norn_grpc_connection *connection = context;
    norn_io *io = connection->listener->io;
    norn_grpc_stream *stream;
    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST) return 0;
    if (NORN_NEW(io->service->alloc, &stream) != NORN_OK)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    norn_grpc_call_init(&stream->call, io);
    stream->call.send = on_answer;
    stream->connection = connection;
    stream->id = frame->hd.stream_id;
    stream->moved_ns = norn_clock_now_ns();
    stream->next = connection->streams;
    if (stream->next) stream->next->prev = stream;
    connection->streams = stream;
    return nghttp2_session_set_stream_user_data(session, stream->id, stream);
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t error, void *context) {
    norn_grpc_stream *stream = nghttp2_session_get_stream_user_data(session, id);
    (void)error, (void)context;
    if (!stream) return 0;
    (void)nghttp2_session_set_stream_user_data(session, id, NULL);
    norn_grpc_stream_close(stream);
    return 0;
}

// ---- header fields

static bool is_grpc(norn_span content_type) {
    static const char name[] = "application/grpc", proto[] = "+proto";
    const size_t count = sizeof name - 1, more = sizeof proto - 1;
    if (content_type.count < count || memcmp(content_type.bytes, name, count) != 0) return false;
    content_type = (norn_span){content_type.bytes + count, content_type.count - count};
    if (content_type.count >= more && memcmp(content_type.bytes, proto, more) == 0)
        content_type = (norn_span){content_type.bytes + more, content_type.count - more};
    return content_type.count == 0 || content_type.bytes[0] == ';' || content_type.bytes[0] == ' ';
}

static void set_timeout(norn_grpc_stream *stream, norn_span text) {
    const int64_t now_ns = norn_clock_now_ns();
    int64_t ns;
    if (!norn_grpc_timeout(text, &ns)) {
        stream->bad_timeout = true;
    } else {
        stream->call.deadline_ns = ns > INT64_MAX - now_ns ? INT64_MAX : now_ns + ns;
    }
}

static void set_encoding(norn_grpc_stream *stream, norn_span text) {
    char name[16];
    if (norn_span_equal(text, "identity")) return;
    (void)snprintf(name, sizeof name, "%.*s", text.count < 15 ? (int)text.count : 15,
                   text.count ? (const char *)text.bytes : "");
    stream->call.encoded = norn_inflate_knows(name);
    stream->bad_encoding = !stream->call.encoded;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_count, const uint8_t *value, size_t value_count, uint8_t flags,
                     void *context) {
    norn_grpc_stream *stream = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    const norn_span key = {name, name_count}, text = {value, value_count};
    (void)flags, (void)context;
    if (!stream) return 0;
    stream->header_bytes += name_count + value_count + HEADER_OVERHEAD;
    // Trailers say nothing that is looked at; a list that is too long is not looked at either.
    if (stream->stage != NORN_GRPC_HEAD || stream->header_bytes > NORN_GRPC_HEADERS_MAX) return 0;
    if (norn_span_equal(key, ":path")) {
        const norn_status status = norn_grpc_call_route(&stream->call, text);
        if (status != NORN_OK) // told when it is known that this is a call at all
            (void)snprintf(stream->call.message, sizeof stream->call.message, "%s", norn_message());
    } else if (norn_span_equal(key, ":method")) {
        stream->post = norn_span_equal(text, "POST");
    } else if (norn_span_equal(key, "te")) {
        stream->trailers = norn_span_equal(text, "trailers");
    } else if (norn_span_equal(key, "content-type")) {
        stream->grpc = is_grpc(text);
    } else if (norn_span_equal(key, "grpc-timeout")) {
        set_timeout(stream, text);
    } else if (norn_span_equal(key, "grpc-encoding")) {
        set_encoding(stream, text);
    }
    return 0;
}

/// The header fields are complete: is this a call that can be answered?
static norn_status check_head(const norn_grpc_stream *stream) {
    if (stream->header_bytes > NORN_GRPC_HEADERS_MAX)
        return norn_fail(
            NORN_RESOURCE_EXHAUSTED, "the header fields have %zu byte%s, at most %d are taken",
            stream->header_bytes, norn_plural(stream->header_bytes), NORN_GRPC_HEADERS_MAX);
    if (!stream->call.method) {
        char text[sizeof stream->call.message];
        memcpy(text, stream->call.message, sizeof text);
        return norn_fail(NORN_UNIMPLEMENTED, "%s", text);
    }
    if (!stream->trailers)
        return norn_fail(NORN_INVALID_ARGUMENT,
                         "te: trailers is missing; a proxy on the way does not speak gRPC");
    if (stream->bad_timeout)
        return norn_fail(NORN_INVALID_ARGUMENT,
                         "grpc-timeout is malformed; it is at most 8 digits and one of HMSmun");
    if (stream->bad_encoding)
        return norn_fail(NORN_UNIMPLEMENTED,
                         "grpc-encoding is not supported; grpc-accept-encoding lists what is");
    return NORN_OK;
}

static void end_of_head(norn_grpc_stream *stream) {
    stream->stage = NORN_GRPC_BODY;
    stream->moved_ns = norn_clock_now_ns();
    // So far.
    stream->body_until_ns = stream->moved_ns + stream->call.exchange.io->service->limits.body_ns;
    // A list that was too long may have hidden these.
    const bool whole = stream->header_bytes <= NORN_GRPC_HEADERS_MAX;
    if (whole && !stream->post) {
        refuse_http(stream, "405", "allow", "POST");
    } else if (whole && !stream->grpc) {
        refuse_http(stream, "415", "accept", "application/grpc");
    } else {
        const norn_status status = check_head(stream);
        if (status != NORN_OK) refuse(stream, status);
    }
}

// ---- the message

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *bytes,
                   size_t count, void *context) {
    norn_grpc_stream *stream = nghttp2_session_get_stream_user_data(session, id);
    (void)flags, (void)context;
    if (!stream || stream->stage != NORN_GRPC_BODY) return 0; // discarded
    const bool began = stream->call.prefix_count == NORN_GRPC_PREFIX_BYTES;
    const norn_status status = norn_grpc_call_data(&stream->call, norn_span_of(bytes, count));
    stream->moved_ns = norn_clock_now_ns();
    if (status != NORN_OK) {
        refuse(stream, status);
    } else if (!began && stream->call.prefix_count == NORN_GRPC_PREFIX_BYTES) {
        const double seconds = (double)stream->call.message_bytes / BODY_BYTES_PER_S;
        stream->body_until_ns += (int64_t)(1e9 * seconds);
    }
    return 0;
}

static void end_of_request(norn_grpc_stream *stream) {
    stream->stage = NORN_GRPC_RUNNING;
    norn_service_enter(stream->call.exchange.io->service);
    norn_grpc_call_run(&stream->call);
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *context) {
    norn_grpc_stream *stream;
    (void)context;
    if (frame->hd.type != NGHTTP2_DATA && frame->hd.type != NGHTTP2_HEADERS) return 0;
    stream = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    if (!stream) return 0;
    if (stream->stage == NORN_GRPC_HEAD) {
        // Fields that were too long for the library did not come as far as on_header.
        stream->header_bytes += stream->connection->frames.fields.dropped_bytes;
        end_of_head(stream);
    }
    if (stream->stage == NORN_GRPC_BODY && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
        end_of_request(stream);
    return 0;
}

/// A frame has left for the socket's buffer.
static int on_sent(nghttp2_session *session, const nghttp2_frame *frame, void *context) {
    norn_grpc_connection *connection = context;
    const int32_t id = frame->hd.stream_id;
    if (frame->hd.type == NGHTTP2_DATA)
        norn_grpc_frames_earn(&connection->frames, NORN_GRPC_EARNED_BY_DATA);
    if (frame->hd.type != NGHTTP2_HEADERS || !(frame->hd.flags & NGHTTP2_FLAG_END_STREAM)) return 0;
    norn_grpc_frames_earn(&connection->frames, NORN_GRPC_EARNED_BY_ANSWER);
    if (nghttp2_session_get_stream_remote_close(session, id) == 0)
        (void)nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, id, NGHTTP2_NO_ERROR);
    return 0;
}

void norn_grpc_stream_callbacks(nghttp2_session_callbacks *callbacks) {
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_sent);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
}

// ---- time

/// End an open answer with a failure that was just told.
static void end_watch(norn_grpc_stream *stream, norn_status status) {
    norn_grpc_call *call = &stream->call;
    call->open = false;
    --stream->connection->listener->watches;
    call->status = status;
    (void)snprintf(call->message, sizeof call->message, "%s", norn_message());
    (void)nghttp2_session_resume_data(stream->connection->session, stream->id);
}

static void tick_watch(norn_grpc_stream *stream, int64_t now_ns) {
    norn_grpc_call *call = &stream->call;
    if (call->deadline_ns && call->deadline_ns <= now_ns) {
        end_watch(stream, norn_fail(NORN_DEADLINE_EXCEEDED, "the deadline of the watch passed"));
    } else if (stream->sent == call->response.count && norn_grpc_health_again(call)) {
        stream->sent = 0;
        stream->moved_ns = now_ns;
        (void)nghttp2_session_resume_data(stream->connection->session, stream->id);
    }
}

void norn_grpc_stream_tick(norn_grpc_stream *stream, int64_t now_ns) {
    const int64_t body_ns = stream->call.exchange.io->service->limits.body_ns;
    const bool still = now_ns - stream->moved_ns > body_ns,
               answered = stream->stage == NORN_GRPC_ANSWERED;
    if (stream->stage == NORN_GRPC_BODY && (still || now_ns > stream->body_until_ns)) {
        refuse(stream, norn_fail(NORN_DEADLINE_EXCEEDED,
                                 "the request came too slowly: %zu of %zu byte%s after %lld ms",
                                 stream->call.request.count, stream->call.message_bytes,
                                 norn_plural(stream->call.message_bytes),
                                 (long long)((now_ns - stream->moved_ns) / 1000000)));
    } else if (stream->call.open) {
        tick_watch(stream, now_ns);
    }
    // An answer that the client's window does not let out, or that waits for frames before it.
    if (answered && still && (!stream->call.open || stream->sent < stream->call.response.count))
        (void)nghttp2_submit_rst_stream(stream->connection->session, NGHTTP2_FLAG_NONE, stream->id,
                                        NGHTTP2_CANCEL);
}

void norn_grpc_stream_stop(norn_grpc_stream *stream) {
    if (stream->call.open) end_watch(stream, norn_fail(NORN_UNAVAILABLE, "the server is stopping"));
}
