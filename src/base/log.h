/* Messages for the person at the terminal, on standard error: "wirt: level: text". */
#ifndef WIRT_BASE_LOG_H
#define WIRT_BASE_LOG_H

enum log_level {
    LOG_ERROR,
    LOG_WARN,
    LOG_INFO,
    LOG_DEBUG,
};

/* The program's name in front of each line, and the lowest level that is printed. Process-wide: set
 * once in main(). */
void log_init(const char *program, enum log_level level);

/* Copies every line to fd too (a log file of an OCI runtime, a monitor's), or stops that with -1.
 * The fd stays the caller's. With json true, lines are JSON objects with level, msg, time (what OCI
 * callers pass --log-format json for). */
void log_to_fd(int fd, int json);

/* Of warnings and infos that come faster than one a second, after this many the rest is left out
 * and counted: the next one that is said tells how many. Most are about what a guest did. */
#define LOG_BURST 50

void log_message(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...) log_message(LOG_ERROR, __VA_ARGS__)
#define log_warn(...)  log_message(LOG_WARN, __VA_ARGS__)
#define log_info(...)  log_message(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_message(LOG_DEBUG, __VA_ARGS__)

#endif
