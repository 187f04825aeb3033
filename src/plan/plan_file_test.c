#include "base/file.h"
#include "base/hash.h"
#include "base/memory.h"
#include "plan/manifest.h"
#include "plan/plan_file.h"
#include "testing/failing_alloc.h"
#include "testing/hand_graph.h"

#include <unistd.h>

static char folder[64];

static const char *in_folder(const char *name) {
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static int make_folder(void **state) {
    (void)state;
    strcpy(folder, "/tmp/norn-plan-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state) {
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command);
}

/// The bytes of a saved plan, in memory that may be changed.
static uint8_t *saved_bytes(size_t *count) {
    norn_plan *plan = hand_mlp(norn_alloc_heap(), "cpu", 64);
    norn_file *file;
    HAND_OK(norn_plan_save(plan, in_folder("saved.norn")));
    norn_plan_release(plan);
    HAND_OK(norn_file_read(in_folder("saved.norn"), norn_alloc_heap(), &file));
    norn_span bytes = norn_file_bytes(file);
    uint8_t *copy = aligned_alloc(4096, (bytes.count + 4095) / 4096 * 4096);
    memcpy(copy, bytes.bytes, bytes.count);
    *count = bytes.count;
    norn_file_release(file);
    return copy;
}

static norn_status decode(const uint8_t *bytes, size_t count) {
    norn_plan *plan;
    HAND_OK(norn_plan_create(norn_alloc_heap(), &plan));
    norn_status status = norn_plan_decode(norn_span_of(bytes, count), "x.norn", false, plan);
    norn_plan_release(plan);
    return status;
}

static void a_saved_plan_loads_with_its_ports_and_profile(void **state) {
    (void)state;
    norn_plan *plan = hand_mlp(norn_alloc_heap(), "cpu", 48);
    HAND_OK(norn_plan_save(plan, in_folder("mlp.norn")));
    norn_plan_release(plan);
    HAND_OK(norn_plan_read(in_folder("mlp.norn"), norn_alloc_heap(), &plan));
    assert_string_equal(norn_plan_name(plan), "hand");
    assert_string_equal(norn_plan_batch_symbol(plan), "B");
    assert_int_equal(norn_plan_max_batch(plan), 48);
    assert_int_equal(norn_plan_input_count(plan), 1);
    assert_int_equal(norn_plan_output_count(plan), 1);
    const norn_port *x = norn_plan_input(plan, 0);
    assert_string_equal(x->name, "x");
    assert_int_equal(x->dtype, NORN_F32);
    assert_int_equal(x->rank, 2);
    assert_int_equal(x->dims[0], -1);
    assert_int_equal(x->dims[1], 4);
    assert_int_equal(x->max_dims[0], 48);
    assert_string_equal(x->dim_names[0], "B");
    assert_null(x->dim_names[1]);
    assert_null(norn_plan_input(plan, 1));
    assert_int_equal(plan->program->step_count, 2);
    norn_plan_release(plan);
}

static void a_plan_saved_again_is_the_same_bytes(void **state) {
    (void)state;
    norn_plan *plan = hand_mlp(norn_alloc_heap(), "cpu", 48);
    norn_file *one, *two;
    HAND_OK(norn_plan_save(plan, in_folder("one.norn")));
    norn_plan_release(plan);
    HAND_OK(norn_plan_read(in_folder("one.norn"), norn_alloc_heap(), &plan));
    HAND_OK(norn_plan_save(plan, in_folder("two.norn")));
    HAND_OK(norn_file_read(in_folder("one.norn"), norn_alloc_heap(), &one));
    HAND_OK(norn_file_read(in_folder("two.norn"), norn_alloc_heap(), &two));
    assert_int_equal(norn_file_bytes(one).count, norn_file_bytes(two).count);
    assert_memory_equal(norn_file_bytes(one).bytes, norn_file_bytes(two).bytes,
                        norn_file_bytes(one).count);
    norn_file_release(one);
    norn_file_release(two);
    norn_plan_release(plan);
}

static void a_flipped_bit_anywhere_that_counts_is_data_loss_and_names_the_section(void **state) {
    (void)state;
    size_t count;
    uint8_t *bytes = saved_bytes(&count);
    norn_plan_header header;
    memcpy(&header, bytes, sizeof header);
    HAND_OK(decode(bytes, count));
    assert_int_equal(header.section_count, NORN_SECTION_WEIGHTS + 1);
    for (uint32_t s = 0; s < header.section_count; s++) {
        const norn_plan_entry *entry = &header.section[s];
        size_t step = entry->bytes / 97 + 1;
        for (size_t at = 0; at < entry->bytes; at += step) {
            bytes[entry->offset + at] ^= (uint8_t)(1u << at % 8);
            assert_int_equal(decode(bytes, count), NORN_DATA_LOSS);
            assert_non_null(strstr(norn_message(), "x.norn"));
            assert_non_null(strstr(norn_message(), norn_plan_section_kinds[s].name));
            bytes[entry->offset + at] ^= (uint8_t)(1u << at % 8);
        }
    }
    for (size_t at = 0; at < sizeof header; at++) {
        bytes[at] ^= 4;
        norn_status status = decode(bytes, count);
        assert_true(status == NORN_DATA_LOSS ||
                    (status == NORN_FAILED_PRECONDITION && at >= 8 && at < 12));
        bytes[at] ^= 4;
    }
    free(bytes);
}

static void a_truncated_plan_is_data_loss_at_every_length(void **state) {
    (void)state;
    size_t count;
    uint8_t *bytes = saved_bytes(&count);
    for (size_t length = 0; length < count; length += length < 300 ? 1 : 61) {
        assert_int_equal(decode(bytes, length), NORN_DATA_LOSS);
        assert_non_null(strstr(norn_message(), "x.norn: header"));
    }
    free(bytes);
}

static void a_plan_of_another_format_says_to_compile_again(void **state) {
    (void)state;
    size_t count;
    uint8_t *bytes = saved_bytes(&count);
    norn_plan_header *header = (norn_plan_header *)(void *)bytes;
    header->abi = NORN_PLAN_ABI + 1;
    header->hash = norn_plan_header_hash(header);
    assert_int_equal(decode(bytes, count), NORN_FAILED_PRECONDITION);
    assert_non_null(strstr(norn_message(), "compile it again"));
    free(bytes);
}

static void sections_that_lie_outside_are_refused_though_the_hash_is_right(void **state) {
    (void)state;
    size_t count;
    uint8_t *bytes = saved_bytes(&count);
    norn_plan_header *header = (norn_plan_header *)(void *)bytes, good = *header;
    static const uint64_t offsets[] = {
        0, 1, 4097, UINT64_MAX, UINT64_MAX - 4095, (uint64_t)1 << 40};
    for (uint32_t s = 0; s < good.section_count; s++) {
        for (size_t i = 0; i < sizeof offsets / sizeof *offsets; i++) {
            *header = good;
            header->section[s].offset = offsets[i];
            header->hash = norn_plan_header_hash(header);
            assert_int_equal(decode(bytes, count), NORN_DATA_LOSS);
            *header = good;
            header->section[s].bytes = offsets[i] ? offsets[i] : UINT64_MAX / 2;
            header->hash = norn_plan_header_hash(header);
            assert_int_equal(decode(bytes, count), NORN_DATA_LOSS);
        }
    }
    free(bytes);
}

/// One more entry in the section table, of a page that is there.
static norn_status decode_with(uint8_t *bytes, size_t count, norn_plan_entry entry) {
    norn_plan_header *header = (norn_plan_header *)(void *)bytes, good = *header;
    entry.offset = header->section[0].offset;
    header->section[header->section_count++] = entry;
    header->hash = norn_plan_header_hash(header);
    const norn_status status = decode(bytes, count);
    *header = good;
    return status;
}

static void sections_of_a_later_norn_are_skipped_unless_they_are_required(void **state) {
    (void)state;
    size_t count;
    uint8_t *bytes = saved_bytes(&count);
    assert_int_equal(decode_with(bytes, count, (norn_plan_entry){.name = "flags"}), NORN_OK);
    assert_int_equal(decode_with(bytes, count, (norn_plan_entry){.name = "flags", .required = 1}),
                     NORN_FAILED_PRECONDITION);
    assert_non_null(strstr(norn_message(), "x.norn: section 'flags'"));
    assert_int_equal(decode_with(bytes, count, (norn_plan_entry){.name = "tuning", .version = 9}),
                     NORN_OK);
    assert_int_equal(
        decode_with(bytes, count, (norn_plan_entry){.name = "graph", .version = 9, .required = 1}),
        NORN_FAILED_PRECONDITION);
    assert_non_null(strstr(norn_message(), "section 'graph': it is of a later version"));
    assert_int_equal(
        decode_with(bytes, count, (norn_plan_entry){.name = "graph", .version = 1, .required = 1}),
        NORN_DATA_LOSS);
    assert_non_null(strstr(norn_message(), "section 'graph' is there twice"));
    free(bytes);
}

static void a_plan_without_one_of_its_sections_names_it(void **state) {
    (void)state;
    size_t count;
    uint8_t *bytes = saved_bytes(&count);
    norn_plan_header *header = (norn_plan_header *)(void *)bytes, good = *header;
    for (uint32_t s = 0; s < good.section_count; s++) {
        *header = good;
        strcpy(header->section[s].name, "other");
        header->section[s].required = 0;
        header->hash = norn_plan_header_hash(header);
        assert_int_equal(decode(bytes, count), NORN_DATA_LOSS);
        assert_non_null(strstr(norn_message(), norn_plan_section_kinds[s].name));
    }
    header->section_count = NORN_PLAN_SECTIONS_MAX + 1;
    header->hash = norn_plan_header_hash(header);
    assert_int_equal(decode(bytes, count), NORN_DATA_LOSS);
    free(bytes);
}

static void loading_and_saving_clean_up_wherever_memory_ends(void **state) {
    (void)state;
    size_t count;
    free(saved_bytes(&count));
    norn_alloc_faulty faulty = {.fail_at = 0};
    bool loaded = false, saved = false;
    for (size_t at = 0; !loaded || !saved; at++) {
        assert_true(at < 5000);
        faulty = (norn_alloc_faulty){.fail_at = at};
        norn_plan *plan;
        norn_status status =
            norn_plan_read(in_folder("saved.norn"), norn_alloc_failing(&faulty), &plan);
        loaded = status == NORN_OK;
        if (loaded) {
            status = norn_plan_save(plan, in_folder("again.norn"));
            saved = status == NORN_OK;
            norn_plan_release(plan);
        } else {
            assert_null(plan);
        }
        if (status != NORN_OK) assert_int_equal(status, NORN_RESOURCE_EXHAUSTED);
        assert_int_equal(faulty.live, 0);
    }
}

static void the_tree_hash_of_pieces_is_that_of_the_whole(void **state) {
    (void)state;
    size_t count = 3 * NORN_PLAN_CHUNK + 12345;
    uint8_t *bytes = malloc(count), *chunk = malloc(NORN_PLAN_CHUNK);
    for (size_t i = 0; i < count; i++) bytes[i] = (uint8_t)(i * 31 + i / 777);
    uint64_t whole, threaded;
    norn_pool *pool;
    HAND_OK(norn_pool_create(3, norn_alloc_heap(), &pool));
    HAND_OK(norn_tree_hash_of(norn_span_of(bytes, count), NULL, norn_alloc_heap(), &whole));
    HAND_OK(norn_tree_hash_of(norn_span_of(bytes, count), pool, norn_alloc_heap(), &threaded));
    assert_true(whole == threaded);
    norn_tree_hash pieces;
    norn_tree_hash_init(&pieces, chunk);
    for (size_t at = 0; at < count;) {
        size_t take = at * 7 % 100000 + 1;
        if (take > count - at) take = count - at;
        norn_tree_hash_add(&pieces, bytes + at, take);
        at += take;
    }
    assert_true(norn_tree_hash_end(&pieces) == whole);
    bytes[2 * NORN_PLAN_CHUNK] ^= 1;
    HAND_OK(norn_tree_hash_of(norn_span_of(bytes, count), pool, norn_alloc_heap(), &threaded));
    assert_true(whole != threaded);
    norn_pool_destroy(pool);
    free(bytes);
    free(chunk);
}

/// Names are a model's, files a file system's: what is no letter, digit, _, - or . becomes _, and two
/// that become one are told apart.
static void tables_have_plain_file_names_of_their_own(void **state) {
    (void)state;
    static const struct {
        const char *name, *file;
    } cases[] = {{"a.b-c_D9Z0z", "a.b-c_D9Z0z"},
                 {"a/b", "a_b"},
                 {"a\\b", "a_b~1"},
                 {"a_b", "a_b~2"},
                 {"../x", "_._x"},
                 {".", "_"},
                 {"", "_~1"},
                 {"@[`{/:", "______"},
                 {"q\xc3\xa9 !", "q____"}};
    enum { COUNT = sizeof cases / sizeof *cases };
    char text[160], half[130];
    norn_plan_table tables[COUNT + 2] = {{0}};
    norn_plan plan = {.tables = tables, .table_count = COUNT + 2};
    norn_arena arena;
    const char *file;
    norn_arena_init(&arena, norn_alloc_heap(), 4096);
    for (int i = 0; i < COUNT; i++) tables[i].name = cases[i].name;
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(norn_plan_table_file(&plan, (uint32_t)i, &arena, &file), NORN_OK);
        snprintf(text, sizeof text, "%s.safetensors", cases[i].file);
        assert_string_equal(file, text);
    }
    char longest[2][201]; // cut, and still told apart
    for (int i = 0; i < 2; i++) {
        memset(longest[i], 'x', 200);
        longest[i][199] = (char)('a' + i), longest[i][200] = '\0';
        tables[COUNT + i].name = longest[i];
        memset(half, 'x', 127);
        half[127] = '\0';
        snprintf(text, sizeof text, "%s%s.safetensors", half, i ? "~1" : "");
        assert_int_equal(norn_plan_table_file(&plan, (uint32_t)(COUNT + i), &arena, &file),
                         NORN_OK);
        assert_string_equal(file, text);
    }
    norn_arena_deinit(&arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tables_have_plain_file_names_of_their_own),
        cmocka_unit_test(a_saved_plan_loads_with_its_ports_and_profile),
        cmocka_unit_test(a_plan_saved_again_is_the_same_bytes),
        cmocka_unit_test(a_flipped_bit_anywhere_that_counts_is_data_loss_and_names_the_section),
        cmocka_unit_test(a_truncated_plan_is_data_loss_at_every_length),
        cmocka_unit_test(a_plan_of_another_format_says_to_compile_again),
        cmocka_unit_test(sections_that_lie_outside_are_refused_though_the_hash_is_right),
        cmocka_unit_test(sections_of_a_later_norn_are_skipped_unless_they_are_required),
        cmocka_unit_test(a_plan_without_one_of_its_sections_names_it),
        cmocka_unit_test(loading_and_saving_clean_up_wherever_memory_ends),
        cmocka_unit_test(the_tree_hash_of_pieces_is_that_of_the_whole),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
