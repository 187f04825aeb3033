/// Time. All times are int64 nanoseconds of CLOCK_MONOTONIC unless the name says otherwise.
#ifndef NORN_BASE_CLOCK_H
#define NORN_BASE_CLOCK_H

#include <stdint.h>

int64_t norn_clock_now_ns(void);
int64_t norn_clock_wall_ns(void); ///< CLOCK_REALTIME

#endif
