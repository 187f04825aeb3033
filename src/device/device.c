#include "device/device.h"
#include "base/log.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { KIND_MAX = 8, KIND_TEXT = 16, ORDINAL_MAX = 1024 };

static norn_device_kind registered[KIND_MAX];
static char names[KIND_MAX][KIND_TEXT]; ///< of them
static int registered_count;
static pthread_mutex_t registry_lock = PTHREAD_MUTEX_INITIALIZER;

/// Caller holds the lock. NULL: there is no such kind.
static norn_device_kind *find_kind(const char *name) {
    for (int i = 0; i < registered_count; i++)
        if (strcmp(registered[i].name, name) == 0) return &registered[i];
    return NULL;
}

static void add_kind(const norn_device_kind *kind, bool replace) {
    pthread_mutex_lock(&registry_lock);
    norn_device_kind *there = find_kind(kind->name);
    if (there && replace) {
        there->open = kind->open;
    } else if (!there && (registered_count == KIND_MAX || strlen(kind->name) >= KIND_TEXT)) {
        norn_log(NORN_LOG_ERROR, "device kind '%s' does not fit the registry", kind->name);
    } else if (!there) {
        memcpy(names[registered_count], kind->name, strlen(kind->name) + 1);
        registered[registered_count] = *kind;
        registered[registered_count].name = names[registered_count];
        registered_count++;
    }
    pthread_mutex_unlock(&registry_lock);
}

void norn_device_register(const char *name, norn_backend_open_fn open) {
    add_kind(&(norn_device_kind){.name = name, .open = open}, true);
}

void norn_device_offer(const norn_device_kind *kind) {
    add_kind(kind, false);
}

/// "cuda:1" -> "cuda", 1. A kind alone is ordinal 0.
static bool split_name(const char *name, char kind[KIND_TEXT], int32_t *ordinal) {
    size_t count = strcspn(name, ":");
    if (count == 0 || count >= KIND_TEXT) return false;
    memcpy(kind, name, count);
    kind[count] = '\0';
    *ordinal = 0;
    if (name[count] == '\0') return true;
    const char *digits = name + count + 1;
    if (*digits == '\0') return false;
    for (; *digits; digits++) {
        if (*digits < '0' || *digits > '9' || *ordinal > ORDINAL_MAX) return false;
        *ordinal = *ordinal * 10 + (*digits - '0');
    }
    return true;
}

/// The kind that `name` is one of, and which of it.
static bool look_up(const char *name, norn_device_kind *out, int32_t *ordinal) {
    char kind[KIND_TEXT];
    if (!split_name(name, kind, ordinal)) return false;
    pthread_mutex_lock(&registry_lock);
    const norn_device_kind *there = find_kind(kind);
    if (there) *out = *there;
    pthread_mutex_unlock(&registry_lock);
    return there && (!out->host || !strchr(name, ':')); // there is one host
}

const char *norn_device_names(char text[NORN_DEVICE_NAMES]) {
    size_t used = 0;
    text[0] = 0;
    pthread_mutex_lock(&registry_lock);
    for (int i = 0; i < registered_count; i++) {
        const char *name = registered[i].name, *mark = i == 0 ? "" : ", ";
        if (i == registered_count - 1 && registered[i].host && i > 0) mark = " or ";
        used += (size_t)snprintf(text + used, NORN_DEVICE_NAMES - used, "%s%s", mark, name);
        if (!registered[i].host)
            used += (size_t)snprintf(text + used, NORN_DEVICE_NAMES - used, "%s%s:N",
                                     i == registered_count - 1 ? " or " : ", ", name);
    }
    pthread_mutex_unlock(&registry_lock);
    return text;
}

bool norn_device_is_name(const char *name) {
    norn_device_kind kind;
    int32_t ordinal;
    return look_up(name, &kind, &ordinal);
}

const char *norn_device_host_name(void) {
    const char *name = "";
    pthread_mutex_lock(&registry_lock);
    for (int i = registered_count - 1; i >= 0; i--)
        if (registered[i].host) name = registered[i].name; // names stay
    pthread_mutex_unlock(&registry_lock);
    return name;
}

norn_status norn_device_open(const char *name, norn_alloc alloc, norn_device **out) {
    norn_device_kind kind;
    int32_t ordinal;
    char known[NORN_DEVICE_NAMES];
    *out = NULL;
    if (!look_up(name, &kind, &ordinal))
        return norn_fail(NORN_INVALID_ARGUMENT, "device '%.64s': there is no such device; write %s",
                         name, norn_device_names(known));
    const norn_status status = kind.open(ordinal, alloc, out);
    if (status == NORN_OK) return NORN_OK;
    *out = NULL;
    norn_note("device '%s'", name);
    return status;
}

void norn_device_close(norn_device *device) {
    if (device) device->ops->destroy(device);
}
