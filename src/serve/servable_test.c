/// Protocols, pages and the index take any servable: here one that is no model.
#include "serve/servable_echo.h"

#include "serve/protocol/kserve_json.h"
#include "serve/protocol/kserve_proto.h"

static echo_servable echo;
static int answered;

static void on_done(norn_request *request) {
    assert_ptr_equal(request->context, &echo);
    answered++;
}

static norn_request *ask(const char *json) {
    norn_request *request;
    const norn_span body = norn_span_of(json, strlen(json));
    assert_int_equal(norn_request_create(norn_alloc_heap(), &request), NORN_OK);
    request->servable = norn_servable_retain(&echo.servable);
    request->done = on_done;
    request->context = &echo;
    request->times.arrival_ns = 1;
    assert_int_equal(norn_kserve_json_request(body, body.count, request), NORN_OK);
    return request;
}

static void assert_text(norn_buffer *text, const char *wanted) {
    assert_int_equal(norn_buffer_status(text), NORN_OK);
    norn_buffer_append(text, "", 1);
    assert_string_equal((const char *)text->bytes, wanted);
    norn_buffer_deinit(text);
    norn_buffer_init(text, norn_alloc_heap());
}

static void a_request_goes_through_and_is_counted(void **state) {
    norn_buffer text;
    size_t json_bytes;
    (void)state;
    answered = 0;
    echo_init(&echo, "echo", 3);
    norn_request *request = ask("{\"id\":\"7\",\"inputs\":[{\"name\":\"x\",\"datatype\":\"FP32\","
                                "\"shape\":[2,2],\"data\":[1,2,3,4.5]}]}");
    assert_int_equal(echo.servable.calls->admit(&echo.servable, request), NORN_OK);
    echo.servable.calls->enqueue(&echo.servable, request);
    assert_int_equal(answered, 1);
    assert_int_equal(request->status, NORN_OK);
    assert_int_equal(echo.servable.stats.success.count, 1);
    assert_int_equal(echo.servable.stats.inference_count, 2);
    norn_buffer_init(&text, norn_alloc_heap());
    assert_int_equal(norn_kserve_json_answer(request, &text, &json_bytes), NORN_OK);
    assert_text(&text, "{\"model_name\":\"echo\",\"model_version\":\"3\",\"id\":\"7\",\"outputs\":["
                       "{\"name\":\"y\",\"datatype\":\"FP32\",\"shape\":[2,2],"
                       "\"data\":[1.0,2.0,3.0,4.5]}]}");
    norn_buffer_deinit(&text);
    norn_request_destroy(request);
    assert_int_equal(echo.released, 0); // the test's own reference
    norn_servable_release(&echo.servable);
    assert_int_equal(echo.released, 1);
}

static void what_is_refused_is_counted_once_and_its_reference_goes(void **state) {
    (void)state;
    echo_init(&echo, "echo", 3);
    norn_request *request = ask("{\"inputs\":[{\"name\":\"z\",\"datatype\":\"FP32\","
                                "\"shape\":[1,1],\"data\":[1]}]}");
    const norn_status status = echo.servable.calls->admit(&echo.servable, request);
    assert_int_equal(status, NORN_INVALID_ARGUMENT);
    norn_servable_count_refused(request, status);
    assert_int_equal(request->status, NORN_INVALID_ARGUMENT);
    assert_int_equal(echo.servable.stats.fail.count, 1);
    assert_int_equal(echo.servable.stats.failure[NORN_FAILURE_OTHER], 1);
    assert_int_equal(echo.servable.stats.success.count, 0);
    norn_request_destroy(request);
    assert_int_equal(echo.servable.references, 1);
    // Nobody is there to count what came for no servable.
    assert_int_equal(norn_request_create(norn_alloc_heap(), &request), NORN_OK);
    norn_servable_count_refused(request, NORN_NOT_FOUND);
    assert_int_equal(request->status, NORN_NOT_FOUND);
    norn_request_destroy(request);
    assert_int_equal(echo.servable.stats.fail.count, 1);
}

static void ports_are_found_by_name_and_described(void **state) {
    norn_buffer text;
    (void)state;
    echo_init(&echo, "echo", 3);
    assert_int_equal(norn_servable_input_find(&echo.servable, "x"), 0);
    assert_int_equal(norn_servable_input_find(&echo.servable, "y"), -1);
    assert_int_equal(norn_servable_output_find(&echo.servable, "y"), 0);
    assert_int_equal(norn_servable_output_find(&echo.servable, ""), -1);
    norn_buffer_init(&text, norn_alloc_heap());
    norn_kserve_json_metadata(&echo.servable, &(norn_json_writer){.buffer = &text});
    assert_text(&text, "{\"name\":\"echo\",\"versions\":[\"3\"],\"platform\":\"norn\",\"inputs\":["
                       "{\"name\":\"x\",\"datatype\":\"FP32\",\"shape\":[-1,2]}],\"outputs\":["
                       "{\"name\":\"y\",\"datatype\":\"FP32\",\"shape\":[-1,2]}]}");
    norn_kserve_proto_metadata(&echo.servable, &text);
    const norn_wire_reader fields = {.rest = norn_span_of(text.bytes, text.count)};
    assert_true(fields.rest.count > 0);
    norn_buffer_deinit(&text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_goes_through_and_is_counted),
        cmocka_unit_test(what_is_refused_is_counted_once_and_its_reference_goes),
        cmocka_unit_test(ports_are_found_by_name_and_described),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
