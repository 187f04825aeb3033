/// The server inside another program: several at once, none of the program's signals taken.
#include "norn/server.h"

#include "base/log.h"
#include "testing/memory_sweep.h"
#include "testing/package_build.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static norn_server *create(const char *repository) {
    norn_server_options options = NORN_SERVER_OPTIONS;
    norn_server *server;
    options.repository = build_path("%s", repository);
    options.host = "127.0.0.1";
    options.io_threads = 1;
    options.models.threads = 1;
    if (norn_server_create(&options, norn_alloc_heap(), &server) != NORN_OK)
        fail_msg("%s", norn_message());
    return server;
}

static int dial(int32_t port) {
    const struct sockaddr_in address = {.sin_family = AF_INET,
                                        .sin_port = htons((uint16_t)port),
                                        .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    if (connect(fd, (const struct sockaddr *)&address, sizeof address) == 0) return fd;
    (void)close(fd);
    return -1;
}

/// The whole answer to one request; NULL: nobody is there.
static const char *ask(int32_t port, const char *head, const char *body) {
    static char text[8192];
    size_t used = 0;
    const int fd = dial(port);
    if (fd < 0) return NULL;
    const int count = snprintf(text, sizeof text,
                               "%s HTTP/1.1\r\nHost: h\r\nConnection: close\r\n"
                               "Content-Length: %zu\r\n\r\n%s",
                               head, strlen(body), body);
    assert_int_equal(write(fd, text, (size_t)count), count);
    for (ssize_t got; (got = read(fd, text + used, sizeof text - 1 - used)) > 0;)
        used += (size_t)got;
    text[used] = 0;
    (void)close(fd);
    return text;
}

static bool is_ready(int32_t port) {
    const char *answer = ask(port, "GET /v2/health/ready", "");
    return answer && strncmp(answer, "HTTP/1.1 200", 12) == 0;
}

static void wait_until_ready(int32_t port) {
    const struct timespec moment = {.tv_nsec = 10000000};
    for (int i = 0; i < 3000 && !is_ready(port); i++) (void)nanosleep(&moment, NULL);
    assert_true(is_ready(port));
}

static void expect_scaled(int32_t port, const char *wanted) {
    const char *answer = ask(port, "POST /v2/models/m/infer",
                             "{\"inputs\":[{\"name\":\"x\",\"datatype\":\"FP32\",\"shape\":[1,2],"
                             "\"data\":[1,2]}]}");
    if (!answer || !strstr(answer, wanted)) fail_msg("%s", answer ? answer : "nobody is there");
}

static void two_servers_in_a_process_answer_each_for_itself(void **state) {
    int32_t one_port, other_port;
    (void)state;
    build_scale(build_path("one/m/1/model.onnx"), 3);
    build_scale(build_path("other/m/1/model.onnx"), 5);
    norn_server *one = create("one"), *other = create("other");
    assert_int_equal(norn_server_start(one), NORN_OK);
    assert_int_equal(norn_server_start(other), NORN_OK);
    norn_server_ports(one, &one_port, NULL, NULL);
    norn_server_ports(other, &other_port, NULL, NULL);
    assert_int_not_equal(one_port, other_port);
    wait_until_ready(one_port);
    wait_until_ready(other_port);
    expect_scaled(one_port, "\"data\":[3.0,6.0]");
    expect_scaled(other_port, "\"data\":[5.0,10.0]");
    norn_server_retire(one);
    assert_false(is_ready(one_port));
    assert_true(is_ready(other_port));
    expect_scaled(one_port, "\"data\":[3.0,6.0]"); // not ready, and still served
    assert_int_equal(norn_server_drain(one, 1000), 0);
    assert_null(ask(one_port, "GET /v2/health/live", "")); // nobody listens any more
    norn_server_destroy(one);
    expect_scaled(other_port, "\"data\":[5.0,10.0]");
    assert_int_equal(norn_server_drain(other, 1000), 0);
    norn_server_destroy(other);
}

static volatile sig_atomic_t seen;
static pthread_t on_thread;

static void on_signal(int number) {
    (void)number;
    on_thread = pthread_self();
    seen = 1;
}

/// A signal to the process finds the program's own thread, the only one that does not block it.
static void signals_stay_the_programs(void **state) {
    struct sigaction before, action = {.sa_handler = on_signal};
    sigset_t mask, after;
    (void)state;
    assert_int_equal(sigaction(SIGTERM, &action, &before), 0);
    (void)pthread_sigmask(SIG_SETMASK, NULL, &mask);
    build_scale(build_path("signal/m/1/model.onnx"), 3);
    norn_server *server = create("signal");
    assert_int_equal(norn_server_start(server), NORN_OK);
    (void)pthread_sigmask(SIG_SETMASK, NULL, &after);
    for (int number = 1; number < 32; number++)
        assert_int_equal(sigismember(&after, number), sigismember(&mask, number));
    seen = 0;
    assert_int_equal(kill(getpid(), SIGTERM), 0);
    for (int i = 0; i < 1000 && !seen; i++)
        (void)nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    assert_true(seen);
    assert_true(pthread_equal(on_thread, pthread_self()));
    assert_int_equal(norn_server_drain(server, 1000), 0);
    norn_server_destroy(server);
    (void)sigaction(SIGTERM, &before, NULL);
}

static void what_cannot_be_had_is_named_and_nothing_is_left(void **state) {
    norn_server_options options = NORN_SERVER_OPTIONS;
    static const char *const words[] = {"--http-port", "--grpc-port", "--metrics-port"};
    norn_server *server, *first;
    int32_t port[3];
    (void)state;
    options.repository = "/nowhere/at/all";
    assert_int_equal(norn_server_create(&options, norn_alloc_heap(), &server), NORN_NOT_FOUND);
    assert_null(server);
    assert_non_null(strstr(norn_message(), "/nowhere/at/all"));
    build_scale(build_path("taken/m/1/model.onnx"), 3);
    options.repository = build_path("taken");
    options.host = "127.0.0.1";
    options.metrics_port = 0;
    assert_int_equal(norn_server_create(&options, norn_alloc_heap(), &first), NORN_OK);
    assert_int_equal(norn_server_start(first), NORN_OK);
    norn_server_ports(first, &port[0], &port[1], &port[2]);
    for (int i = 0; i < 3; i++) { // of whichever listener
        options.http_port = i == 0 ? port[0] : 0;
        options.grpc_port = i == 1 ? port[1] : 0;
        options.metrics_port = i == 2 ? port[2] : 0;
        assert_int_equal(norn_server_create(&options, norn_alloc_heap(), &server),
                         NORN_UNAVAILABLE);
        assert_null(server);
        assert_non_null(strstr(norn_message(), words[i]));
    }
    assert_int_equal(norn_server_drain(first, 1000), 0);
    norn_server_destroy(first);
    norn_server_destroy(NULL);
}

/// A server that was never started, and one whose client reads nothing when it ends.
static void it_ends_at_any_stage(void **state) {
    int32_t http, grpc;
    (void)state;
    build_scale(build_path("early/m/1/model.onnx"), 3);
    norn_server_destroy(create("early"));
    norn_server *server = create("early");
    assert_int_equal(norn_server_start(server), NORN_OK);
    norn_server_ports(server, &http, &grpc, NULL);
    wait_until_ready(http);
    const int half = dial(http), preface = dial(grpc);
    assert_int_equal(write(half, "GET /v2 HT", 10), 10);
    assert_int_equal(write(preface, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24), 24);
    (void)close(preface);
    norn_server_destroy(server);
    (void)close(half);
}

static norn_status try_create(norn_alloc alloc, norn_server **out) {
    norn_server_options options = NORN_SERVER_OPTIONS;
    options.repository = build_path("nothing");
    options.host = "127.0.0.1";
    options.metrics_port = 0;
    options.io_threads = 2;
    return norn_server_create(&options, alloc, out);
}

static void without_memory_there_is_no_server_and_nothing_is_left(void **state) {
    norn_server *server;
    (void)state;
    build_text(build_path("nothing/readme"), "");
    NORN_MEMORY_SWEEP(try_create(alloc, &server), server, norn_server_destroy(server));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_servers_in_a_process_answer_each_for_itself),
        cmocka_unit_test(signals_stay_the_programs),
        cmocka_unit_test(what_cannot_be_had_is_named_and_nothing_is_left),
        cmocka_unit_test(it_ends_at_any_stage),
        cmocka_unit_test(without_memory_there_is_no_server_and_nothing_is_left),
    };
    norn_log_set_level(NORN_LOG_ERROR);
    return cmocka_run_group_tests(tests, build_set_up, build_tear_down);
}
