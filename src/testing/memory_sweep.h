/// SQLite's doctrine: fail allocation number n, for every n. For tests only.
#ifndef NORN_TESTING_MEMORY_SWEEP_H
#define NORN_TESTING_MEMORY_SWEEP_H

#include "base/cmocka_all.h"
#include "testing/failing_alloc.h"

/// Runs `status = create(alloc, &out)` with allocation 0 failing, then 1, and so on until it
/// succeeds; then `destroy(out)`. After each try nothing may be live. `create` and `destroy` are
/// expressions in `alloc` and variables of the test.
#define NORN_MEMORY_SWEEP(create, out, destroy)                           \
    do {                                                                  \
        norn_status sweep_status_ = NORN_RESOURCE_EXHAUSTED;              \
        for (size_t fail_at_ = 0; sweep_status_ != NORN_OK; fail_at_++) { \
            norn_alloc_faulty faulty_ = {.fail_at = fail_at_};            \
            norn_alloc alloc = norn_alloc_failing(&faulty_);              \
            assert_in_range(fail_at_, 0, 100000);                         \
            sweep_status_ = (create);                                     \
            if (sweep_status_ == NORN_OK) {                               \
                assert_true(faulty_.count <= fail_at_);                   \
                assert_non_null(out);                                     \
                destroy;                                                  \
            } else {                                                      \
                assert_int_equal(sweep_status_, NORN_RESOURCE_EXHAUSTED); \
                assert_null(out);                                         \
            }                                                             \
            assert_int_equal(faulty_.live, 0);                            \
        }                                                                 \
    } while (0)

#endif
