#include "serve/model/engine.h"

#include "base/memory.h"

#include <stdatomic.h>

struct norn_engine {
    norn_alloc alloc;
    atomic_uint references;
    norn_session *session;
};

void norn_engine_place_init(norn_engine_place *place) {
    pthread_mutex_init(&place->lock, NULL);
    place->engine = NULL;
}

void norn_engine_place_deinit(norn_engine_place *place) {
    norn_engine_leave(place->engine);
    pthread_mutex_destroy(&place->lock);
}

norn_status norn_engine_create(norn_session *session, norn_alloc alloc, norn_engine **out) {
    norn_engine *engine;
    *out = NULL;
    const norn_status status = NORN_NEW(alloc, &engine);
    if (status != NORN_OK) {
        norn_session_destroy(session);
        return status;
    }
    engine->alloc = alloc;
    atomic_init(&engine->references, 1);
    engine->session = session;
    *out = engine;
    return NORN_OK;
}

void norn_engine_put(norn_engine_place *place, norn_engine *engine) {
    pthread_mutex_lock(&place->lock);
    norn_engine *old = place->engine;
    place->engine = engine;
    pthread_mutex_unlock(&place->lock);
    norn_engine_leave(old);
}

norn_engine *norn_engine_enter(norn_engine_place *place, norn_session **session) {
    pthread_mutex_lock(&place->lock);
    norn_engine *engine = place->engine;
    atomic_fetch_add_explicit(&engine->references, 1, memory_order_relaxed);
    pthread_mutex_unlock(&place->lock);
    *session = engine->session;
    return engine;
}

void norn_engine_leave(norn_engine *engine) {
    if (!engine || atomic_fetch_sub_explicit(&engine->references, 1, memory_order_acq_rel) != 1)
        return;
    norn_session_destroy(engine->session);
    norn_free(engine->alloc, engine);
}
