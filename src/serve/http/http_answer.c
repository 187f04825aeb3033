/// Answers: their heads, and the way out.
#include "serve/http/http_connection.h"
#include "serve/http/http_route.h"
#include "serve/protocol/kserve_json.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/uio.h>

int norn_http_code(norn_status status) {
    switch (status) {
    case NORN_OK:
        return 200;
    case NORN_INVALID_ARGUMENT:
    case NORN_OUT_OF_RANGE:
    case NORN_FAILED_PRECONDITION:
        return 400;
    case NORN_PERMISSION_DENIED:
        return 403;
    case NORN_NOT_FOUND:
        return 404;
    case NORN_ALREADY_EXISTS:
    case NORN_ABORTED:
        return 409;
    case NORN_RESOURCE_EXHAUSTED:
        return 429;
    case NORN_CANCELLED:
        return 499;
    case NORN_UNIMPLEMENTED:
        return 501;
    case NORN_UNAVAILABLE:
        return 503;
    case NORN_DEADLINE_EXCEEDED:
        return 504;
    case NORN_UNKNOWN:
    case NORN_INTERNAL:
    case NORN_DATA_LOSS:
        return 500;
    }
    return 500;
}

static const char *reason(int code) {
    static const struct {
        int code;
        const char *text;
    } reasons[] = {{200, "OK"},
                   {400, "Bad Request"},
                   {403, "Forbidden"},
                   {404, "Not Found"},
                   {405, "Method Not Allowed"},
                   {408, "Request Timeout"},
                   {409, "Conflict"},
                   {413, "Content Too Large"},
                   {414, "URI Too Long"},
                   {417, "Expectation Failed"},
                   {429, "Too Many Requests"},
                   {431, "Request Header Fields Too Large"},
                   {499, "Client Closed Request"},
                   {500, "Internal Server Error"},
                   {501, "Not Implemented"},
                   {503, "Service Unavailable"},
                   {504, "Gateway Timeout"},
                   {505, "HTTP Version Not Supported"}};
    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++)
        if (reasons[i].code == code) return reasons[i].text;
    return "Error";
}

// ---- heads; every value is Norn's own, so the room is known to be enough

static void put(norn_http_connection *connection, const char *text) {
    const size_t count = strlen(text), room = sizeof connection->head - connection->head_count;
    const size_t n = count < room ? count : room;
    memcpy(connection->head + connection->head_count, text, n);
    connection->head_count += (uint32_t)n;
}

static void put_field(norn_http_connection *connection, const char *name, const char *value) {
    put(connection, name);
    put(connection, ": ");
    put(connection, value);
    put(connection, "\r\n");
}

static void put_number(norn_http_connection *connection, const char *name, size_t number) {
    char text[24];
    char *at = text + sizeof text;
    *--at = '\0';
    do {
        *--at = (char)('0' + number % 10);
        number /= 10;
    } while (number);
    put_field(connection, name, at);
}

/// The listener's date, made once a second.
static const char *date_of(norn_http_listener *listener) {
    const time_t now_s = time(NULL);
    struct tm utc;
    if (now_s != listener->date_s && gmtime_r(&now_s, &utc)) {
        // Not strftime's %a and %b, which follow the locale.
        static const char days[] = "SunMonTueWedThuFriSat",
                          months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
        (void)snprintf(
            listener->date, sizeof listener->date, "%.3s, %02d %.3s %04d %02d:%02d:%02d GMT",
            days + 3 * (utc.tm_wday % 7), utc.tm_mday % 100, months + 3 * (utc.tm_mon % 12),
            (1900 + utc.tm_year) % 10000, utc.tm_hour % 100, utc.tm_min % 100, utc.tm_sec % 100);
        listener->date_s = now_s;
    }
    return listener->date;
}

