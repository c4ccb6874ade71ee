#!/usr/bin/env python3
"""What a second reader of core/grant, core/sched and core/daemon found: whose grant an act touches, ends that are never
reached, tokens that are shown to a platform too often."""
import os
import signal
import time
import unittest

import spool
from harness import SHARED, GrantdTest, Rpc, RpcError, has_faults, the_cluster, wait_for


class Workspaces(GrantdTest):
    EXTRA = "workspaces:\n  - main\n  - other\n"

    def setUp(self):
        super().setUp()
        self.server = self.box.accounting()
        self.box.policy_app(self.server, "none", at_ttl=600)
        self.box.start()

    def test_an_act_touches_only_its_workspace(self):
        """Who names the id of another workspace's grant hears that there is none, and nothing happened to it."""
        grant = self.box.consent("none")
        before = self.rpc.call("grant.token", grant=grant)
        for method in ("grant.refresh", "grant.revoke", "grant.confirm", "grant.token", "grant.verify", "grant.get"):
            with self.subTest(method=method):
                self.refused("NOT_FOUND", method, grant=grant, workspace="other")
        self.assertEqual(self.server.get("/_ctl/report")["seen"]["refresh"], 0)
        after = self.rpc.call("grant.token", grant=grant)
        self.assertEqual((after["access_token"], after["gen"]), (before["access_token"], before["gen"]))

    def test_a_grant_that_waits_is_not_confirmed_from_elsewhere(self):
        link, request = self.box.ask("none", confirm=True)
        browser = self.box.browser()
        browser.open(link)
        browser.walk(login="anna")
        grant = self.rpc.call("request.get", request=request)["request"]["items"][0]["grants"][0]
        self.refused("NOT_FOUND", "grant.confirm", grant=grant, workspace="other")
        self.refused("ACCOUNT_UNEXPECTED", "grant.confirm", grant=grant, account="somebody-else")
        self.assertEqual(self.box.grant(grant)["state"], "confirming")
        types = [e["type"] for e in self.rpc.call("event.list")["events"]]
        self.assertNotIn("grant.confirmed", types)
        self.rpc.call("grant.confirm", grant=grant)
        self.rpc.call("grant.confirm", grant=grant)  # a second time changes nothing and says nothing
        types = [e["type"] for e in self.rpc.call("event.list")["events"]]
        self.assertEqual(types.count("grant.confirmed"), 1)


