#!/usr/bin/env python3
"""The database loses what it acknowledged: its files are put back to what they were a moment ago."""
import os
import shutil
import unittest

from trio import Cluster, RpcError, Trio, wait_for


class SetBack(unittest.TestCase):
    def setUp(self):
        self.cluster = Cluster()
        self.addCleanup(self.cluster.done)
        self.cluster.__enter__()
        self.trio = Trio(self.cluster, 2, limits={"request_deadline_ms": 3000, "quiet_ms": 3000})
        self.addCleanup(self.trio.close)
        self.trio.policies("strict", "family")
        self.trio.start()
        self.trio.all_live()

    def keep(self):
        self.cluster.stop()
        self.cluster.run("cp", "-a", self.cluster.data, self.cluster.data + ".was")
        self.cluster.start()

    def put_back(self):
        self.cluster.stop()
        shutil.rmtree(self.cluster.data)
        os.rename(self.cluster.data + ".was", self.cluster.data)
        self.cluster.start()

    def again(self, node):
        """It is stopped and started: its spool is read and emptied."""
        self.assertEqual(node.daemon.stop(), 0)
        self.trio.start(node)
        self.trio.all_live()
        self.assertEqual(os.path.getsize(os.path.join(node.state, "spool")), 0)

    @staticmethod
    def renew(node, grant):
        def renewed():
            """a refresh that nobody else is at"""
            try:
                return node.call("grant.refresh", grant=grant)
            except RpcError as e:
                if e.reason != "CONFLICT":
                    raise
        wait_for(renewed, 10, 0.05)

    def test_what_was_stored_is_brought_back(self):
        """Answers that were stored, and are no more in the spool, are with the node that received them."""
        a, b = self.trio.nodes
        strict, family = a.consent("strict"), b.consent("family")
        client = a.call("grant.get", grant=strict)["grant"]["client"]
        made = b.call("request.create", client=client, confirm=False, items=[{"app": "family"}])
        self.keep()
        for node in (a, b):
            wait_for(lambda node=node: self.trio.same_everywhere(strict), 20)
        a.call("grant.refresh", grant=strict)
        b.call("grant.refresh", grant=family)
        a.call("grant.refresh", grant=strict)
        self.trio.door_to(b)
        browser = b.browser()
        browser.open(made["link"])
        browser.walk(login="bert")
        new = b.call("request.get", request=made["request"]["id"])["request"]["items"][0]["grants"][0]
        for node in (a, b):
            self.again(node)
        started = {node: node.call("daemon.status")["started_at"] for node in (a, b)}
        self.put_back()
        for node in (a, b):
            def back(node=node):
                """the node found out, and started itself anew"""
                return node.call("daemon.status")["started_at"] != started[node]
            wait_for(back, 30, 0.1)
        self.trio.all_live(30)
        for grant, gen in ((strict, 3), (family, 2), (new, 1)):
            self.assertEqual({g for _, g in self.trio.same_everywhere(grant, 20)}, {gen})
            for node in (b, a):
                self.renew(node, grant)
            self.assertEqual({node.status(grant) for node in (a, b)}, {"current"})
        for family in self.trio.families():
            self.assertEqual((family["refused"], family["reuse_presented"], family["revoked"]), (0, 0, None))
        self.assertIsNone(a.call("store.doubts")["restored"])
        for node in (a, b):
            self.assertIn("store.caught_up", [r["act"] for r in node.call("audit.list", limit=1000)["records"]])
        self.trio.whole()

    def test_whom_another_node_erased_is_in_no_file(self):
        a, b = self.trio.nodes
        grant = a.consent("strict")
        b.call("grant.refresh", grant=grant)
        client = a.call("grant.get", grant=grant)["grant"]["client"]
        self.again(b)
        self.assertGreater(os.path.getsize(os.path.join(b.state, "spool.kept")), 0)
        b.call("grant.refresh", grant=grant)
        self.assertGreater(os.path.getsize(os.path.join(b.state, "spool")), 0)
        a.call("grant.revoke", grant=grant)
        a.call("client.erase", client=client, name="Anna Bakery")

        def gone():
            """nothing of it is left beside the store, on either node"""
            return not any(client.encode() in open(os.path.join(node.state, name), "rb").read() for node in (a, b)
                           for name in os.listdir(node.state) if name.startswith("spool"))
        wait_for(gone, 10, 0.1)


if __name__ == "__main__":
    unittest.main()
