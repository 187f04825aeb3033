// Run ONNX's backend node cases, each in a process of its own, and compare with what must pass.
//
//     conformance CASES [--expected FILE] [--filter TEXT] [--write-expected FILE] [--docs DIR]
//     [--verbose]
//
// With --mutate N every case runs N times with a model that is slightly broken instead: then a
// failure is a crash or a hang, and `passed` counts those that ended with an answer. --seed S picks
// other damage.
//
// A failure is a case of --expected that does not pass, or any crash. Cases that do not pass and
// are not expected to are counted, not hidden: they are in docs/conformance.md.
#include "conformance/case_report.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/// CASES_MISSING: exit status that CTest takes as skipped.
enum { CASE_LIMIT_MS = 60 * 1000, CASES_MISSING = 77 };

typedef struct options {
    const char *dir, *expected, *filter, *write_expected, *docs, *mutate, *seed;
    bool verbose;
} options;

static void usage(void) {
    fputs("usage: conformance CASES [--expected FILE] [--filter TEXT] [--write-expected FILE] "
          "[--docs DIR] [--verbose] [--mutate N [--seed S]]\n",
          stderr);
    exit(2);
}

static options parse(int argc, char **argv) {
    options o = {0};
    for (int i = 1; i < argc; i++) {
        const char **value = strcmp(argv[i], "--expected") == 0         ? &o.expected
                             : strcmp(argv[i], "--filter") == 0         ? &o.filter
                             : strcmp(argv[i], "--write-expected") == 0 ? &o.write_expected
                             : strcmp(argv[i], "--docs") == 0           ? &o.docs
                             : strcmp(argv[i], "--mutate") == 0         ? &o.mutate
                             : strcmp(argv[i], "--seed") == 0           ? &o.seed
                                                                        : NULL;
        if (value && i + 1 < argc)
            *value = argv[++i];
        else if (strcmp(argv[i], "--verbose") == 0)
            o.verbose = true;
        else if (argv[i][0] != '-' && !o.dir)
            o.dir = argv[i];
        else
            usage();
    }
    if (!o.dir) usage();
    return o;
}

static bool parse_line(char *line, node_case *out) {
    char *fields[6], *rest = line;
    line[strcspn(line, "\n")] = 0;
    for (int i = 0; i < 6; i++)
        if (!(fields[i] = strsep(&rest, "\t"))) return false;
    memset(out, 0, sizeof *out);
    snprintf(out->name, sizeof out->name, "%s", fields[0]);
    snprintf(out->op, sizeof out->op, "%s", fields[3]);
    snprintf(out->opset, sizeof out->opset, "%s", fields[4]);
    snprintf(out->kinds, sizeof out->kinds, "%s", fields[5]);
    out->rtol = strtod(fields[1], NULL);
    out->atol = strtod(fields[2], NULL);
    return true;
}

static node_case *read_cases(const options *o, size_t *count) {
    char path[1024], line[1024];
    node_case *cases = NULL;
    snprintf(path, sizeof path, "%s/cases.tsv", o->dir);
    FILE *file = fopen(path, "r");
    if (!file) {
        fprintf(
            stderr,
            "conformance: cannot read %s; write the cases with tests/peers/conformance_cases.py\n",
            path);
        exit(CASES_MISSING);
    }
    *count = 0;
    while (fgets(line, sizeof line, file)) {
        node_case one;
        if (!parse_line(line, &one) || (o->filter && !strstr(one.name, o->filter))) continue;
        node_case *grown = realloc(cases, (*count + 1) * sizeof *cases);
        if (!grown) abort(); // a test program
        cases = grown;
        cases[(*count)++] = one;
    }
    fclose(file);
    return cases;
}

/// All of the result, or false when the child ended or ran out of time before that.
static bool receive(int from, case_result *result) {
    size_t got = 0;
    while (got < sizeof *result) {
        struct pollfd wait = {.fd = from, .events = POLLIN};
        int ready = poll(&wait, 1, CASE_LIMIT_MS);
        if (ready < 0 && errno == EINTR) continue;
        if (ready <= 0) return false;
        ssize_t n = read(from, (char *)result + got, sizeof *result - got);
        if (n <= 0) return false;
        got += (size_t)n;
    }
    return true;
}

