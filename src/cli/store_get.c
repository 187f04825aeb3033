#include "base/json.h"
#include "cli/store_verbs.h"
#include "package/store_folder.h"
#include "package/version_apply.h"
#include "store/host/host_tier.h"
#include "tensor/dtype.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int run(int argc, char **argv);

const cli_command cli_store_get = {
    .name = "store get",
    .operands = "DIR TABLE KEY…",
    .operand_count = 3,
    .more_operands = true,
    .summary = "print rows of a table, and which step wrote each",
    .details =
        "DIR is a version folder, a folder of tables, or a model's folder (its newest version). A "
        "row is printed as\n"
        "numbers, those of int8 times the row's scale; \"full\" is a row of the full version. Exit "
        "status 1 where a key\n"
        "has no row.\n\n"
        "  norn store get repository/ranker/5 user 42 -7\n"
        "  norn store get repository/ranker user 42 --log repository/ranker/log\n"
        "  norn store get repository/ranker user 42 --log repository/ranker/log --step 118\n",
    .run = run,
};

typedef struct get_options {
    const char *log;
    int64_t step;
} get_options;

// ---- numbers

static bool key_of(const char *text, int64_t *out) {
    char *end;
    errno = 0;
    *out = strtoll(text, &end, 10);
    return errno == 0 && end != text && *end == 0;
}

static float element(const norn_table_form *form, const char *row, int64_t i) {
    float scale;
    if (form->dtype != NORN_I8) return (float)norn_element_f64(form->dtype, row, i);
    memcpy(&scale, row + norn_table_scale_offset(form->dim), sizeof scale);
    return (float)((const int8_t *)(const void *)row)[i] * scale;
}

static void print_row(const norn_table_form *form, const char *row) {
    norn_buffer text;
    norn_buffer_init(&text, norn_alloc_heap());
    for (int64_t i = 0; i < form->dim; i++) {
        const float value = element(form, row, i);
        norn_buffer_text(&text, " ");
        if (value - value != 0) // JSON has no infinity and no NaN
            norn_buffer_format(&text, "%g", (double)value);
        else
            norn_json_put_f32(&text, value);
    }
    printf("%.*s\n", (int)text.count, (const char *)text.bytes);
    norn_buffer_deinit(&text);
}

// ---- rows

static bool print_key(const norn_applied *applied, uint32_t table, int64_t key) {
    const norn_table_form *form = &applied->version->tables[table];
    const norn_host_rows *rows = &norn_host_tier_table(applied->version, table)->rows.rows;
    const norn_row_found found = norn_host_rows_get(rows, applied->pin.step, key);
    printf("%lld", (long long)key);
    if (!found.row && found.deleted)
        printf(" no row: step %llu deleted it\n", (unsigned long long)found.step);
    else if (!found.row && form->dense)
        printf(" no row: the table's keys are 0 to %lld\n", (long long)form->rows - 1);
    else if (!found.row)
        printf(" no row\n");
    if (!found.row) return false;
    if (found.step)
        printf(" step %llu:", (unsigned long long)found.step);
    else
        printf(" full:");
    print_row(form, found.row);
    return true;
}

static int find_table(const norn_applied *applied, const char *dir, const char *name,
                      uint32_t *out) {
    for (*out = 0; *out < applied->version->table_count; ++*out)
        if (strcmp(applied->version->tables[*out].name, name) == 0) return CLI_DONE;
    return cli_error(&cli_store_get, CLI_FAILED, "%s: it has no table '%s'; its first is '%s'", dir,
                     name, applied->version->tables[0].name);
}

static int get(const get_options *o, const cli_list *operands) {
    const norn_progress progress = {cli_transfer, NULL};
    const norn_alloc heap = norn_alloc_heap();
    norn_store_folder at;
    norn_applied applied;
    uint32_t table;
    int64_t key;
    for (size_t i = 2; i < operands->count; i++)
        if (!key_of(operands->at[i], &key))
            return cli_error(&cli_store_get, CLI_WRONG, "a key is a whole number, not '%s'",
                             operands->at[i]);
    if (o->step && !o->log)
        return cli_error(&cli_store_get, CLI_WRONG, "--step is of a log; say --log too");
    if (norn_store_folder_find(operands->at[0], heap, &at) != NORN_OK)
        return cli_failed(&cli_store_get);
    if (!at.tables[0])
        return cli_error(&cli_store_get, CLI_FAILED, "%s: it has no tables", operands->at[0]);
    const char *dir = at.version[0] ? at.version : at.tables;
    if (norn_applied_open(dir, o->log, (uint64_t)o->step, &progress, heap, &applied) != NORN_OK)
        return cli_failed(&cli_store_get);
    cli_progress_end();
    int exit_status = find_table(&applied, dir, operands->at[1], &table);
    const bool found = exit_status == CLI_DONE;
    for (size_t i = 2; found && i < operands->count; i++) {
        (void)key_of(operands->at[i], &key);
        if (!print_key(&applied, table, key)) exit_status = CLI_FAILED;
    }
    norn_applied_close(&applied);
    return exit_status;
}

static int run(int argc, char **argv) {
    get_options got = {.log = NULL};
    const cli_option options[] = {
        {"--log", 0, CLI_TEXT, &got.log, "URL",
         "the version with this delta log applied: a folder, or file:DIR"},
        {"--step", 0, CLI_INT, &got.step, "N",
         "as of this step (default: the log's last whole one)"},
    };
    cli_list operands;
    int exit_status;
    if (cli_parse(&cli_store_get, options, sizeof options / sizeof options[0], argc, argv,
                  &operands, &exit_status))
        exit_status = get(&got, &operands);
    cli_list_free(&operands);
    return exit_status;
}
