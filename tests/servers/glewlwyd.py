#!/usr/bin/env python3
"""Debian's Glewlwyd (an OAuth and OpenID Connect server in C) on loopback, set up from nothing by its own REST API:
database, OIDC plugin with one-time refresh tokens, one scope, one user, one client. Nothing of the machine's own
installation is touched.

  glewlwyd.py --folder DIR [--issuer-origin URL] [--at-ttl S]   prints {"event":"ready",...}, runs until SIGTERM
"""
import argparse
import http.cookiejar
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

import start

SCHEMA = "/usr/share/dbconfig-common/data/glewlwyd/install/sqlite3"
MODULES = "/usr/lib/glewlwyd"
WEBAPP = "/usr/share/glewlwyd/webapp/"
ADMIN, ADMIN_PASSWORD = "admin", "password"  # what a new installation begins with
USER, USER_PASSWORD = "anna", "correct horse"


def write_config(folder, port, external):
    """No use_secure_connection (its mere presence is read as on) and no cookie_domain (loopback)."""
    path = os.path.join(folder, "glewlwyd.conf")
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"""port={port}
bind_address="127.0.0.1"
external_url="{external}"
api_prefix="api"
static_files_path="{WEBAPP}"
log_mode="file"
log_level="INFO"
log_file="{folder}/glewlwyd.log"
session_expiration=86400
session_key="GLEWLWYD2_SESSION_ID"
admin_scope="g_admin"
profile_scope="g_profile"
user_module_path="{MODULES}/user"
client_module_path="{MODULES}/client"
user_auth_scheme_module_path="{MODULES}/scheme"
plugin_module_path="{MODULES}/plugin"
hash_algorithm="SHA512"
cookie_secure=0
login_url="login.html"
grant_url="grant"
database = {{ type = "sqlite3"; path = "{folder}/glewlwyd.db"; }};
""")
    return path


class Api:
    """The administrator's session."""

    def __init__(self, base):
        self.base = base
        jar = http.cookiejar.CookieJar()
        self.opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar))

    def call(self, method, path, value=None):
        data = None if value is None else json.dumps(value).encode()
        request = urllib.request.Request(self.base + path, data, {"Content-Type": "application/json"}, method=method)
        try:
            with self.opener.open(request, timeout=10) as answer:
                body = answer.read()
                return json.loads(body) if body else None
        except urllib.error.HTTPError as e:
            raise RuntimeError(f"glewlwyd {method} {path}: {e.code} {e.read()[:400]}") from e

    def sign_in(self, username, password):
        return self.call("POST", "/api/auth/", {"username": username, "password": password})


def pem(*command):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout.decode()


def plugin(issuer, at_ttl, folder):
    key = os.path.join(folder, "signing.key")
    pem("openssl", "genrsa", "-out", key, "2048")
    with open(key, encoding="utf-8") as file:
        private = file.read()
    public = pem("openssl", "rsa", "-in", key, "-pubout")
    return {"module": "oidc", "name": "oidc", "display_name": "OIDC", "parameters": {
        "iss": issuer, "jwt-type": "rsa", "jwt-key-size": "256", "key": private, "cert": public,
        "subject-type": "public", "access-token-duration": at_ttl, "refresh-token-duration": 1209600,
        "code-duration": 60, "code-revoke-replayed": True, "refresh-token-rolling": True,
        "refresh-token-one-use": "always", "allow-non-oidc": True, "auth-type-code-enabled": True,
        "auth-type-refresh-enabled": True, "auth-type-token-enabled": False, "auth-type-password-enabled": False,
        "auth-type-client-enabled": False, "auth-type-device-enabled": True, "device-authorization-expiration": 600,
        "device-authorization-interval": 1, "pkce-allowed": True, "pkce-required": True, "pkce-method-plain-allowed": False,
        "introspection-revocation-allowed": True, "introspection-revocation-allow-target-client": True,
        "jwks-show": True, "oauth-par-allowed": True, "oauth-par-duration": 90, "oauth-par-request_uri-prefix":
        "urn:ietf:params:oauth:request_uri:", "client-auth-token-max-age": 3600, "secret-type": "pairwise",
        "name-claim": "on-demand", "email-claim": "on-demand", "scope-claim": "no", "support-scopes": ["openid", "ads"]}}


