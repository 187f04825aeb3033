#include "testing/redis_servers.h"
#include "base/clock.h"
#include "base/cmocka_all.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SLOTS = 16384 };

bool redis_is_there(void) {
    norn_tier *tier;
    const norn_redis_options options = {.nodes = "nowhere"};
    const norn_status status = norn_redis_tier_open(&options, norn_alloc_heap(), &tier);
    assert_null(tier);
    if (status == NORN_UNIMPLEMENTED) {
        assert_non_null(strstr(norn_message(), "libhiredis-dev"));
        puts("skipped: built without hiredis");
        return false;
    }
    if (system("command -v redis-server >/dev/null 2>&1") == 0) return true;
    puts("skipped: redis-server is not installed");
    return false;
}

// ---- talking

static struct sockaddr_in address_of(uint16_t port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

static uint16_t free_port(void) {
    struct sockaddr_in address = address_of(0);
    socklen_t size = sizeof address;
    const int file = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(file, (struct sockaddr *)&address, size), 0);
    assert_int_equal(getsockname(file, (struct sockaddr *)&address, &size), 0);
    close(file);
    return ntohs(address.sin_port);
}

/// Until the server is silent for a moment after its first bytes: answers here are short.
static const char *talk(const redis_server *server, const char *command) {
    static char answer[REDIS_ANSWER_BYTES];
    const struct sockaddr_in address = address_of(server->port);
    struct timeval wait = {.tv_sec = 2};
    size_t count = 0;
    const int file = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(file, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    if (connect(file, (const struct sockaddr *)&address, sizeof address) == 0 &&
        send(file, command, strlen(command), MSG_NOSIGNAL) > 0 &&
        send(file, "QUIT\r\n", 6, MSG_NOSIGNAL) > 0) {
        ssize_t got = 1;
        while (got > 0 && count + 1 < sizeof answer) {
            got = recv(file, answer + count, sizeof answer - 1 - count, 0);
            if (got > 0) count += (size_t)got;
        }
    }
    close(file);
    answer[count] = '\0';
    return answer;
}

const char *redis_say(const redis_server *server, const char *format, ...) {
    char command[2048];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(command, sizeof command - 2, format, arguments);
    va_end(arguments);
    strcat(command, "\r\n");
    return talk(server, command);
}

void redis_await(const redis_server *server, const char *wanted, const char *format, ...) {
    char command[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(command, sizeof command, format, arguments);
    va_end(arguments);
    const int64_t until_ns = norn_clock_now_ns() + INT64_C(20000000000);
    while (!strstr(redis_say(server, "%s", command), wanted)) {
        if (norn_clock_now_ns() > until_ns)
            fail_msg("%s: no '%s' in: %s", command, wanted, redis_say(server, "%s", command));
        usleep(10000);
    }
}

// ---- processes

void redis_signal(const redis_server *server, int signal) {
    assert_int_equal(kill(server->pid, signal), 0);
}

void redis_kill(redis_server *server) {
    char command[96];
    if (server->pid) {
        kill(server->pid, SIGKILL);
        waitpid(server->pid, NULL, 0);
    }
    server->pid = 0;
    snprintf(command, sizeof command, "rm -rf %s", server->dir);
    assert_int_equal(system(command), 0);
}

static void start(redis_server *server, bool cluster, bool compact) {
    char port[8], bus[8];
    strcpy(server->dir, "/tmp/norn-redis-XXXXXX");
    assert_non_null(mkdtemp(server->dir));
    server->port = free_port();
    do server->bus = free_port();
    while (server->bus == server->port);
    snprintf(port, sizeof port, "%u", server->port);
    snprintf(bus, sizeof bus, "%u", server->bus);
    const pid_t parent = getpid();
    server->pid = fork();
    assert_true(server->pid >= 0);
    if (server->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent) _exit(1);
        const char *plain[] = {
            "redis-server", "--port", port, "--dir", server->dir, "--save", "", "--bind",
            "127.0.0.1", "--logfile", "log", "--daemonize", "no", "--hash-max-listpack-value",
            compact ? "4096" : "64",
            // of a cluster alone:
            "--cluster-enabled", "yes", "--cluster-port", bus, "--cluster-node-timeout", "1000",
            "--cluster-replica-validity-factor", "0", "--cluster-allow-replica-migration", "no",
            "--cluster-require-full-coverage", "no", "--repl-diskless-sync-delay", "0", NULL};
        if (!cluster) plain[15] = NULL;
        execvp("redis-server", (char *const *)(uintptr_t)plain);
        _exit(127);
    }
    redis_await(server, "PONG", "PING");
}

static void add_node(redis_servers *servers, const redis_server *server) {
    const size_t at = strlen(servers->nodes);
    snprintf(servers->nodes + at, sizeof servers->nodes - at, "%s127.0.0.1:%u", at ? "," : "",
             server->port);
}

void redis_start_plain(redis_servers *out, bool compact) {
    *out = (redis_servers){.count = 1, .masters = 1};
    start(&out->at[0], false, compact);
    add_node(out, &out->at[0]);
}

static void node_id(const redis_server *server, char *out) {
    const char *answer = redis_say(server, "CLUSTER MYID");
    const char *line = strstr(answer, "\r\n");
    assert_non_null(line);
    snprintf(out, 41, "%.40s", line + 2);
}

void redis_start_cluster(redis_servers *out, int masters, int replicas) {
    char id[64], known[32];
    *out = (redis_servers){.count = masters * (1 + replicas), .masters = masters};
    for (int i = 0; i < out->count; i++) start(&out->at[i], true, true);
    for (int i = 0; i < out->count; i++) {
        redis_say(&out->at[i], "CLUSTER SET-CONFIG-EPOCH %d", i + 1);
        if (i < masters)
            redis_say(&out->at[i], "CLUSTER ADDSLOTSRANGE %d %d", i * SLOTS / masters,
                      (i + 1) * SLOTS / masters - 1);
        if (i > 0)
            redis_say(&out->at[0], "CLUSTER MEET 127.0.0.1 %u %u", out->at[i].port, out->at[i].bus);
        add_node(out, &out->at[i]);
    }
    snprintf(known, sizeof known, "cluster_known_nodes:%d", out->count);
    for (int i = 0; i < out->count; i++) redis_await(&out->at[i], known, "CLUSTER INFO");
    for (int i = masters; i < out->count; i++) {
        node_id(&out->at[(i - masters) % masters], id);
        redis_await(&out->at[i], "+OK", "CLUSTER REPLICATE %s", id);
    }
    for (int i = 0; i < out->count; i++) {
        redis_await(&out->at[i], "cluster_state:ok", "CLUSTER INFO");
        if (i >= masters) redis_await(&out->at[i], "master_link_status:up", "INFO replication");
    }
}

void redis_stop_all(redis_servers *servers) {
    for (int i = 0; i < servers->count; i++) redis_kill(&servers->at[i]);
}

// ---- slots

void redis_move_slot(const redis_servers *servers, int slot, int from, int to, bool half) {
    const redis_server *source = &servers->at[from], *target = &servers->at[to];
    char source_id[41], target_id[41], keys[REDIS_ANSWER_BYTES], command[512];
    node_id(source, source_id);
    node_id(target, target_id);
    redis_say(target, "CLUSTER SETSLOT %d IMPORTING %s", slot, source_id);
    redis_say(source, "CLUSTER SETSLOT %d MIGRATING %s", slot, target_id);
    for (bool more = true; more;) {
        int moved = 0;
        strcpy(keys, redis_say(source, "CLUSTER GETKEYSINSLOT %d 40", slot));
        for (char *line = strtok(keys, "\r\n"); line; line = strtok(NULL, "\r\n")) {
            if (!strchr(line, '{') || (half && ++moved % 2)) continue;
            snprintf(command, sizeof command, "MIGRATE 127.0.0.1 %u %s 0 5000", target->port, line);
            redis_await(source, "+", "%s", command);
            moved += !half;
        }
        more = !half && moved > 0;
    }
    if (half) return;
    redis_await(target, "+OK", "CLUSTER SETSLOT %d NODE %s", slot, target_id);
    redis_await(source, "+OK", "CLUSTER SETSLOT %d NODE %s", slot, target_id);
}
