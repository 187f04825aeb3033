#include "store/redis/redis_client.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/memory.h"
#include "store/redis/redis_command.h"
#include "store/redis/redis_link.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define MS INT64_C(1000000)

enum {
    BACKOFF_FIRST_MS = 5,
    BACKOFF_MOST_MS = 500,
    MOVES_AT_ONCE = 4, ///< then nodes that point at each other are given time
    REFRESH_APART_MS = 20,
    REFRESH_IDLE_MS = 30000,
    SILENT_MS = 100, ///< a server that owes an answer so long is not asked for the map
};

typedef struct node_links {
    norn_redis_link of[NORN_REDIS_KINDS];
} node_links;

struct norn_redis_client {
    norn_alloc alloc;
    const norn_redis_options *options;
    const norn_redis_watch *watch;
    pthread_t thread;
    int wake;
    pthread_mutex_t lock; ///< of these:
    norn_redis_calls submitted;
    bool stop;
    uint16_t masters[NORN_REDIS_NODES_MAX];
    uint32_t master_count;
    norn_redis_address *names; ///< of nodes, by number
    size_t name_count, name_capacity;
    _Atomic uint64_t generation, calls, moved, asked, retried, connected, broken;
    // The thread's own.
    norn_redis_map map;
    node_links *links[NORN_REDIS_NODES_MAX]; ///< by number; NULL: not needed yet
    norn_redis_calls parked;
    norn_redis_call refresh;
    bool refreshing, known;
    int64_t refresh_due_ns, refreshed_ns;
    uint16_t refresh_node;
    norn_random random;
    char why[600]; ///< the last connection failed
    struct pollfd polled[NORN_REDIS_NODES_MAX * NORN_REDIS_KINDS + 1];
};

static norn_redis_client *client_of_refresh(norn_redis_call *call) {
    return (norn_redis_client *)(void *)((char *)call - offsetof(norn_redis_client, refresh));
}

// ---- waiting

/// Twice as long each time, anywhere in the upper half, so that clients do not come back together.
static int64_t backoff_ns(norn_redis_client *client, uint32_t tries) {
    int64_t ms = BACKOFF_FIRST_MS;
    for (uint32_t i = 0; i < tries && ms < BACKOFF_MOST_MS; i++) ms *= 2;
    if (ms > BACKOFF_MOST_MS) ms = BACKOFF_MOST_MS;
    return (int64_t)((double)(ms * MS) * (0.5 + norn_random_unit(&client->random) / 2));
}

static void want_refresh(norn_redis_client *client) {
    client->refresh_due_ns = client->refreshed_ns + REFRESH_APART_MS * MS;
}

static void park(norn_redis_client *client, norn_redis_call *call, int64_t until_ns) {
    call->not_before_ns = until_ns < call->deadline_ns ? until_ns : call->deadline_ns;
    norn_redis_calls_put(&client->parked, call);
}

static void try_later(norn_redis_client *client, norn_redis_call *call, int64_t now_ns) {
    atomic_fetch_add_explicit(&client->retried, 1, memory_order_relaxed);
    call->asking = false;
    park(client, call, now_ns + backoff_ns(client, call->tries));
    if (call->tries < UINT16_MAX) call->tries++;
}

static void bump(norn_redis_client *client) {
    atomic_fetch_add_explicit(&client->generation, 1, memory_order_release);
}

// ---- links

static const norn_redis_address *address_of(const norn_redis_client *client, uint16_t node) {
    return &client->map.nodes[node];
}

static norn_status links_of(norn_redis_client *client, uint16_t node, node_links **out) {
    if (!client->links[node]) {
        NORN_TRY(NORN_NEW(client->alloc, &client->links[node]));
        for (int k = 0; k < NORN_REDIS_KINDS; k++)
            norn_redis_link_init(&client->links[node]->of[k], client->alloc);
    }
    *out = client->links[node];
    return NORN_OK;
}

/// A call may go (back) to where it came from.
static void abort_call(norn_redis_call *call) {
    call->done(call, norn_fail(NORN_ABORTED, "a connection was lost, or a slot has another master"),
               NULL);
}

