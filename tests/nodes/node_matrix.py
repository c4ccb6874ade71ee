#!/usr/bin/env python3
"""The kill matrix of several nodes: three nodes on one PostgreSQL with the accounting server of the tests. At every fault
point, under every policy, one of them is killed or frozen while the others go on:

  at once     killed, started again before anybody has missed it
  later       killed; the others bury it and take over; then it is started again
  given up    the same, but an operator gives it up before it comes back all the same
  frozen      stopped (SIGSTOP) for two leases, buried by the others, and continued
  (at the points of a takeover over_cycle.py says how)
  database    no node is touched, but the database is (db_cycle.py says how)

and then judged by what the server knows:

  - a credential is lost only where the server's rules leave no way: strict and family, when the server had rotated and the
    answer had not yet reached a disk (F06 to F12, F24), or when an operator gave up the node that held it; a node that
    sleeps longer than its deadline loses nothing: on waking it hears what lies in its socket, and sends nothing;
  - while the node is away the others vend, refresh what may be refreshed, and present nothing of a strict or family server
    whose answer may lie with that node: uncertain, not dead;
  - no spent refresh token is shown to a family server before its access token expires;
  - at the end each node vends the same, one generation is current, and every node's audit log verifies.

  node_matrix.py [--short] [--seeds N] [--workers N] [--point P] [--policy P] [--mode M]     exits 0 only when all held
"""
import argparse
import collections
import concurrent.futures
import datetime
import glob
import http.client
import os
import random
import re
import sys
import time
import traceback

import db_cycle
from db_cycle import DATABASE, TROUBLES
from over_cycle import OVER, takeover
from trio import LEASE_MS, POLICIES, Cluster, Failed, Gone, Rpc, RpcError, TooEarly, Trio, wait_for

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
STARTUP = ("F22", "F23", "node.named")   # met while starting, when something was left behind before
DRAIN = ("F24", "node.left")
BEAT = ("node.beat", "node.beaten")
REVOKE = ("F28", "close.ending", "close.said", "close.ended")
ERASE = ("F29", "F30")
FLOW = ("request.made", "flow.asked", "flow.taken", "flow.made", "flow.told")
ELSEWHERE = {"F25": "the log of the embedded engine", "F27": "another key comes into use: test_keys.py"}
COMMITS = {f"F{n}" for n in range(14, 19)}
DOUBT = {f"F{n:02d}" for n in range(2, 13)} | {"F23", "F24", "node.named", *OVER}
LOSSY = {f"F{n:02d}" for n in range(6, 13)} | {"F24"}  # the server may have rotated, the answer is on no disk
SHORT_TTL = 6
PATIENCE = 30
AT_ONCE, LATER, GIVEN_UP, FROZEN, _ = MODES = ("at once", "later", "given up", "frozen", DATABASE)
SECOND = "second passage"
SEEDS = ("plain", "slow answer", "three callers", SECOND)
TRANSIENT = ("CONFLICT", "OVERLOADED", "DRAINING", "STORE_FAILED", "STORE_UNREACHABLE", "LEASE_LATE")


def sources():
    """The numbered points of the refresh path, and those of the nodes, that the sources have."""
    found = set()
    for name in glob.glob(os.path.join(ROOT, "core", "**", "*.c"), recursive=True):
        with open(name, encoding="utf-8") as file:
            found |= set(re.findall(r'(?:GD_FAULT|fault_once)\([^;]*"(F\d\d|node\.\w+)"\)', file.read()))
    return sorted(found - set(ELSEWHERE))


