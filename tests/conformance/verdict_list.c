#include "conformance/verdict_list.h"

#include <stdlib.h>
#include <string.h>

enum { LINE = VERDICT_TEXT + 512 };

static FILE *open_or_end(const char *path, const char *mode, int status) {
    FILE *file = fopen(path, mode);
    if (file) return file;
    fprintf(stderr, "cannot open %s; tests/peers/conformance_cases.py writes the cases\n", path);
    exit(status);
}

void verdict_list_open(verdict_list *list, int argc, char **argv) {
    const char *expected = NULL, *write = NULL;
    bool understood = true;
    *list = (verdict_list){0};
    for (int i = 1; i < argc; i++) {
        const char **value = strcmp(argv[i], "--expected") == 0         ? &expected
                             : strcmp(argv[i], "--filter") == 0         ? &list->filter
                             : strcmp(argv[i], "--write-expected") == 0 ? &write
                                                                        : NULL;
        if (value && i + 1 < argc)
            *value = argv[++i];
        else if (!value && argv[i][0] != '-' && !list->dir)
            list->dir = argv[i];
        else
            understood = false;
    }
    if (!understood || !list->dir) {
        fprintf(stderr,
                "usage: %s CASES [--expected FILE] [--filter TEXT] [--write-expected FILE]\n",
                argv[0]);
        exit(2);
    }
    if (expected) list->wanted = open_or_end(expected, "r", 1);
    if (write) list->made = open_or_end(write, "w", 1);
}

FILE *verdict_list_cases(const verdict_list *list, const char *name) {
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", list->dir, name);
    return open_or_end(path, "rb", VERDICT_MISSING);
}

/// What the list says of `name`: its second field, or NULL.
static const char *wanted(FILE *file, const char *name, char line[LINE]) {
    const size_t length = strlen(name);
    for (int turn = 0; turn < 2; turn++) {
        while (fgets(line, LINE, file)) {
            line[strcspn(line, "\n")] = '\0';
            if (strncmp(line, name, length) == 0 && line[length] == '\t') return line + length + 1;
        }
        rewind(file);
    }
    return NULL;
}

void verdict_list_take(verdict_list *list, const char *name, const char *text, const char *why) {
    char line[LINE];
    const char *want = list->wanted ? wanted(list->wanted, name, line) : text;
    const bool same = want && strcmp(want, text) == 0;
    if (why) printf("FAILED %s: %s: %s\n", name, text, why);
    if (!same) printf("FAILED %s: %s\n    wanted: %s\n", name, text, want ? want : "nothing");
    if (list->made) fprintf(list->made, "%s\t%s\n", name, text);
    if (same && !why)
        list->passed++;
    else
        list->failed++;
}

int verdict_list_close(verdict_list *list) {
    if (list->wanted) fclose(list->wanted);
    if (list->made && fclose(list->made) != 0) list->failed++;
    printf("%d passed, %d failed\n", list->passed, list->failed);
    return list->failed == 0 && list->passed > 0 ? 0 : 1;
}
