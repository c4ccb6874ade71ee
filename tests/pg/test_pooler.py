"""A pooler between the stores and their database: by sessions it is not noticed; by transactions it works when the
configuration says so, and is refused with its word when it does not."""
import unittest

from kit import PgTest, wait_for
from pooler import Pooler


class PoolerTest(PgTest):
    MODE = "session"

    def setUp(self):
        super().setUp()
        self.pooler = Pooler(self.cluster, self.MODE)
        self.addCleanup(self.pooler.stop)
        self.through = self.pooler.url(self.database)

    def works(self, *args):
        """Two nodes: what one writes the other reads and hears of; broken connections; many at once."""
        a = self.good(*args, url=self.through, folder="a", node="a")
        b = self.good(*args, url=self.through, folder="b", node="b")
        self.ok(a.do("put", "k1", 1, news="x1"))
        self.assertEqual(b.news()[2], "x1")
        self.assertEqual(b.value("k1"), 1)
        sent = [(store, store.send("add", "sum", 1)) for _ in range(100) for store in (a, b)]
        reads = [a.send("soon", "k1") for _ in range(100)]
        for store, number in sent:
            self.ok(store.answer(number))
        for number in reads:
            self.assertEqual(self.ok(a.answer(number))["value"], 1)
        self.assertEqual(b.value("sum"), 200)
        self.cluster.sql(f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{self.database}' "
                         "AND pid <> pg_backend_pid()")
        self.ok(a.do("add", "sum", 1))
        self.assertEqual(b.value("sum"), 201)
        self.assertEqual(self.ok(b.do("take", "k1", 500))["changes"], 1)
        self.ok(a.do("delete", "k1"))
        self.ok(a.do("scrub"))
        self.ok(a.do("catch_up"))
        return a, b


class Sessions(PoolerTest):
    def test_works(self):
        self.works()


class Transactions(PoolerTest):
    MODE = "transaction"

    def test_works(self):
        self.works("--unprepared")
        left = self.cluster.sql("SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in%'")
        self.assertEqual(left, "0")  # nothing of a session is left to whoever comes next

    def test_refused(self):
        """On an empty database, on one that is in use, and again when its connections know our statements already."""
        said = self.refused("STORE_POOLED", url=self.through)
        self.assertIn("prepared: no", said["text"])
        self.good("--unprepared", url=self.through)
        for name in "bcd":
            self.refused("STORE_POOLED", url=self.through, folder=name, node=name)

    def test_pooler_gone(self):
        store = self.good("--unprepared", url=self.through, deadline=1500)
        self.ok(store.do("put", "a", 1))
        self.pooler.stop()
        self.failed(store.do("put", "b", 2), "STORE_UNREACHABLE")
        self.failed(store.do("get", "a"), "STORE_UNREACHABLE")
        again = Pooler(self.cluster, self.MODE, self.pooler.port)
        self.addCleanup(again.stop)
        wait_for(lambda: store.do("put", "b", 2)["result"] == "ok" or None, 20)
        self.assertEqual([store.value(k) for k in "ab"], [1, 2])


if __name__ == "__main__":
    unittest.main()