class Bench:
    """One worker: one database, one installation of three nodes, a living grant of every policy."""

    def __init__(self):
        self.cluster = Cluster()
        self.cluster.__enter__()
        self.trio, self.grants, self.numbers, self.turn = None, {}, {}, 0
        try:
            self.trio = Trio(self.cluster)
            self.trio.policies()
            self.trio.start()
            self.trio.all_live()
        except BaseException:
            self.close()
            raise
        self.server = self.trio.server

    def close(self):
        if self.trio:
            self.trio.close()
        self.cluster.done()

    def family(self, policy):
        return self.server.get("/_ctl/report")["families"][self.numbers[policy] - 1]

    def ensure_grant(self, policy):
        if policy not in self.grants:
            self.server.post("/_ctl/client", {"client_id": policy, "at_ttl": 3600})
            self.grants[policy] = self.trio.nodes[self.turn % 3].consent(policy)
            self.numbers[policy] = self.trio.families()[-1]["number"]

    # -- one cycle

    def cycle(self, point, policy, mode, seed):
        """Returns a dict: reached, lost (None, "rules", "given up")."""
        kind = SEEDS[seed % len(SEEDS)]
        if mode == FROZEN and kind == SECOND:  # it starts itself anew and would meet it twice more
            kind = "plain"
        self.turn += 1
        self.rng = random.Random(f"{point}{policy}{mode}{seed}")
        self.server.post("/_ctl/clear", {})
        self.trio.start()
        self.trio.all_live()
        self.victim = self.trio.nodes[self.turn % 3]
        self.result = {"point": point, "policy": policy, "mode": mode, "seed": kind, "reached": False, "lost": None}
        twice = self.trio.twice()
        if point in FLOW:
            self.flow(point, policy, mode)
        elif point in OVER:
            takeover(self, point, policy, mode)
        elif point in ERASE:
            self.erase(point, policy, mode)
        elif point in REVOKE:
            self.revoke(point, policy, mode)
        else:
            self.refresh(point, policy, mode, kind)
        self.result["twice"] = self.trio.twice() - twice
        if self.result["twice"]:
            raise Failed("a spent refresh token was shown to a family server before its access token expired")
        self.whole()
        return self.result

    def others(self):
        return self.trio.others(self.victim)

    def arm(self, faults):
        """The victim, started anew with the fault in it. False: it met it at its start."""
        if self.victim.daemon.stop() != 0:
            raise Failed("the node did not end well")
        return self.try_start(faults)

    def try_start(self, faults=None, turns=3):
        """False: it met its point. One that the others fence in that moment ends by itself; whatever supervises it starts
        it again."""
        for turn in range(turns):
            try:
                self.trio.start(self.victim, faults=faults)
                return True
            except (AssertionError, Gone, OSError):
                if self.dead():
                    return False
                if self.victim.up() or turn == turns - 1:
                    raise
                self.result["supervised"] = turn + 1

    def known(self):
        """The victim's name as it is now. What else was due may have led it to its point by then."""
        try:
            self.result["worker"] = self.victim.worker()
        except (Gone, OSError) as e:
            if self.victim.up() and not self.victim.frozen():
                raise
            raise TooEarly() from e

    def action(self, mode):
        return "freeze" if mode == FROZEN else "kill9"

    def gone(self, mode, seconds=1.5):
        """Did it meet its point?"""
        if mode == FROZEN:
            try:
                wait_for(self.victim.frozen, seconds)
            except AssertionError:
                return False
            return True
        return self.dead(seconds)

    def dead(self, seconds=1.5):
        try:
            wait_for(lambda: not self.victim.up(), seconds)
        except AssertionError:
            return False
        return self.victim.daemon.wait_dead() == -9

    def away(self, mode, meanwhile=None):
        """What becomes of the node that met its point; at the end it is back. meanwhile(): what the others do."""
        if not self.result["reached"]:
            if self.victim.up():
                self.arm(None)
            return
        if mode == AT_ONCE:
            self.try_start() or self.try_start()
            return
        self.trio.buried(self.victim)
        if meanwhile:
            meanwhile()
        if mode == GIVEN_UP:
            self.rng.choice(self.others()).call("node.forget", node=self.trio.names[self.victim])
        if mode != FROZEN:
            return
        time.sleep(max(0, 2 * LEASE_MS / 1000 - 2.5))
        self.thaw()

    def thaw(self):
        """It finds that it was buried, and starts itself anew; the point is still armed in it."""
        before = self.result["worker"]
        self.victim.thaw()

        def back():
            """the frozen node is back under a new name"""
            if self.victim.frozen():
                self.victim.thaw()
            try:
                line = Rpc(self.victim.socket_path, 2)
                try:
                    return line.call("daemon.status")["nodes"]["worker"] != before
                finally:
                    line.close()
            except (Gone, OSError, TimeoutError, RpcError):
                return False
        wait_for(back, 25, 0.05)
        self.victim.daemon.process.terminate()  # and once more without the fault in its environment

        def ended():
            """the node that came back ends"""
            if self.victim.frozen():
                self.victim.thaw()
            return not self.victim.up()
        wait_for(ended, 25, 0.05)
        if self.victim.daemon.wait_dead() != 0:
            raise Failed("the node that came back does not end well")
        self.try_start()

    # -- a refresh

    def refresh(self, point, policy, mode, kind):
        for one in POLICIES:
            self.ensure_grant(one)
        if point in STARTUP:
            self.arm("F13:kill9" if point == "F22" else "F05:kill9")
        elif point in DRAIN:
            self.arm(f"{point}:{self.action(mode)}:{2 if kind == SECOND and point == 'F24' else 1}")
        else:
            passage = 2 if kind == SECOND else 1
            if point in BEAT:  # not those that come before it is begun
                passage += 8
            self.arm(f"{point}:{self.action(mode)}:{passage}")
        if policy == "family":  # of its access token the answer to a doubt depends
            self.server.post("/_ctl/client", {"client_id": policy, "at_ttl": SHORT_TTL if point in DOUBT else 3600})
        if self.victim.up():
            self.known()
            self.until_refreshed(self.rng.choice(self.others()), policy)
            try:
                self.trio.same_everywhere(self.grants[policy])  # its news have come
            except (Gone, OSError) as e:
                if self.victim.up():
                    raise
                raise TooEarly() from e
        before = self.family(policy)
        if point in DRAIN:
            reached = self.in_drain(policy, mode, kind, before)
        else:
            reached = self.in_refresh(policy, mode, kind, 12 if point in BEAT else 1.5)
        if point in STARTUP and reached:
            reached = not self.try_start(f"{point}:kill9")
        self.result["reached"] = reached
        if not reached and self.victim.up():  # without what it did not meet
            self.victim.thaw()
            self.arm(None)
        time.sleep(0.05)
        rotated = self.family(policy)["accepted"] > before["accepted"]
        if reached:
            self.away(mode, lambda: self.meanwhile(policy, point))
        self.judge(policy, point, mode, kind, rotated)

    def until_refreshed(self, node, policy):
        """A refresh that was told to wait for another is asked for again."""
        end = time.monotonic() + 10
        while True:
            try:
                return node.call("grant.refresh", grant=self.grants[policy])
            except RpcError as e:
                if e.reason not in TRANSIENT or time.monotonic() > end:
                    raise
                time.sleep(0.05)

    def in_refresh(self, policy, mode, kind, seconds):
        if kind == "slow answer":
            self.server.post("/_ctl/fault", {"action": "delay", "ms": 40, "grant_type": "refresh_token"})
        lines = []
        for _ in range(2 if kind == SECOND else 1):
            try:
                lines = [Rpc(self.victim.socket_path, 2) for _ in range(3 if kind == "three callers" else 1)]
                for line in lines:
                    line.send("grant.refresh", grant=self.grants[policy])
                for line in lines:
                    try:
                        line.reply()
                    except RpcError:
                        pass
            except (Gone, OSError, TimeoutError):
                break
            finally:
                for line in lines:
                    line.close()
        return self.gone(mode, seconds)

    def in_drain(self, policy, mode, kind, before):
        """SIGTERM with an answer on its way; on the second passage it has come and is stored."""
        self.server.post("/_ctl/fault", {"action": "delay", "ms": 150, "grant_type": "refresh_token"})
        line = Rpc(self.victim.socket_path)
        line.send("grant.refresh", grant=self.grants[policy])
        wait_for(lambda: self.family(policy)["accepted"] > before["accepted"], 5)
        self.victim.daemon.close()
        self.victim.daemon.process.terminate()
        reached = self.gone(mode, 5)
        line.close()
        return reached

    def meanwhile(self, policy, point):
        """One node is missing. The others vend; what nobody can know, nobody presents."""
        grant, others = self.grants[policy], self.others()
        presented = self.family(policy)
        status = {node.status(grant) for node in others}
        if status & {"needs_consent", "quarantined", "revoked"}:
            raise Failed(f"while the node is away: {status}")
        for node in others:
            lives = self.family(policy)["access_lives"]
            try:
                node.token(grant)
            except RpcError as e:
                if lives and self.family(policy)["access_lives"] and not self.over(node, grant):
                    raise Failed(f"node {node.number} does not vend although the access token lives: {e}") from e
        if "uncertain" in status:
            for node in others:
                try:
                    node.call("grant.refresh", grant=grant)
                except RpcError:
                    pass
            if self.family(policy)["refused"] > presented["refused"]:
                raise Failed("an uncertain token was presented while the node that may hold the answer was away")
        elif policy in ("none", "overlap", "grace"):
            for node in others:
                self.until_refreshed(node, policy)
        for one in POLICIES:  # and everything else goes on
            if one != policy:
                self.until_refreshed(self.rng.choice(others), one)

    @staticmethod
    def over(node, grant):
        """For the node, which counts from when the request was sent, the access token has ended."""
        ends = node.call("grant.get", grant=grant)["grant"]["layers"]["token"]["expires_at"]
        return bool(ends) and datetime.datetime.fromisoformat(ends).timestamp() <= time.time()

    def judge(self, policy, point, mode, kind, rotated):
        lossy = point in LOSSY and mode != FROZEN and not (point in DRAIN and kind == SECOND)
        excused = rotated and policy in ("strict", "family") and (
            lossy or (mode == GIVEN_UP and self.result["reached"]))
        others = self.others() if mode != AT_ONCE and self.result["reached"] else self.trio.nodes
        grant = self.grants[policy]
        if mode in (LATER, GIVEN_UP):
            if mode == GIVEN_UP:
                if not self.recovers(self.rng.choice(others), policy, excused) and not excused:
                    raise self.loss(policy, "given up, and not found again")
            self.trio.start()
        found = self.recovers(self.rng.choice(self.trio.nodes), policy, excused)
        shown = self.trio.first.call("grant.get", grant=grant)["grant"]
        if not found:
            if not excused:
                raise self.loss(policy, "lost without need")
            if shown["state"] in ("ended", "erased", "ending") or shown["layers"]["token"]["status"] == "revoked":
                raise Failed(f"declared dead by itself: {shown['state']}")
            self.result["lost"] = "rules" if lossy else "given up"
            del self.grants[policy]
        elif policy == "family":
            self.server.post("/_ctl/client", {"client_id": policy, "at_ttl": 3600})
            self.until_refreshed(self.rng.choice(self.trio.nodes), policy)

    def loss(self, policy, words):
        shown = self.trio.first.call("grant.get", grant=self.grants[policy])["grant"]
        family = self.family(policy)
        dead = shown["layers"]["token"]["status"] in ("needs_consent", "quarantined", "revoked")
        if dead and family["usable"]:
            self.result["false_dead"] = True
        row = self.trio.sql("SELECT status, gen, reason, reason_text, next_at - (extract(epoch FROM clock_timestamp())"
                            f" * 1000)::bigint FROM grantd.credentials WHERE id = '{shown['credential']}'")
        return Failed(f"{words}: {shown['state']} {shown['layers']['token']} row {row} server {family}")

    def recovers(self, node, policy, excused):
        """It comes back to a current credential alone; then a refresh must be accepted and stored."""
        grant, end = self.grants[policy], time.monotonic() + PATIENCE
        while time.monotonic() < end:
            status = node.status(grant)
            if status == "current":
                accepted = self.family(policy)["accepted"]
                try:
                    node.call("grant.refresh", grant=grant)
                except RpcError:
                    pass
                if self.family(policy)["accepted"] > accepted and node.status(grant) == "current":
                    return True
            if status == "needs_consent" or (status == "quarantined" and excused):
                return False
            time.sleep(0.05)
        return False

    # -- a flow

    def flow(self, point, policy, mode):
        """A client's browser comes to a node that dies under it, and goes on at another."""
        self.server.post("/_ctl/client", {"client_id": policy, "at_ttl": 3600})
        other = self.rng.choice(self.others())
        link = None
        if point != "request.made":
            client = other.call("client.create", name="Anna Bakery", email="anna@client.example")["client"]["id"]
            made = other.call("request.create", client=client, confirm=False, items=[{"app": policy}])
            link, request = made["link"], made["request"]["id"]
        self.arm(f"{point}:{self.action(mode)}")
        self.known()
        self.trio.door_to(self.victim)
        browser = self.victim.browser()
        browser.timeout = 2
        if point == "request.made":
            client = other.call("client.create", name="Anna Bakery", email="anna@client.example")["client"]["id"]
            try:
                line = Rpc(self.victim.socket_path, 2)
                line.call("request.create", client=client, confirm=False, items=[{"app": policy}])
            except (Gone, OSError, TimeoutError):
                pass
        else:
            try:
                browser.open(link)
                browser.walk()
            except (OSError, http.client.HTTPException, TimeoutError):
                pass
        self.result["reached"] = self.gone(mode, 3)
        self.trio.door_to(self.rng.choice(self.others()))
        self.away(mode, lambda: self.in_time(link, request if link else None, browser))
        if mode in (LATER, GIVEN_UP):
            self.trio.start()
        if point == "request.made":
            self.promised(client, other)
            return
        self.trio.door_to(self.rng.choice(self.trio.nodes))
        grant = self.in_time(link, request, browser)
        self.trio.same_everywhere(grant)
        living = [f for f in self.trio.families() if f["client_id"] == policy and not f["revoked"]]
        if not any(f["last_delivered_usable"] for f in living):
            raise Failed(f"no living consent at the server: {living}")
        self.grants["flow"] = grant
        for node in self.trio.nodes:
            self.until_refreshed(node, "flow")
        del self.grants["flow"]
        self.trio.nodes[self.turn % 3].call("grant.revoke", grant=grant)

    def promised(self, client, node):
        """Nobody was answered: the request is there as a whole, or not at all."""
        found = [r for r in node.call("request.list", client=client)["requests"]]
        if len(found) > 1 or (self.result["reached"] and len(found) != 1):
            raise Failed(f"requests: {found}")

    def in_time(self, link, request, browser):
        """The grant comes out: by itself, by loading the page again, or by approving once more."""
        if not link:
            return None
        node = self.trio.at
        browser.timeout = 30
        for attempt in range(6):
            try:
                return wait_for(lambda: (node.call("request.get", request=request)["request"]["items"][0].get("grants")
                                         or [None])[0], 2 if attempt else 1, 0.05)
            except AssertionError:
                browser.open(link)
                browser.walk()
        item = node.call("request.get", request=request)["request"]["items"][0]
        raise Failed(f"no grant came out; the page says {browser.page.text[:300]}; {item}")

    # -- an end

    def revoke(self, point, policy, mode):
        self.ensure_grant(policy)
        grant = self.grants[policy]
        self.arm(f"{point}:{self.action(mode)}")
        self.known()
        refresh = None
        if point == "F28":
            self.server.post("/_ctl/fault", {"action": "delay", "ms": 150, "grant_type": "refresh_token"})
            refresh = Rpc(self.victim.socket_path)
            refresh.send("grant.refresh", grant=grant)
            time.sleep(0.03)
        try:
            Rpc(self.victim.socket_path, 2).call("grant.revoke", grant=grant)
        except (Gone, OSError, TimeoutError, RpcError):
            pass
        self.result["reached"] = self.gone(mode)
        if refresh:
            refresh.close()
        self.away(mode, lambda: self.ended(self.rng.choice(self.others()), grant, policy))
        if mode in (LATER, GIVEN_UP):
            self.trio.start()
        self.ended(self.rng.choice(self.trio.nodes), grant, policy)
        del self.grants[policy]
        for node in self.trio.nodes:
            try:
                node.token(grant)
            except RpcError:
                continue
            raise Failed(f"node {node.number} vends what was revoked")

    def ended(self, node, grant, policy):
        """The revoke was not answered: it may have begun or not. Asked again, it ends, here and at the server."""
        try:
            node.call("grant.revoke", grant=grant)
        except RpcError as e:
            if e.reason not in ("CONFLICT", "GRANT_ENDED", "NOT_FOUND"):
                raise
        wait_for(lambda: node.call("grant.get", grant=grant)["grant"]["state"] == "ended", PATIENCE, 0.05)
        wait_for(lambda: self.family(policy)["revoked"], 10, 0.05)
        if self.family(policy)["access_lives"]:
            raise Failed("an access token outlives the revocation")

    def erase(self, point, policy, mode):
        grant = self.others()[0].consent(policy)
        client = self.others()[0].call("grant.get", grant=grant)["grant"]["client"]
        self.others()[0].call("grant.revoke", grant=grant)
        self.arm(f"{point}:{self.action(mode)}")
        self.known()
        try:
            Rpc(self.victim.socket_path, 3).call("client.erase", client=client, name="Anna Bakery")
        except (Gone, OSError, TimeoutError):
            pass
        self.result["reached"] = self.gone(mode)
        self.away(mode, lambda: self.erased(self.rng.choice(self.others()), client))
        if mode in (LATER, GIVEN_UP):
            self.trio.start()
        for node in self.trio.nodes:
            self.erased(node, client)

    def erased(self, node, client):
        def one():
            """the client is erased"""
            try:
                node.call("client.erase", client=client, name="Anna Bakery")
            except RpcError as e:
                if e.reason in (None, "INTERNAL"):
                    raise
            seen = node.call("client.get", client=client)["client"]  # a list has a page of them
            return seen["state"] == "erased" and "Anna" not in seen["name"]
        wait_for(one, PATIENCE, 0.05)

    # -- what must hold after each

    def whole(self):
        self.trio.start()
        for policy, grant in self.grants.items():
            if self.family(policy)["access_lives"]:
                try:
                    self.trio.same_everywhere(grant)
                except (AssertionError, RpcError) as e:
                    raise Failed(f"{policy}: {e}") from e
        self.trio.whole()


