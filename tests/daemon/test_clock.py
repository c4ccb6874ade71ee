#!/usr/bin/env python3
"""A clock that is moved: what is due on the way is done in its time, and it goes with a sandbox only."""
import os
import subprocess

from harness import GrantdTest, program


class Clock(GrantdTest):
    def setUp(self):
        super().setUp()
        self.server = self.box.accounting()
        self.clock = os.path.join(self.box.folder, "clock")
        self.box.args = ["--virtual-clock", self.clock]

    def family(self):
        return self.server.get("/_ctl/report")["families"][-1]

    def test_two_days_of_refreshes(self):
        self.box.policy_app(self.server, "strict", at_ttl=3600)
        self.box.start()
        grant = self.box.consent("strict")
        before = self.box.grant(grant)
        moved = self.rpc.call("daemon.clock", by=2 * 86400)
        after = self.box.grant(grant)
        self.assertEqual(after["state"], "active")
        self.assertGreaterEqual(moved["now"], before["created_at"])
        gens = after["layers"]["token"]["gen"] - before["layers"]["token"]["gen"]
        self.assertGreaterEqual(gens, 47)  # an hour each, and never only once at the end
        self.assertLess(gens, 200)
        self.assertEqual(self.family()["reuse_presented"], 0)
        self.assertEqual(self.rpc.call("daemon.status")["broker"]["late"], 0)
        self.rpc.call("grant.token", grant=grant)

    def test_the_time_stays_after_a_start(self):
        self.box.policy_app(self.server, "none", at_ttl=86400)
        self.box.start()
        self.rpc.call("daemon.clock", by=86400)
        first = self.rpc.call("daemon.status")["started_at"]
        self.box.daemon.stop()
        self.box.start()
        self.assertGreater(self.rpc.call("daemon.status")["started_at"][:10], first[:10])

    def test_no_clock_to_move(self):
        self.box.args = []
        self.box.policy_app(self.server, "none")
        self.box.start()
        self.refused("CLOCK_NOT_VIRTUAL", "daemon.clock", by=1)

    def refuses_to_start(self):
        self.box.write_config()
        done = subprocess.run([program("grantd"), "--config", self.box.config_path, "--own-platforms",
                               *self.box.args], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=20, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("CLOCK_NOT_LOOPBACK", done.stdout)

    def test_only_with_loopback_origins(self):
        origins = dict(self.box.origins)
        self.box.origins["https://api.example"] = "https://proxy.example"
        self.refuses_to_start()
        self.box.origins.clear()
        self.refuses_to_start()
        self.box.origins.update(origins)
