#!/usr/bin/env python3
"""The database loses what it acknowledged: its files are put back to what they were a moment ago."""
import os
import shutil
import unittest

from trio import Cluster, RpcError, Trio, wait_for


MUCH = 4 << 20


class Files:
    """The database's files, as they are now, and put back later"""

    def keep(self):
        self.cluster.stop()
        self.cluster.run("cp", "-a", self.cluster.data, self.cluster.data + ".was")
        self.cluster.start()

    def put_back(self, meanwhile=0):
        """meanwhile: so many bytes are in its log since, of somebody else, before anybody of ours can look"""
        wires = [wire for wire in self.trio.wires.values() if meanwhile and not wire.gone]
        for wire in wires:
            wire.gone = True
            wire.cut()
        self.cluster.stop()
        shutil.rmtree(self.cluster.data)
        os.rename(self.cluster.data + ".was", self.cluster.data)
        self.cluster.start()
        if meanwhile:
            self.cluster.sql(f"SELECT pg_logical_emit_message(false, 'other', repeat('x', {meanwhile}))")
        for wire in wires:
            wire.back()


class SetBack(Files, unittest.TestCase):
    def setUp(self):
        self.cluster = Cluster()
        self.addCleanup(self.cluster.done)
        self.cluster.__enter__()
        self.trio = Trio(self.cluster, 2, limits={"request_deadline_ms": 3000, "quiet_ms": 3000})
        self.addCleanup(self.trio.close)
        self.trio.policies("strict", "family")
        self.trio.start()
        self.trio.all_live()

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
            return not a.spools_with(client) and not b.spools_with(client)
        wait_for(gone, 10, 0.1)

    def test_whom_another_node_erased_meanwhile_is_in_no_file(self):
        """It was stopped, and has what it received beside the store."""
        a, b = self.trio.nodes
        grant = a.consent("strict")
        client = a.call("grant.get", grant=grant)["grant"]["client"]
        wait_for(lambda: b.token(grant), 10, 0.05)
        b.call("grant.refresh", grant=grant)
        self.again(b)
        self.assertEqual(b.daemon.stop(), 0)
        self.assertTrue(b.spools_with(client))
        a.call("grant.revoke", grant=grant)
        a.call("client.erase", client=client, name="Anna Bakery")
        self.trio.start(b)
        wait_for(lambda: not b.spools_with(client), 10, 0.1)


class Witnessed(Files, unittest.TestCase):
    """The files of the database are put back under three nodes; the first, which received what is lost, stays away. None of
    the others lost anything of its own, and the timeline is the same."""
    LIMITS = {"request_deadline_ms": 1000, "quiet_ms": 1000, "node_lease_ms": 30000}

    def setUp(self):
        self.cluster = Cluster()
        self.addCleanup(self.cluster.done)
        self.cluster.__enter__()
        self.trio = Trio(self.cluster, 3, limits=self.LIMITS, store={"deadline_ms": 1500}, wired=True)
        self.addCleanup(self.trio.close)
        self.trio.policies("strict", "none")
        self.trio.start()
        self.trio.all_live()
        self.strict = self.trio.first.consent("strict")
        for node in self.trio.nodes:
            self.again(node)

    def refresh(self, node):
        try:
            node.call("grant.refresh", grant=self.strict)
        except RpcError as e:
            return e.reason
        return "ok"

    def gen(self, node):
        try:
            return node.token(self.strict)["gen"]
        except RpcError as e:
            if e.reason != "CONFLICT":  # being renewed this moment
                raise
        return 0

    def again(self, node):
        wait_for(lambda: self.refresh(node) == "ok", 30, 0.05)

    def lose(self):
        """What the first received after this is in no database."""
        a, *others = self.trio.nodes
        self.keep()
        gen = wait_for(lambda: self.gen(a), 10, 0.05)
        wait_for(lambda: self.refresh(a) == "ok" and self.gen(a) > gen, 30, 0.05)
        for node in others:
            wait_for(lambda node=node: self.gen(node) > gen, 20, 0.05)
        self.trio.wires[a.number].gone = True
        self.trio.wires[a.number].cut()

    def held(self, node):
        """It waits for the first, and says so"""
        self.refresh(node)  # what it knew itself may be newer than what the database shows
        return self.refresh(node) == "NODES_BEHIND"

    def server(self):
        [family] = [f for f in self.trio.families() if f["policy"] == "strict"]
        return family

    def made_whole(self):
        """The first is back, and nothing was presented twice."""
        self.trio.wires[self.trio.first.number].back()
        for node in self.trio.nodes:
            self.again(node)
        self.trio.same_everywhere(self.strict)
        self.assertEqual([self.server()[key] for key in ("refused", "reuse_presented", "revoked")], [0, 0, None])
        self.trio.whole()

    def test_nobody_presents_before_the_first_is_back(self):
        self.not_presented()

    def test_nor_when_others_have_written_since(self):
        """The log is longer than it was seen: what they had read of the first tells them."""
        self.not_presented(MUCH)

    def not_presented(self, meanwhile=0):
        self.lose()
        self.put_back(meanwhile)
        _, b, c = self.trio.nodes
        before = self.server()["accepted"]
        for node in (b, c):
            wait_for(lambda node=node: self.held(node), 20, 0.1)
        for _ in range(5):
            self.assertTrue(self.held(b) and self.held(c))
        self.assertEqual((self.server()["accepted"], self.server()["refused"]), (before, 0))
        self.made_whole()

    def test_it_is_known_after_a_restart(self):
        """The others were stopped before the files were put back."""
        self.known_after_a_restart()

    def test_as_well_when_others_have_written_since(self):
        self.known_after_a_restart(MUCH)

    def known_after_a_restart(self, meanwhile=0):
        _, b, c = self.trio.nodes
        self.lose()
        for node in (b, c):
            self.assertEqual(node.daemon.stop(), 0)
        self.put_back(meanwhile)
        self.trio.start(c, b)
        for node in (c, b):
            wait_for(lambda node=node: self.held(node), 20, 0.1)
        self.assertEqual(self.server()["refused"], 0)
        self.assertIn("store.new_era", c.log_tail(1 << 20) + b.log_tail(1 << 20))
        self.made_whole()

    def test_a_note_of_what_was_seen_that_is_torn(self):
        """It tells less, and nothing that is wrong"""
        node = self.trio.nodes[1]
        path = os.path.join(node.state, next(name for name in os.listdir(node.state)
                                             if name.endswith(".seen") and "key" not in name))
        for tear in (lambda _: b"", lambda old: old[:20], lambda old: old[:-9], lambda old: old[:43] + b"\0" * 200,
                     lambda old: old + b"f" * (300 << 10)):
            self.assertEqual(node.daemon.stop(), 0)
            with open(path, "rb") as file:
                old = file.read()
            self.assertEqual(len(old.splitlines()), 3)  # the log's end, and two neighbours
            with open(path, "wb") as file:
                file.write(tear(old))
            self.trio.start(node)
            self.again(node)
        self.assertEqual(self.trio.sql("SELECT count(*) FROM grantd.feed WHERE node = 'era'"), "0")

    def test_a_database_that_only_began_anew_is_not_set_back(self):
        """Killed, and started: what it had written out is there."""
        for how in (self.cluster.kill, self.cluster.stop):
            how()
            self.cluster.start()
            for node in self.trio.nodes:
                self.again(node)
        self.assertEqual(self.trio.sql("SELECT count(*) FROM grantd.feed WHERE node = 'era'"), "0")
        self.made_whole()


if __name__ == "__main__":
    unittest.main()
