"""Backup, restore and the way between the engines, with a real PostgreSQL: one format for both, nothing lost, nothing
spent twice, whenever it is killed."""
import os
import subprocess
import sys
import unittest

from harness import BUILD, ROOT, Gone, GrantdTest, Rpc, RpcError, program, wait_for
from test_backup import Stream

sys.path.insert(0, os.path.join(ROOT, "tests", "pg"))
from cluster import Cluster  # noqa: E402

FAULTS = "GRANTD_FAULTS:BOOL=ON" in open(os.path.join(BUILD, "CMakeCache.txt"), encoding="utf-8").read()
APPS = ("none", "strict", "family")


class PgOps(GrantdTest):
    @classmethod
    def setUpClass(cls):
        cls.cluster = Cluster()
        cls.cluster.__enter__()

    @classmethod
    def tearDownClass(cls):
        cls.cluster.__exit__(None, None, None)

    def setUp(self):
        super().setUp()
        self.modules = os.path.join(BUILD, "store")
        self.server = self.box.accounting()
        for app in APPS:
            self.box.policy_app(self.server, app, at_ttl=600)
        self.url = self.cluster.database()
        self.backups = os.path.join(self.box.folder, "backups")
        os.mkdir(self.backups)

    def configure(self, url=None, path=None):
        to = f"url: '{url}'" if url else f"path: {path}" if path else f"path: {self.box.state}/grantd.db"
        self.box.extra = f"store: {{{to}, module_dir: {self.modules}}}\n"
        self.box.write_config()

    def begin(self, url=None):
        self.configure(url)
        self.box.start()
        self.grants = {app: self.box.consent(app) for app in APPS}

    @property
    def rpc(self):
        return self.box.daemon.rpc

    def offline(self, *args, code=0):
        done = subprocess.run([program("grantd"), "--config", self.box.config_path, "--own-platforms", *args],
                              env={k: v for k, v in os.environ.items() if not k.startswith("GRANTD_")},
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False)
        self.assertEqual(done.returncode, code, done.stderr + done.stdout)
        return done

    def migrate(self, to):
        self.started = self.rpc.call("daemon.status")["started_at"]
        return self.rpc.call("store.migrate", to=to)

    def again(self):
        self.box.daemon.close()

        def answers():
            try:
                rpc = Rpc(self.box.socket_path)
            except OSError:
                return None
            try:
                return rpc.call("daemon.status")
            except (RpcError, Gone, OSError):
                return None
            finally:
                rpc.close()
        wait_for(lambda: (answers() or {}).get("started_at", self.started) != self.started, 30)

    def engine(self):
        return self.rpc.call("daemon.status")["store"]["engine"]

    def not_started(self, word):
        with self.assertRaises(AssertionError):
            self.box.start(config=False)
        self.box.daemon.wait_dead()
        self.assertIn(word, self.box.log_tail())

    def all_alive(self):
        self.assertEqual(self.rpc.call("store.doubts")["restored"], None)
        for grant in self.grants.values():
            self.rpc.call("grant.token", grant=grant)
            self.rpc.call("grant.refresh", grant=grant)
            self.assertEqual(self.box.grant(grant)["state"], "active")
        families = self.server.get("/_ctl/report")["families"]
        self.assertEqual([f["reuse_presented"] for f in families if f["client_id"] != "none"], [0, 0])

    # -- from one engine to the other

    def test_there_and_back(self):
        self.begin()
        self.assertEqual(self.engine(), "sqlite")
        self.configure(self.url)
        self.migrate(self.url)
        self.again()
        self.assertEqual(self.engine(), "postgresql")
        self.all_alive()
        self.assertTrue(self.rpc.call("store.check")["ok"])
        found = self.rpc.call("store.check", **{"with": os.path.join(self.box.state, "grantd.db")})
        self.assertFalse(found["ok"])  # it lives on: compared with the file, not with itself
        self.assertLessEqual({"credentials"}, {t["table"] for t in found["tables"] if not t["same"]})
        back = os.path.join(self.box.folder, "back")
        os.mkdir(back, 0o700)
        with self.assertRaises(RpcError) as e:  # the old file is kept, not written over
            self.rpc.call("store.migrate", to=os.path.join(self.box.state, "grantd.db"))
        self.assertEqual(e.exception.reason, "STORE_NOT_EMPTY")
        self.assertEqual(self.box.daemon.stop(), 0)
        for name in ("grantd.db", "keyring.db"):
            os.rename(os.path.join(self.box.state, name), os.path.join(back, name))
        self.box.start()
        self.configure()
        self.migrate(os.path.join(self.box.state, "grantd.db"))
        self.again()
        self.assertEqual(self.engine(), "sqlite")
        found = self.rpc.call("store.check", **{"with": self.url})
        self.assertLessEqual({t["table"] for t in found["tables"] if not t["same"]}, {"nodes", "events", "meta"})
        self.all_alive()
        self.assertEqual(self.box.daemon.stop(), 0)
        self.configure(self.url)
        self.not_started("STORE_MOVED")

    @unittest.skipUnless(FAULTS, "no fault points in this build")
    def test_killed(self):
        self.begin()
        for fault, moved, whole in (("move.arriving:kill9", False, False), ("move.table:kill9:4", False, False),
                                    ("move.verified:kill9", False, False), ("move.moved:kill9:1", False, False),
                                    ("move.moved:kill9:2", True, False), ("move.whole:kill9:2", True, True)):
            with self.subTest(fault):
                url = self.cluster.database()
                if self.box.daemon.alive():
                    self.assertEqual(self.box.daemon.stop(), 0)
                old = os.path.join(self.box.folder, fault.replace(":", "-"))
                os.mkdir(old, 0o700)
                for name in os.listdir(self.box.state):
                    if name.endswith(".installation"):  # each round goes to a database of its own
                        os.remove(os.path.join(self.box.state, name))
                self.configure()
                self.box.start(faults=fault)
                self.migrate(url)
                self.box.daemon.wait_dead()
                self.configure(url)
                if whole:
                    self.box.start(config=False)
                    self.assertEqual(self.box.daemon.stop(), 0)
                else:
                    self.not_started("STORE_UNFINISHED")
                self.configure()
                if moved or "moved" in fault:
                    self.not_started("STORE_MOVED")
                else:
                    self.box.start(config=False)
                    self.all_alive()
                    self.assertEqual(self.box.daemon.stop(), 0)
                self.offline("--migrate-to", url)
                self.not_started("STORE_MOVED")
                self.configure(url)
                self.box.start()
                self.all_alive()
                self.assertEqual(self.box.daemon.stop(), 0)
                for name in ("grantd.db", "keyring.db"):  # and back, for the next round
                    os.rename(os.path.join(self.box.state, name), os.path.join(old, name))
                self.offline("--migrate-to", os.path.join(self.box.state, "grantd.db"))
                self.configure()
                self.box.start()
                self.all_alive()

    def test_nobody_there(self):
        self.begin()
        with self.assertRaises(RpcError) as e:
            self.rpc.call("store.migrate", to="postgresql://grantd@127.0.0.1:1/nothing")
        self.assertEqual(e.exception.reason, "STORE_UNREACHABLE")
        self.all_alive()

    # -- backup and restore

    def backup(self):
        data, keys = os.path.join(self.backups, "data"), os.path.join(self.backups, "keys")
        self.rpc.call("store.backup", to=data, keyring_to=keys)
        self.assertTrue(self.rpc.call("store.check", backup=data)["ok"])
        return data, keys

    def test_one_format(self):
        """A backup of PostgreSQL fills an embedded store, and the other way round; the rows are the same."""
        self.begin(self.url)
        data, keys = self.backup()
        tables = Stream(os.path.join(data, "tables")).tables()
        self.assertEqual(len(tables["credentials"][1]), 3)
        self.assertEqual(self.box.daemon.stop(), 0)
        self.configure()
        self.offline("--restore", data, "--restore-keyring", keys)
        self.box.start()
        self.assertEqual(self.engine(), "sqlite")
        self.assertEqual({one["app"] for one in self.rpc.call("store.doubts")["doubts"]}, {"strict", "family"})
        self.rpc.call("grant.refresh", grant=self.grants["none"])
        self.rpc.call("store.accept")
        wait_for(lambda: all(self.box.grant(g)["state"] == "active" for g in self.grants.values()))
        self.backups = os.path.join(self.backups, "again")
        os.mkdir(self.backups)
        data, keys = self.backup()
        self.assertEqual(self.box.daemon.stop(), 0)
        fresh = self.cluster.database()
        os.remove(os.path.join(self.box.state, "grantd.db.installation"))  # of the other database
        os.remove(os.path.join(self.box.state, "keyring.db.installation"))
        self.configure(fresh)
        self.offline("--restore", data, "--restore-keyring", keys)
        self.assertIn("STORE_NOT_EMPTY", self.offline("--restore", data, code=1).stderr)
        self.box.start()
        self.assertEqual(self.engine(), "postgresql")
        self.assertEqual({one["app"] for one in self.rpc.call("store.doubts")["doubts"]}, {"strict", "family"})
        for grant in self.grants.values():
            self.rpc.call("grant.token", grant=grant)

    def test_a_database_set_back(self):
        """The database was restored from an old dump behind our back: the node's own witness knows better."""
        self.begin(self.url)
        name = self.url.split("/")[3].split("?")[0]
        dump = self.cluster.run("pg_dump", "-h", self.cluster.folder, "-p", str(self.cluster.port), "-U", "postgres",
                                "--clean", "--if-exists", name)
        self.rpc.call("grant.refresh", grant=self.grants["strict"])
        self.assertEqual(self.box.daemon.stop(), 0)
        for end in os.listdir(self.box.state):
            if end.startswith("spool"):
                os.truncate(os.path.join(self.box.state, end), 0)
        script = os.path.join(self.cluster.folder, "dump.sql")
        with open(script, "w", encoding="utf-8") as file:
            file.write(dump)
        os.chmod(script, 0o644)
        self.cluster.run("psql", "-Xq", "-h", self.cluster.folder, "-p", str(self.cluster.port), "-U", "postgres", "-d",
                         name, "-f", script)
        self.box.start()
        found = self.rpc.call("store.doubts")
        self.assertEqual(found["restored"]["why"], "set_back")
        self.assertEqual({one["app"] for one in found["doubts"]}, {"strict", "family"})
        self.rpc.call("grant.refresh", grant=self.grants["none"])


if __name__ == "__main__":
    unittest.main()
