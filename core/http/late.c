/* http/late.c - when the time of a call is over. Our clock decides, not curl's: curl would end a call before
 * it looks into the socket, and its clock stands still while the machine is suspended. A process that slept
 * (stopped, suspended, starved) must not send what was to be sent before, nor lose an answer that came
 * meanwhile: what is not whole on its way yet is given up, what is gets a little more time, once. */
#include "base/mem.h"
#include "base/text.h"
#include "http/http_int.h"

#include <stdio.h>

static void on_end_timer(uv_timer_t *t)
{
    struct gd_http_client *c = gd_container_of(t, struct gd_http_client, end_timer);

    c->end_at = 0;
    gd_http_late_look(c);
}

static void set_timer(struct gd_http_client *c, int64_t at, int64_t now)
{
    c->end_at = at;
    uv_update_time(c->loop);
    (void)uv_timer_start(&c->end_timer, on_end_timer, at > now ? (uint64_t)(at - now) : 0, 0);
}

void gd_http_late_init(struct gd_http_client *c)
{
    (void)uv_timer_init(c->loop, &c->end_timer);
    uv_unref((uv_handle_t *)&c->end_timer); /* a call that flies has a socket, or curl's timer */
    c->end_at = INT64_MAX;
}

void gd_http_late_watch(struct gd_http_call *call)
{
    call->ends = gd_add_sat(call->started, call->timeout_ms);
    if (call->send_by < call->ends)
        call->ends = call->send_by;
    if (call->ends < call->client->end_at)
        set_timer(call->client, call->ends, call->started);
}

bool gd_http_late_may_send(const struct gd_http_call *call)
{
    return !call->awaited && gd_mono(call->client->clock) < call->ends;
}

static bool is_sent(const struct gd_http_call *call)
{
    curl_off_t body = 0;
    long head = 0;

    return call->written && curl_easy_getinfo(call->xfer->easy, CURLINFO_REQUEST_SIZE, &head) == CURLE_OK &&
           curl_easy_getinfo(call->xfer->easy, CURLINFO_SIZE_UPLOAD_T, &body) == CURLE_OK && head > 0 &&
           (size_t)body >= call->body_len;
}

static bool overslept(struct gd_http_call *call, int64_t now)
{
    if (call->awaited || now < call->ends + GD_HTTP_LATE_MS || !is_sent(call))
        return false;
    call->awaited = true;
    call->ends = now + (call->timeout_ms < GD_HTTP_AWAKE_MS ? call->timeout_ms : GD_HTTP_AWAKE_MS);
    return true;
}

static void end(struct gd_http_client *c, struct gd_http_call *call)
{
    (void)snprintf(call->xfer->errbuf, sizeof call->xfer->errbuf, "not done within %lld ms",
                   (long long)call->timeout_ms);
    (void)curl_multi_remove_handle(c->multi, call->xfer->easy);
    gd_http_client_finished(c, call, CURLE_OPERATION_TIMEDOUT);
}

void gd_http_late_look(struct gd_http_client *c)
{
    int64_t now = gd_mono(c->clock), next = INT64_MAX;
    struct gd_list over, *l, *after;

    if (now < c->end_at)
        return;
    gd_list_init(&over);
    for (l = c->flying.next; l != &c->flying; l = after) {
        struct gd_http_call *call = gd_container_of(l, struct gd_http_call, link);

        after = l->next;
        if (now >= call->ends && !overslept(call, now)) {
            gd_list_del(l);
            gd_list_add(&over, l);
        } else if (call->ends < next) {
            next = call->ends;
        }
    }
    c->end_at = next;
    if (next < INT64_MAX)
        set_timer(c, next, now);
    while ((l = gd_list_pop(&over)))
        end(c, gd_container_of(l, struct gd_http_call, link));
}
