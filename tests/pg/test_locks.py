"""Who waits for a row that somebody else holds: nobody but he who needs it, and not the node's own beat. A node that
froze in the middle of a group is ended at the database by whoever fences it."""
import signal
import time
import unittest

from kit import PgTest, wait_for

DEADLINE = 10000
SOON = 5  # seconds; a lock is waited for a tenth of the deadline, twice, by what waits at all


class Locks(PgTest):
    def waits(self, name, node="n1"):
        """It waits for a lock."""
        return wait_for(lambda: self.cluster.sql(
            f"SELECT 1 FROM pg_stat_activity WHERE datname = '{self.database}' AND wait_event_type = 'Lock' AND "
            f"application_name = 'grantd/{node}/{name}'"))

    def test_what_stands_apart_waits_for_nobody(self):
        store = self.good(deadline=30000)
        for key in ("x", "y"):
            self.ok(store.do("put", key, 0))
        with self.cluster.session(self.database) as holder:
            holder("BEGIN; UPDATE grantd.kv SET v = 1 WHERE k = 'x'")
            waiting = store.send("add", "x", 1)
            self.waits("writer")
            began = time.monotonic()
            self.assertEqual(self.ok(store.do("apart", "y", 5))["changes"], 1)
            self.failed(store.do("apart", "x", 5), "STORE_SLOW")  # not for long for what others hold, either
            self.assertEqual(self.ok(store.do("apart", "y", 5))["changes"], 1)
            self.assertLess(time.monotonic() - began, SOON)
            holder("COMMIT")
        self.ok(store.answer(waiting))
        self.assertEqual((store.value("x"), store.value("y")), (2, 10))

    def test_what_stands_apart_changes_all_or_nothing(self):
        a, b = self.good(folder="a", node="a"), self.good(folder="b", node="b")
        self.ok(a.do("put", "x", 1))
        self.assertEqual(self.ok(a.do("fence", "absent", 1, "b"))["changes"], 0)
        self.ok(b.do("put", "y", 1))
        self.assertEqual(self.ok(a.do("fence", "x", 1, "nobody"))["changes"], 1)  # and of nobody's feed none
        self.assertEqual(a.value("x"), 1)
        self.assertEqual(self.ok(a.do("fence", "x", 1, "b"))["changes"], 1)
        self.failed(b.do("put", "z", 1), "STORE_LOCKED")
        self.failed(b.do("apart", "x", 1), "STORE_LOCKED")
        self.assertEqual((a.value("x"), a.value("z")), (2, None))

    def test_who_does_not_need_what_is_locked_goes_on(self):
        """All three wait as one group behind a fourth; then one of them is left out of it."""
        store = self.good(deadline=DEADLINE)
        self.ok(store.do("put", "x", 0))
        with self.cluster.session(self.database) as holder:
            holder("BEGIN; UPDATE grantd.kv SET v = 1 WHERE k = 'x'")
            sent = [store.send(verb, key, 1) for verb, key in (("put", "y"), ("add", "x"), ("put", "z"))]
            began = time.monotonic()
            self.ok(store.answer(sent[0]))
            self.failed(store.answer(sent[1]), "STORE_SLOW")
            self.ok(store.answer(sent[2]))
            self.assertLess(time.monotonic() - began, SOON)
            holder("COMMIT")
        self.ok(store.do("add", "x", 1))
        self.assertEqual(store.value("x"), 2)

    def test_fenced_while_it_starts(self):
        """A neighbour that takes the process before for dead stops it, not the one that starts meanwhile."""
        a = self.good(folder="a", node="a")
        b = self.good(folder="b", node="b")
        self.ok(a.do("put", "alive", 0))
        self.ok(b.do("put", "x", 1))
        b.process.kill()
        again = self.good(folder="b", node="b")
        self.assertEqual(self.ok(a.do("fence", "alive", 1, "b"))["changes"], 1)
        self.ok(again.do("add", "x", 1))
        self.assertEqual(self.ok(a.do("fence", "alive", 1, "b"))["changes"], 1)
        self.failed(again.do("add", "x", 1), "STORE_LOCKED")
        self.assertEqual(a.value("x"), 2)

    def test_a_fence_ends_what_a_frozen_node_holds(self):
        a = self.good(folder="a", node="a", deadline=30000)
        b = self.good(folder="b", node="b", deadline=30000, faults="F15:freeze")
        for key in ("x", "alive"):
            self.ok(a.do("put", key, 0))
        self.ok(b.do("add", "alive", 0))  # it has begun: from now on a fence is meant for it
        sent = b.send("add", "x", 7, spool="answer")
        wait_for(lambda: self.is_frozen(b))
        waiting = a.send("add", "x", 1)
        self.waits("writer", "a")
        began = time.monotonic()
        wait_for(lambda: self.ok(a.do("fence", "alive", 1, "b"))["changes"])
        self.ok(a.answer(waiting))
        self.assertLess(time.monotonic() - began, SOON)
        b.process.send_signal(signal.SIGCONT)
        self.failed(b.answer(sent), "STORE_LOCKED")
        self.assertEqual(b.spool(), ["answer"])
        self.assertEqual(a.value("x"), 1)

    @staticmethod
    def is_frozen(store):
        with open(f"/proc/{store.pid}/stat", encoding="ascii", errors="replace") as file:
            return file.read().rsplit(")", 1)[1].split()[0] == "T"


if __name__ == "__main__":
    unittest.main()