/// `seed` 0: the model as it is.
static void run_forked(node_case *test, const char *dir, uint64_t seed) {
    int ends[2], state = 0;
    if (pipe(ends) != 0) abort(); // a test program
    fflush(NULL);
    pid_t child = fork();
    if (child < 0) abort(); // a test program
    if (child == 0) {
        case_result result;
        close(ends[0]);
        if (seed)
            node_case_run_mutant(test, dir, seed, &result);
        else
            node_case_run(test, dir, &result);
        size_t sent = 0;
        while (sent < sizeof result) {
            ssize_t n = write(ends[1], (char *)&result + sent, sizeof result - sent);
            if (n <= 0) break;
            sent += (size_t)n;
        }
        exit(0); // not _exit: leaks are looked for, and coverage written, at the end
    }
    close(ends[1]);
    bool answered = receive(ends[0], &test->result);
    if (!answered) kill(child, SIGKILL);
    waitpid(child, &state, 0);
    close(ends[0]);
    if (answered && WIFEXITED(state) && WEXITSTATUS(state) == 0) return;
    test->result = (case_result){.status = CASE_CRASH};
    int sign = WIFSIGNALED(state) ? WTERMSIG(state) : 0;
    if (sign == SIGKILL)
        snprintf(test->result.note, CASE_NOTE, "no answer in %d s", CASE_LIMIT_MS / 1000);
    else
        snprintf(test->result.note, CASE_NOTE, "ended by %s",
                 sign ? strsignal(sign) : "exit (a sanitizer?)");
}

/// Prints every expected case that does not pass; returns how many.
static int regressions(const options *o, const node_case *cases, size_t count) {
    char **names;
    size_t expected;
    int lost = 0;
    if (!case_read_expected(o->expected, &names, &expected)) return 1;
    for (size_t i = 0; i < expected; i++) {
        const node_case *found = NULL;
        for (size_t k = 0; k < count && !found; k++)
            if (strcmp(cases[k].name, names[i]) == 0) found = &cases[k];
        bool filtered = o->filter && !strstr(names[i], o->filter);
        if (!filtered && (!found || found->result.status != CASE_PASS)) {
            printf("REGRESSION %s: %s %s\n", names[i],
                   found ? case_status_name(found->result.status) : "not among the cases",
                   found ? found->result.note : "");
            lost++;
        }
        free(names[i]);
    }
    free(names);
    return lost;
}

static void read_version(const char *dir, char *version, size_t size) {
    char path[1024];
    snprintf(path, sizeof path, "%s/version.txt", dir);
    FILE *file = fopen(path, "r");
    snprintf(version, size, "onnx");
    if (!file) return;
    if (fgets(version, (int)size, file)) version[strcspn(version, "\n")] = 0;
    char *cut = strstr(version, " format");
    if (cut) *cut = 0;
    fclose(file);
}

/// Damaged models: prints each that is not survived, with the seed that makes it again.
static int run_mutants(const options *o, node_case *cases, size_t count) {
    uint64_t times = strtoull(o->mutate, NULL, 10),
             first = o->seed ? strtoull(o->seed, NULL, 10) : 1;
    int survived = 0, lost = 0;
    for (size_t i = 0; i < count; i++) {
        for (uint64_t k = 0; k < times; k++) {
            uint64_t seed = first + k; // of each case its own damage
            run_forked(&cases[i], o->dir, seed);
            const case_result *result = &cases[i].result;
            if (o->verbose)
                printf("%s\t%llu\t%s\n", cases[i].name, (unsigned long long)seed, result->note);
            if (result->status == CASE_PASS)
                survived++;
            else
                lost++, printf("CRASH %s with seed %llu: %s\n", cases[i].name,
                               (unsigned long long)seed, result->note);
        }
    }
    printf("%d passed, %d failed\n", survived, lost);
    return lost == 0 ? 0 : 1;
}

int main(int argc, char **argv) {
    options o = parse(argc, argv);
    setenv("NORN_LOG", "error", 0); // broken models make many warnings
    size_t count;
    node_case *cases = read_cases(&o, &count);
    char version[128];
    bool written = true;
    if (o.mutate) {
        int outcome = run_mutants(&o, cases, count);
        free(cases);
        return outcome;
    }
    for (size_t i = 0; i < count; i++) {
        run_forked(&cases[i], o.dir, 0);
        const case_result *result = &cases[i].result;
        if (o.verbose || result->status == CASE_CRASH)
            printf("%s\t%s\t%.3g\t%s\n", cases[i].name, case_status_name(result->status),
                   result->error, result->note);
    }
    read_version(o.dir, version, sizeof version);
    if (o.write_expected) written = case_write_expected(o.write_expected, cases, count) && written;
    if (o.docs) written = case_write_docs(o.docs, version, cases, count) && written;
    case_counts counts = case_count(cases, count);
    int lost = o.expected ? regressions(&o, cases, count) : 0;
    printf("%zu cases of %s: %d pass, %d differ, %d unsupported, %d crash\n", count, version,
           counts.of[CASE_PASS], counts.of[CASE_FAIL], counts.of[CASE_UNSUPPORTED],
           counts.of[CASE_CRASH]);
    int failed = lost > counts.of[CASE_CRASH] ? lost : counts.of[CASE_CRASH];
    printf("%d passed, %d failed\n", counts.of[CASE_PASS], failed);
    free(cases);
    return failed == 0 && written ? 0 : 1;
}
