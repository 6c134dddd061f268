/* The same names in every container: a System V shared memory segment and a POSIX message queue
 * under a fixed key; puts its argument in, waits, and prints what is there then. */
#include <fcntl.h>
#include <mqueue.h>
#include <stdio.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/shm.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    if (argc != 2)
        return 2;
    int id = shmget(0x1234, 4096, IPC_CREAT | IPC_EXCL | 0600);
    char *memory = id < 0 ? (void *)-1 : shmat(id, NULL, 0);
    if (memory == (void *)-1) {
        perror("shared memory");
        return 1;
    }
    struct mq_attr attr = {.mq_maxmsg = 4, .mq_msgsize = 64};
    mqd_t queue = mq_open("/same", O_CREAT | O_EXCL | O_RDWR, 0600, &attr);
    if (queue == (mqd_t)-1) {
        perror("message queue");
        return 1;
    }
    char message[64] = {0};
    snprintf(memory, 4096, "%s", argv[1]);
    mq_send(queue, argv[1], strlen(argv[1]), 0);
    sleep(2);
    ssize_t n = mq_receive(queue, message, sizeof message, NULL);
    printf("memory %s, queue %s\n", memory, n < 0 ? "empty" : message);
    return 0;
}
