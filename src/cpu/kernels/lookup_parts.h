/// What the two ways of a lookup share: rows through a ring (lookup.c), and bags whose keys lie side by
/// side in memory (lookup_bags.c). For these two alone.
#ifndef NORN_CPU_KERNELS_LOOKUP_PARTS_H
#define NORN_CPU_KERNELS_LOOKUP_PARTS_H

#include "cpu/cpu_kernel.h"
#include "cpu/micro/pool_f32.h"
#include "graph/lookup_key.h"
#include "kernel/host_rows.h"
#include "tensor/dtype.h"

#include <stdatomic.h>

enum {
    AHEAD = 32, ///< keys between asking for tags, for slots, and looking
    CACHED_BYTES = 1 << 20,
    KEY_RUN = 64,
    BAG_RUN = 32, ///< keys of a stage
};

/// One output column, ready to run.
typedef struct lookup_column {
    const norn_lookup_column *spec;
    const norn_table_binding *table;
    norn_table_binding inline_table; ///< what `table` points to when the rows are an input
    const norn_view *keys;
    int64_t keys_first, keys_step; ///< FIXED and ONE: key j of row b is at b * step + first + j
    const void *offsets;           ///< CSR
    norn_dtype offsets_dtype;
    const float *weights;
    int64_t per_row; ///< FIXED and ONE: keys a row
    char *out;
    norn_dtype out_dtype;
    int64_t row_bytes, position_bytes; ///< between rows of the batch; between rows side by side
    int64_t copy_bytes;                ///< > 0: the table's bytes are the output's
    bool bags;                         ///< norn_lookup_bags does it
    const norn_key_index
        *index; ///< of a table that no cache holds: what it will be asked is asked ahead
} lookup_column;

typedef struct lookup_job {
    const norn_call *call;
    lookup_column *columns;
    uint32_t column_count;
    float *pools; ///< for each worker, pool_elems: a bag whose output is not float32
    int64_t pool_elems;
    norn_pool_f32_fn pool;
    atomic_int status; ///< of the first failure; its text is in `message`
    char message[512];
} lookup_job;

/// Key `index` of a column as its tensor has it, and as its table knows it.
static inline int64_t norn_lookup_integer(norn_dtype dtype, const void *data, int64_t index) {
    if (dtype == NORN_I64) return ((const int64_t *)data)[index];
    if (dtype == NORN_I32) return ((const int32_t *)data)[index];
    return norn_element_i64(dtype, data, index);
}
static inline int64_t norn_lookup_key_at(const lookup_column *column, int64_t index) {
    const int64_t key = norn_lookup_integer(column->keys->dtype, column->keys->data, index);
    return norn_lookup_key(column->spec, key, column->table->view.row_count);
}

/// Rows of `count` <= KEY_RUN keys, by the table's policy where there is none. False: an error has
/// been noted.
bool norn_lookup_resolve(lookup_job *job, const lookup_column *column, const int64_t *keys,
                         int64_t count, const void **rows);

/// Can norn_lookup_bags do it: sums of float32 rows into float32, with the keys of the batch's rows side by
/// side?
bool norn_lookup_is_bags(const lookup_column *column);
/// The bags of rows [begin, end). False: an error has been noted.
bool norn_lookup_bags(lookup_job *job, const lookup_column *column, int64_t begin, int64_t end);

#endif
