/// Streams, events and captures of the fake device: work is put down, and done when somebody waits.
#include "testing/fake_parts.h"

/// Marks are of one recording, and of one launch where that was captured.
static _Atomic uint64_t fake_next_mark = 1;
int fake_launched_lanes;

void fake_push(norn_stream *stream, fake_work work) {
    fake_list *list = stream->capturing ? stream->capturing : &stream->queue;
    if (list->count == list->capacity) {
        list->capacity = list->capacity ? list->capacity * 2 : 16;
        list->at = realloc(list->at, list->capacity * sizeof *list->at);
    }
    list->at[list->count++] = work;
}

static void fake_clear(fake_list *list) {
    for (size_t i = 0; i < list->count; i++) free(list->at[i].views), free(list->at[i].tables);
    free(list->at);
    *list = (fake_list){0};
}

static void fake_push_mark(norn_stream *stream, int kind, norn_stream *of, uint64_t mark) {
    fake_work work = {.of = of, .mark = mark};
    work.kind = kind;
    fake_push(stream, work);
}

norn_status fake_stream_create(norn_device *self, norn_stream *main, norn_stream **out) {
    fake_must_be_in(self);
    NORN_TRY(norn_alloc_zeroed(fake_of(self)->alloc, 1, sizeof **out, (void **)out));
    (*out)->main = main ? main : *out;
    (*out)->device = self;
    (*out)->main->all[(*out)->main->count++] = *out;
    return NORN_OK;
}
void fake_stream_destroy(norn_device *self, norn_stream *stream) {
    fake_must_be_in(self);
    norn_stream *main = stream->main;
    fake_must(stream != main || main->count == 1); // lanes go first
    for (uint32_t i = 0; i < main->count; i++)
        if (main->all[i] == stream) main->all[i] = main->all[--main->count];
    fake_clear(&stream->queue);
    norn_free(fake_of(self)->alloc, stream);
}

static bool fake_is_recorded(const norn_stream *stream, uint64_t mark) {
    if (mark >> 32 == 0) return mark <= stream->passed;
    for (size_t i = 0; i < stream->done; i++)
        if (stream->queue.at[i].kind == FAKE_RECORD && stream->queue.at[i].mark == mark)
            return true;
    return false;
}

static inline norn_status fake_run_until(norn_stream *stream, uint64_t mark);

/// The next piece of work of `stream`, and before it what it waits for elsewhere.
/// Gives it, good until more is pushed.
static norn_status fake_run_next(norn_stream *stream, const fake_work **done) {
    fake_work *work = &stream->queue.at[stream->done++];
    if (work->kind == FAKE_WAIT && !fake_is_recorded(work->of, work->mark))
        NORN_TRY(fake_run_until(work->of, work->mark));
    if (work->kind == FAKE_RECORD && work->mark >> 32 == 0) stream->passed = work->mark;
    *done = work;
    return fake_do(work);
}

/// Everything of `stream` up to and with the record of `mark` (0: all of it);
/// what it does not wait for elsewhere is not done.
static norn_status fake_run_until(norn_stream *stream, uint64_t mark) {
    while (stream->done < stream->queue.count) {
        const fake_work *work;
        NORN_TRY(fake_run_next(stream, &work));
        if (work->kind == FAKE_RECORD && work->mark == mark) break;
    }
    return NORN_OK;
}

