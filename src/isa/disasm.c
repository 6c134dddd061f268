/* Disassembly as the binutils write it: their operand order, register names and short forms. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "isa/decode.h"

static const char *const xname[32] = {"zero", "ra", "sp",  "gp",  "tp", "t0", "t1", "t2",
                                      "s0",   "s1", "a0",  "a1",  "a2", "a3", "a4", "a5",
                                      "a6",   "a7", "s2",  "s3",  "s4", "s5", "s6", "s7",
                                      "s8",   "s9", "s10", "s11", "t3", "t4", "t5", "t6"};
static const char *const fname[32] = {"ft0", "ft1", "ft2",  "ft3",  "ft4", "ft5", "ft6",  "ft7",
                                      "fs0", "fs1", "fa0",  "fa1",  "fa2", "fa3", "fa4",  "fa5",
                                      "fa6", "fa7", "fs2",  "fs3",  "fs4", "fs5", "fs6",  "fs7",
                                      "fs8", "fs9", "fs10", "fs11", "ft8", "ft9", "ft10", "ft11"};

struct text {
    char *buf;
    size_t size;
};

static void put(const struct text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void put(const struct text *t, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(t->buf, t->size, fmt, ap);
    va_end(ap);
}

/* The short forms that stand for a special case of addi, jalr and so on. false: none fits. */
static bool short_integer(const struct text *t, const struct decoded *d)
{
    const char *rd = xname[d->rd], *rs1 = xname[d->rs1], *rs2 = xname[d->rs2];
    switch (d->id) {
    case INSN_addi:
        if (!d->rd && !d->rs1 && !d->imm)
            put(t, "nop");
        else if (!d->rs1)
            put(t, "li\t%s,%d", rd, d->imm);
        else if (!d->imm && d->len == 4)
            put(t, "mv\t%s,%s", rd, rs1);
        else
            return false;
        return true;
    case INSN_add:
        if (d->rs1 || d->len == 4)
            return false;
        put(t, "mv\t%s,%s", rd, rs2);
        return true;
    case INSN_addiw:
        if (d->imm)
            return false;
        put(t, "sext.w\t%s,%s", rd, rs1);
        return true;
    case INSN_xori:
        if (d->imm != -1)
            return false;
        put(t, "not\t%s,%s", rd, rs1);
        return true;
    case INSN_andi:
        if (d->imm != 255 || d->len == 2)
            return false;
        put(t, "zext.b\t%s,%s", rd, rs1);
        return true;
    case INSN_sltiu:
        if (d->imm != 1)
            return false;
        put(t, "seqz\t%s,%s", rd, rs1);
        return true;
    case INSN_sub:
    case INSN_subw:
        if (d->rs1)
            return false;
        put(t, "%s\t%s,%s", d->id == INSN_sub ? "neg" : "negw", rd, rs2);
        return true;
    case INSN_sltu:
        if (d->rs1)
            return false;
        put(t, "snez\t%s,%s", rd, rs2);
        return true;
    case INSN_slt:
        if (!d->rs2)
            put(t, "sltz\t%s,%s", rd, rs1);
        else if (!d->rs1)
            put(t, "sgtz\t%s,%s", rd, rs2);
        else
            return false;
        return true;
    case INSN_add_uw:
        if (d->rs2)
            return false;
        put(t, "zext.w\t%s,%s", rd, rs1);
        return true;
    case INSN_fence:
        if (d->imm == 0x010 && !d->rd && !d->rs1)
            put(t, "pause");
        else if (d->imm == 0x0ff && !d->rd && !d->rs1)
            put(t, "fence");
        else if (d->imm == 0x833 && !d->rd && !d->rs1)
            put(t, "fence.tso");
        else
            return false;
        return true;
    default: return false;
    }
}

static bool short_jump(const struct text *t, const struct decoded *d, uint64_t target)
{
    const char *rs1 = xname[d->rs1], *rs2 = xname[d->rs2];
    switch (d->id) {
    case INSN_jal:
        if (d->rd > 1)
            return false;
        put(t, "%s%" PRIx64, d->rd ? "jal\tra," : "j\t", target);
        return true;
    case INSN_jalr:
        if (d->rd == 0 && d->rs1 == 1 && d->imm == 0)
            put(t, "ret");
        else if (d->rd > 1)
            return false;
        else if (d->imm)
            put(t, "%s\t%d(%s)", d->rd ? "jalr" : "jr", d->imm, rs1);
        else
            put(t, "%s\t%s", d->rd ? "jalr" : "jr", rs1);
        return true;
    case INSN_beq:
    case INSN_bne:
        if (d->rs2)
            return false;
        put(t, "%s\t%s,%" PRIx64, d->id == INSN_beq ? "beqz" : "bnez", rs1, target);
        return true;
    case INSN_blt:
    case INSN_bge:
        if (!d->rs2)
            put(t, "%s\t%s,%" PRIx64, d->id == INSN_blt ? "bltz" : "bgez", rs1, target);
        else if (!d->rs1)
            put(t, "%s\t%s,%" PRIx64, d->id == INSN_blt ? "bgtz" : "blez", rs2, target);
        else
            return false;
        return true;
    default: return false;
    }
}

