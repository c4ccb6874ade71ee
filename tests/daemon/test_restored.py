"""A store that shows an older state than the platforms know: restored from a backup, or an old file put in its place.
Nothing that may have been spent since is spent again before somebody decides; all else goes on."""
import contextlib
import os
import shutil
import subprocess
import unittest

from harness import GrantdTest, RpcError, program, wait_for

FREE, HELD = ("none", "overlap"), ("grace", "strict", "family", "unknown")


class Restored(GrantdTest):
    def setUp(self):
        super().setUp()
        self.server = self.box.accounting()
        for policy in FREE + HELD[:3]:
            self.box.policy_app(self.server, policy, at_ttl=600)
        secret = self.box.app("unknown", provider="acct_unknown")
        self.server.post("/_ctl/client", {"client_id": "unknown", "secret": secret, "policy": "family", "at_ttl": 600})
        self.unknown_provider()
        self.box.start()
        self.backups = os.path.join(self.box.folder, "backups")
        os.mkdir(self.backups)

    def unknown_provider(self):
        from harness import AS_ORIGIN, description
        told = description("family", AS_ORIGIN)
        told["id"], told["refresh"]["retry_class"] = "acct_unknown", "unknown"
        self.box.provider(told)

    @property
    def rpc(self):
        return self.box.daemon.rpc

    def consents(self, *apps):
        return {app: self.box.consent(app) for app in apps or FREE + HELD}

    def backup(self, name="data", what="to"):
        return self.rpc.call("store.backup", **{what: os.path.join(self.backups, name)})["backups"][0]["dir"]

    def stop(self):
        self.assertEqual(self.box.daemon.stop(), 0, self.box.log_tail())

    def restore(self, *args, faults=None, code=0):
        env = {k: v for k, v in os.environ.items() if not k.startswith("GRANTD_")}
        if faults:
            env["GRANTD_FAULT"] = faults
        done = subprocess.run([program("grantd"), "--config", self.box.config_path, "--own-platforms", *args], env=env,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(done.returncode, code, done.stderr + done.stdout)
        return done

    def not_started(self, word):
        with self.assertRaises(AssertionError):
            self.box.start()
        self.box.daemon.wait_dead()
        self.assertIn(word, self.box.log_tail())

    def refused(self, reason, method, **params):
        with self.assertRaises(RpcError) as e:
            self.rpc.call(method, **params)
        self.assertEqual(e.exception.reason, reason)
        return e.exception

    def status(self, grant):
        return self.box.grant(grant)["layers"]["token"]["status"]

    def family(self, app):
        return next(f for f in self.server.get("/_ctl/report")["families"] if f["client_id"] == app)

    def doubts(self):
        return {one["app"]: one for one in self.rpc.call("store.doubts")["doubts"]}

    # -- restored from a backup

    def restored(self, *apps):
        """Consents, a backup, and after it each token is spent once more; then the backup is restored."""
        grants = self.consents(*apps)
        folder = self.backup()
        for grant in grants.values():
            self.rpc.call("grant.refresh", grant=grant)
        self.stop()
        self.box.take_away()
        os.truncate(os.path.join(self.box.state, "spool"), 0)  # it is emptied now and then
        said = self.restore("--restore", folder).stdout
        self.assertIn("the data is that of backup bk", said)
        self.before = {app: self.family(app)["presented_max"] for app in grants}
        self.box.start()
        return grants

    def test_what_is_held_and_what_goes_on(self):
        grants = self.restored()
        found = self.rpc.call("store.doubts")
        self.assertEqual(found["restored"]["why"], "backup")
        self.assertTrue(found["restored"]["backup"].startswith("bk"))
        self.assertEqual({one["app"] for one in found["doubts"]}, set(HELD))
        for one in found["doubts"]:
            self.assertEqual((one["grant"], one["reason"]), (grants[one["app"]], "CREDENTIAL_RESTORED"))
        for app in HELD:
            shown = self.box.grant(grants[app])
            self.assertEqual((shown["state"], shown["reason"], shown["owner"]),
                             ("at_risk", "CREDENTIAL_RESTORED", "operator"))
            self.rpc.call("grant.token", grant=grants[app])  # what lives is vended
            self.refused("CREDENTIAL_RESTORED", "grant.refresh", grant=grants[app])
            self.assertEqual(self.family(app)["presented_max"], self.before[app])
        for app in FREE:
            self.rpc.call("grant.refresh", grant=grants[app])
            self.assertEqual(self.box.grant(grants[app])["state"], "active")
        findings = self.rpc.call("daemon.doctor")["findings"]
        self.assertEqual({f["grant"] for f in findings}, {grants[app] for app in HELD})
        records = self.rpc.call("audit.list", limit=1000)["records"]
        (said,) = [r for r in records if r["act"] == "store.restored"]
        self.assertEqual(said["data"]["credentials"], len(HELD))
        self.assertIn("store.restored", [e["type"] for e in self.rpc.call("event.list", limit=1000)["events"]])
        self.assertEqual(self.rpc.call("daemon.status")["broker"]["by_state"]["restored"], len(HELD))
        # It is remembered, and said once.
        self.stop()
        self.box.start()
        self.assertEqual(set(self.doubts()), set(HELD))
        records = self.rpc.call("audit.list", limit=1000)["records"]
        self.assertEqual(len([r for r in records if r["act"] == "store.restored"]), 1)
        for app in HELD:
            self.assertEqual(self.family(app)["presented_max"], self.before[app])

    def test_accepted(self):
        grants = self.restored("strict", "family", "unknown")
        shown = self.box.ctl("grant", "accept", grants["strict"])["grant"]
        self.assertEqual(shown["layers"]["token"]["status"], "retrying")
        # It was spent, so the platform refuses it: tried, refused, confirmed, and only then a person is asked.
        wait_for(lambda: self.status(grants["strict"]) in ("quarantined", "needs_consent"))
        self.assertEqual(set(self.doubts()), {"family", "unknown"})
        self.assertEqual(self.box.ctl("grant", "accept", grants["strict"])["grant"]["id"], grants["strict"])
        self.assertEqual(self.rpc.call("store.accept")["accepted"], 2)
        self.assertEqual(self.doubts(), {})
        wait_for(lambda: self.status(grants["family"]) == "quarantined")
        # A new consent settles it as ever.
        fresh = self.box.consent("family")
        self.assertEqual(self.box.grant(fresh)["state"], "active")
        self.refused("NOT_FOUND", "grant.accept", grant="gr" + "0" * 26)
        # And the decision stands.
        self.stop()
        self.box.start()
        self.assertEqual(self.doubts(), {})

    def test_not_spent_since(self):
        """The operator knows that nothing happened since the backup: accept, and all live."""
        grants = self.consents("strict", "family")
        folder = self.backup()
        self.stop()
        self.box.take_away()
        self.restore("--restore", folder)
        self.box.start()
        self.assertEqual(set(self.doubts()), {"strict", "family"})
        self.rpc.call("store.accept")
        wait_for(lambda: all(self.status(g) == "current" for g in grants.values()))
        self.assertEqual([self.family(app)["reuse_presented"] for app in grants], [0, 0])

    def test_with_the_spool(self):
        """What was answered since the backup and is in the spool still is used, not the older token."""
        grants = self.consents("strict", "family")
        folder = self.backup()
        for grant in grants.values():
            for _ in range(3):
                self.rpc.call("grant.refresh", grant=grant)
        self.stop()
        self.box.take_away()
        self.restore("--restore", folder)
        self.box.start()
        self.assertEqual(set(self.doubts()), {"strict", "family"})  # it may be an old spool as well
        self.rpc.call("store.accept")
        wait_for(lambda: all(self.status(g) == "current" for g in grants.values()))
        self.assertEqual([self.family(app)["reuse_presented"] for app in grants], [0, 0])

    def test_by_grantctl(self):
        grants = self.restored("strict")
        shown = self.box.ctl("store", "doubts", check=False)
        self.assertEqual(shown.returncode, 0, shown.stderr)
        for text in (grants["strict"], "strict", "CREDENTIAL_RESTORED"):
            self.assertIn(text, shown.stdout)
        refused = self.box.ctl("grant", "refresh", grants["strict"], check=False)
        self.assertEqual(refused.returncode, 5)
        self.assertIn("store doubts", refused.stderr)

    def test_expired_while_held(self):
        self.server.post("/_ctl/client", {"client_id": "brief", "secret": self.box.app("brief", provider="acct_strict"),
                                          "policy": "strict", "at_ttl": 4})
        self.stop()
        self.box.start()
        grants = self.consents("brief")
        folder = self.backup()
        self.stop()
        self.box.take_away()
        self.restore("--restore", folder)
        self.box.start()
        wait_for(lambda: self.box.grant(grants["brief"])["state"] == "degraded")
        self.assertEqual(self.box.grant(grants["brief"])["reason"], "CREDENTIAL_RESTORED")
        self.refused("CREDENTIAL_RESTORED", "grant.token", grant=grants["brief"])

    def test_erased_since(self):
        """Neither the data of before nor the keyring of before brings a client back."""
        grants = self.consents("none", "strict")
        client = self.box.grant(grants["none"])["client"]
        data, keys = self.backup(), self.backup("keys", "keyring_to")
        self.rpc.call("grant.revoke", grant=grants["none"])
        self.rpc.call("client.erase", client=client, name="Anna Bakery")
        self.stop()
        self.box.take_away()
        self.restore("--restore", data, "--restore-keyring", keys)
        self.box.start()
        wait_for(lambda: self.rpc.call("client.get", client=client)["client"]["state"] == "erased")
        self.assertEqual(self.box.grant(grants["none"])["state"], "erased")
        self.rpc.call("grant.token", grant=grants["strict"])

    def test_keyring_lost(self):
        grants = self.consents("none")
        keys = self.backup("keys", "keyring_to")
        self.stop()
        self.box.take_away(keyring=True)
        self.restore("--restore-keyring", keys)
        self.box.start()
        self.rpc.call("grant.refresh", grant=grants["none"])
        self.assertEqual(self.doubts(), {})

    def test_onto_an_empty_machine(self):
        grants = self.consents("none", "strict")
        data, keys = self.backup(), self.backup("keys", "keyring_to")
        self.stop()
        kek = os.path.join(self.box.state, "kek")
        with open(kek, "rb") as file:
            key = file.read()
        self.box.take_away()
        self.box.take_away(keyring=True)
        shutil.rmtree(self.box.state)
        os.mkdir(self.box.state, 0o700)
        self.restore("--restore", data, "--restore-keyring", keys, code=1)  # without the key it is nothing
        with open(os.open(kek, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
            file.write(key)
        self.restore("--restore", data, "--restore-keyring", keys)
        self.box.start()
        self.assertEqual(set(self.doubts()), {"strict"})
        self.rpc.call("grant.refresh", grant=grants["none"])
        self.rpc.call("grant.token", grant=grants["strict"])

    def test_refused(self):
        self.consents("none")
        folder, keys = self.backup(), self.backup("keys", "keyring_to")
        self.assertIn("STORE_LOCKED", self.restore("--restore", folder, code=1).stderr)  # it works
        self.stop()
        self.assertIn("STORE_NOT_EMPTY", self.restore("--restore", folder, code=1).stderr)
        self.box.take_away()
        self.assertIn("BACKUP_INVALID", self.restore("--restore", keys, code=1).stderr)
        self.assertIn("BACKUP_PLACE", self.restore("--restore", "backups/data", code=1).stderr)
        with open(os.path.join(folder, "manifest.json"), "ab") as file:
            file.write(b" ")
        self.assertIn("BACKUP_INVALID", self.restore("--restore", folder, code=1).stderr)
        self.restore("--restore-keyring", keys)
        self.box.start()  # nothing of it has been touched: an empty store

    @unittest.skipUnless(os.path.exists(os.path.join(os.environ.get("GRANTD_BUILD", ""), "CMakeCache.txt")) and
                         "GRANTD_FAULTS:BOOL=ON" in open(os.path.join(os.environ["GRANTD_BUILD"], "CMakeCache.txt"),
                                                         encoding="utf-8").read(), "no fault points in this build")
    def test_killed_while_it_is_filled(self):
        grants = self.consents("none", "strict")
        folder = self.backup()
        self.stop()
        for point in ("store.arriving", "store.filled"):
            self.box.take_away()
            self.restore("--restore", folder, faults=point + ":kill9", code=-9)
            self.not_started("STORE_UNFINISHED")
            self.assertIn("grantd --restore", self.box.log_tail())
            self.restore("--restore", folder)
            self.box.start()
            self.assertEqual(set(self.doubts()), {"strict"})
            self.rpc.call("grant.refresh", grant=grants["none"])
            self.stop()

    def test_moved(self):
        """A store that says that it lives elsewhere now is not worked with."""
        self.stop()
        self.box.rows("INSERT INTO meta (name, value) VALUES ('moved', ?)", '{"to":"postgresql://db/x","at":"then"}')
        self.not_started("STORE_MOVED")
        self.assertIn("postgresql://db/x", self.box.log_tail())

    # -- put in place behind our back

    def put_back(self, old, spool=True):
        self.box.put_back(old)
        if not spool:
            self.empty_spool()
        self.box.start()

    def empty_spool(self):
        """As it is now and then; and what was kept of it for a while (on a shared store) is gone as well."""
        os.truncate(os.path.join(self.box.state, "spool"), 0)
        for kept in ("spool.kept", "spool.kept.older"):
            with contextlib.suppress(FileNotFoundError):
                os.remove(os.path.join(self.box.state, kept))

    def old(self, *apps):
        """A copy of the file as it was after the consents; then a refresh of strict."""
        grants = self.consents(*apps)
        self.stop()
        old = self.box.keep()
        self.box.start()
        self.rpc.call("grant.refresh", grant=grants["strict"])
        return grants, old

    def test_an_old_file(self):
        grants, old = self.old("none", "strict", "family")
        self.stop()
        self.put_back(old, spool=False)
        found = self.rpc.call("store.doubts")
        self.assertEqual(found["restored"]["why"], "set_back")
        self.assertEqual({one["app"] for one in found["doubts"]}, {"strict", "family"})
        self.assertEqual(self.family("strict")["reuse_presented"], 0)
        self.rpc.call("grant.refresh", grant=grants["none"])
        # Back to the file that is right, too: what was decided is decided.
        self.rpc.call("store.accept")
        self.stop()
        self.box.start()
        self.assertEqual(self.doubts(), {})

    def test_an_old_file_and_the_spool(self):
        """The spool has every answer that the old file lacks, and more: nothing is in doubt, nothing is lost."""
        grants = self.consents("strict", "family")
        self.rpc.call("grant.refresh", grant=grants["strict"])
        old = self.box.keep()
        for app in ("strict", "family", "strict"):
            self.rpc.call("grant.refresh", grant=grants[app])
        self.box.daemon.kill9()
        self.put_back(old)
        self.assertEqual(self.doubts(), {})
        self.rpc.call("grant.refresh", grant=grants["family"])
        self.assertIn("store.caught_up", [r["act"] for r in self.rpc.call("audit.list", limit=1000)["records"]])
        self.rpc.call("grant.refresh", grant=grants["strict"])
        self.assertEqual(self.family("strict")["reuse_presented"], 0)

    def test_an_old_file_and_a_part_of_the_spool(self):
        """What the spool brings back goes on; of the others nobody knows."""
        grants, old = self.old("strict", "family")
        self.stop()
        self.empty_spool()
        self.box.start()
        self.rpc.call("grant.refresh", grant=grants["strict"])
        self.stop()
        self.put_back(old)
        self.assertEqual(set(self.doubts()), {"family"})
        wait_for(lambda: self.status(grants["strict"]) == "current")
        self.assertEqual(self.family("strict")["reuse_presented"], 0)

    def test_a_file_from_before_the_consent(self):
        self.stop()
        old = self.box.keep()
        self.box.start()
        self.consents("strict")
        self.stop()
        self.put_back(old, spool=False)
        found = self.rpc.call("store.doubts")
        self.assertEqual((found["restored"]["why"], found["doubts"]), ("set_back", []))

    def test_no_false_alarm(self):
        """Crashes, revokes, erasures and new consents are no step back."""
        grants = self.consents("strict", "family")
        for app in ("strict", "family"):
            self.rpc.call("grant.refresh", grant=grants[app])
            self.box.daemon.kill9()
            self.box.start()
            self.assertEqual(self.rpc.call("store.doubts")["restored"], None)
        client = self.box.grant(grants["strict"])["client"]
        self.rpc.call("grant.refresh", grant=grants["strict"])
        self.rpc.call("grant.revoke", grant=grants["strict"])
        self.stop()
        self.box.start()
        self.rpc.call("client.erase", client=client, name="Anna Bakery")
        self.box.daemon.kill9()
        self.box.start()
        self.assertEqual(self.rpc.call("store.doubts")["restored"], None)
        self.consents("family")
        os.remove(os.path.join(self.box.state, "witness"))  # lost: nothing can be said, nothing is
        self.stop()
        self.box.start()
        self.assertEqual(self.rpc.call("store.doubts")["restored"], None)


if __name__ == "__main__":
    unittest.main()
