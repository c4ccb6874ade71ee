"""The daemon while its PostgreSQL is away, slow, full, closed to it or somebody else's: each has its word, what is known
to be valid is vended all the while, the loop is never kept for longer than LOOP_MS, nothing is asked of a platform that
could not be kept, and once it is mended all goes on by itself. Run with GRANTD_TEST_STORE=postgresql."""
import contextlib
import os
import select
import subprocess
import threading
import time
import unittest

from harness import BUILD, SHARED, GrantdTest, Rpc, RpcError, the_cluster, wait_for
import cluster  # harness knows where it is

LOOP_MS = 500  # half the deadline: a loop that waited for the database would be kept for all of it
TRIES = 3  # the machine may have other work, a loop that is kept is kept every time


class Vendor:
    """A program that asks for a token again and again; what it heard, and for how long the loop did not turn."""

    def __init__(self, box, grant):
        self.line, self.grant, self.over = Rpc(box.socket_path), grant, threading.Event()
        self.count, self.longest, self.refusals = 0, 0, []
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        while not self.over.is_set():
            try:
                self.line.call("grant.token", grant=self.grant)  # of a new generation: from the disk
                self.count += 1
            except RpcError as e:
                self.refusals.append(e.reason)
            began = time.monotonic()
            self.line.call("daemon.status")
            self.longest = max(self.longest, (time.monotonic() - began) * 1000)
            time.sleep(0.002)

    def stop(self):
        self.over.set()
        self.thread.join(20)
        self.line.close()


class PgTest(GrantdTest):
    def setUp(self):
        if not SHARED:
            self.fail("run it with GRANTD_TEST_STORE=postgresql")
        super().setUp()
        self.pg, self.name = the_cluster(), the_cluster().name_of(self.box.store["url"])
        path, _ = self.box.secret_file("database", cluster.PASSWORD)
        self.box.store.update(url=self.at(), password={"file": path}, deadline_ms=1000)
        self.server = self.box.accounting()
        self.box.policy_app(self.server, "none", at_ttl=600)

    def at(self, name=None, port=None):
        """By TCP, and so with a password, which stands in a file."""
        return self.pg.url(name or self.name, tcp=True, port=port).replace(":" + cluster.PASSWORD, "")

    def sql(self, text):
        return self.pg.sql(text, self.name)

    def throw_out(self):
        """Everybody of the daemon; the next connection is a new one."""
        self.pg.sql(f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{self.name}' AND "
                    f"application_name LIKE 'grantd%'")


