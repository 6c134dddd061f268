/* Building a board and taking it apart. */
#ifndef WIRT_MACHINE_BOARD_BUILD_H
#define WIRT_MACHINE_BOARD_BUILD_H

#include "machine/board.h"

/* Fills in *m, which the caller has zeroed, and in any case frees by board_free. config outlives
 * it. */
int board_init(struct machine *m, const struct machine_config *config, struct error **err);
void board_free(struct machine *m);

/* Power-on state, RAM empty. No hart's thread runs. */
int board_reset(struct machine *m, struct error **err);

/* Points the harts at what boot_load has loaded. */
void board_start(struct machine *m);

#endif
