/// Servers that answer what they like: nothing they say ends the process, hangs it, or makes a row.
#include "base/clock.h"
#include "base/hash.h"
#include "testing/redis_servers.h"
#include "testing/tier_fixture.h"

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CLIENTS_MAX = 64, ROUNDS = 12 };

typedef struct hostile {
    int listening;
    uint16_t port;
    pthread_t thread;
    atomic_bool stop;
    void (*answer)(struct hostile *h, int file, const char *bytes, size_t count);
    norn_random random;
    bool map; ///< CLUSTER SLOTS is answered as it should be
} hostile;

static void say(int file, const char *bytes, size_t count) {
    (void)send(file, bytes, count, MSG_NOSIGNAL | MSG_DONTWAIT);
}
static void say_text(int file, const char *text) {
    say(file, text, strlen(text));
}

static uint64_t pick(hostile *h, uint64_t count) {
    return norn_random_u64(&h->random) % count;
}

// ---- what they answer

static void with_noise(hostile *h, int file, const char *bytes, size_t count) {
    char noise[512];
    (void)bytes;
    (void)count;
    for (size_t i = 0; i < sizeof noise; i++) noise[i] = (char)norn_random_u64(&h->random);
    if (pick(h, 2)) noise[0] = "*$+-:"[pick(h, 5)];
    say(file, noise, 1 + pick(h, sizeof noise - 1));
}

/// What looks like answers, one or several for each that is asked for.
static void with_anything(hostile *h, int file, const char *bytes, size_t count) {
    static const char *const answers[] = {
        "$-1\r\n",
        "*-1\r\n",
        "*0\r\n",
        ":7\r\n",
        "+OK\r\n",
        "+QUEUED\r\n",
        "$0\r\n\r\n",
        "$8\r\n12345678\r\n",
        "$24\r\n123456781234567812345678\r\n",
        "-ERR no\r\n",
        "-TRYAGAIN\r\n",
        "-MOVED 0 127.0.0.1:1\r\n",
        "-MOVED 99999 x\r\n",
        "-ASK 5 127.0.0.1:1\r\n",
        "-OOM\r\n",
        "-LOADING\r\n",
        "-WRONGTYPE\r\n",
        "*2\r\n$1\r\n0\r\n*1\r\n$3\r\nabc\r\n",
        "*5\r\n$5\r\nready\r\n$2\r\n16\r\n$1\r\n1\r\n$1\r\nx\r\n$3\r\n\n\1\n\r\n",
        "*5\r\n$5\r\nready\r\n$1\r\n1\r\n$0\r\n\r\n$1\r\nx\r\n$0\r\n\r\n",
        "*2\r\n$1\r\n1\r\n$20\r\n18446744073709551615\r\n",
        "*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n",
        "$4\r\n\x08\x01\x78\x03\r\n",
        "*1\r\n-ERR inside\r\n",
        "-MOVED 1 :%u\r\n",
        "-ASK 1 :%u\r\n"};
    char text[128];
    for (const char *at = bytes; (at = memchr(at, '*', (size_t)(bytes + count - at))); at++) {
        if (at > bytes && at[-1] != '\n') continue;
        const char *said = answers[pick(h, sizeof answers / sizeof *answers)];
        if (strchr(said, '%')) {
            snprintf(text, sizeof text, said[1] == 'M' ? "-MOVED 1 :%u\r\n" : "-ASK 1 :%u\r\n",
                     h->port);
            said = text;
        }
        say_text(file, said);
        if (pick(h, 50) == 0) say_text(file, said);
    }
}