/// norn_message() says why.
static void lose_link(norn_redis_client *client, uint16_t node, int kind, norn_status status,
                      int64_t now_ns) {
    norn_redis_link *link = &client->links[node]->of[kind];
    norn_redis_calls sent = {0}, waiting = {0};
    norn_redis_call *call;
    (void)snprintf(client->why, sizeof client->why, "%s:%u: %s", address_of(client, node)->host,
                   address_of(client, node)->port, norn_message());
    NORN_LOG_LIMITED(NORN_LOG_WARN, "redis: %s", client->why);
    norn_redis_link_close(link, &sent, &waiting);
    // Without memory here the server is not to blame: whoever asks next is told at once.
    link->again_ns =
        status == NORN_RESOURCE_EXHAUSTED ? now_ns : now_ns + backoff_ns(client, link->failures++);
    atomic_fetch_add_explicit(&client->broken, 1, memory_order_relaxed);
    if (kind == NORN_REDIS_OTHER) bump(client);
    want_refresh(client);
    while ((call = norn_redis_calls_take(&sent))) {
        if (status == NORN_RESOURCE_EXHAUSTED)
            call->done(call, norn_fail(status, "redis: %s", client->why), NULL);
        else if (call->generation)
            abort_call(call);
        else
            try_later(client, call, now_ns);
    }
    while ((call = norn_redis_calls_take(&waiting))) try_later(client, call, now_ns);
}

/// The link is open, or the call has been dealt with.
static norn_redis_link *open_link(norn_redis_client *client, uint16_t node, norn_redis_call *call,
                                  int64_t now_ns) {
    node_links *links;
    norn_status status = links_of(client, node, &links);
    if (status != NORN_OK) {
        call->done(call, status, NULL);
        return NULL;
    }
    norn_redis_link *link = &links->of[call->kind];
    if (link->file >= 0) return link;
    if (now_ns < link->again_ns) {
        want_refresh(client);
        try_later(client, call, now_ns);
        return NULL;
    }
    status = norn_redis_link_open(link, address_of(client, node),
                                  client->options->replica_reads && call->kind == NORN_REDIS_FETCH,
                                  now_ns);
    if (status == NORN_OK) {
        atomic_fetch_add_explicit(&client->connected, 1, memory_order_relaxed);
        return link;
    }
    lose_link(client, node, call->kind, status, now_ns);
    if (status == NORN_RESOURCE_EXHAUSTED)
        call->done(call, norn_fail(status, "redis: %s", client->why), NULL);
    else
        try_later(client, call, now_ns);
    return NULL;
}

// ---- where calls go

/// A slot's replica is asked first where that is wished; then both in turn.
static uint16_t node_of(const norn_redis_client *client, const norn_redis_call *call) {
    if (call->asking) return call->ask_node;
    if (call->node != NORN_REDIS_NO_NODE) return call->node;
    const uint16_t replica = client->map.replica[call->slot];
    if (client->options->replica_reads && call->kind == NORN_REDIS_FETCH &&
        replica != NORN_REDIS_NO_NODE && call->tries % 2 == 0 && call->moves == 0)
        return replica;
    return client->map.master[call->slot];
}

/// False: it is over with the call.
static bool still(void *context, norn_redis_call *call) {
    norn_redis_client *client = context;
    if (call->generation &&
        call->generation != atomic_load_explicit(&client->generation, memory_order_relaxed)) {
        abort_call(call);
        return false;
    }
    if (call->unwanted) {
        call->done(call, norn_fail(NORN_CANCELLED, "nobody waits for it"), NULL);
        return false;
    }
    if (call->tries == 0 || norn_clock_now_ns() < call->deadline_ns) return true;
    call->done(call,
               norn_fail(NORN_UNAVAILABLE, "redis: no answer in time%s%s",
                         client->why[0] ? "; last: " : "", client->why),
               NULL);
    return false;
}

static void route(norn_redis_client *client, norn_redis_call *call, int64_t now_ns) {
    if (!still(client, call)) return;
    const uint16_t node = node_of(client, call);
    if (node == NORN_REDIS_NO_NODE) {
        want_refresh(client);
        try_later(client, call, now_ns);
        return;
    }
    call->at = node;
    norn_redis_link *link = open_link(client, node, call, now_ns);
    if (link) norn_redis_calls_put(&link->waiting, call);
}

