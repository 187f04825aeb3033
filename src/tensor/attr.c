#include "tensor/attr.h"

#include <string.h>

const norn_attr *norn_attr_find(norn_attrs attrs, const char *name) {
    for (uint32_t i = 0; i < attrs.count; i++)
        if (strcmp(attrs.at[i].name, name) == 0) return &attrs.at[i];
    return NULL;
}

static const norn_attr *find_kind(norn_attrs attrs, const char *name, norn_attr_kind kind) {
    const norn_attr *attr = norn_attr_find(attrs, name);
    return attr && attr->kind == kind ? attr : NULL;
}

int64_t norn_attr_i64(norn_attrs attrs, const char *name, int64_t fallback) {
    const norn_attr *attr = find_kind(attrs, name, NORN_ATTR_INT);
    return attr ? attr->i64 : fallback;
}

float norn_attr_f32(norn_attrs attrs, const char *name, float fallback) {
    const norn_attr *attr = find_kind(attrs, name, NORN_ATTR_FLOAT);
    return attr ? attr->f32 : fallback;
}

const char *norn_attr_string(norn_attrs attrs, const char *name, const char *fallback) {
    const norn_attr *attr = find_kind(attrs, name, NORN_ATTR_STRING);
    return attr ? attr->string.bytes : fallback;
}

uint32_t norn_attr_ints(norn_attrs attrs, const char *name, const int64_t **ints) {
    const norn_attr *attr = find_kind(attrs, name, NORN_ATTR_INTS);
    *ints = attr ? attr->ints : NULL;
    return attr ? attr->count : 0;
}
