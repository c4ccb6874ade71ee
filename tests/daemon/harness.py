"""What the functional tests stand on: a real grantd in a folder of its own, real servers, a scripted browser. Whatever
happens, everything that was started is ended; and after every test all that grantd wrote is searched for secrets.

The build under test is named by GRANTD_BUILD (ctest sets it)."""
import atexit
import contextlib
import json
import os
import re
import secrets
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [os.path.join(ROOT, "tests", "servers"), os.path.join(ROOT, "tests", "pg")]
import cluster  # noqa: E402
import start  # noqa: E402
from start import bytes_of, free_port  # noqa: E402,F401
from browser import Browser, origin_of  # noqa: E402,F401

BUILD = os.environ.get("GRANTD_BUILD", os.path.join(ROOT, "build", "debug"))
AS_ORIGIN = "https://as.test.example"
POLICIES = ("none", "overlap", "grace", "strict", "family")
# Every token of the accounting server, every secret made here: none may be found in anything that grantd writes. With nothing
# of the alphabet around it: in the base64 of what is sealed those letters stand by chance.
TOKEN = re.compile(rb"(?<![A-Za-z0-9_-])(?:at|rt)-[A-Za-z0-9_-]{32}(?![A-Za-z0-9_-])")


# With GRANTD_TEST_STORE=postgresql every box has a database of its own in one cluster for the whole run.
SHARED = os.environ.get("GRANTD_TEST_STORE") == "postgresql"
_cluster = []


def the_cluster():
    if not _cluster:
        _cluster.append(cluster.Cluster().make())
        atexit.register(_cluster[0].done)
        _cluster[0].start()
    return _cluster[0]


def program(name):
    for folder, _, names in os.walk(BUILD):
        if name in names and os.access(os.path.join(folder, name), os.X_OK):
            return os.path.join(folder, name)
    raise RuntimeError(f"{name} is not built in {BUILD}")


def has_faults():
    """What GRANTD_FAULT names can be met."""
    try:
        with open(os.path.join(BUILD, "CMakeCache.txt"), encoding="utf-8") as cache:
            return "GRANTD_FAULTS:BOOL=ON" in cache.read()
    except FileNotFoundError:
        return False


def sanitized():
    """The build watches itself, and is several times slower for it."""
    with open(os.path.join(BUILD, "CMakeCache.txt"), encoding="utf-8") as cache:
        return re.search(r"^GRANTD_SANITIZE:\w+=.", cache.read(), re.M) is not None


def wait_for(what, seconds=30, step=0.01):
    """The first true answer of what(); an error after seconds."""
    end = time.monotonic() + seconds
    while True:
        got = what()
        if got:
            return got
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: {getattr(what, '__doc__', None) or what}")
        time.sleep(step)


class RpcError(Exception):
    def __init__(self, error):
        super().__init__(json.dumps(error))
        self.error = error
        self.reason = (error.get("data") or {}).get("reason")


class Gone(Exception):
    """The daemon closed the connection instead of an answer."""


class Rpc:
    """One connection: one JSON object a line, both ways."""

    def __init__(self, path, timeout=30):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(timeout)
        self.socket.connect(path)
        self.buffer, self.number = b"", 0

    def send(self, method, **params):
        self.number += 1
        call = {"jsonrpc": "2.0", "id": self.number, "method": method, "params": params}
        self.socket.sendall(json.dumps(call).encode() + b"\n")
        return self.number

    def line(self):
        while b"\n" not in self.buffer:
            try:
                data = self.socket.recv(65536)
            except ConnectionError as e:
                raise Gone() from e
            if not data:
                raise Gone()
            self.buffer += data
        line, self.buffer = self.buffer.split(b"\n", 1)
        return line

    def reply(self):
        answer = json.loads(self.line())
        if "error" in answer:
            raise RpcError(answer["error"])
        return answer["result"]

    def call(self, method, **params):
        try:
            self.send(method, **params)
        except (BrokenPipeError, ConnectionError) as e:
            raise Gone() from e
        return self.reply()

    def close(self):
        self.socket.close()


