#!/usr/bin/env python3
"""The servers of the tests, tested: what they count must be true, or nothing they say about grantd is."""
import base64
import hashlib
import json
import shutil
import tempfile
import threading
import time
import unittest
import urllib.error
import urllib.parse
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer

import glewlwyd
import start
from browser import Browser, Jar, Page, origin_of

VERIFIER = "v" * 50
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()


class Home:
    """Stands where grantd's callback would be."""

    def __init__(self):
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
                self.end_headers()
                self.wfile.write(b"<title>Done</title>")

            def log_message(self, *args):
                pass
        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        self.base = f"http://127.0.0.1:{self.server.server_port}"
        self.callback = self.base + "/cb/x"

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


def form_post(url, pairs, client="agency", secret="s3cret"):
    basic = base64.b64encode(f"{client}:{secret}".encode()).decode()
    request = urllib.request.Request(url, urllib.parse.urlencode(pairs).encode(), {"Authorization": "Basic " + basic})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            body = answer.read()
            return answer.status, json.loads(body) if body else None
    except urllib.error.HTTPError as e:
        return e.code, json.loads(e.read() or b"null")


def authorize_url(base, callback, client="agency", **more):
    query = {"client_id": client, "response_type": "code", "scope": "email", "redirect_uri": callback,
             "state": "st", "code_challenge": CHALLENGE, "code_challenge_method": "S256", **more}
    return base + "?" + urllib.parse.urlencode(query)


class WithServers(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="servers-")
        self.addCleanup(shutil.rmtree, self.folder)
        self.home = Home()
        self.addCleanup(self.home.stop)


