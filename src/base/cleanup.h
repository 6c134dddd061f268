/* Resources freed when their variable leaves scope. */
#ifndef WIRT_BASE_CLEANUP_H
#define WIRT_BASE_CLEANUP_H

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static inline void cleanup_free(void *p)
{
    free(*(void **)p);
}

static inline void cleanup_close(int *fd)
{
    if (*fd >= 0)
        close(*fd);
}

static inline void cleanup_fclose(FILE **f)
{
    if (*f)
        fclose(*f);
}

static inline void cleanup_closedir(DIR **d)
{
    if (*d)
        closedir(*d);
}

#define AUTO_FREE     __attribute__((cleanup(cleanup_free)))
#define AUTO_CLOSE    __attribute__((cleanup(cleanup_close)))
#define AUTO_FCLOSE   __attribute__((cleanup(cleanup_fclose)))
#define AUTO_CLOSEDIR __attribute__((cleanup(cleanup_closedir)))

/* Takes a value out of an AUTO_ variable, so that it survives the scope. */
#define STEAL_FD(fd)        \
    ({                      \
        int stolen_ = (fd); \
        (fd) = -1;          \
        stolen_;            \
    })
#define STEAL_PTR(p)                 \
    ({                               \
        __typeof__(p) stolen_ = (p); \
        (p) = NULL;                  \
        stolen_;                     \
    })

#endif
