/* machine-boot: runs a machine from the command line, without the CLI, for the machine's tests.
 *
 *   machine-boot [--kernel F] [--firmware F] [--initrd F] [--append S] [--memory SIZE] [--harts N]
 *                [--disk F[,ro]] [--share TAG=FOLDER[,ro]] [--network[=closed]] [--forward
 * ADDRESS:HOST-PORT:GUEST-PORT[/udp]]
 *                [--interpret] [--trace F] [--control FD] [--agent FD] */
#include <arpa/inet.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "base/log.h"
#include "base/str.h"
#include "machine/launch.h"

static struct termios saved;

static void restore_terminal(void)
{
    tcsetattr(0, TCSANOW, &saved);
}

static void raw_terminal(void)
{
    if (!isatty(0) || tcgetattr(0, &saved) < 0)
        return;
    struct termios raw = saved;
    cfmakeraw(&raw);
    raw.c_oflag |= OPOST;
    atexit(restore_terminal);
    tcsetattr(0, TCSANOW, &raw);
}

enum {
    OPT_KERNEL = 1,
    OPT_FIRMWARE,
    OPT_INITRD,
    OPT_APPEND,
    OPT_MEMORY,
    OPT_HARTS,
    OPT_DISK,
    OPT_SHARE,
    OPT_NETWORK,
    OPT_INTERPRET,
    OPT_TRACE,
    OPT_CONTROL,
    OPT_AGENT,
    OPT_FORWARD
};

static const struct option options[] = {{"kernel", 1, NULL, OPT_KERNEL},
                                        {"firmware", 1, NULL, OPT_FIRMWARE},
                                        {"initrd", 1, NULL, OPT_INITRD},
                                        {"append", 1, NULL, OPT_APPEND},
                                        {"memory", 1, NULL, OPT_MEMORY},
                                        {"harts", 1, NULL, OPT_HARTS},
                                        {"disk", 1, NULL, OPT_DISK},
                                        {"share", 1, NULL, OPT_SHARE},
                                        {"network", 2, NULL, OPT_NETWORK},
                                        {"interpret", 0, NULL, OPT_INTERPRET},
                                        {"trace", 1, NULL, OPT_TRACE},
                                        {"control", 1, NULL, OPT_CONTROL},
                                        {"agent", 1, NULL, OPT_AGENT},
                                        {"forward", 1, NULL, OPT_FORWARD},
                                        {0}};

#define MAX_DISKS    4
#define MAX_SHARES   4
#define MAX_FORWARDS 4

static struct machine_disk disks[MAX_DISKS];
static struct machine_share shares[MAX_SHARES];
static struct nat_forward forwards[MAX_FORWARDS];
static struct nat_config nat = {.forwards = forwards};
static bool network;

static void add_disk(struct machine_config *c, char *text)
{
    bool readonly = str_ends(text, ",ro");
    if (readonly)
        text[strlen(text) - 3] = '\0';
    if (c->n_disks < MAX_DISKS)
        disks[c->n_disks++] = (struct machine_disk){.path = text, .readonly = readonly};
}

static int add_share(struct machine_config *c, char *text, struct error **err)
{
    char *path = strchr(text, '=');
    if (c->n_shares == MAX_SHARES || !path)
        return error_set(err, 0, "--share %s: not TAG=FOLDER[,ro]", text);
    *path++ = '\0';
    bool readonly = str_ends(path, ",ro");
    if (readonly)
        path[strlen(path) - 3] = '\0';
    shares[c->n_shares++] = (struct machine_share){.tag = text, .path = path, .readonly = readonly};
    return 0;
}

static int add_forward(const char *text, struct error **err)
{
    char address[16];
    unsigned host, guest;
    struct in_addr a;
    if (nat.n_forwards == MAX_FORWARDS ||
        sscanf(text, "%15[0-9.]:%u:%u", address, &host, &guest) != 3 || !inet_aton(address, &a))
        return error_set(err, 0, "--forward %s: not ADDRESS:HOST-PORT:GUEST-PORT", text);
    forwards[nat.n_forwards++] = (struct nat_forward){.host_addr = ntohl(a.s_addr),
                                                      .host_port = (uint16_t)host,
                                                      .guest_port = (uint16_t)guest,
                                                      .udp = str_ends(text, "/udp")};
    return 0;
}

static int parse(int argc, char **argv, struct machine_config *c, struct error **err)
{
    uint64_t n;
    int opt;
    while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (opt) {
        case OPT_KERNEL: c->kernel.path = optarg; break;
        case OPT_FIRMWARE: c->firmware.path = optarg; break;
        case OPT_INITRD: c->initrd.path = optarg; break;
        case OPT_APPEND: c->append = optarg; break;
        case OPT_MEMORY:
            if (parse_size(optarg, "--memory", &c->memory, err) < 0)
                return -1;
            break;
        case OPT_HARTS:
            if (parse_u64(optarg, "--harts", &n, err) < 0)
                return -1;
            c->harts = (unsigned)n;
            break;
        case OPT_DISK: add_disk(c, optarg); break;
        case OPT_SHARE:
            if (add_share(c, optarg, err) < 0)
                return -1;
            break;
        case OPT_FORWARD:
            if (add_forward(optarg, err) < 0)
                return -1;
            break;
        case OPT_NETWORK: /* with the host open, which is where tests have their servers */
            network = true;
            nat.host_loopback = !optarg || strcmp(optarg, "closed") != 0;
            break;
        case OPT_INTERPRET: c->interpret = true; break;
        case OPT_TRACE: c->trace.path = optarg; break;
        case OPT_CONTROL: c->control = atoi(optarg); break;
        case OPT_AGENT: c->agent = atoi(optarg); break;
        default: return error_set(err, 0, "see the head of tests/machine/boot.c");
        }
    }
    return 0;
}

int main(int argc, char **argv)
{
    struct machine_config c = {.memory = (uint64_t)256 << 20,
                               .harts = 1,
                               .disks = disks,
                               .shares = shares,
                               .console_in = 0,
                               .console_out = 1,
                               .control = -1,
                               .agent = -1};
    ERROR_CLEANUP err = NULL;
    log_init("machine-boot", LOG_INFO);
    if (parse(argc, argv, &c, &err) < 0) {
        log_error("%s", error_text(err));
        return 2;
    }
    raw_terminal();
    machine_launch(&c, network ? &nat : NULL);
}
