/// What a version's batches run on: a session, replaced when the dense weights change. A batch ends on
/// the one that it began with.
///
/// Memory   counted; the last release takes the session apart.
#ifndef NORN_SERVE_MODEL_ENGINE_H
#define NORN_SERVE_MODEL_ENGINE_H

#include "norn/session.h"

#include <pthread.h>

typedef struct norn_engine norn_engine;

/// The one that is used now.
typedef struct norn_engine_place {
    pthread_mutex_t lock;
    norn_engine *engine; ///< NULL: none yet
} norn_engine_place;

void norn_engine_place_init(norn_engine_place *place);
void norn_engine_place_deinit(norn_engine_place *place);

/// Takes over `session`, also where it fails.
norn_status norn_engine_create(norn_session *session, norn_alloc alloc,
                               norn_engine **out) NORN_NODISCARD;
/// `engine` (taken over) for those who enter from now on.
void norn_engine_put(norn_engine_place *place, norn_engine *engine);
/// The engine of now, retained, and its session.
norn_engine *norn_engine_enter(norn_engine_place *place, norn_session **session);
void norn_engine_leave(norn_engine *engine); ///< takes NULL

#endif
