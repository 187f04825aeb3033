/// The command line: a table of options drives parsing and --help.
#ifndef NORN_CLI_OPTIONS_H
#define NORN_CLI_OPTIONS_H

#include "norn/norn.h"

#include <stdbool.h>
#include <stdint.h>

/// Exit statuses: done, the work failed, the command line was wrong.
enum { CLI_DONE = 0, CLI_FAILED = 1, CLI_WRONG = 2 };

typedef enum cli_kind {
    CLI_FLAG,      ///< bool
    CLI_TEXT,      ///< const char *
    CLI_INT,       ///< int64_t, not negative; the kinds below are int64_t of a narrower range
    CLI_COUNT,     ///< 1 to 2^31 - 1
    CLI_THREADS,   ///< 1 to 1024
    CLI_BYTES,     ///< 1 or more
    CLI_MEGABYTES, ///< 1 to 2^30
    CLI_PORT,      ///< 0 to 65535
    CLI_WAIT_MS,   ///< 0 ms to a day
    CLI_DELAY_US,  ///< 0 us to ten seconds
    CLI_LIMIT_MS,  ///< 1 ms to a day
    CLI_REAL,      ///< double, not negative
    CLI_LIST,      ///< cli_list: the option may be given many times
} cli_kind;

typedef struct cli_list {
    const char **at;
    size_t count;
} cli_list;

typedef struct cli_option {
    const char *name; ///< "--output"
    char letter;      ///< 'o', or 0
    cli_kind kind;
    void *target;
    const char *argument; ///< "PLAN"; NULL for flags
    const char *help;     ///< may hold newlines
} cli_option;

typedef struct cli_command {
    const char *name;
    const char *operands; ///< "MODEL|PLAN"; "" when there are none
    size_t operand_count;
    bool more_operands;                ///< that many at least; negative numbers are operands too
    const char *summary;               ///< one line
    const char *details;               ///< paragraphs and examples for --help
    int (*run)(int argc, char **argv); ///< argv[0] is the command's name
} cli_command;

/// Parses argv[1..]. True: go on, operands are in *operands. False: return *exit_status
/// (help was shown, or the command line was wrong and a line on stderr says how).
/// Memory   texts alias argv; lists are freed by cli_list_free.
bool cli_parse(const cli_command *command, const cli_option *options, size_t option_count, int argc,
               char **argv, cli_list *operands, int *exit_status);
void cli_list_free(cli_list *list);

/// "norn COMMAND: message" on stderr; returns `exit_status`.
int cli_error(const cli_command *command, int exit_status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/// The thread's last norn failure on stderr; returns CLI_FAILED.
int cli_failed(const cli_command *command);

/// "NAME:2x13,OTHER:2x26" into `out`; names alias `text`, whose separators are overwritten.
/// False with a line on stderr when it is malformed. *out is freed with free().
bool cli_shapes(const cli_command *command, const char *option, const char *text,
                norn_input_shape **out, size_t *count);

/// Is `text` the name of a device: cpu, cuda, cuda:N? NULL is. False with a line on stderr: this
/// is about the command line; whether the device is there shows when it is opened.
bool cli_device(const cli_command *command, const char *text);

/// A command that has commands of its own, "NAME VERB": `verbs` are named so in full. Runs the one
/// that argv[1] names, or shows what there is.
int cli_run_verb(const cli_command *command, const cli_command *const *verbs, size_t count,
                 int argc, char **argv);

/// A line that is drawn again and again when stderr is a terminal; nothing otherwise. Fits
/// norn_compile_options.progress.
void cli_progress(void *context, const char *what, double fraction);
/// The same of bytes, with rate and time left; fits norn_progress.say.
void cli_transfer(void *context, const char *what, uint64_t done, uint64_t total);
void cli_progress_end(void);

extern const cli_command cli_inspect, cli_compile, cli_run, cli_bench, cli_check, cli_serve,
    cli_store, cli_publish;

#endif
