#!/usr/bin/env python3
"""What several nodes keep together: the limits of a platform, which each takes its part of; and how a node is called."""
import os
import re
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from test_together import CALM, Nodes  # noqa: E402
from trio import RpcError, wait_for  # noqa: E402

MOST = 64  # GD_NODES_MAX: the smallest part is one of so many


class Shares(Nodes):
    LIMITS = {**CALM, "node_lease_ms": 12000}

    @staticmethod
    def among(node):
        return node.call("daemon.status")["nodes"]["among"]

    def test_who_comes_takes_no_part_before_the_others_count_with_him(self):
        a, b, _ = self.trio.nodes
        self.trio.start(a)
        wait_for(lambda: self.among(a) == 1, 5)
        a.freeze()
        began = time.monotonic()
        self.trio.start(b)
        wait_for(lambda: sorted(b.states().values()) == ["live", "live"], 5, 0.02)
        parts = self.among(b)
        self.assertLess(time.monotonic() - began, 10)  # else the first one's lease may be over
        a.thaw()
        self.assertEqual(parts, MOST)
        wait_for(lambda: (self.among(a), self.among(b)) == (2, 2), 15, 0.05)
        self.trio.start()

    def test_together_never_more_than_the_whole(self):
        """Three come at once."""
        for node in self.trio.nodes:
            node.write_config()
        self.trio.start()
        end = time.monotonic() + 30
        while time.monotonic() < end:
            parts = [self.among(node) for node in self.trio.nodes]
            if parts == [self.among(node) for node in self.trio.nodes]:  # at one moment all had these
                self.assertLessEqual(sum(1 / part for part in parts), 1 + 3 / MOST, parts)
            if parts == [3, 3, 3]:
                return
        self.fail(f"after half a minute: {parts}")


class Heeded(Nodes):
    """What a platform says to one node of an app."""

    def refreshes(self):
        return self.trio.server.get("/_ctl/report")["seen"]["refresh"]

    def test_a_wait_that_a_platform_asks_for_is_everybodys(self):
        a, b, c = self.start()
        one, two = a.consent("none"), a.consent("none", login="bert")
        for node in (b, c):
            node.token(two)
        self.trio.server.post("/_ctl/fault", {"client_id": "none", "action": "status", "status": 429, "retry_after": 60,
                                              "grant_type": "refresh_token"})
        with self.assertRaises(RpcError):
            a.call("grant.refresh", grant=one)
        seen = self.refreshes()
        for node in (b, c):
            wait_for(lambda node=node: node.call("daemon.status")["http"]["apps"]["oauth2/none"]["retry_at"] > 0, 10, 0.02)
            with self.assertRaises(RpcError):
                node.call("grant.refresh", grant=two)
        self.assertEqual(self.refreshes(), seen)
        b.call("grant.refresh", grant=self.strict)  # another app's
        self.assertEqual(self.refreshes(), seen + 1)

    def start(self):
        nodes = super().start()
        self.strict = nodes[0].consent("strict")
        return nodes


class Frozen(Nodes):
    LIMITS = {**CALM, "node_lease_ms": 3600000}  # the clock is moved by less than that

    def test_an_app_is_frozen_for_all_and_thawed_for_all(self):
        a, b, _ = self.trio.nodes
        clock = os.path.join(self.trio.first.folder, "clock")
        for node in self.trio.nodes:
            node.args = ["--virtual-clock", clock]
        self.trio.start()
        one, two = a.consent("none"), a.consent("none", login="bert")
        b.token(two)
        self.trio.server.post("/_ctl/fault", {"client_id": "none", "action": "error", "status": 401,
                                              "error": "invalid_client", "grant_type": "refresh_token"})
        with self.assertRaises(RpcError):
            a.call("grant.refresh", grant=one)
        wait_for(lambda: "app.frozen" in b.log_tail(1 << 20), 10, 0.02)
        self.refused("APP_FROZEN", b, "grant.refresh", grant=two)
        a.call("daemon.clock", by=310)  # who found out probes first
        self.refused("APP_FROZEN", b, "grant.refresh", grant=two)
        self.assertIn(a.call("grant.refresh", grant=one)["grant"]["state"], ("active", "at_risk"))
        wait_for(lambda: "app.works" in b.log_tail(1 << 20), 10, 0.02)
        b.call("grant.refresh", grant=two)


class Names(Nodes):
    def test_a_node_is_listed_with_what_people_need(self):
        a, *_ = self.start()
        listed = {node["title"]: node for node in a.call("node.list")["nodes"]}
        self.assertEqual(set(listed), {"node-0", "node-1", "node-2"})
        own = listed["node-0"]
        self.assertEqual((own["name"], own["state"]), (a.name(), "live"))
        self.assertEqual({node["version"] for node in listed.values()}, {a.call("daemon.status")["version"]})
        for node in listed.values():
            self.assertLess(node["started_at"], node["seen_at"])
        table = a.ctl("node", "list", check=False).stdout
        self.assertTrue(re.search(r"node-2 +live", table), table)
        self.assertEqual(a.daemon.stop(), 0)
        b = self.trio.nodes[1]
        wait_for(lambda: b.states()[own["name"]] == "gone", 10, 0.05)
        self.trio.start()

    def test_namesakes_are_warned_of(self):
        a, b, _ = self.trio.nodes
        self.trio.start(a)
        b.number = a.number
        self.trio.start(b)
        self.assertIn("node.namesake", b.log_tail(1 << 20))
        self.assertNotIn("node.namesake", a.log_tail(1 << 20))
        self.trio.start()


if __name__ == "__main__":
    unittest.main()
