/* A root file system or a program made into something that a machine boots: an initramfs in front
 * of the guest files' own one, which has busybox, the kernel's modules and the agent that runs the
 * command (agent/protocol.h). A root file system is not in it: it is shared with the machine, under
 * MACHINE_ROOT_TAG, and so are the user's folders. */
#ifndef WIRT_GUEST_MACHINE_IMAGE_H
#define WIRT_GUEST_MACHINE_IMAGE_H

#include "guest/guest.h"

/* Writes the initramfs to a file in the guest's folder. base: the guest files' initramfs. */
int machine_image_write(struct guest *g, const char *base, const char *path, struct error **err);

/* Names of shares: the root file system, and the user's folders by their number. */
#define MACHINE_ROOT_TAG  "root"
#define MACHINE_SHARE_TAG "share%u"

/* The kernel command line's part that makes its init go on there. */
#define MACHINE_IMAGE_RUN "wirt.run=/.wirt/run"

#endif
