#include "serve/io/listen.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

/// Can a client connect to `address` (IPv4 where it has dots) at `port`?
static bool connects(const char *address, int32_t port) {
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
    const bool dots = strchr(address, '.') != NULL;
    const int fd = socket(dots ? AF_INET : AF_INET6, SOCK_STREAM, 0);
    if (fd < 0) return false;
    assert_int_equal(inet_pton(dots ? AF_INET : AF_INET6, address,
                               dots ? (void *)&v4.sin_addr : (void *)&v6.sin6_addr),
                     1);
    const int result = dots ? connect(fd, (const struct sockaddr *)&v4, sizeof v4)
                            : connect(fd, (const struct sockaddr *)&v6, sizeof v6);
    (void)close(fd);
    return result == 0;
}

static bool has_ipv6(void) {
    evutil_socket_t fd;
    int32_t port = 0;
    if (norn_listen("::1", &port, &fd) != NORN_OK) return false; // a kernel or container without
    (void)close(fd);
    return true;
}

static void names_and_addresses_of_both_families_are_hosts(void **state) {
    static const struct {
        const char *host, *client;
        bool ipv6;
    } cases[] = {{"127.0.0.1", "127.0.0.1", false},
                 {"localhost", "127.0.0.1", false},
                 {"0.0.0.0", "127.0.0.1", false},
                 {"::1", "::1", true},
                 {"[::1]", "::1", true},
                 {"::", "::1", true},
                 {"::", "127.0.0.1", true}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        evutil_socket_t fd;
        int32_t port = 0;
        if (cases[i].ipv6 && !has_ipv6()) continue;
        if (norn_listen(cases[i].host, &port, &fd) != NORN_OK) fail_msg("%s", norn_message());
        assert_in_range(port, 1, 65535);
        assert_true(connects(cases[i].client, port));
        (void)close(fd);
    }
}

static void what_is_no_host_is_refused_by_name(void **state) {
    static const char *const hosts[] = {"", "256.1.1.1", "no such host", "[::1", ":::", "[]"};
    (void)state;
    for (size_t i = 0; i < sizeof hosts / sizeof hosts[0]; i++) {
        evutil_socket_t fd;
        int32_t port = 0;
        assert_int_equal(norn_listen(hosts[i], &port, &fd), NORN_INVALID_ARGUMENT);
        assert_non_null(strstr(norn_message(), hosts[i]));
        assert_int_equal(fd, -1);
    }
}

static void a_port_that_somebody_serves_is_in_use(void **state) {
    evutil_socket_t fd;
    int32_t port = 0;
    (void)state;
    assert_int_equal(norn_listen("127.0.0.1", &port, &fd), NORN_OK);
    assert_int_equal(norn_listen_probe("127.0.0.1", port, "--here"), NORN_UNAVAILABLE);
    assert_non_null(strstr(norn_message(), "--here"));
    (void)close(fd);
    assert_int_equal(norn_listen_probe("127.0.0.1", port, "--here"), NORN_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_and_addresses_of_both_families_are_hosts),
        cmocka_unit_test(what_is_no_host_is_refused_by_name),
        cmocka_unit_test(a_port_that_somebody_serves_is_in_use),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
