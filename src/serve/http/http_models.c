/// What the server says of its models, and loading and unloading them.
#include "serve/http/http_route.h"
#include "serve/kserve_json.h"
#include "serve/kserve_parameters.h"

#include <stdio.h>
#include <string.h>

typedef void (*put_model_fn)(const norn_served *served, norn_buffer *json);

static void serve_model(const norn_http_route *route, const char *name, const char *version_text,
                        put_model_fn put, const char *before, const char *after) {
    norn_served *served;
    norn_buffer json;
    int64_t version;
    norn_status status = norn_repository_version(version_text, &version);
    if (status == NORN_OK)
        status = norn_repository_get(route->io->server->repository, name, version, &served);
    if (status != NORN_OK) {
        norn_http_send_status(route, status);
        return;
    }
    norn_buffer_init(&json, route->io->server->alloc);
    norn_buffer_text(&json, before);
    put(served, &json);
    norn_buffer_text(&json, after);
    norn_served_release(served);
    norn_http_send_json(route, &json);
}

static void serve_model_ready(const norn_http_route *route, const char *name,
                              const char *version_text) {
    norn_served *served = NULL;
    int64_t version;
    const norn_status status = norn_repository_version(version_text, &version);
    const bool ready =
        status == NORN_OK && !route->io->server->draining &&
        norn_repository_get(route->io->server->repository, name, version, &served) == NORN_OK;
    if (served) norn_served_release(served);
    norn_http_send_empty(route, ready);
}

static void put_one_stats(void *context, const norn_repository_entry *entry) {
    norn_buffer *json = context;
    if (!entry->served) return;
    if (json->count && json->bytes[json->count - 1] == '}') norn_buffer_text(json, ",");
    norn_kserve_put_stats(entry->served, json);
}

void norn_http_all_stats(const norn_http_route *route) {
    norn_buffer json;
    norn_buffer_init(&json, route->io->server->alloc);
    norn_buffer_text(&json, "{\"model_stats\":[");
    norn_repository_visit(route->io->server->repository, put_one_stats, &json);
    norn_buffer_text(&json, "]}");
    norn_http_send_json(route, &json);
}

typedef struct index_page {
    norn_buffer json;
    norn_repository_ask ask;
} index_page;

static void put_index_entry(void *context, const norn_repository_entry *entry) {
    index_page *page = context;
    norn_buffer *json = &page->json;
    if (page->ask.ready && entry->state != NORN_MODEL_READY) return;
    if (json->count && json->bytes[json->count - 1] == '}') norn_buffer_text(json, ",");
    norn_buffer_text(json, "{\"name\":");
    norn_json_put_string(json, entry->name, strlen(entry->name));
    if (entry->version >= 0)
        norn_buffer_format(json, ",\"version\":\"%lld\"", (long long)entry->version);
    norn_buffer_format(json, ",\"state\":\"%s\",\"reason\":", norn_model_state_name(entry->state));
    norn_json_put_string(json, entry->reason, strlen(entry->reason));
    norn_buffer_text(json, "}");
}

/// The body of a request about the repository, decompressed into *room.
static norn_status repository_body(const norn_http_route *route, norn_buffer *room,
                                   norn_span *body) {
    norn_buffer_init(room, route->io->server->alloc);
    return norn_http_body(route, room, body);
}

void norn_http_index(const norn_http_route *route) {
    index_page page;
    norn_buffer room;
    norn_span body;
    norn_status status = repository_body(route, &room, &body);
    if (status == NORN_OK) status = norn_repository_parse_index(body, &page.ask);
    if (status != NORN_OK) {
        norn_http_send_status(route, status);
    } else {
        norn_buffer_init(&page.json, route->io->server->alloc);
        norn_buffer_text(&page.json, "[");
        norn_repository_visit(route->io->server->repository, put_index_entry, &page);
        norn_buffer_text(&page.json, "]");
        norn_http_send_json(route, &page.json);
    }
    norn_buffer_deinit(&room);
}

static void finish_load(norn_exchange *base) {
    norn_http_exchange *exchange = (norn_http_exchange *)base;
    norn_buffer none;
    if (exchange->status != NORN_OK) {
        norn_http_send_error(base->io, exchange->request, norn_http_code(exchange->status),
                             exchange->message);
    } else {
        norn_buffer_init(&none, base->io->server->alloc);
        norn_http_send(base->io, exchange->request, 200, "application/json", &none, 0);
    }
    norn_http_exchange_destroy(exchange);
}

/// On the loader thread.
static void on_loaded(void *context, norn_status status, const char *message) {
    norn_http_exchange *exchange = context;
    exchange->status = status;
    (void)snprintf(exchange->message, sizeof exchange->message, "%s", message);
    norn_io_finish(&exchange->exchange);
}

static norn_status check_load(const norn_http_route *route, bool load) {
    norn_buffer room;
    norn_span body;
    NORN_TRY(norn_server_allows_control(route->io->server));
    norn_status status = repository_body(route, &room, &body);
    if (status == NORN_OK) status = norn_repository_parse_load(body, load);
    norn_buffer_deinit(&room);
    return status;
}

void norn_http_load(const norn_http_route *route, const char *name, bool load) {
    norn_repository *repository = route->io->server->repository;
    norn_http_exchange *exchange;
    const norn_status status = check_load(route, load);
    if (status != NORN_OK) {
        norn_http_send_status(route, status);
        return;
    }
    exchange = norn_http_exchange_create(route, finish_load);
    if (!exchange) return;
    if (load) {
        norn_repository_load(repository, name, on_loaded, exchange);
    } else {
        norn_repository_unload(repository, name, on_loaded, exchange);
    }
}

bool norn_http_model(const norn_http_route *route, const char *name, const char *version,
                     const char *what) {
    if (strcmp(what, "") == 0) {
        serve_model(route, name, version, norn_kserve_put_metadata, "", "");
    } else if (strcmp(what, "ready") == 0) {
        serve_model_ready(route, name, version);
    } else if (strcmp(what, "config") == 0) {
        serve_model(route, name, version, norn_kserve_put_config, "", "");
    } else if (strcmp(what, "stats") == 0) {
        serve_model(route, name, version, norn_kserve_put_stats, "{\"model_stats\":[", "]}");
    } else {
        return false;
    }
    return true;
}
