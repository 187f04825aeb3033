/// For tests: a device that computes on the CPU but behaves like a GPU. Its memory is its own, work
/// that is given to a stream is done only when the stream is waited for, and a capture records
/// calls with the addresses that they had. So a missing copy, a missing wait, a stale graph or a
/// pointer to the wrong side gives wrong numbers here as it does there.
#ifndef NORN_TESTING_FAKE_DEVICE_H
#define NORN_TESTING_FAKE_DEVICE_H

#include "base/hash.h"
#include "base/memory.h"
#include "cpu/cpu_device.h"
#include "device/device.h"
#include "tensor/view.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define fake_must(condition)                                                                   \
    do {                                                                                       \
        if (!(condition)) fprintf(stderr, "fake device: %s is not so\n", #condition), abort(); \
    } while (0)

typedef struct fake_device {
    norn_device base;
    norn_alloc alloc;
    norn_device *cpu;
    bool knows_choices;   ///< a tuning record was taken: nothing is timed
    bool timed;           ///< there is something for a record to say
    uint64_t timed_steps; ///< by their names' hashes: what was timed once is known here
} fake_device;

/// What the device has done; tests reset and read it. `refuse_op`:
/// an operator that it has no kernel for.
static struct {
    _Atomic int launches, captures, kernels, copies_in, copies_out, copies_within, copies_between,
        waits, blocks, tables, timed;
    _Atomic int lanes;   ///< beside the main stream, over all captures
    bool lanes_are_slow; ///< else a graph with lanes takes half the time of one without
    norn_op_id refuse_op;
    bool refuse_capture;
} fake_log;

/// The device that the thread is in; with several open, memory and work must be its own.
static _Thread_local const norn_device *fake_entered;

static inline norn_status fake_enter(norn_device *self) {
    fake_entered = self;
    return NORN_OK;
}
static inline void fake_must_be_in(const norn_device *self) {
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
static inline const norn_device *fake_owner(const void *at) {
    const norn_device *owner = NULL;
    pthread_mutex_lock(&fake_blocks_lock);
    for (fake_block *b = fake_blocks; b; b = b->next)
        if ((const char *)at >= b->begin && (const char *)at < b->begin + b->bytes &&
            b->kind == NORN_MEMORY_DEVICE)
            owner = b->owner;
    pthread_mutex_unlock(&fake_blocks_lock);
    return owner;
}

typedef struct fake_work {
    enum { FAKE_COPY, FAKE_KERNEL, FAKE_RECORD, FAKE_WAIT, FAKE_HOST_CALL } kind;
    norn_stream *of; ///< WAIT: the stream that records
    uint64_t mark;   ///< RECORD, WAIT
    void *to;
    const void *from;
    size_t bytes;
    void (*fn)(void *context); ///< HOST_CALL, with `to`
    norn_call call;
    norn_view *views;
    norn_table_binding *tables; ///< as they were when launched; rows are read through call.views
    norn_kernel_fn kernel;
} fake_work;

typedef struct fake_list {
    fake_work *at;
    size_t count, capacity;
} fake_list;

enum { FAKE_LANES = 16 };

struct norn_stream {
    fake_list queue;
    size_t done;                  ///< of the queue
    uint64_t passed;              ///< the last recording, not of a capture, that is done
    fake_list *capturing;         ///< NULL: not
    norn_stream *main;            ///< of a lane; else itself
    norn_stream *all[FAKE_LANES]; ///< of a main stream: itself and its lanes
    uint32_t count;
    const norn_device *device;
};
struct norn_capture {
    fake_list list[FAKE_LANES]; ///< by stream of main->all
};
struct norn_event {
    int64_t ns;
    norn_stream *of;
    uint64_t mark;
};
/// Marks are of one recording, and of one launch where that was captured.
static _Atomic uint64_t fake_next_mark = 1;
static int fake_launched_lanes; ///< of the last launch

static inline void fake_push(norn_stream *stream, fake_work work) {
    fake_list *list = stream->capturing ? stream->capturing : &stream->queue;
    if (list->count == list->capacity) {
        list->capacity = list->capacity ? list->capacity * 2 : 16;
        list->at = realloc(list->at, list->capacity * sizeof *list->at);
    }
    list->at[list->count++] = work;
}

static inline void fake_clear(fake_list *list) {
    for (size_t i = 0; i < list->count; i++) free(list->at[i].views), free(list->at[i].tables);
    free(list->at);
    *list = (fake_list){0};
}

static inline void fake_push_mark(norn_stream *stream, int kind, norn_stream *of, uint64_t mark) {
    fake_work work = {.of = of, .mark = mark};
    work.kind = kind;
    fake_push(stream, work);
}

// ---- kernels

/// Scratch of the kernel that runs on this thread; given back when it returns. The link is a line
/// long, so that what follows it is aligned.
typedef struct fake_scratch_block {
    _Alignas(64) struct fake_scratch_block *next;
} fake_scratch_block;
static _Thread_local fake_scratch_block *fake_scratches;

static inline norn_status fake_scratch(norn_call *call, size_t bytes, void **out) {
    (void)call;
    fake_scratch_block *block = aligned_alloc(64, sizeof *block + (bytes + 63) / 64 * 64);
    fake_must(block != NULL);
    block->next = fake_scratches;
    fake_scratches = block;
    *out = memset(block + 1, 0, bytes);
    return NORN_OK;
}

static inline void fake_free_scratch(void) {
    while (fake_scratches) {
        fake_scratch_block *next = fake_scratches->next;
        free(fake_scratches);
        fake_scratches = next;
    }
}

/// Outputs were sized before: that they come out so is all there is to see.
static inline norn_status fake_output(norn_call *call, uint32_t index, norn_dtype dtype,
                                      int32_t rank, const int64_t *dims) {
    const norn_view view = norn_view_of(dtype, rank, dims, NULL);
    if (index >= call->out_count || !norn_view_present(&call->out[index])) return NORN_OK;
    if (norn_view_same_shape(&view, &call->out[index]) && dtype == call->out[index].dtype)
        return NORN_OK;
    return norn_fail(NORN_INVALID_ARGUMENT, "output %u is of another shape", index);
}

static const norn_call_host fake_host = {.output = fake_output, .scratch = fake_scratch};

/// "Launch": remember the call as it stands.
static inline norn_status fake_kernel(norn_call *call) {
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

static inline norn_status fake_do(fake_work *work) {
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

static inline fake_device *fake_of(norn_device *self) {
    return (fake_device *)(void *)self;
}

static inline norn_kernel_fn fake_kernel_of(const norn_target *self, const norn_step_spec *spec) {
    norn_device *cpu = fake_of(norn_target_device(self))->cpu;
    if (spec->op == fake_log.refuse_op) return NULL;
    return norn_target_kernel(&cpu->target, spec) ? fake_kernel : NULL;
}

static inline norn_status fake_codegen(const norn_target *self, const norn_step_spec *spec,
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

static const char *fake_stamp_text; ///< NULL: "fake"; another: a GPU of another kind

static inline const char *fake_stamp(const norn_target *self) {
    (void)self;
    return fake_stamp_text ? fake_stamp_text : "fake";
}

static inline norn_status fake_prepare(norn_device *self, const norn_step_spec *spec,
                                       void **state) {
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

static inline void fake_unprepare(norn_device *self, const norn_step_spec *spec, void *state) {
    fake_must_be_in(self);
    (void)spec;
    norn_free(fake_of(self)->alloc, state);
}

/// A record is this text; one that begins alike is of another GPU.
#define FAKE_CHOICES "fake choices"

static inline void fake_tuning_save(norn_device *self, norn_buffer *out) {
    if (fake_of(self)->timed || fake_of(self)->knows_choices) norn_buffer_text(out, FAKE_CHOICES);
}

static inline norn_status fake_tuning_load(norn_device *self, norn_span record, bool *taken) {
    *taken = norn_span_equal(record, FAKE_CHOICES);
    fake_of(self)->knows_choices |= *taken;
    if (record.count < 4 || memcmp(record.bytes, "fake", 4) != 0)
        return norn_fail(NORN_DATA_LOSS, "this is no tuning record");
    return NORN_OK;
}

// ---- memory, streams

static inline norn_status fake_memory_create(norn_device *self, norn_memory_kind kind, size_t bytes,
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

static inline void fake_memory_destroy(norn_device *self, norn_memory_kind kind, void *memory) {
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

static inline norn_status fake_stream_create(norn_device *self, norn_stream *main,
                                             norn_stream **out) {
    fake_must_be_in(self);
    NORN_TRY(norn_alloc_zeroed(fake_of(self)->alloc, 1, sizeof **out, (void **)out));
    (*out)->main = main ? main : *out;
    (*out)->device = self;
    (*out)->main->all[(*out)->main->count++] = *out;
    return NORN_OK;
}
static inline void fake_stream_destroy(norn_device *self, norn_stream *stream) {
    fake_must_be_in(self);
    norn_stream *main = stream->main;
    fake_must(stream != main || main->count == 1); // lanes go first
    for (uint32_t i = 0; i < main->count; i++)
        if (main->all[i] == stream) main->all[i] = main->all[--main->count];
    fake_clear(&stream->queue);
    norn_free(fake_of(self)->alloc, stream);
}

static inline bool fake_is_recorded(const norn_stream *stream, uint64_t mark) {
    if (mark >> 32 == 0) return mark <= stream->passed;
    for (size_t i = 0; i < stream->done; i++)
        if (stream->queue.at[i].kind == FAKE_RECORD && stream->queue.at[i].mark == mark)
            return true;
    return false;
}

static inline norn_status fake_run_until(norn_stream *stream, uint64_t mark);

/// The next piece of work of `stream`, and before it what it waits for elsewhere.
/// Gives it, good until more is pushed.
static inline norn_status fake_run_next(norn_stream *stream, const fake_work **done) {
    fake_work *work = &stream->queue.at[stream->done++];
    if (work->kind == FAKE_WAIT && !fake_is_recorded(work->of, work->mark))
        NORN_TRY(fake_run_until(work->of, work->mark));
    if (work->kind == FAKE_RECORD && work->mark >> 32 == 0) stream->passed = work->mark;
    *done = work;
    return fake_do(work);
}

/// Everything of `stream` up to and with the record of `mark` (0: all of it);
/// what it does not wait for elsewhere is not done.
static inline norn_status fake_run_until(norn_stream *stream, uint64_t mark) {
    while (stream->done < stream->queue.count) {
        const fake_work *work;
        NORN_TRY(fake_run_next(stream, &work));
        if (work->kind == FAKE_RECORD && work->mark == mark) break;
    }
    return NORN_OK;
}

/// Lanes by turns as early as they may, the last first, and as late as they may:
/// a wait that is missing shows in one of them.
static inline norn_status fake_stream_wait(norn_device *self, norn_stream *stream) {
    norn_status status = NORN_OK;
    fake_must_be_in(self);
    fake_must(!stream->capturing);
    fake_log.waits++;
    if (fake_log.waits % 2 == 0)
        for (uint32_t i = stream->count; i-- > 1 && status == NORN_OK;)
            status = fake_run_until(stream->all[i], 0);
    if (status == NORN_OK) status = fake_run_until(stream, 0);
    for (uint32_t i = 0; i < stream->count; i++) {
        fake_clear(&stream->all[i]->queue);
        stream->all[i]->done = 0;
    }
    return status;
}
static inline norn_status fake_copy(norn_device *self, norn_stream *stream, void *to,
                                    const void *from, size_t bytes) {
    fake_must_be_in(self);
    const norn_device *into = fake_owner(to), *of = fake_owner(from);
    const bool in = into != NULL, out = of != NULL;
    fake_must((!in || into == self) && (!out || of == self));
    fake_must(!stream || stream->device == self);
    if (!stream) {
        memcpy(to, from, bytes);
        return NORN_OK;
    }
    if (in && out)
        fake_log.copies_within++;
    else if (in)
        fake_log.copies_in++;
    else
        fake_log.copies_out++;
    fake_must(!stream->capturing || (in && out));
    fake_push(stream, (fake_work){.kind = FAKE_COPY, .to = to, .from = from, .bytes = bytes});
    return NORN_OK;
}
static inline norn_status fake_event_create(norn_device *self, norn_event **out) {
    fake_must_be_in(self);
    return norn_alloc_zeroed(fake_of(self)->alloc, 1, sizeof **out, (void **)out);
}
static inline void fake_event_destroy(norn_device *self, norn_event *event) {
    fake_must_be_in(self);
    norn_free(fake_of(self)->alloc, event);
}
static inline norn_status fake_event_record(norn_device *self, norn_event *event,
                                            norn_stream *stream) {
    fake_must_be_in(self);
    static _Atomic int64_t clock;
    event->ns = atomic_fetch_add(&clock, 1000) + 1000;
    event->of = stream;
    event->mark = atomic_fetch_add(&fake_next_mark, 1);
    fake_push_mark(stream, FAKE_RECORD, stream, event->mark);
    return NORN_OK;
}
/// A stream that waits for one that is being captured is captured too.
static inline norn_status fake_event_wait(norn_device *self, norn_stream *stream,
                                          norn_event *event) {
    fake_must_be_in(self);
    if (!event->of) return NORN_OK; // never recorded: there is nothing to wait for
    if (event->of->main == stream->main && event->of->capturing && !stream->capturing)
        stream->capturing = calloc(1, sizeof *stream->capturing);
    fake_push_mark(stream, FAKE_WAIT, event->of, event->mark);
    return NORN_OK;
}
static inline norn_status fake_event_elapsed(norn_device *self, norn_event *from, norn_event *to,
                                             int64_t *ns) {
    (void)self;
    *ns = to->ns - from->ns;
    if (fake_launched_lanes > 0) *ns = fake_log.lanes_are_slow ? 2 * *ns : *ns / 2;
    return NORN_OK;
}

/// Somebody looks, and a little more is done.
static inline norn_status fake_event_query(norn_device *self, norn_event *event, bool *done) {
    fake_must_be_in(self);
    norn_stream *stream = event->of;
    const fake_work *work;
    if (stream && stream->done < stream->queue.count && !fake_is_recorded(stream, event->mark))
        NORN_TRY(fake_run_next(stream, &work));
    *done = !stream || fake_is_recorded(stream, event->mark);
    return NORN_OK;
}

/// Of another fake device: both addresses are this process's.
static inline norn_status fake_copy_peer(norn_device *self, norn_stream *stream, void *to,
                                         norn_device *other, const void *from, size_t bytes) {
    fake_must_be_in(self);
    fake_must(other->ops == self->ops && fake_owner(to) == self && fake_owner(from) == other);
    fake_log.copies_between++;
    fake_push(stream, (fake_work){.kind = FAKE_COPY, .to = to, .from = from, .bytes = bytes});
    return NORN_OK;
}

static inline norn_status fake_host_call(norn_device *self, norn_stream *stream,
                                         void (*fn)(void *context), void *context) {
    fake_must_be_in(self);
    fake_push(stream, (fake_work){.kind = FAKE_HOST_CALL, .fn = fn, .to = context});
    return NORN_OK;
}

static _Thread_local int fake_ranges; ///< that the thread is in
static inline void fake_range_begin(norn_device *self, const char *name) {
    (void)self;
    fake_must(name != NULL);
    fake_ranges++;
}
static inline void fake_range_end(norn_device *self) {
    (void)self;
    fake_must(fake_ranges-- > 0);
}

// ---- captures

static inline norn_status fake_capture_begin(norn_device *self, norn_stream *stream) {
    fake_must_be_in(self);
    fake_must(!stream->capturing);
    if (fake_log.refuse_capture) return norn_fail(NORN_UNIMPLEMENTED, "no captures today");
    stream->capturing = calloc(1, sizeof *stream->capturing);
    return NORN_OK;
}
static inline norn_status fake_capture_end(norn_device *self, norn_stream *stream,
                                           norn_capture **out) {
    fake_must_be_in(self);
    NORN_TRY(norn_alloc_zeroed(fake_of(self)->alloc, 1, sizeof **out, (void **)out));
    for (uint32_t i = 0; i < stream->count; i++) {
        norn_stream *lane = stream->all[i];
        if (!lane->capturing) continue;
        fake_log.lanes += i > 0;
        (*out)->list[i] = *lane->capturing;
        free(lane->capturing);
        lane->capturing = NULL;
    }
    fake_log.captures++;
    return NORN_OK;
}
static inline void fake_push_again(norn_stream *stream, fake_work work, uint64_t launch) {
    size_t views = work.kind == FAKE_KERNEL ? work.call.in_count + work.call.out_count + 1 : 0;
    size_t tables = views ? (work.call.table_count + 1) * sizeof *work.tables : 0;
    if (views)
        work.views =
            memcpy(malloc(views * sizeof *work.views), work.views, views * sizeof *work.views);
    if (tables) work.tables = memcpy(malloc(tables), work.tables, tables);
    work.mark |= launch << 32;
    fake_push(stream, work);
}
static inline norn_status fake_capture_launch(norn_device *self, norn_capture *capture,
                                              norn_stream *stream) {
    fake_must_be_in(self);
    fake_log.launches++;
    static uint64_t launch;
    launch++;
    fake_launched_lanes = 0;
    for (uint32_t i = 1; i < stream->count; i++) fake_launched_lanes += capture->list[i].count > 0;
    for (uint32_t i = 0; i < stream->count; i++)
        for (size_t k = 0; k < capture->list[i].count; k++)
            fake_push_again(stream->all[i], capture->list[i].at[k], launch);
    return NORN_OK;
}
static inline void fake_capture_destroy(norn_device *self, norn_capture *capture) {
    fake_must_be_in(self);
    for (int i = 0; i < FAKE_LANES; i++) fake_clear(&capture->list[i]);
    norn_free(fake_of(self)->alloc, capture);
}

/// Its kernels count missing keys on the device; the host's counter is told when somebody asks.
typedef struct fake_table {
    _Atomic uint64_t missing, *counter;
    uint64_t told;
    void *rows; ///< NULL: not copied
} fake_table;

static inline norn_status fake_table_bind(norn_device *self, const norn_table_binding *host,
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
static inline norn_status fake_table_count(norn_device *self, const norn_table_binding *bound) {
    fake_must_be_in(self);
    fake_table *table = bound->owner;
    const uint64_t count = table->missing;
    if (table->counter) atomic_fetch_add(table->counter, count - table->told);
    table->told = count;
    return NORN_OK;
}
static inline void fake_table_unbind(norn_device *self, norn_table_binding *table) {
    (void)fake_table_count(self, table);
    fake_table *own = table->owner;
    if (own->rows) fake_memory_destroy(self, NORN_MEMORY_DEVICE, own->rows);
    free(own);
}

static inline void fake_destroy(norn_device *self) {
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

static inline norn_status fake_open(int32_t ordinal, norn_alloc alloc, norn_device **out) {
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

/// Set-up and tear-down of a test: fakes can be opened, nothing was done; every block was given back.
static inline int fake_begin(void **state) {
    (void)state;
    memset(&fake_log, 0, sizeof fake_log);
    norn_device_register("fake", fake_open);
    return 0;
}

static inline int fake_end(void **state) {
    (void)state;
    return fake_log.blocks != 0 || fake_blocks != NULL;
}

#endif