class Working(PgTest):
    def setUp(self):
        super().setUp()
        self.box.start()
        self.grant = self.box.consent("none")
        self.rpc.call("grant.token", grant=self.grant)

    def accepted(self):
        return self.server.get("/_ctl/report")["families"][-1]["accepted"]

    def meanwhile(self, what):
        """what() beside a program that is vended to; at once, every time."""
        for left in range(TRIES - 1, -1, -1):
            vendor = Vendor(self.box, self.grant)
            wait_for(lambda: vendor.count > 10)
            try:
                what()
                count = vendor.count
                wait_for(lambda: vendor.count > count)
            finally:
                vendor.stop()
            self.assertEqual(vendor.refusals, [])
            if vendor.longest <= LOOP_MS or not left:
                break
        self.assertLessEqual(vendor.longest, LOOP_MS)

    def refuses(self, reason):
        """A refresh, and what a person wants, hear the word; the platform hears nothing."""
        before = self.accepted()
        for method, params in (("grant.refresh", {"grant": self.grant}), ("client.create", {"name": "Berta"})):
            began = time.monotonic()
            self.refused(reason, method, **params)
            self.assertLess(time.monotonic() - began, 15)
        self.assertEqual(self.accepted(), before)

    def goes_on(self):
        def once():
            try:
                return self.rpc.call("grant.refresh", grant=self.grant)
            except RpcError:
                return None
        wait_for(once, 20, 0.1)

    def broken(self, reason, breaks, mends):
        def what():
            breaks()
            try:
                wait_for(lambda: self.says(reason), 15, 0.05)
                self.refuses(reason)
            finally:
                mends()
            self.goes_on()
        self.meanwhile(what)

    def says(self, reason):
        try:
            self.rpc.call("client.create", name="Carla")
        except RpcError as e:
            return e.reason == reason
        return False

    def test_connections_cut(self):
        """All of them, and again while they are being made: a refresh comes through, and nobody notices."""
        def what():
            for _ in range(3):
                self.throw_out()
                self.rpc.call("grant.refresh", grant=self.grant)
        self.meanwhile(what)

    def test_away(self):
        self.broken("STORE_UNREACHABLE", lambda: self.pg.shut(self.box.store["url"]),
                    lambda: self.pg.unshut(self.box.store["url"]))

    def test_password_changed(self):
        def change(to):
            self.pg.sql(f"ALTER ROLE {cluster.ROLE} PASSWORD '{to}'")
            self.throw_out()
        self.addCleanup(change, cluster.PASSWORD)
        self.broken("STORE_DENIED", lambda: change("another"), lambda: change(cluster.PASSWORD))

    def test_rights_taken(self):
        tables = "ON ALL TABLES IN SCHEMA grantd"
        self.broken("STORE_DENIED", lambda: self.sql(f"REVOKE INSERT, UPDATE, DELETE {tables} FROM {cluster.ROLE}"),
                    lambda: self.sql(f"GRANT ALL {tables} TO {cluster.ROLE}"))

    def test_made_read_only(self):
        def make(to):
            self.pg.sql(f"ALTER DATABASE {self.name} SET default_transaction_read_only = {to}")
            self.throw_out()
        self.broken("STORE_READ_ONLY", lambda: make("on"), lambda: make("off"))

    def test_answers_of_thirty_seconds(self):
        """Somebody holds what is to be changed."""
        with self.pg.session(self.name) as other:
            self.broken("STORE_SLOW", lambda: other("BEGIN; LOCK TABLE grantd.clients, grantd.credentials IN SHARE MODE"),
                        lambda: other("ROLLBACK"))

    def test_frozen(self):
        """The server's processes stand still; the kernel goes on acknowledging what is sent."""
        stopped = []

        def freeze():
            stopped[:] = [pid for pid, _ in self.pg.backends(self.name)]
            for pid in stopped:
                self.pg.stop_process(pid)

        def thaw():
            for pid in stopped:
                with contextlib.suppress(ProcessLookupError):
                    self.pg.continue_process(pid)

        def what():
            freeze()
            try:
                self.refused("STORE_SLOW", "client.create", name="Berta")
            finally:
                thaw()
            self.goes_on()
        self.addCleanup(thaw)
        self.meanwhile(what)

    def test_long_read(self):
        """Tokens that are not in memory come from the store, past a read that takes for ever."""
        self.box.limits["cache_bytes"] = 0
        self.box.store["deadline_ms"] = 8000
        self.assertEqual(self.box.daemon.stop(), 0)
        self.box.start()
        slow = Rpc(self.box.socket_path)
        with self.pg.session(self.name) as other:
            other("BEGIN; LOCK TABLE grantd.requests IN ACCESS EXCLUSIVE MODE")
            slow.send("request.list")
            wait_for(lambda: self.sql("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'") != "0")
            self.rpc.call("grant.token", grant=self.grant)
            self.assertEqual(select.select([slow.socket], [], [], 0)[0], [], "the token waited for the end of the other")
            with self.assertRaises(RpcError) as e:
                slow.reply()
            self.assertEqual(e.exception.reason, "STORE_SLOW")
            other("ROLLBACK")
        slow.close()

    def test_somebody_elses(self):
        """Behind the address there is another installation now: nothing is ever written to it, and a start says so."""
        def what():
            self.sql("UPDATE grantd.installation SET id = 'somebody'")
            self.throw_out()
            wait_for(lambda: self.says("STORE_FOREIGN"), 15, 0.05)
            self.refuses("STORE_FOREIGN")
        rows = self.sql("SELECT count(*) FROM grantd.events")
        what_id = self.sql("SELECT id FROM grantd.installation")
        self.meanwhile(what)
        self.assertEqual(self.sql("SELECT count(*) FROM grantd.events"), rows)
        self.assertEqual(self.box.daemon.stop(), 0)
        with self.assertRaisesRegex(AssertionError, "STORE_FOREIGN"):
            self.box.start()
        self.sql(f"UPDATE grantd.installation SET id = '{what_id}'")
        self.box.start()
        self.goes_on()


