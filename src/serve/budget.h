/// One budget in bytes for what the process holds for its clients: request bodies,
/// tensors read from them, answers that have not left. Readers take before they
/// allocate and are refused when it does not fit; so a thousand clients together cannot
/// take more than one number that an operator chose.
///
/// Nobody waits for room, so there is no deadlock: who does not get it is refused at once. Who is
/// about to read much asks norn_budget_could_take first, so as to be refused before it was sent.
/// The last eighth is kept for small takes, so that large bodies never shut small requests out.
///
/// Threads  any; nothing here blocks.
#ifndef NORN_SERVE_BUDGET_H
#define NORN_SERVE_BUDGET_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/// Takes of at most this many bytes may use the last eighth of the budget.
enum { NORN_BUDGET_SMALL_BYTES = 64 * 1024 };

typedef struct norn_budget {
    int64_t limit_bytes;
    _Atomic int64_t held_bytes;
    _Atomic int64_t peak_bytes; ///< highest held_bytes since memory was last trimmed
    _Atomic uint64_t refused;   ///< takes that did not fit
} norn_budget;

void norn_budget_init(norn_budget *budget, int64_t limit_bytes);
/// False: it does not fit, nothing was taken.
bool norn_budget_take(norn_budget *budget, int64_t bytes);
/// Would a take of `bytes` succeed now? Takes nothing, so it promises nothing.
bool norn_budget_could_take(const norn_budget *budget, int64_t bytes);
/// Take in any case: for what is there already. Until it is given back others are refused.
void norn_budget_force(norn_budget *budget, int64_t bytes);
void norn_budget_give(norn_budget *budget, int64_t bytes);
/// Could a take of `bytes` ever succeed, with nothing else held? False: the request is too large
/// for this server, and trying again is of no use.
bool norn_budget_fits(const norn_budget *budget, int64_t bytes);

/// True once after the bytes held fell far below their peak: time to give free memory back to the
/// system. The peak starts anew.
bool norn_budget_wants_trim(norn_budget *budget);
/// Give the heap's free pages back (glibc; nothing elsewhere). May take many milliseconds.
void norn_budget_trim(void);

#endif
