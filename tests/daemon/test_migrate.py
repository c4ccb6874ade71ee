"""A living installation moves into another store: nothing is lost, nothing is spent twice, whenever it is killed; and at
no moment could two daemons work on the two stores."""
import json
import os
import shutil
import subprocess
import threading
import unittest

from harness import BUILD, Gone, GrantdTest, Rpc, RpcError, program, wait_for

FAULTS = "GRANTD_FAULTS:BOOL=ON" in open(os.path.join(BUILD, "CMakeCache.txt"), encoding="utf-8").read()
APPS = ("none", "strict", "family")


class Migrate(GrantdTest):
    def setUp(self):
        super().setUp()
        self.server = self.box.accounting()
        for app in APPS:
            self.box.policy_app(self.server, app, at_ttl=600)
        self.box.start()
        self.grants = {app: self.box.consent(app) for app in APPS}
        self.new = os.path.join(self.box.state, "new.db")

    def configure(self, path):
        self.box.extra = f"store: {{path: {path}}}\n" if path else ""
        self.box.write_config()

    def migrate(self, **params):
        self.started = self.box.daemon.rpc.call("daemon.status")["started_at"]
        return self.box.daemon.rpc.call("store.migrate", to=self.new, **params)

    def offline(self, code=0, faults=None):
        env = {k: v for k, v in os.environ.items() if not k.startswith("GRANTD_")}
        if faults:
            env["GRANTD_FAULT"] = faults
        done = subprocess.run([program("grantd"), "--config", self.box.config_path, "--own-platforms", "--migrate-to",
                               self.new], env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=60, check=False)
        self.assertEqual(done.returncode, code, done.stderr + done.stdout)
        return done

    def again(self):
        """The daemon has started itself again and answers."""
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
        wait_for(lambda: (answers() or {}).get("started_at", self.started) != self.started, 20)

    def not_started(self, word):
        with self.assertRaises(AssertionError):
            self.box.start(config=False)
        self.box.daemon.wait_dead()
        self.assertIn(word, self.box.log_tail())

    def all_alive(self):
        rpc = self.box.daemon.rpc
        self.assertEqual(rpc.call("store.doubts")["restored"], None)
        for app, grant in self.grants.items():
            rpc.call("grant.token", grant=grant)
            rpc.call("grant.refresh", grant=grant)
            self.assertEqual(self.box.grant(grant)["state"], "active")
        families = self.server.get("/_ctl/report")["families"]
        self.assertEqual([f["reuse_presented"] for f in families if f["client_id"] != "none"], [0, 0])
        self.assertTrue(all(f["last_delivered_usable"] for f in families))

    # -- well

    def test_while_it_works(self):
        """Tokens are renewed until the last moment; the configuration is ready, so nobody has to do anything."""
        over, refreshed = threading.Event(), []

        def work():
            while not over.is_set():
                try:
                    rpc = Rpc(self.box.socket_path)
                    while not over.is_set():
                        rpc.call("grant.refresh", grant=self.grants["strict"])
                        refreshed.append(1)
                except (RpcError, Gone, OSError):
                    pass

        thread = threading.Thread(target=work)
        thread.start()
        try:
            wait_for(lambda: len(refreshed) > 3)
            self.configure(self.new)
            said = self.migrate()
            self.assertEqual(said["to"], self.new)
            self.again()
            before = len(refreshed)
            wait_for(lambda: len(refreshed) > before + 3)
        finally:
            over.set()
            thread.join()
        self.all_alive()
        self.assertEqual(self.box.daemon.stop(), 0)
        self.configure(None)
        self.not_started("STORE_MOVED")
        self.assertIn(self.new, self.box.log_tail())
        self.box.integrity()

    def test_by_grantctl_and_back(self):
        """The configuration is changed afterwards. And the way back, into a file of its own."""
        shown = self.box.ctl("store", "migrate", "--to", self.new, check=False)
        self.assertEqual(shown.returncode, 0, shown.stderr)
        self.assertIn("STORE_MOVED", shown.stdout)
        self.assertEqual(self.box.daemon.wait_dead(), 1)
        self.assertIn("STORE_MOVED", self.box.log_tail())
        self.configure(self.new)
        self.box.start()
        self.all_alive()
        old = os.path.join(self.box.state, "grantd.db")
        lives = self.box.ctl("store", "check", "--with", old, "--json", check=False)  # it lives on
        self.assertEqual((lives.returncode, json.loads(lives.stdout)["ok"]), (5, False))
        self.new = os.path.join(self.box.state, "back.db")
        self.configure(self.new)
        self.migrate()
        self.again()
        self.all_alive()

    def test_the_same_rows(self):
        self.configure(self.new)
        self.assertEqual(self.box.daemon.stop(), 0)
        self.configure(None)
        self.assertIn("everything lives in", self.offline().stdout)
        self.offline()  # once more: nothing is left to be done
        self.configure(self.new)
        self.box.start()
        found = self.box.daemon.rpc.call("store.check", **{"with": os.path.join(self.box.state, "grantd.db")})
        differ = {t["table"] for t in found["tables"] if not t["same"]}
        self.assertLessEqual(differ, {"nodes", "events", "meta"})  # only what a start changes
        self.all_alive()

    # -- not well

    def test_refused(self):
        def refused(reason, **params):
            with self.assertRaises(RpcError) as e:
                self.box.daemon.rpc.call("store.migrate", **params)
            self.assertEqual(e.exception.reason, reason)

        refused("PARAM_INVALID", to="new.db")
        refused("PARAM_INVALID", to="postgresql://me:secret@db.example/x")
        refused("PARAM_INVALID", to="postgresql://me@db.example/x?password=secret")
        refused("PARAM_INVALID", to=os.path.join(self.box.state, "grantd.db"))  # into itself
        refused("STORE_FAILED", to=os.path.join(self.box.state, "no", "where.db"))
        shutil.copy(os.path.join(self.box.state, "grantd.db"), self.new)
        with open(os.path.join(self.box.state, "grantd.db-wal"), "rb") as wal, open(self.new + "-wal", "wb") as copy:
            copy.write(wal.read())
        refused("STORE_NOT_EMPTY", to=self.new)
        self.all_alive()  # nobody noticed

    def test_failed_underway(self):
        """What goes wrong after the drain: the daemon goes on with the old store."""
        if not FAULTS:
            self.skipTest("no fault points in this build")
        self.assertEqual(self.box.daemon.stop(), 0)
        self.box.start(faults="move.fails:eio")
        self.migrate()
        self.again()
        self.all_alive()
        self.assertIn("store.migrate_failed", open(self.box.log_path, encoding="utf-8").read())

    def test_ended_meanwhile(self):
        """Somebody stops the daemon before it has begun: nothing moves."""
        self.migrate()
        self.assertEqual(self.box.daemon.stop(), 0)
        self.box.start()
        self.all_alive()

    @unittest.skipUnless(FAULTS, "no fault points in this build")
    def test_killed(self):
        points = [("move.arriving:kill9", False), ("move.table:kill9:1", False), ("move.table:kill9:6", False),
                  ("move.verified:kill9", False), ("move.moved:kill9", True), ("move.whole:kill9", True)]
        path = None
        for number, (fault, moved) in enumerate(points):
            with self.subTest(fault):
                self.assertEqual(self.box.daemon.stop(), 0)
                self.configure(path)
                self.new = os.path.join(self.box.state, f"new{number}.db")
                self.box.start(faults=fault)
                self.migrate()
                self.box.daemon.wait_dead()
                if moved:
                    self.not_started("STORE_MOVED")
                else:
                    self.box.start(config=False)  # the old store serves on, and is changed meanwhile
                    self.all_alive()
                    self.assertEqual(self.box.daemon.stop(), 0)
                if fault != "move.whole:kill9":
                    self.configure(self.new)
                    self.not_started("STORE_UNFINISHED")
                    self.assertIn("grantd --migrate-to", self.box.log_tail())
                    self.configure(path)
                self.offline()
                self.not_started("STORE_MOVED")
                path = self.new
                self.configure(path)
                self.box.start()
                self.all_alive()


if __name__ == "__main__":
    unittest.main()