class Full(PgTest):
    """A small file system below a tablespace of the server."""

    def setUp(self):
        super().setUp()
        if os.geteuid() != 0 or not self.mount():
            self.skipTest("needs to mount a small file system")
        self.box.start()
        self.grant = self.box.consent("none")

    def mount(self):
        small = os.path.join(self.pg.folder, "small")
        os.makedirs(small, exist_ok=True)
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", small], stderr=subprocess.DEVNULL,
                          check=False).returncode:
            return False
        self.addCleanup(subprocess.run, ["umount", "-l", small], check=False)
        place = os.path.join(small, "space")
        os.mkdir(place)
        os.chown(place, self.pg.user.pw_uid, self.pg.user.pw_gid)
        self.pg.sql(f"CREATE TABLESPACE small LOCATION '{place}'")
        self.pg.sql(f"GRANT CREATE ON TABLESPACE small TO {cluster.ROLE}")
        self.pg.sql(f"ALTER DATABASE {self.name} SET default_tablespace = small")
        self.addCleanup(self.pg.sql, "DROP TABLESPACE small")
        self.addCleanup(self.pg.drop, self.box.store["url"])
        self.addCleanup(self.box.end)
        return True

    def fill(self):
        """To the last page, and what pages have left, too."""
        with contextlib.suppress(subprocess.CalledProcessError):
            self.sql("CREATE TABLE filler TABLESPACE small AS SELECT repeat('x', 2000) FROM generate_series(1, 100000)")
        self.sql("CREATE TABLE IF NOT EXISTS filler (x text) TABLESPACE small")
        for size in (100000, 1000, 10, 1):
            with contextlib.suppress(subprocess.CalledProcessError):
                self.sql("DO $$BEGIN LOOP INSERT INTO filler SELECT repeat('x', 2000) FROM generate_series(1, "
                         f"{size}); COMMIT; END LOOP; END$$")

    def test_full(self):
        vendor = Vendor(self.box, self.grant)
        wait_for(lambda: vendor.count > 10)
        try:
            self.fill()
            words = set()
            for number in range(3000):
                try:
                    self.rpc.call("client.create", name=f"client {number} " + "x" * 100)
                except RpcError as e:
                    words.add(e.reason)
                    break
            self.assertEqual(words, {"STORE_FULL"})
            self.sql("DROP TABLE filler")
            self.rpc.call("client.create", name="There is room")
            self.rpc.call("grant.refresh", grant=self.grant)
        finally:
            vendor.stop()
        self.assertEqual(vendor.refusals, [])
        self.assertLessEqual(vendor.longest, 5 * LOOP_MS)  # the machine is busy filling; drive.c measures the loop


class Starting(PgTest):
    def not_started(self, reason, **store):
        self.box.store.update(store)
        with self.assertRaises(AssertionError):
            self.box.start()
        self.assertEqual(self.box.daemon.wait_dead(20), 1)
        self.assertIn(f'"reason":"{reason}"', self.box.log_tail(1000))

    def test_what_is_written_in_the_configuration(self):
        there, password = self.box.store["url"], self.box.store["password"]
        wrong, _ = self.box.secret_file("wrong")
        self.not_started("STORE_UNREACHABLE", url=self.at(port=cluster.free_port()))
        self.not_started("STORE_UNREACHABLE", url=self.at("no_such_database"))
        self.not_started("STORE_DENIED", url=there, password={"file": wrong})
        self.box.store["password"] = password
        self.not_started("STORE_CERT", url=there + "?sslmode=verify-full")
        self.not_started("CONFIG_VALUE_INVALID", url="mysql://db.example/grantd")
        self.not_started("STORE_MODULE", url=there, module_dir=self.box.inputs)
        self.box.store["module_dir"] = os.path.join(BUILD, "store")
        self.box.start()

    def test_what_the_database_is(self):
        self.pg.sql(f"ALTER DATABASE {self.name} SET default_transaction_read_only = on")
        self.not_started("STORE_READ_ONLY")
        self.pg.sql(f"ALTER DATABASE {self.name} SET default_transaction_read_only = off")
        self.pg.sql(f"REVOKE CREATE ON DATABASE {self.name} FROM PUBLIC; ALTER DATABASE {self.name} OWNER TO postgres")
        self.not_started("STORE_DENIED")
        self.pg.sql(f"ALTER DATABASE {self.name} OWNER TO {cluster.ROLE}")
        self.box.start()
        self.assertEqual(self.box.daemon.stop(), 0)
        self.sql("INSERT INTO grantd.schema_migrations (version, name, done_at) VALUES (999, 'later', 1)")
        self.not_started("STORE_TOO_NEW")
        self.sql("DELETE FROM grantd.schema_migrations WHERE version = 999")
        self.box.start()

    def test_two_installations_on_one_schema(self):
        """A second one that finds the first one's database does not share it: it has another key."""
        self.box.start()
        self.assertEqual(self.box.daemon.stop(), 0)
        state = self.box.state
        self.box.state = os.path.join(self.box.folder, "other")
        os.mkdir(self.box.state, 0o700)
        self.not_started("KEY_WRONG")
        self.box.state = state
        self.box.start()


if __name__ == "__main__":
    unittest.main()
