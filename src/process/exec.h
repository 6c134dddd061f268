/* execve: programs of both kinds, and scripts. */
#ifndef WIRT_PROCESS_EXEC_H
#define WIRT_PROCESS_EXEC_H

#include "process/state.h"

/* execveat's arguments, as the guest gave them. Returns only on failure, with -errno. */
long exec_program(struct thread *t, int dirfd, uint64_t path, uint64_t argv, uint64_t envp,
                  int flags);

/* "#! INTERPRETER [ARGUMENT]" at the start of a file, cut as Linux does. */
struct shebang {
    char text[256];
    const char *interpreter;
    const char *argument; /* NULL: none */
};

/* head: the file's first len bytes. false: no interpreter is named, or its name is cut off. */
bool shebang_parse(const uint8_t *head, size_t len, struct shebang *out);

#endif
