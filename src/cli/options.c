#include "cli/options.h"

#include "base/nearest.h"

#include "device/device.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int cli_error(const cli_command *command, int exit_status, const char *format, ...) {
    va_list arguments;
    fflush(stdout);
    fprintf(stderr, "norn %s: ", command->name);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    return exit_status;
}

int cli_failed(const cli_command *command) {
    cli_progress_end();
    return cli_error(command, CLI_FAILED, "%s", norn_message());
}

void cli_list_free(cli_list *list) {
    free((void *)list->at);
    *list = (cli_list){NULL, 0};
}

static bool list_add(cli_list *list, const char *text) {
    const char **larger = realloc((void *)list->at, (list->count + 1) * sizeof *larger);
    if (!larger) return false;
    larger[list->count++] = text;
    list->at = larger;
    return true;
}

// ---- help

static void print_option(const cli_option *option) {
    char left[64];
    const char *line = option->help;
    snprintf(left, sizeof left, "%s%c%s%s%s%s", option->letter ? "-" : "  ",
             option->letter ? option->letter : ' ', option->letter ? ", " : " ", option->name,
             option->argument ? " " : "", option->argument ? option->argument : "");
    printf("  %-30s ", left);
    if (strlen(left) > 30) printf("\n%33s", "");
    while (line) {
        const char *end = strchr(line, '\n');
        printf("%.*s\n", end ? (int)(end - line) : (int)strlen(line), line);
        line = end ? end + 1 : NULL;
        if (line) printf("%33s", "");
    }
}

static void print_help(const cli_command *command, const cli_option *options, size_t count) {
    printf("norn %s: %s\n\nusage: norn %s%s%s [options]\n\n%s", command->name, command->summary,
           command->name, command->operand_count ? " " : "", command->operands, command->details);
    printf("\noptions:\n");
    for (size_t i = 0; i < count; i++) print_option(&options[i]);
    printf("  %-30s this text\n", "-h, --help");
}

// ---- parsing

static const cli_option *find(const cli_option *options, size_t count, const char *word,
                              size_t length) {
    for (size_t i = 0; i < count; i++) {
        if (strlen(options[i].name) == length && memcmp(options[i].name, word, length) == 0)
            return &options[i];
        if (length == 2 && word[0] == '-' && options[i].letter && word[1] == options[i].letter)
            return &options[i];
    }
    return NULL;
}

static int unknown_option(const cli_command *command, const cli_option *options, size_t count,
                          const char *word) {
    const char *names[128];
    size_t used = 0;
    for (; used < count && used < 128; used++) names[used] = options[used].name;
    const char *near = norn_nearest(word, names, used);
    if (near)
        return cli_error(command, CLI_WRONG, "no option '%s'; did you mean '%s'?", word, near);
    return cli_error(command, CLI_WRONG, "no option '%s'; `norn %s --help` lists them", word,
                     command->name);
}

static bool is_whole(cli_kind kind, int64_t *min, int64_t *max) {
    static const struct {
        cli_kind kind;
        int64_t min, max;
    } ranges[] = {{CLI_INT, 0, INT64_MAX},
                  {CLI_COUNT, 1, INT32_MAX},
                  {CLI_THREADS, 1, 1024},
                  {CLI_BYTES, 1, INT64_MAX},
                  {CLI_MEGABYTES, 1, 1 << 30},
                  {CLI_PORT, 0, 65535},
                  {CLI_WAIT_MS, 0, 24 * 3600 * 1000},
                  {CLI_DELAY_US, 0, 10 * 1000 * 1000},
                  {CLI_LIMIT_MS, 1, 24 * 3600 * 1000}};
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
        if (ranges[i].kind != kind) continue;
        *min = ranges[i].min;
        *max = ranges[i].max;
        return true;
    }
    return false;
}

static int set_whole(const cli_command *command, const cli_option *option, const char *text,
                     int64_t min, int64_t max) {
    char *end;
    errno = 0;
    const long long value = strtoll(text, &end, 10);
    const bool digits = text[0] >= '0' && text[0] <= '9'; // no blanks, no signs
    if (digits && !errno && !*end && value >= min && value <= max) {
        *(int64_t *)option->target = value;
        return CLI_DONE;
    }
    if (max == INT64_MAX)
        return cli_error(command, CLI_WRONG, "%s takes a whole number, %lld or more, not '%s'",
                         option->name, (long long)min, text);
    return cli_error(command, CLI_WRONG, "%s takes a whole number from %lld to %lld, not '%s'",
                     option->name, (long long)min, (long long)max, text);
}

static int set_real(const cli_command *command, const cli_option *option, const char *text) {
    char *end;
    errno = 0;
    const double value = strtod(text, &end);
    if (errno || end == text || *end || !(value >= 0) || !isfinite(value))
        return cli_error(command, CLI_WRONG, "%s takes a number, 0 or more, not '%s'", option->name,
                         text);
    *(double *)option->target = value;
    return CLI_DONE;
}

