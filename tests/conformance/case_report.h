/// What a conformance run writes: the list of cases that pass, docs/conformance.md and docs/ops.md.
#ifndef NORN_CONFORMANCE_CASE_REPORT_H
#define NORN_CONFORMANCE_CASE_REPORT_H

#include "conformance/node_case.h"

#include <stddef.h>

typedef struct case_counts {
    int of[CASE_CRASH + 1];
} case_counts;

case_counts case_count(const node_case *cases, size_t count);

/// Names of the cases that must pass, one a line. False, with a line on stderr, if unreadable.
bool case_read_expected(const char *path, char ***names, size_t *count);
bool case_write_expected(const char *path, const node_case *cases, size_t count);
/// DIR/conformance.md and DIR/ops.md; `version` is the text of version.txt.
bool case_write_docs(const char *dir, const char *version, const node_case *cases, size_t count);

#endif