BENCHES = (Bench, db_cycle.Database, db_cycle.Pair)


def kind(cell):
    """Which of them it needs."""
    return 0 if cell[2] != DATABASE else 2 if cell[0] in db_cycle.PROMOTED else 1


def work(job):
    """A worker's share: one bench for all its cycles of a kind, a new one after a failure."""
    out, bench = [], None
    for point, policy, mode, seed in sorted(job, key=kind):
        began = time.monotonic()
        try:
            wanted = BENCHES[kind((point, policy, mode))]
            if bench and type(bench) is not wanted:
                bench = finish(bench, out)
            bench = bench or wanted()
            out.append(bench.cycle(point, policy, mode, seed))
        except TooEarly:
            out.append({**bench.result, "reached": False})
            bench = bench.close()
        except Exception as e:  # all of it is run; failures are listed at its end
            tail = bench.trio.logs() if bench and bench.trio else ""
            found = dict(bench.result) if bench and hasattr(bench, "result") else {}
            out.append({**found, "point": point, "policy": policy, "mode": mode, "seed": f"{seed}", "reached": None,
                        "failed": f"{type(e).__name__}: {e}\n{traceback.format_exc(limit=-4)}{tail}"})
            if bench:
                bench.close()
            bench = None
        out[-1]["seconds"] = time.monotonic() - began
        tell(out, len(job))
        if os.environ.get("GRANTD_MATRIX_TELL"):
            print({k: v[:700] if k == "failed" else v for k, v in out[-1].items() if k != "worker"}, flush=True)
    if bench:
        finish(bench, out)
    return out


