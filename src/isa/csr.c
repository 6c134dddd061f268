/* Names of control and status registers: Volume II, chapter CSRs, tables of allocated addresses. */
#include "isa/decode.h"

struct csr {
    uint16_t number;
    const char *name;
};

static const struct csr csrs[] = {
    {0x001, "fflags"},     {0x002, "frm"},           {0x003, "fcsr"},       {0x100, "sstatus"},
    {0x104, "sie"},        {0x105, "stvec"},         {0x106, "scounteren"}, {0x10a, "senvcfg"},
    {0x140, "sscratch"},   {0x141, "sepc"},          {0x142, "scause"},     {0x143, "stval"},
    {0x144, "sip"},        {0x14d, "stimecmp"},      {0x180, "satp"},       {0x200, "vsstatus"},
    {0x204, "vsie"},       {0x205, "vstvec"},        {0x240, "vsscratch"},  {0x241, "vsepc"},
    {0x242, "vscause"},    {0x243, "vstval"},        {0x244, "vsip"},       {0x24d, "vstimecmp"},
    {0x280, "vsatp"},      {0x300, "mstatus"},       {0x301, "misa"},       {0x302, "medeleg"},
    {0x303, "mideleg"},    {0x304, "mie"},           {0x305, "mtvec"},      {0x306, "mcounteren"},
    {0x30a, "menvcfg"},    {0x320, "mcountinhibit"}, {0x340, "mscratch"},   {0x341, "mepc"},
    {0x342, "mcause"},     {0x343, "mtval"},         {0x344, "mip"},        {0x34a, "mtinst"},
    {0x34b, "mtval2"},     {0x600, "hstatus"},       {0x602, "hedeleg"},    {0x603, "hideleg"},
    {0x604, "hie"},        {0x605, "htimedelta"},    {0x606, "hcounteren"}, {0x607, "hgeie"},
    {0x60a, "henvcfg"},    {0x643, "htval"},         {0x644, "hip"},        {0x645, "hvip"},
    {0x64a, "htinst"},     {0x680, "hgatp"},         {0xb00, "mcycle"},     {0xb02, "minstret"},
    {0xc00, "cycle"},      {0xc01, "time"},          {0xc02, "instret"},    {0xe12, "hgeip"},
    {0xf11, "mvendorid"},  {0xf12, "marchid"},       {0xf13, "mimpid"},     {0xf14, "mhartid"},
    {0xf15, "mconfigptr"},
};

/* The numbered families, such as pmpaddr0 to pmpaddr63. */
static const char *const pmpcfg[16] = {
    "pmpcfg0", "pmpcfg1", "pmpcfg2",  "pmpcfg3",  "pmpcfg4",  "pmpcfg5",  "pmpcfg6",  "pmpcfg7",
    "pmpcfg8", "pmpcfg9", "pmpcfg10", "pmpcfg11", "pmpcfg12", "pmpcfg13", "pmpcfg14", "pmpcfg15"};
static const char *const pmpaddr[16] = {"pmpaddr0",  "pmpaddr1",  "pmpaddr2",  "pmpaddr3",
                                        "pmpaddr4",  "pmpaddr5",  "pmpaddr6",  "pmpaddr7",
                                        "pmpaddr8",  "pmpaddr9",  "pmpaddr10", "pmpaddr11",
                                        "pmpaddr12", "pmpaddr13", "pmpaddr14", "pmpaddr15"};

const char *csr_name(unsigned number)
{
    for (size_t i = 0; i < sizeof csrs / sizeof csrs[0]; i++)
        if (csrs[i].number == number)
            return csrs[i].name;
    if (number >= 0x3a0 && number < 0x3b0)
        return pmpcfg[number - 0x3a0];
    if (number >= 0x3b0 && number < 0x3c0)
        return pmpaddr[number - 0x3b0];
    return NULL;
}
