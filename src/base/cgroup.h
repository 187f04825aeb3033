/// Limits that control groups (v2) put on this process.
#ifndef NORN_BASE_CGROUP_H
#define NORN_BASE_CGROUP_H

#include <stdint.h>

/// What the group at `folder` (below /sys/fs/cgroup) leaves of `most`.
typedef uint64_t (*norn_cgroup_limit_fn)(const char *folder, uint64_t most);

/// The tightest limit of this process's group and of all that hold it.
uint64_t norn_cgroup_tightest(norn_cgroup_limit_fn limit, uint64_t most);

#endif
