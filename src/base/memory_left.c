#include "base/cgroup.h"
#include "base/memory.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/// The number after `key` at the begin of a line of `path`; `key` "" takes the first number.
static bool number_in(const char *path, const char *key, uint64_t *out) {
    char line[256];
    bool found = false;
    FILE *file = fopen(path, "re");
    while (file && !found && fgets(line, sizeof line, file)) {
        const size_t skip = strlen(key);
        char *end;
        if (strncmp(line, key, skip) != 0) continue;
        *out = strtoull(line + skip, &end, 10); // "max" is no number: no limit
        found = end != line + skip;
    }
    if (file) fclose(file);
    return found;
}

/// What a control group's memory.max (cgroup v2) leaves; the pages of files can be taken back.
static uint64_t left_of_group(const char *folder, uint64_t most) {
    char path[4200];
    uint64_t limit, used, files = 0, shared = 0;
    snprintf(path, sizeof path, "/sys/fs/cgroup%s/memory.max", folder);
    if (!number_in(path, "", &limit)) return most;
    snprintf(path, sizeof path, "/sys/fs/cgroup%s/memory.current", folder);
    if (!number_in(path, "", &used)) return most;
    snprintf(path, sizeof path, "/sys/fs/cgroup%s/memory.stat", folder);
    (void)number_in(path, "file ", &files);
    (void)number_in(path, "shmem ", &shared); // tmpfs: counted among the files, never taken back
    files -= shared < files ? shared : files;
    used -= files < used ? files : used;
    const uint64_t left = limit > used ? limit - used : 0;
    return left < most ? left : most;
}

uint64_t norn_memory_left_bytes(void) {
    uint64_t left = UINT64_MAX, available;
    if (number_in("/proc/meminfo", "MemAvailable:", &available)) left = available * 1024;
    return norn_cgroup_tightest(left_of_group, left);
}