static void csr_form(const struct text *t, const struct decoded *d)
{
    char number[8];
    unsigned csr = (unsigned)d->imm;
    const char *rd = xname[d->rd], *rs1 = xname[d->rs1], *name = csr_name(csr);
    if (!name) {
        snprintf(number, sizeof number, "0x%x", csr);
        name = number;
    }
    bool set_zero = d->id == INSN_csrrs && d->rs1 == 0;
    if (set_zero && csr >= 0xc00 && csr <= 0xc02)
        put(t, "rd%s\t%s", name, rd);
    else if (set_zero && csr >= 1 && csr <= 3)
        put(t, "fr%s\t%s", csr == 1 ? "flags" : csr == 2 ? "rm" : "csr", rd);
    else if (d->id == INSN_csrrw && csr >= 1 && csr <= 3 && d->rd == 0)
        put(t, "fs%s\t%s", csr == 1 ? "flags" : csr == 2 ? "rm" : "csr", rs1);
    else if (d->id == INSN_csrrw && csr >= 1 && csr <= 3)
        put(t, "fs%s\t%s,%s", csr == 1 ? "flags" : csr == 2 ? "rm" : "csr", rd, rs1);
    else if (d->id == INSN_csrrwi && (csr == 1 || csr == 2) && d->rd == 0)
        put(t, "fs%s\t%d", csr == 1 ? "flagsi" : "rmi", d->rs1);
    else if (d->id == INSN_csrrwi && (csr == 1 || csr == 2))
        put(t, "fs%s\t%s,%d", csr == 1 ? "flagsi" : "rmi", rd, d->rs1);
    else if (set_zero)
        put(t, "csrr\t%s,%s", rd, name);
    else if (d->rd == 0 && d->id >= INSN_csrrwi && d->id <= INSN_csrrci)
        put(t, "csr%ci\t%s,%d", "wsc"[d->id - INSN_csrrwi], name, d -> rs1);
    else if (d->rd == 0)
        put(t, "csr%c\t%s,%s", "wsc"[d->id - INSN_csrrw], name, rs1);
    else if (d->id >= INSN_csrrwi && d->id <= INSN_csrrci)
        put(t, "csrr%ci\t%s,%s,%d", "wsc"[d->id - INSN_csrrwi], rd, name, d -> rs1);
    else
        put(t, "csrr%c\t%s,%s,%s", "wsc"[d->id - INSN_csrrw], rd, name, rs1);
}

static bool short_float(const struct text *t, const struct decoded *d)
{
    static const char *const name[3] = {"fmv", "fneg", "fabs"};
    unsigned first = d->id >= INSN_fsgnj_s && d->id <= INSN_fsgnjx_d ? INSN_fsgnj_s : 0;
    if (!first || d->rs1 != d->rs2)
        return false;
    unsigned i = d->id - first; /* the table has .s and .d of each in turn */
    put(t, "%s.%c\t%s,%s", name[i / 2], "sd"[i % 2], fname[d->rd], fname[d->rs1]);
    return true;
}

static void fence_set(char *out, unsigned set)
{
    for (unsigned i = 0; i < 4; i++)
        if (set & 8 >> i)
            *out++ = "iorw"[i];
    *out = 0;
}

