#include "api/backends.h"
#include "base/nearest.h"
#include "cli/options.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

static const cli_command *const commands[] = {&cli_inspect, &cli_compile, &cli_run,   &cli_bench,
                                              &cli_check,   &cli_serve,   &cli_store, &cli_publish};
enum { COMMAND_COUNT = sizeof commands / sizeof commands[0] };

static void print_usage(FILE *to) {
    fprintf(to, "norn " NORN_VERSION
                ": compile trained ranking models and serve them\n\nusage: norn COMMAND …\n\n");
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        fprintf(to, "  %-10s %s\n", commands[i]->name, commands[i]->summary);
    fprintf(to, "\nA first session:\n"
                "  norn inspect model.onnx                     see what is in it\n"
                "  norn compile model.onnx -o model.norn       compile it for this CPU\n"
                "  norn run model.norn --output-dir out        run it once on random inputs\n"
                "  norn bench model.norn --batch 64            see how fast it is\n"
                "  norn serve --repository repository          serve every model of a folder\n"
                "\n`norn COMMAND --help` teaches each. Exit status: 0 done, 1 the work failed, 2 "
                "the command line was wrong.\n");
}

int main(int argc, char **argv) {
    const char *names[COMMAND_COUNT];
    norn_backends_offer();
    (void)signal(SIGXFSZ, SIG_IGN); // past `ulimit -f` a write fails and says so, as on a full disk
    if (argc < 2) {
        print_usage(stderr);
        return CLI_WRONG;
    }
    const bool help = strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
                      strcmp(argv[1], "help") == 0;
    const bool version = strcmp(argv[1], "--version") == 0;
    if (argc > (help ? 3 : 2) && (help || version)) {
        fprintf(stderr, "norn: '%s' is one word too many after '%s'\n", argv[help ? 3 : 2],
                argv[1]);
        return CLI_WRONG;
    }
    if (help && argc == 2) {
        print_usage(stdout);
        return CLI_DONE;
    }
    if (help) {                        // norn help COMMAND
        static char text[] = "--help"; // argv is not of const strings
        argv[1] = argv[2];
        argv[2] = text;
    }
    if (version) {
        printf("norn " NORN_VERSION "\n");
        return CLI_DONE;
    }
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        names[i] = commands[i]->name;
        if (strcmp(argv[1], names[i]) == 0) return commands[i]->run(argc - 1, argv + 1);
    }
    const char *near = norn_nearest(argv[1], names, COMMAND_COUNT);
    if (near) {
        fprintf(stderr, "norn: no command '%s'; did you mean '%s'?\n", argv[1], near);
    } else {
        fprintf(stderr, "norn: no command '%s'; `norn --help` lists them\n", argv[1]);
    }
    return CLI_WRONG;
}
