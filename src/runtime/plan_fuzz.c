/// Any bytes as a plan file: an error, or a plan whose runs end in an error or in outputs.
///
/// Hashes would keep a fuzzer out, so the header's and the sections' are put right before loading:
/// what is tested is everything behind them. Input: byte 0 chooses a section, the rest replaces its
/// bytes in a small plan that is good, or with bit 6 changes single bytes of them; when byte 0 is
/// 255 the rest is the whole file.
#include "base/memory.h"
#define HAND_WITHOUT_CMOCKA
#include "plan/plan_file.h"
#include "runtime/instance.h"
#include "tensor/dtype.h"
#include "testing/hand_graph.h"
#include "testing/limited_alloc.h"

#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_LIMIT = 1 << 16 };
static size_t block_most = 256 << 20; ///< a plan may ask for anything

static volatile uint8_t seen;

static norn_status give_inputs(norn_instance *instance, const norn_plan *plan, int64_t batch) {
    for (size_t i = 0; i < norn_plan_input_count(plan); i++) {
        const norn_port *port = norn_plan_input(plan, i);
        int64_t dims[NORN_MAX_RANK], elems = 1;
        void *data;
        for (int32_t d = 0; d < port->rank; d++) {
            dims[d] = port->dims[d] < 0 ? batch : port->dims[d];
            if (dims[d] > INPUT_LIMIT || (elems *= dims[d]) > INPUT_LIMIT)
                return NORN_RESOURCE_EXHAUSTED;
        }
        if (port->dtype == NORN_STRING) return NORN_UNIMPLEMENTED;
        NORN_TRY(norn_instance_input(instance, i, port->rank < 0 ? 0 : port->rank, dims, &data));
        memset(data, 0, (size_t)elems * norn_dtype_bits(port->dtype) / 8);
    }
    return norn_instance_run(instance);
}

static void run(norn_plan *plan, int64_t batch) {
    norn_session *session;
    norn_instance *instance;
    if (norn_session_create(plan, &(norn_session_options){.threads = 1},
                            norn_alloc_limited(&block_most), &session) != NORN_OK)
        return;
    if (norn_instance_acquire(session, 0, &instance) == NORN_OK) {
        if (give_inputs(instance, plan, batch) == NORN_OK) {
            for (size_t i = 0; i < norn_plan_output_count(plan); i++) {
                const norn_view *out = norn_instance_output(instance, i);
                size_t bytes = 0;
                if (norn_view_bytes(out, &bytes) != NORN_OK) abort();
                for (size_t b = 0; b < bytes && out->dtype != NORN_STRING; b++)
                    seen ^= ((const uint8_t *)out->data)[b];
            }
        }
        norn_instance_release(instance);
    }
    norn_session_destroy(session);
}

static void load(const uint8_t *bytes, size_t count) {
    norn_plan *plan;
    HAND_OK(norn_plan_create(norn_alloc_limited(&block_most), &plan));
    if (norn_plan_decode(norn_span_of(bytes, count), "fuzz.norn", false, plan) == NORN_OK) {
        run(plan, 1);
        run(plan, 3);
    }
    norn_plan_release(plan);
}

/// A good plan: products, a placed Concat, a view, a value sized while running.
static norn_span good_plan(void) {
    static norn_file *file; // for the life of the process
    static const norn_attr axis = {.name = "axis", .kind = NORN_ATTR_INT, .i64 = 1};
    char path[] = "/tmp/norn-fuzz-XXXXXX";
    hand h = hand_begin(norn_alloc_heap(), 16);
    norn_value *x = hand_input(&h, "x", NORN_F32, hand_rows(&h, 4));
    norn_value *parts[] = {hand_gemm(&h, "a", x, 4, 3, true), x},
               *all = hand_value(&h, "all", NORN_F32, hand_rows(&h, 7));
    hand_node(&h, NORN_OP_Concat, "all", parts, 2, &all, 1, (norn_attrs){&axis, 1}, NULL);
    norn_value *same = hand_value(&h, "same", NORN_F32, hand_rows(&h, 7));
    hand_node(&h, NORN_OP_Identity, "same", &all, 1, &same, 1, (norn_attrs){0}, NULL);
    hand_output(&h, hand_gemm(&h, "y", same, 7, 2, false));
    norn_shape shape = {.rank = 2, .dims = {norn_dim_const(2)}};
    HAND_OK(norn_symbol_runtime(&h.graph->symbols, &shape.dims[1]));
    norn_value *where = hand_value(&h, "where", NORN_I64, shape);
    hand_node(&h, NORN_OP_NonZero, "nonzero", &x, 1, &where, 1, (norn_attrs){0}, NULL);
    hand_output(&h, where);
    norn_plan *plan = hand_plan(&h, "cpu");
    close(mkstemp(path));
    HAND_OK(norn_plan_save(plan, path));
    norn_plan_release(plan);
    HAND_OK(norn_file_read(path, norn_alloc_heap(), &file));
    unlink(path);
    return norn_file_bytes(file);
}

