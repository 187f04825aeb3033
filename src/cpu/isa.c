#include "cpu/isa.h"

#include "base/log.h"

#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>

typedef struct cpu_facts {
    bool avx2, avx512;
} cpu_facts;

/// Register state that the operating system saves: bits of XCR0.
static uint64_t xcr0(void) {
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

static cpu_facts cpu_facts_read(void) {
    enum { XCR0_YMM = 0x6, XCR0_ZMM = 0xe6 };
    cpu_facts facts = {0};
    uint32_t a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d)) return facts;
    bool osxsave = c >> 27 & 1, fma = c >> 12 & 1, f16c = c >> 29 & 1;
    if (!osxsave || !fma || !f16c) return facts;
    uint64_t saved = xcr0();
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return facts;
    bool avx2 = b >> 5 & 1, bmi2 = b >> 8 & 1;
    bool f = b >> 16 & 1, dq = b >> 17 & 1, bw = b >> 30 & 1, vl = b >> 31 & 1;
    facts.avx2 = avx2 && bmi2 && (saved & XCR0_YMM) == XCR0_YMM;
    facts.avx512 = facts.avx2 && f && dq && bw && vl && (saved & XCR0_ZMM) == XCR0_ZMM;
    return facts;
}

norn_isa norn_isa_best(void) {
    cpu_facts facts = cpu_facts_read();
    return facts.avx512 ? NORN_ISA_AVX512 : facts.avx2 ? NORN_ISA_AVX2 : NORN_ISA_SCALAR;
}
#else
norn_isa norn_isa_best(void) {
    return NORN_ISA_SCALAR;
}
#endif

static const char *const isa_names[NORN_ISA_COUNT] = {"scalar", "avx2", "avx512"};

const char *norn_isa_name(norn_isa isa) {
    return (unsigned)isa < NORN_ISA_COUNT ? isa_names[isa] : "?";
}

static norn_isa isa_choose(void) {
    norn_isa best = norn_isa_best();
    const char *wanted = getenv("NORN_ISA");
    if (!wanted || !*wanted) return best;
    for (int i = 0; i < NORN_ISA_COUNT; i++) {
        if (strcmp(wanted, isa_names[i]) != 0) continue;
        if ((norn_isa)i <= best) return (norn_isa)i;
        norn_log(NORN_LOG_WARN, "NORN_ISA=%s: this CPU has no more than %s; using that", wanted,
                 isa_names[best]);
        return best;
    }
    norn_log(NORN_LOG_WARN, "NORN_ISA=%s is none of scalar, avx2, avx512; using %s", wanted,
             isa_names[best]);
    return best;
}

norn_isa norn_isa_get(void) {
    static _Atomic int chosen = -1;
    int isa = atomic_load_explicit(&chosen, memory_order_relaxed);
    if (isa < 0) {
        isa = (int)isa_choose(); // racing threads choose the same
        atomic_store_explicit(&chosen, isa, memory_order_relaxed);
    }
    return (norn_isa)isa;
}
