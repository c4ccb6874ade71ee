#!/usr/bin/env python3
"""Three nodes on one database do what one does: whoever is asked, whoever a browser meets, whoever is gone."""
import contextlib
import os
import shutil
import statistics
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from trio import LEASE_MS, Cluster, Daemon, RpcError, Trio, has_faults, program, wait_for  # noqa: E402

TRIES = 5  # the machine may have other work, news that are late are late every time
CALM = {"request_deadline_ms": 3000, "quiet_ms": 3000}


class Nodes(unittest.TestCase):
    LIMITS = CALM

    @classmethod
    def setUpClass(cls):
        cls.cluster = Cluster()
        cls.addClassCleanup(cls.cluster.done)
        cls.cluster.make().start()

    def setUp(self):
        self.trio = Trio(self.cluster, 3, limits=self.LIMITS)
        self.addCleanup(self.trio.close)
        self.trio.policies("none", "strict")

    def tearDown(self):
        result = self._outcome.result
        if any(test is self for test, _ in [*result.failures, *result.errors]):
            sys.stderr.write(self.trio.logs())
        else:
            self.trio.whole()

    def start(self):
        self.trio.start()
        self.trio.all_live()
        return self.trio.nodes

    def refused(self, reason, node, method, **params):
        with self.assertRaises(RpcError) as caught:
            node.call(method, **params)
        self.assertEqual(caught.exception.reason, reason, str(caught.exception))

    def ask(self, node, app="none"):
        client = node.call("client.create", name="Anna Bakery")["client"]["id"]
        made = node.call("request.create", client=client, confirm=False, items=[{"app": app}])
        return made["link"], made["request"]["id"]


