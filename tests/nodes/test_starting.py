#!/usr/bin/env python3
"""A node that starts is not taken for dead: not while it reads a store for longer than a lease, and not by somebody who
found its last life over just before."""
import os
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from test_together import CALM, Nodes  # noqa: E402
from trio import Daemon, Trio, has_faults, wait_for  # noqa: E402

LEASE_MS = 5000  # that a busy machine lets a node be late does not end it


class Starting(Nodes):
    def setUp(self):
        self.trio = Trio(self.cluster, 2, limits={**CALM, "node_lease_ms": LEASE_MS})
        self.addCleanup(self.trio.close)
        self.trio.policies("none")

    def waits_for_a_lock(self, connection):
        return self.cluster.sql("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND "
                                f"datname = '{self.trio.database}' AND application_name LIKE '%/{connection}'") == "1"

    @unittest.skipUnless(has_faults(), "needs the fault points")
    def test_a_scan_may_take_longer_than_a_lease(self):
        a, b = self.trio.nodes
        self.trio.start(a)
        time.sleep(1.2 * LEASE_MS / 1000)  # it is steady, so it says who is dead
        b.write_config()
        with self.cluster.session(self.trio.database) as do:
            do("BEGIN")
            b.daemon = Daemon(b, "node.named:freeze")
            wait_for(b.frozen, 20, 0.01)
            do("LOCK TABLE grantd_keys.data_keys IN ACCESS EXCLUSIVE MODE")
            b.thaw()
            wait_for(lambda: self.waits_for_a_lock("scan"), 20, 0.05)
            time.sleep(2.5 * LEASE_MS / 1000)
            self.assertEqual(sorted(a.states().values()), ["live", "starting"])
            do("ROLLBACK")
        b.daemon.wait_ready()
        self.trio.all_live()
        self.assertNotIn("node.dead", a.log_tail(1 << 20))
        grant = a.consent("none")
        self.assertEqual(b.token(grant)["gen"], 1)

    @unittest.skipUnless(has_faults(), "needs the fault points")
    def test_a_fence_that_comes_too_late_does_nothing(self):
        a, b = self.trio.nodes
        self.trio.start(a)
        self.trio.start(b, faults=f"node.fence:delay({LEASE_MS * 3 // 4})")
        self.trio.all_live()
        time.sleep(1.2 * LEASE_MS / 1000)
        a.daemon.kill9()
        wait_for(lambda: "node.dead" in b.log_tail(1 << 20), 30, 0.02)
        self.trio.start(a)
        processes = self.cluster.backends(self.trio.database, f"grantd/{self.trio.names[a]}/%")
        time.sleep(LEASE_MS / 1000)
        self.assertGreaterEqual(set(self.cluster.backends(self.trio.database, f"grantd/{self.trio.names[a]}/%")),
                                set(processes))
        self.trio.all_live()
        self.assertNotIn("store.reached", a.log_tail(1 << 20))


if __name__ == "__main__":
    unittest.main()
