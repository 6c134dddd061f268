/* Registration with the kernel's binfmt_misc (Documentation/admin-guide/binfmt-misc.rst). */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/log.h"
#include "base/str.h"
#include "cli/cli.h"
#include "guest/wall.h"

#define BINFMT "/proc/sys/fs/binfmt_misc"
#define ENTRY  BINFMT "/wirt-riscv64"

static const struct cli_option options[] = {{0}};
static const struct cli_usage usage = {
    "binfmt register|unregister|status",
    "Has the host's kernel run every riscv64 program with wirt-riscv64 (binfmt_misc), or no "
    "longer.",
    options,
};

/* ELF, 64 bits, little-endian, type EXEC or DYN, machine 243; the bytes of EI_OSABI to EI_PAD and
 * the lowest bit of the type are not looked at. */
#define MAGIC \
    "\\x7fELF\\x02\\x01\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x02\\x00\\xf3\\x00"
#define MASK                                                                                       \
    "\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\x00\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xfe\\xff\\" \
    "xff\\xff"

static int do_register(struct error **err)
{
    AUTO_FREE char *emulator = wall_helper("wirt-riscv64", err);
    if (!emulator)
        return -1;
    if (access(ENTRY, F_OK) == 0)
        return 0;
    /* F: the file is opened now, so that it also works in containers and other roots. O: the
     * program is handed over open, so that one that may only be executed runs. C: it has the rights
     * that its own file gives it (su, sudo, ping). P: its argv[0] is its caller's. */
    AUTO_FREE char *line = xasprintf(":wirt-riscv64:M::%s:%s:%s:OCFP", MAGIC, MASK, emulator);
    if (write_file_at(AT_FDCWD, BINFMT "/register", line, err) < 0)
        return error_prefix(err,
                            "register with the kernel (as root, with binfmt_misc mounted: mount "
                            "-t binfmt_misc none " BINFMT ")");
    return 0;
}

static int do_unregister(struct error **err)
{
    if (access(ENTRY, F_OK) < 0)
        return errno == ENOENT ? 0 : error_set(err, errno, ENTRY);
    return write_file_at(AT_FDCWD, ENTRY, "-1", err);
}

static int do_status(struct error **err)
{
    AUTO_FREE char *text = NULL;
    if (access(ENTRY, F_OK) < 0) {
        printf("not registered\n");
        return 0;
    }
    if (read_file_at(AT_FDCWD, ENTRY, 65536, &text, NULL, err) < 0)
        return -1;
    printf("registered\n%s", text);
    return 0;
}

int verb_binfmt(struct cli *cli, int argc, char **argv)
{
    struct cli_parser p;
    ERROR_CLEANUP err = NULL;
    cli_parser_init(&p, &usage, argc, argv, false);
    int c = cli_next(&p);
    cli_parser_free(&p);
    if (c != CLI_END)
        return cli_parse_end(c);
    const char *what = p.at == argc - 1 ? argv[p.at] : "";
    int r = !strcmp(what, "register")     ? do_register(&err)
            : !strcmp(what, "unregister") ? do_unregister(&err)
            : !strcmp(what, "status")     ? do_status(&err)
                                          : -2;
    if (r == -2)
        return cli_misuse(&p, "takes one word: register, unregister or status");
    return r < 0 ? cli_fail(err) : 0;
}
