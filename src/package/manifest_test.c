#include "package/manifest.h"

#include "base/crc32.h"
#include "testing/package_build.h"

#include <unistd.h>

#define OK(expr) assert_int_equal((expr), NORN_OK)

static norn_arena arena;

static int open_arena(void **state) {
    (void)state;
    norn_arena_init(&arena, norn_alloc_heap(), 4096);
    return 0;
}

static int close_arena(void **state) {
    (void)state;
    norn_arena_deinit(&arena);
    return 0;
}

static norn_status parse(const char *text, norn_manifest *out) {
    return norn_manifest_parse("M", norn_span_text(text), &arena, out);
}

static void test_what_it_says(void **state) {
    norn_manifest m;
    (void)state;
    OK(parse(
        "{\"format\": \"norn-version-1\", \"model\": \"m\", \"version\": 7, \"base\": 5,\n"
        " \"cut\": {\"epoch\": 2, \"step\": 118, \"sequence\": [4012, 3], \"chain\": [9, "
        "4294967295]},\n"
        " \"tables\": [{\"name\": \"user\", \"rows\": 3}], \"later\": [[1, {\"a\": null}]],\n"
        " \"files\": [{\"path\": \"model.onnx\", \"bytes\": 3, \"crc32\": [891568578]},\n"
        "  {\"path\": \"tables/\\u0061..safetensors\", \"bytes\": 67108865, \"crc32\": [1, 2]},\n"
        "  {\"path\": \"empty\", \"bytes\": 0, \"crc32\": []}]}",
        &m));
    assert_true(m.found && m.is_cut);
    assert_int_equal(m.version, 7);
    assert_int_equal(m.base, 5);
    assert_int_equal(m.cut.step, 118);
    assert_int_equal(m.cut.partition_count, 2);
    for (int p = 0; p < 2; p++) assert_int_equal(m.cut.positions[p].epoch, 2);
    assert_int_equal(m.cut.positions[0].sequence, 4012);
    assert_int_equal(m.cut.positions[1].sequence, 3);
    assert_int_equal(m.cut.positions[0].chain, 9);
    assert_int_equal(m.cut.positions[1].chain, 4294967295u);
    assert_int_equal(m.file_count, 3);
    assert_string_equal(m.files[1].path, "tables/a..safetensors");
    assert_int_equal(m.files[1].bytes, 67108865);
    assert_int_equal(m.files[1].block_count, 2);
    assert_int_equal(m.files[1].crc[1], 2);
    OK(parse("{\"format\": \"norn-version-1\", \"version\": 3}", &m));
    assert_int_equal(m.base, 3);
    assert_false(m.is_cut);
    assert_int_equal(m.file_count, 0);
}