static void long_form(const struct text *t, const struct decoded *d, uint64_t target)
{
    static const char *const rounding[8] = {",rne", ",rtz", ",rdn", ",rup", ",rmm", "", "", ""};
    static const char *const order[4] = {"", ".rl", ".aq", ".aqrl"};
    const struct insn_info *info = &insn_table[d->id];
    const char *xd = xname[d->rd], *x1 = xname[d->rs1], *x2 = xname[d->rs2];
    const char *fd = fname[d->rd], *f1 = fname[d->rs1], *f2 = fname[d->rs2];
    const char *rm = rounding[d->rm];
    char n[32], pred[8], succ[8];
    size_t len = strlen(info->name);
    for (size_t i = 0; i <= len; i++)
        n[i] = info->name[i] == '_' ? '.' : info->name[i];
    switch (info->format) {
    case FORMAT_U: put(t, "%s\t%s,0x%x", n, xd, (uint32_t)d->imm >> 12); break;
    case FORMAT_J: put(t, "%s\t%s,%" PRIx64, n, xd, target); break;
    case FORMAT_B: put(t, "%s\t%s,%s,%" PRIx64, n, x1, x2, target); break;
    case FORMAT_JALR:
        if (d->imm)
            put(t, "%s\t%s,%d(%s)", n, xd, d->imm, x1);
        else
            put(t, "%s\t%s,%s", n, xd, x1);
        break;
    case FORMAT_LOAD: put(t, "%s\t%s,%d(%s)", n, xd, d->imm, x1); break;
    case FORMAT_STORE: put(t, "%s\t%s,%d(%s)", n, x2, d->imm, x1); break;
    case FORMAT_FLOAD: put(t, "%s\t%s,%d(%s)", n, fd, d->imm, x1); break;
    case FORMAT_FSTORE: put(t, "%s\t%s,%d(%s)", n, f2, d->imm, x1); break;
    case FORMAT_I: put(t, "%s\t%s,%s,%d", n, xd, x1, d->imm); break;
    case FORMAT_SHIFT: put(t, "%s\t%s,%s,0x%x", n, xd, x1, (unsigned)d->imm); break;
    case FORMAT_R: put(t, "%s\t%s,%s,%s", n, xd, x1, x2); break;
    case FORMAT_R1: put(t, "%s\t%s,%s", n, xd, x1); break;
    case FORMAT_FENCE:
        fence_set(pred, (unsigned)d->imm >> 4 & 15);
        fence_set(succ, (unsigned)d->imm & 15);
        put(t, "%s\t%s,%s", n, *pred ? pred : "unknown", *succ ? succ : "unknown");
        break;
    case FORMAT_AMO: put(t, "%s%s\t%s,%s,(%s)", n, order[d->rm], xd, x2, x1); break;
    case FORMAT_LR: put(t, "%s%s\t%s,(%s)", n, order[d->rm], xd, x1); break;
    case FORMAT_FR4: put(t, "%s\t%s,%s,%s,%s%s", n, fd, f1, f2, fname[d->rs3], rm); break;
    case FORMAT_FR_RM: put(t, "%s\t%s,%s,%s%s", n, fd, f1, f2, rm); break;
    case FORMAT_FR: put(t, "%s\t%s,%s,%s", n, fd, f1, f2); break;
    case FORMAT_F1_RM:
        put(t, "%s\t%s,%s%s", n, fd, f1, d->id == INSN_fcvt_d_s && d->rm == 0 ? "" : rm);
        break;
    case FORMAT_FCMP: put(t, "%s\t%s,%s,%s", n, xd, f1, f2); break;
    case FORMAT_F_TO_X: put(t, "%s\t%s,%s", n, xd, f1); break;
    case FORMAT_F_TO_X_RM: put(t, "%s\t%s,%s%s", n, xd, f1, rm); break;
    case FORMAT_X_TO_F: put(t, "%s\t%s,%s", n, fd, x1); break;
    case FORMAT_X_TO_F_RM:
        /* Exact whatever the mode: the usual one is not written. */
        if ((d->id == INSN_fcvt_d_w || d->id == INSN_fcvt_d_wu) && d->rm == 0)
            rm = "";
        put(t, "%s\t%s,%s%s", n, fd, x1, rm);
        break;
    case FORMAT_CBO: put(t, "%s\t(%s)", n, x1); break;
    case FORMAT_VMA:
        if (d->rs1 == 0 && d->rs2 == 0 && d->id == INSN_sfence_vma)
            put(t, "%s", n);
        else if (d->rs2 == 0 && d->id == INSN_sfence_vma)
            put(t, "%s\t%s", n, x1);
        else
            put(t, "%s\t%s,%s", n, x1, x2);
        break;
    case FORMAT_HLV: put(t, "%s\t%s,(%s)", n, xd, x1); break;
    case FORMAT_HSV: put(t, "%s\t%s,(%s)", n, x2, x1); break;
    default: put(t, "%s", n); break;
    }
}

void isa_disassemble(uint32_t insn, uint64_t pc, char *buf, size_t size)
{
    struct decoded d;
    struct text t = {buf, size};
    isa_decode(insn, &d);
    uint64_t target = pc + (uint64_t)(int64_t)d.imm;
    unsigned format = insn_table[d.id].format;
    if (d.id == INSN_illegal && (insn & 0xffff) == 0)
        put(&t, "unimp");
    else if (format == FORMAT_CSR || format == FORMAT_CSRI)
        csr_form(&t, &d);
    else if (!short_integer(&t, &d) && !short_jump(&t, &d, target) && !short_float(&t, &d))
        long_form(&t, &d, target);
}
