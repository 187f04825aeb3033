#include "base/nearest.h"
#include "cli/options.h"

#include <stdio.h>
#include <string.h>

/// "import" of "store import".
static const char *verb_of(const cli_command *verb) {
    return strchr(verb->name, ' ') + 1;
}

static void print_verbs(FILE *to, const cli_command *command, const cli_command *const *verbs,
                        size_t count) {
    fprintf(to, "norn %s: %s\n\nusage: norn %s %s …\n\n", command->name, command->summary,
            command->name, command->operands);
    for (size_t i = 0; i < count; i++)
        fprintf(to, "  %-10s %s\n", verb_of(verbs[i]), verbs[i]->summary);
    fprintf(to, "\n%s\n`norn %s %s --help` teaches each.\n", command->details, command->name,
            command->operands);
}

int cli_run_verb(const cli_command *command, const cli_command *const *verbs, size_t count,
                 int argc, char **argv) {
    const char *names[16];
    if (argc < 2) {
        print_verbs(stderr, command, verbs, count);
        return CLI_WRONG;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        print_verbs(stdout, command, verbs, count);
        return CLI_DONE;
    }
    for (size_t i = 0; i < count; i++) {
        names[i] = verb_of(verbs[i]);
        if (strcmp(argv[1], names[i]) == 0) return verbs[i]->run(argc - 1, argv + 1);
    }
    const char *near = norn_nearest(argv[1], names, count);
    if (near) return cli_error(command, CLI_WRONG, "no '%s'; did you mean '%s'?", argv[1], near);
    return cli_error(command, CLI_WRONG, "no '%s'; `norn %s --help` lists what there is", argv[1],
                     command->name);
}