def tell(out, of):
    """How far this worker is: all of them take an hour and more."""
    if len(out) % 50 == 0 or out[-1].get("failed"):
        bad = sum(1 for one in out if one.get("failed"))
        print(f"worker {os.getpid()}: {len(out)} of {of} cycles, {bad} failed", flush=True)


def finish(bench, out):
    """What it leaves behind is looked at."""
    try:
        codes = bench.trio.stop()
        if set(codes.values()) != {0}:
            raise Failed(f"nodes end with {codes}")
        bench.trio.search_secrets()
    except Exception as e:
        out.append({"point": "the end", "policy": "", "mode": "", "seed": "", "reached": None, "seconds": 0,
                    "failed": f"{type(e).__name__}: {e}"})
    bench.close()


def report(results, wanted, seconds):
    """Prints the figures; returns the number of complaints."""
    failed = [one for one in results if one.get("failed")]
    by = collections.defaultdict(list)
    for one in results:
        by[one["point"], one["mode"]].append(one)
    print(f"{'point':15}" + "".join(f"{mode:>14}" for mode in MODES[:-1]) + "   (met/cycles, ~n: lost as the rules allow)")
    for point in [p for p in wanted if p not in TROUBLES]:
        cells = []
        for mode in MODES[:-1]:
            cell = by.get((point, mode), [])
            lost, bad = sum(1 for one in cell if one.get("lost")), sum(1 for one in cell if one.get("failed"))
            cells.append(f"{sum(1 for one in cell if one['reached'])}/{len(cell)}" + (f" ~{lost}" if lost else "")
                         + (f" !{bad}" if bad else "") if cell else "")
        print(f"{point:15}" + "".join(f"{cell:>14}" for cell in cells))
    db_cycle.table([one for one in results if one["mode"] == DATABASE])
    unmet = sorted({p for p in wanted if not any(one["reached"] for one in results if one["point"] == p)})
    for one in failed[:20]:
        print(f"FAILED {one['point']} {one['policy']} {one['mode']} ({one['seed']}): {one['failed']}")
    for point in unmet:
        print(f"FAILED {point} was never met: the matrix does not test it")
    count = collections.Counter(one.get("lost") for one in results)
    avoidable = sum(1 for one in failed if "lost without need" in one["failed"] or "not found again" in one["failed"])
    print(f"nodes: {len(results)} cycles in {seconds:.0f} s, {sum(1 for one in results if one['reached'])} met; "
          f"lost: avoidable {avoidable}, by the server's rules {count['rules']}, "
          f"by giving up {count['given up']}, "
          f"with what a promotion lost {sum(one.get('gone', 0) for one in results)}; "
          f"presented twice {sum(one.get('twice', 0) for one in results if one['point'] != db_cycle.LOSING)}, after "
          f"a promotion that lost commits {sum(one.get('twice', 0) for one in results if one['point'] == db_cycle.LOSING)}; "
          f"false dead {sum(1 for one in results if one.get('false_dead'))}; started again by the supervisor "
          f"{sum(one.get('supervised', 0) for one in results)}; failed {len(failed)}")
    return len(failed) + len(unmet)


