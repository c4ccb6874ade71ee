/* grant/interlock.c */
#include "grant/interlock.h"

static void roll(struct gd_interlock *i, int64_t mono)
{
    if (mono - i->window_at < GD_INTERLOCK_WINDOW_MS)
        return;
    i->attempts[1] = mono - i->window_at < 2 * GD_INTERLOCK_WINDOW_MS ? i->attempts[0] : 0;
    i->attempts[0] = 0;
    i->window_at = mono;
}

/* Distinct credentials refused within the window. */
static unsigned refusals(const struct gd_interlock *i, int64_t mono)
{
    unsigned n = 0;

    for (unsigned a = 0; a < GD_INTERLOCK_RING; a++) {
        bool seen = false;

        if (!i->ring[a].refused || mono - i->ring[a].at > GD_INTERLOCK_WINDOW_MS)
            continue;
        for (unsigned b = 0; b < a && !seen; b++)
            seen = i->ring[b].refused && i->ring[b].cred == i->ring[a].cred &&
                   mono - i->ring[b].at <= GD_INTERLOCK_WINDOW_MS;
        n += !seen;
    }
    return n;
}

bool gd_interlock_note(struct gd_interlock *i, uint32_t cred, bool refused, bool config, int64_t mono)
{
    bool was = i->frozen;
    int64_t attempts;
    unsigned n;

    roll(i, mono);
    i->attempts[0]++;
    if (refused) {
        i->ring[i->head].at = mono;
        i->ring[i->head].cred = cred;
        i->ring[i->head].refused = true;
        i->head = (i->head + 1) % GD_INTERLOCK_RING;
    }
    attempts = i->attempts[0] + i->attempts[1];
    n = refusals(i, mono);
    if (config || (n > 5 && (int64_t)n * 10 > attempts))
        i->frozen = true;
    if (i->frozen && !was) {
        i->frozen_at = mono;
        i->probe_at = mono + GD_INTERLOCK_PROBE_MS;
    }
    return i->frozen && !was;
}

/* True: it was frozen. */
static bool thaw(struct gd_interlock *i)
{
    bool was = i->frozen;

    i->frozen = false;
    if (was)
        for (unsigned a = 0; a < GD_INTERLOCK_RING; a++)
            i->ring[a].refused = false;
    return was;
}

bool gd_interlock_good(struct gd_interlock *i, int64_t mono)
{
    roll(i, mono);
    i->attempts[0]++;
    return thaw(i);
}

void gd_interlock_heed(struct gd_interlock *i, bool frozen, int64_t mono)
{
    if (!frozen) {
        (void)thaw(i);
        return;
    }
    if (!i->frozen)
        i->frozen_at = mono;
    i->frozen = true;
    i->probe_at = mono + GD_INTERLOCK_PROBE_MS + GD_INTERLOCK_OTHERS_MS;
}

bool gd_interlock_admit(struct gd_interlock *i, int64_t mono)
{
    if (!i->frozen)
        return true;
    if (mono < i->probe_at)
        return false;
    i->probe_at = mono + GD_INTERLOCK_PROBE_MS;
    return true;
}
