/* F and D. Volume I, chapters F and D. */
#include "engine/ir_build.h"

enum lifted lift_float(struct builder *bd, const struct decoded *d)
{
    return LIFT_NOT;
}
