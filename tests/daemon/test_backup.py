"""Backups of a working daemon: consistent, whole, without a secret in the open, readable by others; the data and the
keyring apart."""
import hashlib
import json
import os
import struct
import threading
import unittest

from harness import SHARED, GrantdTest, RpcError, the_cluster, wait_for


class Stream:
    """An independent reader of the tables of a backup (format: core/store/copy.h)."""

    def __init__(self, path):
        with open(path, "rb") as file:
            self.data = file.read()
        self.at = 0
        assert self.take(8) == b"GDCOPY1\n"

    def take(self, n):
        out = self.data[self.at:self.at + n]
        assert len(out) == n
        self.at += n
        return out

    def number(self, form):
        return struct.unpack("<" + form, self.take(struct.calcsize("<" + form)))[0]

    def text(self):
        return self.take(self.number("H")).decode()

    def cell(self):
        tag = self.take(1)
        if tag == b"n":
            return None
        if tag == b"i":
            return self.number("q")
        value = self.take(self.number("I"))
        return value.decode() if tag == b"t" else value

    def tables(self):
        """name -> (columns, rows, sha256 of the rows)"""
        out = {}
        while (tag := self.take(1)) == b"T":
            name = self.text()
            columns = [self.text() for _ in range(self.number("H"))]
            rows, begin = [], self.at
            while self.take(1) == b"R":
                rows.append(tuple(self.cell() for _ in columns))
            digest = hashlib.sha256(self.data[begin:self.at - 1]).digest()
            assert self.number("Q") == len(rows) and self.take(32) == digest, name
            out[name] = (columns, rows, digest.hex())
        assert tag == b"Z" and self.at == len(self.data)
        return out


