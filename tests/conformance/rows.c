// What is proved of the rows of ONNX's node cases, against a list, and whether it is so.
//
//     conformance_rows CASES [--expected FILE] [--filter TEXT] [--write-expected FILE]
//
// CASES is written by tests/peers/conformance_cases.py --rows. A failure is a case whose proof is
// not the list's, to the word, or whose joined rows are not what they are apart.
#include "conformance/row_case.h"

#include "norn/norn.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CASES_MISSING = 77, LINE = 2048 };

typedef struct options {
    const char *dir, *expected, *filter, *write_expected;
} options;

static options parse(int argc, char **argv) {
    options o = {0};
    for (int i = 1; i < argc; i++) {
        const char **value = strcmp(argv[i], "--expected") == 0         ? &o.expected
                             : strcmp(argv[i], "--filter") == 0         ? &o.filter
                             : strcmp(argv[i], "--write-expected") == 0 ? &o.write_expected
                                                                        : NULL;
        if (value && i + 1 < argc)
            *value = argv[++i];
        else if (!value && argv[i][0] != '-' && !o.dir)
            o.dir = argv[i];
        else
            o.dir = NULL, i = argc;
    }
    if (o.dir) return o;
    fputs(
        "usage: conformance_rows CASES [--expected FILE] [--filter TEXT] [--write-expected FILE]\n",
        stderr);
    exit(2);
}

/// The file for reading or writing, or the end of the program.
static FILE *open_or_end(const char *path, const char *mode, int status) {
    FILE *file = fopen(path, mode);
    if (file) return file;
    fprintf(stderr, "conformance_rows: cannot open %s\n", path);
    exit(status);
}

/// The next line of the list, whose first field must be `name`; its second field, or NULL.
static const char *wanted(FILE *list, const char *name, char line[LINE]) {
    const size_t length = strlen(name);
    while (fgets(line, LINE, list)) {
        line[strcspn(line, "\n")] = '\0';
        if (strncmp(line, name, length) == 0 && line[length] == '\t') return line + length + 1;
    }
    rewind(list);
    return NULL;
}

int main(int argc, char **argv) {
    const options o = parse(argc, argv);
    char path[1024], line[LINE], want_line[LINE];
    int passed = 0, failed = 0;
    setenv("NORN_LOG", "error", 0);
    snprintf(path, sizeof path, "%s/cases.tsv", o.dir);
    FILE *cases = open_or_end(path, "r", CASES_MISSING);
    FILE *list = o.expected ? open_or_end(o.expected, "r", 1) : NULL;
    FILE *made = o.write_expected ? open_or_end(o.write_expected, "w", 1) : NULL;
    while (fgets(line, sizeof line, cases)) {
        char text[ROW_CASE_TEXT];
        line[strcspn(line, "\t\n")] = '\0';
        if (o.filter && !strstr(line, o.filter)) continue;
        const bool right = row_case_run(o.dir, line, text) == NORN_OK;
        const char *want = list ? wanted(list, line, want_line) : text;
        if (!right) printf("FAILED %s: %s: %s\n", line, text, norn_message());
        if (!want || strcmp(want, text) != 0)
            printf("FAILED %s: %s\n    wanted: %s\n", line, text, want ? want : "nothing");
        if (made) fprintf(made, "%s\t%s\n", line, text);
        if (right && want && strcmp(want, text) == 0)
            passed++;
        else
            failed++;
    }
    fclose(cases);
    if (list) fclose(list);
    if (made && fclose(made) != 0) failed++;
    printf("%d passed, %d failed\n", passed, failed);
    return failed == 0 ? 0 : 1;
}
