"""Everything that can break between a store and its PostgreSQL while it works. In every case: what was acknowledged is
there, what failed is not, what is uncertain says so, and the loop turned all the time."""
import os
import time
import unittest

from cluster import PASSWORD, ROLE
from kit import LOOP_MS, PgTest, Relay, wait_for
from start import bytes_of


TOLD = 15000  # ms; who is not told by our own deadline is told by nobody
COMMIT = b"COMMIT\0"  # as a text of its own; BEGIN says READ COMMITTED


class LoopTest(PgTest):
    """Whatever happens, the loop was never kept for long."""

    def tearDown(self):
        for store in self.stores:
            if store.process.poll() is None and store.opened.get("result") == "ok":
                self.assertLessEqual(store.status()["longest_ms"], LOOP_MS)
        super().tearDown()


class Faults(LoopTest):
    def terminate(self, name, node="n1", wait=0):
        self.cluster.sql(f"SELECT pg_terminate_backend(pid, {wait}) FROM pg_stat_activity WHERE application_name = "
                         f"'grantd/{node}/{name}' AND datname = '{self.database}'")

    def test_backend_terminated(self):
        store = self.good()
        self.ok(store.do("put", "a", 1))
        for i, name in enumerate(("writer", "reader", "feed", "writer")):
            self.terminate(name)
            self.ok(store.do("put", f"b{i}", i))
            self.assertEqual(store.value(f"b{i}"), i)
        self.assertGreaterEqual(store.status()["reconnects"], 2)

    def test_terminated_all_the_time(self):
        """Each is counted exactly once, however often its connection breaks in the middle."""
        store = self.good()
        sums = {"ok": 0, "failed": 0, "uncertain": 0}
        sent = []
        for i in range(150):
            sent.append(store.send("add", "sum", 1))
            if i % 6 == 0:
                self.terminate("writer")
        for number in sent:
            sums[store.answer(number)["result"]] += 1
        self.assertGreaterEqual(store.value("sum"), sums["ok"])
        self.assertLessEqual(store.value("sum"), sums["ok"] + sums["uncertain"])
        self.assertEqual(sums["failed"], 0)

    def test_writer_stopped(self):
        """SIGSTOP of the server's process: the kernel goes on acknowledging, only our own deadline helps."""
        store = self.good(deadline=1500)
        self.ok(store.do("put", "a", 1))
        pid = self.backend("writer")
        self.cluster.stop_process(pid)
        answer = self.failed(store.do("put", "b", 2, seconds=20), "STORE_SLOW")
        self.assertLess(answer["ms"], TOLD)
        self.ok(store.do("put", "c", 3))  # over another connection, while that one still stands
        self.cluster.continue_process(pid)
        self.ok(store.do("put", "d", 4))
        self.assertEqual([store.value(k) for k in "abcd"], [1, None, 3, 4])  # failed is failed

    def test_reader_stopped(self):
        store = self.good(deadline=1500)
        self.assertIsNone(store.value("a"))
        pid = self.backend("reader")
        self.cluster.stop_process(pid)
        self.failed(store.do("get", "a"), "STORE_SLOW")
        self.assertIsNone(store.value("a"))  # the next one is asked on a new connection
        self.cluster.continue_process(pid)

    def test_slow_answers(self):
        """A query of 30 seconds costs who asked it no more than the deadline, and nobody's writing."""
        store = self.good(deadline=1500)
        slow = store.send("sleep", "-", 30000)
        self.ok(store.do("put", "a", 1))
        self.failed(store.answer(slow), "STORE_SLOW")
        self.assertEqual(store.value("a"), 1)
        wait_for(lambda: self.cluster.sql("SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep_for%' AND "
                                          "state = 'active' AND pid <> pg_backend_pid()") == "0", 15)

    def test_small_reads(self):
        """They go together, are held up by no long one, and one line that breaks or stands still is theirs alone."""
        store = self.good(deadline=20000)
        for i in range(40):
            self.ok(store.do("put", f"k{i}", i))
        slow = store.send("sleep", "-", 5000)
        sent = [store.send("soon", f"k{i % 50}") for i in range(400)]
        for i, number in enumerate(sent):
            answer = self.ok(store.answer(number))
            self.assertEqual(answer.get("value"), i % 50 if i % 50 < 40 else None)
        self.assertEqual([line for line in store.lines if line.get("id") == slow], [], "they waited for the long one")
        self.ok(store.answer(slow))
        store.close()
        store = self.good(deadline=1500)
        self.terminate("soon")
        self.assertEqual(self.ok(store.do("soon", "k7"))["value"], 7)
        pid = self.backend("soon")
        self.cluster.stop_process(pid)
        sent = [store.send("soon", f"k{i}") for i in range(5)]
        for number in sent:
            self.failed(store.answer(number), "STORE_SLOW")
        self.assertEqual(self.ok(store.do("soon", "k8"))["value"], 8)  # on a new connection
        self.cluster.continue_process(pid)

    def test_slow_writes(self):
        """A table that somebody holds: the deadline passes, nothing happened, and it is not done behind our back."""
        store = self.good(deadline=1500)
        self.ok(store.do("put", "a", 1))
        with self.cluster.session(self.database) as other:
            other("BEGIN; LOCK TABLE grantd.kv")
            answer = store.do("put", "b", 2, seconds=20)
            self.failed(answer, "STORE_SLOW")
            other("ROLLBACK")
        self.ok(store.do("put", "c", 3))
        self.assertIsNone(store.value("b"))

    def test_postmaster_killed(self):
        store = self.good(deadline=1500)
        self.ok(store.do("put", "a", 1))
        self.cluster.kill()
        self.failed(store.do("put", "b", 2, spool="answer-b"), "STORE_UNREACHABLE")
        self.failed(store.do("get", "a"), "STORE_UNREACHABLE")
        self.assertIn("answer-b", store.spool())
        self.cluster.start()
        wait_for(lambda: store.do("put", "c", 3)["result"] == "ok" or None, 20)
        self.assertEqual([store.value(k) for k in "abc"], [1, None, 3])
        self.ok(store.do("put", "b", 2, spool="answer-b"))

    def test_away_for_long(self):
        """Who waits is told within the deadline, however many they are; then they are told at once."""
        store = self.good(deadline=1500)
        self.ok(store.do("put", "a", 1))
        self.cluster.kill()
        sent = [store.send("put", f"k{i}", i) for i in range(200)]
        reads = [store.send("get", "a") for _ in range(50)]
        for number in sent + reads:
            answer = store.answer(number, 20)
            self.failed(answer, "STORE_UNREACHABLE" if answer.get("reason") != "STORE_SLOW" else "STORE_SLOW")
            self.assertLess(answer["ms"], TOLD)
        self.cluster.start()
        wait_for(lambda: store.do("put", "c", 3)["result"] == "ok" or None, 20)

    def test_started_before_its_database(self):
        self.cluster.stop()
        store = self.store(deadline=8000, wait=False)
        time.sleep(0.5)
        self.cluster.start()
        self.assertEqual(store.wait_open().opened.get("result"), "ok")

    def test_made_read_only(self):
        """A failover that left us on the wrong server."""
        store = self.good(deadline=1500)
        self.ok(store.do("put", "a", 1))
        self.cluster.sql(f"ALTER DATABASE {self.database} SET default_transaction_read_only = on")
        for name in ("writer", "reader", "feed"):
            self.terminate(name, wait=5000)
        self.failed(store.do("put", "b", 2), "STORE_READ_ONLY")
        self.cluster.sql(f"ALTER DATABASE {self.database} SET default_transaction_read_only = off")
        wait_for(lambda: store.do("put", "c", 3)["result"] == "ok" or None, 20)

    def test_other_database_in_its_place(self):
        """Behind the same address there is another installation now."""
        store = self.good()
        self.ok(store.do("put", "a", 1))
        self.cluster.sql("UPDATE grantd.installation SET id = 'somebody'", self.database)
        self.terminate("writer", wait=5000)
        self.failed(store.do("put", "b", 2), "STORE_FOREIGN")
        self.assertEqual(store.status()["stopped"], "STORE_FOREIGN")

    def test_asked_to_repeat(self):
        """Two nodes add to the same rows in opposite order: deadlocks, and every one is repeated."""
        self.cluster.sql(f"ALTER DATABASE {self.database} SET deadlock_timeout = '50ms'")
        a, b = self.good(folder="a", node="a"), self.good(folder="b", node="b")
        for key in ("x", "y"):
            self.ok(a.do("put", key, 0))
        sent = []
        for _ in range(60):
            sent += [(a, a.send("add", "x", 1)), (a, a.send("add", "y", 1))]
            sent += [(b, b.send("add", "y", 1)), (b, b.send("add", "x", 1))]
        for store, number in sent:
            self.ok(store.answer(number, 30))
        self.assertEqual((a.value("x"), a.value("y")), (120, 120))

    def test_serialization_failure(self):
        """40001 from a server that is made to say it, some times and then no more."""
        self.cluster.sql("CREATE SEQUENCE grantd_test; CREATE FUNCTION again() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN "
                         "IF nextval('public.grantd_test') < 4 THEN RAISE EXCEPTION 'again' USING ERRCODE = '40001'; END "
                         "IF; RETURN NEW; END$$; GRANT ALL ON SEQUENCE grantd_test TO grantd", self.database)
        store = self.good()
        self.cluster.sql("CREATE TRIGGER again BEFORE INSERT ON grantd.kv FOR EACH ROW EXECUTE FUNCTION public.again()",
                         self.database)
        self.ok(store.do("put", "a", 1))
        self.assertEqual(store.value("a"), 1)

    def says(self, state, turns):
        """At the commit of whatever puts a row into kv the server says this, so many times."""
        self.cluster.sql("CREATE SEQUENCE grantd_test; CREATE FUNCTION says() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN "
                         f"IF nextval('public.grantd_test') <= {turns} THEN RAISE EXCEPTION 'so' USING ERRCODE = '{state}';"
                         " END IF; RETURN NULL; END$$; GRANT ALL ON SEQUENCE grantd_test TO grantd; CREATE CONSTRAINT "
                         "TRIGGER says AFTER INSERT ON grantd.kv DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE "
                         "FUNCTION public.says()", self.database)

    def turns(self):
        return int(self.cluster.sql("SELECT last_value FROM grantd_test", self.database))

    def test_repeated_but_not_for_ever(self):
        store = self.good(deadline=10000)
        self.says("40001", 1000000)
        self.failed(store.do("put", "a", 1), "STORE_FAILED")
        self.assertEqual(self.turns(), 21)
        self.assertIsNone(store.value("a"))

    def test_the_server_does_not_know_either(self):
        """40003, of engines that are many machines themselves: it is found out by the number, as after a lost answer."""
        store = self.good()
        self.says("40003", 2)
        self.ok(store.do("put", "a", 1))
        self.assertEqual((store.value("a"), self.turns()), (1, 3))
        self.assertIn("store.commit_decided", store.log_text())

    def test_reads_are_repeated_at_leisure(self):
        """A server that always asks for it is not asked thousands of times within the deadline."""
        store = self.good(deadline=2000)
        self.ok(store.do("put", "a", 1))
        self.cluster.sql("ALTER TABLE grantd.kv RENAME TO kv_; CREATE FUNCTION grantd.again() RETURNS boolean LANGUAGE plpgsql"
                         " AS $$BEGIN RAISE EXCEPTION 'again-please' USING ERRCODE = '40001'; END$$; CREATE VIEW grantd.kv "
                         "AS SELECT * FROM grantd.kv_ WHERE grantd.again(); GRANT ALL ON grantd.kv TO grantd", self.database)
        self.assertEqual(store.do("get", "a")["result"], "failed")
        self.assertIn(self.cluster.log(1 << 22).count("again-please"), range(5, 80))
        self.cluster.sql("DROP VIEW grantd.kv; ALTER TABLE grantd.kv_ RENAME TO kv", self.database)
        self.assertEqual(store.value("a"), 1)

    def test_lease_by_the_clock_of_the_database(self):
        a, b = self.good(folder="a", node="a"), self.good(folder="b", node="b")
        self.ok(a.do("put", "lease", 0))
        self.assertEqual(self.ok(a.do("take", "lease", 400))["changes"], 1)
        self.assertEqual(self.ok(b.do("take", "lease", 400))["changes"], 0)
        time.sleep(0.5)
        self.assertEqual(self.ok(b.do("take", "lease", 400))["changes"], 1)

    def test_pooler(self):
        """Without prepared statements and without any state of a session, as behind a pooler."""
        store = self.good("--unprepared")
        self.ok(store.do("put", "a", 1))
        self.assertEqual(store.value("a"), 1)
        self.assertEqual(self.cluster.sql("SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%LISTEN%' AND "
                                          "application_name LIKE 'grantd%'"), "0")
        self.terminate("writer")
        self.ok(store.do("put", "b", 2))

    def test_deleted_is_gone(self):
        """After a scrub no copy is in the files of the tables."""
        store = self.good()
        self.ok(store.do("put", "CANARY-4711", 1))
        self.cluster.sql("CHECKPOINT")
        self.assertTrue(self.in_files(b"CANARY-4711"))
        self.ok(store.do("delete", "CANARY-4711"))
        self.ok(store.do("scrub"))
        self.cluster.sql("CHECKPOINT")
        self.assertFalse(self.in_files(b"CANARY-4711"))

    def test_deleted_is_gone_for_everybody(self):
        """Somebody's open transaction may still see what was deleted: a table written anew would carry it along."""
        store = self.good()
        self.ok(store.do("put", "CANARY-4712", 1))
        with self.cluster.session(self.database) as other:
            other("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1 FROM pg_class LIMIT 1")
            self.ok(store.do("delete", "CANARY-4712"))
            self.assertIn("backup", self.failed(store.do("scrub"), "STORE_SLOW")["text"])
            other("COMMIT")
            self.ok(store.do("scrub"))
            other("BEGIN; SELECT 1")  # what began since does not matter
            self.ok(store.do("scrub"))
        self.cluster.sql("CHECKPOINT")
        self.assertFalse(self.in_files(b"CANARY-4712"))

    def in_files(self, text):
        for folder, _, names in os.walk(os.path.join(self.cluster.data, "base")):
            for name in names:
                if text in bytes_of(os.path.join(folder, name)):
                    return True
        return False


