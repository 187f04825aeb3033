#include "base/json.h"
#include "cli/store_verbs.h"
#include "package/store_folder.h"

#include <stdio.h>
#include <time.h>

static int run(int argc, char **argv);

const cli_command cli_store_stat = {
    .name = "store stat",
    .operands = "DIR",
    .operand_count = 1,
    .summary = "say what is in a version, a folder of tables, a model's folder or a log",
    .details =
        "Of a model's folder the newest version that is whole is shown, and the log. Rows are "
        "not read; the log is,\n"
        "from end to end. Index bytes are what a hashed table takes in memory beside its "
        "rows.\n\n"
        "  norn store stat repository/ranker\n"
        "  norn store stat repository/ranker/5/tables\n"
        "  norn store stat repository/ranker --json | jq .log.step\n",
    .run = run,
};

typedef unsigned long long ull;

// ---- as text

static void print_manifest(const norn_folder_stat *stat) {
    const norn_manifest *m = &stat->manifest;
    printf("version %s\n", stat->at.version);
    if (!stat->ready) {
        printf(
            "  %-10s MANIFEST.json and no READY: it is being written, or its publisher has died\n",
            "not ready");
        return;
    }
    if (!m->found) {
        printf("  no MANIFEST.json\n");
        return;
    }
    printf("  %-10s %llu of model '%s', ready\n", "number", (ull)m->version,
           m->model ? m->model : "?");
    printf("  %-10s %llu\n", "base", (ull)m->base);
    if (!m->is_cut)
        printf("  %-10s none: its log is read from the beginning\n", "cut");
    else
        printf("  %-10s step %llu of epoch %llu, %u partition%s\n", "cut", (ull)m->cut.step,
               (ull)m->cut.positions[0].epoch, m->cut.partition_count,
               norn_plural(m->cut.partition_count));
}

static void print_tables(const norn_folder_stat *stat) {
    printf("tables %s\n", stat->at.tables);
    for (size_t t = 0; t < stat->table_count; t++) {
        const norn_folder_table *table = &stat->tables[t];
        printf("  %-20s %-6s %s[%lld] %12lld rows %14llu bytes, index %llu\n", table->form.name,
               table->form.dense ? "dense" : "hashed", norn_dtype_name(table->form.dtype),
               (long long)table->form.dim, (long long)table->form.rows, (ull)table->bytes,
               (ull)table->index_bytes);
    }
}

static void print_log(const norn_folder_stat *stat) {
    const norn_log_facts *log = &stat->log;
    printf("log %s\n", stat->at.log);
    printf("  %-10s %u\n  %-10s %llu\n  %-10s %llu\n", "partitions", log->partitions, "epoch",
           (ull)log->epoch, "base", (ull)log->base);
    if (log->steps)
        printf("  %-10s %llu whole, %llu to %llu\n", "steps", (ull)log->steps, (ull)log->first_step,
               (ull)log->step);
    else
        printf("  %-10s none that is whole\n", "steps");
    if (log->published_ns) {
        const time_t seconds = (time_t)(log->published_ns / 1000000000);
        struct tm utc;
        char text[32];
        if (gmtime_r(&seconds, &utc) && strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc))
            printf("  %-10s %s\n", "last", text);
    }
    printf("  %-10s %llu: %llu rows, %llu deletes, %llu dense tensors\n", "frames",
           (ull)log->frames, (ull)log->rows, (ull)log->deletes, (ull)log->dense);
    printf("  %-10s %llu in %u segment%s\n", "bytes", (ull)log->bytes, log->segments,
           norn_plural(log->segments));
    if (log->open_frames || log->torn_bytes)
        printf("  %-10s %llu frame%s and %llu byte%s behind the last whole step: being written, or "
               "a new writer's\n",
               "open", (ull)log->open_frames, norn_plural(log->open_frames), (ull)log->torn_bytes,
               norn_plural(log->torn_bytes));
}

static void print_text(const norn_folder_stat *stat) {
    if (stat->at.version[0]) print_manifest(stat);
    if (stat->at.tables[0]) print_tables(stat);
    if (stat->at.log[0]) print_log(stat);
}

// ---- as JSON

