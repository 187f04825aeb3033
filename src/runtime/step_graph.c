#include "runtime/step_graph.h"
#include "base/log.h"
#include "base/memory.h"
#include "runtime/lanes.h"

/// The steps as a graph; `laned`: those that do not need each other as branches of it.
static norn_status record(norn_frame *frame, bool laned, norn_capture **out) {
    norn_device *device = frame->room->device;
    const norn_device_ops *ops = device->ops;
    norn_run_room *room = frame->room;
    *out = NULL;
    NORN_TRY(ops->capture_begin(device, room->stream));
    room->laned = laned;
    norn_status status = norn_frame_run(frame);
    room->laned = false;
    const norn_status ended = ops->capture_end(device, room->stream, out);
    if (status == NORN_OK && ended == NORN_OK) return NORN_OK;
    if (ended == NORN_OK) ops->capture_destroy(device, *out);
    *out = NULL;
    return status == NORN_OK ? ended : status;
}

/// Least time of a few rounds of back-to-back launches.
static norn_status time_graph(norn_frame *frame, norn_event *const events[2], norn_capture *graph,
                              int64_t *best_ns) {
    enum { ROUNDS = 3, LAUNCHES = 4 };
    norn_device *device = frame->room->device;
    const norn_device_ops *ops = device->ops;
    norn_stream *stream = frame->room->stream;
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
    const size_t bytes = room->table_count * sizeof *room->views;
    norn_table_view *quiet;
    if (!room->views) return NORN_OK;
    if (counting)
        return room->device->ops->copy(room->device, room->stream, room->views, room->host_views,
                                       bytes);
    NORN_TRY(NORN_NEW_ARRAY(room->alloc, room->table_count, &quiet));
    for (uint32_t i = 0; i < room->table_count; i++) {
        quiet[i] = room->host_views[i];
        quiet[i].missing_count = NULL;
    }
    norn_status status =
        room->device->ops->copy(room->device, room->stream, room->views, quiet, bytes);
    if (status == NORN_OK) status = room->device->ops->stream_wait(room->device, room->stream);
    norn_free(room->alloc, quiet);
    return status;
}

/// Whether branches pay shows only by timing: they overlap small steps,
/// and cost joins and memory traffic.
static norn_status take_faster(norn_frame *frame, norn_event *const events[2], norn_capture **graph,
                               norn_capture *laned) {
    norn_run_room *room = frame->room;
    int64_t one_ns = 0, lanes_ns = 0;
    const uint64_t views_of = room->views_of;
    room->views_of = 0; // a failure on the way leaves it to the next run to put them there
    NORN_TRY(place_views(room, false));
    norn_status status = time_graph(frame, events, *graph, &one_ns);
    if (status == NORN_OK) status = time_graph(frame, events, laned, &lanes_ns);
    const norn_status placed = place_views(room, true);
    if (placed == NORN_OK) room->views_of = views_of;
    NORN_TRY(status);
    NORN_TRY(placed);
    const bool pays = lanes_ns < one_ns - one_ns / 50;
    norn_log(NORN_LOG_DEBUG, "graph of %u steps: %lld ns one after the other, %lld in %u lanes",
             frame->program->step_count, (long long)one_ns / 4, (long long)lanes_ns / 4,
             frame->program->order->lane_count);
    room->device->ops->capture_destroy(room->device, pays ? *graph : laned);
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
    if (laned) frame->room->device->ops->capture_destroy(frame->room->device, laned);
}

norn_status norn_step_graph_make(norn_frame *frame, norn_event *const events[2],
                                 norn_capture **out) {
    NORN_TRY(record(frame, false, out));
    try_lanes(frame, events, out);
    return NORN_OK;
}
