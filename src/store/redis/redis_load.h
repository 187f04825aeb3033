/// A folder's tables as a version on servers: one table at a time, partition by partition.
#ifndef NORN_STORE_REDIS_LOAD_H
#define NORN_STORE_REDIS_LOAD_H

#include "store/redis/redis_version.h"

/// Each partition says how many tables it has been loaded with, so a load that ended in the middle goes
/// on where it stopped, and one that lost a master does again what went with it. Files are looked at
/// first: those that cannot be loaded change nothing.
/// Errors   ALREADY_EXISTS; NOT_FOUND: no such folder; FAILED_PRECONDITION: it is being dropped, or a
///          load of other files was not finished; those of norn_table_open, of servers
norn_status norn_redis_load(norn_redis_home *home, uint64_t number, const char *dir,
                            norn_redis_version **out) NORN_NODISCARD;

#endif
