/// Tuning: a device times the ways of computing a product while it prepares the plan's steps (resident.h);
/// the choices go into the plan file, and into a cache that several models share.
#include "base/file.h"
#include "base/file_writer.h"
#include "base/log.h"
#include "runtime/resident.h"

#include <string.h>

static norn_status read_cache(norn_plan *plan, const char *path) {
    norn_device *device = norn_plan_device(plan);
    norn_file *file;
    bool taken;
    if (!norn_path_is_file(path)) return NORN_OK; // it will be made
    NORN_TRY(norn_file_read(path, plan->alloc, &file));
    const norn_status status = device->ops->tuning_load(device, norn_file_bytes(file), &taken);
    norn_file_release(file);
    if (status != NORN_OK) norn_note("timing cache '%s'; remove it to begin anew", path);
    return status;
}

static norn_status write_cache(norn_plan *plan, const char *path) {
    norn_device *device = norn_plan_device(plan);
    norn_file_writer *writer;
    norn_buffer record;
    norn_status status;
    norn_buffer_init(&record, plan->alloc);
    device->ops->tuning_save(device, &record);
    NORN_TRY_DONE(norn_buffer_status(&record));
    if (record.count == 0) goto done; // a model without products
    NORN_TRY_DONE(norn_file_writer_open(path, plan->alloc, &writer));
    status = norn_file_writer_append(writer, record.bytes, record.count);
    if (status == NORN_OK)
        status = norn_file_writer_commit(writer);
    else
        norn_file_writer_abort(writer);
done:
    if (status != NORN_OK) norn_note("timing cache '%s'", path);
    norn_buffer_deinit(&record);
    return status;
}

norn_status norn_plan_tune(norn_plan *plan, const char *cache) {
    norn_device *device = norn_plan_device(plan);
    if (!device || !device->ops->tuning_load) {
        if (!cache) return NORN_OK;
        return norn_fail(NORN_INVALID_ARGUMENT,
                         "a timing cache is of no use to a plan for '%s', where nothing is timed",
                         plan->device_name);
    }
    if (!device->can_run) {
        if (cache)
            return norn_fail(NORN_UNAVAILABLE,
                             "device '%s' is not here to be timed; compile without a timing cache",
                             plan->device_name);
        norn_log(NORN_LOG_INFO,
                 "device '%s' is not here: its products are timed wherever the plan is loaded",
                 plan->device_name);
        return NORN_OK;
    }
    if (cache) NORN_TRY(read_cache(plan, cache));
    norn_resident *resident;
    NORN_TRY(norn_resident_share(plan, &resident)); // times what the device does not know
    norn_resident_release(resident);
    return cache ? write_cache(plan, cache) : NORN_OK;
}
