#!/usr/bin/env python3
"""The main job, end to end: a link, a consent, a grant, tokens, refreshes, verification, revocation, audit; against
the accounting server with every policy, npm oidc-provider and Debian's Glewlwyd."""
import json
import signal
import time
import unittest
import urllib.error
import urllib.request

from harness import AS_ORIGIN, POLICIES, GrantdTest, Rpc, RpcError, description, wait_for  # first: it finds the servers
import glewlwyd
import start


def get(url, token):
    request = urllib.request.Request(url, headers={"Authorization": "Bearer " + token})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as e:
        return e.code, None


class AccountingServer(GrantdTest):
    def setUp(self):
        super().setUp()
        self.server = self.box.accounting()

    def family(self):
        return self.server.get("/_ctl/report")["families"][-1]

    def who(self, token):
        return get(self.server.base + "/userinfo", token)

    def test_every_policy_from_link_to_receipt(self):
        for policy in POLICIES:
            self.box.policy_app(self.server, policy, at_ttl=600, account="berta")
        self.box.start()
        for policy in POLICIES:
            with self.subTest(policy=policy):
                self.one_life(policy)
        self.assertTrue(self.rpc.call("audit.verify")["ok"])

    def one_life(self, policy):
        grant = self.box.consent(policy, login="berta")
        shown = self.box.grant(grant)
        self.assertEqual(shown["state"], "active")
        self.assertEqual(shown["layers"]["token"]["retry_class"], policy)
        token = self.rpc.call("grant.token", grant=grant)
        self.assertEqual(self.who(token["access_token"]), (200, {"sub": "berta", "email": "berta@client.example"}))
        for _ in range(3):
            self.rpc.call("grant.refresh", grant=grant)
        after = self.rpc.call("grant.token", grant=grant)
        self.assertGreater(after["gen"], token["gen"])
        self.assertNotEqual(after["access_token"], token["access_token"])
        self.assertEqual((self.family()["accepted"], self.family()["reuse_presented"]), (3, 0))
        self.assertEqual(self.rpc.call("grant.verify", grant=grant)["differences"], [])
        ended = self.rpc.call("grant.revoke", grant=grant, reason="the client left")
        self.assertIn(ended["grant"]["state"], ("ended", "ending"))
        self.assertEqual(self.family()["revoked"], "revoked")
        self.assertEqual(self.who(after["access_token"])[0], 401)
        with self.assertRaises(RpcError):
            self.rpc.call("grant.token", grant=grant)

    def test_refreshes_by_itself(self):
        self.box.policy_app(self.server, "family", at_ttl=6)
        self.box.start()
        grant = self.box.consent("family")
        wait_for(lambda: self.family()["accepted"] >= 2, 20)
        self.assertEqual(self.family()["reuse_presented"], 0)
        self.assertEqual(self.who(self.rpc.call("grant.token", grant=grant)["access_token"])[0], 200)

    def test_a_restart_forgets_nothing(self):
        self.box.policy_app(self.server, "strict")
        self.box.start()
        grant = self.box.consent("strict")
        before = self.rpc.call("grant.token", grant=grant)
        self.box.daemon.kill9()
        self.box.start()
        after = self.rpc.call("grant.token", grant=grant)
        self.assertEqual((before["access_token"], before["gen"]), (after["access_token"], after["gen"]))
        self.assertEqual(self.box.daemon.stop(), 0)
        self.box.start()
        self.rpc.call("grant.refresh", grant=grant)
        self.assertEqual(self.family()["accepted"], 1)
        self.assertTrue(self.rpc.call("audit.verify")["ok"])

    def test_many_callers_one_refresh(self):
        """Single flight: whoever asks while a refresh runs gets that one's end."""
        self.box.policy_app(self.server, "family")
        self.box.start()
        grant = self.box.consent("family")
        self.server.post("/_ctl/fault", {"action": "delay", "ms": 300, "grant_type": "refresh_token"})
        lines = [Rpc(self.box.socket_path) for _ in range(10)]
        for one in lines:
            one.send("grant.refresh", grant=grant)
        gens = {one.reply()["grant"]["layers"]["token"]["gen"] for one in lines}
        for one in lines:
            one.close()
        self.assertEqual(len(gens), 1)
        self.assertEqual((self.family()["accepted"], self.family()["reuse_presented"]), (1, 0))

    def test_sigterm_waits_for_the_answer(self):
        """Drain: a refresh in flight is finished and stored, whatever the signal."""
        self.box.policy_app(self.server, "strict")
        self.box.start()
        grant = self.box.consent("strict")
        self.server.post("/_ctl/fault", {"action": "delay", "ms": 700, "grant_type": "refresh_token"})
        self.rpc.send("grant.refresh", grant=grant)
        wait_for(lambda: self.server.get("/_ctl/report")["seen"]["refresh"] == 1)
        self.box.daemon.process.send_signal(signal.SIGTERM)
        self.assertEqual(self.box.daemon.wait_dead(15), 0)
        self.box.start()
        self.rpc.call("grant.refresh", grant=grant)
        self.assertEqual((self.family()["accepted"], self.family()["reuse_presented"]), (2, 0))

    def test_revoke_while_an_answer_is_on_its_way(self):
        """T48: the late answer's tokens are ended too, never used."""
        self.box.policy_app(self.server, "strict", at_ttl=600)
        self.box.start()
        grant = self.box.consent("strict")
        self.server.post("/_ctl/fault", {"action": "delay", "ms": 400, "grant_type": "refresh_token"})
        other = Rpc(self.box.socket_path)
        other.send("grant.refresh", grant=grant)
        wait_for(lambda: self.server.get("/_ctl/report")["seen"]["refresh"] == 1)
        self.rpc.call("grant.revoke", grant=grant)
        other.close()
        with self.assertRaises(RpcError):
            self.rpc.call("grant.token", grant=grant)
        wait_for(lambda: self.family()["revoked"] and not self.family()["access_lives"], 10)
        self.assertEqual(self.box.grant(grant)["state"], "ended")

    def test_an_impatient_operator_of_a_family_server(self):
        """A doubt about a family server's token is waited out even when somebody asks for a refresh now."""
        self.box.policy_app(self.server, "family", at_ttl=600)
        self.box.start()
        grant = self.box.consent("family")
        self.server.post("/_ctl/fault", {"action": "cut_after", "grant_type": "refresh_token"})
        for _ in range(3):
            with self.assertRaises(RpcError):
                self.rpc.call("grant.refresh", grant=grant)
        time.sleep(6.5)  # longer than deadline and quiet period
        with self.assertRaises(RpcError):
            self.rpc.call("grant.refresh", grant=grant)
        self.assertEqual((self.family()["reuse_presented"], self.family()["revoked"]), (0, None))
        self.assertEqual(self.who(self.rpc.call("grant.token", grant=grant)["access_token"])[0], 200)

    def test_a_refusal_is_not_a_death(self):
        """One invalid_grant quarantines; the old access token is still vended; the second look heals it."""
        self.box.policy_app(self.server, "strict", at_ttl=600)
        self.box.start()
        grant = self.box.consent("strict")
        self.server.post("/_ctl/fault", {"action": "error", "error": "invalid_grant", "grant_type": "refresh_token"})
        try:
            self.rpc.call("grant.refresh", grant=grant)
        except RpcError:  # the answer may say so; the state is what counts
            pass
        self.assertEqual(self.rpc.call("grant.token", grant=grant)["token_type"], "Bearer")
        wait_for(lambda: self.box.grant(grant)["layers"]["token"]["status"] == "current"
                 and self.family()["accepted"] >= 1, 20)

    def test_outages_of_the_platform(self):
        """500, 429 with Retry-After, garbage, HTML, an empty body: nothing is lost, nothing is vended wrongly."""
        self.box.policy_app(self.server, "none", at_ttl=600)
        self.box.start()
        grant = self.box.consent("none")
        gen = self.rpc.call("grant.token", grant=grant)["gen"]
        for fault in ({"action": "status", "status": 500}, {"action": "status", "status": 429, "retry_after": 1},
                      {"action": "garbage"}, {"action": "html"}, {"action": "empty"}, {"action": "cut_body"},
                      {"action": "body", "body": "[" * 5000 + "]" * 5000},
                      {"action": "body", "body": {"access_token": "", "token_type": "Bearer"}}):
            with self.subTest(fault=fault["action"]):
                self.server.post("/_ctl/clear", {})
                self.server.post("/_ctl/fault", {**fault, "grant_type": "refresh_token"})
                with self.assertRaises(RpcError):
                    Rpc(self.box.socket_path).call("grant.refresh", grant=grant)
                self.assertEqual(self.rpc.call("grant.token", grant=grant)["gen"] >= gen, True)
        self.server.post("/_ctl/clear", {})
        wait_for(lambda: self.box.grant(grant)["layers"]["token"]["status"] == "current"
                 and self.rpc.call("grant.token", grant=grant)["gen"] > gen, 40)

    def test_the_person_says_no(self):
        self.box.policy_app(self.server, "none", page="form")
        self.box.start()
        link, request = self.box.ask("none")
        browser = self.box.browser()
        browser.open(link)
        page = browser.walk(deny=True)
        self.assertEqual(page.status, 200)
        item = self.rpc.call("request.get", request=request)["request"]["items"][0]
        self.assertEqual((item["state"], item["grants"]), ("declined", []))
        self.assertEqual(self.server.get("/_ctl/report")["seen"]["code"], 0)

    def test_an_operator_confirms_first(self):
        self.box.policy_app(self.server, "none")
        self.box.start()
        link, request = self.box.ask("none", confirm=True)
        browser = self.box.browser()
        browser.open(link)
        browser.walk()
        grant = self.rpc.call("request.get", request=request)["request"]["items"][0]["grants"][0]
        self.assertEqual(self.box.grant(grant)["state"], "confirming")
        with self.assertRaises(RpcError):
            self.rpc.call("grant.token", grant=grant)
        self.rpc.call("grant.confirm", grant=grant)
        self.assertEqual(self.who(self.rpc.call("grant.token", grant=grant)["access_token"])[0], 200)

    def test_the_wrong_person_is_refused(self):
        self.box.policy_app(self.server, "none", account="mallory")
        self.box.start()
        link, request = self.box.ask("none", expect_account="anna")
        browser = self.box.browser()
        browser.open(link)
        browser.walk()
        item = self.rpc.call("request.get", request=request)["request"]["items"][0]
        for grant in item["grants"]:  # what came is ended again, here and at the server
            with self.assertRaises(RpcError):
                self.rpc.call("grant.token", grant=grant)
        wait_for(lambda: self.family()["revoked"], 10)
        self.assertEqual(self.family()["account"], "mallory")

    def test_an_expected_account_that_nobody_names(self):
        """The provider says nowhere who consented: an expectation cannot be taken as fulfilled."""
        app = self.box.policy_app(self.server, "none")
        told = description("none", AS_ORIGIN)
        del told["response"], told["verify"]
        self.box.provider(told)
        self.box.start()
        link, request = self.box.ask(app, expect_account="anna")
        browser = self.box.browser()
        browser.open(link)
        browser.walk()
        item = self.rpc.call("request.get", request=request)["request"]["items"][0]
        for grant in item["grants"]:
            with self.assertRaises(RpcError):
                self.rpc.call("grant.token", grant=grant)

    def test_exchange_of_living_tokens(self):
        self.box.policy_app(self.server, "exchange", at_ttl=600)
        self.box.start()
        grant = self.box.consent("exchange")
        first = self.rpc.call("grant.token", grant=grant)
        self.rpc.call("grant.refresh", grant=grant)
        second = self.rpc.call("grant.token", grant=grant)
        self.assertNotEqual(first["access_token"], second["access_token"])
        self.assertEqual(self.who(second["access_token"])[0], 200)

    def test_discovery_and_id_token(self):
        secret = self.box.app("oidc", provider="oidc", issuer=AS_ORIGIN)
        self.server.post("/_ctl/client", {"client_id": "oidc", "secret": secret, "policy": "strict"})
        self.server.get("/jwks")  # makes its key now, not within somebody's deadline
        self.box.start()
        grant = self.box.consent("oidc", login="carla")
        token = self.rpc.call("grant.token", grant=grant)["access_token"]
        self.assertEqual(self.who(token)[0], 200)
        self.rpc.call("grant.refresh", grant=grant)

    def test_another_account_in_a_refresh_is_not_taken(self):
        """T27: the server answers a refresh with somebody else's identity."""
        secret = self.box.app("oidc", provider="oidc", issuer=AS_ORIGIN)
        self.server.post("/_ctl/client", {"client_id": "oidc", "secret": secret, "policy": "none"})
        self.server.get("/jwks")
        self.box.start()
        grant = self.box.consent("oidc")
        before = self.rpc.call("grant.token", grant=grant)
        self.server.post("/_ctl/client", {"client_id": "oidc", "sub": "mallory"})
        self.refused("SUBJECT_MISMATCH", "grant.refresh", grant=grant)
        after = self.rpc.call("grant.token", grant=grant)
        self.assertEqual((after["access_token"], after["gen"]), (before["access_token"], before["gen"]))


