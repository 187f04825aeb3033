/// The groups of the queue, in a list by their first requests.
#include "serve/schedule/queue_state.h"

enum { JOIN_GROUPS_MAX = 8 }; ///< groups, from the last, that a newcomer may join

void norn_queue_append_group(norn_queue *queue, norn_request *request) {
    request->next = NULL;
    request->group_next = NULL;
    request->group_prev = queue->last;
    request->group_last = request;
    request->group_rows = request->rows;
    request->group_count = 1;
    if (queue->last)
        queue->last->group_next = request;
    else
        queue->first = request;
    queue->last = request;
    queue->groups++;
}

void norn_queue_remove_group(norn_queue *queue, norn_request *group) {
    if (group->group_prev)
        group->group_prev->group_next = group->group_next;
    else
        queue->first = group->group_next;
    if (group->group_next)
        group->group_next->group_prev = group->group_prev;
    else
        queue->last = group->group_prev;
    queue->groups--;
}

void norn_queue_replace_first(norn_queue *queue, const norn_request *group, norn_request *next) {
    next->group_next = group->group_next;
    next->group_prev = group->group_prev;
    next->group_last = group->group_last;
    next->group_rows = group->group_rows;
    next->group_count = group->group_count;
    if (next->group_prev)
        next->group_prev->group_next = next;
    else
        queue->first = next;
    if (next->group_next)
        next->group_next->group_prev = next;
    else
        queue->last = next;
}

static bool has_room(const norn_queue *queue, const norn_request *group,
                     const norn_request *request) {
    return norn_request_can_join(group, request) && group->group_count < NORN_BATCH_REQUESTS_MAX &&
           group->group_rows <= queue->options.max_rows - request->rows;
}

norn_request *norn_queue_group_for(const norn_queue *queue, const norn_request *request,
                                   int64_t *ahead) {
    norn_request *group = queue->last;
    *ahead = queue->groups;
    if (request->join_key == 0) return NULL;
    for (int i = 0; group && i < JOIN_GROUPS_MAX; i++, group = group->group_prev) {
        if (!has_room(queue, group, request)) continue;
        *ahead -= i + 1;
        return group;
    }
    return NULL;
}

void norn_queue_append(norn_request *group, norn_request *request) {
    request->next = NULL;
    group->group_last->next = request;
    group->group_last = request;
    group->group_rows += request->rows;
    group->group_count++;
}
