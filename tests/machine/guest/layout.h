/* Shared by start.S and C. */
#define STACK_SIZE 16384
#define FRAME_SIZE 288 /* struct frame */