class Daemon:
    """One life of grantd."""

    def __init__(self, box, faults=None, env=None):
        self.box = box
        given = {k: v for k, v in os.environ.items() if not k.startswith("GRANTD_")}
        if faults:
            given["GRANTD_FAULT"] = faults
        given.update(env or {})
        self.ready = None
        self.event = threading.Event()
        self.process = subprocess.Popen([program("grantd"), "--config", box.config_path, "--own-platforms", *box.args],
                                        stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=given, cwd=box.folder,
                                        start_new_session=True, preexec_fn=start.die_with_parent)
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()
        self._rpc = None

    def _read(self):
        with open(self.box.log_path, "ab") as log:
            for line in self.process.stdout:
                log.write(line)
                log.flush()
                if b"ready" in line and self.ready is None:
                    try:
                        found = json.loads(line)
                    except ValueError:
                        continue
                    if found.get("event") == "ready":
                        self.ready = found
                        self.event.set()
        self.event.set()

    def wait_ready(self, seconds=20):
        if not self.event.wait(seconds) or self.ready is None:
            raise AssertionError(f"grantd did not get ready: {self.box.log_tail()}")
        return self

    @property
    def rpc(self):
        if self._rpc is None:
            self._rpc = Rpc(self.box.socket_path)
        return self._rpc

    def alive(self):
        return self.process.poll() is None

    def wait_dead(self, seconds=10):
        self.process.wait(seconds)
        self.thread.join(5)
        self.close()
        return self.process.returncode

    def close(self):
        if self._rpc:
            self._rpc.close()
            self._rpc = None

    def kill9(self):
        self.process.kill()
        return self.wait_dead()

    def stop(self, seconds=20):
        """SIGTERM: drains and ends by itself; must end well."""
        self.box.look_at_process(self)
        self.close()
        if self.alive():
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.wait_dead(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.wait_dead()
            raise AssertionError(f"grantd did not end on SIGTERM: {self.box.log_tail()}") from None


class Box:
    """A folder with everything of one installation, and the servers beside it."""

    def __init__(self, limits=None, extra_yaml="", public=True):
        self.folder = tempfile.mkdtemp(prefix="grantd-")
        os.chmod(self.folder, 0o755)
        self.state = os.path.join(self.folder, "state")
        os.mkdir(self.state, 0o700)
        self.inputs = os.path.join(self.folder, "inputs")
        os.mkdir(self.inputs, 0o755)
        self.config_path = os.path.join(self.inputs, "grantd.yaml")
        self.socket_path = os.path.join(self.folder, "s")
        self.log_path = os.path.join(self.folder, "grantd.log")
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.limits = {"request_deadline_ms": 3000, "quiet_ms": 3000, "skew_ms": 0, "family_lease_ms": 3000,
                       "per_minute": 100000, "burst": 1000, "outage_ms": 1000, "margin_min_ms": 1000,
                       **(limits or {})}
        self.extra, self.public, self.args = extra_yaml, public, []
        self.apps, self.hubs, self.origins, self.canaries = {}, {}, {}, set()
        self.platform_dir = os.path.join(BUILD, "platforms")
        self.store = {"url": the_cluster().database(), "module_dir": os.path.join(BUILD, "store")} if SHARED else None
        self.children, self.daemon = [], None
        os.mkdir(os.path.join(self.inputs, "providers"))

    # -- configuration

    def secret_file(self, name, value=None):
        value = value or "canary-" + secrets.token_hex(12)
        path = os.path.join(self.inputs, name + ".secret")
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            file.write(value)
        self.canaries.add(value.encode())
        return path, value

    def app(self, name, **options):
        """One developer registration; client_secret is made here and returned."""
        path, value = self.secret_file(name, options.pop("client_secret", None))
        self.apps[name] = {"platform": "oauth2", "client_id": name, **options, "client_secret": {"file": path}}
        return value

    def provider(self, description):
        path = os.path.join(self.inputs, "providers", description["id"] + ".json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump(description, file)

    def write_config(self):
        config = {"listen": f"127.0.0.1:{self.port}", "state_dir": self.state, "socket": self.socket_path,
                  "platform_dir": self.platform_dir,
                  "provider_dir": os.path.join(self.inputs, "providers"),
                  "apps": self.apps, "origins": self.origins, "limits": self.limits}
        if self.store:
            config["store"] = self.store
        if self.hubs:
            config["hubs"] = self.hubs
        if self.public:
            config["public_url"] = self.url
        with open(self.config_path, "w", encoding="utf-8") as file:
            # JSON is YAML; so the file says exactly what the test means.
            file.write("\n".join(f"{key}: {json.dumps(value)}" for key, value in config.items()) + "\n" + self.extra)
        os.chmod(self.config_path, 0o644)

    # -- servers

    def child(self, child):
        self.children.append(child)
        return child

    def accounting(self, name="as", origin=AS_ORIGIN):
        """The accounting server with one app a policy."""
        server = self.child(start.accounting(self.folder, issuer=origin, name=name))
        self.origins[origin] = server.base
        return server

    def policy_app(self, server, policy, name=None, origin=AS_ORIGIN, **settings):
        name = name or policy
        secret = self.app(name, provider="acct_" + policy)
        server.post("/_ctl/client", {"client_id": name, "secret": secret, "policy": policy, **settings})
        self.provider(description(policy, origin, settings.get("grace", 2)))
        return name

    # -- the daemon

    def start(self, faults=None, env=None, config=True):
        if config:
            self.write_config()
        self.daemon = Daemon(self, faults, env)
        return self.daemon.wait_ready()

    def log_tail(self, size=3000):
        if not os.path.exists(self.log_path):
            return ""
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            return file.read()[-size:]

    def ctl(self, *args, check=True, stdin=None):
        """grantctl as a person calls it. With check the parsed --json answer, else the finished process."""
        command = [program("grantctl"), "--socket", self.socket_path, *args]
        if check and "--json" not in args:
            command.append("--json")
        done = subprocess.run(command, stdin=subprocess.DEVNULL if stdin is None else None, input=stdin,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
        if not check:
            return done
        if done.returncode:
            raise AssertionError(f"grantctl {' '.join(args)}: {done.returncode} {done.stderr} {done.stdout}")
        return json.loads(done.stdout)

    # -- what is done again and again

    def ask(self, *apps, confirm=False, **item):
        """A client and a request; returns (link, request id)."""
        rpc = self.daemon.rpc
        client = rpc.call("client.create", name="Anna Bakery", email="anna@client.example")["client"]["id"]
        made = rpc.call("request.create", client=client, confirm=confirm, items=[{"app": app, **item} for app in apps])
        self.canaries.add(made["link"].rsplit("/", 1)[1].encode())
        return made["link"], made["request"]["id"]

    def browser(self):
        return Browser(self.origins)

    def consent_unconfirmed(self, app):
        return self.consent(app, confirm=True)

    def consent(self, app, login="anna", confirm=False, **item):
        """The whole way of one client: returns the id of the grant."""
        link, request = self.ask(app, confirm=confirm, **item)
        browser = self.browser()
        page = browser.open(link)
        if page.status != 200:
            raise AssertionError(f"the link answers {page.status}: {page.text[:400]}")
        page = browser.walk(login=login)
        grants = self.daemon.rpc.call("request.get", request=request)["request"]["items"][0]["grants"]
        if not grants:
            raise AssertionError(f"no grant came out; the browser ends at {page.url} ({page.status}): {page.text[:600]}"
                                 f"\n{browser.history}\n{self.log_tail()}")
        return grants[0]

    def grant(self, grant):
        return self.daemon.rpc.call("grant.get", grant=grant)["grant"]

    # -- the end

    def look_at_process(self, daemon):
        """What other people of the machine could see of the process."""
        for name in ("cmdline", "environ"):
            try:
                with open(f"/proc/{daemon.process.pid}/{name}", "rb") as file:
                    self.forbid(file.read(), name)
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                pass

    def forbid(self, data, where):
        for canary in self.canaries:
            if canary in data:
                raise AssertionError(f"a secret is in {where}: {canary[:10]!r}...")
        found = TOKEN.search(data)
        if found:
            raise AssertionError(f"a token is in {where}: {found.group(0)[:8]!r}...")

    def search_secrets(self):
        """T40: no canary in anything that grantd wrote."""
        for folder, _, names in os.walk(self.state):
            for name in names:
                path = os.path.join(folder, name)
                if os.path.isfile(path):
                    self.forbid(bytes_of(path), os.path.relpath(path, self.folder))
        self.forbid(bytes_of(self.log_path), "the log")
        if self.store:
            self.forbid(the_cluster().dump(self.store["url"]), "the database")

    def databases(self):
        out = []
        for folder, _, names in os.walk(self.state):
            out += [os.path.join(folder, name) for name in names if name.endswith(".db")]
        return out

    def rows(self, text, *values, keyring=False):
        """What the store holds, or a change of it behind the daemon's back; ? for values."""
        if self.store:
            return the_cluster().rows(self.store["url"], "grantd_keys" if keyring else "grantd", text, values)
        path = os.path.join(self.state, "keyring.db" if keyring else "grantd.db")
        with contextlib.closing(sqlite3.connect(path)) as database, database:
            return database.execute(text, values).fetchall()

    def tables(self):
        """Those of the data, without what an engine keeps for itself."""
        own = ("schema_migrations", "installation", "feed")
        found = self.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'grantd'" if self.store else
                          "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
        return {name for name, in found if name not in own}

    def keep(self, keyring=False):
        """A copy of the store as it is now, made behind the daemon's back."""
        schema = "grantd_keys" if keyring else "grantd"
        kept = os.path.join(self.folder, f"kept-{schema}-{secrets.token_hex(4)}")
        if self.store:
            the_cluster().keep(self.store["url"], schema, kept)
            return kept
        path = os.path.join(self.state, "keyring.db" if keyring else "grantd.db")
        with contextlib.closing(sqlite3.connect(path)) as database:
            database.execute("VACUUM INTO ?", (kept,))
        return kept

    def put_back(self, kept, keyring=False):
        """While no daemon runs."""
        if self.store:
            the_cluster().put_back(self.store["url"], kept)
            return
        self.take_away(keyring)
        shutil.copyfile(kept, os.path.join(self.state, "keyring.db" if keyring else "grantd.db"))

    def take_away(self, keyring=False):
        """The store is moved away, and where a node remembers whose it was that is, too: the next start finds nothing."""
        path = os.path.join(self.state, "keyring.db" if keyring else "grantd.db")
        for end in ("", "-wal", "-shm", ".installation"):
            with contextlib.suppress(FileNotFoundError):
                os.remove(path + end)
        if self.store:
            schema = "grantd_keys" if keyring else "grantd"
            the_cluster().sql(f"DROP SCHEMA {schema} CASCADE", the_cluster().name_of(self.store["url"]))

    def holding(self, *needles):
        """Files of the daemon, and tables of its database, that hold any of these bytes."""
        found = set()
        for folder, _, names in os.walk(self.state):
            for name in names:
                path = os.path.join(folder, name)
                if os.path.isfile(path):
                    data = bytes_of(path)
                    found |= {name for needle in needles if needle in data}
        return found | the_cluster().holding(self.store["url"], *needles) if self.store else found

    def integrity(self):
        """Of every database, after the daemon has ended."""
        for path in self.databases():
            with contextlib.closing(sqlite3.connect(path)) as database:
                found = database.execute("PRAGMA integrity_check").fetchall()
            if found != [("ok",)]:
                raise AssertionError(f"{os.path.basename(path)}: {found[:5]}")

    def end(self):
        if self.daemon and self.daemon.alive():
            self.daemon.kill9()
        for child in self.children:
            child.stop()
        if self.store:
            the_cluster().drop(self.store["url"])

    def remove(self):
        shutil.rmtree(self.folder, ignore_errors=True)


def description(policy, origin, grace=2):
    """A provider description for the accounting server."""
    out = {"schema": 1, "id": "acct_" + policy, "title": "Accounting server, " + policy,
           "authorize": {"url": origin + "/authorize"}, "scope": {"default": ["email"]},
           "client": {"auth": "basic"}, "token": {"url": origin + "/token"},
           "response": {"account_id": "account"}, "refresh": {"retry_class": policy},
           "revoke": {"style": "rfc7009", "url": origin + "/revoke", "token": "refresh"},
           "verify": {"url": origin + "/userinfo", "account_id": "sub"}}
    if policy == "grace":
        out["refresh"]["retry_grace_s"] = max(1, int(grace))
    if policy == "exchange":
        out["refresh"] = {"mode": "access_token", "url": origin + "/exchange", "method": "GET",
                          "query": {"grant_type": "exchange", "access_token": "${access_token}"}, "retry_class": "none"}
        out["revoke"]["token"] = "access"
    return out


class GrantdTest(unittest.TestCase):
    """A box for every test; at its end the daemon ends well, its files are whole, and nothing secret lies about."""
    LIMITS = None
    EXTRA = ""

    def setUp(self):
        self.box = Box(self.LIMITS, self.EXTRA)
        self.addCleanup(self.box.remove)
        self.addCleanup(self.box.end)

    def tearDown(self):
        if self._outcome_failed():
            sys.stderr.write(f"--- log of {self.id()}\n{self.box.log_tail()}\n---\n")
            return
        if self.box.daemon and self.box.daemon.alive():
            self.assertEqual(self.box.daemon.stop(), 0, self.box.log_tail())
        self.box.integrity()
        self.box.search_secrets()

    def _outcome_failed(self):
        result = getattr(self._outcome, "result", None)
        pairs = (getattr(result, "failures", []) or []) + (getattr(result, "errors", []) or [])
        return any(test is self for test, _ in pairs)

    @property
    def rpc(self):
        return self.box.daemon.rpc

    def refused(self, reason, method, **params):
        with self.assertRaises(RpcError) as caught:
            self.rpc.call(method, **params)
        self.assertEqual(caught.exception.reason, reason, str(caught.exception))
        return caught.exception
