/* The jail of a process that stays where it is. */
#include "jail/filter.h"
#include "jail/steps.h"

int jail_self(const struct jail_self *j, struct error **err)
{
    if (jail_limits_self(j->file_size, err) < 0 || jail_drop_capabilities(j->capabilities, err) < 0)
        return -1;
    if (!jail_has_filters())
        return 0;
    return jail_landlock_self(j, err) < 0 ? -1 : jail_filter(j->kind, err);
}