/// The file with one section exchanged, its place and hashes right.
static uint8_t *rebuild(norn_span good, int chosen, norn_span body, size_t *count) {
    norn_plan_header header;
    memcpy(&header, good.bytes, sizeof header);
    uint8_t *out = aligned_alloc(NORN_PLAN_PAGE, (good.count + body.count + 8 * NORN_PLAN_PAGE) /
                                                     NORN_PLAN_PAGE * NORN_PLAN_PAGE);
    size_t at = NORN_PLAN_PAGE;
    memset(out, 0, NORN_PLAN_PAGE);
    for (int i = 0; i < (int)header.section_count; i++) {
        norn_plan_entry *entry = &header.section[i];
        norn_span bytes =
            i == chosen ? body : norn_span_of(good.bytes + entry->offset, entry->bytes);
        if (bytes.count) memcpy(out + at, bytes.bytes, bytes.count);
        entry->offset = at;
        entry->bytes = bytes.count;
        if (norn_tree_hash_of(bytes, NULL, norn_alloc_heap(), &entry->hash) != NORN_OK) abort();
        at += bytes.count;
        if (i + 1 == (int)header.section_count) break;
        size_t next = (at + NORN_PLAN_PAGE - 1) / NORN_PLAN_PAGE * NORN_PLAN_PAGE;
        memset(out + at, 0, next - at);
        at = next;
    }
    header.file_bytes = at;
    header.hash = norn_plan_header_hash(&header);
    memcpy(out, &header, sizeof header);
    *count = at;
    return out;
}

/// The good section with single bytes changed: {offset, 2 bytes; value} for each.
static uint8_t *edit(norn_span good, int chosen, norn_span edits, size_t *count) {
    norn_plan_header header;
    memcpy(&header, good.bytes, sizeof header);
    const norn_plan_entry *entry = &header.section[chosen];
    uint8_t *out = malloc(entry->bytes + 1);
    memcpy(out, good.bytes + entry->offset, entry->bytes);
    *count = entry->bytes;
    for (size_t i = 0; i + 3 <= edits.count && entry->bytes > 0; i += 3)
        out[(edits.bytes[i] | (size_t)edits.bytes[i + 1] << 8) % entry->bytes] = edits.bytes[i + 2];
    return out;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static norn_span good;
    size_t count;
    if (!good.bytes) good = good_plan();
    if (size == 0) return 0;
    if (data[0] == 255) {
        uint8_t *copy = aligned_alloc(NORN_PLAN_PAGE,
                                      (size + NORN_PLAN_PAGE) / NORN_PLAN_PAGE * NORN_PLAN_PAGE);
        memcpy(copy, data + 1, size - 1);
        load(copy, size - 1);
        free(copy);
        return 0;
    }
    int chosen = data[0] % (NORN_SECTION_WEIGHTS + 1); // a plan for the CPU has these alone
    norn_span body = norn_span_of(data + 1, size - 1);
    uint8_t *edited = data[0] & 64 ? edit(good, chosen, body, &body.count) : NULL;
    if (edited) body.bytes = edited;
    uint8_t *file = rebuild(good, chosen, body, &count);
    load(file, count);
    free(file);
    free(edited);
    return 0;
}