class Together(Nodes):
    def test_a_flow_may_end_on_another_node_than_it_began(self):
        a, b, c = self.start()
        link, request = self.ask(a)
        browser = self.trio.first.browser()
        self.trio.door_to(b)
        self.assertEqual(browser.open(link).status, 200)
        self.trio.door_to(c)  # the platform sends the browser back to whoever answers now
        self.assertEqual(browser.walk(login="anna").status, 200)
        grant = a.call("request.get", request=request)["request"]["items"][0]["grants"][0]
        for node in (a, b, c):  # at once: who does not know it asks
            self.assertEqual(node.token(grant)["gen"], 1)

    def again(self, node, fault, times):
        """The node begins anew, and its next reads of that kind fail, as if the database were away."""
        node.daemon.kill9()
        self.trio.buried(node)
        self.trio.start(node, faults=",".join([fault + ":eio"] * times))
        self.trio.all_live()

    @unittest.skipUnless(has_faults(), "a build without fault points")
    def test_news_that_could_not_be_read(self):
        """Nothing else changes after that: what was revoked is read later all the same."""
        a, b, _ = self.start()
        ended = a.consent("none")
        self.assertEqual(b.token(ended)["gen"], 1)
        self.again(b, "peers.unread", 8)
        a.call("grant.revoke", grant=ended)

        def refused():
            """the node knows that it has ended"""
            with self.assertRaises(RpcError) as caught:
                b.token(ended)
            return caught.exception.reason == "GRANT_ENDED"
        wait_for(lambda: not self.vends(b, ended), 60, 0.2)
        wait_for(refused, 60, 0.2)

    def vends(self, node, grant):
        with contextlib.suppress(RpcError):
            return bool(node.token(grant))
        return False

    @unittest.skipUnless(has_faults(), "a build without fault points")
    def test_a_key_that_could_not_be_read(self):
        """The key of a new client, which another node made."""
        a, b, _ = self.start()
        self.again(b, "keys.unread", 6)
        grant = a.consent("none")
        wait_for(lambda: self.vends(b, grant), 60, 0.2)

    def test_what_one_renews_or_ends_the_others_know_within_a_second(self):
        a, b, c = self.start()
        kept, ended = a.consent("none"), b.consent("none", login="bert")
        for node in (a, b, c):
            self.assertEqual((node.token(kept)["gen"], node.token(ended)["gen"]), (1, 1))
        took = []
        for gen in range(2, 2 + TRIES):
            b.call("grant.refresh", grant=kept)
            began = time.monotonic()
            wait_for(lambda gen=gen: {node.token(kept)["gen"] for node in (a, b, c)} == {gen}, 20, 0.01)
            took.append(time.monotonic() - began)
        self.assertLess(statistics.median(took), 1)
        a.call("grant.revoke", grant=ended)
        for node in (b, c):
            def refused(node=node):
                """a revoked grant is vended no more"""
                with contextlib.suppress(RpcError):
                    node.token(ended)
                    return False
                return True
            wait_for(refused, 20, 0.005)

    def test_many_changes_that_come_at_once_are_all_taken(self):
        """More than one statement reads, of several kinds."""
        a, b, _ = self.start()
        grants = [a.consent("none", login=f"anna{i}") for i in range(20)]
        wait_for(lambda: {b.token(grant)["gen"] for grant in grants} == {1}, 10, 0.05)
        b.freeze()
        grants.append(a.consent("none", login="bert"))
        for grant in grants:
            a.call("grant.refresh", grant=grant)
        b.thaw()
        wait_for(lambda: {b.token(grant)["gen"] for grant in grants} == {2}, 20, 0.05)

    def test_a_revoke_waits_for_the_node_that_renews(self):
        """What the renewal brings on one node is what the revoke on another ends."""
        a, b, _ = self.start()
        grant = a.consent("strict")
        b.token(grant)
        self.trio.server.post("/_ctl/fault", {"client_id": "strict", "action": "delay", "ms": 1500})
        line = a.daemon.rpc
        line.send("grant.refresh", grant=grant)
        wait_for(lambda: self.trio.sql("SELECT count(*) FROM grantd.intents") == "1")
        self.assertEqual(b.call("grant.revoke", grant=grant)["grant"]["state"], "ended")
        alive = [f for f in self.trio.families() if f["policy"] == "strict" and not f.get("revoked")]
        self.assertEqual(alive, [], "a token that was made meanwhile lives on")

    def test_a_node_that_drains_hands_over(self):
        a, b, c = self.start()
        grant = a.consent("none")
        self.assertEqual(a.daemon.stop(), 0)
        wait_for(lambda: b.states()[self.trio.names[a]] == "gone", 20)
        self.assertEqual({b.token(grant)["gen"], c.token(grant)["gen"]}, {1})
        b.call("grant.refresh", grant=grant)
        self.trio.start(a)
        self.trio.same_everywhere(grant)

    @unittest.skipUnless(has_faults(), "needs the fault points")
    def test_fenced_while_it_starts_again(self):
        """A node that others took for dead joins again, also when they fence it in the very moment."""
        a, b, _ = self.trio.nodes
        a.write_config()
        a.daemon = Daemon(a, "node.named:freeze")
        wait_for(a.frozen, 20)
        a.thaw()
        a.daemon.wait_ready()
        self.trio.names[a] = a.name()
        self.trio.start()
        self.trio.all_live()
        grant = b.consent("none")
        before = a.worker()
        a.freeze()
        self.trio.buried(a)
        a.thaw()
        wait_for(lambda: "restarting" in a.log_tail(1 << 20) and a.frozen(), 20)
        name = self.trio.names[a]
        self.trio.sql("INSERT INTO grantd.feed (node, n, link, prev, at) SELECT node, n + 1, -link, link, at FROM grantd.feed"
                      f" WHERE node = '{name}' ORDER BY n DESC LIMIT 1")
        a.thaw()
        wait_for(lambda: "start.failed" in a.log_tail(1 << 20) and a.frozen(), 20)
        a.thaw()
        self.trio.all_live()
        self.assertNotEqual(a.worker(), before)
        self.trio.same_everywhere(grant)

    def test_another_key_is_refused_before_a_row_is_read(self):
        a, b, _ = self.trio.nodes
        self.trio.start(a)
        a.consent("none")
        good = self.trio.key
        self.trio.key = good + ".other"
        with open(os.open(self.trio.key, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
            file.write(os.urandom(32))
        b.write_config()
        daemon = Daemon(b)
        self.assertNotEqual(daemon.wait_dead(20), 0)
        self.assertIn("KEY_WRONG", b.log_tail())
        self.assertNotIn("node.dead", b.log_tail())
        self.trio.key = good
        self.trio.start()

    def test_a_copied_state_directory_is_refused(self):
        a, b, _ = self.trio.nodes
        self.trio.start(a)
        os.makedirs(b.state, 0o700, exist_ok=True)
        shutil.copy(os.path.join(a.state, "node"), os.path.join(b.state, "node"))
        with contextlib.suppress(FileNotFoundError):
            shutil.copy(os.path.join(a.state, "installation"), os.path.join(b.state, "installation"))
        b.write_config()
        self.assertNotEqual(Daemon(b).wait_dead(20), 0)
        self.assertRegex(b.log_tail(), "NODE_NAME_TAKEN|STORE_LOCKED")
        self.assertEqual(len(a.states()), 1)
        os.unlink(os.path.join(b.state, "node"))
        self.trio.start()



class Away(Nodes):
    def setUp(self):
        self.trio = Trio(self.cluster, 3, limits=self.LIMITS, wired=True)
        self.addCleanup(self.trio.close)

    def test_a_database_that_was_away_buries_nobody(self):
        """Who reaches it again first must not take the others for dead, which were away from it as long."""
        nodes = self.start()
        workers = [node.worker() for node in nodes]
        for part in (0.7, 0.75, 0.8, 0.85):
            time.sleep(1.2 * LEASE_MS / 1000)  # all are steady again
            there = [wire.target for wire in self.trio.wires.values()]
            for wire in self.trio.wires.values():
                wire.target = lambda: None
                wire.cut()
            time.sleep(part * LEASE_MS / 1000)
            for wire, target in zip(self.trio.wires.values(), there):
                wire.target = target
            self.trio.all_live()
        self.assertEqual([node.worker() for node in nodes], workers)


class Asleep(Nodes):
    """A node is stopped for longer than its lease and its deadline, with an answer on its way to it."""
    LIMITS = {**CALM, "request_deadline_ms": 1500, "quiet_ms": 1500}

    def test_the_answer_in_its_socket_is_kept(self):
        a, b, c = self.start()
        grant, worker = a.consent("strict"), a.worker()
        b.token(grant)
        self.trio.server.post("/_ctl/fault", {"client_id": "strict", "action": "delay", "ms": 700})
        a.daemon.rpc.send("grant.refresh", grant=grant)
        wait_for(lambda: self.trio.families()[-1]["accepted"] == 1, 20, 0.01)
        a.freeze()
        self.trio.buried(a)
        self.assertEqual({b.status(grant), c.status(grant)}, {"uncertain"})
        self.refused("CREDENTIAL_UNCERTAIN", b, "grant.refresh", grant=grant)
        a.thaw()

        def back():
            """the node that slept is back under a new name"""
            with contextlib.suppress(RpcError):
                return a.worker() != worker
            return False
        wait_for(back, 20, 0.1)
        self.assertEqual(self.trio.same_everywhere(grant).pop()[1], 2)
        wait_for(lambda: {n.status(grant) for n in self.trio.nodes} == {"current"}, 20)
        c.call("grant.refresh", grant=grant)
        family = self.trio.families()[-1]
        self.assertEqual((family["accepted"], family["refused"], family["revoked"]), (2, 0, None))


class Witnesses(Nodes):
    def test_the_end_of_a_log_that_was_cut_off_shows_in_the_others(self):
        a, b, _ = self.start()
        a.consent("none")
        self.assertEqual(a.daemon.stop(), 0)
        self.trio.start(a)  # its first checkpoint signs all that was before
        name, logs = self.trio.names[a], [os.path.join(node.state, "audit.log") for node in (a, b)]
        wait_for(lambda: self.trio.sql(f"SELECT shown FROM grantd.nodes WHERE name = '{name}'"), 20)
        first = self.trio.sql(f"SELECT split_part(shown, E'\\n', 2) FROM grantd.nodes WHERE name = '{name}'")
        time.sleep(1)  # two beats
        self.assertEqual((a.daemon.stop(), b.daemon.stop()), (0, 0))
        self.assertEqual(self.verify(*logs)[0], 0)
        with open(logs[0], "rb") as file:
            lines = file.readlines()
        self.assertGreater(len(lines), int(first))
        with open(logs[0], "wb") as file:
            file.writelines(lines[:4])
        os.rename(logs[0] + ".head", logs[0] + ".kept")
        self.assertEqual(self.verify(logs[0])[0], 0)
        code, said = self.verify(*logs)
        self.assertNotEqual(code, 0)
        self.assertIn("the log ends before what another node's log knows of it", said)
        with open(logs[0], "wb") as file:
            file.writelines(lines)
        os.rename(logs[0] + ".kept", logs[0] + ".head")
        self.trio.start()

    @staticmethod
    def verify(path, *others):
        done = subprocess.run([program("grantctl"), "audit", "verify", "--file", path,
                               *(["--others", ":".join(others)] if others else [])], check=False, text=True, timeout=20,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        return done.returncode, done.stdout


class Blind(Nodes):
    """The database is away: what is known to be good is vended for a while, and not for ever."""
    LIMITS = {**CALM, "vend_blind_ms": 3000}

    def test_vending_goes_on_and_ends(self):
        a, b, c = self.start()
        grant = a.consent("none")
        for node in (a, b, c):
            node.token(grant)
        self.cluster.stop()
        try:
            for node in (a, b, c):
                self.assertEqual(node.token(grant)["gen"], 1)
            time.sleep(3.5)
            for node in (a, b, c):
                self.refused("STORE_BLIND", node, "grant.token", grant=grant)
        finally:
            self.cluster.start()
        for node in (a, b, c):
            wait_for(lambda node=node: self.vends(node, grant), 20, 0.1)

    @staticmethod
    def vends(node, grant):
        """it vends again"""
        with contextlib.suppress(RpcError):
            return node.token(grant)["gen"] >= 1
        return False


if __name__ == "__main__":
    unittest.main()
