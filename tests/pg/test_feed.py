"""What nodes hear of each other: news in time and in order, nothing of what did not happen, "anything" where something
was missed; and a database that was set back."""
import statistics
import time
import unittest

from kit import LOOP_MS, PgTest, wait_for


class Feed(PgTest):
    def setUp(self):
        super().setUp()
        self.a = self.good(folder="a", node="a")
        self.b = self.good(folder="b", node="b")

    def test_news(self):
        took = []
        for number in range(5):
            start = time.monotonic()
            self.ok(self.a.do("put", f"k{number}0", 1, news=f"cred-{number}"))
            self.assertEqual(self.b.news(), ["a", "w", f"cred-{number}"])
            took.append(time.monotonic() - start)
        self.ok(self.a.do("put", "k2", 1))  # changes nothing that others hold
        self.ok(self.b.do("put", "k3", 1, news="grant-1"))
        self.assertEqual(self.a.news(), ["b", "w", "grant-1"])
        self.assertEqual([line for line in self.a.lines + self.b.lines if "news" in line], [])
        self.assertLess(statistics.median(took), 1)
        wait_for(lambda: self.b.status()["seen_ms"] < 1000)

    def test_caught_up(self):
        """Who asks has been told all that was committed before, without waiting for the next round."""
        took = []
        for i in range(20):
            self.ok(self.a.do("put", f"k{i}", 1, news=f"n{i}"))
            took.append(self.ok(self.b.do("catch_up"))["ms"])
            self.assertIn(["a", "w", f"n{i}"], [line.get("news") for line in self.b.lines])
        self.assertLess(statistics.median(took), 200)
        pid = self.backend("feed", "b")
        self.cluster.stop_process(pid)
        self.failed(self.b.do("catch_up"), "STORE_SLOW")
        self.cluster.continue_process(pid)
        self.ok(self.b.do("catch_up"))

    def test_in_order_and_all(self):
        for i in range(300):
            self.a.send("put", f"k{i}", i, news=f"n{i}")
        self.assertEqual([self.b.news()[2] for _ in range(300)], [f"n{i}" for i in range(300)])

    def test_nothing_of_what_failed(self):
        self.ok(self.a.do("put", "k", 1, news="yes"))
        self.failed(self.a.do("put", "k", 2, news="no"), "CONFLICT")
        self.ok(self.a.do("put", "l", 1, news="then"))
        self.assertEqual([self.b.news()[2] for _ in range(2)], ["yes", "then"])

    def test_too_much_is_anything(self):
        """More than a row of the feed takes."""
        self.a.process.stdin.write(b"".join(b"put x%d key%d 1 - %s\n" % (i, i, b"n" * 9000) for i in range(300)))
        self.a.process.stdin.flush()
        for i in range(300):
            self.ok(self.a.answer(f"x{i}"))
        seen = []
        while ["a", None, None] not in seen and len(seen) < 300:
            seen.append(self.b.news())
        self.ok(self.a.do("put", "last", 1, news="last"))
        while seen[-1][2] != "last":
            seen.append(self.b.news())

    def test_newcomer(self):
        """A node that nobody knew: all it ever wrote is told, once."""
        c = self.good(folder="c", node="c")
        self.ok(c.do("put", "k", 1, news="first"))
        self.assertEqual(self.a.news(), ["c", "w", "first"])
        self.assertEqual(self.b.news(), ["c", "w", "first"])

    def test_a_locked_table_keeps_nobody_waiting(self):
        """The size of the tables is asked on the connection of the feed, when a store is opened and each minute."""
        with self.cluster.session(self.database) as holder:
            holder("BEGIN; LOCK TABLE grantd.kv IN ACCESS EXCLUSIVE MODE")
            began = time.monotonic()
            c = self.good(folder="c", node="c", deadline=6000)
            self.assertLess(time.monotonic() - began, 5)
            holder("COMMIT")
        self.ok(c.do("put", "k", 1, news="first"))
        self.assertEqual(self.a.news(), ["c", "w", "first"])

    def test_after_a_restart(self):
        """What a node wrote before it died is told; that it begins anew is no news."""
        self.ok(self.a.do("put", "k1", 1, news="one"))
        self.a.kill()
        self.assertEqual(self.b.news(), ["a", "w", "one"])
        again = self.good(folder="a", node="a")
        self.ok(again.do("put", "k2", 1, news="two"))
        self.assertEqual(self.b.news(), ["a", "w", "two"])

    def test_missed_rows(self):
        """Rows that were trimmed before they were read."""
        self.ok(self.a.do("put", "k1", 1, news="one"))
        self.assertEqual(self.b.news()[2], "one")
        pid = self.backend("feed", "b")
        self.cluster.stop_process(pid)
        for i in range(5):
            self.ok(self.a.do("put", f"m{i}", 1, news=f"m{i}"))
        self.cluster.sql("DELETE FROM grantd.feed WHERE node = 'a' AND n < (SELECT max(n) FROM grantd.feed WHERE node = 'a')",
                         self.database)
        self.cluster.continue_process(pid)
        self.assertEqual(self.b.news(), ["a", None, None])
        self.ok(self.a.do("put", "k2", 1, news="two"))
        self.assertEqual(self.b.news()[2], "two")

    def test_the_feed_is_cut_off(self):
        """Its connection breaks, again and again: nothing is lost, nothing is told twice."""
        for i in range(20):
            self.ok(self.a.do("put", f"k{i}", 1, news=f"n{i}"))
            if i % 5 == 0:
                self.cluster.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = "
                                 "'grantd/b/feed'")
        self.assertEqual([self.b.news()[2] for _ in range(20)], [f"n{i}" for i in range(20)])

    def test_how_old_it_is(self):
        """Nobody answers: what is known of others gets older, and that can be asked."""
        pid = self.backend("feed", "b")
        self.cluster.stop_process(pid)
        wait_for(lambda: self.b.status()["seen_ms"] > 1500)
        self.cluster.continue_process(pid)
        wait_for(lambda: self.b.status()["seen_ms"] < 1000)
        self.assertLessEqual(self.b.status()["longest_ms"], LOOP_MS)

    def test_trimmed(self):
        """Old rows of a node go, its newest stays."""
        self.ok(self.a.do("put", "k1", 1))
        self.cluster.sql("UPDATE grantd.feed SET at = at - 700000 WHERE node = 'a'", self.database)
        self.a.close()
        self.a = self.good(folder="a", node="a")
        self.ok(self.a.do("put", "k2", 1))
        left = self.cluster.sql("SELECT count(*) FROM grantd.feed WHERE node = 'a'", self.database)
        self.assertIn(left, ("2", "3"))  # the one taken at the start, and the last; the newest old one may remain