class OidcProvider(GrantdTest):
    """npm oidc-provider: rotation, and reuse kills the family."""
    ISSUER = "https://login.demo.example"

    def test_whole_life(self):
        server = self.box.child(start.oidc_provider(self.box.folder, issuer=self.ISSUER, at_ttl=8))
        self.box.origins[self.ISSUER] = server.base
        secret = self.box.app("agency", provider="oidc", issuer=self.ISSUER)
        self.box.start()
        redirect = self.rpc.call("app.get", app="agency")["app"]["redirect_uri"]
        server.post("/_ctl/client", {"client_id": "agency", "client_secret": secret, "redirect_uris": [redirect]})
        grant = self.box.consent("agency", login="dora")
        token = self.rpc.call("grant.token", grant=grant)["access_token"]
        self.assertEqual(get(server.base + "/me", token)[1]["sub"], "dora")
        wait_for(lambda: self.box.grant(grant)["layers"]["token"]["gen"] >= 3, 25)
        self.box.daemon.kill9()  # right after a commit: nothing is in flight
        self.box.start()
        self.rpc.call("grant.refresh", grant=grant)
        seen = server.get("/_ctl/report")["seen"]
        self.assertEqual((seen["families_killed"], seen["refresh_refused"]), (0, 0))
        token = self.rpc.call("grant.token", grant=grant)["access_token"]
        self.assertEqual(get(server.base + "/me", token)[0], 200)
        self.rpc.call("grant.revoke", grant=grant)
        self.assertEqual(get(server.base + "/me", token)[0], 401)
        self.assertTrue(self.rpc.call("audit.verify")["ok"])