class Cut(LoopTest):
    """The connection between COMMIT and its answer."""

    def setUp(self):
        super().setUp()
        self.relay = Relay(self.cluster.port)
        self.addCleanup(self.relay.stop)
        self.through = self.cluster.url(self.database, tcp=True, port=self.relay.port)

    def once(self, verdict):
        left = [verdict]

        def watch(data):
            return left.pop() if COMMIT in data and left else None
        return watch

    def decided(self, there):
        store = self.stores[0]
        return wait_for(lambda: f'"event":"store.commit_decided","there":{there}' in store.log_text().replace(" ", "")
                        or f'"there":{there}' in store.log_text())

    def test_in_a_scan(self):
        """As when a neighbour ends the processes of a node that starts."""
        store = self.good(url=self.through)
        self.ok(store.do("put", "a", 1))
        self.assertEqual(self.ok(store.do("scan", "-"))["rows"], 1)
        for verdict in ("cut", "pass-cut"):
            self.relay.watch = lambda data, verdict=verdict: verdict if b"SELECT k, v FROM kv" in data else None
            self.failed(store.do("scan", "-"), "STORE_UNREACHABLE")
            self.relay.watch = None
            self.assertEqual(self.ok(store.do("scan", "-"))["rows"], 1)

    def test_request_lost(self):
        """COMMIT never arrives: found out, and done again."""
        store = self.good(url=self.through)
        self.ok(store.do("put", "a", 1))
        self.relay.watch = self.once("cut")
        self.ok(store.do("add", "b", 1))
        self.decided("false")
        self.assertEqual(store.value("b"), 1)

    def test_answer_lost(self):
        """COMMIT is done, its answer is lost: found out, and not done again."""
        store = self.good(url=self.through)
        self.ok(store.do("add", "b", 1))
        self.relay.watch = self.once("pass-cut")
        answer = store.do("add", "b", 1)
        self.decided("true")
        self.assertEqual(store.value("b"), 2)
        self.assertIn(answer["result"], ("ok", "uncertain"))

    def test_silence(self):
        """Neither an answer nor an end of the connection."""
        store = self.good(url=self.through, deadline=1200)
        self.ok(store.do("add", "b", 1))
        self.relay.watch = self.once("hold")
        answer = store.do("add", "b", 1, seconds=20)
        self.decided("true")
        self.assertEqual(store.value("b"), 2)
        self.assertIn(answer["result"], ("ok", "uncertain"))

    def test_nobody_can_tell(self):
        """The answer is lost and then everything else: uncertain; and later it is decided before anything is written."""
        store = self.good(url=self.through, deadline=1000)
        self.ok(store.do("add", "b", 1))
        self.relay.watch = self.once("pass-cut")
        dead = self.relay.to
        watch = self.relay.watch

        def cut_all(data):
            verdict = watch(data)
            if verdict:
                self.relay.to = 1  # nobody there
            return verdict
        self.relay.watch = cut_all
        answer = store.do("add", "b", 1, spool="answer", seconds=20)
        self.assertEqual((answer["result"], answer["reason"]), ("uncertain", "STORE_UNREACHABLE"))
        self.assertIn("answer", store.spool())
        self.failed(store.do("add", "c", 1, seconds=20), "STORE_UNREACHABLE")
        self.relay.to = dead
        wait_for(lambda: store.do("add", "d", 1)["result"] == "ok" or None, 20)
        self.assertEqual((store.value("b"), store.value("c")), (2, None), store.log_text())

    def test_many_cuts(self):
        """A hundred groups, each tenth cut here or there: every one is counted once."""
        store = self.good(url=self.through)
        seen = [0]

        def watch(data):
            if COMMIT not in data:
                return None
            seen[0] += 1
            return {3: "cut", 7: "pass-cut"}.get(seen[0] % 10)
        self.relay.watch = watch
        sums = {"ok": 0, "uncertain": 0, "failed": 0}
        for _ in range(60):
            sums[store.do("add", "sum", 1)["result"]] += 1
        self.relay.watch = None
        self.assertEqual(sums["failed"], 0)
        self.assertEqual(store.value("sum"), 60, sums)


