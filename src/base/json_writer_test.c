/// Objects and arrays as JSON text, and what the writer asserts.
#include "base/cmocka_all.h"
#include "base/json.h"

#include <math.h>
#ifndef NDEBUG
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>
#endif

static norn_buffer buffer;

static void assert_written(const char *wanted) {
    assert_int_equal(norn_buffer_status(&buffer), NORN_OK);
    norn_buffer_append(&buffer, "", 1);
    assert_string_equal((const char *)buffer.bytes, wanted);
    norn_buffer_clear(&buffer);
}

static void a_writer_places_brackets_commas_and_colons(void **state) {
    (void)state;
    norn_json_writer json = {.buffer = &buffer};
    norn_json_begin_object(&json, NULL);
    norn_json_add_text(&json, "text", "a\"b");
    norn_json_add_text(&json, "none", NULL);
    norn_json_begin_array(&json, "list");
    norn_json_add_i64(&json, NULL, -3);
    norn_json_add_u64(&json, NULL, UINT64_MAX);
    norn_json_begin_object(&json, NULL);
    norn_json_end(&json);
    norn_json_begin_array(&json, NULL);
    norn_json_end(&json);
    norn_json_add_bool(&json, NULL, true);
    norn_json_end(&json);
    norn_json_add_bool(&json, "no", false);
    norn_json_begin_object(&json, "quo\"te");
    norn_json_add_fixed(&json, "third", -1.0 / 3, 3);
    norn_json_end(&json);
    norn_json_end(&json);
    assert_int_equal(json.depth, 0);
    assert_written(
        "{\"text\":\"a\\\"b\",\"none\":null,\"list\":[-3,18446744073709551615,{},[],true],"
        "\"no\":false,\"quo\\\"te\":{\"third\":-0.333}}");
    json = (norn_json_writer){.buffer = &buffer};
    norn_json_add_text(&json, NULL, "a document alone");
    assert_written("\"a document alone\"");
}

static void fixed_digits_are_as_many_as_asked_for(void **state) {
    (void)state;
    norn_json_writer json = {.buffer = &buffer};
    norn_json_begin_array(&json, NULL);
    norn_json_add_fixed(&json, NULL, 2.5, 0);
    norn_json_add_fixed(&json, NULL, 1e18, 0);
    norn_json_add_fixed(&json, NULL, 0.0625, 3);
    norn_json_add_fixed(&json, NULL, 7, 1);
    norn_json_add_fixed(&json, NULL, NAN, 1);
    norn_json_add_fixed(&json, NULL, -INFINITY, 0);
    norn_json_end(&json);
    assert_written("[2,1000000000000000000,0.062,7.0,null,null]");
    json = (norn_json_writer){.buffer = &buffer};
    norn_json_add_fixed(&json, NULL, -1.7976931348623157e308, 17);
    assert_int_equal(buffer.count, 1 + 309 + 1 + 17);
    norn_buffer_clear(&buffer);
}

static void a_writer_nests_to_64(void **state) {
    (void)state;
    char wanted[64 + 31 * 4 + 64 + 1] = "";
    norn_json_writer json = {.buffer = &buffer};
    for (int depth = 0; depth < 64; depth += 2) { // an array in an object in an array …
        norn_json_begin_array(&json, depth ? "k" : NULL);
        norn_json_begin_object(&json, NULL);
        strcat(wanted, depth ? "\"k\":[{" : "[{");
    }
    assert_int_equal(json.depth, 64);
    for (int depth = 0; depth < 64; depth += 2) {
        norn_json_end(&json);
        norn_json_end(&json);
        strcat(wanted, "}]");
    }
    assert_written(wanted);
}

// ---- misuse

#ifdef NDEBUG
static void misuse_of_a_writer_ends_a_debug_build(void **state) {
    (void)state;
    skip();
}
#else
static void a_key_in_an_array(norn_json_writer *json) {
    norn_json_begin_array(json, NULL);
    norn_json_add_i64(json, "k", 1);
}
static void no_key_in_an_object(norn_json_writer *json) {
    norn_json_begin_object(json, NULL);
    norn_json_add_i64(json, NULL, 1);
}
static void a_key_of_the_document(norn_json_writer *json) {
    norn_json_begin_array(json, "k");
}
static void two_documents(norn_json_writer *json) {
    norn_json_add_i64(json, NULL, 1);
    norn_json_add_i64(json, NULL, 2);
}
static void an_end_too_many(norn_json_writer *json) {
    norn_json_begin_array(json, NULL);
    norn_json_end(json);
    norn_json_end(json);
}
static void a_depth_of_65(norn_json_writer *json) {
    for (int i = 0; i < 65; i++) norn_json_begin_array(json, NULL);
}

static void misuse_of_a_writer_ends_a_debug_build(void **state) {
    (void)state;
    static void (*const misuses[])(norn_json_writer *) = {
        a_key_in_an_array, no_key_in_an_object, a_key_of_the_document,
        two_documents,     an_end_too_many,     a_depth_of_65};
    for (size_t i = 0; i < sizeof misuses / sizeof *misuses; i++) {
        int ended = 0;
        const pid_t child = fork();
        if (child == 0) {
            fclose(stderr); // what assert says
            signal(SIGABRT, SIG_DFL);
            misuses[i](&(norn_json_writer){.buffer = &buffer});
            _exit(0);
        }
        assert_int_equal(waitpid(child, &ended, 0), child);
        if (!WIFSIGNALED(ended) || WTERMSIG(ended) != SIGABRT)
            fail_msg("misuse %zu went unnoticed", i);
    }
}
#endif

static int begin(void **state) {
    (void)state;
    norn_buffer_init(&buffer, norn_alloc_heap());
    return 0;
}

static int end(void **state) {
    (void)state;
    norn_buffer_deinit(&buffer);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_writer_places_brackets_commas_and_colons),
        cmocka_unit_test(fixed_digits_are_as_many_as_asked_for),
        cmocka_unit_test(a_writer_nests_to_64),
        cmocka_unit_test(misuse_of_a_writer_ends_a_debug_build),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