class AccountingServer(WithServers):
    def setUp(self):
        super().setUp()
        self.server = start.accounting(self.folder)
        self.addCleanup(self.server.stop)

    def client(self, **settings):
        self.server.post("/_ctl/client", {"client_id": "agency", "secret": "s3cret", **settings})

    def consent(self, scope="email"):
        page = Browser().open(authorize_url(self.server.base + "/authorize", self.home.callback, scope=scope))
        code = urllib.parse.parse_qs(urllib.parse.urlsplit(page.url).query)["code"][0]
        return self.token(grant_type="authorization_code", code=code, redirect_uri=self.home.callback,
                          code_verifier=VERIFIER)

    def token(self, **form):
        return form_post(self.server.base + "/token", form)

    def refresh(self, answer):
        return self.token(grant_type="refresh_token", refresh_token=answer["refresh_token"])

    def family(self):
        return self.server.get("/_ctl/report")["families"][-1]

    def test_code_needs_verifier_and_is_used_once(self):
        self.client(policy="none")
        page = Browser().open(authorize_url(self.server.base + "/authorize", self.home.callback))
        code = urllib.parse.parse_qs(urllib.parse.urlsplit(page.url).query)["code"][0]
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": self.home.callback}
        self.assertEqual(self.token(**form)[0], 400)
        self.assertEqual(self.token(**form, code_verifier="wrong")[0], 400)
        self.assertEqual(self.token(**form, code_verifier=VERIFIER)[0], 200)
        self.assertEqual(self.token(**form, code_verifier=VERIFIER)[0], 400)
        self.assertEqual(self.family()["revoked"], "code reuse")

    def test_none_keeps_the_token(self):
        self.client(policy="none")
        first = self.consent()[1]
        for _ in range(3):
            status, answer = self.refresh(first)
            self.assertEqual((status, "refresh_token" in answer), (200, False))
        self.assertEqual(self.family()["reuse_presented"], 0)

    def test_overlap_ends_the_old_token_when_the_new_one_is_used(self):
        self.client(policy="overlap")
        first = self.consent()[1]
        second = self.refresh(first)[1]
        third = self.refresh(first)[1]
        self.assertEqual(self.refresh(third)[0], 200)
        self.assertEqual(self.refresh(first)[0], 400)
        self.assertEqual(self.refresh(second)[0], 400)

    def test_grace_ends_by_the_clock(self):
        self.client(policy="grace", grace=0.4)
        first = self.consent()[1]
        second = self.refresh(first)[1]
        third = self.refresh(first)[1]
        self.assertEqual(self.refresh(second)[0], 400)
        time.sleep(0.5)
        self.assertEqual(self.refresh(first)[0], 400)
        self.assertEqual(self.refresh(third)[0], 200)

    def test_strict_refuses_the_old_token_only(self):
        self.client(policy="strict")
        first = self.consent()[1]
        second = self.refresh(first)[1]
        self.assertEqual(self.refresh(first)[0], 400)
        self.assertEqual(self.refresh(second)[0], 200)
        self.assertEqual(self.family()["reuse_presented"], 1)

    def test_family_kills_everything_on_reuse(self):
        self.client(policy="family")
        first = self.consent()[1]
        second = self.refresh(first)[1]
        self.assertEqual(self.refresh(first)[0], 400)
        self.assertEqual(self.refresh(second)[0], 400)
        family = self.family()
        self.assertEqual((family["revoked"], family["access_lives"], family["usable"]), ("reuse", False, []))

    def test_reuse_after_expiry_is_counted_apart(self):
        self.client(policy="family", at_ttl=0)
        first = self.consent()[1]
        self.refresh(first)
        self.refresh(first)
        family = self.family()
        self.assertEqual((family["reuse_presented"], family["reuse_late"]), (0, 1))

    def test_exchange_trades_a_living_token(self):
        self.client(policy="exchange")
        first = self.consent()[1]
        self.assertNotIn("refresh_token", first)
        url = self.server.base + "/exchange?access_token="
        with urllib.request.urlopen(url + first["access_token"]) as answer:
            self.assertIn("access_token", json.loads(answer.read()))
        with self.assertRaises(urllib.error.HTTPError):
            urllib.request.urlopen(url + "at-unknown")

    def test_faults_cut_before_and_after_the_rotation(self):
        self.client(policy="strict")
        first = self.consent()[1]
        for action in ("cut_before", "cut_after"):
            self.server.post("/_ctl/fault", {"action": action, "grant_type": "refresh_token"})
        with self.assertRaises(OSError):
            self.refresh(first)
        self.assertEqual(self.family()["accepted"], 0)
        with self.assertRaises(OSError):
            self.refresh(first)
        self.assertEqual((self.family()["accepted"], self.family()["undelivered"]), (1, 1))
        self.assertEqual(self.refresh(first)[0], 400)
        with self.assertRaises(urllib.error.HTTPError):
            self.server.post("/_ctl/fault", {"action": "explode"})

    def test_status_error_and_garbage(self):
        self.client(policy="none")
        first = self.consent()[1]
        self.server.post("/_ctl/fault", {"action": "status", "status": 429, "retry_after": 7})
        self.assertEqual(self.refresh(first)[0], 429)
        self.server.post("/_ctl/fault", {"action": "error", "error": "invalid_grant", "count": 2})
        self.assertEqual([self.refresh(first)[0] for _ in range(3)], [400, 400, 200])
        self.server.post("/_ctl/fault", {"action": "garbage"})
        with self.assertRaises(ValueError):
            self.refresh(first)

    def test_revoke_and_introspect(self):
        self.client(policy="strict")
        answer = self.consent()[1]
        ask = lambda: form_post(self.server.base + "/introspect", {"token": answer["access_token"]})[1]["active"]
        self.assertTrue(ask())
        self.assertEqual(form_post(self.server.base + "/revoke", {"token": answer["refresh_token"]})[0], 200)
        self.assertFalse(ask())

    def test_id_token_verifies_with_openssl_arithmetic(self):
        self.client(policy="none")
        head, claims, signature = self.consent("openid")[1]["id_token"].split(".")
        raw = lambda part: base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
        key = self.server.get("/jwks")["keys"][0]
        n, e = (int.from_bytes(raw(key[name]), "big") for name in ("n", "e"))
        digest = pow(int.from_bytes(raw(signature), "big"), e, n).to_bytes(256, "big")[-32:]
        self.assertEqual(digest, hashlib.sha256(f"{head}.{claims}".encode()).digest())

    def test_state_survives(self):
        path = self.folder + "/state.json"
        command = [start.sys.executable, start.os.path.join(start.HERE, "as.py"), "--state", path]
        self.server = one = start.Child("as1", command, self.folder)
        self.client(policy="strict")
        first = self.consent()[1]
        one.stop()
        self.server = two = start.Child("as2", command, self.folder)
        try:
            second = self.refresh(first)
            self.assertEqual(second[0], 200)
            self.assertEqual(self.refresh(first)[0], 400)
        finally:
            two.stop()


class OidcProvider(WithServers):
    """The same walk against a server that we did not write."""

    def setUp(self):
        super().setUp()
        self.server = start.oidc_provider(self.folder, issuer="https://login.demo.example", at_ttl=20)
        self.addCleanup(self.server.stop)
        self.server.post("/_ctl/client", {"client_id": "agency", "client_secret": "s3cret",
                                          "redirect_uris": [self.home.callback]})

    def walk(self, **how):
        browser = Browser({"https://login.demo.example": self.server.base})
        browser.open(authorize_url("https://login.demo.example/auth", self.home.callback, scope="openid email"))
        page = browser.walk(home=self.home.base, **how)
        return dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(page.url).query))

    def token(self, **form):
        return form_post(self.server.base + "/token", form)

    def test_rotation_with_reuse_detection(self):
        query = self.walk()
        self.assertEqual(query["iss"], "https://login.demo.example")
        first = self.token(grant_type="authorization_code", code=query["code"], redirect_uri=self.home.callback,
                           code_verifier=VERIFIER)[1]
        second = self.token(grant_type="refresh_token", refresh_token=first["refresh_token"])[1]
        self.assertNotEqual(first["refresh_token"], second["refresh_token"])
        request = urllib.request.Request(self.server.base + "/me",
                                         headers={"Authorization": "Bearer " + second["access_token"]})
        with urllib.request.urlopen(request) as answer:
            self.assertEqual(json.loads(answer.read())["sub"], "anna")
        self.assertEqual(self.token(grant_type="refresh_token", refresh_token=first["refresh_token"])[0], 400)
        self.assertEqual(self.token(grant_type="refresh_token", refresh_token=second["refresh_token"])[0], 400)
        self.assertEqual(self.server.get("/_ctl/report")["seen"]["families_killed"], 1)

    def test_the_person_says_no(self):
        self.assertEqual(self.walk(deny=True)["error"], "access_denied")

    def test_description_names_the_issuer(self):
        page = self.server.get("/.well-known/openid-configuration")
        self.assertEqual(page["issuer"], "https://login.demo.example")
        self.assertEqual(page["token_endpoint"], "https://login.demo.example/token")


