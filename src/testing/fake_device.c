/// Kernels, memory and tables of the fake device.
#include "base/hash.h"
#include "testing/fake_parts.h"

#include <pthread.h>

fake_record fake_log;

/// The device that the thread is in; with several open, memory and work must be its own.
static _Thread_local const norn_device *fake_entered;

static norn_status fake_enter(norn_device *self) {
    fake_entered = self;
    return NORN_OK;
}
void fake_must_be_in(const norn_device *self) {
    fake_must(fake_entered == self);
}

typedef struct fake_block {
    struct fake_block *next;
    char *begin;
    size_t bytes;
    norn_memory_kind kind;
    const norn_device *owner;
} fake_block;
static fake_block *fake_blocks;
static pthread_mutex_t fake_blocks_lock = PTHREAD_MUTEX_INITIALIZER;

/// The device whose memory it is; NULL: the host's.
const norn_device *fake_owner(const void *at) {
    const norn_device *owner = NULL;
    pthread_mutex_lock(&fake_blocks_lock);
    for (fake_block *b = fake_blocks; b; b = b->next)
        if ((const char *)at >= b->begin && (const char *)at < b->begin + b->bytes &&
            b->kind == NORN_MEMORY_DEVICE)
            owner = b->owner;
    pthread_mutex_unlock(&fake_blocks_lock);
    return owner;
}

// ---- kernels

/// Scratch of the kernel that runs on this thread; given back when it returns. The link is a line
/// long, so that what follows it is aligned.
typedef struct fake_scratch_block {
    _Alignas(64) struct fake_scratch_block *next;
} fake_scratch_block;
static _Thread_local fake_scratch_block *fake_scratches;

static norn_status fake_scratch(norn_call *call, size_t bytes, void **out) {
    (void)call;
    fake_scratch_block *block = aligned_alloc(64, sizeof *block + (bytes + 63) / 64 * 64);
    fake_must(block != NULL);
    block->next = fake_scratches;
    fake_scratches = block;
    *out = memset(block + 1, 0, bytes);
    return NORN_OK;
}

static void fake_free_scratch(void) {
    while (fake_scratches) {
        fake_scratch_block *next = fake_scratches->next;
        free(fake_scratches);
        fake_scratches = next;
    }
}

/// Outputs were sized before: that they come out so is all there is to see.
static norn_status fake_output(norn_call *call, uint32_t index, norn_dtype dtype, int32_t rank,
                               const int64_t *dims) {
    const norn_view view = norn_view_of(dtype, rank, dims, NULL);
    if (index >= call->out_count || !norn_view_present(&call->out[index])) return NORN_OK;
    if (norn_view_same_shape(&view, &call->out[index]) && dtype == call->out[index].dtype)
        return NORN_OK;
    return norn_fail(NORN_INVALID_ARGUMENT, "output %u is of another shape", index);
}

static const norn_call_host fake_host = {.output = fake_output, .scratch = fake_scratch};

/// "Launch": remember the call as it stands.
static norn_status fake_kernel(norn_call *call) {
    norn_stream *stream = call->stream;
    fake_work work = {.kind = FAKE_KERNEL, .call = *call};
    memcpy(&work.kernel, call->state, sizeof work.kernel);
    work.views = calloc(call->in_count + call->out_count + 1, sizeof *work.views);
    memcpy(work.views, call->in, call->in_count * sizeof *work.views);
    memcpy(work.views + call->in_count, call->out, call->out_count * sizeof *work.views);
    work.tables = calloc(call->table_count + 1, sizeof *work.tables);
    if (call->table_count)
        memcpy(work.tables, call->tables, call->table_count * sizeof *work.tables);
    for (uint32_t i = 0; i < call->in_count + call->out_count; i++)
        if (norn_view_present(&work.views[i]) && norn_view_elems(&work.views[i]) > 0)
            fake_must(fake_owner(work.views[i].data) == stream->device);
    fake_push(stream, work);
    return NORN_OK;
}

