/* event/event.h - what happened, for programs: a durable outbox with a cursor. Loop thread. Events are
 * written in the transaction that makes them true, so none is missed and none is invented. */
#ifndef GD_EVENT_EVENT_H
#define GD_EVENT_EVENT_H

#include "base/id.h"
#include "base/json.h"
#include "store/store.h"

struct gd_events;
struct gd_events *gd_events_new(struct gd_store *store, const struct gd_clock *clock, struct gd_rng *rng);
void gd_events_free(struct gd_events *e);
/* Adds the event to a transaction that is being made. type is noun.word, the types in use are
 *   client.created, .erased; request.created, .declined, .failed, .cancelled, .reminded, .notified, .warning;
 * grant.created, .confirmed, .renewed, .drift, .warning, .ended, .closed; credential.needs_consent,
 * .retrying, .uncertain, .quarantined, .current, .revoked, .unreadable; hub.at_risk; platform.notice;
 * store.restored; client.brought_back, request.brought_back. data is borrowed, may be NULL. An id is the
 * cursor of its event, on every node; within a node they grow, also when the clock goes back. Add the event
 * in the loop turn that submits the transaction. Other nodes hear of it (GD_EVENT_NEWS), so that they wake
 * their subscribers. */
void gd_event_add(struct gd_events *e, struct gd_tx *tx, const char *workspace, const char *type,
                  const char *subject, const json_t *data);
#define GD_EVENT_NEWS "ev"
/* After the commit of such a transaction: wakes subscribers. */
void gd_events_wake(struct gd_events *e);
typedef void gd_event_wake_fn(void *arg);
struct gd_event_watch;
struct gd_event_watch *gd_events_watch(struct gd_events *e, gd_event_wake_fn *fn, void *arg);
void gd_events_unwatch(struct gd_events *e, struct gd_event_watch **w);
/* What stays of a workspace's events, when not GD_EVENTS_AGE_MS and GD_EVENTS_MAX; every: after so many new
 * ones it is looked at what may go (so there may be so many more). For tests. */
void gd_events_keep(struct gd_events *e, int64_t age_ms, int64_t kept, unsigned every);
/* Behind the cursor ("" from the start), at most 1,000, in the order in which they can be seen first: nothing
 * that comes later stands in front of what was listed, whichever node wrote or lists it. Older ones are
 * trimmed by age and number; the newest of those that are gone stays as "event.trimmed", and a cursor in
 * front of it, which may have missed some, is refused with EVENT_CURSOR_TOO_OLD: the program then looks at
 * the whole state once and goes on from "". reply gets a new reference to an array of
 * {"workspace","id","at","type","subject","data"} ("at" as text, "data" only when there is one), or an error.
 */
void gd_events_list(struct gd_events *e, const char *workspace, const char *cursor, size_t max,
                    void (*reply)(void *arg, json_t *events, const struct gd_err *err), void *arg);
/* The cursor behind all that there is. cursor is borrowed, NULL on an error. */
void gd_events_now(struct gd_events *e, const char *workspace,
                   void (*reply)(void *arg, const char *cursor, const struct gd_err *err), void *arg);

#endif
