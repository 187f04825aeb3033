/// The gather step: rows of tables that are not in memory are fetched before the lookups that read
/// them, so that no kernel waits. When a frame begins to run, keys that are known then (inputs and
/// constants) are collected over all its lookups, each once, and fetched; steps before the lookups
/// run meanwhile. A lookup whose keys are computed is gathered when its turn comes. A kernel then
/// sees what came as a table in host memory.
///
/// Rows that do not come follow their table's rule (store/elsewhere.h); those that get the default
/// row instead are counted. A fetch that was given up goes on into its own memory, and holds its
/// snapshot; until it ends its tables fetch no more, and their rows count as late.
///
/// Threads  one at a time: an instance's. A tier's thread only says that a fetch is done.
#ifndef NORN_RUNTIME_GATHER_H
#define NORN_RUNTIME_GATHER_H

#include "runtime/frame.h"
#include "runtime/table_set.h"

typedef struct norn_gather norn_gather;

norn_status norn_gather_create(norn_run_room *room, norn_gather **out) NORN_NODISCARD;
/// Waits for fetches that were given up; takes NULL.
void norn_gather_destroy(norn_gather *gather);

/// The tables of the next run, some of them elsewhere. room->at[NORN_HOST].tables becomes what lookups read.
norn_status norn_gather_use(norn_gather *gather, const norn_table_set *tables) NORN_NODISCARD;
/// `frame` begins to run: fetch what its lookups will need, as far as it is known.
norn_status norn_gather_begin(norn_gather *gather, norn_frame *frame) NORN_NODISCARD;
/// Step `index` is about to run. Returns when the rows that it looks up are there, or late.
/// Errors   of a tier, for tables that wait: names table and tier; RESOURCE_EXHAUSTED
norn_status norn_gather_before(norn_gather *gather, norn_frame *frame,
                               uint32_t index) NORN_NODISCARD;

#endif
