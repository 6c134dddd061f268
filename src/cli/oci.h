/* wirt-oci: one function a verb. argv[0] is the verb; each answers the program's exit status. */
#ifndef WIRT_CLI_OCI_H
#define WIRT_CLI_OCI_H

#include <getopt.h>
#include <stdbool.h>

#include "base/error.h"

struct oci_globals {
    const char *root;
    bool systemd_cgroup, cgroup_disabled;
};

int oci_create(const struct oci_globals *g, int argc, char **argv);
int oci_run(const struct oci_globals *g, int argc, char **argv);
int oci_exec(const struct oci_globals *g, int argc, char **argv);
int oci_start(const struct oci_globals *g, int argc, char **argv);
int oci_state(const struct oci_globals *g, int argc, char **argv);
int oci_kill(const struct oci_globals *g, int argc, char **argv);
int oci_delete(const struct oci_globals *g, int argc, char **argv);
int oci_list(const struct oci_globals *g, int argc, char **argv);
int oci_ps(const struct oci_globals *g, int argc, char **argv);
int oci_pause(const struct oci_globals *g, int argc, char **argv);
int oci_resume(const struct oci_globals *g, int argc, char **argv);
int oci_update(const struct oci_globals *g, int argc, char **argv);
int oci_events(const struct oci_globals *g, int argc, char **argv);
int oci_features(const struct oci_globals *g, int argc, char **argv);
int oci_spec(const struct oci_globals *g, int argc, char **argv);

/* ---- what the verbs share ---- */

/* Says what is wrong with err, frees it, and answers the exit status for it. */
int oci_fail(struct error **err);
/* "wirt-oci VERB: TEXT", and the exit status for it. */
int oci_usage(const char *verb, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The container id, the only operand; NULL when there is none or more, which is said. */
const char *oci_one_id(int argc, char **argv);
/* A signal by number, NAME or SIGNAME; -1: none such. */
int oci_signal(const char *s);
/* The number of descriptors that --preserve-fds names; 0, or the exit status after saying what is
 * wrong. */
int oci_preserve_fds(const char *verb, const char *arg, int *out);
/* Refuses what getopt_long found to be no option of the verb. */
int oci_bad_option(const char *verb, char **argv);

#endif
