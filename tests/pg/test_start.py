"""What a start on PostgreSQL refuses, each with its word: a wrong url, password, certificate, server, database."""
import os
import shutil
import socket
import struct
import subprocess
import threading
import unittest

from kit import BUILD, PgTest
from cluster import PASSWORD, ROLE, free_port


def message(kind, body):
    return kind + struct.pack("!I", len(body) + 4) + body


class OldServer:
    """Says that it is PostgreSQL 12, and nothing more."""

    def __init__(self):
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                client, _ = self.server.accept()
            except OSError:
                return
            with client:
                client.recv(4096)
                client.sendall(message(b"R", struct.pack("!I", 0))
                               + message(b"S", b"server_version\0" + b"12.22\0") + message(b"S", b"client_encoding\0UTF8\0")
                               + message(b"K", struct.pack("!II", 1, 1)) + message(b"Z", b"I"))
                while client.recv(4096):
                    pass


class Refusals(PgTest):
    def test_nobody_there(self):
        said = self.refused("STORE_UNREACHABLE", url=f"postgresql://x@127.0.0.1:{free_port()}/y", deadline=700)
        self.assertIn("Connection refused", said["text"])

    def test_no_such_host(self):
        self.refused("STORE_UNREACHABLE", url="postgresql://x@no-such-host.invalid/y", deadline=700)

    def test_no_url_at_all(self):
        said = self.refused("STORE_UNREACHABLE", url="postgresql://secret-word@[broken/y")
        self.assertNotIn("secret-word", said["text"])
        self.refused("STORE_UNREACHABLE", url="postgresql://x@h/y?service=else")

    def test_no_such_database(self):
        said = self.refused("STORE_UNREACHABLE", url=self.cluster.url("missing"), deadline=700)
        self.assertIn("missing", said["text"])

    def test_nobody_answers(self):
        """A listener that never says a word."""
        with socket.create_server(("127.0.0.1", 0)) as silent:
            said = self.refused("STORE_UNREACHABLE", url=f"postgresql://x@127.0.0.1:{silent.getsockname()[1]}/y",
                                deadline=700)
        self.assertIn("does not answer", said["text"])

    def test_wrong_password(self):
        wrong = os.path.join(self.folder, "password")
        with open(wrong, "w", encoding="utf-8") as file:
            file.write("not-" + PASSWORD)
        bare = f"postgresql://{ROLE}@127.0.0.1:{self.cluster.port}/{self.database}"
        said = self.refused("STORE_DENIED", "--password-file", wrong, url=bare)
        self.assertNotIn(PASSWORD, said["text"])
        self.refused("STORE_DENIED", url=bare)
        self.refused("STORE_DENIED", "--password-file", wrong + ".missing", url=bare)
        with open(wrong, "w", encoding="utf-8") as file:
            file.write(PASSWORD + "\n")
        self.assertNotIn(PASSWORD, self.good("--password-file", wrong, url=bare).log_text())

    def test_may_not_make_tables(self):
        self.cluster.sql("CREATE ROLE poor LOGIN")
        url = self.url.replace(ROLE + "@", "poor@")
        said = self.refused("STORE_DENIED", url=url)
        self.assertIn("CREATE SCHEMA grantd", said["text"])
        self.cluster.sql("CREATE SCHEMA grantd", self.database)  # there, but not for it
        self.refused("STORE_DENIED", url=url)

    def test_may_only_use_tables(self):
        """Who made the schema beforehand need not let the daemon make tables."""
        self.good().close()
        self.cluster.sql("CREATE ROLE user1 LOGIN; GRANT USAGE ON SCHEMA grantd TO user1; GRANT SELECT, INSERT, UPDATE, "
                         "DELETE ON ALL TABLES IN SCHEMA grantd TO user1", self.database)
        store = self.good(url=self.url.replace(ROLE + "@", "user1@"))
        self.ok(store.do("put", "a", 1))

    def test_too_old(self):
        said = self.refused("STORE_TOO_OLD", url=f"postgresql://x@127.0.0.1:{OldServer().port}/y")
        self.assertIn("12.22", said["text"])

    def test_read_only(self):
        self.cluster.sql(f"ALTER DATABASE {self.database} SET default_transaction_read_only = on")
        self.refused("STORE_READ_ONLY")

    def test_unsafe(self):
        for value in ("off", "local"):
            self.cluster.sql(f"ALTER DATABASE {self.database} SET synchronous_commit = {value}")
            self.assertIn("synchronous_commit", self.refused("STORE_UNSAFE")["text"])
        store = self.good("--accept-async")
        self.assertIn("local", store.status()["durability"])
        for value in ("on", "remote_apply", "remote_write"):
            self.cluster.sql(f"ALTER DATABASE {self.database} SET synchronous_commit = {value}")
            self.good(folder=value, node=value)

    def test_other_encoding(self):
        self.cluster.sql(f"CREATE DATABASE latin OWNER {ROLE} ENCODING 'LATIN1' TEMPLATE template0 LOCALE 'C'")
        self.refused("STORE_UNSAFE", url=self.cluster.url("latin"))

    def test_newer_schema(self):
        self.good().close()
        self.refused("STORE_TOO_NEW", "--version", "1")
        self.good()

    def test_foreign_tables(self):
        self.cluster.sql(f"CREATE SCHEMA grantd AUTHORIZATION {ROLE}; CREATE TABLE grantd.theirs (a int)", self.database)
        self.refused("STORE_FOREIGN")
        self.assertEqual(self.cluster.sql("SELECT count(*) FROM pg_tables WHERE schemaname = 'grantd'", self.database), "1")

    def test_other_installation(self):
        """A node that belongs to one database and is shown another one, full or empty."""
        self.good().close()
        other = self.cluster.database()
        self.refused("STORE_FOREIGN", url=other)
        self.good(url=other, folder="b").close()
        self.refused("STORE_FOREIGN", url=other)
        self.refused("STORE_FOREIGN", folder="b")
        self.good().close()

    def test_three_at_once(self):
        """Three new nodes on an empty database: one makes the tables, all work."""
        stores = [self.store(folder=f"f{i}", node=f"n{i}", wait=False) for i in range(3)]
        for i, store in enumerate(stores):
            self.assertEqual(store.wait_open().opened.get("result"), "ok", store.opened)
            self.ok(store.do("put", f"k{i}", i))
        self.assertEqual(stores[0].value("k2"), 2)

    def test_module(self):
        empty = os.path.join(self.folder, "empty")
        os.mkdir(empty)
        self.refused("STORE_MODULE", modules=empty)
        self.refused("STORE_MODULE", modules=empty + "/none")
        shutil.copy(os.path.join(BUILD, "store", "postgresql.so"), empty)
        os.chmod(os.path.join(empty, "postgresql.so"), 0o777)
        self.assertIn("0777", self.refused("STORE_MODULE", modules=empty)["text"])
        os.chmod(os.path.join(empty, "postgresql.so"), 0o755)
        self.good(modules=empty)
        with open(os.path.join(empty, "postgresql.so"), "r+b") as file:  # of another build
            data = file.read()
            at = data.index(b"0.1.0")
            file.seek(at)
            file.write(b"9.9.9")
        self.refused("STORE_MODULE", modules=empty)
        os.remove(os.path.join(empty, "postgresql.so"))
        os.symlink(os.path.join(BUILD, "store", "postgresql.so"), os.path.join(empty, "postgresql.so"))
        self.refused("STORE_MODULE", modules=empty)

    def test_two_processes_one_node(self):
        """A copied state folder: the second one stops the first, as soon as that writes."""
        first = self.good()
        self.ok(first.do("put", "a", 1))
        second = self.good(folder="b")
        self.ok(second.do("put", "b", 1))
        self.failed(first.do("put", "c", 1), "STORE_LOCKED")
        self.assertIsNone(second.value("c"))
        self.ok(second.do("put", "d", 1))