static void put_head(norn_http_connection *connection, int code, const char *type,
                     size_t json_bytes) {
    connection->head_count = 0;
    if (code == 200) {
        put(connection, "HTTP/1.1 200 OK\r\n");
    } else {
        const char digits[] = {(char)('0' + code / 100), (char)('0' + code / 10 % 10),
                               (char)('0' + code % 10), '\0'};
        put(connection, "HTTP/1.1 ");
        put(connection, digits);
        put(connection, " ");
        put(connection, reason(code));
        put(connection, "\r\n");
    }
    put_field(connection, "Date", date_of(connection->listener));
    put_field(connection, "Content-Type", type);
    put_number(connection, "Content-Length", connection->body.count);
    if (json_bytes) put_number(connection, "Inference-Header-Content-Length", json_bytes);
    if (connection->encoding) put_field(connection, "Content-Encoding", connection->encoding);
    if (connection->allow) put_field(connection, "Allow", connection->allow);
    if (code == 429 || code == 503)
        put_number(connection, "Retry-After", (size_t)connection->retry_s);
    if (connection->last) {
        put(connection, "Connection: close\r\n");
    } else if (connection->parser.request.minor == 0) {
        put(connection, "Connection: keep-alive\r\n");
    }
    put(connection, "\r\n");
}

// ---- answers

void norn_http_answer(norn_http_connection *connection, int code, const char *type,
                      norn_buffer *body, size_t json_bytes) {
    norn_service *service = norn_http_service(connection);
    const norn_request *request = connection->exchange.request;
    connection->retry_s =
        request ? request->retry_ns / 1000000000 + 1 : 1; // whole seconds, RFC 9110
    norn_http_release_work(connection);
    if (norn_buffer_status(body) != NORN_OK) {
        norn_buffer_deinit(body);
        norn_kserve_json_error(
            body, "out of memory"); // a small one may still be had; else the body is empty
        code = 503;
        type = "application/json";
        json_bytes = 0;
    } else if (!connection->encoded) {
        norn_http_compress(connection, body);
    }
    connection->body = *body;
    connection->charged_bytes = (int64_t)connection->body.capacity;
    norn_budget_force(&service->budget, connection->charged_bytes);
    if (service->draining) connection->last = true;
    put_head(connection, code, type, json_bytes);
    connection->sent = 0;
    connection->stage = NORN_HTTP_SEND;
}

void norn_http_answer_json(norn_http_connection *connection, norn_buffer *json) {
    norn_http_answer(connection, 200, "application/json", json, 0);
}

void norn_http_answer_error(norn_http_connection *connection, int code, const char *message) {
    norn_buffer json;
    norn_buffer_init(&json, norn_http_service(connection)->alloc);
    norn_kserve_json_error(&json, message);
    norn_http_answer(connection, code, "application/json", &json, 0);
}

void norn_http_answer_status(norn_http_connection *connection, norn_status status) {
    norn_http_answer_error(connection, norn_http_code(status), norn_message());
}

void norn_http_answer_empty(norn_http_connection *connection, bool good) {
    norn_buffer none;
    norn_buffer_init(&none, norn_http_service(connection)->alloc);
    norn_http_answer(connection, good ? 200 : 503, "application/json", &none, 0);
}

bool norn_http_write(norn_http_connection *connection, bool *done) {
    const size_t body_count =
        connection->parser.request.method == NORN_HTTP_HEAD ? 0 : connection->body.count;
    const size_t total = connection->head_count + body_count;
    struct iovec pieces[2];
    int piece_count = 0;
    size_t skip = connection->sent;
    if (skip < connection->head_count) {
        pieces[piece_count++] =
            (struct iovec){connection->head + skip, connection->head_count - skip};
        skip = 0;
    } else {
        skip -= connection->head_count;
    }
    if (body_count > skip)
        pieces[piece_count++] = (struct iovec){connection->body.bytes + skip, body_count - skip};
    const struct msghdr message = {.msg_iov = pieces, .msg_iovlen = (size_t)piece_count};
    const ssize_t n = sendmsg(connection->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) return false;
    if (n > 0) connection->sent += (size_t)n;
    *done = connection->sent == total;
    return true;
}
