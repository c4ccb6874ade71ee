#!/usr/bin/env python3
"""A standby that lacks the last commits is promoted: what a node had received comes back out of its spool, also when the
others went on without it and were told that the token is spent."""
import unittest

from trio import Cluster, Failover, RpcError, Trio, wait_for


class Promoted(unittest.TestCase):
    LIMITS = {"request_deadline_ms": 1000, "quiet_ms": 1000, "node_lease_ms": 60000}

    def setUp(self):
        self.cluster = Cluster()
        self.addCleanup(self.cluster.done)
        self.cluster.__enter__()
        self.pair = Failover(self.cluster)
        self.trio = Trio(self.cluster, limits=self.LIMITS, store={"deadline_ms": 1500}, wired=True, ports=self.pair.ports)
        self.addCleanup(self.trio.close)
        self.trio.policies("none", "strict")
        self.trio.start()

    def status(self, node, grant):
        return node.call("grant.get", grant=grant)["grant"]["layers"]["token"]["status"]

    def refresh(self, node, grant):
        try:
            node.call("grant.refresh", grant=grant)
        except RpcError as e:
            return e.reason
        return "ok"

    def away(self, *nodes):
        """They do not reach the database any more."""
        for node in nodes:
            self.trio.wires[node.number].gone = True
            self.trio.wires[node.number].cut()

    def again(self, node, grant):
        wait_for(lambda: self.refresh(node, grant) == "ok", 30, 0.05)

    def strict(self):
        return next(f for f in self.trio.families() if f["policy"] == "strict")

    def lose(self):
        """The last two answers for a strict server are known to one node each, and to no database; the third node goes on
        with what it has."""
        a, b, c = self.trio.nodes
        strict, free = a.consent("strict"), a.consent("none", login="bert")
        for node in (a, b, c):
            self.again(node, strict)
            self.again(node, free)
        self.pair.leave_behind()
        self.again(b, strict)
        self.again(a, strict)
        self.again(a, free)
        self.away(a, b)
        self.pair.fail_over()
        self.trio.cluster = self.pair.primary
        for _ in range(6):  # it moves on, and says nothing about what was lost
            self.again(c, free)
        return strict

    def comes_back_alone(self, strict):
        """Without anybody asking for it the newest answer is what the credential stands on, and is due at once (at once
        may be later, where the node whose turn it is is the one that is away); then the older one comes."""
        a, b, c = self.trio.nodes
        accepted = self.strict()["accepted"]

        def is_due():
            """the newest answer was taken up"""
            return self.strict()["accepted"] > accepted or "t" == self.trio.sql(
                "SELECT status = 'retrying' AND next_at <= extract(epoch FROM clock_timestamp()) * 1000 FROM"
                " grantd.credentials WHERE app = 'strict'")
        self.trio.wires[a.number].back()
        wait_for(is_due, 30, 0.1)
        self.trio.wires[b.number].back()
        for node in (b, a, c):
            self.again(node, strict)
        self.trio.same_everywhere(strict)
        self.assertEqual([node.log_tail(1 << 20).count('"event":"restarting"') for node in (a, b, c)], [1, 1, 0])
        self.assertEqual(c.call("store.doubts")["doubts"], [])
        self.trio.whole()

    def test_the_newest_answer_counts_whoever_comes_first(self):
        self.comes_back_alone(self.lose())
        self.assertEqual(self.strict()["reuse_presented"], 0)

    def test_what_others_spoiled_meanwhile_is_made_good(self):
        strict, node = self.lose(), self.trio.nodes[2]

        def refused():
            """the platform has refused the older token"""
            return self.refresh(node, strict) != "ok" and self.status(node, strict) in ("quarantined", "needs_consent")
        wait_for(refused, 20, 0.1)
        self.comes_back_alone(strict)


if __name__ == "__main__":
    unittest.main()