static void test_what_cannot_be_read(void **state) {
#define HEAD "{\"format\": \"norn-version-1\", \"version\": 1, "
    static const struct {
        const char *text, *words;
    } cases[] = {
        {"", "M: "},
        {"[]", "an object"},
        {"{\"version\": 1}", "\"format\" should be"},
        {"{\"format\": \"norn-version-2\", \"version\": 1}", "\"format\" should be"},
        {"{\"format\": \"norn-version-1\"}", "no \"version\""},
        {HEAD "\"base\": -1}", "\"base\" should be a whole number"},
        {HEAD "\"base\": 1.5}", "\"base\" should be a whole number"},
        {HEAD "\"base\": \"1\"}", "\"base\" should be a whole number"},
        {HEAD "\"cut\": []}", "\"cut\" should be an object"},
        {HEAD "\"cut\": {\"epoch\": 1}}", "0 sequences and 0 chains"},
        {HEAD "\"cut\": {\"sequence\": [1, 2], \"chain\": [1]}}", "2 sequences and 1 chain"},
        {HEAD "\"cut\": {\"sequence\": [1], \"chain\": [4294967296]}}", "32 bits"},
        {HEAD "\"cut\": {\"sequence\": 1}}", "a list"},
        {HEAD "\"files\": {}}", "a list"},
        {HEAD "\"files\": [1]}", "an object"},
        {HEAD "\"files\": [{\"bytes\": 0, \"crc32\": []}]}", "no \"path\""},
        {HEAD "\"files\": [{\"path\": \"a\", \"bytes\": 1, \"crc32\": []}]}",
         "0 checksums instead of 1"},
        {HEAD "\"files\": [{\"path\": \"a\", \"bytes\": 67108864, \"crc32\": [1, 2]}]}",
         "2 checksums instead of 1"},
        {HEAD "\"files\": [{\"path\": \"../a\", \"bytes\": 0, \"crc32\": []}]}",
         "inside the folder"},
        {HEAD "\"files\": [{\"path\": \"a/../../b\", \"bytes\": 0, \"crc32\": []}]}",
         "inside the folder"},
        {HEAD "\"files\": [{\"path\": \"a/..\", \"bytes\": 0, \"crc32\": []}]}",
         "inside the folder"},
        {HEAD "\"files\": [{\"path\": \"/a\", \"bytes\": 0, \"crc32\": []}]}", "inside the folder"},
        {HEAD "\"files\": [{\"path\": \"\", \"bytes\": 0, \"crc32\": []}]}", "inside the folder"},
        {HEAD "\"files\": [{\"path\": \"a\\u0000b\", \"bytes\": 0, \"crc32\": []}]}",
         "inside the folder"},
        {HEAD "\"files\": [{\"path\": 3, \"bytes\": 0, \"crc32\": []}]}", "a path"},
        {HEAD "\"base\": 1} x", "M: "},
        {"{\"format\": [1, 2], \"version\": 1}", "\"format\" should be text"},
        {HEAD "\"tables\": [{\"name\": \"a\", \"kind\": [1, 2]}]}", "\"kind\" should be text"},
        {HEAD "\"tables\": [{\"name\": \"a\", \"kind\": {\"b\": [1]}}]}",
         "\"kind\" should be text"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        norn_manifest m;
        assert_int_equal(parse(cases[i].text, &m), NORN_DATA_LOSS);
        if (!strstr(norn_message(), cases[i].words))
            fail_msg("%s: '%s' says nothing of '%s'", cases[i].text, norn_message(),
                     cases[i].words);
    }
}

/// A version of one file with so many bytes, and its manifest.
static const char *write_version(const char *name, size_t bytes) {
    char *data = calloc(bytes + 1, 1), text[512], crcs[256] = "";
    for (size_t i = 0; i < bytes; i++) data[i] = (char)(i * 7 + i / 251);
    build_file(build_path("%s/tables/t", name), data, bytes);
    for (size_t at = 0; at < bytes; at += NORN_MANIFEST_BLOCK) {
        const size_t count = bytes - at < NORN_MANIFEST_BLOCK ? bytes - at : NORN_MANIFEST_BLOCK;
        snprintf(crcs + strlen(crcs), sizeof crcs - strlen(crcs), "%s%u", at ? ", " : "",
                 norn_crc32(0, data + at, count));
    }
    free(data);
    snprintf(
        text, sizeof text,
        "{\"format\": \"norn-version-1\", \"version\": 1, \"files\": [{\"path\": \"tables/t\", "
        "\"bytes\": %zu, \"crc32\": [%s]}]}",
        bytes, crcs);
    build_text(build_path("%s/MANIFEST.json", name), text);
    snprintf(crcs, sizeof crcs, "%08x\n", norn_crc32(0, text, strlen(text)));
    build_text(build_path("%s/READY", name), crcs);
    return build_path("%s", name);
}

static void test_a_folder(void **state) {
    norn_manifest m;
    char dir[512];
    (void)state;
    (void)build_path("bare/x");
    strcpy(dir, build_path("bare"));
    OK(norn_manifest_read(dir, &arena, &m));
    assert_false(m.found);
    assert_true(norn_manifest_is_ready(dir));
    strcpy(dir, write_version("one", 1000));
    OK(norn_manifest_read(dir, &arena, &m));
    assert_true(m.found && norn_manifest_is_ready(dir));
    OK(norn_manifest_verify(&m, dir, NULL, norn_alloc_heap()));
    build_text(build_path("one/READY"), "00000000\n");
    assert_int_equal(norn_manifest_read(dir, &arena, &m), NORN_DATA_LOSS);
    assert_non_null(strstr(norn_message(), "publish the version again"));
    build_text(build_path("one/READY"), "0000");
    assert_int_equal(norn_manifest_read(dir, &arena, &m), NORN_DATA_LOSS);
    assert_int_equal(remove(build_path("one/READY")), 0);
    assert_int_equal(norn_manifest_read(dir, &arena, &m), NORN_UNAVAILABLE);
    assert_false(norn_manifest_is_ready(dir));
}

static void flip(const char *path, long at) {
    FILE *file = fopen(path, "r+");
    assert_non_null(file);
    assert_int_equal(fseek(file, at, SEEK_SET), 0);
    const int byte = fgetc(file);
    assert_int_equal(fseek(file, at, SEEK_SET), 0);
    fputc(byte ^ 1, file);
    fclose(file);
}

static void test_every_block_is_compared(void **state) {
    const size_t bytes = 2 * (size_t)NORN_MANIFEST_BLOCK + 5;
    const long places[] = {0, NORN_MANIFEST_BLOCK - 1, NORN_MANIFEST_BLOCK, (long)bytes - 1};
    const char *const words[] = {"bytes from 0 on", "bytes from 0 on", "bytes from 67108864 on",
                                 "bytes from 134217728 on"};
    norn_manifest m;
    char dir[512], path[512];
    (void)state;
    strcpy(dir, write_version("blocks", bytes));
    strcpy(path, build_path("blocks/tables/t"));
    OK(norn_manifest_read(dir, &arena, &m));
    OK(norn_manifest_verify(&m, dir, NULL, norn_alloc_heap()));
    for (int i = 0; i < 4; i++) {
        flip(path, places[i]);
        assert_int_equal(norn_manifest_verify(&m, dir, NULL, norn_alloc_heap()), NORN_DATA_LOSS);
        assert_non_null(strstr(norn_message(), words[i]));
        flip(path, places[i]);
    }
    assert_int_equal(truncate(path, (long)bytes - 1), 0);
    assert_int_equal(norn_manifest_verify(&m, dir, NULL, norn_alloc_heap()), NORN_DATA_LOSS);
    assert_non_null(strstr(norn_message(), "134217732 bytes, 134217733 by MANIFEST.json"));
    assert_int_equal(remove(path), 0);
    assert_int_equal(norn_manifest_verify(&m, dir, NULL, norn_alloc_heap()), NORN_NOT_FOUND);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_what_it_says, open_arena, close_arena),
        cmocka_unit_test_setup_teardown(test_what_cannot_be_read, open_arena, close_arena),
        cmocka_unit_test_setup_teardown(test_a_folder, open_arena, close_arena),
        cmocka_unit_test_setup_teardown(test_every_block_is_compared, open_arena, close_arena),
    };
    return cmocka_run_group_tests(tests, build_set_up, build_tear_down);
}
