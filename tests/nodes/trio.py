"""Several nodes of one installation on one PostgreSQL: real daemons, each with its own folder, socket and port, the same
key, apps and providers, one accounting server, and one door through which browsers come in."""
import contextlib
import json
import os
import shutil
import signal
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
for folder in ("daemon", "pg"):
    sys.path.insert(0, os.path.join(os.path.dirname(HERE), folder))
from cluster import PASSWORD, Cluster, free_port  # noqa: E402,F401
from harness import (  # noqa: E402,F401
    AS_ORIGIN, BUILD, POLICIES, Box, Daemon, Gone, Rpc, RpcError, bytes_of, has_faults, program,
    wait_for)
from wire import Wire  # noqa: E402

LEASE_MS = 2000
LIMITS = {"request_deadline_ms": 400, "quiet_ms": 400, "family_lease_ms": 1000, "skew_ms": 400,
          "node_lease_ms": LEASE_MS, "outage_ms": 1000, "margin_min_ms": 500}


class Failed(Exception):
    """What must hold does not."""


class TooEarly(Exception):
    """The node met its point with something else that was due: nothing is said of it."""


class Node(Box):
    """One of them. What all share belongs to the first."""

    def __init__(self, trio, number):
        super().__init__({**LIMITS, **trio.limits})
        self.trio, self.number = trio, number
        if trio.nodes:
            first = trio.nodes[0]
            shutil.rmtree(self.inputs)
            self.inputs, self.apps, self.origins, self.canaries = first.inputs, first.apps, first.origins, first.canaries
        self.config_path = os.path.join(self.inputs, f"grantd{number}.yaml")
        self.public = False  # all have one address
        self.key = None  # of its own; else all have one

    def write_config(self):
        store = {"url": self.trio.url(self), "module_dir": os.path.join(BUILD, "store"), **self.trio.store}
        if self.trio.wires:
            store["password"] = {"file": self.trio.password}
        self.extra = "".join(f"{key}: {json.dumps(value)}\n" for key, value in (
            ("public_url", self.trio.public_url), ("key", self.key or {"file": self.trio.key}), ("store", store),
            ("node", {"name": f"node-{self.number}"})))
        super().write_config()

    def consent(self, app, login="anna", confirm=False, **item):
        self.trio.door_to(self)
        return super().consent(app, login, confirm, **item)

    def spools_with(self, text):
        """Names of the files beside the store, the list of whom was erased and the audit log apart, that hold this."""
        return {name for name in os.listdir(self.state)
                if name.startswith("spool") and text.encode() in bytes_of(os.path.join(self.state, name))}

    # -- one process

    def up(self):
        return bool(self.daemon) and self.daemon.alive()

    def call(self, method, **params):
        """On a connection of its own; a node that starts itself anew is asked again."""
        end = time.monotonic() + 20
        while True:
            line = None
            try:
                line = Rpc(self.socket_path)
                return line.call(method, **params)
            except (Gone, OSError):
                if not self.up() or time.monotonic() > end:
                    raise
                time.sleep(0.02)
            finally:
                if line:
                    line.close()

    def frozen(self):
        """It is alive and stopped."""
        with contextlib.suppress(OSError, AttributeError):
            with open(f"/proc/{self.daemon.process.pid}/stat", encoding="ascii", errors="replace") as file:
                return file.read().rsplit(")", 1)[1].split()[0] == "T"
        return False

    def freeze(self):
        self.daemon.process.send_signal(signal.SIGSTOP)

    def thaw(self):
        self.daemon.process.send_signal(signal.SIGCONT)

    def name(self):
        return self.call("node.list")["this"]

    def worker(self):
        return self.call("daemon.status")["nodes"]["worker"]

    def states(self):
        """Of all nodes, as this one sees them."""
        return {node["name"]: node["state"] for node in self.call("node.list")["nodes"]}

    def token(self, grant):
        return self.call("grant.token", grant=grant)

    def status(self, grant):
        return self.call("grant.get", grant=grant)["grant"]["layers"]["token"]["status"]


class Failover:
    """A primary and a standby, which change places on two ports."""

    def __init__(self, cluster, **settings):
        self.primary, self.old = cluster, None
        self.standby = cluster.standby(**settings)
        self.ports = (cluster.port, self.standby.port)

    def leave_behind(self):
        """From now on the standby hears nothing."""
        wait_for(self.primary.streams, 20, 0.05)
        self.standby.sql("ALTER SYSTEM SET primary_conninfo = ''")
        self.standby.reload()
        wait_for(lambda: self.primary.streams(""), 10, 0.05)

    def replayed(self):
        """Until the standby has replayed all that it received."""
        at = None
        while at != self.standby.replayed():
            at = self.standby.replayed()
            time.sleep(0.2)

    def fail_over(self):
        """The primary is gone, the standby stands in for it, alone."""
        self.primary.kill()
        self.replayed()
        self.standby.promote()
        self.standby.reload(synchronous_standby_names="''")
        self.primary.standbys.remove(self.standby)
        self.old, self.primary = self.primary, self.standby

    def old_says(self, ask):
        """What the old primary took along: ask(it), where no node comes by."""
        port, self.old.port = self.old.port, free_port()
        try:
            return ask(self.old.start())
        finally:
            self.old.stop()
            self.old.port = port

    def renew(self):
        """A new standby in the place of the old primary."""
        self.old.done()
        self.standby, self.old = self.primary.standby(self.old.port), None

    def done(self):
        if self.old:
            self.old.done()
        self.primary.done()