class Commits(GrantdTest):
    def test_a_commit_in_doubt_that_happened(self):
        """The store does not say whether it kept an answer, and it did: it is published, vended and renewed again."""
        server = self.box.accounting()
        self.box.policy_app(server, "strict", at_ttl=12)
        self.box.start()
        grant = self.box.consent("strict")
        self.assertEqual(self.box.daemon.stop(), 0)
        self.box.start(faults="F17:enospc:1")
        before = self.rpc.call("grant.token", grant=grant)
        shown = self.rpc.call("grant.refresh", grant=grant)["grant"]["layers"]["token"]
        self.assertEqual((shown["gen"], shown["status"]), (before["gen"] + 1, "current"))
        after = Rpc(self.box.socket_path).call("grant.token", grant=grant)
        self.assertEqual(after["gen"], before["gen"] + 1)
        self.assertNotEqual(after["access_token"], before["access_token"])
        wait_for(lambda: server.get("/_ctl/report")["families"][-1]["accepted"] >= 2, 20)
        self.assertEqual(server.get("/_ctl/report")["families"][-1]["reuse_presented"], 0)

    def test_a_start_tells_nothing_twice(self):
        """The spool still holds what was committed: reading it again makes no event and no version a second time."""
        server = self.box.accounting()
        self.box.policy_app(server, "strict", at_ttl=600)
        self.box.start()
        grant = self.box.consent("strict")
        for _ in range(8):  # more than are kept
            self.rpc.call("grant.refresh", grant=grant)
        gone = self.box.consent("strict", login="berta")
        self.rpc.call("grant.revoke", grant=gone)
        events = self.rpc.call("event.list")["events"]
        versions = self.versions()
        self.assertEqual(self.box.daemon.stop(), 0)
        self.box.start()
        self.assertEqual(self.rpc.call("event.list")["events"], events)
        self.assertEqual(self.versions(), versions)

    def versions(self):
        return self.box.rows("SELECT attempt_id, status FROM token_versions ORDER BY 1")

    def test_hangups_while_it_ends(self):
        """SIGHUP after SIGTERM: what would be told of the new configuration is being closed."""
        self.box.start()
        self.box.daemon.process.send_signal(signal.SIGTERM)
        while self.box.daemon.alive():
            self.box.daemon.process.send_signal(signal.SIGHUP)
            time.sleep(0.0005)
        self.assertEqual(self.box.daemon.wait_dead(), 0)

    @unittest.skipUnless(has_faults(), "a build without fault points")
    def test_a_hangup_whose_record_is_late(self):
        """SIGHUP just before SIGTERM: its record is on the disk when what would take the configuration is closed."""
        self.box.start(",".join(f"audit.sync:delay(300):{n}" for n in range(2, 9)))
        process = self.box.daemon.process
        for signum in (signal.SIGSTOP, signal.SIGHUP, signal.SIGTERM, signal.SIGCONT):
            process.send_signal(signum)
        self.assertEqual(self.box.daemon.wait_dead(), 0)

    def test_a_drain_with_a_store_that_is_gone(self):
        """The store takes nothing any more while an answer waits: the daemon ends, and the next start has the answer."""
        server, grant, gen = self.left_in_the_spool()
        self.box.start()
        self.assertEqual(self.rpc.call("grant.token", grant=grant)["gen"], gen + 1)
        self.rpc.call("grant.refresh", grant=grant)
        report = server.get("/_ctl/report")["families"][-1]
        self.assertEqual((report["accepted"], report["reuse_presented"]), (2, 0))

    def left_in_the_spool(self):
        """An answer that reached the spool and not the store, by a daemon that ended; (server, grant, its gen)."""
        server = self.box.accounting()
        self.box.policy_app(server, "strict", at_ttl=600)
        if SHARED:
            self.box.store["deadline_ms"] = 1000
        self.box.start()
        grant = self.box.consent("strict")
        gen = self.rpc.call("grant.token", grant=grant)["gen"]
        self.assertEqual(self.box.daemon.stop(), 0)
        if SHARED:
            self.refresh_without_a_database(server, grant)
        else:
            self.box.start(faults="F16:eio:1")
            self.rpc.send("grant.refresh", grant=grant)
        wait_for(lambda: "refresh.commit_failed" in self.box.log_tail(), 10)
        self.assertEqual(self.box.daemon.stop(), 0)
        if SHARED:
            the_cluster().unshut(self.box.store["url"])
        return server, grant, gen

    def refresh_without_a_database(self, server, grant):
        """A connection that only breaks is made again; so the database goes while the platform is asked."""
        self.box.start()
        server.post("/_ctl/fault", {"action": "delay", "ms": 1500, "grant_type": "refresh_token"})
        self.rpc.send("grant.refresh", grant=grant)
        wait_for(lambda: server.get("/_ctl/report")["families"][-1]["accepted"] > 0)
        the_cluster().shut(self.box.store["url"])

    def test_a_spool_of_the_first_form_is_read(self):
        """The first releases wrote JSON for refreshes too."""
        server, grant, gen = self.left_in_the_spool()
        self.assertGreater(spool.rewrite(self.box.state, lambda r: spool.as_json(r) if r[:3] == b"GDV" else r), 0)
        self.box.start()
        self.assertEqual(self.rpc.call("grant.token", grant=grant)["gen"], gen + 1)
        self.rpc.call("grant.refresh", grant=grant)
        report = server.get("/_ctl/report")["families"][-1]
        self.assertEqual((report["accepted"], report["reuse_presented"]), (2, 0))

    def test_a_spool_of_a_later_form_is_refused(self):
        """A grantd that was set back to an older release touches nothing and says which one is needed."""
        _, grant, gen = self.left_in_the_spool()
        self.assertGreater(spool.rewrite(self.box.state, lambda r: b"GDV2" + r[4:] if r[:3] == b"GDV" else r), 0)
        with self.assertRaisesRegex(AssertionError, "STORE_TOO_NEW"):
            self.box.start()
        self.assertGreater(spool.rewrite(self.box.state, lambda r: b"GDV1" + r[4:] if r[:3] == b"GDV" else r), 0)
        self.box.start()
        self.assertEqual(self.rpc.call("grant.token", grant=grant)["gen"], gen + 1)


