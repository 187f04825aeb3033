/// The tuning record: what was timed for each product, kept with the device and,
/// as bytes, in the plan's section "tuning" or a timing cache. Another process
/// takes the choices instead of timing again.
///
///     header    magic, version, entry count, what it was timed on
///     entry     the product, then its choices by rising rows
///
/// A record is taken whole or not at all, and only on the same GPU with the same cuBLASLt:
/// an algorithm's 64 bytes mean nothing to another version of the library (cublasLtMatmulAlgo_t).
#include "base/log.h"
#include "cuda/gemm/gemm.h"

#include <stdio.h>
#include <string.h>

enum { RECORD_VERSION = 5, ENTRIES_MAX = 1 << 16 };
#define RECORD_MAGIC "NORNTUNE"

typedef struct record_header {
    char magic[8];
    uint32_t version, entry_count;
    uint64_t cublas_lt;
    uint32_t sm, multiprocessors;
    char gpu[64];
} record_header;

typedef struct record_choice {
    int64_t m;
    int32_t way, split, groups;
    float us;
    uint64_t algorithm_known;
    cublasLtMatmulAlgo_t algorithm;
} record_choice;

typedef struct record_entry {
    norn_cuda_gemm_key key;
    uint64_t choice_count;
    record_choice choice[NORN_CUDA_GEMM_CHOICES];
} record_entry;

_Static_assert(sizeof(record_header) == 96, "no padding in the record");
_Static_assert(sizeof(record_choice) == 32 + sizeof(cublasLtMatmulAlgo_t), "no padding");
_Static_assert(sizeof(record_entry) ==
                   sizeof(norn_cuda_gemm_key) + 8 + NORN_CUDA_GEMM_CHOICES * sizeof(record_choice),
               "no padding");

// ---- with the device

static const norn_cuda_gemm_tuned *find(const norn_cuda_device *device,
                                        const norn_cuda_gemm_key *key) {
    for (uint32_t i = 0; i < device->tuned_count; i++)
        if (memcmp(&device->tuned[i].key, key, sizeof *key) == 0) return &device->tuned[i];
    return NULL;
}

bool norn_cuda_gemm_recall(norn_cuda_gemm_state *state, const norn_cuda_gemm_key *key) {
    const norn_cuda_gemm_tuned *tuned = find(state->device, key);
    if (!tuned) return false;
    for (int32_t i = 0; i < tuned->choice_count; i++)
        if (!norn_cuda_gemm_suits(state, key, &tuned->choices[i])) return false;
    memcpy(state->choices, tuned->choices, sizeof state->choices);
    state->choice_count = tuned->choice_count;
    return true;
}

static norn_status append(norn_cuda_device *device, const norn_cuda_gemm_tuned *tuned) {
    if (device->tuned_count == device->tuned_capacity) {
        const uint32_t capacity = device->tuned_capacity ? 2 * device->tuned_capacity : 16;
        norn_cuda_gemm_tuned *more;
        NORN_TRY(NORN_NEW_ARRAY(device->alloc, capacity, &more));
        if (device->tuned_count) memcpy(more, device->tuned, device->tuned_count * sizeof *more);
        norn_free(device->alloc, device->tuned);
        device->tuned = more;
        device->tuned_capacity = capacity;
    }
    device->tuned[device->tuned_count++] = *tuned;
    return NORN_OK;
}

norn_status norn_cuda_gemm_remember(const norn_cuda_gemm_state *state,
                                    const norn_cuda_gemm_key *key) {
    norn_cuda_gemm_tuned tuned = {.key = *key, .choice_count = state->choice_count};
    if (find(state->device, key)) return NORN_OK;
    memcpy(tuned.choices, state->choices, sizeof tuned.choices);
    return append(state->device, &tuned);
}

// ---- as bytes

static record_header header_of(const norn_cuda_device *device) {
    record_header header = {.version = RECORD_VERSION,
                            .entry_count = device->tuned_count,
                            .cublas_lt = cublasLtGetVersion(),
                            .sm = (uint32_t)device->sm,
                            .multiprocessors = (uint32_t)device->multiprocessors};
    memcpy(header.magic, RECORD_MAGIC, sizeof header.magic);
    (void)snprintf(header.gpu, sizeof header.gpu, "%s", device->gpu);
    return header;
}

