/* grant/interlock.h - many refusals at once are the app's fault or the platform's, not the clients': freeze
 * the app, not the grants. Per app, over a window of ten minutes of a monotonic clock. Pure. */
#ifndef GD_GRANT_INTERLOCK_H
#define GD_GRANT_INTERLOCK_H

#include <stdbool.h>
#include <stdint.h>

#define GD_INTERLOCK_WINDOW_MS (10 * 60 * 1000)
#define GD_INTERLOCK_PROBE_MS  (5 * 60 * 1000)
#define GD_INTERLOCK_OTHERS_MS (60 * 1000) /* so much later than who found out */
#define GD_INTERLOCK_RING      64

struct gd_interlock {
    struct {
        int64_t at;
        uint32_t cred;
        bool refused;
    } ring[GD_INTERLOCK_RING];
    unsigned head;
    int64_t attempts[2], window_at; /* attempts in this and the last window, for the share */
    bool frozen;
    int64_t frozen_at, probe_at;
};
/* What an attempt showed. config: the platform refused the app itself. True when this froze the app. */
bool gd_interlock_note(struct gd_interlock *i, uint32_t cred, bool refused, bool config, int64_t mono);
/* An attempt succeeded: the app works. True when this thawed it. */
bool gd_interlock_good(struct gd_interlock *i, int64_t mono);
/* Another node says that the platform refuses the app, or that it does not any more. Who said so probes it
 * first; this one only when nothing was heard of that. */
void gd_interlock_heed(struct gd_interlock *i, bool frozen, int64_t mono);
/* May an attempt be made now? While frozen, one canary every five minutes. */
bool gd_interlock_admit(struct gd_interlock *i, int64_t mono);

#endif
