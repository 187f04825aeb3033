/// One client's connection: bytes in, one request at a time, its answer out. All on its I/O thread,
/// but for what a worker does between norn_workers_put and norn_io_finish.
///
/// A connection answers one request before it looks at the next: that bounds what a client
/// that sends much and reads nothing can hold, to one buffer of requests and one answer.
#ifndef NORN_SERVE_HTTP_CONNECTION_H
#define NORN_SERVE_HTTP_CONNECTION_H

#include "base/wire.h"
#include "serve/http/http_parser.h"
#include "serve/io/io.h"
#include "serve/io/workers.h"

#include <event2/event_struct.h>
#include <time.h>

typedef struct norn_http_connection norn_http_connection;

/// Most recently filed first.
typedef struct norn_http_list {
    norn_http_connection *first, *last;
} norn_http_list;

typedef struct norn_http_listener {
    norn_io *io;
    norn_acceptor *acceptor; ///< NULL: not (or no longer) accepting
    void (*serve)(norn_http_connection *connection);
    bool counts;         ///< its requests are in server->in_flight, and a drain waits for them
    norn_http_list idle; ///< between requests, or in the head of one
    norn_http_list busy; ///< the others
    struct event *tick;  ///< looks at every connection's due_ns
    time_t date_s;       ///< of `date`
    char date[48];
} norn_http_listener;

typedef enum norn_http_stage {
    NORN_HTTP_READ_HEAD,
    NORN_HTTP_READ_BODY,
    NORN_HTTP_SERVE,  ///< the request is whole
    NORN_HTTP_WAIT,   ///< somebody is working on the answer
    NORN_HTTP_SEND,   ///< the answer is on its way out
    NORN_HTTP_LINGER, ///< the last answer left; what the client still sends is thrown away for a
                      ///< while, because closing would reset the connection under its answer
    NORN_HTTP_CLOSED,
} norn_http_stage;

struct norn_http_connection {
    norn_exchange exchange; ///< first; the request that is being answered
    norn_job job;           ///< its work on a worker
    /// What follows exchange->finish, on the I/O thread, unless the
    /// client has gone: sets an answer.
    void (*finish)(norn_http_connection *connection);
    norn_http_listener *listener;
    norn_http_list *list; ///< the listener's that it is in; NULL: in none any more
    norn_http_connection *prev, *next;
    evutil_socket_t fd; ///< -1: the client has gone, and the request is still in work
    struct event event;
    short watched; ///< what `event` waits for
    norn_http_stage stage;
    bool eof, hung_up; ///< the client will send no more; that much is known while not reading
    bool counted;      ///< in server->in_flight
    bool in_work;      ///< others hold the connection until exchange->finish
    int64_t due_ns, begin_ns, used_ns;
    // request
    uint8_t *bytes;
    size_t count, capacity;
    norn_http_parser parser;
    norn_buffer plain; ///< a body that came compressed, inflated; views of the inference alias it
    /// What request and answer hold of the budget besides `bytes` and what the inference holds.
    int64_t charged_bytes;
    // work
    norn_status status;
    char message[512];
    size_t json_bytes;
    // answer
    norn_buffer body;
    const char *encoding; ///< Content-Encoding; NULL: none
    const char *allow;    ///< Allow; NULL: none
    int64_t retry_s;      ///< Retry-After of a refusal
    bool encoded;         ///< compression has been seen to
    bool last;            ///< the connection closes after it
    bool linger;          ///< bytes of the client may be left unread
    uint32_t head_count;
    size_t sent; ///< of head and body together
    char head[640];
};

// ---- http_connection.c
/// Serve a connected socket; it is counted in server->connections. Takes `fd`.
void norn_http_connect(norn_http_listener *listener, evutil_socket_t fd);
void norn_http_destroy(norn_http_connection *connection);
/// Past its time: drop it, or say so first.
void norn_http_expire(norn_http_connection *connection);
/// Close the connection that has been idle, or about to send a request, for longest.
bool norn_http_evict(norn_http_listener *listener);

/// For endpoints: the body as it came.
static inline norn_span norn_http_raw_body(const norn_http_connection *connection) {
    const norn_http_request *request = &connection->parser.request;
    return norn_span_of(connection->bytes + request->head_bytes, request->body_bytes);
}
static inline norn_service *norn_http_service(const norn_http_connection *connection) {
    return connection->listener->io->service;
}
/// Take from the budget for this request, given back when it ends. False: it does not fit.
bool norn_http_take(norn_http_connection *connection, int64_t bytes);
/// Let go of what the request needed but its answer does not.
void norn_http_release_work(norn_http_connection *connection);

// ---- http_answer.c: the answer to the request; it leaves when the endpoint has returned
/// Takes `body`; json_bytes > 0 when binary tensors follow the JSON.
void norn_http_answer(norn_http_connection *connection, int code, const char *type,
                      norn_buffer *body, size_t json_bytes);
/// 200; takes json.
void norn_http_answer_json(norn_http_connection *connection, norn_buffer *json);
void norn_http_answer_error(norn_http_connection *connection, int code, const char *message);
/// With the thread's message.
void norn_http_answer_status(norn_http_connection *connection, norn_status status);
void norn_http_answer_empty(norn_http_connection *connection, bool good); ///< 200 or 503
int norn_http_code(norn_status status);
/// Write what the socket takes. False: broken.
bool norn_http_write(norn_http_connection *connection, bool *done);

#endif
