#!/usr/bin/env python3
"""A PostgreSQL of the tests' own: made in a temporary folder, on a port and a socket of its own, with fsync on, run as
a user without rights (PostgreSQL refuses root), ended whatever happens.

    with Cluster() as c:
        url = c.database()              # a fresh database; postgresql:// through the socket, no password
        url = c.database(tcp=True)      # the same through 127.0.0.1, with the password in it

    tests/pg/cluster.py COMMAND ...     # runs COMMAND with GRANTD_TEST_PG naming a fresh database; exits as it did
"""
import contextlib
import ctypes
import glob
import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "servers"))
from start import free_port  # noqa: E402

LIBC = ctypes.CDLL(None)
PR_SET_PDEATHSIG = 1
ROLE = "grantd"
PASSWORD = "canary-of-the-database"
SETTINGS = {"fsync": "on", "synchronous_commit": "on", "max_connections": "60", "shared_buffers": "64MB",
            "max_wal_size": "256MB", "log_min_messages": "warning", "autovacuum_naptime": "5s", "timezone": "'UTC'",
            "lc_messages": "'C'", "log_line_prefix": "'%m [%p] %a '"}


def die_with_parent():
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def binary(name):
    """The newest PostgreSQL from 15 on; Debian keeps its programs out of the PATH."""
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin/" + name), key=lambda p: int(p.split("/")[4]))
    path = found[-1] if found and int(found[-1].split("/")[4]) >= 15 else shutil.which(name)
    if not path:
        raise RuntimeError(f"{name} of PostgreSQL 15 is not installed: run tools/setup test")
    return path


