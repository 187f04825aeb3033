// Bags whose keys lie side by side in memory: the keys of many bags are one stream, whatever bag they
// are of. A run of it is on its way through four stages at a time, so that memory is never waited for
// where it could be asked: tags, slots, rows, sums.
#include "cpu/kernels/lookup_parts.h"

#include <string.h>

enum { LINE = 64, ROW_LINES = 16 };

bool norn_lookup_is_bags(const lookup_column *column) {
    const norn_lookup_column *spec = column->spec;
    const bool side_by_side = spec->form == NORN_KEYS_CSR ||
                              (column->per_row > 1 && column->keys_step == column->per_row);
    return side_by_side && !spec->has_padding && column->table->dtype == NORN_F32 &&
           column->out_dtype == NORN_F32 &&
           (spec->pool == NORN_POOL_SUM || spec->pool == NORN_POOL_MEAN);
}

/// Where the keys of row `row` begin.
static int64_t first_key(const lookup_column *column, int64_t row) {
    return column->spec->form == NORN_KEYS_CSR
               ? norn_lookup_integer(column->offsets_dtype, column->offsets, row)
               : row * column->keys_step + column->keys_first;
}

/// The bag that sums go to.
typedef struct open_bag {
    int64_t row, end; ///< of the batch; behind its last key
    int64_t begin;
    float *out;
} open_bag;

static void open_row(const lookup_column *column, int64_t row, open_bag *bag) {
    *bag = (open_bag){row, first_key(column, row + 1), first_key(column, row),
                      (float *)(void *)(column->out + row * column->row_bytes)};
}

/// A bag of no keys is zeros; the mean of others is their sum, scaled.
static void close_bag(const lookup_column *column, const open_bag *bag) {
    const int64_t dim = column->spec->dim, count = bag->end - bag->begin;
    if (count == 0) memset(bag->out, 0, (size_t)dim * sizeof *bag->out);
    if (count < 2 || column->spec->pool != NORN_POOL_MEAN) return;
    const float scale = 1 / (float)count;
    for (int64_t i = 0; i < dim; i++) bag->out[i] *= scale;
}

/// Rows of the keys [at, at + count) into their bags.
static void add_rows(const lookup_job *job, const lookup_column *column, open_bag *bag,
                     const void *const *rows, int64_t at, int64_t count) {
    for (int64_t done = 0; done < count;) {
        while (bag->end == at + done) { // also of bags without keys
            close_bag(column, bag);
            open_row(column, bag->row + 1, bag);
        }
        const int64_t left = bag->end - at - done, n = left < count - done ? left : count - done;
        const float *weights = column->weights ? column->weights + at + done : NULL;
        job->pool(bag->out, rows + done, weights, n, column->spec->dim, at + done > bag->begin);
        done += n;
    }
}

static void ask_rows(const lookup_column *column, const void *const *rows, int64_t count) {
    int64_t lines = (column->table->view.row_bytes + LINE - 1) / LINE;
    if (lines > ROW_LINES) lines = ROW_LINES; // the hardware goes on from there
    for (int64_t i = 0; i < count; i++)
        for (int64_t line = 0; rows[i] && line < lines; line++)
            __builtin_prefetch((const char *)rows[i] + line * LINE);
}

/// Keys [at, end) of a run; how many.
static int64_t take_keys(const lookup_column *column, int64_t at, int64_t end, int64_t *keys) {
    int64_t count = 0;
    for (; count < BAG_RUN && at + count < end; count++)
        keys[count] = norn_lookup_key_at(column, at + count);
    return count;
}

bool norn_lookup_bags(lookup_job *job, const lookup_column *column, int64_t begin, int64_t end) {
    enum { STAGES = 4 };
    int64_t keys[STAGES][BAG_RUN], count[STAGES] = {0};
    const void *rows[2][BAG_RUN];
    const int64_t first = first_key(column, begin), last = first_key(column, end);
    open_bag bag;
    open_row(column, begin, &bag);
    for (int64_t at = first; at < last + 3 * BAG_RUN; at += BAG_RUN) {
        const int64_t run = (at - first) / BAG_RUN; // of those whose tags are asked for now
        const int64_t now = run % STAGES, slots = (run + 3) % STAGES, resolved = (run + 2) % STAGES,
                      summed = (run + 1) % STAGES;
        count[now] = at < last ? take_keys(column, at, last, keys[now]) : 0;
        if (column->index) norn_key_index_ask_tags(column->index, keys[now], count[now]);
        if (column->index && run >= 1)
            norn_key_index_ask_slots(column->index, keys[slots], count[slots]);
        if (run >= 2 && count[resolved] > 0) {
            if (!norn_lookup_resolve(job, column, keys[resolved], count[resolved], rows[run % 2]))
                return false;
            ask_rows(column, rows[run % 2], count[resolved]);
        }
        if (run >= 3)
            add_rows(job, column, &bag, rows[(run + 1) % 2], at - 3 * BAG_RUN, count[summed]);
    }
    for (; bag.row + 1 < end; open_row(column, bag.row + 1, &bag)) close_bag(column, &bag);
    close_bag(column, &bag);
    return true;
}