void norn_cuda_tuning_save(norn_device *self, norn_buffer *out) {
    const norn_cuda_device *device = norn_cuda_device_of(self);
    const record_header header = header_of(device);
    if (device->tuned_count == 0) return;
    norn_buffer_append(out, &header, sizeof header);
    for (uint32_t i = 0; i < device->tuned_count; i++) {
        const norn_cuda_gemm_tuned *tuned = &device->tuned[i];
        record_entry entry = {.key = tuned->key, .choice_count = (uint64_t)tuned->choice_count};
        for (int32_t c = 0; c < tuned->choice_count; c++) {
            const norn_cuda_gemm_choice *choice = &tuned->choices[c];
            entry.choice[c] = (record_choice){.m = choice->m,
                                              .way = (int32_t)choice->way,
                                              .split = choice->split,
                                              .groups = choice->groups,
                                              .us = choice->us,
                                              .algorithm_known = choice->algorithm_known,
                                              .algorithm = choice->algorithm};
        }
        norn_buffer_append(out, &entry, sizeof entry);
    }
}

/// Hostile bytes: what `norn_cuda_gemm_suits` cannot see is checked here.
static norn_status decode_entry(const record_entry *entry, norn_cuda_gemm_tuned *out) {
    int64_t before = 0;
    if (entry->choice_count == 0 || entry->choice_count > NORN_CUDA_GEMM_CHOICES)
        return norn_fail(NORN_DATA_LOSS, "a product with %llu choices",
                         (unsigned long long)entry->choice_count);
    *out = (norn_cuda_gemm_tuned){.key = entry->key, .choice_count = (int32_t)entry->choice_count};
    for (int32_t i = 0; i < out->choice_count; i++) {
        const record_choice *from = &entry->choice[i];
        if (from->way < 0 || from->way > NORN_CUDA_GEMM_TILE || from->m <= before)
            return norn_fail(NORN_DATA_LOSS, "a choice that cannot be");
        before = from->m;
        out->choices[i] = (norn_cuda_gemm_choice){.m = from->m,
                                                  .way = (norn_cuda_gemm_way)from->way,
                                                  .split = from->split,
                                                  .groups = from->groups,
                                                  .us = from->us,
                                                  .algorithm_known = from->algorithm_known != 0,
                                                  .algorithm = from->algorithm};
    }
    return NORN_OK;
}

static norn_status decode_entries(norn_cuda_device *device, norn_span bytes, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        record_entry entry;
        norn_cuda_gemm_tuned tuned;
        memcpy(&entry, bytes.bytes + i * sizeof entry, sizeof entry);
        NORN_TRY(decode_entry(&entry, &tuned));
        if (!find(device, &tuned.key)) NORN_TRY(append(device, &tuned));
    }
    return NORN_OK;
}

norn_status norn_cuda_tuning_load(norn_device *self, norn_span record, bool *taken) {
    norn_cuda_device *device = norn_cuda_device_of(self);
    const record_header here = header_of(device);
    record_header header;
    *taken = false;
    if (record.count < sizeof header) return norn_fail(NORN_DATA_LOSS, "truncated");
    memcpy(&header, record.bytes, sizeof header);
    if (memcmp(header.magic, RECORD_MAGIC, sizeof header.magic) != 0)
        return norn_fail(NORN_DATA_LOSS, "this is no tuning record");
    const size_t left = record.count - sizeof header;
    if (header.version == RECORD_VERSION &&
        (header.entry_count > ENTRIES_MAX ||
         left != (size_t)header.entry_count * sizeof(record_entry)))
        return norn_fail(NORN_DATA_LOSS, "%u products do not fit its %zu bytes", header.entry_count,
                         record.count);
    if (!self->can_run) return NORN_OK;
    if (header.version != here.version || header.cublas_lt != here.cublas_lt ||
        header.sm != here.sm || header.multiprocessors != here.multiprocessors ||
        memcmp(header.gpu, here.gpu, sizeof here.gpu) != 0) {
        norn_log(NORN_LOG_INFO,
                 "cuda: products were timed on '%.*s' with cuBLASLt %llu and are timed again on "
                 "'%s' with %llu",
                 (int)sizeof header.gpu - 1, header.gpu, (unsigned long long)header.cublas_lt,
                 here.gpu, (unsigned long long)here.cublas_lt);
        return NORN_OK;
    }
    norn_span entries;
    (void)norn_span_slice(record, sizeof header, left, &entries);
    NORN_TRY(decode_entries(device, entries, header.entry_count));
    *taken = true;
    return NORN_OK;
}