class Platforms(GrantdTest):
    def setUp(self):
        super().setUp()
        self.server = self.box.accounting()

    def test_an_answer_that_cannot_be_read_is_a_doubt(self):
        """200 and garbage: a family server has rotated. The spent token is not shown again while the old one lives."""
        self.box.policy_app(self.server, "family", at_ttl=600)
        self.box.start()
        for action in ("garbage", "html", "empty"):
            with self.subTest(action=action):
                grant = self.box.consent("family")
                self.server.post("/_ctl/fault", {"action": action, "grant_type": "refresh_token"})
                for _ in range(2):
                    with self.assertRaises(RpcError):
                        self.rpc.call("grant.refresh", grant=grant)
                self.assertEqual(self.box.grant(grant)["layers"]["token"]["status"], "uncertain")
                report = self.server.get("/_ctl/report")["families"][-1]
                self.assertEqual((report["reuse_presented"], report["revoked"]), (0, None))
                self.assertEqual(self.rpc.call("grant.token", grant=grant)["token_type"], "Bearer")

    def test_callers_do_not_hurry_a_platform_that_is_down(self):
        """An expired token and a platform in trouble: a hundred vends are no hundred requests."""
        self.box.policy_app(self.server, "none", at_ttl=4)
        self.box.start()
        grant = self.box.consent("none")
        self.server.post("/_ctl/fault", {"action": "status", "status": 503, "retry_after": 3600, "count": 1000,
                                         "grant_type": "refresh_token"})
        wait_for(lambda: self.box.grant(grant)["layers"]["token"]["status"] == "retrying", 10)
        time.sleep(4)
        before = self.server.get("/_ctl/report")["seen"]["refresh"]
        for _ in range(100):
            self.refused("CREDENTIAL_RETRYING", "grant.token", grant=grant)
        self.assertLessEqual(self.server.get("/_ctl/report")["seen"]["refresh"] - before, 1)


