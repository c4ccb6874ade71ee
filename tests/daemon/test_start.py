"""A start with a store that is large: the daemon vends before the whole file was looked at, does nothing by itself and
changes nothing before that, and ends when the file turns out to be damaged."""
import hashlib
import json
import os
import sqlite3
import time
import unittest

from harness import GrantdTest, Rpc, wait_for

LARGE = 80 * 1024 * 1024  # more than GD_STORE_CHECK_FIRST
LONG_MS = 1500


class Start(GrantdTest):
    def grow(self):
        """Room that nothing uses."""
        with sqlite3.connect(self.db) as database:
            database.execute("CREATE TABLE filler (b bytea NOT NULL)")
            database.executemany("INSERT INTO filler (b) VALUES (zeroblob(?))", [(1 << 20,)] * (LARGE >> 20))
        database.close()

    def events(self):
        with open(self.box.log_path, encoding="utf-8") as file:
            return [json.loads(line) for line in file if line.startswith("{")]

    def has(self, event, since=0):
        return [e for e in self.events()[since:] if e["event"] == event]

    def prepare(self, **settings):
        server = self.box.accounting()
        self.box.policy_app(server, "overlap", **settings)
        self.box.start()
        self.db = os.path.join(self.box.state, "grantd.db")
        self.grant = self.box.consent("overlap")
        self.token = self.rpc.call("grant.token", grant=self.grant)["access_token"]
        self.assertEqual(self.box.daemon.stop(), 0)
        self.grow()
        return server

    def test_whole(self):
        self.prepare(at_ttl=600)
        self.box.start()
        self.assertEqual(self.rpc.call("grant.token", grant=self.grant)["access_token"], self.token)
        self.rpc.call("client.create", name="Beside")  # a change waits for the look, and is then made
        wait_for(lambda: self.has("store.whole"))
        self.rpc.call("grant.refresh", grant=self.grant)
        self.assertNotEqual(self.rpc.call("grant.token", grant=self.grant)["access_token"], self.token)

    def test_acts_after_the_look(self):
        """A refresh that came due while the daemon was away is made once the file is known to be whole."""
        self.prepare(at_ttl=8)
        time.sleep(8)
        self.box.start()
        wait_for(lambda: self.has("store.whole"))
        wait_for(lambda: self.rpc.call("grant.get", grant=self.grant)["grant"]["layers"]["token"]["gen"] > 1)

    def lengthen(self, number):
        """Many rows in one table take long to look at."""
        with sqlite3.connect(self.db) as database:
            database.execute(f"CREATE TABLE long{number} (a bigint NOT NULL PRIMARY KEY, b bytea NOT NULL)")
            database.execute("WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1200000) "
                             f"INSERT INTO long{number} SELECT i, randomblob(60) FROM n")
            database.execute(f"CREATE INDEX long{number}_b ON long{number} (b)")
        database.close()

    def test_stopped_meanwhile(self):
        """Whoever stops the daemon does not wait for the look to end, nor for what waits behind it."""
        self.prepare(at_ttl=600)
        for number in range(20):  # until it takes longer than what is done meanwhile below
            self.lengthen(number)
            since = len(self.events())
            self.box.start()
            wait_for(lambda since=since: self.has("store.whole", since), 120)
            self.assertEqual(self.box.daemon.stop(), 0)
            if self.has("store.whole", since)[0]["took_ms"] > LONG_MS:
                break
        self.box.start()
        before = len(self.events())
        line = Rpc(self.box.socket_path)
        line.send("client.create", name="Waits")
        time.sleep(0.1)  # it has been taken
        self.assertEqual(self.box.daemon.stop(60), 0)
        line.close()
        self.assertFalse(self.has("store.whole", before) or self.has("start.failed", before))
        os.unlink(self.db)  # looking at all of it takes longer than the test

    def damage(self):
        """The page of a table that a start does not read."""
        with sqlite3.connect(self.db) as database:
            root = database.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'surfaces_by_grant'").fetchone()[0]
        database.close()
        with open(self.db, "r+b") as file:
            file.seek((root - 1) * 4096)
            file.write(b"\x5a" * 1500)
        with open(self.db, "rb") as file:
            return hashlib.sha256(file.read()).hexdigest()

    def spool(self):
        with open(os.path.join(self.box.state, "spool"), "rb") as file:
            return file.read()

    def test_damaged(self):
        """Neither the file is touched nor the spool, which has what a backup that is restored now will lack."""
        self.prepare(at_ttl=600)
        before, spool = self.damage(), self.spool()
        self.assertTrue(spool)
        self.box.write_config()
        self.box.start()
        self.assertEqual(self.box.daemon.wait_dead(60), 1)
        failed = self.has("start.failed")
        self.assertEqual([e["reason"] for e in failed], ["STORE_CORRUPT"])
        with open(self.db, "rb") as file:
            self.assertEqual(hashlib.sha256(file.read()).hexdigest(), before)
        self.assertEqual(self.spool(), spool)
        os.unlink(self.db)  # nothing whole for the end of the test to look at


if __name__ == "__main__":
    unittest.main()
