/* Device rules in cgroup v2: a BPF program on the group (BPF_PROG_TYPE_CGROUP_DEVICE), which the
 * kernel asks at every open and mknod. */
#include <errno.h>
#include <linux/bpf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "container/cgroup.h"

struct program {
    struct bpf_insn *insns;
    size_t len;
};

static void emit(struct program *p, struct bpf_insn i)
{
    p->insns = xrealloc(p->insns, (p->len + 1) * sizeof i);
    p->insns[p->len++] = i;
}

enum {
    TYPE = BPF_REG_2,
    ACCESS = BPF_REG_3,
    MAJOR = BPF_REG_4,
    MINOR = BPF_REG_5
};

static struct bpf_insn load(int reg, int offset)
{
    return (struct bpf_insn){.code = BPF_LDX | BPF_MEM | BPF_W,
                             .dst_reg = (uint8_t)reg & 15,
                             .src_reg = BPF_REG_1,
                             .off = (int16_t)offset};
}

static struct bpf_insn alu(int op, int reg, int32_t imm)
{
    return (struct bpf_insn){
        .code = (uint8_t)(BPF_ALU | op | BPF_K), .dst_reg = (uint8_t)reg & 15, .imm = imm};
}

/* A jump to the next rule when reg is not imm: the distance is filled in later. */
static struct bpf_insn unless(int reg, int32_t imm)
{
    return (struct bpf_insn){
        .code = BPF_JMP32 | BPF_JNE | BPF_K, .dst_reg = (uint8_t)reg & 15, .imm = imm};
}

static void emit_return(struct program *p, bool allow)
{
    emit(p, (struct bpf_insn){
                .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = allow});
    emit(p, (struct bpf_insn){.code = BPF_JMP | BPF_EXIT});
}

/* Whether the rule fits everything: nothing may follow, since the kernel refuses a program with
 * instructions that are never reached. */
static bool emit_rule(struct program *p, const struct device_rule *r)
{
    size_t jumps[4], n = 0;
    if (r->type != 'a') {
        jumps[n++] = p->len;
        emit(p, unless(TYPE, r->type == 'b' ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR));
    }
    if (r->access != DEVICE_ALL) {
        /* An allowance has to cover all that is asked; a denial hits when it covers any of it. */
        emit(p, (struct bpf_insn){
                    .code = BPF_ALU | BPF_MOV | BPF_X, .dst_reg = BPF_REG_6, .src_reg = ACCESS});
        emit(p, alu(BPF_AND, BPF_REG_6,
                    r->allow ? (int32_t)(DEVICE_ALL & ~r->access) : (int32_t)r->access));
        jumps[n++] = p->len;
        struct bpf_insn j = unless(BPF_REG_6, 0);
        if (!r->allow)
            j.code = BPF_JMP32 | BPF_JEQ | BPF_K;
        emit(p, j);
    }
    if (r->major >= 0) {
        jumps[n++] = p->len;
        emit(p, unless(MAJOR, (int32_t)r->major));
    }
    if (r->minor >= 0) {
        jumps[n++] = p->len;
        emit(p, unless(MINOR, (int32_t)r->minor));
    }
    emit_return(p, r->allow);
    for (size_t i = 0; i < n; i++)
        p->insns[jumps[i]].off = (int16_t)(p->len - jumps[i] - 1);
    return n == 0;
}

static int bpf(int cmd, union bpf_attr *a)
{
    return (int)syscall(SYS_bpf, cmd, a, sizeof *a);
}

/* Takes off the programs that were there before, except the newest. */
static int detach(int group, const uint32_t *ids, size_t len, struct error **err)
{
    for (size_t i = 0; i < len; i++) {
        union bpf_attr get = {.prog_id = ids[i]};
        AUTO_CLOSE int fd = bpf(BPF_PROG_GET_FD_BY_ID, &get);
        if (fd < 0)
            return error_set(err, errno, "open the device program there was");
        union bpf_attr a = {.target_fd = (uint32_t)group,
                            .attach_bpf_fd = (uint32_t)fd,
                            .attach_type = BPF_CGROUP_DEVICE};
        if (bpf(BPF_PROG_DETACH, &a) < 0)
            return error_set(err, errno, "take off the device program there was");
    }
    return 0;
}

int cgroup_v2_devices(struct cgroup_hierarchy *h, const struct device_rule *rules, size_t len,
                      struct error **err)
{
    struct program p = {0};
    /* struct bpf_cgroup_dev_ctx: access_type has the type in its low half, the access above. */
    emit(&p, load(TYPE, 0));
    emit(&p, load(MAJOR, 4));
    emit(&p, load(MINOR, 8));
    emit(&p,
         (struct bpf_insn){.code = BPF_ALU | BPF_MOV | BPF_X, .dst_reg = ACCESS, .src_reg = TYPE});
    emit(&p, alu(BPF_AND, TYPE, 0xffff));
    emit(&p, alu(BPF_RSH, ACCESS, 16));
    bool all = false;
    for (size_t i = len; !all && i-- > 0;) /* the last rule that fits decides */
        all = emit_rule(&p, &rules[i]);
    if (!all)
        emit_return(&p, true);

    static const char license[] = "Apache-2.0";
    union bpf_attr prog = {.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE,
                           .insn_cnt = (uint32_t)p.len,
                           .insns = (uint64_t)(uintptr_t)p.insns,
                           .license = (uint64_t)(uintptr_t)license};
    AUTO_CLOSE int fd = bpf(BPF_PROG_LOAD, &prog);
    int code = errno;
    free(p.insns);
    if (fd < 0)
        return error_set(err, code, "load the device program");
    uint32_t ids[64];
    union bpf_attr query = {.query = {.target_fd = (uint32_t)h->dirfd,
                                      .attach_type = BPF_CGROUP_DEVICE,
                                      .prog_ids = (uint64_t)(uintptr_t)ids,
                                      .prog_cnt = 64}};
    if (bpf(BPF_PROG_QUERY, &query) < 0)
        return error_set(err, errno, "ask for device programs");
    union bpf_attr attach = {.target_fd = (uint32_t)h->dirfd,
                             .attach_bpf_fd = (uint32_t)fd,
                             .attach_type = BPF_CGROUP_DEVICE,
                             .attach_flags = BPF_F_ALLOW_MULTI};
    if (bpf(BPF_PROG_ATTACH, &attach) < 0)
        return error_set(err, errno, "attach the device program");
    return detach(h->dirfd, ids, query.query.prog_cnt, err);
}