norn_status fake_do(fake_work *work) {
    if (work->kind == FAKE_COPY) memcpy(work->to, work->from, work->bytes);
    if (work->kind == FAKE_HOST_CALL) work->fn(work->to);
    if (work->kind != FAKE_KERNEL) return NORN_OK;
    norn_call call = work->call;
    call.in = work->views;
    call.out = work->views + call.in_count;
    call.state = NULL;
    call.stream = NULL;
    call.pool = NULL;
    call.host = &fake_host;
    for (uint32_t i = 0; i < call.table_count; i++) work->tables[i].view = call.views[i];
    call.tables = work->tables;
    fake_log.kernels++;
    norn_status status = work->kernel(&call);
    if (status != NORN_OK) norn_note("node '%s'", call.name); // found late, as on a GPU
    fake_free_scratch();
    return status;
}

fake_device *fake_of(norn_device *self) {
    return (fake_device *)(void *)self;
}

static norn_kernel_fn fake_kernel_of(const norn_target *self, const norn_step_spec *spec) {
    norn_device *cpu = fake_of(norn_target_device(self))->cpu;
    if (spec->op == fake_log.refuse_op) return NULL;
    return norn_target_kernel(&cpu->target, spec) ? fake_kernel : NULL;
}

static norn_status fake_codegen(const norn_target *self, const norn_step_spec *spec,
                                norn_alloc alloc, norn_span *code) {
    void *memory;
    (void)self;
    *code = (norn_span){0};
    if (spec->in_count != 3) return NORN_OK;
    NORN_TRY(norn_alloc_bytes(alloc, 4, &memory));
    memcpy(memory, "code", 4);
    *code = norn_span_of(memory, 4);
    return NORN_OK;
}

const char *fake_stamp_text;

static const char *fake_stamp(const norn_target *self) {
    (void)self;
    return fake_stamp_text ? fake_stamp_text : "fake";
}

static norn_status fake_prepare(norn_device *self, const norn_step_spec *spec, void **state) {
    fake_must_be_in(self);
    norn_device *cpu = fake_of(self)->cpu;
    norn_kernel_fn kernel = norn_target_kernel(&cpu->target, spec);
    const uint64_t step = UINT64_C(1) << norn_hash_bytes(spec->name, strlen(spec->name), 0) % 64;
    if (!fake_of(self)->knows_choices && !(fake_of(self)->timed_steps & step)) fake_log.timed++;
    fake_of(self)->timed_steps |= step;
    fake_of(self)->timed = true;
    NORN_TRY(norn_alloc_bytes(fake_of(self)->alloc, sizeof kernel, state));
    memcpy(*state, &kernel, sizeof kernel);
    return NORN_OK;
}

static void fake_unprepare(norn_device *self, const norn_step_spec *spec, void *state) {
    fake_must_be_in(self);
    (void)spec;
    norn_free(fake_of(self)->alloc, state);
}

static void fake_tuning_save(norn_device *self, norn_buffer *out) {
    if (fake_of(self)->timed || fake_of(self)->knows_choices) norn_buffer_text(out, FAKE_CHOICES);
}

static norn_status fake_tuning_load(norn_device *self, norn_span record, bool *taken) {
    *taken = norn_span_equal(record, FAKE_CHOICES);
    fake_of(self)->knows_choices |= *taken;
    if (record.count < 4 || memcmp(record.bytes, "fake", 4) != 0)
        return norn_fail(NORN_DATA_LOSS, "this is no tuning record");
    return NORN_OK;
}

// ---- memory, streams

static norn_status fake_memory_create(norn_device *self, norn_memory_kind kind, size_t bytes,
                                      void **out) {
    fake_must_be_in(self);
    NORN_TRY(norn_alloc_bytes(fake_of(self)->alloc, bytes, out));
    memset(*out, 0xa5, bytes); // what was never written shows
    fake_block *block = malloc(sizeof *block);
    pthread_mutex_lock(&fake_blocks_lock);
    *block = (fake_block){fake_blocks, *out, bytes ? bytes : 1, kind, self};
    fake_blocks = block;
    pthread_mutex_unlock(&fake_blocks_lock);
    fake_log.blocks++;
    return NORN_OK;
}

static void fake_memory_destroy(norn_device *self, norn_memory_kind kind, void *memory) {
    fake_must_be_in(self);
    pthread_mutex_lock(&fake_blocks_lock);
    for (fake_block **at = &fake_blocks; *at; at = &(*at)->next) {
        fake_block *block = *at;
        if (block->begin != memory) continue;
        fake_must(block->kind == kind && block->owner == self);
        memset(memory, 0x5a, block->bytes); // a stale graph computes on this
        *at = block->next;
        free(block);
        fake_log.blocks--;
        break;
    }
    pthread_mutex_unlock(&fake_blocks_lock);
    norn_free(fake_of(self)->alloc, memory);
}