class Trio:
    """n nodes. cluster: a running Cluster, or whatever stands in its place later; wired: each node has a wire of its own
    to it; ports: of all servers that may be the primary, which the last node knows instead of having a wire."""

    def __init__(self, cluster, n=3, limits=None, store=None, wired=False, ports=()):
        self.cluster, self.limits, self.store, self.ports = cluster, limits or {}, store or {}, ports
        self.nodes, self.server, self.wires, self.door = [], None, {}, None
        self.names = {}
        self.plain_url = cluster.database(tcp=wired)
        self.database = self.plain_url.split("?")[0].rsplit("/", 1)[1]
        try:
            for number in range(n):
                self.nodes.append(Node(self, number))
            if wired:
                self.password = self.nodes[0].secret_file("database", PASSWORD)[0]
                self.wires = {node.number: Wire(lambda: self.cluster.port) for node in self.nodes}
            self.first = self.nodes[0]
            self.key = os.path.join(self.first.inputs, "kek")
            with open(os.open(self.key, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
                file.write(os.urandom(32))
            self.at = self.first
            self.door = Wire(lambda: self.at.port)
            self.public_url = f"http://127.0.0.1:{self.door.port}"
            self.server = self.first.accounting()
        except BaseException:
            self.close()
            raise

    def url(self, node):
        """Of the database, as this node gets there."""
        if not self.wires:
            return self.plain_url
        if self.ports and node is self.nodes[-1]:
            return self.cluster.url_of_many(self.database, self.ports)
        return self.cluster.url_of_many(self.database, [self.wires[node.number].port])

    def door_to(self, node):
        """Browsers come to this one from now on."""
        self.at = node

    def policies(self, *policies, **settings):
        for policy in policies or POLICIES:
            self.first.policy_app(self.server, policy, **{"at_ttl": 3600, "grace": 60, **settings})

    # -- life

    def start(self, *nodes, faults=None):
        """Those, or all that are not there; side by side."""
        todo = [node for node in nodes or self.nodes if not node.up()]
        for node in todo:
            node.write_config()
            node.daemon = Daemon(node, faults)  # from this thread: when it ends, so does what it started
        for node in todo:
            node.daemon.wait_ready()
            if node not in self.names:
                self.names[node] = node.name()

    def others(self, *nodes):
        return [node for node in self.nodes if node not in nodes and node.up() and not node.frozen()]

    def buried(self, node, seconds=30):
        """Until the others have taken over what that one left."""
        name = self.names[node]
        wait_for(lambda: self.sql(f"SELECT state FROM grantd.nodes WHERE name = '{name}'") == "gone", seconds, 0.1)
        for other in self.others(node):
            wait_for(lambda other=other: other.states().get(name, "gone") == "gone", seconds, 0.05)

    def all_live(self, seconds=30):
        """Every node knows every other."""
        for node in self.nodes:
            wait_for(lambda node=node: sorted(node.states().values()) == ["live"] * len(self.nodes), seconds, 0.05)

    def stop(self):
        """All end well, side by side."""
        for node in self.nodes:
            if node.up():
                node.daemon.process.send_signal(signal.SIGTERM)
        return {node.number: node.daemon.wait_dead(20) for node in self.nodes if node.daemon}

    def close(self):
        for node in self.nodes:
            if node.daemon and node.daemon.alive():
                node.thaw()
        for node in self.nodes:
            node.end()
        for wire in [self.door, *self.wires.values()]:
            if wire:
                wire.close()
        for node in reversed(self.nodes):
            node.remove()

    # -- what is true

    def sql(self, text):
        return self.cluster.sql(text, self.database)

    def families(self):
        return self.server.get("/_ctl/report")["families"]

    def twice(self):
        """So often a spent token of a family server was shown while its access token lived."""
        return sum(f["reuse_presented"] for f in self.families() if f["policy"] == "family")

    def same_everywhere(self, grant, seconds=20):
        """Every node gives out the same token of this grant."""
        def same():
            """all nodes vend the same"""
            try:
                got = {(t["access_token"], t["gen"]) for t in (node.token(grant) for node in self.nodes)}
            except RpcError as e:
                if e.reason != "CONFLICT":  # being renewed this moment
                    raise
                return False
            return len(got) == 1 and got
        return wait_for(same, seconds, 0.05)

    def whole(self):
        """What must hold after whatever happened."""
        for node in self.nodes:
            verdict = node.call("audit.verify")
            if not verdict["ok"]:
                raise AssertionError(f"the audit log of node {node.number}: {verdict}")
        found = self.sql("SELECT credential_id, count(*) FROM grantd.token_versions WHERE status = 'current'"
                         " GROUP BY 1 HAVING count(*) > 1")
        if found:
            raise AssertionError(f"two current generations: {found}")

    def search_secrets(self):
        """In all that the nodes and the database wrote."""
        for node in self.nodes:
            node.search_secrets()
        for folder, _, names in os.walk(self.cluster.data):
            for name in names:
                self.first.forbid(bytes_of(os.path.join(folder, name)), "the database: " + name)

    def logs(self, size=1200):
        return "\n".join(f"--- node {node.number}{'' if node.up() else ', ended'}{', frozen' if node.frozen() else ''}\n"
                         f"{node.log_tail(size)}" for node in self.nodes)
