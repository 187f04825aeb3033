/// The instruction set that kernels use, against what the compiler's library reads from the CPU.
#include "cpu/isa.h"

#include "base/cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__x86_64__)
static void the_best_is_what_the_cpu_has(void **state) {
    (void)state;
    __builtin_cpu_init();
    // F16C comes with every CPU that has AVX2 and FMA; gcc 11 cannot ask for it.
    const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                      __builtin_cpu_supports("bmi2");
    const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") &&
                        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
                        __builtin_cpu_supports("avx512dq");
    assert_int_equal(norn_isa_best(), avx512 ? NORN_ISA_AVX512
                                      : avx2 ? NORN_ISA_AVX2
                                             : NORN_ISA_SCALAR);
}
#endif

static void the_one_in_use_is_the_wanted_one_or_the_best(void **state) {
    (void)state;
    const char *wanted = getenv("NORN_ISA");
    norn_isa best = norn_isa_best(), want = best;
    for (int i = 0; wanted && i < NORN_ISA_COUNT; i++)
        if (strcmp(norn_isa_name((norn_isa)i), wanted) == 0 && (norn_isa)i < best)
            want = (norn_isa)i;
    assert_int_equal(norn_isa_get(), want);
}

/// The level that a process takes where NORN_ISA is `wanted`, or -1; *warned: it said something.
static int chosen_for(const char *wanted, bool *warned) {
    FILE *file = tmpfile();
    assert_non_null(file);
    pid_t child = fork();
    if (child == 0) {
        dup2(fileno(file), STDERR_FILENO);
        setenv("NORN_ISA", wanted, 1);
        _exit((int)norn_isa_get());
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    *warned = lseek(fileno(file), 0, SEEK_END) > 0;
    fclose(file);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/// The first of all tests: nothing is chosen yet in this process, nor in those that it forks.
static void a_level_that_the_cpu_has_is_taken_in_silence_and_others_with_a_warning(void **state) {
    (void)state;
    const norn_isa best = norn_isa_best();
    bool warned;
    for (int i = 0; i < NORN_ISA_COUNT; i++) {
        const int want = i < (int)best ? i : (int)best;
        assert_int_equal(chosen_for(norn_isa_name((norn_isa)i), &warned), want);
        assert_int_equal(warned, i > (int)best);
    }
    assert_int_equal(chosen_for("", &warned), best);
    assert_false(warned);
    static const char *const unknown[] = {"avx", "AVX2", "avx2 ", "none"};
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
        assert_int_equal(chosen_for(unknown[i], &warned), best);
        assert_true(warned);
    }
}

static void levels_have_names(void **state) {
    (void)state;
    assert_string_equal(norn_isa_name(NORN_ISA_SCALAR), "scalar");
    assert_string_equal(norn_isa_name(NORN_ISA_AVX2), "avx2");
    assert_string_equal(norn_isa_name(NORN_ISA_AVX512), "avx512");
    assert_string_equal(norn_isa_name(NORN_ISA_COUNT), "?");
    assert_string_equal(norn_isa_name((norn_isa)-1), "?");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_level_that_the_cpu_has_is_taken_in_silence_and_others_with_a_warning),
#if defined(__x86_64__)
        cmocka_unit_test(the_best_is_what_the_cpu_has),
#endif
        cmocka_unit_test(the_one_in_use_is_the_wanted_one_or_the_best),
        cmocka_unit_test(levels_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
