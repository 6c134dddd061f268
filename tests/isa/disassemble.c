/* Disassembles lines "ADDRESS INSTRUCTION", both hexadecimal, from standard input: a line of text
 * for each. With -i, prints the table instead: name, mask, match, format. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "isa/isa.h"

int main(int argc, char **argv)
{
    char text[96];
    uint64_t pc;
    uint32_t insn;
    if (argc > 1 && strcmp(argv[1], "-i") == 0) {
        for (unsigned id = 1; id < INSN_COUNT; id++)
            printf("%s %08" PRIx32 " %08" PRIx32 " %u\n", insn_table[id].name, insn_table[id].mask,
                   insn_table[id].match, insn_table[id].format);
        return 0;
    }
    while (scanf("%" SCNx64 " %" SCNx32, &pc, &insn) == 2) {
        isa_disassemble(insn, pc, text, sizeof text);
        puts(text);
    }
    return 0;
}
