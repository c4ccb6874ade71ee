"""Several nodes on one store, and what one node alone already keeps of it: its name, its leases."""
import signal
import time
import unittest

from harness import SHARED, GrantdTest, Rpc, wait_for


class OneNode(GrantdTest):
    def test_it_is_listed_and_cannot_be_given_up(self):
        self.box.start()
        said = self.box.daemon.rpc.call("node.list")
        own = self.box.daemon.rpc.call("daemon.status")["nodes"]
        self.assertEqual(said["this"], own["name"])
        life = r"\d+" if SHARED else "wk[0-9a-z]{26}"  # counted where all nodes see the count
        self.assertRegex(own["worker"], rf"^nd[0-9a-z]{{26}}\.{life}$")
        for name, reason in ((own["name"], "NODE_ALIVE"), ("nd00000000000000000000000000", "NODE_UNKNOWN")):
            self.refused(reason, "node.forget", node=name)

    def test_each_start_is_another_worker(self):
        workers = []
        for end in ("kill9", "stop", "stop"):
            self.box.start()
            workers.append(self.box.daemon.rpc.call("daemon.status")["nodes"]["worker"])
            getattr(self.box.daemon, end)()
        self.assertEqual(len(set(workers)), 3)
        self.assertEqual(len({worker.split(".")[0] for worker in workers}), 1)

    def test_a_lease_that_was_long_in_coming_is_not_used(self):
        """The process slept between the lease and the request: by now another node may be at it."""
        server = self.box.accounting()
        app = self.box.policy_app(server, "none", at_ttl=3600)
        self.box.limits.update(request_deadline_ms=1000, quiet_ms=1000)
        self.box.start(faults="F03:delay(3500):1")
        grant = self.box.consent(app)
        self.refused("LEASE_LATE", "grant.refresh", grant=grant)
        self.assertEqual(server.get("/_ctl/report")["seen"]["refresh"], 0)
        self.rpc.call("grant.refresh", grant=grant)  # nothing was spent
        self.assertEqual(server.get("/_ctl/report")["seen"]["refresh"], 1)

    def test_an_answer_that_came_while_the_process_slept(self):
        """Stopped with the request at the server, for longer than the deadline: the answer lies in the socket."""
        server = self.box.accounting()
        self.box.limits.update(request_deadline_ms=800, quiet_ms=800)
        for app in ("strict", "family"):
            self.box.policy_app(server, app, at_ttl=3600)
        self.box.start()
        for app in ("strict", "family"):
            with self.subTest(app):
                grant = self.box.consent(app)
                server.post("/_ctl/fault", {"client_id": app, "action": "delay", "ms": 400})
                line = Rpc(self.box.socket_path)
                line.send("grant.refresh", grant=grant)
                wait_for(lambda: server.get("/_ctl/report")["families"][-1]["accepted"] == 1, 20, 0.01)
                self.box.daemon.process.send_signal(signal.SIGSTOP)
                time.sleep(1.5)
                self.box.daemon.process.send_signal(signal.SIGCONT)
                line.reply()
                line.close()
                self.assertEqual(self.rpc.call("grant.token", grant=grant)["gen"], 2)
                self.rpc.call("grant.refresh", grant=grant)
                family = server.get("/_ctl/report")["families"][-1]
                self.assertEqual((family["accepted"], family["refused"], family["revoked"]), (2, 0, None))


if __name__ == "__main__":
    unittest.main()
