"""The KEK: what it wraps, and how another one takes its place."""
import os
import subprocess
import unittest

from harness import Daemon, GrantdTest, program

ORIGIN = "https://as.example.com"


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


if __name__ == "__main__":
    unittest.main()