/// Of those nodes that have slots, for other threads.
static norn_status publish_masters(norn_redis_client *client) {
    norn_status status = NORN_OK;
    bool has[NORN_REDIS_NODES_MAX] = {0};
    for (int s = 0; s < NORN_REDIS_SLOTS; s++)
        if (client->map.master[s] != NORN_REDIS_NO_NODE) has[client->map.master[s]] = true;
    pthread_mutex_lock(&client->lock);
    client->master_count = 0;
    for (size_t i = 0; i < client->map.count; i++)
        if (has[i]) client->masters[client->master_count++] = (uint16_t)i;
    while (status == NORN_OK && client->name_count < client->map.count) {
        status =
            NORN_MORE(client->alloc, &client->names, client->name_count, &client->name_capacity);
        if (status != NORN_OK) break;
        client->names[client->name_count] = client->map.nodes[client->name_count];
        client->name_count++;
    }
    pthread_mutex_unlock(&client->lock);
    return status;
}

// ---- the map

static void encode_refresh(const norn_redis_call *call, norn_buffer *out) {
    (void)call;
    norn_redis_put_words(out, "CLUSTER", "SLOTS", NULL);
}

/// Out of memory, nothing is found by waiting.
static void fail_parked(norn_redis_client *client, norn_status status) {
    norn_redis_call *call;
    while ((call = norn_redis_calls_take(&client->parked)))
        call->done(call, norn_fail(status, "no memory for the map of a cluster"), NULL);
}

static void refreshed(norn_redis_call *call, norn_status status, const norn_redis_reply *reply) {
    norn_redis_client *client = client_of_refresh(call);
    bool changed = false;
    if (status == NORN_OK)
        status = norn_redis_map_read(&client->map, reply, call->node, &changed);
    else if (status == NORN_INTERNAL && !client->known) { // a server that knows no cluster
        for (int s = 0; s < NORN_REDIS_SLOTS; s++) client->map.master[s] = call->node;
        client->map.plain = changed = true;
        status = NORN_OK;
    }
    if (status == NORN_OK && changed) {
        bump(client);
        status = publish_masters(client);
    }
    if (status == NORN_OK) client->known = true;
    if (status == NORN_RESOURCE_EXHAUSTED) fail_parked(client, status);
    if (status == NORN_DATA_LOSS)
        NORN_LOG_LIMITED(NORN_LOG_WARN, "redis: %s:%u: %s", address_of(client, call->node)->host,
                         address_of(client, call->node)->port, norn_message());
    client->refreshing = false;
    client->refreshed_ns = norn_clock_now_ns();
    client->refresh_due_ns =
        client->refreshed_ns + (status == NORN_OK ? REFRESH_IDLE_MS : REFRESH_APART_MS) * MS;
}

static bool may_know(const norn_redis_client *client, uint16_t node, int64_t now_ns) {
    if (!client->links[node]) return true;
    const norn_redis_link *link = &client->links[node]->of[NORN_REDIS_FETCH];
    if (link->file < 0) return now_ns >= link->again_ns;
    return !norn_redis_link_owed(link) || now_ns - link->moved_ns < SILENT_MS * MS;
}

static void refresh_map(norn_redis_client *client, int64_t now_ns) {
    if (client->refreshing || now_ns < client->refresh_due_ns) return;
    for (size_t i = 0; i < client->map.count; i++) {
        client->refresh_node = (uint16_t)((client->refresh_node + 1u) % client->map.count);
        if (may_know(client, client->refresh_node, now_ns)) break;
    }
    if (client->map.plain) { // it has nothing to say
        client->refresh_due_ns = now_ns + REFRESH_IDLE_MS * MS;
        return;
    }
    client->refreshing = true;
    client->refresh =
        (norn_redis_call){.encode = encode_refresh,
                          .done = refreshed,
                          .deadline_ns = now_ns + client->options->command_timeout_ms * MS,
                          .replies = 1,
                          .node = client->refresh_node,
                          .kind = NORN_REDIS_FETCH};
    route(client, &client->refresh, now_ns);
}

// ---- answers

static void fail_call(const norn_redis_client *client, norn_redis_call *call, norn_status status,
                      const norn_redis_reply *reply) {
    const norn_redis_address *address = address_of(client, call->at);
    char text[200];
    norn_redis_print(reply, text, sizeof text);
    call->done(call,
               norn_fail(status, "redis: %s:%u says '%s'", address->host, address->port, text),
               NULL);
}

