#include "store/delta_check.h"

norn_status norn_table_check(const norn_version *version, uint32_t table) {
    if (table < version->table_count) return NORN_OK;
    return norn_fail(NORN_INVALID_ARGUMENT, "version %llu has %u table%s, not one of index %u",
                     (unsigned long long)version->number, version->table_count,
                     norn_plural(version->table_count), table);
}

norn_status norn_fetch_check(const norn_version *version, const norn_fetch *fetch) {
    for (uint32_t i = 0; i < fetch->count; i++)
        NORN_TRY(norn_table_check(version, fetch->keys[i].table));
    return NORN_OK;
}

norn_status norn_delta_check(const norn_version *version, const norn_delta *delta, uint64_t visible,
                             uint64_t applied) {
    NORN_TRY(norn_table_check(version, delta->table));
    const norn_table_form *form = &version->tables[delta->table];
    const uint64_t after = applied ? applied - 1 : visible;
    if (delta->step <= after)
        return norn_fail(NORN_FAILED_PRECONDITION, "table '%s': step %llu comes after step %llu",
                         form->name, (unsigned long long)delta->step,
                         (unsigned long long)(applied ? applied : after));
    if (!delta->deletes && delta->row_bytes != (size_t)form->row_bytes)
        return norn_fail(NORN_INVALID_ARGUMENT, "table '%s': rows of %zu byte%s, they have %lld",
                         form->name, delta->row_bytes, norn_plural(delta->row_bytes),
                         (long long)form->row_bytes);
    return NORN_OK;
}

norn_status norn_cut_check(const norn_cut *cut, uint64_t visible, uint64_t applied) {
    const uint64_t least = applied > visible ? applied : visible;
    if (cut->step >= least) return NORN_OK;
    return norn_fail(NORN_FAILED_PRECONDITION, "a cut at step %llu is before step %llu",
                     (unsigned long long)cut->step, (unsigned long long)least);
}
