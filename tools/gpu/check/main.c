/// usage: norn_cuda_check [--quick] [--dlrm fp32|tf32] [--only NAME] [--seed N]
#include "check.h"

#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    void (*run)(checker *k);
} groups[] = {{"device", check_device},         {"pointwise", check_pointwise},
              {"row_reduce", check_row_reduce}, {"gemm", check_gemm},
              {"lookup", check_lookup},         {"interaction", check_interaction},
              {"operators", check_operators}};

static int run_groups(checker *k, const char *only) {
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++)
        if (!only || strcmp(only, groups[i].name) == 0) groups[i].run(k);
    printf("%d passed, %d failed; worst error %.2f of what is allowed\n", (int)k->passed,
           (int)k->failed, k->worst_ratio);
    return k->failed || !k->passed ? 1 : 0;
}

int main(int argc, char **argv) {
    const char *only = NULL, *dlrm = NULL;
    uint64_t seed = 1;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--only") == 0 && i + 1 < argc)
            only = argv[++i];
        else if (strcmp(argv[i], "--dlrm") == 0 && i + 1 < argc)
            dlrm = argv[++i];
        else if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc)
            seed = strtoull(argv[++i], NULL, 10);
        else
            return fprintf(stderr,
                           "usage: norn_cuda_check [--dlrm fp32|tf32] [--only NAME] [--seed N]\n"),
                   2;
    }
    checker k = {0};
    norn_random_init(&k.random, seed);
    if (norn_backend_open(0, norn_alloc_heap(), &k.device) != NORN_OK)
        return fprintf(stderr, "%s\n", norn_message()), 1;
    if (!k.device->can_run) return printf("skipped: no GPU here\n"), 77;
    if (k.device->ops->stream_create(k.device, NULL, &k.stream) != NORN_OK)
        return fprintf(stderr, "%s\n", norn_message()), 1;
    int code =
        dlrm ? check_dlrm(&k, strcmp(dlrm, "tf32") == 0 ? NORN_PRECISION_TF32 : NORN_PRECISION_FP32)
             : run_groups(&k, only);
    k.device->ops->stream_destroy(k.device, k.stream);
    k.device->ops->destroy(k.device);
    return code;
}