static norn_status status_of(const norn_redis_reply *reply) {
    const norn_span text = norn_redis_bytes(reply, 0);
    const char *bytes = (const char *)text.bytes;
    if (text.count >= 9 && memcmp(bytes, "WRONGTYPE", 9) == 0) return NORN_DATA_LOSS;
    if (text.count >= 6 && (memcmp(bytes, "NOAUTH", 6) == 0 || memcmp(bytes, "NOPERM", 6) == 0))
        return NORN_PERMISSION_DENIED;
    return NORN_INTERNAL;
}

static void answer_error(norn_redis_client *client, norn_redis_call *call,
                         const norn_redis_reply *reply) {
    const int64_t now_ns = norn_clock_now_ns();
    uint16_t slot, node;
    switch (norn_redis_error_read(&client->map, reply, call->at, &slot, &node)) {
    case NORN_REDIS_MOVED:
        atomic_fetch_add_explicit(&client->moved, 1, memory_order_relaxed);
        want_refresh(client);
        call->asking = false;
        if (client->map.master[slot] != node) {
            client->map.master[slot] = node;
            bump(client);
            if (publish_masters(client) != NORN_OK) break;
        }
        if (call->generation)
            abort_call(call);
        else if (++call->moves <= MOVES_AT_ONCE)
            route(client, call, now_ns);
        else
            try_later(client, call, now_ns);
        return;
    case NORN_REDIS_ASK:
        atomic_fetch_add_explicit(&client->asked, 1, memory_order_relaxed);
        call->asking = ++call->moves <= MOVES_AT_ONCE;
        call->ask_node = node;
        if (call->asking) {
            route(client, call, now_ns);
            return;
        }
        call->moves = 0;
        try_later(client, call, now_ns);
        return;
    case NORN_REDIS_LATER:
        want_refresh(client);
        try_later(client, call, now_ns);
        return;
    case NORN_REDIS_FULL:
        fail_call(client, call, NORN_RESOURCE_EXHAUSTED, reply);
        return;
    case NORN_REDIS_ABORTED:
    case NORN_REDIS_FAILED:
        break;
    }
    fail_call(client, call, status_of(reply), reply);
}

/// An error within what EXEC answers is the call's too.
static bool find_error(const norn_redis_call *call, const norn_redis_reply *reply,
                       norn_redis_reply *error) {
    if (norn_redis_is(reply, 0, NORN_REDIS_ERROR)) {
        *error = *reply;
        return true;
    }
    for (uint32_t i = 1; call->replies > 1 && i < reply->count; i++) {
        if (reply->values[i].type != NORN_REDIS_ERROR) continue;
        *error = (norn_redis_reply){reply->values + i, 1, reply->bytes};
        return true;
    }
    return false;
}

static void answer(void *context, norn_redis_call *call, const norn_redis_reply *reply) {
    norn_redis_client *client = context;
    norn_redis_reply error;
    atomic_fetch_add_explicit(&client->calls, 1, memory_order_relaxed);
    if (find_error(call, reply, &error))
        answer_error(client, call, &error);
    else
        call->done(call, NORN_OK, reply);
}

// ---- the thread

static bool take_submitted(norn_redis_client *client, int64_t now_ns) {
    norn_redis_calls calls;
    norn_redis_call *call;
    pthread_mutex_lock(&client->lock);
    calls = client->submitted;
    client->submitted = (norn_redis_calls){0};
    const bool stop = client->stop;
    pthread_mutex_unlock(&client->lock);
    while ((call = norn_redis_calls_take(&calls))) route(client, call, now_ns);
    return !stop;
}

static void unpark(norn_redis_client *client, int64_t now_ns) {
    norn_redis_calls parked = client->parked;
    norn_redis_call *call;
    client->parked = (norn_redis_calls){0};
    while ((call = norn_redis_calls_take(&parked))) {
        if (call->not_before_ns <= now_ns)
            route(client, call, now_ns);
        else
            norn_redis_calls_put(&client->parked, call);
    }
}

static int64_t first_parked(const norn_redis_client *client) {
    int64_t first_ns = INT64_MAX;
    for (const norn_redis_call *call = client->parked.first; call; call = call->next)
        if (call->not_before_ns < first_ns) first_ns = call->not_before_ns;
    return first_ns;
}

