"""Starts the servers of the tests as child processes, tells their ports, and ends them whatever happens."""
import atexit
import collections
import ctypes
import json
import os
import random
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
READY_SECONDS = 40


LIBC = ctypes.CDLL(None)
PR_SET_PDEATHSIG = 1
PORTS_KEPT = 200  # of this process; each costs it a descriptor
_kept = collections.deque()
atexit.register(lambda: [name.close() for name in _kept])


def ports():
    """Those that no connection is given by the kernel: between asking for a port and listening on it, and while a server
    is away, somebody else's connection may take any other."""
    try:
        with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as file:
            given = int(file.read().split()[0])
    except OSError:
        given = 32768
    return range(10000, given if given > 12000 else 60000)


def free_port():
    """A port of 127.0.0.1 that nobody listens on. It is this process's, among all that ask here, until it ends: a name in
    the abstract namespace says so, which is of one network like the port itself."""
    for port in random.SystemRandom().sample(ports(), 500):
        name = socket.socket(socket.AF_UNIX)
        try:
            name.bind(f"\0grantd-test-port-{port}")
            with socket.socket() as s:
                s.bind(("127.0.0.1", port))
        except OSError:
            name.close()
            continue
        _kept.append(name)
        if len(_kept) > PORTS_KEPT:
            _kept.popleft().close()
        return port
    raise RuntimeError("there is no free port")


def die_with_parent():
    """Runs in the child: whatever becomes of the test, its servers do not outlive it."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def bytes_of(path):
    """What is in a file that may go away at this moment; nothing then."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return b""


def wait_listening(process, port, log, seconds=20):
    """Until a server that says nothing when it is ready takes connections. Started is not yet listening: on a machine that
    has to read the program from its disk it is not for long."""
    end = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except OSError:
            if time.monotonic() > end or process.poll() is not None:
                with open(log, encoding="utf-8", errors="replace") as file:
                    raise RuntimeError(f"{process.args[0]} did not get ready: {file.read()[-1000:]}") from None
        time.sleep(0.02)


class Child:
    """One server: started with its output in a file, ready when it printed its ready line."""

    def __init__(self, name, command, folder, env=None):
        self.name = name
        self.log = os.path.join(folder, name + ".log")
        self.errors = open(self.log, "ab")
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self.errors, stdin=subprocess.DEVNULL,
                                        env={**os.environ, **(env or {})}, start_new_session=True,
                                        preexec_fn=die_with_parent)
        self.ready = self._wait()
        self.port = self.ready["port"]
        self.base = f"http://127.0.0.1:{self.port}"

    def _wait(self):
        end = time.monotonic() + READY_SECONDS
        while time.monotonic() < end:
            if select.select([self.process.stdout], [], [], 0.2)[0]:
                line = self.process.stdout.readline()
                if not line:
                    break
                try:
                    ready = json.loads(line)
                except ValueError:
                    continue
                if isinstance(ready, dict) and ready.get("event") == "ready":
                    return ready
        self.stop()
        with open(self.log, encoding="utf-8", errors="replace") as file:
            raise RuntimeError(f"{self.name} did not get ready: {file.read()[-2000:]}")

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        if self.process.stdout:
            self.process.stdout.close()
        self.errors.close()

    def get(self, path):
        with urllib.request.urlopen(self.base + path, timeout=10) as answer:
            return json.loads(answer.read())

    def post(self, path, value):
        request = urllib.request.Request(self.base + path, json.dumps(value).encode(),
                                         {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read())


def accounting(folder, issuer="", port=0, name="as"):
    command = [sys.executable, os.path.join(HERE, "as.py"), "--port", str(port)]
    return Child(name, command + (["--issuer", issuer] if issuer else []), folder)


def relay(folder, to, name="relay"):
    return Child(name, [sys.executable, os.path.join(HERE, "relay.py"), "--to", str(to)], folder)


def oidc_provider_installed():
    return os.path.isdir(os.path.join(HERE, "oidc-provider", "node_modules", "oidc-provider"))


def oidc_provider(folder, issuer="", name="oidc-provider", **env):
    """Needs `npm ci` in tests/servers/oidc-provider, which tools/setup does."""
    node = shutil.which("node") or shutil.which("nodejs")
    if not node or not oidc_provider_installed():
        raise RuntimeError("oidc-provider is not installed: run tools/setup")
    settings = {key.upper(): str(value) for key, value in env.items()}
    if issuer:
        settings["ISSUER"] = issuer
    settings["NODE_ENV"] = "production"
    return Child(name, [node, os.path.join(HERE, "oidc-provider", "server.js")], folder, settings)