/// Lanes by turns as early as they may, the last first, and as late as they may:
/// a wait that is missing shows in one of them.
norn_status fake_stream_wait(norn_device *self, norn_stream *stream) {
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
norn_status fake_copy(norn_device *self, norn_stream *stream, void *to, const void *from,
                      size_t bytes) {
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
norn_status fake_event_create(norn_device *self, norn_event **out) {
    fake_must_be_in(self);
    return norn_alloc_zeroed(fake_of(self)->alloc, 1, sizeof **out, (void **)out);
}
void fake_event_destroy(norn_device *self, norn_event *event) {
    fake_must_be_in(self);
    norn_free(fake_of(self)->alloc, event);
}
norn_status fake_event_record(norn_device *self, norn_event *event, norn_stream *stream) {
    fake_must_be_in(self);
    static _Atomic int64_t clock;
    event->ns = atomic_fetch_add(&clock, 1000) + 1000;
    event->of = stream;
    event->mark = atomic_fetch_add(&fake_next_mark, 1);
    fake_push_mark(stream, FAKE_RECORD, stream, event->mark);
    return NORN_OK;
}
/// A stream that waits for one that is being captured is captured too.
norn_status fake_event_wait(norn_device *self, norn_stream *stream, norn_event *event) {
    fake_must_be_in(self);
    if (!event->of) return NORN_OK; // never recorded: there is nothing to wait for
    if (event->of->main == stream->main && event->of->capturing && !stream->capturing)
        stream->capturing = calloc(1, sizeof *stream->capturing);
    fake_push_mark(stream, FAKE_WAIT, event->of, event->mark);
    return NORN_OK;
}
norn_status fake_event_elapsed(norn_device *self, norn_event *from, norn_event *to, int64_t *ns) {
    (void)self;
    *ns = to->ns - from->ns;
    if (fake_launched_lanes > 0) *ns = fake_log.lanes_are_slow ? 2 * *ns : *ns / 2;
    return NORN_OK;
}

/// Somebody looks, and a little more is done.
norn_status fake_event_query(norn_device *self, norn_event *event, bool *done) {
    fake_must_be_in(self);
    norn_stream *stream = event->of;
    const fake_work *work;
    if (stream && stream->done < stream->queue.count && !fake_is_recorded(stream, event->mark))
        NORN_TRY(fake_run_next(stream, &work));
    *done = !stream || fake_is_recorded(stream, event->mark);
    return NORN_OK;
}

/// Of another fake device: both addresses are this process's.
norn_status fake_copy_peer(norn_device *self, norn_stream *stream, void *to, norn_device *other,
                           const void *from, size_t bytes) {
    fake_must_be_in(self);
    fake_must(other->ops == self->ops && fake_owner(to) == self && fake_owner(from) == other);
    fake_log.copies_between++;
    fake_push(stream, (fake_work){.kind = FAKE_COPY, .to = to, .from = from, .bytes = bytes});
    return NORN_OK;
}

norn_status fake_host_call(norn_device *self, norn_stream *stream, void (*fn)(void *context),
                           void *context) {
    fake_must_be_in(self);
    fake_push(stream, (fake_work){.kind = FAKE_HOST_CALL, .fn = fn, .to = context});
    return NORN_OK;
}

static _Thread_local int fake_ranges; ///< that the thread is in
void fake_range_begin(norn_device *self, const char *name) {
    (void)self;
    fake_must(name != NULL);
    fake_ranges++;
}
void fake_range_end(norn_device *self) {
    (void)self;
    fake_must(fake_ranges-- > 0);
}

// ---- captures

norn_status fake_capture_begin(norn_device *self, norn_stream *stream) {
    fake_must_be_in(self);
    fake_must(!stream->capturing);
    if (fake_log.refuse_capture) return norn_fail(NORN_UNIMPLEMENTED, "no captures today");
    stream->capturing = calloc(1, sizeof *stream->capturing);
    return NORN_OK;
}
norn_status fake_capture_end(norn_device *self, norn_stream *stream, norn_capture **out) {
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
static void fake_push_again(norn_stream *stream, fake_work work, uint64_t launch) {
    size_t views = work.kind == FAKE_KERNEL ? work.call.in_count + work.call.out_count + 1 : 0;
    size_t tables = views ? (work.call.table_count + 1) * sizeof *work.tables : 0;
    if (views)
        work.views =
            memcpy(malloc(views * sizeof *work.views), work.views, views * sizeof *work.views);
    if (tables) work.tables = memcpy(malloc(tables), work.tables, tables);
    work.mark |= launch << 32;
    fake_push(stream, work);
}
norn_status fake_capture_launch(norn_device *self, norn_capture *capture, norn_stream *stream) {
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
void fake_capture_destroy(norn_device *self, norn_capture *capture) {
    fake_must_be_in(self);
    for (int i = 0; i < FAKE_LANES; i++) fake_clear(&capture->list[i]);
    norn_free(fake_of(self)->alloc, capture);
}
