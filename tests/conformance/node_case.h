/// One ONNX node case: its line in cases.tsv, how it ended, and what it takes to run it.
#ifndef NORN_CONFORMANCE_NODE_CASE_H
#define NORN_CONFORMANCE_NODE_CASE_H

#include <stdbool.h>
#include <stdint.h>

typedef enum case_status {
    CASE_PASS,
    CASE_FAIL,        ///< ran, with other values than expected; or refused a model that is right
    CASE_UNSUPPORTED, ///< says which operator, version, type or kind of value Norn does not have
    CASE_CRASH,       ///< a signal, or no answer in time
} case_status;

enum { CASE_NAME = 160, CASE_NOTE = 400 };

typedef struct case_result {
    case_status status;
    double error;         ///< largest absolute difference of any output
    char note[CASE_NOTE]; ///< of all but CASE_PASS
} case_result;

typedef struct node_case {
    char name[CASE_NAME], op[64], opset[128], kinds[128];
    double rtol, atol;
    case_result result;
} node_case;

const char *case_status_name(case_status status);

/// Compile and run all data sets of DIR/NAME on the CPU. Runs in this process: whatever it does, it
/// may take the process down; the caller forks.
void node_case_run(const node_case *test, const char *dir, case_result *result);

/// The same with a model whose bytes `seed` changes at a few places: what counts is that it ends,
/// well or with a status; the result is not compared. CASE_FAIL only when the copy cannot be
/// written.
void node_case_run_mutant(const node_case *test, const char *dir, uint64_t seed,
                          case_result *result);

#endif
