/// What the server says of its models, and loading and unloading them.
#include "serve/http/http_route.h"
#include "serve/protocol/kserve_json.h"
#include "serve/protocol/parameters.h"

#include <stdio.h>
#include <string.h>

typedef void (*put_model_fn)(const norn_servable *servable, norn_json_writer *json);

static void serve_model(const norn_http_route *route, const char *name, const char *version,
                        put_model_fn put) {
    norn_servable *servable;
    norn_buffer page;
    const norn_status status =
        norn_repository_get(route->service->repository, name, version, &servable);
    if (status != NORN_OK) {
        norn_http_answer_status(route->connection, status);
        return;
    }
    norn_buffer_init(&page, route->service->alloc);
    put(servable, &(norn_json_writer){.buffer = &page});
    norn_servable_release(servable);
    norn_http_answer_json(route->connection, &page);
}

static void serve_model_ready(const norn_http_route *route, const char *name, const char *version) {
    norn_servable *servable = NULL;
    const bool ready =
        !route->service->draining &&
        norn_repository_get(route->service->repository, name, version, &servable) == NORN_OK;
    norn_servable_release(servable);
    norn_http_answer_empty(route->connection, ready);
}

// Statistics of one version or of all are one form of page.
static void begin_stats(norn_json_writer *json) {
    norn_json_begin_object(json, NULL);
    norn_json_begin_array(json, "model_stats");
}

static void end_stats(norn_json_writer *json) {
    norn_json_end(json);
    norn_json_end(json);
}

static void put_stats(const norn_servable *servable, norn_json_writer *json) {
    begin_stats(json);
    norn_kserve_json_stats(servable, json);
    end_stats(json);
}

static void add_one_stats(void *context, const norn_index_model *model,
                          const norn_index_version *version) {
    (void)model;
    if (version->servable) norn_kserve_json_stats(version->servable, context);
}

void norn_http_all_stats(const norn_http_route *route) {
    norn_buffer page;
    norn_json_writer json = {.buffer = &page};
    norn_buffer_init(&page, route->service->alloc);
    begin_stats(&json);
    norn_repository_visit(route->service->repository, add_one_stats, &json);
    end_stats(&json);
    norn_http_answer_json(route->connection, &page);
}

typedef struct index_page {
    norn_json_writer json;
    norn_repository_ask ask;
} index_page;

static void add_index_entry(void *context, const norn_index_model *model,
                            const norn_index_version *version) {
    index_page *page = context;
    if (page->ask.ready && version->state != NORN_MODEL_READY) return;
    norn_kserve_json_index(model, version, &page->json);
}

/// The body of a request about the repository: a few parameters, read here and now, so not large.
static norn_status repository_body(const norn_http_route *route, norn_span *body) {
    enum { BODY_MAX = 64 * 1024 };
    *body = norn_http_raw_body(route->connection);
    if (norn_http_is_compressed(route->connection))
        return norn_fail(NORN_UNIMPLEMENTED, "send this request's body as it is, not compressed");
    if (body->count > BODY_MAX)
        return norn_fail(NORN_INVALID_ARGUMENT,
                         "the body has %zu byte%s; a request about the repository has at most %d",
                         body->count, norn_plural(body->count), BODY_MAX);
    return NORN_OK;
}

void norn_http_index(const norn_http_route *route) {
    norn_buffer text;
    index_page page = {.json = {.buffer = &text}};
    norn_span body;
    norn_status status = repository_body(route, &body);
    if (status == NORN_OK) status = norn_repository_parse_index(body, &page.ask);
    if (status != NORN_OK) {
        norn_http_answer_status(route->connection, status);
        return;
    }
    norn_buffer_init(&text, route->service->alloc);
    norn_json_begin_array(&page.json, NULL);
    norn_repository_visit(route->service->repository, add_index_entry, &page);
    norn_json_end(&page.json);
    norn_http_answer_json(route->connection, &text);
}

static void finish_load(norn_http_connection *connection) {
    if (connection->status == NORN_OK) {
        norn_http_answer_empty(connection, true);
    } else {
        norn_http_answer_error(connection, norn_http_code(connection->status), connection->message);
    }
}

/// On the loader thread.
static void on_loaded(void *context, norn_status status, const char *message) {
    norn_http_connection *connection = context;
    connection->status = status;
    (void)snprintf(connection->message, sizeof connection->message, "%s", message);
    norn_io_finish(&connection->exchange);
}

static norn_status check_load(const norn_http_route *route, bool load) {
    norn_span body;
    NORN_TRY(norn_service_allows_control(route->service));
    NORN_TRY(repository_body(route, &body));
    return norn_repository_parse_load(body, load);
}

void norn_http_load(const norn_http_route *route, const char *name, bool load) {
    norn_repository *repository = route->service->repository;
    const norn_status status = check_load(route, load);
    if (status != NORN_OK) {
        norn_http_answer_status(route->connection, status);
        return;
    }
    route->connection->finish = finish_load;
    if (load) {
        norn_repository_load(repository, name, on_loaded, route->connection);
    } else {
        norn_repository_unload(repository, name, on_loaded, route->connection);
    }
}

bool norn_http_model(const norn_http_route *route, const char *name, const char *version,
                     const char *what) {
    if (strcmp(what, "") == 0) {
        serve_model(route, name, version, norn_kserve_json_metadata);
    } else if (strcmp(what, "ready") == 0) {
        serve_model_ready(route, name, version);
    } else if (strcmp(what, "config") == 0) {
        serve_model(route, name, version, norn_kserve_json_config);
    } else if (strcmp(what, "stats") == 0) {
        serve_model(route, name, version, put_stats);
    } else {
        return false;
    }
    return true;
}
