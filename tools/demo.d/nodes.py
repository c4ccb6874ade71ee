"""The walk of tools/demo --nodes N: several grantds on one PostgreSQL behind one address; one dies in mid-refresh."""
import os
import shutil
import subprocess
import sys
import time

from provider import TOKEN_SECONDS, Provider
from stage import ROOT, Stage, Wrong, start
from browser import Browser

sys.path.insert(0, os.path.join(ROOT, "tests", "pg"))
from cluster import Cluster  # noqa: E402

LEASE_MS = 2000
PEOPLE = ("anna", "ben", "carla", "dora", "emil", "fay", "gus", "hana", "ivo", "jan", "kim", "lea")
LATE = "zoe"  # her link is open while a node dies

# What an agency puts in front of its nodes: no stickiness is needed, a node that drains or is gone is left out. The header
# is for this demonstration alone: it shows who answered.
DOOR = """global
    maxconn 200
defaults
    mode http
    retries 3
    option redispatch
    timeout connect 2s
    timeout client 30s
    timeout server 30s
frontend door
    bind 127.0.0.1:{port}
    default_backend nodes
backend nodes
    balance roundrobin
    option httpchk
    http-check send meth GET uri /health ver HTTP/1.1 hdr Host grantd
    default-server check inter 300ms fall 2 rise 1
    http-response set-header X-Answered-By %s
{servers}
"""