class Glewlwyd(WithServers):
    """And against Debian's server in C."""

    def test_rotation_with_reuse_detection(self):
        server = glewlwyd.Glewlwyd(self.folder + "/glewlwyd", "https://id.demo.example", 30)
        self.addCleanup(server.stop)
        server.set_client("agency", "s3cret", [self.home.callback])
        browser = Browser({"https://id.demo.example": server.base})
        page = browser.open(authorize_url("https://id.demo.example/api/oidc/auth", self.home.callback,
                                          scope="openid ads", nonce="n"))
        page = glewlwyd.consent(browser, page)
        query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(page.url).query))
        token = lambda **form: form_post(server.base + "/api/oidc/token", form)
        first = token(grant_type="authorization_code", code=query["code"], redirect_uri=self.home.callback,
                      code_verifier=VERIFIER)[1]
        self.assertEqual((first["expires_in"], "id_token" in first), (30, True))
        second = token(grant_type="refresh_token", refresh_token=first["refresh_token"])[1]
        self.assertNotEqual(first["refresh_token"], second["refresh_token"])
        self.assertEqual(token(grant_type="refresh_token", refresh_token=first["refresh_token"])[0], 400)
        self.assertEqual(token(grant_type="refresh_token", refresh_token=second["refresh_token"])[0], 400)


class RelayAndBrowser(WithServers):
    def test_a_held_request_is_not_seen_by_the_server(self):
        server = start.accounting(self.folder)
        self.addCleanup(server.stop)
        relay = start.relay(self.folder, server.port)
        self.addCleanup(relay.stop)
        self.assertEqual(relay.get("/_ctl/report")["families"], [])
        relay.post("/_relay/hold", {"contains": "grant_type=refresh_token"})
        with self.assertRaises(OSError):
            urllib.request.urlopen(relay.base + "/token", b"grant_type=refresh_token", timeout=0.5)
        end = time.monotonic() + 5
        while relay.get("/_relay/state")["dropped"] < 1 and time.monotonic() < end:
            time.sleep(0.02)
        self.assertEqual(relay.get("/_relay/state")["dropped"], 1)
        self.assertEqual(server.get("/_ctl/report")["seen"]["token"], 0)
        with self.assertRaises(urllib.error.HTTPError):
            urllib.request.urlopen(relay.base + "/token", b"grant_type=refresh_token", timeout=5)
        self.assertEqual(server.get("/_ctl/report")["seen"]["token"], 1)

    def test_cookies_are_kept_as_browsers_do(self):
        jar = Jar()
        jar.take("http://127.0.0.1:1/x", "a=1; Path=/x; HttpOnly")
        jar.take("http://127.0.0.1:1/x", "__Host-b=2; Path=/; Secure")
        jar.take("https://127.0.0.1:1/x", "__Host-c=3; Path=/; Secure")
        self.assertEqual(jar.give("http://127.0.0.1:2/x/y"), "a=1")
        self.assertEqual(jar.give("http://127.0.0.1:2/xy"), "")
        self.assertEqual(jar.give("https://127.0.0.1:2/"), "__Host-c=3")
        jar.take("http://127.0.0.1:1/x", "a=; Path=/x; Max-Age=0")
        self.assertEqual(jar.give("http://127.0.0.1:2/x"), "")

    def test_forms_with_hidden_fields_and_buttons(self):
        page = Page("http://h/", 200, [("Content-Type", "text/html")],
                    "<form method=post action=/go><input type=hidden name=csrf value=t><input type=checkbox name=i "
                    "value=1 checked><input type=checkbox name=i value=2><button name=act value=approve>Approve"
                    "</button></form>")
        form = page.forms[0]
        self.assertEqual(form.pairs({}, form.buttons[0]), [("csrf", "t"), ("i", "1"), ("act", "approve")])
        self.assertEqual(origin_of("http://h:1/x"), "http://h:1")


if __name__ == "__main__":
    unittest.main()