/// When a server that owes something is given up.
static int64_t patience_ends(const norn_redis_client *client, const norn_redis_link *link) {
    const norn_redis_options *o = client->options;
    if (!norn_redis_link_owed(link)) return INT64_MAX;
    return link->moved_ns + (link->connecting ? o->connect_timeout_ms : o->command_timeout_ms) * MS;
}

static int64_t check_links(norn_redis_client *client, int64_t now_ns) {
    const norn_redis_answers to = {answer, still, client};
    int64_t next_ns = INT64_MAX;
    for (uint16_t n = 0; n < client->map.count; n++) {
        for (int k = 0; client->links[n] && k < NORN_REDIS_KINDS; k++) {
            norn_redis_link *link = &client->links[n]->of[k];
            if (link->file < 0) continue;
            norn_status status = NORN_OK;
            if (now_ns >= patience_ends(client, link))
                status = norn_fail(NORN_UNAVAILABLE, "it does not answer");
            else if (link->waiting.first || link->connecting)
                status = norn_redis_link_send(link, &to, now_ns);
            if (status != NORN_OK) {
                lose_link(client, n, k, status, now_ns);
                continue;
            }
            const int64_t ends_ns = patience_ends(client, link);
            if (ends_ns < next_ns) next_ns = ends_ns;
        }
    }
    return next_ns;
}

static void wait_for_events(norn_redis_client *client, int64_t until_ns) {
    const norn_redis_answers to = {answer, still, client};
    norn_redis_link *links[NORN_REDIS_NODES_MAX * NORN_REDIS_KINDS];
    uint16_t nodes[NORN_REDIS_NODES_MAX * NORN_REDIS_KINDS];
    size_t count = 0;
    for (uint16_t n = 0; n < client->map.count; n++)
        for (int k = 0; client->links[n] && k < NORN_REDIS_KINDS; k++)
            if (client->links[n]->of[k].file >= 0) {
                links[count] = &client->links[n]->of[k];
                nodes[count++] = n;
            }
    for (size_t i = 0; i < count; i++)
        client->polled[i] = (struct pollfd){links[i]->file, norn_redis_link_events(links[i]), 0};
    client->polled[count] = (struct pollfd){client->wake, POLLIN, 0};
    int64_t left_ns = until_ns == INT64_MAX ? 3600000 * MS : until_ns - norn_clock_now_ns();
    if (left_ns < 0) left_ns = 0;
    const struct timespec wait = {left_ns / 1000000000, left_ns % 1000000000};
    if (ppoll(client->polled, count + 1, &wait, NULL) <= 0) return;
    uint64_t woken;
    if (client->polled[count].revents && read(client->wake, &woken, sizeof woken) < 0) return;
    const int64_t now_ns = norn_clock_now_ns();
    for (size_t i = 0; i < count; i++) {
        const short events = client->polled[i].revents;
        const int kind = (int)(links[i] - client->links[nodes[i]]->of);
        if (!events || links[i]->file != client->polled[i].fd) continue; // it was lost meanwhile
        norn_status status = NORN_OK;
        if (events & (POLLIN | POLLERR | POLLHUP))
            status = norn_redis_link_read(links[i], &to, now_ns);
        if (status == NORN_OK) status = norn_redis_link_send(links[i], &to, now_ns);
        if (status != NORN_OK) lose_link(client, nodes[i], kind, status, now_ns);
    }
}

static void cancel(norn_redis_calls *calls) {
    norn_redis_call *call;
    while ((call = norn_redis_calls_take(calls)))
        call->done(call, norn_fail(NORN_CANCELLED, "the tier is being closed"), NULL);
}

static void cancel_all(norn_redis_client *client) {
    norn_redis_calls all = client->parked;
    client->parked = (norn_redis_calls){0};
    for (uint16_t n = 0; n < client->map.count; n++)
        for (int k = 0; client->links[n] && k < NORN_REDIS_KINDS; k++)
            norn_redis_link_close(&client->links[n]->of[k], &all, &all);
    cancel(&all);
}