class Ends(GrantdTest):
    def setUp(self):
        super().setUp()
        self.server = self.box.accounting()

    def family(self):
        return self.server.get("/_ctl/report")["families"][-1]

    def ended(self, request):
        """the items of the request, when each of them is granted: each has a run of its own"""
        items = self.rpc.call("request.get", request=request)["request"]["items"]
        return items if all(i["state"] == "granted" for i in items) else None

    def two(self, app):
        """Two grants of one consent: they share a credential."""
        link, request = self.box.ask(app, app)
        browser = self.box.browser()
        browser.open(link)
        browser.walk(login="anna")
        items = wait_for(lambda: self.ended(request))
        grants = [i["grants"][0] for i in items]
        self.assertEqual(len({self.box.grant(g)["credential"] for g in grants}), 1)
        return grants

    def test_two_revokes_at_once_are_one(self):
        self.box.policy_app(self.server, "none", at_ttl=600)
        self.box.start()
        grant = self.box.consent("none")
        lines = [Rpc(self.box.socket_path) for _ in range(5)]
        for one in lines:
            one.send("grant.revoke", grant=grant)
        for one in lines:
            self.assertEqual(one.reply()["grant"]["state"], "ended")
            one.close()
        self.assertEqual(self.server.get("/_ctl/report")["seen"]["revoke"], 1)
        self.refused("GRANT_ENDED", "grant.token", grant=grant)

    def test_grants_that_end_together(self):
        """Both at once, and while the platform refuses the app: both end, the credential once, whatever the order."""
        self.box.policy_app(self.server, "strict", at_ttl=600)
        self.box.start()
        for outage in (False, True):
            with self.subTest(outage=outage):
                grants = self.two("strict")
                if outage:
                    self.server.post("/_ctl/client", {"client_id": "strict", "secret": "another"})
                lines = [Rpc(self.box.socket_path) for _ in grants]
                for one, grant in zip(lines, grants):
                    one.send("grant.revoke", grant=grant)
                for one in lines:
                    one.reply()
                    one.close()
                if outage:
                    # The first may have ended before the second was begun: then the token was the second's to close.
                    self.assertIn("ending", {self.box.grant(g)["state"] for g in grants})
                    self.server.post("/_ctl/client", {"client_id": "strict", "secret": self.secret("strict")})
                wait_for(lambda: {self.box.grant(g)["state"] for g in grants} == {"ended"}, 20)
                self.assertEqual(self.family()["revoked"], "revoked")
                for grant in grants:
                    self.refused("GRANT_ENDED", "grant.token", grant=grant)

    def secret(self, app):
        with open(self.box.apps[app]["client_secret"]["file"], encoding="utf-8") as file:
            return file.read()

    def test_the_reason_survives_a_crash(self):
        """A revoke that a crash interrupts is finished by the next start, for the reason that was given."""
        self.box.policy_app(self.server, "none", at_ttl=600)
        self.box.start()
        grants = self.two("none")
        self.server.post("/_ctl/client", {"client_id": "none", "secret": "another"})
        for grant in grants:
            self.rpc.call("grant.revoke", grant=grant, reason="the client left")
        self.box.daemon.kill9()
        self.server.post("/_ctl/client", {"client_id": "none", "secret": self.secret("none")})
        self.box.start()
        wait_for(lambda: {self.box.grant(g)["state"] for g in grants} == {"ended"}, 20)
        self.assertEqual({self.box.grant(g)["reason_text"] for g in grants}, {"the client left"})
        self.assertEqual(self.family()["revoked"], "revoked")

    def test_tokens_without_a_grant_are_ended(self):
        """A crash between the first tokens of a consent and its grants leaves a credential that nobody could ever vend or
        revoke: the next start gives it back. One whose grants only this version cannot read is left alone."""
        self.box.policy_app(self.server, "none", at_ttl=600)
        self.box.start()
        kept, orphan = self.box.consent("none"), self.box.consent("none")
        self.assertEqual(self.box.daemon.stop(), 0)
        self.box.rows("DELETE FROM grants WHERE id = ?", orphan)
        self.box.rows("UPDATE grants SET lifecycle = 'of a later version' WHERE id = ?", kept)
        os.remove(os.path.join(self.box.state, "spool"))  # everything of it is committed; it would bring the grant back
        self.box.start()
        wait_for(lambda: self.family()["revoked"] == "revoked", 10)
        self.assertEqual(self.server.get("/_ctl/report")["families"][0]["revoked"], None)
        self.assertEqual(self.server.get("/_ctl/report")["seen"]["revoke"], 1)



class Changes(GrantdTest):
    """What is decided elsewhere while a browser is at the platform."""

    def setUp(self):
        super().setUp()
        self.server = self.box.accounting()
        self.box.policy_app(self.server, "none", page="form")
        self.box.start()

    def at_the_platform(self):
        link, request = self.box.ask("none")
        browser = self.box.browser()
        browser.open(link)
        form, button = browser.choose()
        browser.submit(form, None, button)
        return browser, link, request

    def nothing_came(self, request, state):
        item = self.rpc.call("request.get", request=request)["request"]["items"][0]
        self.assertEqual((item["state"], item["grants"]), (state, []))
        self.assertEqual(self.server.get("/_ctl/report")["seen"]["code"], 0)

    def test_a_request_that_was_taken_back(self):
        browser, _, request = self.at_the_platform()
        self.rpc.call("request.cancel", request=request)
        browser.walk(home=self.box.url)
        self.nothing_came(request, "cancelled")

    def test_declined_in_another_window(self):
        browser, link, request = self.at_the_platform()
        other = self.box.browser()
        other.open(link)
        form = next(f for f in other.page.forms if f.buttons and f.buttons[0][1] == "decline")
        other.submit(form, None, form.buttons[0])
        browser.walk(home=self.box.url)
        self.nothing_came(request, "declined")


if __name__ == "__main__":
    unittest.main()