class Tables(PgTest):
    def room(self):
        """What tables are made with: {table: options}."""
        return dict(line.split("|") for line in self.cluster.sql(
            "SELECT relname, reloptions FROM pg_class WHERE relkind = 'r' AND relnamespace = 'grantd'::regnamespace",
            self.database).splitlines())

    def test_pages_keep_room(self):
        """For the next version of a row that is changed where it is."""
        self.good().close()
        self.assertEqual(set(self.room().values()), {"{fillfactor=85}"})

    def test_pages_of_an_older_installation_keep_room(self):
        """Its tables were made without; what an operator chose stays."""
        self.good().close()
        self.cluster.sql("ALTER TABLE grantd.kv RESET (fillfactor); ALTER TABLE grantd.installation SET (fillfactor = 70)",
                         self.database)
        self.assertEqual(self.room()["kv"], "")
        self.good().close()
        self.assertEqual((self.room()["kv"], self.room()["installation"]), ("{fillfactor=85}", "{fillfactor=70}"))


class Tls(PgTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.ca = cls.authority("ca")
        cls.other = cls.authority("other")
        cls.certificate("server", "db.test.example", "ca")
        cls.cluster.configure(ssl="on", ssl_cert_file=f"'{cls.cluster.folder}/server.pem'",
                              ssl_key_file=f"'{cls.cluster.folder}/server.key'")
        cls.cluster.restart()

    @classmethod
    def openssl(cls, *args):
        subprocess.run(["openssl", *args], check=True, cwd=cls.cluster.folder, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)

    @classmethod
    def authority(cls, name):
        cls.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
                    "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.pem")
        return os.path.join(cls.cluster.folder, f"{name}.pem")

    @classmethod
    def certificate(cls, name, host, ca):
        cls.openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={host}",
                    "-addext", f"subjectAltName=DNS:{host}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
        cls.openssl("x509", "-req", "-in", f"{name}.csr", "-CA", f"{ca}.pem", "-CAkey", f"{ca}.key", "-CAcreateserial",
                    "-days", "30", "-copy_extensions", "copy", "-out", f"{name}.pem")
        path = os.path.join(cls.cluster.folder, f"{name}.key")
        os.chmod(path, 0o600)
        if cls.cluster.user:
            os.chown(path, cls.cluster.user.pw_uid, cls.cluster.user.pw_gid)

    def at(self, host, more=""):
        """host is a name that the certificate is for, or is not; the address is always ours."""
        return (f"postgresql://{ROLE}:{PASSWORD}@{host}:{self.cluster.port}/{self.database}?hostaddr=127.0.0.1{more}")

    def refused(self, reason, *args, **more):
        return super().refused(reason, *args, deadline=15000, **more)

    def test_verified(self):
        """An address of this machine is local whatever it is called; so the mode is written out here."""
        store = self.good(url=self.at("db.test.example", f"&sslmode=verify-full&sslrootcert={self.ca}"))
        self.assertEqual(store.status()["tls"], "verify-full")

    def test_other_authority(self):
        self.refused("STORE_CERT", url=self.at("db.test.example", f"&sslmode=verify-full&sslrootcert={self.other}"))
        said = self.refused("STORE_CERT", url=self.at("db.test.example", "&sslmode=verify-full"))
        self.assertIn("certificate", said["text"])

    def test_other_name(self):
        said = self.refused("STORE_CERT", url=self.at("db2.test.example", f"&sslmode=verify-full&sslrootcert={self.ca}"))
        self.assertIn("db2.test.example", said["text"])

    def test_weaker_mode_is_shown(self):
        self.assertEqual(self.good(url=self.at("db.test.example", "&sslmode=require")).status()["tls"], "require")

    def test_default_is_strict_for_others(self):
        """Whatever the environment says: without a word about it in the url a distant host has to show itself."""
        os.environ["PGSSLMODE"] = "disable"
        self.addCleanup(os.environ.pop, "PGSSLMODE")
        said = self.refused("STORE_CERT", url=f"postgresql://{ROLE}:{PASSWORD}@db.test.example:"
                            f"{self.cluster.port}/{self.database}?hostaddr={self.distant()}")
        self.assertIn("certificate", said["text"])

    def distant(self):
        """An address of this machine that is not 127.x: 0.0.0.0 reaches it, and nobody takes it for local."""
        return "0.0.0.0"


if __name__ == "__main__":
    unittest.main()