class Glewlwyd(GrantdTest):
    """Debian's server in C: signed access tokens, empty error bodies, a chain of one-time refresh tokens."""
    ORIGIN = "https://id.demo.example"

    def test_whole_life(self):
        server = glewlwyd.Glewlwyd(self.box.folder + "/glewlwyd", self.ORIGIN, 30)
        self.addCleanup(server.stop)
        self.box.origins[self.ORIGIN] = server.base
        secret = self.box.app("agency", provider="oidc", issuer=server.issuer, scopes="openid ads")
        self.box.start()
        redirect = self.rpc.call("app.get", app="agency")["app"]["redirect_uri"]
        server.set_client("agency", secret, [redirect])
        link, request = self.box.ask("agency")
        browser = self.box.browser()
        browser.open(link)
        page = browser.submit(*self.approve(browser))
        self.assertIn("login.html", page.url)
        page = glewlwyd.consent(browser, page)
        self.assertEqual(page.status, 200, page.text)
        item = self.rpc.call("request.get", request=request)["request"]["items"][0]
        self.assertEqual(item["state"], "granted", f"{item} {page.text}")
        grant = item["grants"][0]
        first = self.rpc.call("grant.token", grant=grant)["access_token"]
        self.assertEqual(get(server.base + "/api/oidc/userinfo", first)[0], 200)
        for _ in range(3):
            time.sleep(1)  # its tokens carry seconds: two of one second would be the same
            self.rpc.call("grant.refresh", grant=grant)
        token = self.rpc.call("grant.token", grant=grant)["access_token"]
        self.assertNotEqual(first, token)
        self.assertEqual(get(server.base + "/api/oidc/userinfo", token)[0], 200)
        self.rpc.call("grant.revoke", grant=grant)
        with self.assertRaises(RpcError):
            self.rpc.call("grant.token", grant=grant)

    @staticmethod
    def approve(browser):
        form, button = browser.choose()
        return form, None, button


if __name__ == "__main__":
    unittest.main()
