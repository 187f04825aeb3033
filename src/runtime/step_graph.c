#include "runtime/step_graph.h"
#include "base/log.h"
#include "base/memory.h"
#include "runtime/lanes.h"

/// The steps as a graph; `laned`: those that do not need each other as branches of it.
static norn_status record(norn_frame *frame, bool laned, norn_capture **out) {
    norn_run_room *room = frame->room;
    norn_device *device = room->at[1].device;
    norn_stream *stream = room->at[1].stream;
    const norn_device_ops *ops = device->ops;
    *out = NULL;
    NORN_TRY(ops->capture_begin(device, stream));
    room->laned = laned;
    norn_status status = norn_frame_run(frame);
    room->laned = false;
    const norn_status ended = ops->capture_end(device, stream, out);
    if (status == NORN_OK && ended == NORN_OK) return NORN_OK;
    if (ended == NORN_OK) ops->capture_destroy(device, *out);
    *out = NULL;
    return status == NORN_OK ? ended : status;
}

/// Least time of a few rounds of back-to-back launches.
static norn_status time_graph(norn_frame *frame, norn_event *const events[2], norn_capture *graph,
                              int64_t *best_ns) {
    enum { ROUNDS = 3, LAUNCHES = 4 };
    norn_device *device = frame->room->at[1].device;
    const norn_device_ops *ops = device->ops;
    norn_stream *stream = frame->room->at[1].stream;
    *best_ns = INT64_MAX;
    for (int round = 0; round < ROUNDS; round++) {
        int64_t ns;
        NORN_TRY(ops->event_record(device, events[0], stream));
        for (int i = 0; i < LAUNCHES; i++) NORN_TRY(ops->capture_launch(device, graph, stream));
        NORN_TRY(ops->event_record(device, events[1], stream));
        NORN_TRY(ops->stream_wait(device, stream));
        NORN_TRY(ops->event_elapsed_ns(device, events[0], events[1], &ns));
        if (ns < *best_ns) *best_ns = ns;
    }
    return NORN_OK;
}

/// Put the tables' views in place, or the same with nobody counting missing keys:
/// launches that only serve to measure are not to be seen in the metrics.
static norn_status place_views(norn_run_room *room, bool counting) {
    norn_room_place *at = &room->at[1];
    const norn_device_ops *ops = at->device->ops;
    const size_t bytes = room->table_count * sizeof *at->views;
    norn_table_view *quiet;
    if (!at->views) return NORN_OK;
    if (counting) return ops->copy(at->device, at->stream, at->views, at->host_views, bytes);
    NORN_TRY(NORN_NEW_ARRAY(room->alloc, room->table_count, &quiet));
    for (uint32_t i = 0; i < room->table_count; i++) {
        quiet[i] = at->host_views[i];
        quiet[i].missing_count = NULL;
    }
    norn_status status = ops->copy(at->device, at->stream, at->views, quiet, bytes);
    if (status == NORN_OK) status = ops->stream_wait(at->device, at->stream);
    norn_free(room->alloc, quiet);
    return status;
}

/// Whether branches pay shows only by timing: they overlap small steps,
/// and cost joins and memory traffic.
static norn_status take_faster(norn_frame *frame, norn_event *const events[2], norn_capture **graph,
                               norn_capture *laned) {
    norn_run_room *room = frame->room;
    int64_t one_ns = 0, lanes_ns = 0;
    norn_room_place *at = &room->at[1];
    const uint64_t views_of = at->views_of;
    at->views_of = 0; // a failure on the way leaves it to the next run to put them there
    NORN_TRY(place_views(room, false));
    norn_status status = time_graph(frame, events, *graph, &one_ns);
    if (status == NORN_OK) status = time_graph(frame, events, laned, &lanes_ns);
    const norn_status placed = place_views(room, true);
    if (placed == NORN_OK) at->views_of = views_of;
    NORN_TRY(status);
    NORN_TRY(placed);
    const bool pays = lanes_ns < one_ns - one_ns / 50;
    norn_log(NORN_LOG_DEBUG, "graph of %u step%s: %lld ns one after the other, %lld in %u lane%s",
             frame->program->step_count, norn_plural(frame->program->step_count),
             (long long)one_ns / 4, (long long)lanes_ns / 4, frame->program->order->lane_count,
             norn_plural(frame->program->order->lane_count));
    at->device->ops->capture_destroy(at->device, pays ? *graph : laned);
    if (pays) *graph = laned;
    return NORN_OK;
}

/// Also a failure leaves *graph as it was: lanes are a gain, not a need.
static void try_lanes(norn_frame *frame, norn_event *const events[2], norn_capture **graph) {
    norn_capture *laned = NULL;
    if (!events[1] || !norn_lanes_worthwhile(frame)) return;
    norn_status status = norn_lanes_open(frame);
    if (status == NORN_OK) status = record(frame, true, &laned);
    if (status == NORN_OK && take_faster(frame, events, graph, laned) == NORN_OK) return;
    norn_log(NORN_LOG_DEBUG, "the steps stay one after the other: %s", norn_message());
    norn_device *device = frame->room->at[1].device;
    if (laned) device->ops->capture_destroy(device, laned);
}

norn_status norn_step_graph_make(norn_frame *frame, norn_event *const events[2],
                                 norn_capture **out) {
    NORN_TRY(record(frame, false, out));
    try_lanes(frame, events, out);
    return NORN_OK;
}