static void *serve(void *argument) {
    norn_redis_client *client = argument;
    while (take_submitted(client, norn_clock_now_ns())) {
        const int64_t now_ns = norn_clock_now_ns();
        int64_t next_ns = client->watch->look(client->watch->context, now_ns);
        refresh_map(client, now_ns);
        unpark(client, now_ns);
        const int64_t links_ns = check_links(client, now_ns); // which may park calls
        const int64_t ends[3] = {links_ns, first_parked(client),
                                 client->refreshing ? INT64_MAX : client->refresh_due_ns};
        for (int i = 0; i < 3; i++)
            if (ends[i] < next_ns) next_ns = ends[i];
        wait_for_events(client, next_ns);
    }
    cancel_all(client);
    return NULL;
}

// ---- other threads

static void wake(norn_redis_client *client) {
    const uint64_t one = 1;
    while (write(client->wake, &one, sizeof one) < 0 && errno == EINTR) {
    }
}

void norn_redis_client_send(norn_redis_client *client, norn_redis_calls *calls) {
    if (!calls->first) return;
    pthread_mutex_lock(&client->lock);
    const bool idle = !client->submitted.first, stop = client->stop;
    if (!stop) norn_redis_calls_join(&client->submitted, calls);
    pthread_mutex_unlock(&client->lock);
    if (stop)
        cancel(calls);
    else if (idle)
        wake(client);
}

uint64_t norn_redis_client_generation(norn_redis_client *client) {
    return atomic_load_explicit(&client->generation, memory_order_acquire);
}

void norn_redis_client_masters(norn_redis_client *client, uint16_t *nodes, uint32_t *count) {
    pthread_mutex_lock(&client->lock);
    *count = client->master_count;
    memcpy(nodes, client->masters, client->master_count * sizeof *nodes);
    pthread_mutex_unlock(&client->lock);
}

void norn_redis_client_name(norn_redis_client *client, uint16_t node, char *out, size_t room) {
    pthread_mutex_lock(&client->lock);
    if (node < client->name_count)
        (void)snprintf(out, room, "%s:%u", client->names[node].host, client->names[node].port);
    else
        (void)snprintf(out, room, "a server");
    pthread_mutex_unlock(&client->lock);
}

norn_redis_stat norn_redis_client_stat(norn_redis_client *client) {
    return (norn_redis_stat){.calls = client->calls,
                             .moved = client->moved,
                             .asked = client->asked,
                             .retried = client->retried,
                             .connected = client->connected,
                             .broken = client->broken};
}

// ---- life

void norn_redis_client_destroy(norn_redis_client *client) {
    for (int n = 0; n < NORN_REDIS_NODES_MAX; n++) {
        for (int k = 0; client->links[n] && k < NORN_REDIS_KINDS; k++)
            norn_redis_link_deinit(&client->links[n]->of[k]);
        norn_free(client->alloc, client->links[n]);
    }
    norn_redis_map_deinit(&client->map);
    norn_free(client->alloc, client->names);
    if (client->wake >= 0) close(client->wake);
    pthread_mutex_destroy(&client->lock);
    norn_free(client->alloc, client);
}

norn_status norn_redis_client_start(const norn_redis_options *options,
                                    const norn_redis_watch *watch, norn_alloc alloc,
                                    norn_redis_client **out) {
    norn_redis_client *client;
    *out = NULL;
    NORN_TRY(NORN_NEW(alloc, &client));
    client->alloc = alloc;
    client->options = options;
    client->watch = watch;
    client->generation = 1;
    pthread_mutex_init(&client->lock, NULL);
    norn_redis_map_init(&client->map, alloc);
    norn_random_init(&client->random, (uint64_t)norn_clock_now_ns());
    client->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    norn_status status = norn_redis_map_seed(&client->map, options->nodes);
    client->refresh_node = (uint16_t)(client->map.count - 1); // the first is asked first
    if (status == NORN_OK && client->wake < 0)
        status = norn_fail(NORN_RESOURCE_EXHAUSTED, "no eventfd for redis");
    if (status == NORN_OK && pthread_create(&client->thread, NULL, serve, client) != 0)
        status = norn_fail(NORN_RESOURCE_EXHAUSTED, "no thread for redis");
    if (status != NORN_OK) {
        norn_redis_client_destroy(client);
        return status;
    }
    *out = client;
    return NORN_OK;
}

void norn_redis_client_stop(norn_redis_client *client) {
    pthread_mutex_lock(&client->lock);
    client->stop = true;
    pthread_mutex_unlock(&client->lock);
    wake(client);
    pthread_join(client->thread, NULL);
}
