/// A load of one model: which of its versions are to be served, and what comes of them.
#ifndef NORN_SERVE_REPOSITORY_MODEL_LOAD_H
#define NORN_SERVE_REPOSITORY_MODEL_LOAD_H

#include "serve/repository/model_entry.h"

/// Brings `entry`, a copy of how the model stands, to what the folder and its labels say:
///   the first choice   what "stable" names, else the newest; made anew where it is it already, and
///                      where it cannot be loaded and nothing serves, an older one in its place
///   other labels       the versions that they name
/// A version that serves under another name already moves as it is. One that cannot be loaded
/// leaves what serves as it was; labels that cannot be read leave everything so.
void norn_model_load(const norn_load_request *request, norn_model_entry *entry,
                     norn_load_outcome *outcome);

#endif
