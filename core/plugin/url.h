/* plugin/url.h - what the host needs to know of a URL before a request leaves: its scheme and host. Strict:
 * what a browser or libcurl might read differently (user info, backslash, white space) is no URL here. */
#ifndef GD_PLUGIN_URL_H
#define GD_PLUGIN_URL_H

#include "base/json.h"
#include "base/limits.h"

#include <stdbool.h>
#include <stddef.h>

struct gd_plugin_url {
    bool https;
    bool loopback;                      /* 127.0.0.1, ::1, localhost */
    char host[GD_HOST_NAME_MAX + 1];    /* lower case, no brackets */
    char origin[GD_HOST_NAME_MAX + 24]; /* "https://host" or "https://host:port", lower case */
};
/* True for an absolute https URL, or http to a loopback name. */
bool gd_plugin_url_parse(const char *url, struct gd_plugin_url *ret);
/* pattern: exact name, or "*.suffix" for exactly one label more. */
bool gd_plugin_host_matches(const char *pattern, const char *host);
/* A pattern that .hosts may hold. */
bool gd_plugin_host_pattern(const char *pattern);
/* text begins with an https URL whose host part may hold ${...} (each stands for one or more host
 * characters): does origin come from it? */
bool gd_plugin_template_matches(const char *text, const char *origin);
/* Some string anywhere in j names this origin (templates as above). */
bool gd_plugin_json_names_origin(const json_t *j, const char *origin);

#endif
