"""What the tests of the PostgreSQL engine share: one cluster for all of a file, a store driven by drive.c, a relay that
can cut a connection at a given place, certificates."""
import contextlib
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import unittest

from cluster import Cluster, die_with_parent

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
BUILD = os.environ.get("GRANTD_BUILD", os.path.join(ROOT, "build", "debug"))
# A loop that waited for the database would be kept for a deadline, which is a second at least wherever this is asked.
# The machine, too, keeps a process waiting now and then, but not for so long.
LOOP_MS = 500


def program(name):
    for folder, _, names in os.walk(BUILD):
        if name in names and os.access(os.path.join(folder, name), os.X_OK):
            return os.path.join(folder, name)
    raise RuntimeError(f"{name} is not built in {BUILD}")


def wait_for(what, seconds=30):
    end = time.monotonic() + seconds
    while True:
        got = what()
        if got:
            return got
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: {what.__doc__ or what}")
        time.sleep(0.02)


class Store:
    """One process with a store open."""

    def __init__(self, url, folder, *args, node="n1", deadline=3000, modules=None, faults=None, wait=True):
        os.makedirs(folder, exist_ok=True)
        env = {k: v for k, v in os.environ.items() if not k.startswith(("PG", "GRANTD_"))}
        if faults:
            env["GRANTD_FAULT"] = faults
        self.log = open(os.path.join(folder, "log"), "ab+")
        self.process = subprocess.Popen(
            [program("pg_drive"), "--url", url, "--dir", folder, "--node", node, "--deadline", str(deadline), "--modules",
             modules or os.path.join(BUILD, "store"), *args],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, env=env, preexec_fn=die_with_parent)
        self.lines, self.number, self.buffer = [], 0, b""
        self.opened = self.answer("open", 40) if wait else {}

    @property
    def pid(self):
        return self.process.pid

    def _read(self, seconds):
        if not select.select([self.process.stdout], [], [], seconds)[0]:
            return False
        data = os.read(self.process.stdout.fileno(), 65536)
        if not data:
            return False
        self.buffer += data
        *lines, self.buffer = self.buffer.split(b"\n")
        self.lines += [json.loads(line) for line in lines]
        return True

    def wait_open(self):
        self.opened = self.answer("open", 40)
        return self

    def find(self, match, seconds=30):
        """The first line of which match is true; it is taken."""
        end = time.monotonic() + seconds
        while True:
            for line in self.lines:
                if match(line):
                    self.lines.remove(line)
                    return line
            left = end - time.monotonic()
            if left <= 0 or (not self._read(left) and self.process.poll() is not None and not self._read(0)):
                raise AssertionError(f"nothing came: {self.lines} {self.log_text()[-2000:]}")

    def answer(self, name, seconds=30):
        return self.find(lambda line: line.get("id") == name, seconds)

    def send(self, verb, key="-", number=0, spool="-", news="-"):
        self.number += 1
        self.process.stdin.write(f"{verb} {self.number} {key} {number} {spool} {news}\n".encode())
        self.process.stdin.flush()
        return str(self.number)

    def do(self, *args, seconds=30, **more):
        return self.answer(self.send(*args, **more), seconds)

    def value(self, key):
        return self.do("get", key).get("value")

    def status(self):
        self.process.stdin.write(b"status\n")
        self.process.stdin.flush()
        return self.answer("status")

    def spool(self):
        self.process.stdin.write(b"spool\n")
        self.process.stdin.flush()
        return self.answer("spool")["records"]

    def news(self, seconds=30):
        return self.find(lambda line: "news" in line, seconds)["news"]

    def log_text(self):
        self.log.seek(0)
        return self.log.read().decode()

    def kill(self):
        self.process.kill()
        self.end()

    def close(self):
        if self.process.poll() is None and "result" in self.opened:
            self.process.stdin.close()
            self.find(lambda line: "closed" in line, 40)
        self.end()

    def end(self):
        if self.process.poll() is None and "result" in self.opened:
            self.process.kill()
        self.process.wait(10)
        for stream in (self.process.stdin, self.process.stdout, self.log):
            with contextlib.suppress(BrokenPipeError):
                stream.close()


class Relay:
    """Passes bytes between clients and the server. watch(data) is asked about everything that clients send; what it
    returns is done: None, "cut" (nothing of it is passed on), "pass-cut" (it is passed on, and no answer comes back),
    "hold" (nothing comes back any more, but the connection stays)."""

    def __init__(self, port):
        self.to, self.watch, self.pairs, self.stopped = port, None, [], False
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while not self.stopped:
            try:
                client, _ = self.server.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self.to))
            except OSError:
                client.close()
                continue
            pair = {"client": client, "server": server, "mute": False}
            self.pairs.append(pair)
            threading.Thread(target=self._up, args=(pair,), daemon=True).start()
            threading.Thread(target=self._down, args=(pair,), daemon=True).start()

    def _up(self, pair):
        try:
            while data := pair["client"].recv(65536):
                verdict = self.watch(data) if self.watch else None
                if verdict == "cut":
                    break
                if verdict in ("pass-cut", "hold"):
                    pair["mute"] = True
                pair["server"].sendall(data)
                if verdict == "pass-cut":
                    time.sleep(0.3)  # the server is done with it
                    break
        except OSError:
            pass
        self._close(pair)

    def _down(self, pair):
        try:
            while data := pair["server"].recv(65536):
                if not pair["mute"]:
                    pair["client"].sendall(data)
        except OSError:
            pass
        if not pair["mute"]:
            self._close(pair)

    @staticmethod
    def _close(pair):
        for end in ("client", "server"):
            try:
                pair[end].shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            pair[end].close()

    def cut_all(self):
        for pair in self.pairs:
            self._close(pair)
        self.pairs = []

    def stop(self):
        self.stopped = True
        self.server.close()
        self.cut_all()


class PgTest(unittest.TestCase):
    SETTINGS = {}

    @classmethod
    def setUpClass(cls):
        cls.cluster = Cluster(**cls.SETTINGS)
        cls.addClassCleanup(cls.cluster.done)
        cls.cluster.make().start()

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="gdpgt-")
        self.addCleanup(shutil.rmtree, self.folder, True)
        self.stores = []
        if not self.cluster.process:
            self.cluster.start()
        self.url = self.cluster.database()
        self.database = self.url.split("/")[3].split("?")[0]

    def tearDown(self):
        for store in self.stores:
            if store.process.poll() is None:
                store.process.send_signal(signal.SIGCONT)
                store.process.kill()
            store.end()

    def store(self, *args, url=None, folder="a", **more):
        store = Store(url or self.url, os.path.join(self.folder, folder), *args, **more)
        self.stores.append(store)
        return store

    def good(self, *args, **more):
        store = self.store(*args, **more)
        self.assertEqual(store.opened.get("result"), "ok", store.opened)
        return store

    def refused(self, reason, *args, **more):
        """The start is refused with this word; the whole answer comes back."""
        store = self.store(*args, **more)
        self.assertEqual(store.opened.get("reason"), reason, store.opened)
        return store.opened

    def ok(self, answer):
        self.assertEqual(answer["result"], "ok", answer)
        return answer

    def failed(self, answer, reason):
        self.assertEqual((answer["result"], answer.get("reason")), ("failed", reason), answer)
        return answer

    def backend(self, name, node="n1"):
        """The server's process of one connection of a store."""
        found = wait_for(lambda: self.cluster.backends(self.database, f"grantd/{node}/{name}"))
        return found[0][0]
