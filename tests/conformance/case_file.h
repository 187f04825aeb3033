/// Files of many small cases, as tests/peers/broken_cases.py writes them: models, what goes in, and what comes out where
/// that is known. What is damaged ends the program.
#ifndef NORN_CONFORMANCE_CASE_FILE_H
#define NORN_CONFORMANCE_CASE_FILE_H

#include "base/arena.h"
#include "base/span.h"
#include "norn/session.h"

#include <stdbool.h>
#include <stdio.h>

enum { CASE_PORTS_MAX = 64 };

typedef struct case_entry {
    char name[256];
    norn_arena arena; ///< of the parts, and of what is read from them
    norn_span model, inputs[CASE_PORTS_MAX], outputs[CASE_PORTS_MAX];
    uint32_t input_count, output_count; ///< no outputs: they are not known
} case_entry;

/// Every case of `file` whose name holds `filter` (NULL: all); then closes it. What a case holds ends
/// with the call.
typedef void (*case_fn)(void *context, case_entry *entry);
void case_each(FILE *file, const char *filter, case_fn fn, void *context);
/// Of near's cases those that do for what takes long: every pattern as it is, and a tenth of the random graphs.
bool case_is_sample(const char *name);
/// A temporary folder for models and plans, and its end.
#define CASE_FOLDER "/tmp/norn_cases_XXXXXX"
void case_folder_make(char *folder);
void case_folder_remove(const char *folder);
/// The model as a file in `folder`; gives its path, good until the next.
const char *case_write_model(const case_entry *entry, const char *folder);
/// Run a plan of the case once, in a session of so many threads that takes its memory from `alloc`. Both are the caller's to end with case_end, also when it
/// fails; they may be NULL then.
norn_status case_run(const case_entry *entry, norn_plan *plan, norn_arena *arena, int32_t threads,
                     norn_alloc alloc, norn_session **session,
                     norn_instance **instance) NORN_NODISCARD;
void case_end(norn_session *session, norn_instance *instance);

#endif
