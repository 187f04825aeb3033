#include "tensor/sequence.h"
#include "base/checked.h"
#include "tensor/dtype.h"

#include <string.h>

enum { TENSOR_ALIGN = 64 };

typedef struct header {
    uint64_t bytes;
    uint32_t count, present;
} header;

typedef struct entry {
    uint32_t dtype;
    int32_t rank;
    int64_t dims[NORN_MAX_RANK];
    uint64_t offset;
} entry;

static const entry *entries_of(const void *block) {
    return (const entry *)(const void *)((const char *)block + sizeof(header));
}

static bool table_bytes(uint64_t count, size_t *out) {
    return count <= NORN_SEQUENCE_MAX && norn_size_mul((size_t)count, sizeof(entry), out) &&
           norn_size_add(*out, sizeof(header), out);
}

static norn_view view_of(const void *block, const entry *e) {
    norn_view view = {.dtype = (norn_dtype)e->dtype, .rank = e->rank};
    memcpy(view.dims, e->dims, sizeof view.dims);
    view.data = (char *)(uintptr_t)block + e->offset;
    return view;
}

static norn_status malformed(const char *what) {
    return norn_fail(NORN_INVALID_ARGUMENT, "a sequence is malformed: %s", what);
}

static norn_status check_entry(const void *block, const entry *e, norn_dtype element, size_t begin,
                               size_t end) {
    if (e->dtype != (uint32_t)element) return malformed("a tensor of another type");
    if (e->rank < 0 || e->rank > NORN_MAX_RANK) return malformed("a tensor's rank");
    if (e->offset < begin || e->offset > end || e->offset % TENSOR_ALIGN)
        return malformed("a tensor's place");
    norn_view view = view_of(block, e);
    size_t bytes;
    NORN_TRY(norn_view_bytes(&view, &bytes));
    return bytes <= end - e->offset ? NORN_OK : malformed("a tensor's size");
}

norn_status norn_sequence_open(const norn_view *value, norn_sequence *out) {
    *out = (norn_sequence){0};
    if (!norn_dtype_holds_tensors(value->dtype) || value->rank != 1)
        return malformed("it is a tensor");
    size_t end = (size_t)value->dims[0], begin;
    if (value->dims[0] < (int64_t)sizeof(header) || !value->data) return malformed("no header");
    const header *head = value->data;
    if (head->bytes != end || head->present > 1) return malformed("its header");
    if (!table_bytes(head->count, &begin) || begin > end) return malformed("its count");
    bool one = (value->dtype & NORN_SEQUENCE) == 0;
    if (one && head->count != head->present) return malformed("an optional's count");
    if (!head->present && head->count) return malformed("it is absent and has tensors");
    const entry *entries = entries_of(head);
    for (uint32_t i = 0; i < head->count; i++)
        NORN_TRY(check_entry(head, &entries[i], norn_dtype_element(value->dtype), begin, end));
    *out = (norn_sequence){.block = head, .count = head->count, .present = head->present};
    return NORN_OK;
}

norn_view norn_sequence_at(const norn_sequence *sequence, uint32_t index) {
    return view_of(sequence->block, &entries_of(sequence->block)[index]);
}

norn_status norn_sequence_bytes(const norn_view *tensors, uint32_t count, size_t *out) {
    size_t total, bytes;
    bool fits = table_bytes(count, &total);
    for (uint32_t i = 0; i < count && fits; i++) {
        NORN_TRY(norn_view_bytes(&tensors[i], &bytes));
        fits =
            norn_size_add(norn_align_up(total, TENSOR_ALIGN), bytes, &total) && total < PTRDIFF_MAX;
    }
    if (!fits)
        return norn_fail(NORN_RESOURCE_EXHAUSTED,
                         "a sequence of %u tensor%s does not fit in memory", count,
                         norn_plural(count));
    *out = total;
    return NORN_OK;
}

void norn_sequence_write(void *block, const norn_view *tensors, uint32_t count, bool present) {
    header *head = block;
    entry *entries = (entry *)(void *)((char *)block + sizeof(header));
    size_t end = sizeof(header) + count * sizeof(entry);
    for (uint32_t i = 0; i < count; i++) {
        const norn_view *tensor = &tensors[i];
        size_t bytes = 0, begin = norn_align_up(end, TENSOR_ALIGN);
        memset((char *)block + end, 0, begin - end); // padding is nobody's old data
        (void)norn_dtype_bytes(tensor->dtype, norn_view_elems(tensor), &bytes);
        entries[i] =
            (entry){.dtype = (uint32_t)tensor->dtype, .rank = tensor->rank, .offset = begin};
        memcpy(entries[i].dims, tensor->dims, sizeof entries[i].dims);
        if (bytes) memcpy((char *)block + begin, tensor->data, bytes);
        end = begin + bytes;
    }
    *head = (header){.bytes = end, .count = count, .present = present};
}