def client_of(client_id, secret, redirect_uris):
    return {"client_id": client_id, "name": "The agency", "enabled": True, "confidential": True,
            "client_secret": secret, "redirect_uri": redirect_uris, "scope": [],
            "authorization_type": ["code", "refresh_token", "device_authorization"],
            "token_endpoint_auth_method": ["client_secret_basic", "client_secret_post"]}


class Glewlwyd:
    def __init__(self, folder, issuer_origin="", at_ttl=3600):
        os.makedirs(folder, exist_ok=True)
        self.folder, self.port = folder, start.free_port()
        self.base = f"http://127.0.0.1:{self.port}"
        self.origin = issuer_origin or self.base
        self.issuer = self.origin + "/api/oidc"
        self.at_ttl = at_ttl
        self.make_database()
        config = write_config(folder, self.port, self.origin)
        self.output = open(os.path.join(folder, "glewlwyd.out"), "ab")
        self.process = subprocess.Popen([self.program(), "-c", config], stdout=self.output, stderr=self.output,
                                        stdin=subprocess.DEVNULL, start_new_session=True,
                                        preexec_fn=start.die_with_parent)
        self.api = Api(self.base)
        try:
            self.wait()
            self.set_up()
        except BaseException:
            self.stop()
            raise

    @staticmethod
    def program():
        found = shutil.which("glewlwyd") or "/usr/bin/glewlwyd"
        if not os.path.exists(found) or not os.path.exists(SCHEMA):
            raise RuntimeError("glewlwyd is not installed: run tools/setup test")
        return found

    def make_database(self):
        with open(SCHEMA, encoding="utf-8") as file, sqlite3.connect(f"{self.folder}/glewlwyd.db") as database:
            database.executescript(file.read())

    def wait(self):
        end = time.monotonic() + 20
        while time.monotonic() < end and self.process.poll() is None:
            try:
                return self.api.call("GET", "/config")
            except (OSError, RuntimeError):
                time.sleep(0.05)
        raise RuntimeError(f"glewlwyd did not get ready; see {self.folder}/glewlwyd.log")

    def set_up(self):
        self.api.sign_in(ADMIN, ADMIN_PASSWORD)
        self.api.call("POST", "/api/mod/plugin/", plugin(self.issuer, self.at_ttl, self.folder))
        self.api.call("POST", "/api/scope/", {"name": "ads", "display_name": "Ads", "password_required": True,
                                              "password_max_age": 0, "scheme": {}})
        self.api.call("POST", "/api/user/", {"username": USER, "name": "Anna of the client", "password": USER_PASSWORD,
                                             "email": "anna@client.example", "enabled": True,
                                             "scope": ["openid", "ads", "g_profile"]})

    def set_client(self, client_id, secret, redirect_uris):
        self.api.call("POST", "/api/client/", client_of(client_id, secret, redirect_uris))

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.output.close()


def consent(browser, page, username=USER, password=USER_PASSWORD, scope="openid ads"):
    """What Glewlwyd's own page does by script: sign in, grant the scopes, go on. page is its login page; returns
    the page at the end of the way back."""
    query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(page.url).query))
    root = page.url.split("/login.html")[0]

    def send(method, path, value):
        answer = browser.request(method, root + path, json.dumps(value).encode(), {"Content-Type": "application/json"})
        if answer.status != 200:
            raise AssertionError(f"glewlwyd {method} {path}: {answer.status} {answer.body[:200]}")
    send("POST", "/api/auth/", {"username": username, "password": password})
    send("PUT", "/api/auth/grant/" + query["client_id"], {"scope": query.get("scope", scope)})
    back = query["callback_url"]
    return browser.open(back + ("&" if "?" in back else "?") + "g_continue")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--folder", required=True)
    parser.add_argument("--issuer-origin", default="")
    parser.add_argument("--at-ttl", type=int, default=3600)
    args = parser.parse_args()
    server = Glewlwyd(args.folder, args.issuer_origin, args.at_ttl)
    print(json.dumps({"event": "ready", "port": server.port, "issuer": server.issuer}), flush=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        server.process.wait()
    finally:
        server.stop()


if __name__ == "__main__":
    main()