/// Its kernels count missing keys on the device; the host's counter is told when somebody asks.
typedef struct fake_table {
    _Atomic uint64_t missing, *counter;
    uint64_t told;
    void *rows; ///< NULL: not copied
} fake_table;

static norn_status fake_table_bind(norn_device *self, const norn_table_binding *host,
                                   norn_table_binding *out) {
    fake_must_be_in(self);
    void *rows = NULL;
    *out = *host;
    fake_log.tables++;
    if (host->view.kind == NORN_TABLE_DENSE) { // else its kernels read the host's
        const size_t bytes = (size_t)(host->view.row_bytes * host->view.row_count);
        NORN_TRY(fake_memory_create(self, NORN_MEMORY_DEVICE, bytes, &rows));
        if (bytes) memcpy(rows, host->view.dense.rows, bytes);
        out->view.dense.rows = rows;
    }
    fake_table *table = calloc(1, sizeof *table);
    table->counter = host->view.missing_count;
    table->rows = rows;
    out->owner = table;
    out->view.missing_count = &table->missing;
    return NORN_OK;
}
static norn_status fake_table_count(norn_device *self, const norn_table_binding *bound) {
    fake_must_be_in(self);
    fake_table *table = bound->owner;
    const uint64_t count = table->missing;
    if (table->counter) atomic_fetch_add(table->counter, count - table->told);
    table->told = count;
    return NORN_OK;
}
static void fake_table_unbind(norn_device *self, norn_table_binding *table) {
    (void)fake_table_count(self, table);
    fake_table *own = table->owner;
    if (own->rows) fake_memory_destroy(self, NORN_MEMORY_DEVICE, own->rows);
    free(own);
}

static void fake_destroy(norn_device *self) {
    norn_device_close(fake_of(self)->cpu);
    norn_free(fake_of(self)->alloc, self);
}

static const norn_target_ops fake_target = {
    .kind = "fake", .kernel = fake_kernel_of, .codegen = fake_codegen, .stamp = fake_stamp};

static const norn_device_ops fake_ops = {
    .enter = fake_enter,
    .prepare = fake_prepare,
    .unprepare = fake_unprepare,
    .tuning_save = fake_tuning_save,
    .tuning_load = fake_tuning_load,
    .memory_create = fake_memory_create,
    .memory_destroy = fake_memory_destroy,
    .stream_create = fake_stream_create,
    .stream_destroy = fake_stream_destroy,
    .stream_wait = fake_stream_wait,
    .copy = fake_copy,
    .event_create = fake_event_create,
    .event_destroy = fake_event_destroy,
    .event_record = fake_event_record,
    .event_wait = fake_event_wait,
    .event_elapsed_ns = fake_event_elapsed,
    .event_query = fake_event_query,
    .copy_peer = fake_copy_peer,
    .host_call = fake_host_call,
    .range_begin = fake_range_begin,
    .range_end = fake_range_end,
    .capture_begin = fake_capture_begin,
    .capture_end = fake_capture_end,
    .capture_launch = fake_capture_launch,
    .capture_destroy = fake_capture_destroy,
    .table_bind = fake_table_bind,
    .table_unbind = fake_table_unbind,
    .table_count = fake_table_count,
    .destroy = fake_destroy,
};

norn_status fake_open(int32_t ordinal, norn_alloc alloc, norn_device **out) {
    fake_device *device;
    NORN_TRY(NORN_NEW(alloc, &device));
    device->base = (norn_device){
        .ops = &fake_ops, .ordinal = ordinal, .can_run = ordinal < 4, .target = {&fake_target}};
    device->alloc = alloc;
    norn_status status = norn_cpu_open(0, alloc, &device->cpu);
    if (status != NORN_OK)
        norn_free(alloc, device);
    else
        *out = &device->base;
    return status;
}

int fake_begin(void **state) {
    (void)state;
    memset(&fake_log, 0, sizeof fake_log);
    norn_device_register("fake", fake_open);
    return 0;
}

int fake_end(void **state) {
    (void)state;
    return fake_log.blocks != 0 || fake_blocks != NULL;
}
