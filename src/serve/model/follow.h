/// A model version that follows its delta log: rows that a trainer publishes are seen by the requests
/// after the next snapshot, a step at a time. With `norn serve --follow`.
#ifndef NORN_SERVE_MODEL_FOLLOW_H
#define NORN_SERVE_MODEL_FOLLOW_H

#include "serve/model/model_version.h"

/// Catch up with the log that norn.json names, else `log` in the model's folder, and follow it from now
/// on. `dir`: the version's folder. Nothing is done where the version has no tables.
norn_status norn_model_version_follow(norn_model_version *version, const char *dir) NORN_NODISCARD;

#endif
