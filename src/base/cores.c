#include "base/cgroup.h"
#include "base/thread.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int32_t cores_of_affinity(void) {
    // Machines with more than CPU_SETSIZE cores need a larger set: double it until it fits.
    for (int cores = CPU_SETSIZE; cores <= 1 << 16; cores *= 2) {
        cpu_set_t *set = CPU_ALLOC((size_t)cores);
        if (!set) break;
        size_t bytes = CPU_ALLOC_SIZE((size_t)cores);
        int count = sched_getaffinity(0, bytes, set) == 0 ? CPU_COUNT_S(bytes, set) : 0;
        CPU_FREE(set);
        if (count > 0) return count;
    }
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 ? (int32_t)online : 1;
}

/// Whole cores that `folder`/cpu.max ("QUOTA PERIOD" or "max PERIOD") leaves.
static uint64_t cores_of_quota(const char *folder, uint64_t most) {
    char path[4200], quota[32];
    long long period;
    snprintf(path, sizeof path, "/sys/fs/cgroup%s/cpu.max", folder);
    FILE *file = fopen(path, "re");
    if (!file) return most;
    int fields = fscanf(file, "%31s %lld", quota, &period);
    fclose(file);
    if (fields != 2 || period <= 0 || strcmp(quota, "max") == 0) return most;
    // Down: a thread beyond the quota would spin in time that the others need.
    long long cores = strtoll(quota, NULL, 10) / period;
    if (cores < 1) cores = 1;
    return (uint64_t)cores < most ? (uint64_t)cores : most;
}

int32_t norn_core_count(void) {
    return (int32_t)norn_cgroup_tightest(cores_of_quota, (uint64_t)cores_of_affinity());
}
