# Helper of the tests of translations that are kept: to be read after lib.sh. What a program does with them is compared
# with what it does without.
# shellcheck shell=bash disable=SC2154
rootfs=$guest/rootfs
NAME_OF_FILE='riscv64-*.translations'

# kept DIR PROGRAM ...: a program with its translations in DIR; statistics are on standard error
kept() {
    local dir=$1
    shift
    timeout -k 1 100 "$riscv64" --stats --cache "$dir" -L "$rootfs" "$@" </dev/null
}
without() { timeout -k 1 100 "$riscv64" --cache off -L "$rootfs" "$@" </dev/null; }

# reused FILE: of the blocks that statistics there tell of, how many percent were not translated
reused() {
    awk '/^blocks / { made += $2 } / blocks reused / { found += $NF } END { print int(100 * found / (made + found + 1e-9)) }' "$1"
}

files_in() { find "$1" -name "$NAME_OF_FILE" -type f 2>/dev/null | wc -l; }  # DIR
file_in() { find "$1" -maxdepth 1 -name "$NAME_OF_FILE" -type f | head -n 1; } # DIR

# static FILE: a program that needs no library, with more blocks than it takes for a file to be written. "./FILE in ROOT
# PROGRAM ..." executes a program in another root, "./FILE" computes something.
static() {
    cat >"$1.c" <<'C'
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
static int compare(const void *a, const void *b) { return *(const int *)a - *(const int *)b; }
int main(int argc, char **argv)
{
    int all[100];
    unsigned sum = 0;
    char text[4000] = "";
    if (argc > 3 && strcmp(argv[1], "in") == 0) {
        if (chroot(argv[2]) || chdir("/"))
            return 2;
        execv(argv[3], argv + 3);
        return 3;
    }
    for (int i = 0; i < 100; i++)
        all[i] = (i * 37 + argc) % 101;
    qsort(all, 100, sizeof all[0], compare);
    for (int i = 0; i < 100; i++)
        snprintf(text + strlen(text), 20, "%d %g ", all[i], all[i] / 7.0);
    for (char *p = text; *p; p++)
        sum = sum * 31 + (unsigned char)*p;
    printf("sorted %u\n", sum);
    return 0;
}
C
    riscv64-linux-gnu-gcc -O1 -static "$1.c" -o "$1"
}
