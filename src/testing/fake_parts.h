/// What the fake device's own files share: its devices, its streams and the work that is in them.
#ifndef NORN_TESTING_FAKE_PARTS_H
#define NORN_TESTING_FAKE_PARTS_H

#include "testing/fake_device.h"

#include "base/memory.h"
#include "tensor/view.h"

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

// ---- fake_device.c

void fake_must_be_in(const norn_device *self);
const norn_device *fake_owner(const void *at);
norn_status fake_do(fake_work *work);
fake_device *fake_of(norn_device *self);

// ---- fake_stream.c

void fake_push(norn_stream *stream, fake_work work);
norn_status fake_stream_create(norn_device *self, norn_stream *main, norn_stream **out);
void fake_stream_destroy(norn_device *self, norn_stream *stream);
norn_status fake_stream_wait(norn_device *self, norn_stream *stream);
norn_status fake_copy(norn_device *self, norn_stream *stream, void *to, const void *from,
                      size_t bytes);
norn_status fake_event_create(norn_device *self, norn_event **out);
void fake_event_destroy(norn_device *self, norn_event *event);
norn_status fake_event_record(norn_device *self, norn_event *event, norn_stream *stream);
norn_status fake_event_wait(norn_device *self, norn_stream *stream, norn_event *event);
norn_status fake_event_elapsed(norn_device *self, norn_event *from, norn_event *to, int64_t *ns);
norn_status fake_event_query(norn_device *self, norn_event *event, bool *done);
norn_status fake_copy_peer(norn_device *self, norn_stream *stream, void *to, norn_device *other,
                           const void *from, size_t bytes);
norn_status fake_host_call(norn_device *self, norn_stream *stream, void (*fn)(void *context),
                           void *context);
void fake_range_begin(norn_device *self, const char *name);
void fake_range_end(norn_device *self);
norn_status fake_capture_begin(norn_device *self, norn_stream *stream);
norn_status fake_capture_end(norn_device *self, norn_stream *stream, norn_capture **out);
norn_status fake_capture_launch(norn_device *self, norn_capture *capture, norn_stream *stream);
void fake_capture_destroy(norn_device *self, norn_capture *capture);

#endif