static void with_one_that_never_ends(hostile *h, int file, const char *bytes, size_t count) {
    static char much[1 << 16];
    (void)bytes;
    (void)count;
    memset(much, 'x', sizeof much);
    say_text(file, pick(h, 2) ? "$2000000000\r\n" : "*1\r\n$1999999999\r\n");
    for (int i = 0; i < 400; i++) {
        struct pollfd ready = {file, POLLOUT, 0};
        if (poll(&ready, 1, 50) <= 0) return;
        if (send(file, much, sizeof much, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) return;
    }
}

static void with_depth(hostile *h, int file, const char *bytes, size_t count) {
    (void)bytes;
    (void)count;
    for (int i = 0; i < 64; i++) say_text(file, pick(h, 2) ? "*1\r\n" : "*500000\r\n");
}

static void with_silence(hostile *h, int file, const char *bytes, size_t count) {
    (void)h;
    (void)file;
    (void)bytes;
    (void)count;
}

static void with_an_end(hostile *h, int file, const char *bytes, size_t count) {
    (void)bytes;
    (void)count;
    if (pick(h, 2)) say_text(file, "*3\r\n$3\r\nab");
    (void)shutdown(file, SHUT_RDWR);
}

// ---- the server

static void answer(hostile *h, int file, const char *bytes, size_t count) {
    char map[128];
    if (h->map && count > 20 && memmem(bytes, count, "SLOTS", 5)) {
        snprintf(map, sizeof map, "*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$9\r\n127.0.0.1\r\n:%u\r\n",
                 h->port);
        say_text(file, map);
        return;
    }
    h->answer(h, file, bytes, count);
}

static void *serve(void *argument) {
    hostile *h = argument;
    struct pollfd polled[CLIENTS_MAX] = {{h->listening, POLLIN, 0}};
    static char bytes[1 << 16];
    nfds_t count = 1;
    while (!atomic_load(&h->stop)) {
        if (poll(polled, count, 20) <= 0) continue;
        for (nfds_t i = count; i-- > 1;) {
            if (!polled[i].revents) continue;
            const ssize_t got = recv(polled[i].fd, bytes, sizeof bytes, MSG_DONTWAIT);
            if (got > 0) {
                answer(h, polled[i].fd, bytes, (size_t)got);
                continue;
            }
            close(polled[i].fd);
            polled[i] = polled[--count];
        }
        if (polled[0].revents && count < CLIENTS_MAX)
            polled[count++] = (struct pollfd){accept(h->listening, NULL, NULL), POLLIN, 0};
    }
    for (nfds_t i = 0; i < count; i++) close(polled[i].fd);
    return NULL;
}

static void start(hostile *h) {
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof address;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    h->listening = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(h->listening, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(h->listening, 64), 0);
    assert_int_equal(getsockname(h->listening, (struct sockaddr *)&address, &size), 0);
    h->port = ntohs(address.sin_port);
    assert_int_equal(pthread_create(&h->thread, NULL, serve, h), 0);
}

static void stop(hostile *h) {
    atomic_store(&h->stop, true);
    pthread_join(h->thread, NULL);
}

// ---- those who ask it

static void use_version(norn_tier *tier, norn_version *version) {
    float rows[64];
    norn_pin pin;
    const norn_row_key key = {4, 0};
    uint64_t at = 0, step;
    uint8_t state;
    if (version->table_count == 0 || version->tables[0].row_bytes > (int64_t)sizeof rows) return;
    if (tier->ops->pin(tier, version, &pin) != NORN_OK) return;
    norn_fetch fetch = {.pin = &pin,
                        .keys = &key,
                        .count = 1,
                        .rows = (char *)rows,
                        .row_at = &at,
                        .step = &step,
                        .state = &state,
                        .deadline_ns = norn_clock_now_ns() + 20000000};
    (void)!norn_tier_fetch_and_wait(tier, &fetch);
    (void)!norn_tier_commit(tier, version, 1);
    (void)tier->ops->cut(tier, version);
    tier->ops->unpin(tier, &pin);
    tier->ops->drop(tier, version);
}

/// *opened: how often a tier opened.
static void ask(hostile *h, int rounds, int *opened) {
    char nodes[32];
    *opened = 0;
    start(h);
    snprintf(nodes, sizeof nodes, "127.0.0.1:%u", h->port);
    const norn_redis_options options = {.nodes = nodes,
                                        .partitions = 4,
                                        .connect_timeout_ms = 50,
                                        .command_timeout_ms = 50,
                                        .fetch_patience_ms = 120,
                                        .write_patience_ms = 120};
    for (int i = 0; i < rounds; i++) {
        norn_tier *tier;
        norn_version *version;
        uint64_t step;
        const int64_t begin_ns = norn_clock_now_ns();
        if (norn_redis_tier_open(&options, norn_alloc_heap(), &tier) == NORN_OK) {
            ++*opened;
            if (tier->ops->found(tier, 0, &version, &step) == NORN_OK) use_version(tier, version);
            if (tier->ops->load(tier, 5, norn_tier_version_dir(1), &version) == NORN_OK)
                use_version(tier, version);
            norn_tier_close(tier);
        } else {
            assert_null(tier);
            assert_non_null(strstr(norn_message(), nodes));
        }
        assert_in_range(norn_clock_now_ns() - begin_ns, 0, INT64_C(30000000000));
    }
    stop(h);
}

#define NEVER_OPENS(how)                             \
    do {                                             \
        int opened;                                  \
        for (int map = 0; map < 2; map++) {          \
            hostile h = {.answer = how, .map = map}; \
            norn_random_init(&h.random, 3);          \
            ask(&h, 4, &opened);                     \
            assert_int_equal(opened, 0);             \
        }                                            \
    } while (0)

static void answers_without_an_end_are_given_up(void **state) {
    (void)state;
    NEVER_OPENS(with_one_that_never_ends);
}
static void answers_without_a_bottom_are_given_up(void **state) {
    (void)state;
    NEVER_OPENS(with_depth);
}
static void servers_that_say_nothing_are_given_up(void **state) {
    (void)state;
    NEVER_OPENS(with_silence);
}
static void servers_that_hang_up_are_given_up(void **state) {
    (void)state;
    NEVER_OPENS(with_an_end);
}
static void noise_is_no_answer(void **state) {
    int opened;
    (void)state;
    for (int map = 0; map < 2; map++) {
        hostile h = {.answer = with_noise, .map = map};
        norn_random_init(&h.random, 4);
        ask(&h, ROUNDS, &opened);
    }
}
static void answers_to_something_else_are_looked_through(void **state) {
    int opened, sum = 0;
    (void)state;
    for (uint64_t seed = 0; seed < 6; seed++) {
        hostile h = {.answer = with_anything, .map = true};
        norn_random_init(&h.random, seed);
        ask(&h, ROUNDS, &opened);
        sum += opened;
    }
    assert_true(sum > 0); // else nothing behind an open was tried
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_without_an_end_are_given_up),
        cmocka_unit_test(answers_without_a_bottom_are_given_up),
        cmocka_unit_test(servers_that_say_nothing_are_given_up),
        cmocka_unit_test(servers_that_hang_up_are_given_up),
        cmocka_unit_test(noise_is_no_answer),
        cmocka_unit_test(answers_to_something_else_are_looked_through),
    };
    if (!redis_is_there()) return 0;
    return cmocka_run_group_tests(tests, norn_tier_make_folder, norn_tier_remove_folder);
}
