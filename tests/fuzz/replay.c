/* Runs a fuzzer's function once on each file named: for compilers without libFuzzer. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/io.h"
#include "base/log.h"
#include "fuzz.h"

#define MAX_INPUT (16u << 20)

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        ERROR_CLEANUP err = NULL;
        char *data;
        size_t len;
        if (read_file_at(AT_FDCWD, argv[i], MAX_INPUT, &data, &len, &err) < 0) {
            log_error("%s", error_text(err));
            return 1;
        }
        LLVMFuzzerTestOneInput((const uint8_t *)data, len);
        free(data);
    }
    printf("ok - %d inputs\n", argc - 1);
    return 0;
}