/// What takes a value; flags do not come here.
static int set_value(const cli_command *command, const cli_option *option, const char *text) {
    int64_t min, max;
    if (is_whole(option->kind, &min, &max)) return set_whole(command, option, text, min, max);
    if (option->kind == CLI_REAL) return set_real(command, option, text);
    if (!text[0]) return cli_error(command, CLI_WRONG, "%s is empty", option->name);
    if (option->kind == CLI_TEXT) {
        *(const char **)option->target = text;
    } else if (!list_add(option->target, text)) {
        return cli_error(command, CLI_FAILED, "out of memory");
    }
    return CLI_DONE;
}

/// One option at argv[*i]; advances over its value.
static int parse_option(const cli_command *command, const cli_option *options, size_t count,
                        int argc, char **argv, int *i) {
    const char *word = argv[*i], *equals = strchr(word, '=');
    const size_t length = equals ? (size_t)(equals - word) : strlen(word);
    const cli_option *option = find(options, count, word, length);
    if (!option) return unknown_option(command, options, count, word);
    if (option->kind == CLI_FLAG) {
        if (equals) return cli_error(command, CLI_WRONG, "%s takes no value", option->name);
        *(bool *)option->target = true;
        return CLI_DONE;
    }
    if (equals) return set_value(command, option, equals + 1);
    if (*i + 1 >= argc)
        return cli_error(command, CLI_WRONG, "%s needs a value: %s %s", option->name, option->name,
                         option->argument);
    return set_value(command, option, argv[++*i]);
}

bool cli_parse(const cli_command *command, const cli_option *options, size_t option_count, int argc,
               char **argv, cli_list *operands, int *exit_status) {
    *operands = (cli_list){NULL, 0};
    *exit_status = CLI_DONE;
    for (int i = 1; i < argc && *exit_status == CLI_DONE; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            print_help(command, options, option_count);
            return false;
        }
        const bool number = argv[i][0] == '-' && argv[i][1] >= '0' && argv[i][1] <= '9';
        if (argv[i][0] == '-' && argv[i][1] && !(number && command->more_operands)) {
            *exit_status = parse_option(command, options, option_count, argc, argv, &i);
        } else if (!list_add(operands, argv[i])) {
            *exit_status = cli_error(command, CLI_FAILED, "out of memory");
        }
    }
    for (size_t i = 0; *exit_status == CLI_DONE && i < operands->count; i++)
        if (!operands->at[i][0])
            *exit_status = cli_error(command, CLI_WRONG, "%s is empty", command->operands);
    if (*exit_status == CLI_DONE && operands->count > command->operand_count &&
        !command->more_operands)
        *exit_status =
            cli_error(command, CLI_WRONG, "'%s' is one operand too many; --help says more",
                      operands->at[command->operand_count]);
    if (*exit_status == CLI_DONE && operands->count < command->operand_count)
        *exit_status =
            cli_error(command, CLI_WRONG, "usage: norn %s%s%s [options]; --help says more",
                      command->name, command->operand_count ? " " : "", command->operands);
    return *exit_status == CLI_DONE;
}

bool cli_device(const cli_command *command, const char *text) {
    if (!text || norn_device_is_name(text)) return true;
    char known[NORN_DEVICE_NAMES];
    cli_error(command, CLI_WRONG, "--device is %s, not '%s'%s", norn_device_names(known), text,
              strcasestr(text, "gpu") || strcasestr(text, "cuda") ? "; did you mean cuda?" : "");
    return false;
}

// ---- shapes

static bool parse_dims(char *text, norn_input_shape *shape) {
    for (char *dim = text;; shape->rank++) {
        char *end;
        errno = 0;
        if (shape->rank == NORN_MAX_RANK || *dim < '0' || *dim > '9') return false;
        shape->dims[shape->rank] = strtoll(dim, &end, 10);
        if (errno) return false;
        if (!*end) return ++shape->rank, true;
        if (*end != 'x') return false;
        dim = end + 1;
    }
}

bool cli_shapes(const cli_command *command, const char *option, const char *text,
                norn_input_shape **out, size_t *count) {
    *out = NULL;
    *count = 0;
    if (!text) return true;
    size_t most = 1;
    for (const char *c = text; *c; c++) most += *c == ',';
    // One block: the shapes, then a copy of the text that their names point into.
    norn_input_shape *shapes = calloc(1, most * sizeof *shapes + strlen(text) + 1);
    if (!shapes) return cli_error(command, CLI_FAILED, "out of memory"), false;
    char *copy = (char *)(shapes + most), *rest;
    memcpy(copy, text, strlen(text) + 1);
    for (char *item = strtok_r(copy, ",", &rest); item; item = strtok_r(NULL, ",", &rest)) {
        char *colon = strrchr(item, ':');
        norn_input_shape *shape = &shapes[*count];
        if (colon) *colon = 0;
        if (!colon || colon == item || !parse_dims(colon + 1, shape)) {
            if (colon) *colon = ':'; // the message shows it as it was written
            cli_error(command, CLI_WRONG, "%s: '%s' is not NAME:2x13", option, item);
            free(shapes);
            return false;
        }
        shape->name = item;
        ++*count;
    }
    *out = shapes;
    return true;
}
