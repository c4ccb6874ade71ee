/* URLs: what our reader takes, libcurl takes with the same scheme, host and port; a literal address that is
 * taken for a request is public; mapping keeps to the map. Anything else aborts. */
#include "base/mem.h"
#include "http/http_int.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void must(int ok)
{
    if (!ok)
        abort();
}

static void same_address(char *theirs, const char *ours)
{
    struct sockaddr_storage a, b;

    if (*theirs == '[')
        theirs++;
    theirs[strcspn(theirs, "]")] = '\0';
    must(gd_http_address_parse(&a, theirs) && gd_http_address_parse(&b, ours));
    must(memcmp(&a, &b, sizeof a) == 0);
}

static void same_as_curl(const struct gd_http_url *u, const char *url)
{
    CURLU *h = curl_url();
    char *scheme = NULL, *host = NULL, *port = NULL, ours[8];
    size_t n;

    must(curl_url_set(h, CURLUPART_URL, url, CURLU_DISALLOW_USER | CURLU_PATH_AS_IS) == CURLUE_OK);
    must(curl_url_get(h, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK);
    must(curl_url_get(h, CURLUPART_HOST, &host, 0) == CURLUE_OK);
    must(curl_url_get(h, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK);
    (void)snprintf(ours, sizeof ours, "%u", u->port);
    must(!strcmp(scheme, u->https ? "https" : "http") && !strcmp(port, ours));
    n = strlen(host);
    if (n && host[n - 1] == '.')
        host[n - 1] = '\0';
    if (u->ip4 || u->ip6)
        same_address(host, u->host);
    else
        must(!strcasecmp(host, u->host));
    curl_free(scheme);
    curl_free(host);
    curl_free(port);
    curl_url_cleanup(h);
}

static void check_guard(const char *url)
{
    struct gd_http_guard guard = { 0 };
    struct gd_http_request r = { .method = "GET", .url = url, .app = "x" };
    struct gd_http_target t = { 0 };
    struct sockaddr_storage sa;

    if (gd_http_guard_check(&guard, &r, &t, NULL))
        return;
    must(t.url.https && t.url.port == 443 && t.reach == GD_HTTP_REACH_PUBLIC && !t.mapped);
    if (gd_http_address_parse(&sa, t.url.host))
        must(gd_http_address_public((struct sockaddr *)&sa));
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    static json_t *origins;
    char *url = gd_strndup((const char *)p, n);
    struct gd_http_url u;
    char *mapped;

    if (!origins)
        origins = json_pack("{s:s,s:s}", "https://a.test", "http://127.0.0.1:1/a", "https://*.b.test",
                            "http://127.0.0.1:1/*");
    if (gd_http_url_parse(&u, url, NULL) == 0) {
        must(strlen(u.host) <= GD_HOST_NAME_MAX && u.port != 0);
        same_as_curl(&u, url);
    }
    check_guard(url);
    mapped = gd_http_map_origin(origins, url, NULL);
    if (mapped)
        must(!strcmp(mapped, url) || !strncmp(mapped, "http://127.0.0.1:1/", 19));
    gd_free(mapped);
    gd_free(url);
    return 0;
}
