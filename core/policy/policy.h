/* policy/policy.h - who may call what. Identity comes from the socket (SO_PEERCRED, SO_PEERGROUPS), rules
 * from the configuration, default deny except the daemon's own uid and root. Pure; loop thread; no allocation
 * after start. */
#ifndef GD_POLICY_POLICY_H
#define GD_POLICY_POLICY_H

#include "base/err.h"
#include "base/json.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define GD_GROUPS_MAX 64
struct gd_caller { /* fixed at connect */
    uid_t uid;
    gid_t gid;
    pid_t pid;
    gid_t groups[GD_GROUPS_MAX];
    unsigned ngroups;
    unsigned number; /* of this (uid, gid, groups) within the process; for the vend counters */
};
#define GD_CALLER_UNNUMBERED UINT32_MAX /* there are no numbers left: every vend to it is a first one */
/* Who is at the other end of a connected Unix socket, as the kernel says; number stays 0 (rpc gives it).
 * CALLER_UNKNOWN when the kernel does not say. Groups beyond GD_GROUPS_MAX are left out: rules only allow, so
 * that can only mean less. */
int gd_caller_from_fd(struct gd_caller *ret, int fd, struct gd_err *err);

struct gd_policy;
/* Is there a method that these words name: "noun.verb", "noun.*"? */
typedef bool gd_policy_named_fn(void *arg, const char *words);
/* rules: [{"user": "name"|uid, "group": ..., "methods": ["grant.token", "grant.*"], "workspaces": ["main"],
 * "clients": ["cl..."], "platforms": [...]}]; user and group are resolved here. named NULL: methods are not
 * looked up. POLICY_INVALID names the rule. */
struct gd_policy *gd_policy_new(const json_t *rules, gd_policy_named_fn *named, void *arg,
                                struct gd_err *err);
void gd_policy_free(struct gd_policy *p);
/* workspace and client NULL: the method as such (for methods that name none, and for help). Otherwise a rule
 * that names clients (or workspaces) holds only for a call that names one of them. */
bool gd_policy_allows(const struct gd_policy *p, const struct gd_caller *c, const char *method,
                      const char *workspace, const char *client);
/* The same where the platform is known; gd_policy_allows() is this with platform NULL, and a rule that names
 * platforms holds only for a call that names one of them (or names nothing at all). */
bool gd_policy_allows_on(const struct gd_policy *p, const struct gd_caller *c, const char *method,
                         const char *workspace, const char *client, const char *platform);

#endif
