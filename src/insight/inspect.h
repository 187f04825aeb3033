/// What is in a model: parameters, work, bytes, operators, tables; as text, JSON or a page.
#ifndef NORN_INSIGHT_INSPECT_H
#define NORN_INSIGHT_INSPECT_H

#include "base/arena.h"
#include "graph/graph.h"
#include "norn/plan.h"

typedef struct norn_inspect_node {
    const char *name, *op, *outputs; ///< op: with its domain; outputs: "float32[B,64]"
    const char *origin;              ///< ONNX node names, comma separated
    double flops, bytes;             ///< at the batch; 0 in bodies of loops
    int64_t parameters;              ///< elements of constants that it is the first to read
    uint32_t depth;                  ///< how many bodies it is in
} norn_inspect_node;

typedef struct norn_inspect_port {
    const char *name, *type; ///< "float32[B,13]"
} norn_inspect_port;

typedef struct norn_inspect_op {
    const char *name;
    uint32_t count;
    double flops;
} norn_inspect_op;

typedef struct norn_inspect_table {
    const char *name;
    const char *source; ///< "initializer", a file, or "missing"
    int64_t rows, dim;  ///< rows: -1 when the table is not at hand
    uint64_t bytes;
    uint32_t lookups; ///< nodes that read it
} norn_inspect_table;

typedef struct norn_inspection {
    const char *path, *name, *producer, *batch; ///< batch: the symbol's name or NULL
    int64_t opset, rows;                        ///< rows: the batch that flops and bytes are for
    norn_inspect_port *inputs, *outputs;
    uint32_t input_count, output_count;
    norn_inspect_node *nodes;
    uint32_t node_count;
    norn_inspect_op *ops; ///< most frequent first
    uint32_t op_count;
    norn_inspect_table *tables;
    uint32_t table_count;
    int64_t parameters;
    uint64_t parameter_bytes;
    double flops, bytes;
} norn_inspection;

/// Look at `graph` with `rows` for the batch (0: 1) and 64 for other sizes that are not known.
/// `tables_dir` may be NULL. Everything lands in `arena`.
norn_status norn_inspect_graph(const norn_graph *graph, const char *tables_dir, int64_t rows,
                               norn_arena *arena, norn_inspection *out) NORN_NODISCARD;

/// The tables that a plan's lookups read, into inspection->tables. `tables_dir` (NULL: none) has
/// those that the plan does not.
norn_status norn_inspect_plan_tables(const norn_plan *plan, const char *tables_dir,
                                     norn_arena *arena, norn_inspection *out) NORN_NODISCARD;

/// `all_nodes` false: the twenty nodes with the most work.
void norn_inspect_text(const norn_inspection *inspection, bool all_nodes, norn_buffer *out);
void norn_inspect_json(const norn_inspection *inspection, norn_buffer *out);
void norn_inspect_html(const norn_inspection *inspection, norn_buffer *out);

/// "12.3 M", "4.00 GiB": three digits that matter.
enum { NORN_COUNT_TEXT = 32 };
const char *norn_count_text(double count, char text[NORN_COUNT_TEXT]);
const char *norn_bytes_text(double bytes, char text[NORN_COUNT_TEXT]);

#endif
