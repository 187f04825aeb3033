/// Packages on disk, for tests: a folder of its own, models of one node, norn.json, versions.
#ifndef NORN_TESTING_PACKAGE_BUILD_H
#define NORN_TESTING_PACKAGE_BUILD_H

#include "base/cmocka_all.h"
#include "base/file_writer.h"
#include "base/memory.h"
#include "testing/onnx_build.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

enum { BUILD_F32 = 1, BUILD_I64 = 7, BUILD_STRING = 8 };

/// "FORMAT" below the test's folder, whose parents are made; four at a time.
static char build_root[] = "/tmp/norn_package_XXXXXX";
__attribute__((format(printf, 1, 2))) static inline const char *build_path(const char *format,
                                                                           ...) {
    static char paths[4][512];
    static unsigned turn;
    char *path = paths[turn++ % 4];
    va_list arguments;
    int at = snprintf(path, sizeof paths[0], "%s/", build_root);
    va_start(arguments, format);
    (void)vsnprintf(path + at, sizeof paths[0] - (size_t)at, format, arguments);
    va_end(arguments);
    for (char *slash = strchr(path + at, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        (void)mkdir(path, 0700);
        *slash = '/';
    }
    return path;
}

static inline void build_file(const char *path, const void *bytes, size_t count) {
    norn_file_writer *writer;
    assert_int_equal(norn_file_writer_open(path, norn_alloc_heap(), &writer), NORN_OK);
    assert_int_equal(norn_file_writer_append(writer, bytes, count), NORN_OK);
    assert_int_equal(norn_file_writer_commit(writer), NORN_OK);
}

static inline void build_text(const char *path, const char *text) {
    build_file(path, text, strlen(text));
}

/// y = OP(x), or OP(x, k) with a float k; x and y of `dtype` and shape "B,2".
static inline void build_one_node(const char *path, const char *op, uint64_t dtype,
                                  const float *k) {
    norn_buffer graph, model;
    norn_buffer_init(&graph, norn_alloc_heap());
    norn_buffer_init(&model, norn_alloc_heap());
    norn_wire_end(&graph, build_node(&graph, 1, op, "", "node", k ? NAMES("x", "k") : NAMES("x"),
                                     NAMES("y")));
    norn_wire_put_text(&graph, 2, "g");
    if (k) build_tensor(&graph, 5, "k", BUILD_F32, NULL, 0, k, sizeof *k);
    build_value(&graph, 11, "x", dtype, "B,2");
    build_value(&graph, 12, "y", dtype, "B,2");
    build_model(&model, &graph, 18, NULL);
    assert_int_equal(norn_buffer_status(&model), NORN_OK);
    build_file(path, model.bytes, model.count);
    norn_buffer_deinit(&graph);
    norn_buffer_deinit(&model);
}

static inline void build_scale(const char *path, float factor) {
    build_one_node(path, "Mul", BUILD_F32, &factor);
}

static inline int build_remove_one(const char *path, const struct stat *facts, int kind,
                                   struct FTW *at) {
    (void)facts, (void)kind, (void)at;
    return remove(path);
}

static inline int build_set_up(void **state) {
    (void)state;
    return mkdtemp(build_root) ? 0 : -1;
}

static inline int build_tear_down(void **state) {
    (void)state;
    return nftw(build_root, build_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

#endif
