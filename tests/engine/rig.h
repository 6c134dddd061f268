/* An engine over one array of code, for tests: paged, one cpu; what it calls for code, data and
 * system instructions is here. */
#ifndef WIRT_TEST_ENGINE_RIG_H
#define WIRT_TEST_ENGINE_RIG_H

#include <stdint.h>

#include "engine/internal.h"
#include "engine/jumps.h"
#include "engine/tlb.h"

#define RIG_PC    UINT64_C(0x7f0012345000) /* of rig_code; no immediate of the host's */
#define RIG_CODE  (1u << 16)
#define RIG_PAGE  4096u
#define RIG_ECALL 0x00000073u

extern uint32_t rig_code[RIG_CODE / 4];
extern uint64_t rig_data[RIG_PAGE / 8]; /* at every page's addresses */
extern struct cpu rig_cpu;

/* A new engine with rig_cpu, cleared, attached; config's memory and handlers are the rig's. */
struct engine *rig_start(struct engine_config config);
void rig_end(struct engine *e);

/* From rig_code's beginning: whether it comes to an ecall. */
bool rig_run(void);

#endif