class Backup(GrantdTest):
    def setUp(self):
        super().setUp()
        self.server = self.box.accounting()
        self.apps = [self.box.policy_app(self.server, policy) for policy in ("none", "strict")]
        self.box.start()
        self.grants = [self.box.consent(app) for app in self.apps]
        self.to = os.path.join(self.box.state, "..", "backups")
        os.mkdir(self.to)
        self.to = os.path.realpath(self.to)

    def backup(self, name="data", **params):
        rpc = self.box.daemon.rpc
        params = params or {"to": os.path.join(self.to, name)}
        return rpc.call("store.backup", **params)["backups"]

    def refused(self, reason, method="store.backup", **params):
        with self.assertRaises(RpcError) as e:
            self.box.daemon.rpc.call(method, **params)
        self.assertEqual(e.exception.reason, reason)

    def search(self, folder):
        for name in os.listdir(folder):
            path = os.path.join(folder, name)
            self.assertEqual(os.stat(path).st_mode & 0o777, 0o600, name)
            with open(path, "rb") as file:
                self.box.forbid(file.read(), path)

    def test_the_data(self):
        (made,) = self.backup()
        self.assertEqual(made["kind"], "data")
        folder = made["dir"]
        self.assertEqual(os.stat(folder).st_mode & 0o777, 0o700)
        self.search(folder)
        with open(os.path.join(folder, "manifest.json"), encoding="utf-8") as file:
            manifest = json.load(file)
        self.assertEqual(manifest["id"], made["id"])
        self.assertGreater(manifest["audit"]["records"], 0)
        tables = Stream(os.path.join(folder, "tables")).tables()
        self.assertEqual(self.box.daemon.stop(), 0)
        self.assertEqual(set(tables), self.box.tables())
        for name, (columns, rows, digest) in tables.items():
            if name not in ("events", "nodes"):  # the end of the daemon is told there
                there = self.box.rows(f"SELECT {', '.join(columns)} FROM {name}")
                self.assertEqual(sorted(map(repr, rows)), sorted(map(repr, there)))
            said = next(t for t in manifest["tables"] if t["table"] == name)
            self.assertEqual((said["rows"], said["sha256"]), (len(rows), digest))
        self.assertEqual(len(tables["credentials"][1]), 2)
        self.assertNotIn("data_keys", tables)

    def test_the_keyring(self):
        (made,) = self.backup(keyring_to=os.path.join(self.to, "keys"))
        self.assertEqual(made["kind"], "keyring")
        self.search(made["dir"])
        tables = Stream(os.path.join(made["dir"], "tables")).tables()
        self.assertEqual(set(tables), {"meta", "data_keys"})
        self.assertEqual(len(tables["data_keys"][1]), 2)
        checked = self.box.ctl("store", "check", "--backup", made["dir"])
        self.assertEqual((checked["ok"], checked["kind"], checked["id"]), (True, "keyring", made["id"]))

    def test_by_grantctl(self):
        data, keys = os.path.join(self.to, "data"), os.path.join(self.to, "keys")
        made = self.box.ctl("store", "backup", "--to", data, "--keyring-to", keys)["backups"]
        self.assertEqual([one["kind"] for one in made], ["data", "keyring"])
        shown = self.box.ctl("store", "check", "--backup", data, check=False)
        self.assertEqual(shown.returncode, 0, shown.stderr)
        self.assertIn("credentials", shown.stdout)
        then = {t["table"]: t["sha256"] for t in self.box.ctl("store", "check", "--backup", data)["tables"]}
        now = {t["table"]: t["sha256"] for t in self.box.ctl("store", "check")["tables"]}
        self.assertEqual(set(then), set(now))
        if SHARED:
            del then["nodes"]  # the node writes every few seconds that it lives
        self.assertEqual(then, {table: now[table] for table in then})

    def copy(self):
        """Of the store as it is now: a file, or a database of its own."""
        other = self.box.keep()
        if not SHARED:
            return other
        url = the_cluster().database()
        the_cluster().put_back(url, other)
        return url

    def test_compared(self):
        """With another store of either engine: what the way into it, or a copy, has made."""
        rpc, copies = self.box.daemon.rpc, []

        def same():
            """a copy that was made while nothing was written"""
            copies.append(self.copy())
            return rpc.call("store.check", **{"with": copies[-1]})["ok"]
        wait_for(same, 30, 0.5)
        other = copies[-1]
        self.assertEqual(rpc.call("store.check", **{"with": other})["differences"], 0)
        rpc.call("client.create", name="One more")
        differs = rpc.call("store.check", **{"with": other})
        self.assertFalse(differs["ok"])
        self.assertIn("clients", [t["table"] for t in differs["tables"] if not t["same"]])
        self.refused("PARAM_INVALID", "store.check", **{"with": "postgresql://me:secret@db.example/x"})

    def test_refused(self):
        self.refused("PARAM_INVALID")
        self.refused("BACKUP_PLACE", to="backup")
        self.refused("BACKUP_PLACE", to=self.box.state)
        self.refused("BACKUP_PLACE", to=os.path.join(self.to, "no", "where"))
        self.refused("BACKUP_INVALID", "store.check", backup=self.to)
        self.refused("PARAM_INVALID", "store.check", backup="data")
        self.refused("STORE_FAILED", "store.check", **{"with": os.path.join(self.to, "nothing.db")})
        (made,) = self.backup()
        self.refused("BACKUP_PLACE", to=made["dir"])
        path = os.path.join(made["dir"], "tables")
        with open(path, "r+b") as file:
            file.seek(200)
            byte = file.read(1)
            file.seek(200)
            file.write(bytes([byte[0] ^ 1]))
        self.refused("BACKUP_INVALID", "store.check", backup=made["dir"])
        self.assertEqual(self.box.ctl("store", "check", "--backup", made["dir"], check=False).returncode, 7)

    def test_beside_work(self):
        """While clients come and tokens are renewed; nobody waits for it."""
        over, made = threading.Event(), []

        def work():
            from harness import Rpc
            rpc = Rpc(self.box.socket_path)
            while not over.is_set():
                client = rpc.call("client.create", name="Anna")["client"]["id"]
                rpc.call("request.create", client=client, items=[{"app": self.apps[0]}])
                rpc.call("grant.refresh", grant=self.grants[0])
            rpc.close()

        thread = threading.Thread(target=work)
        thread.start()
        try:
            for i in range(10):
                made += self.backup(f"data{i}")
        finally:
            over.set()
            thread.join()
        for one in made:
            tables = Stream(os.path.join(one["dir"], "tables")).tables()
            columns, rows, _ = tables["requests"]
            requests = {row[columns.index("id")] for row in rows}
            columns, rows, _ = tables["items"]
            self.assertEqual({row[columns.index("request_id")] for row in rows}, requests)  # made in one transaction
            self.assertTrue(self.box.daemon.rpc.call("store.check", backup=one["dir"])["ok"])


if __name__ == "__main__":
    unittest.main()
