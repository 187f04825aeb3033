/// What the number reader and writer share. Private to base.
#ifndef NORN_BASE_DECIMAL_H
#define NORN_BASE_DECIMAL_H

/// Powers of ten that a double holds exactly.
enum { NORN_EXACT_POWER_MAX = 22 };
static const double norn_exact_power[NORN_EXACT_POWER_MAX + 1] = {
    1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
    1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

#endif
