/// One place in a graph that looks rows of a table up, whatever operators it is made of.
#ifndef NORN_PASSES_LOOKUP_SITE_H
#define NORN_PASSES_LOOKUP_SITE_H

#include "passes/pass.h"

enum { NORN_SITE_NODES_MAX = 8 };

typedef struct norn_lookup_out norn_lookup_out;

typedef struct norn_lookup_site {
    norn_value *result; ///< what the lookup computes, however shaped: `rows` times `width` elements
    norn_dim rows;      ///< of the region's output: a batch, or a batch times a history
    int64_t width;      ///< elements a row
    norn_value *keys;
    norn_value *offsets, *weights; ///< NULL when absent
    norn_value *inline_rows;       ///< a constant that stays a weight; NULL: `table`
    uint32_t table;
    norn_lookup_column column;    ///< inputs, output and column are filled when the region is built
    const int64_t *field_offsets; ///< not NULL: `fields` columns like `column`, keys side by side
    int64_t fields;               ///< 1 if there are no field_offsets
    norn_node *nodes[NORN_SITE_NODES_MAX]; ///< what it is made of, for the origin
    uint32_t node_count;
    uint32_t depth;       ///< lookups on the longest way to here, this one counted
    norn_lookup_out *out; ///< where it writes
    int64_t first;        ///< its first column there
    struct norn_lookup_site *next;
} norn_lookup_site;

/// The site whose table `node` (a Gather, Embedding or EmbeddingBag)
/// reads; *site NULL if it is none.
/// Errors   INVALID_ARGUMENT: an ai.norn operator that cannot be right.
norn_status norn_lookup_site_of(norn_pass_context *context, norn_graph *graph, norn_node *node,
                                norn_lookup_site **site) NORN_NODISCARD;

/// Has the plan a kernel for a lookup by `column` (its inputs aside) of rows of one type into results of
/// another? What only a lookup computes, an ai.norn operator, the host may do.
/// rows, weights: NULL when absent.
bool norn_lookup_has_kernel(const norn_pass_context *context, const norn_lookup_column *column,
                            const norn_value *keys, const norn_value *offsets,
                            const norn_value *weights, const norn_value *rows, norn_dtype out,
                            bool only_lookup);

/// The table of this name; registers it when it is new. INVALID_ARGUMENT: read with two widths.
norn_status norn_lookup_table(norn_pass_context *context, norn_graph *graph, const char *name,
                              int64_t dim, const norn_view *rows, uint32_t *table) NORN_NODISCARD;
/// Whether the package holds a table of this name.
norn_status norn_lookup_in_package(const norn_pass_context *context, norn_graph *graph,
                                   const char *name, bool *found) NORN_NODISCARD;

/// `keys` as columns of a wider input, when it is `count` columns of one: x[:, i], x[:, a:b],
/// split(x), and what casts them.
typedef struct norn_key_columns {
    norn_value *keys;
    int64_t first, stride; ///< stride 0: keys is all of its tensor
    norn_node *nodes[2];   ///< what need not run for this: slices, casts
    uint32_t node_count;
} norn_key_columns;
norn_status norn_lookup_keys(norn_graph *graph, norn_value *keys, norn_dim rows, int64_t count,
                             norn_key_columns *out) NORN_NODISCARD;

#endif
