#include "isa/decode.h"

#include "isa/isa.h"
#include "isa_index.h"

const struct insn_info insn_table[INSN_COUNT] = {
    [INSN_illegal] = {"unknown", 0, 0, FORMAT_NONE, EXT_I},
#define INSN(name, mask, match, format, extension) \
    [INSN_##name] = {#name, mask, match, FORMAT_##format, EXT_##extension},
#include "isa/table.def"
#undef INSN
};

unsigned isa_length(uint16_t first)
{
    if ((first & 3) != 3)
        return 2;
    return (first & 0x1c) != 0x1c ? 4 : 0;
}

static uint32_t bits(uint32_t insn, unsigned high, unsigned low)
{
    return insn >> low & ((1u << (high - low + 1)) - 1);
}

static enum insn_id find(uint32_t insn)
{
    unsigned opcode = bits(insn, 6, 2);
    unsigned bucket = opcode << 3 | bits(insn, 14, 12);
    if (opcode == 0x14) /* OP-FP */
        bucket = 256 + bits(insn, 31, 25);
    for (unsigned i = bucket_start[bucket]; i < bucket_start[bucket + 1]; i++) {
        const struct insn_info *info = &insn_table[bucket_entry[i]];
        if ((insn & info->mask) == info->match)
            return bucket_entry[i];
    }
    return INSN_illegal;
}

/* The immediate by format: Volume I, chapter RV32I, figure of immediate formats. */
static int32_t immediate(uint32_t insn, enum insn_format format)
{
    uint32_t sign = (uint32_t)((int32_t)insn >> 31);
    switch (format) {
    case FORMAT_U: return (int32_t)(insn & 0xfffff000);
    case FORMAT_J:
        return (int32_t)(sign << 20 | bits(insn, 19, 12) << 12 | bits(insn, 20, 20) << 11 |
                         bits(insn, 30, 21) << 1);
    case FORMAT_B:
        return (int32_t)(sign << 12 | bits(insn, 7, 7) << 11 | bits(insn, 30, 25) << 5 |
                         bits(insn, 11, 8) << 1);
    case FORMAT_STORE:
    case FORMAT_FSTORE: return (int32_t)(sign << 11 | bits(insn, 30, 25) << 5 | bits(insn, 11, 7));
    case FORMAT_JALR:
    case FORMAT_LOAD:
    case FORMAT_FLOAD:
    case FORMAT_I: return (int32_t)insn >> 20;
    case FORMAT_SHIFT: return (int32_t)bits(insn, 25, 20);
    case FORMAT_FENCE:
    case FORMAT_CSR:
    case FORMAT_CSRI: return (int32_t)bits(insn, 31, 20);
    default: return 0;
    }
}

static bool has_rounding_mode(enum insn_format format)
{
    return format == FORMAT_FR4 || format == FORMAT_FR_RM || format == FORMAT_F1_RM ||
           format == FORMAT_F_TO_X_RM || format == FORMAT_X_TO_F_RM;
}

void isa_decode(uint32_t insn, struct decoded *out)
{
    if ((insn & 3) != 3) {
        decode_compressed((uint16_t)insn, out);
        return;
    }
    enum insn_id id = find(insn);
    enum insn_format format = insn_table[id].format;
    *out = (struct decoded){
        .id = (uint16_t)id,
        .rd = (uint8_t)bits(insn, 11, 7),
        .rs1 = (uint8_t)bits(insn, 19, 15),
        .rs2 = (uint8_t)bits(insn, 24, 20),
        .rs3 = (uint8_t)bits(insn, 31, 27),
        .rm = (uint8_t)bits(insn, 14, 12),
        .len = 4,
        .imm = immediate(insn, format),
    };
    if (format == FORMAT_AMO || format == FORMAT_LR)
        out->rm = (uint8_t)bits(insn, 26, 25);
    else if (has_rounding_mode(format) && (out->rm == 5 || out->rm == 6))
        out->id = INSN_illegal;
}
