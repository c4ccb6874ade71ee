#!/usr/bin/env python3
"""What a second reader of core/grant, core/sched and core/daemon found: whose grant an act touches, ends that are never
reached, tokens that are shown to a platform too often."""
import time
import unittest

from harness import GrantdTest, Rpc, RpcError, wait_for


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


if __name__ == "__main__":
    unittest.main()
