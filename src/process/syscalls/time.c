/* The clocks that programs read all the time: through the host's vDSO, without its kernel. */
#include <errno.h>
#include <sys/time.h>
#include <time.h>

#include "process/syscall.h"

long sys_clock_gettime(struct thread *t, const uint64_t a[6])
{
    struct timespec ts;
    if (clock_gettime((clockid_t)a[0], &ts) < 0)
        return -errno;
    return guest_write(a[1], &ts, sizeof ts);
}

long sys_gettimeofday(struct thread *t, const uint64_t a[6])
{
    struct timeval tv;
    struct timezone tz;
    if (gettimeofday(&tv, &tz) < 0)
        return -errno;
    if (a[0] && guest_write(a[0], &tv, sizeof tv))
        return -EFAULT;
    return a[1] ? guest_write(a[1], &tz, sizeof tz) : 0;
}