static void put_version(norn_json_writer *json, const norn_folder_stat *stat) {
    const norn_manifest *m = &stat->manifest;
    norn_json_begin_object(json, "version");
    norn_json_add_text(json, "path", stat->at.version);
    norn_json_add_bool(json, "ready", stat->ready);
    norn_json_add_bool(json, "manifest", m->found);
    if (m->found) {
        norn_json_add_text(json, "model", m->model);
        norn_json_add_u64(json, "number", m->version);
        norn_json_add_u64(json, "base", m->base);
    }
    if (m->is_cut) {
        norn_json_begin_object(json, "cut");
        norn_json_add_u64(json, "epoch", m->cut.positions[0].epoch);
        norn_json_add_u64(json, "step", m->cut.step);
        norn_json_begin_array(json, "sequence");
        for (uint32_t p = 0; p < m->cut.partition_count; p++)
            norn_json_add_u64(json, NULL, m->cut.positions[p].sequence);
        norn_json_end(json);
        norn_json_end(json);
    }
    norn_json_end(json);
}

static void put_tables(norn_json_writer *json, const norn_folder_stat *stat) {
    norn_json_begin_array(json, "tables");
    for (size_t t = 0; t < stat->table_count; t++) {
        const norn_folder_table *table = &stat->tables[t];
        norn_json_begin_object(json, NULL);
        norn_json_add_text(json, "name", table->form.name);
        norn_json_add_text(json, "kind", table->form.dense ? "dense" : "hashed");
        norn_json_add_text(json, "dtype", norn_dtype_name(table->form.dtype));
        norn_json_add_i64(json, "dim", table->form.dim);
        norn_json_add_i64(json, "rows", table->form.rows);
        norn_json_add_u64(json, "bytes", table->bytes);
        norn_json_add_u64(json, "index_bytes", table->index_bytes);
        norn_json_end(json);
    }
    norn_json_end(json);
}

static void put_log(norn_json_writer *json, const norn_folder_stat *stat) {
    const norn_log_facts *log = &stat->log;
    const struct {
        const char *name;
        uint64_t value;
    } facts[] = {{"partitions", log->partitions},
                 {"segments", log->segments},
                 {"epoch", log->epoch},
                 {"base", log->base},
                 {"first_step", log->first_step},
                 {"step", log->step},
                 {"steps", log->steps},
                 {"frames", log->frames},
                 {"bytes", log->bytes},
                 {"rows", log->rows},
                 {"deletes", log->deletes},
                 {"dense", log->dense},
                 {"open_frames", log->open_frames},
                 {"torn_bytes", log->torn_bytes}};
    norn_json_begin_object(json, "log");
    norn_json_add_text(json, "path", stat->at.log);
    for (size_t i = 0; i < sizeof facts / sizeof facts[0]; i++)
        norn_json_add_u64(json, facts[i].name, facts[i].value);
    norn_json_add_i64(json, "published_ns", log->published_ns);
    norn_json_end(json);
}

static norn_status print_json(const norn_folder_stat *stat) {
    norn_buffer text;
    norn_buffer_init(&text, norn_alloc_heap());
    norn_json_writer json = {.buffer = &text};
    norn_json_begin_object(&json, NULL);
    if (stat->at.version[0]) put_version(&json, stat);
    if (stat->at.tables[0]) put_tables(&json, stat);
    if (stat->at.log[0]) put_log(&json, stat);
    norn_json_end(&json);
    const norn_status status = norn_buffer_status(&text);
    if (status == NORN_OK) printf("%.*s\n", (int)text.count, (const char *)text.bytes);
    norn_buffer_deinit(&text);
    return status;
}

static norn_status show(const char *dir, bool json) {
    const norn_progress progress = {cli_transfer, NULL};
    norn_folder_stat stat;
    norn_arena arena;
    norn_arena_init(&arena, norn_alloc_heap(), 4096);
    norn_status status = norn_folder_stat_read(dir, &progress, &arena, &stat);
    cli_progress_end();
    if (status == NORN_OK && json) status = print_json(&stat);
    if (status == NORN_OK && !json) print_text(&stat);
    norn_arena_deinit(&arena);
    return status;
}

static int run(int argc, char **argv) {
    bool json = false;
    const cli_option options[] = {
        {"--json", 0, CLI_FLAG, &json, NULL, "one JSON object on stdout"}};
    cli_list operands;
    int exit_status;
    if (cli_parse(&cli_store_stat, options, 1, argc, argv, &operands, &exit_status) &&
        show(operands.at[0], json) != NORN_OK)
        exit_status = cli_failed(&cli_store_stat);
    cli_list_free(&operands);
    return exit_status;
}
