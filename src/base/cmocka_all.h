/// cmocka wants these before it; for tests only.
#ifndef NORN_BASE_CMOCKA_ALL_H
#define NORN_BASE_CMOCKA_ALL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h> // IWYU pragma: export

#endif
