/* Exchanges two names as fast as it can, until it is killed: what a container that shares a folder
 * with another one does while the runtime looks a path up in it. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    for (;;)
        if (renameat2(AT_FDCWD, argv[1], AT_FDCWD, argv[2], RENAME_EXCHANGE) < 0) {
            perror("exchange");
            return 1;
        }
}