class FullDisk(LoopTest):
    """A small file system below a tablespace."""

    def setUp(self):
        super().setUp()
        if os.geteuid() != 0 or not self.mount():
            self.skipTest("needs to mount a small file system")

    def mount(self):
        self.small = os.path.join(self.cluster.folder, "small")
        os.makedirs(self.small, exist_ok=True)
        if os.system(f"mount -t tmpfs -o size=12m tmpfs {self.small} 2>/dev/null") != 0:  # needs the right to
            return False
        self.addCleanup(os.system, f"umount -l {self.small}")
        place = os.path.join(self.small, "space")
        os.mkdir(place)
        os.chown(place, self.cluster.user.pw_uid, self.cluster.user.pw_gid)
        self.cluster.sql(f"CREATE TABLESPACE small LOCATION '{place}'")
        self.cluster.sql(f"GRANT CREATE ON TABLESPACE small TO {ROLE}")
        self.cluster.sql(f"ALTER DATABASE {self.database} SET default_tablespace = small")
        self.addCleanup(self.free)
        return True

    def free(self):
        self.cluster.sql(f"DROP DATABASE {self.database} WITH (FORCE)")
        self.cluster.sql("DROP TABLESPACE small")

    def test_full(self):
        store = self.good()
        self.ok(store.do("put", "a", 1))
        full = None
        for i in range(60):
            answer = store.do("pad", f"big{i}", 500000)
            if answer["result"] != "ok":
                full = answer
                break
        self.failed(full, "STORE_FULL")
        self.assertEqual(store.value("a"), 1)
        store.do("put", "later", 1, spool="answer")
        self.assertIn("answer", store.spool())
        os.system(f"mount -o remount,size=60m {self.small}")  # the operator makes room
        wait_for(lambda: store.do("add", "more", 1)["result"] == "ok" or None, 20)


if __name__ == "__main__":
    unittest.main()
