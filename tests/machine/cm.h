/* cmocka with what it wants included before it. */
#ifndef WIRT_TESTS_MACHINE_CM_H
#define WIRT_TESTS_MACHINE_CM_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#endif
