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

/// Whole cores that `folder`/cpu.max (cgroup v2: "QUOTA PERIOD" or "max PERIOD") leaves.
static int32_t cores_of_quota(const char *folder, int32_t most) {
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
    return cores < most ? (int32_t)cores : most;
}

int32_t norn_core_count(void) {
    int32_t cores = cores_of_affinity();
    char line[4096], folder[4096] = "";
    FILE *file = fopen("/proc/self/cgroup", "re");
    while (file && fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = '\0';
        if (strncmp(line, "0::", 3) == 0) memcpy(folder, line + 3, strlen(line + 3) + 1);
    }
    if (file) fclose(file);
    // The tightest of the group and all that hold it; "" is the root as this container sees it.
    for (;;) {
        cores = cores_of_quota(folder, cores);
        char *slash = strrchr(folder, '/');
        if (!slash) return cores;
        *slash = '\0';
    }
}