class Cluster:
    def __init__(self, port=None, place=None, **settings):
        self.folder = tempfile.mkdtemp(prefix="gdpg-", dir=place or self._place())
        os.chmod(self.folder, 0o755)
        self.data = os.path.join(self.folder, "data")
        self.port = port or free_port()
        self.settings = {**SETTINGS, **settings}
        self.process, self.count, self.standbys = None, 0, []
        self.user = self._user()
        if self.user:
            os.chown(self.folder, self.user.pw_uid, self.user.pw_gid)

    @staticmethod
    def _place():
        """Memory, where there is room: a sync then costs nothing, and no test here takes the machine's power away. What
        measures speed gives a place of its own."""
        with contextlib.suppress(OSError):
            room = os.statvfs("/dev/shm")
            if os.access("/dev/shm", os.W_OK) and room.f_bavail * room.f_frsize > 1 << 30:
                return "/dev/shm"
        return "/tmp"

    @staticmethod
    def _user():
        """Whom the server runs as when we are root."""
        if os.geteuid() != 0:
            return None
        for name in ("postgres", "nobody"):
            with contextlib.suppress(KeyError):
                return pwd.getpwnam(name)
        raise RuntimeError("PostgreSQL does not run as root, and there is neither a user postgres nor nobody")

    def _as_user(self):
        return {"user": self.user.pw_uid, "group": self.user.pw_gid, "extra_groups": []} if self.user else {}

    def run(self, *command, **more):
        """A program of PostgreSQL as the user of the server."""
        env = {k: v for k, v in os.environ.items() if not k.startswith("PG")}
        return subprocess.run([binary(command[0]), *command[1:]], check=True, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=self.folder,
                              env={**env, "LC_ALL": "C.UTF-8"}, **{"text": True, **self._as_user(), **more}).stdout

    # -- life

    def make(self):
        self.run("initdb", "-D", self.data, "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8", "--auth-local=trust",
                 "--auth-host=scram-sha-256", "--no-sync", "--no-instructions")
        self.configure(**self.settings)
        return self

    def configure(self, **settings):
        """Takes effect with the next start or reload."""
        self.settings.update(settings)
        with open(os.path.join(self.data, "grantd.conf"), "w", encoding="utf-8") as file:
            file.writelines(f"{key} = {value}\n" for key, value in self.settings.items())
        conf = os.path.join(self.data, "postgresql.conf")
        with open(conf, encoding="utf-8") as file:
            known = "include 'grantd.conf'" in file.read()
        if not known:
            with open(conf, "a", encoding="utf-8") as file:
                file.write("include 'grantd.conf'\n")

    def start(self, wait=True):
        log = open(os.path.join(self.folder, "server.log"), "ab")
        self.process = subprocess.Popen(
            [binary("postgres"), "-D", self.data, "-p", str(self.port), "-k", self.folder, "-h", "127.0.0.1"],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder, start_new_session=True,
            preexec_fn=die_with_parent, **self._as_user())
        log.close()
        if wait:
            self.wait()
        return self

    def wait(self, seconds=30):
        end = time.monotonic() + seconds
        while True:
            with contextlib.suppress(subprocess.CalledProcessError):
                self.sql("SELECT 1")
                return
            if time.monotonic() > end or self.process.poll() is not None:
                raise RuntimeError(f"PostgreSQL did not get ready: {self.log()}")
            time.sleep(0.05)

    def log(self, size=3000):
        with open(os.path.join(self.folder, "server.log"), encoding="utf-8", errors="replace") as file:
            return file.read()[-size:]

    def pids(self):
        """All processes of the server."""
        if not self.process:
            return []
        found = [self.process.pid]
        with contextlib.suppress(OSError):
            with open(f"/proc/{found[0]}/task/{found[0]}/children", encoding="ascii") as file:
                found += [int(pid) for pid in file.read().split()]
        return found

    def kill(self):
        """As when the machine loses its power, but for what the kernel still holds."""
        pids = self.pids()
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if self.process:
            self.process.wait()
        self.process = None
        while any(os.path.exists(f"/proc/{pid}") for pid in pids):  # orphans are reaped by somebody else
            time.sleep(0.01)

    def kill_postmaster(self):
        """Alone; the others find out, and what they held in common is let go before another may start."""
        pids = self.pids()
        os.kill(pids[0], signal.SIGKILL)
        self.process.wait()
        self.process = None
        end = time.monotonic() + 20
        while any(os.path.exists(f"/proc/{pid}") for pid in pids):
            if time.monotonic() > end:
                raise RuntimeError("processes of a server outlive it")
            time.sleep(0.01)

    def freeze(self, all_of_it=True):
        """Stops it, or its postmaster only: who is connected goes on then, and nobody else gets in. Returns whom."""
        pids = self.pids() if all_of_it else [self.process.pid]
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
        return pids

    @staticmethod
    def thaw(pids):
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def reload(self, **settings):
        self.configure(**settings)
        self.process.send_signal(signal.SIGHUP)

    def stop(self, how=signal.SIGINT):
        """SIGINT: at once and in order; SIGQUIT: without a checkpoint."""
        if not self.process:
            return
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(how)
        try:
            self.process.wait(20)
            self.process = None
        except subprocess.TimeoutExpired:
            self.kill()

    def restart(self):
        self.stop()
        return self.start()

    def __enter__(self):
        try:
            return self.make().start()
        except BaseException:
            self.done()
            raise

    def __exit__(self, *_):
        self.done()

    def done(self):
        for standby in self.standbys:
            standby.done()
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    # -- use

    def sql(self, text, database="postgres", user="postgres"):
        """What psql prints, one row a line, columns joined by |."""
        return self.run("psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-h", self.folder, "-p", str(self.port), "-U", user,
                        "-d", database, "-c", text).strip()

    def database(self, name=None, tcp=False):
        """A fresh database that belongs to the role grantd; its url."""
        if not self.count:
            self.sql(f"CREATE ROLE {ROLE} LOGIN PASSWORD '{PASSWORD}'")
        self.count += 1
        name = name or f"db{self.count}"
        self.sql(f"CREATE DATABASE {name} OWNER {ROLE} TEMPLATE template0")
        return self.url(name, tcp)

    def url(self, name, tcp=False, port=None, password=PASSWORD):
        if tcp:
            return f"postgresql://{ROLE}:{password}@127.0.0.1:{port or self.port}/{name}"
        return f"postgresql://{ROLE}@/{name}?host={self.folder}&port={self.port}"

    @staticmethod
    def url_of_many(name, ports):
        """As one writes it where any of several servers may be the primary; without the password."""
        hosts = ",".join(f"127.0.0.1:{port}" for port in ports)
        return f"postgresql://{ROLE}@{hosts}/{name}?target_session_attrs=read-write"

    @staticmethod
    def name_of(url):
        return url.split("/")[3].split("?")[0]

    def drop(self, url):
        with contextlib.suppress(subprocess.CalledProcessError):
            self.sql(f"DROP DATABASE {self.name_of(url)} WITH (FORCE)")

    def shut(self, url):
        """Nobody gets into the database any more, and who is in it is thrown out: to a store it is as if it were gone."""
        name = self.name_of(url)
        self.sql(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        self.sql(f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{name}'")

    def unshut(self, url):
        self.sql(f"ALTER DATABASE {self.name_of(url)} ALLOW_CONNECTIONS true")

    def dump(self, url):
        """Everything that is in a database, as bytes."""
        return self.run("pg_dump", "-h", self.folder, "-p", str(self.port), "-U", "postgres", self.name_of(url),
                        text=False)

    def keep(self, url, schema, path):
        """A schema as it is now, in a file that put_back puts in its place again."""
        with open(path, "w", encoding="utf-8") as file:
            file.write(self.run("pg_dump", "-h", self.folder, "-p", str(self.port), "-U", "postgres", "--clean",
                                "--if-exists", "-n", schema, self.name_of(url)))
        os.chmod(path, 0o644)

    def put_back(self, url, path):
        self.run("psql", "-Xq", "-v", "ON_ERROR_STOP=1", "-h", self.folder, "-p", str(self.port), "-U", "postgres", "-d",
                 self.name_of(url), "-f", path)

    def holding(self, url, *needles):
        """Tables, indexes and catalogues of a database in whose files any of these bytes stands."""
        name, found = self.name_of(url), set()
        self.sql("CHECKPOINT")
        places = self.sql("SELECT relname, pg_relation_filepath(oid) FROM pg_class WHERE relkind IN ('r', 'i', 't') AND "
                          "pg_relation_filepath(oid) LIKE 'base/%'", name).splitlines()
        for relation, place in (line.split("|") for line in places):
            with contextlib.suppress(FileNotFoundError), open(os.path.join(self.data, place), "rb") as file:
                data = file.read()
                found |= {relation for needle in needles if needle in data}
        return found

    def rows(self, url, schema, text, values=()):
        """Rows as tuples; ? in the text for the values. Bytes come as bytes. Of a change: nothing."""
        def literal(value):
            if value is None:
                return "NULL"
            if isinstance(value, bytes):
                return f"'\\x{value.hex()}'::bytea"
            return str(int(value)) if isinstance(value, int) else "'" + str(value).replace("'", "''") + "'"

        def plain(value):
            return bytes.fromhex(value[2:]) if isinstance(value, str) and value.startswith("\\x") else value

        for value in values:
            text = text.replace("?", literal(value), 1)
        if not text.lstrip().upper().startswith(("SELECT", "WITH")):
            self.sql(f"SET search_path = {schema}; {text}", self.name_of(url))
            return []
        out = self.sql(f"SET search_path = {schema}; SELECT coalesce(json_agg(row_to_json(t)), '[]') FROM ({text}) t",
                       self.name_of(url))
        return [tuple(plain(value) for value in row) for row in
                json.loads(out, object_pairs_hook=lambda pairs: [value for _, value in pairs])]

    def backends(self, database, like="grantd%"):
        """(pid, application_name) of who is connected to the database."""
        rows = self.sql(f"SELECT pid, application_name FROM pg_stat_activity WHERE datname = '{database}' "
                        f"AND application_name LIKE '{like}' ORDER BY pid").splitlines()
        return [(int(row.split("|")[0]), row.split("|")[1]) for row in rows]

    @staticmethod
    def kill_process(pid):
        os.kill(pid, signal.SIGKILL)

    @staticmethod
    def stop_process(pid):
        os.kill(pid, signal.SIGSTOP)

    @staticmethod
    def continue_process(pid):
        os.kill(pid, signal.SIGCONT)

    @contextlib.contextmanager
    def session(self, database):
        """A psql that stays: call it with a text, it returns when that was done."""
        psql = subprocess.Popen([binary("psql"), "-XAtq", "-h", self.folder, "-p", str(self.port), "-U", "postgres", "-d",
                                 database], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=self.folder)

        def do(text):
            psql.stdin.write(text + ";\n\\echo done\n")
            psql.stdin.flush()
            while psql.stdout.readline().strip() != "done":
                pass
        try:
            yield do
        finally:
            psql.stdin.close()
            psql.wait(10)
            psql.stdout.close()

    def standby(self, port=None, **settings):
        """A streaming standby, started; synchronous when the primary's synchronous_standby_names says so (it is
        called standby1, standby2, ...)."""
        other = Cluster(port, **{**self.settings, **settings})
        self.standbys.append(other)
        name = f"standby{len(self.standbys)}"
        self.run("pg_basebackup", "-D", other.data, "-h", self.folder, "-p", str(self.port), "-U", "postgres", "-R",
                 "-X", "stream", "-c", "fast", "--no-sync")
        other.configure(primary_conninfo=f"'host={self.folder} port={self.port} user=postgres application_name={name}'")
        other.count = self.count
        return other.start()

    def replayed(self):
        """How far a standby is."""
        return self.sql("SELECT pg_last_wal_replay_lsn()")

    def streams(self, state="streaming"):
        """Does a standby follow? "" for state: is there none?"""
        return self.sql("SELECT string_agg(state, ',') FROM pg_stat_replication") == state

    def promote(self):
        self.sql("SELECT pg_promote(true, 20)")


def main():
    if len(sys.argv) < 2:
        print(__doc__, file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with Cluster() as cluster:
        env = {**os.environ, "GRANTD_TEST_PG": cluster.database("units")}
        return subprocess.run(sys.argv[1:], env=env, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