class SetBack(PgTest):
    def cut_off_end(self, node, table="grantd.feed"):
        """As if the newest commits of a node had never reached this server."""
        self.cluster.sql(f"DELETE FROM {table} WHERE node = '{node}' AND n = (SELECT max(n) FROM {table} "
                         f"WHERE node = '{node}')", self.database)

    def test_noticed(self):
        a, b = self.good(folder="a", node="a"), self.good(folder="b", node="b")
        self.ok(a.do("put", "k1", 1, news="one"))
        self.assertEqual(b.news()[2], "one")
        self.cut_off_end("a")
        a.find(lambda line: "set_back" in line)
        self.failed(a.do("put", "k2", 1, spool="answer"), "STORE_SET_BACK")
        self.assertEqual(a.status()["stopped"], "STORE_SET_BACK")
        self.assertIn("answer", a.spool())
        self.assertEqual(b.news(), ["a", None, None])
        a.close()
        a = self.good(folder="a", node="a")  # starts anew, and goes on
        self.assertIn("answer", a.spool())
        self.ok(a.do("put", "k3", 1, news="three"))
        wait_for(lambda: b.news()[2] == "three")

    def test_numbers_used_again(self):
        """The node writes on under numbers that others have seen already: they hear that something is wrong."""
        a, b = self.good(folder="a", node="a"), self.good(folder="b", node="b")
        for i in range(5):
            self.ok(a.do("put", f"k{i}", 1, news=f"n{i}"))
        self.assertEqual([b.news()[2] for _ in range(5)], [f"n{i}" for i in range(5)])
        pid = self.backend("feed", "b")
        self.cluster.stop_process(pid)
        a.kill()
        self.cluster.sql("DELETE FROM grantd.feed WHERE node = 'a' AND n > 2", self.database)
        a = self.good(folder="a", node="a")
        for i in range(8):
            self.ok(a.do("put", f"l{i}", 1, news=f"m{i}"))
        self.cluster.continue_process(pid)
        self.assertEqual(b.news(), ["a", None, None])


if __name__ == "__main__":
    unittest.main()