class Door:
    """haproxy, as Debian has it."""

    def __init__(self, stage, port, nodes):
        config = os.path.join(stage.folder, "haproxy.cfg")
        with open(config, "w", encoding="utf-8") as file:
            file.write(DOOR.format(port=port, servers="\n".join(f"    server {n.name} 127.0.0.1:{n.port}" for n in nodes)))
        self.log = open(os.path.join(stage.folder, "haproxy.log"), "ab")
        self.process = subprocess.Popen([self.find(), "-db", "-f", config], stdin=subprocess.DEVNULL, stdout=self.log,
                                        stderr=self.log, start_new_session=True, preexec_fn=start.die_with_parent)
        start.wait_listening(self.process, port, self.log.name)

    @staticmethod
    def find():
        """Debian keeps it where only root looks."""
        path = shutil.which("haproxy", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
        if not path:
            raise Wrong("haproxy is not installed: run tools/setup demo")
        return path

    def stop(self):
        self.process.terminate()
        self.process.wait(10)
        self.log.close()


class Watcher(Browser):
    """Notices which node answered."""

    def __init__(self):
        super().__init__()
        self.answered = []

    def request(self, *args, **more):
        page = super().request(*args, **more)
        node = page.header("x-answered-by")
        if node and node not in self.answered[-1:]:
            self.answered.append(node)
        return page


class Node(Stage):
    """One grantd with a folder, a socket and a port of its own: as if it had a machine."""

    def __init__(self, build, number):
        super().__init__(build)
        self.name, self.port = f"node-{number}", self.free_port()

    def in_flight(self):
        return self.grantctl("daemon", "status")["broker"]["in_flight"]

    def states(self):
        """Of all nodes, as this one sees them."""
        return {n["name"]: n["state"] for n in self.grantctl("node", "list")["nodes"]}


class Nodes(Stage):
    def __init__(self, build, count):
        super().__init__(build)
        self.nodes = [Node(build, number + 1) for number in range(count)]
        self.grants, self.links, self.dead, self.cluster = {}, {}, None, None

    def walk(self):
        self.servers()
        self.start_nodes()
        self.approve_all()
        self.use()
        self.stay_alive()
        self.kill_one()
        self.link_works()
        self.taken_over()
        self.comes_back()
        self.end_access()
        self.audit()

    def living(self):
        return [node for node in self.nodes if node is not self.dead]

    # -- the pieces

    def servers(self):
        self.step("A PostgreSQL starts, and an authorization server that we did not write (npm oidc-provider: a spent refresh "
                  "token that comes back kills the whole grant)")
        self.cluster = Cluster()
        self.cluster.make().start()
        self.provider = Provider(self)
        self.say(f"PostgreSQL {self.cluster.sql('SHOW server_version')}; access tokens live {TOKEN_SECONDS} seconds")

    def start_nodes(self):
        self.step(f"{len(self.nodes)} grantds start: one database, one key that each was given, one address in front (haproxy)")
        door, url = self.free_port(), self.cluster.database()
        key = os.urandom(32)
        for node in self.nodes:
            self.configure_node(node, url, key, f"http://127.0.0.1:{door}")
            node.start_daemon()
            node.id = node.grantctl("node", "list")["this"]
        self.children.append(Door(self, door, self.nodes))
        first = self.nodes[0]
        self.wait(lambda: list(first.states().values()) == ["live"] * len(self.nodes), 10, "the nodes do not know each other")
        first.grantctl("node", "list", show=True)
        self.provider.register(first.grantctl("app", "get", "demo")["app"]["redirect_uri"])

    def configure_node(self, node, url, key, public_url):
        node.secret("client", self.provider.client_secret)
        with open(os.open(os.path.join(node.folder, "key"), os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
            file.write(key)
        node.configure(node.port, f"""node: {{name: {node.name}}}
key: {{file: key}}
store:
  url: {url}
  module_dir: {self.build}/store
{self.provider.config("client.secret")}  node_lease_ms: {LEASE_MS}      # a node that is silent for so long is taken over
""", public_url)

    # -- the walk

    def ask(self, who, node):
        """One client and its link, asked for at that node."""
        client = node.grantctl("client", "create", who.title())["client"]["id"]
        made = node.grantctl("request", "create", client, "--no-confirm", "--item", "app=demo")
        self.links[who] = made["link"], made["request"]["id"]

    def approve(self, who):
        """The names of the nodes that the client's browser met, in order."""
        browser = Watcher()
        page = browser.open(self.links[who][0])
        self.must(page.status == 200, f"the link answers {page.status}: {page.text}")
        page = browser.walk(login=who)
        self.must(page.status == 200, f"{who}'s browser does not end well: {page.text}")
        item = self.living()[0].grantctl("request", "get", self.links[who][1])["request"]["items"][0]
        self.must(item["state"] == "granted", f"the item of {who} is {item['state']}")
        self.grants[who] = item["grants"][0]
        return browser.answered

    def approve_all(self):
        self.step("Clients approve, each by one link through that address; a page that one node began another one ends")
        crossed = 0
        for i, who in enumerate(PEOPLE[:3 * len(self.nodes)]):
            node = self.nodes[i % len(self.nodes)]
            self.ask(who, node)
            met = self.approve(who)
            crossed += len(set(met)) > 1
            self.say(f"{who.title()}: asked for at {node.name}; her pages came from {', '.join(met)}")
        self.must(crossed, "no flow was begun at one node and ended at another")

    def use(self):
        self.step("A program beside each node asks that node's own socket: the same token everywhere")
        for who in list(self.grants)[:2]:
            self.same(who)
            self.say(f"{who.title()}: every node hands out the same token, and the server takes it")

    def same(self, who):
        """Living nodes vend one token of this grant, and it works. It may be renewed while we ask."""
        def agree():
            got = {n.grantctl("grant", "token", self.grants[who])["access_token"] for n in self.living()}
            return len(got) == 1 and self.provider.userinfo(got.pop())[0] == 200
        self.wait(agree, 10, f"the nodes hand out different tokens of {who}, or one that does not work")

    def gens(self, node):
        got = {g["id"]: g["layers"]["token"]["gen"] for g in node.grantctl("grant", "list")["grants"] if "token" in g["layers"]}
        return {who: got[grant] for who, grant in self.grants.items()}

    def stay_alive(self):
        self.step("They keep all of them alive; whoever comes first does it, nobody does it twice")
        self.renewed()
        fired = {n.name: n.grantctl("daemon", "status")["scheduler"]["fired"] for n in self.nodes}
        self.say("begun by " + ", ".join(f"{name}: {count}" for name, count in fired.items()))
        self.must(self.provider.report()["refresh_refused"] == 0, "a spent token was presented")

    def kill_one(self):
        self.step("Zoe gets a link. Then a node is killed in mid-refresh (the relay holds its request back): kill -9")
        self.ask(LATE, self.nodes[0])
        self.provider.hold_refresh()
        self.wait(lambda: self.provider.held() == 1, 4 * TOKEN_SECONDS, "no refresh was on its way")
        self.wait(self.found_it, 3.5, "it cannot be told which node sent it")
        self.dead.kill_daemon()
        self.died = time.monotonic()
        self.say(f"{self.dead.name} is dead; the refresh token of one client was on the wire, nobody knows whether it was spent")

    def found_it(self):
        """The node whose request is held, when nobody has anything else in hand: what a node that is killed had really sent
        the server may have spent."""
        for pause in (0.2, 0):
            busy = [node for node in self.nodes for _ in range(node.in_flight())]
            if len(busy) != 1:
                return False
            time.sleep(pause)
        self.dead = busy[0]
        return True

    def link_works(self):
        self.step("Zoe opens her link while that node is dead")
        met = self.approve(LATE)
        self.say(f"approved after {time.monotonic() - self.died:.1f} s; her pages came from {', '.join(met)}")
        self.must(self.dead.name not in met, "a dead node answered")

    def in_doubt(self):
        """Whose last answer may lie in the spool of a node that is not there."""
        tokens = {who: self.living()[0].grantctl("grant", "get", grant)["grant"]["layers"]["token"]
                  for who, grant in self.grants.items()}
        return [who for who, token in tokens.items() if token["status"] == "uncertain"]

    def renewed(self, *without):
        node = self.living()[0]
        begun = self.gens(node)
        self.wait(lambda: all(gen > begun[who] for who, gen in self.gens(node).items() if who not in without),
                  6 * TOKEN_SECONDS, "somebody was not renewed")

    def taken_over(self):
        self.step("The others take over what it had")
        node = self.living()[0]
        self.wait(lambda: node.states().get(self.dead.id) == "gone", 15, "nobody took it over")
        self.say(f"taken over {time.monotonic() - self.died:.1f} s after the kill (its lease is {LEASE_MS / 1000:.0f} s)")
        doubt = self.in_doubt()
        self.must(len(doubt) == 1, f"in doubt: {doubt}")
        self.renewed(*doubt)
        self.say(f"{len(self.grants) - 1} clients were renewed by the others since. {doubt[0].title()} is “uncertain”: the answer may lie "
                 f"on the disk of {self.dead.name}, and asking again could end the grant. So it waits for that node, or for "
                 "`grantctl node forget`")

    def comes_back(self):
        self.step(f"{self.dead.name} is started again: what it had not saved is settled")
        self.dead.start_daemon()
        self.dead = None
        first = self.nodes[0]
        self.wait(lambda: list(first.states().values()) == ["live"] * len(self.nodes), 15, "it is not taken back in")
        first.grantctl("node", "list", show=True)
        self.wait(lambda: not self.in_doubt(), 4 * TOKEN_SECONDS, "a client stays in doubt")
        self.renewed()
        for who, grant in self.grants.items():
            state = first.grantctl("grant", "get", grant)["grant"]["state"]
            self.must(state == "active", f"the grant of {who} is {state}")
            self.same(who)
        seen = self.provider.report()
        self.must(seen["families_killed"] == 0 and seen["refresh_refused"] == 0, f"a spent token was presented: {seen}")
        self.say(f"all {len(self.grants)} grants are alive and were renewed since; no spent token was ever presented")

    def end_access(self):
        self.step("A client leaves: revoked at one node, closed at the server, and vended by none")
        one, others, grant = self.nodes[0], self.nodes[1:], self.grants["anna"]
        token = one.grantctl("grant", "token", grant)["access_token"]
        ended = one.grantctl("grant", "revoke", grant, "--reason", "client left")
        began = time.monotonic()
        self.must(ended["grant"]["state"] == "ended", f"the grant is {ended['grant']['state']}")
        for node in others:
            self.wait(lambda node=node: not node.takes("grant", "token", grant), 1, f"{node.name} still vends after a second")
        self.say(f"no node vends it {1000 * (time.monotonic() - began):.0f} ms after the answer (this includes starting grantctl)")
        self.must(not self.provider.introspect(token), "the server still takes the token")
        self.say("introspection: active=false")

    def audit(self):
        self.step("Each node has an audit log of its own; each chain holds")
        for node in self.nodes:
            verdict = node.grantctl("audit", "verify")
            self.must(verdict["ok"], f"the chain of {node.name} is broken: {verdict}")
            self.say(f"{node.name}: {verdict['records']} records, whole")

    def log_tail(self, size=1500):
        return "\n".join(f"--- {node.name}\n{node.log_tail(size)}" for node in self.nodes)

    def clean(self):
        for node in self.nodes:
            node.clean()
        if self.cluster:
            self.cluster.done()
        super().clean()
