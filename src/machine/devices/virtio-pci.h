/* The PCI transport of virtio devices: modern only, INTx (VIRTIO 1.3, section 4.1). */
#ifndef WIRT_MACHINE_DEVICES_VIRTIO_PCI_H
#define WIRT_MACHINE_DEVICES_VIRTIO_PCI_H

#include "machine/devices/pci.h"
#include "machine/devices/virtio.h"

/* Puts the device on the bus. d must be good for as long as harts run. The function, or NULL with
 * err. */
struct pci_function *virtio_pci_add(struct pci_host *host, struct virtio_device *d,
                                    struct error **err);

#endif
