/// A list of cases and what is said of each, to the word: compared with, or written.
#ifndef NORN_CONFORMANCE_VERDICT_LIST_H
#define NORN_CONFORMANCE_VERDICT_LIST_H

#include <stdbool.h>
#include <stdio.h>

enum { VERDICT_TEXT = 1600, VERDICT_MISSING = 77 }; ///< 77: exit status that CTest takes as skipped

typedef struct verdict_list {
    const char *dir, *filter; ///< of the command line
    FILE *wanted, *made;      ///< NULL: not asked for
    int passed, failed;
} verdict_list;

/// From `PROGRAM CASES [--expected FILE] [--filter TEXT] [--write-expected FILE]`; ends the program
/// when that cannot be read.
void verdict_list_open(verdict_list *list, int argc, char **argv);
/// FILE of the cases, or the end of the program with VERDICT_MISSING.
FILE *verdict_list_cases(const verdict_list *list, const char *name);
/// `why` NULL: the case went well. Cases come in the order of the list.
void verdict_list_take(verdict_list *list, const char *name, const char *text, const char *why);
/// Prints the counts; the program's exit status.
int verdict_list_close(verdict_list *list);

#endif