def cells(args):
    """(point, policy, mode, seed) of everything that is asked for."""
    policies, modes = args.policy or POLICIES, args.mode or MODES
    points = args.point or [*(() if modes == [DATABASE] else (*sources(), OVER[-1], *FLOW, *REVOKE[1:])),
                            *(TROUBLES if DATABASE in modes else ())]
    out = []
    for number, point in enumerate(points):
        if point in TROUBLES:
            out += [(point, "all", DATABASE, seed) for seed in range(1 if args.short else args.troubles)]
            continue
        these = [m for m in modes if m != DATABASE and not (point in (*STARTUP, *DRAIN) and m == FROZEN)
                 and not (m == GIVEN_UP and point in (*FLOW, *REVOKE, *ERASE, *OVER))]
        if args.short:  # every point under every policy, each in one mode
            few = policies if point.startswith("F") and point not in (*REVOKE, *ERASE) else policies[number % 5:][:1]
            out += [(point, policy, these[(number + k) % len(these)], number + k) for k, policy in enumerate(few) if these]
        else:
            out += [(point, policy, mode, seed) for policy in policies for mode in these for seed in range(args.seeds)]
    return [point for point in points if any(cell[0] == point for cell in out)], out


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--troubles", type=int, default=30, help="cycles of each trouble of the database")
    parser.add_argument("--workers", type=int, default=5)
    parser.add_argument("--point", action="append")
    parser.add_argument("--policy", action="append")
    parser.add_argument("--mode", action="append")
    args = parser.parse_args()
    points, wanted = cells(args)
    random.Random(1).shuffle(wanted)
    jobs = [wanted[n::args.workers] for n in range(args.workers)]
    began = time.monotonic()
    with concurrent.futures.ProcessPoolExecutor(args.workers) as pool:
        results = [one for share in pool.map(work, [job for job in jobs if job]) for one in share]
    sys.exit(1 if report(results, points, time.monotonic() - began) else 0)


if __name__ == "__main__":
    main()
