/// One way of giving an ONNX node case rows (tests/peers/row_cases.py): what the plan proves of it,
/// and whether that is so.
#ifndef NORN_CONFORMANCE_ROW_CASE_H
#define NORN_CONFORMANCE_ROW_CASE_H

#include "norn/status.h"

#include <stddef.h>

enum { ROW_CASE_TEXT = 400 };

/// Compiles DIR/NAME/model.onnx for the CPU and writes the proof as text: "join, split, pad: rows 1"
/// where all is allowed (batch rows in dimension 0 of each output), else what forbids it. Where
/// rows may be joined or split it runs the case's rows, the same rows backwards, and both in one
/// batch; where the batch may be rounded up, with one row more.
/// Errors   INTERNAL: joined rows gave other values than the same rows apart;
///          others: the model does not compile (the text says so) or does not run
norn_status row_case_run(const char *dir, const char *name, char text[ROW_CASE_TEXT]);

#endif
