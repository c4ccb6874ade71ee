#!/usr/bin/env python3
"""The states that people see, and the word of every refusal that comes from one: what it means, who acts, what stays."""
import os
import time
import unittest

from harness import AS_ORIGIN, Box, GrantdTest, RpcError, description, wait_for


class Words(GrantdTest):
    def setUp(self):
        super().setUp()
        self.server = self.box.accounting()

    def family(self):
        return self.server.get("/_ctl/report")["families"][-1]

    def started(self, policy, **settings):
        self.box.policy_app(self.server, policy, **{"at_ttl": 600, **settings})
        self.box.start()
        return self.box.consent(policy)

    def fail_refreshes(self, count=1, **fault):
        self.server.post("/_ctl/fault", {"grant_type": "refresh_token", "count": count, **fault})

    def status(self, grant):
        return self.box.grant(grant)["layers"]["token"]["status"]

    def test_confirming(self):
        self.box.policy_app(self.server, "none")
        self.box.start()
        grant = self.box.consent_unconfirmed("none")
        self.assertEqual(self.box.grant(grant)["state"], "confirming")
        self.refused("GRANT_CONFIRMING", "grant.token", grant=grant)
        self.rpc.call("grant.confirm", grant=grant)
        self.assertEqual(self.box.grant(grant)["state"], "active")
        self.rpc.call("grant.token", grant=grant)

    def test_ended(self):
        grant = self.started("overlap")
        self.rpc.call("grant.revoke", grant=grant)
        self.assertEqual(self.box.grant(grant)["state"], "ended")
        self.refused("GRANT_ENDED", "grant.token", grant=grant)
        self.refused("CREDENTIAL_REVOKED", "grant.refresh", grant=grant)
        self.rpc.call("grant.revoke", grant=grant)  # a second time is no error
        self.assertEqual((self.family()["revoked"], self.family()["accepted"]), ("revoked", 0))

    def test_uncertain(self):
        grant = self.started("family")
        self.fail_refreshes(action="cut_after")
        with self.assertRaises(RpcError):
            self.rpc.call("grant.refresh", grant=grant)
        self.assertEqual(self.status(grant), "uncertain")
        refusal = self.refused("CREDENTIAL_UNCERTAIN", "grant.refresh", grant=grant)
        self.assertIn("retry_at", refusal.error["data"])
        self.rpc.call("grant.token", grant=grant)
        self.assertEqual(self.family()["reuse_presented"], 0)

    def test_quarantined_then_needs_consent(self):
        """Two refusals, the second a confirming one: only then a person is asked; the access token is served to its end."""
        grant = self.started("family", at_ttl=8)
        gen = self.rpc.call("grant.token", grant=grant)["gen"]
        self.fail_refreshes(99, action="error", error="invalid_grant")
        with self.assertRaises(RpcError):
            self.rpc.call("grant.refresh", grant=grant)
        self.assertEqual(self.status(grant), "quarantined")
        self.refused("CREDENTIAL_QUARANTINED", "grant.refresh", grant=grant)
        self.assertEqual(self.rpc.call("grant.token", grant=grant)["gen"], gen)
        wait_for(lambda: self.box.grant(grant)["state"] == "needs_consent", 30)
        shown = self.box.grant(grant)
        self.assertEqual((shown["owner"], shown["layers"]["token"]["status"]), ("client", "needs_consent"))
        self.refused("GRANT_NEEDS_CONSENT", "grant.token", grant=grant)
        findings = self.rpc.call("daemon.doctor")["findings"]
        self.assertIn(grant, [one["grant"] for one in findings])

    def test_a_new_consent_after_that(self):
        grant = self.started("strict")
        self.server.post("/_ctl/client", {"client_id": "strict", "at_ttl": 600})
        self.fail_refreshes(2, action="error", error="invalid_grant")
        for _ in range(2):
            try:
                self.rpc.call("grant.refresh", grant=grant)
            except RpcError:
                time.sleep(0.5)
        fresh = self.box.consent("strict")
        self.assertEqual(self.box.grant(fresh)["state"], "active")
        self.rpc.call("grant.token", grant=fresh)

    def test_retrying(self):
        grant = self.started("none")
        self.fail_refreshes(action="status", status=503)
        with self.assertRaises(RpcError):
            self.rpc.call("grant.refresh", grant=grant)
        self.assertIn(self.status(grant), ("retrying", "uncertain"))
        self.rpc.call("grant.token", grant=grant)
        wait_for(lambda: self.status(grant) == "current", 20)

    def test_frozen_app(self):
        """A wrong client secret freezes the app, not the grants: they are served, and come back by themselves."""
        grant = self.started("strict")
        self.fail_refreshes(action="error", status=401, error="invalid_client")
        self.refused("OP_CONFIG", "grant.refresh", grant=grant)
        self.refused("APP_FROZEN", "grant.refresh", grant=grant)
        self.assertEqual(self.rpc.call("app.get", app="strict")["app"]["state"], "frozen")
        self.rpc.call("grant.token", grant=grant)
        self.assertEqual(self.family()["accepted"], 0)

    def test_token_expired(self):
        grant = self.started("none", at_ttl=2)
        self.fail_refreshes(99, action="status", status=503)
        time.sleep(2.5)
        with self.assertRaises(RpcError) as caught:
            self.rpc.call("grant.token", grant=grant)
        self.assertNotIn(caught.exception.reason, (None, "INTERNAL"))
        self.assertEqual(caught.exception.error["data"]["act"], "later")

    def test_min_ttl(self):
        grant = self.started("none")
        self.refused("MIN_TTL_NOT_MET", "grant.token", grant=grant, min_ttl=86400)
        self.assertGreater(self.rpc.call("grant.token", grant=grant, min_ttl=60)["gen"], 0)

    def test_wrong_person(self):
        self.box.policy_app(self.server, "none", account="mallory")
        self.box.start()
        link, request = self.box.ask("none", expect_account="anna")
        browser = self.box.browser()
        browser.open(link)
        page = browser.walk()
        self.assertIn("ACCOUNT_UNEXPECTED", page.body)
        for grant in self.rpc.call("request.get", request=request)["request"]["items"][0]["grants"]:
            with self.assertRaises(RpcError):
                self.rpc.call("grant.token", grant=grant)
        wait_for(lambda: self.family()["revoked"], 10)

    def test_erasure_leaves_no_byte(self):
        """T49: after client.erase neither name nor address nor the wrapped key is in any file that grantd keeps."""
        self.box.policy_app(self.server, "strict")
        self.box.start()
        name, email = "Zyxwv Konditorei", "qponml@client.example"
        client = self.rpc.call("client.create", name=name, email=email)["client"]["id"]
        made = self.rpc.call("request.create", client=client, confirm=False, items=[{"app": "strict"}])
        browser = self.box.browser()
        browser.open(made["link"])
        browser.walk()
        grant = self.rpc.call("grant.list", client=client)["grants"][0]["id"]
        with self.assertRaises(RpcError):
            self.rpc.call("client.erase", client=client, name="Somebody Else")
        with self.assertRaises(RpcError):
            self.rpc.call("client.erase", client=client, name=name)  # a grant still lives
        self.rpc.call("grant.token", grant=grant)
        self.rpc.call("grant.revoke", grant=grant)
        self.rpc.call("client.erase", client=client, name=name)
        with self.assertRaises(RpcError):
            self.rpc.call("grant.token", grant=grant)
        self.assertTrue(self.rpc.call("audit.verify")["ok"])
        self.box.canaries |= {name.encode(), email.encode()}  # the end of the test looks for them everywhere

    def test_hub_that_is_not_there(self):
        self.box.policy_app(self.server, "none")
        self.box.start()
        client = self.rpc.call("client.create", name="Anna")["client"]["id"]
        with self.assertRaises(RpcError):
            self.rpc.call("request.create", client=client, items=[{"app": "none", "hub": "nowhere"}])
        self.assertEqual(self.rpc.call("request.list")["requests"], [])

    def test_unknown_workspace(self):
        self.box.policy_app(self.server, "none")
        self.box.start()
        self.refused("WORKSPACE_UNKNOWN", "client.create", name="Anna", workspace="nowhere")
        for method in ("client.list", "request.list", "grant.list", "app.list", "hub.list", "daemon.doctor"):
            with self.subTest(method=method):  # "no findings" about a name mistyped would put somebody at ease
                self.refused("WORKSPACE_UNKNOWN", method, workspace="nowhere")

    def test_unknown_provider(self):
        self.box.policy_app(self.server, "none")
        self.box.apps["none"]["provider"] = "nowhere"
        with self.assertRaises(AssertionError) as caught:
            self.box.start()
        self.assertIn("PROVIDER_UNKNOWN", str(caught.exception))
        self.assertNotEqual(self.box.daemon.wait_dead(), 0)

    def test_a_wrong_description(self):
        """File, place in it, and what would be right."""
        self.box.policy_app(self.server, "none")
        wrong = description("none", AS_ORIGIN)
        wrong["refresh"]["retry_class"] = "sometimes"
        self.box.provider(wrong)
        with self.assertRaises(AssertionError):
            self.box.start()  # an app stands on that description
        self.assertNotEqual(self.box.daemon.wait_dead(), 0)
        log = self.box.log_tail(8000)
        for text in ("DESCRIPTION_INVALID", "acct_none.json", "/refresh/retry_class", "overlap"):
            self.assertIn(text, log)

    def test_no_public_url(self):
        self.box.public = False
        self.box.policy_app(self.server, "none")
        self.box.start()
        client = self.rpc.call("client.create", name="Anna")["client"]["id"]
        self.refused("PUBLIC_URL_MISSING", "request.create", client=client, items=[{"app": "none"}])
        self.assertEqual(self.rpc.call("request.list")["requests"], [])

    def test_words_of_the_command_line(self):
        done = self.box.ctl("client", "list", check=False)
        self.assertIn("DAEMON_UNREACHABLE", done.stdout + done.stderr)
        self.box.start()
        for args, word in ((("client", "create", "--name", "@/nowhere/name"), "FILE_UNREADABLE"), (("client", "frob"), "USAGE"),
                           (("grant", "get", "gr!"), "PARAM_INVALID")):
            done = self.box.ctl(*args, check=False)
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertIn(word, done.stdout + done.stderr)

    def test_words_of_the_portal(self):
        self.box.start()
        browser = self.box.browser()
        for url, word in (("/nowhere", "PAGE_UNKNOWN"), ("/a/x/y", "LINK_UNKNOWN"), ("/" + "a" * 5000, "HTTP_TOO_LARGE")):
            page = browser.request("GET", self.box.url + url)
            self.assertGreaterEqual(page.status, 400)
            self.assertIn(word, page.body if page.body else word)

    def test_guessing_slows_down(self):
        """T20: wrong secrets of one link are answered later and later or not at all; the owner is not locked out."""
        self.box.policy_app(self.server, "none")
        self.box.start()
        link, _ = self.box.ask("none")
        browser, words = self.box.browser(), []
        began = time.monotonic()
        while "RATE_LIMITED" not in words and time.monotonic() - began < 20:
            page = browser.request("GET", link[:-3] + "AAA")
            words.append("RATE_LIMITED" if page.status == 429 else str(page.status))
        slow = time.monotonic() - began > 0.02 * len(words)
        self.assertTrue("RATE_LIMITED" in words or slow, words[-5:])
        page = wait_for(lambda: (lambda p: p if p.status == 200 else None)(self.box.browser().open(link)), 60, 1)
        self.assertEqual(page.status, 200)


class Systems(unittest.TestCase):
    def test_two_at_once(self):
        """Two installations on one machine do not meet: folders, sockets, ports, keys."""
        boxes = [Box(), Box()]
        try:
            for number, box in enumerate(boxes):
                server = box.accounting()
                box.policy_app(server, "none")
                box.start()
                box.daemon.rpc.call("client.create", name=f"of {number}")
            names = [[c["name"] for c in box.daemon.rpc.call("client.list")["clients"]] for box in boxes]
            self.assertEqual(names, [["of 0"], ["of 1"]])
            keys = []
            for box in boxes:
                with open(os.path.join(box.state, "kek"), "rb") as file:
                    keys.append(file.read())
                self.assertEqual(os.stat(os.path.join(box.state, "kek")).st_mode & 0o777, 0o600)
            self.assertNotEqual(*keys)
            for box in boxes:
                self.assertEqual(box.daemon.stop(), 0)
                box.integrity()
        finally:
            for box in boxes:
                box.end()
                box.remove()


if __name__ == "__main__":
    unittest.main()
