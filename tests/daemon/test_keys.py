#!/usr/bin/env python3
"""The KEK: what it wraps, and how another one takes its place."""
import os
import subprocess
import sys
import threading
import unittest

from harness import ROOT, SHARED, Daemon, GrantdTest, Gone, Rpc, RpcError, has_faults, program, wait_for

sys.path.append(os.path.join(ROOT, "tests", "unit", "crypto"))
import crosscheck  # noqa: E402  (an independent opinion on how keys are wrapped)


class Keys(GrantdTest):
    """An installation with a living grant of one policy."""

    def setUp(self):
        super().setUp()
        self.server = self.box.accounting()
        self.box.policy_app(self.server, "none")
        self.box.start()
        self.grant = self.box.consent("none")
        self.client = self.box.grant(self.grant)["client"]

    def stop(self):
        self.assertEqual(self.box.daemon.stop(), 0)

    def kek(self, name):
        """A key file; made when it is not there."""
        path = os.path.join(self.box.state, name)
        if not os.path.exists(path):
            with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
                file.write(os.urandom(32))
        return path

    def name(self, key, previous=None):
        """In the configuration: the key to be used, and the one before."""
        old = f", previous: {{file: {self.kek(previous)}}}" if previous else ""
        self.box.extra = f"key: {{file: {self.kek(key)}{old}}}\n"
        self.box.write_config()

    def refused(self, reason, *words):
        """The daemon does not start."""
        self.box.write_config()
        daemon = Daemon(self.box)
        self.assertNotEqual(daemon.wait_dead(20), 0)
        tail = self.box.log_tail(2000)
        for word in (reason, *words):
            self.assertIn(word, tail)

    def offline(self, *args, code=0):
        done = subprocess.run([program("grantd"), "--own-platforms", "--config", self.box.config_path, *args],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done.stderr

    def data_keys(self, n):
        """So many more, wrapped by code of our own."""
        with open(self.kek("kek"), "rb") as file:
            kek = file.read()
        name = crosscheck.hkdf("sha256", kek, b"", b"grantd/kek-id/v1", 8)
        values = []
        for client in (f"cl{number:05}" for number in range(n)):
            wrapped = crosscheck.wrap(kek, name, os.urandom(16), os.urandom(32), "grantd.dek", "main", client)
            values += ["main", client, name.hex(), wrapped]
        for at in range(0, len(values), 800):
            some = values[at:at + 800]
            self.box.rows("INSERT INTO data_keys (workspace, client_id, kek, wrapped, id, state, created_at) VALUES " +
                          ", ".join(["(?, ?, ?, ?, 'first', 'active', 1)"] * (len(some) // 4)), *some, keyring=True)

    def backup(self, what):
        folder = os.path.join(self.box.folder, "kept-" + what)
        self.box.ctl("store", "backup", "--to" if what == "data" else "--keyring-to", folder)
        return folder

    def lives(self):
        self.box.daemon.rpc.call("grant.refresh", grant=self.grant)
        self.box.daemon.rpc.call("grant.token", grant=self.grant)
        self.assertTrue(self.box.daemon.rpc.call("audit.verify")["ok"])


class Wrapping(Keys):
    def test_another_key(self):
        """Named in place of the one that is in use, it opens nothing, and nothing is touched."""
        self.stop()
        self.name("other")
        self.refused("KEY_WRONG", "key.previous")
        self.name("other", "kek")  # with both everything goes on as before
        self.box.start()
        self.lives()
        self.box.consent("none")
        self.stop()
        self.name("kek")
        self.box.start()
        self.lives()

    def test_all_that_is_kept_names_its_key(self):
        rows = self.box.rows("SELECT kek, wrapped FROM data_keys", keyring=True)
        (active, ), = self.box.rows("SELECT value FROM meta WHERE name = 'kek'", keyring=True)
        self.assertTrue(rows)
        for kek, wrapped in rows:
            self.assertEqual((kek, bytes(wrapped)[4:12].hex(), len(bytes(wrapped))), (active, active, 100))
        (root, ), = self.box.rows("SELECT value FROM meta WHERE name = 'root'", keyring=True)
        self.assertIn(f'"wrapped":"474b0101{active}', root)

    def test_a_key_that_is_gone_is_not_made_anew(self):
        """Two keys are named: the new one is the operator's, wherever it is."""
        self.stop()
        self.name("other", "kek")
        os.remove(self.kek("other"))
        self.refused("KEY_MISSING")

    def test_the_keyring_is_gone(self):
        self.stop()
        self.box.take_away(keyring=True)
        self.refused("KEYRING_LOST")
        self.refused("KEYRING_LOST")  # and stays it

    def test_restored(self):
        data, keys = self.backup("data"), self.backup("keyring")
        self.stop()
        self.box.take_away()
        self.box.take_away(keyring=True)
        self.name("other")
        self.assertIn("KEY_WRONG", self.offline("--restore", data, "--restore-keyring", keys, code=1))
        self.name("other", "kek")
        self.offline("--restore", data, "--restore-keyring", keys)
        self.box.start()
        self.lives()

    def test_two_installations(self):
        """The same key, but not the same secrets below it."""
        keys = self.backup("keyring")
        self.stop()
        self.box.take_away()
        self.box.take_away(keyring=True)
        self.refused("KEYRING_LOST", "audit log")
        for name in os.listdir(self.box.state):
            if name.startswith("audit.log"):
                os.remove(os.path.join(self.box.state, name))
        self.box.start()
        self.stop()
        self.assertIn("another installation", self.offline("--restore-keyring", keys, code=1))


def rotation(rpc):
    return rpc.call("key.status")["rotation"]


class RotatingKeys(Keys):
    def status(self):
        return self.box.daemon.rpc.call("key.status")

    def roles(self):
        return {key["role"]: key for key in self.status()["keys"]}

    def reload(self, key, previous=None):
        self.name(key, previous)
        return self.box.daemon.rpc.call("daemon.reload")

    def done(self):
        wait_for(lambda: rotation(self.box.daemon.rpc)["state"] == "done", 20)

    def under(self, kek):
        rows = self.box.rows("SELECT kek, wrapped FROM data_keys", keyring=True)
        (root, ), = self.box.rows("SELECT value FROM meta WHERE name = 'root'", keyring=True)
        return {row[0] for row in rows if row[0]} == {kek} and f'"wrapped":"474b0101{kek}' in root

    def refused_call(self, reason, method, **params):
        with self.assertRaises(RpcError) as caught:
            self.box.daemon.rpc.call(method, **params)
        self.assertEqual(caught.exception.reason, reason)


class Rotating(RotatingKeys):
    def test_before(self):
        said = self.status()
        (key, ) = said["keys"]
        self.assertEqual((said["in_use"], said["named"], said["rotation"], said["advice"]), (key["id"], key["id"], None, None))
        self.assertEqual((key["role"], key["rows"], key["root"], key["needed"]), ("in_use", 1, True, True))
        self.assertEqual(key["source"], "file " + self.kek("kek"))
        self.refused_call("KEY_UNCHANGED", "key.rotate")
        self.assertIn("in_use", self.box.ctl("key", "status", check=False).stdout)

    def test_another_key_comes_into_use(self):
        old = self.status()["in_use"]
        link = self.client_erased()
        self.assertEqual((self.status()["erased"], self.status()["erased_open"]), (1, 1))
        self.assertEqual(self.reload("new", "kek")["restart_needed"], [])
        said = self.status()
        new = said["named"]
        self.assertEqual((said["in_use"], self.roles()["next"]["id"]), (old, new))
        self.assertIn("key rotate", said["advice"])
        self.box.consent("none")  # still wrapped by the old one
        self.assertTrue(self.under(old))
        self.assertEqual(self.box.ctl("key", "rotate"), {"from": old, "to": new, "rows": 2})
        self.done()
        said = self.status()
        self.assertEqual((said["in_use"], said["rotation"]["left"], said["rotation"]["rows"]), (new, 0, 2))
        self.assertEqual((self.roles()["old"]["needed"], self.roles()["old"]["rows"]), (False, 0))
        self.assertIn(old, said["advice"])
        self.assertTrue(self.under(new))
        self.assertEqual(said["erased_open"], 1)  # the old one is still here
        self.box.consent("none")
        self.lives()
        self.assertTrue(self.under(new))
        (event, ) = [e for e in self.rpc.call("event.list", limit=1000)["events"] if e["type"] == "key.rotated"]
        self.assertEqual((event["data"]["from"], event["data"]["to"]), (old, new))
        acts = [(r["act"], r["phase"]) for r in self.rpc.call("audit.list", limit=1000)["records"]
                if r["act"].startswith("key.rota")]
        self.assertEqual(acts[0], ("key.rotate", "request"))
        self.assertEqual(sorted(acts[1:]), [("key.rotate", "done"), ("key.rotated", "done")])
        self.reload("new")
        self.stop()
        os.remove(self.kek("kek"))
        self.name("new")
        self.box.start()
        self.lives()
        said = self.status()
        self.assertEqual((len(said["keys"]), said["advice"], said["erased_open"]), (1, None, 0))
        self.assertEqual(self.box.browser().open(link).status, 410)

    def client_erased(self):
        """The link of one that is erased."""
        link, request = self.box.ask("none")
        client = self.rpc.call("request.get", request=request)["request"]["client"]
        browser = self.box.browser()
        browser.open(link)
        browser.choose()
        self.rpc.call("request.cancel", request=request)
        self.rpc.call("client.erase", client=client, name="Anna Bakery")
        return link

    def test_links_of_before(self):
        """Only what wraps has changed: a link, a flow and a session of before go on."""
        link, _ = self.box.ask("none")
        browser = self.box.browser()
        page = browser.open(link)
        self.reload("new", "kek")
        self.rpc.call("key.rotate")
        self.done()
        self.stop()
        self.box.start()
        self.assertEqual(self.box.browser().open(link).status, 200)
        self.assertIsNotNone(page)
        browser.walk(login="anna")
        self.lives()

    def test_reload_that_would_not_start(self):
        self.name("new")
        self.refused_call("KEY_WRONG", "daemon.reload")
        self.refused_call("KEY_UNCHANGED", "key.rotate")
        self.name("new", "gone")
        os.remove(self.kek("gone"))
        self.refused_call("KEY_MISSING", "daemon.reload")
        self.lives()

    def test_a_backup_of_before(self):
        """Brought back, it needs the old key; what it brings is wrapped anew by asking again."""
        data, keys = self.backup("data"), self.backup("keyring")
        self.reload("new", "kek")
        self.rpc.call("key.rotate")
        self.done()
        self.stop()
        self.box.take_away()
        self.box.take_away(keyring=True)
        self.name("new")
        self.assertIn("KEY_WRONG", self.offline("--restore", data, "--restore-keyring", keys, code=1))
        self.name("new", "kek")
        self.offline("--restore", data, "--restore-keyring", keys)
        self.box.start()
        self.box.daemon.rpc.call("key.rotate")
        self.done()
        self.assertTrue(self.under(self.status()["named"]))
        self.lives()

    def test_a_keyring_of_before_beside_a_newer_one(self):
        keys = self.backup("keyring")
        self.reload("new", "kek")
        self.rpc.call("key.rotate")
        self.done()
        self.stop()
        self.box.rows("DELETE FROM data_keys", keyring=True)
        self.offline("--restore-keyring", keys)
        self.name("new")
        self.refused("KEY_WRONG", "data keys")
        self.name("new", "kek")
        self.box.start()
        self.assertIn("key rotate", self.status()["advice"])
        self.box.daemon.rpc.call("key.rotate")
        self.done()
        self.assertTrue(self.under(self.status()["in_use"]))
        self.lives()

    def test_a_passphrase(self):
        path = os.path.join(self.box.state, "words")
        with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
            file.write(b"correct horse battery staple")
        self.box.extra = f"key: {{passphrase_file: {path}, previous: {{file: {self.kek('kek')}}}}}\n"
        self.box.write_config()
        self.rpc.call("daemon.reload")
        self.rpc.call("key.rotate")
        self.done()
        self.assertEqual(self.roles()["in_use"]["source"], "passphrase of " + path)
        self.stop()
        self.box.extra = f"key: {{passphrase_file: {path}}}\n"
        self.box.start()
        self.lives()

    def test_the_file_read_last_is_in_force(self):
        """A passphrase takes its time; a reload of a later file that names a file is through before it."""
        path = os.path.join(self.box.state, "words")
        with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
            file.write(b"correct horse battery staple")
        self.box.extra = f"key: {{passphrase_file: {path}, previous: {{file: {self.kek('kek')}}}}}\n"
        self.box.write_config()
        first = threading.Thread(target=Rpc(self.box.socket_path).call, args=("daemon.reload", ))
        first.start()
        wait_for(lambda: any(r["act"] == "daemon.reload" for r in self.rpc.call("audit.list", newest=True)["records"]))
        self.reload("new", "kek")
        first.join()
        self.rpc.call("key.rotate")
        self.done()
        self.assertEqual(self.roles()["in_use"]["source"], "file " + self.kek("new"))

    def test_vending_and_refreshing_meanwhile(self):
        self.data_keys(3000)
        self.reload("new", "kek")
        self.rpc.call("key.rotate")
        self.refused_call("KEY_ROTATING", "key.rotate")
        calls = 0
        while rotation(self.rpc)["state"] != "done":
            self.rpc.call("grant.token", grant=self.grant)
            self.rpc.call("grant.refresh", grant=self.grant)
            calls += 1
        self.assertGreater(calls, 0)
        self.assertTrue(self.under(self.status()["named"]))
        self.lives()

    @unittest.skipUnless(has_faults(), "no fault points in this build")
    def test_killed_again_and_again(self):
        """At the first row, in the midst of some, behind some: each start goes on, and no row is lost."""
        self.data_keys(150)
        (before, ), = self.box.rows("SELECT count(*) FROM data_keys", keyring=True)
        self.stop()
        self.name("new", "kek")
        self.box.start("F27:kill9:40")
        with self.assertRaises(Gone):
            while True:
                self.box.daemon.rpc.call("key.status" if rotation(self.box.daemon.rpc) else "key.rotate")
        self.assertEqual(self.box.daemon.wait_dead(), -9)
        for passage in (1, 33, 34):
            try:
                self.box.start(f"F27:kill9:{passage}")
            except AssertionError:  # it died before it said that it is ready
                pass
            self.assertEqual(self.box.daemon.wait_dead(), -9)
        self.box.start()
        self.done()
        self.assertTrue(self.under(self.status()["named"]))
        self.assertEqual(self.box.rows("SELECT count(*) FROM data_keys", keyring=True), [(before, )])
        self.stop()
        self.name("new")
        self.box.start()  # which opens all of them
        self.lives()

    @unittest.skipUnless(has_faults() and not SHARED, "no fault points in this build, or nodes that may have it")
    def test_a_key_that_is_given_up(self):
        """Meant only, when the daemon died; then the configuration names the old one again: nothing has begun."""
        self.stop()
        self.name("new", "kek")
        self.box.start("rotate.meant:kill9")
        with self.assertRaises(Gone):
            self.box.daemon.rpc.call("key.rotate")
        self.box.daemon.wait_dead()
        self.name("kek")
        self.box.start()
        wait_for(lambda: self.status()["rotation"] is None, 10)
        self.assertTrue(self.under(self.status()["in_use"]))
        self.lives()


if __name__ == "__main__":
    unittest.main()
