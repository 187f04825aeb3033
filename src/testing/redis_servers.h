/// Real redis-server processes on free ports of this machine, for tests and benchmarks; they end with
/// the process that started them. What goes wrong while starting them ends the test.
#ifndef NORN_TESTING_REDIS_SERVERS_H
#define NORN_TESTING_REDIS_SERVERS_H

#include "store/redis/redis_tier.h"

#include <sys/types.h>

enum { REDIS_SERVERS_MAX = 8, REDIS_ANSWER_BYTES = 1 << 14 };

typedef struct redis_server {
    pid_t pid; ///< 0: it was killed
    uint16_t port, bus;
    char dir[64];
} redis_server;

typedef struct redis_servers {
    redis_server at[REDIS_SERVERS_MAX]; ///< masters first; replica i is of master i - masters
    int count, masters;
    char nodes[REDIS_SERVERS_MAX * 24]; ///< for norn_redis_options
} redis_servers;

/// False, and it says why: no hiredis in this build, or no redis-server.
bool redis_is_there(void);

/// One server without a cluster. compact: hashes of rows stay compact there.
void redis_start_plain(redis_servers *out, bool compact);
/// Each master has the same share of the slots, and `replicas` that follow it.
void redis_start_cluster(redis_servers *out, int masters, int replicas);
void redis_stop_all(redis_servers *servers);

void redis_signal(const redis_server *server, int signal);
void redis_kill(redis_server *server);
/// An inline command and the first bytes of its answer, as they came; "" where nothing came. Borrowed
/// until the next call.
const char *redis_say(const redis_server *server, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/// Asks until the answer has `wanted` in it, for at most 20 s.
void redis_await(const redis_server *server, const char *wanted, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/// Moves the slot while it is in use, key by key; or begins to (half), and leaves every other key.
void redis_move_slot(const redis_servers *servers, int slot, int from, int to, bool half);

#endif
