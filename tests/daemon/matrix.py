#!/usr/bin/env python3
"""The kill matrix: every fault point × {none, overlap, grace, strict, family} × seeds. grantd is killed with kill -9 at
the point while it refreshes against the accounting server, is started again, and then judged by what the server knows:

  - a credential is lost only where the server's rules leave no way: strict, family and grace after its time, when the
    server had rotated and the answer had not yet reached the disk (F07 to F12, or the answer was cut on its way);
  - what is lost is quarantined or waits, with the old access token still served; it is never dead by itself;
  - nobody has to help: the daemon finds its way back alone, then one more refresh proves it;
  - no spent refresh token is shown to a family server before its access token expires;
  - after every cycle the databases are whole, the audit log verifies, and one generation is current.

  matrix.py [--seeds N] [--workers N] [--point Fnn] [--policy P] [--big]      exits 0 only when all held
"""
import argparse
import collections
import concurrent.futures
import glob
import os
import random
import re
import subprocess
import sys
import time

from harness import POLICIES, ROOT, SHARED, Box, Gone, Rpc, RpcError, wait_for

# Of the list in the reliability study one point cannot be met, because what it lies in does not exist: F26 (renewal of a
# lease: a lease is taken once, for longer than any attempt may last, and never renewed). points() would find it.
STARTUP = {"F22", "F23"}     # met while starting: something must have been left behind before
DRAIN = {"F24"}              # met after SIGTERM
REVOKE = {"F28"}             # a revoke while an answer is on its way
ERASE = {"F29", "F30"}       # an erasure that is cut off is finished, not undone
REWRAP = {"F27"}             # another key comes into use: what is cut off is gone on with
CHECKPOINT = {"F25"}         # met when the log of an embedded store has grown
COMMITS = {f"F{n}" for n in range(14, 19)}   # met in every transaction, so the passage says in which
DOUBT = {f"F{n:02d}" for n in range(2, 13)} | {"F23", "F24"}  # nobody knows whether the server has rotated
LOSSY = {f"F{n:02d}" for n in range(6, 13)} | {"F24"}  # the server may have rotated, the answer is not on the disk
GRACE = 60
RESTART_SECONDS = 25
SHORT_TTL = 5  # of a family server's access token where there is a doubt: it is waited out
# What a seed changes, so that the same point is met in different company.
SECOND = "second passage"
SEEDS = ("plain", "slow answer", "three callers", SECOND, "killed again while recovering")


def points():
    """The fault points that the sources have."""
    found = set()
    for name in glob.glob(os.path.join(ROOT, "core", "**", "*.c"), recursive=True):
        with open(name, encoding="utf-8") as file:
            found |= set(re.findall(r'(?:GD_FAULT|fault_once)\([^;]*"(F\d\d)"\)', file.read()))
    return sorted(found - CHECKPOINT if SHARED else found)


class Failed(Exception):
    pass


class Bench:
    """One worker: one installation, one accounting server, a living grant of every policy."""

    def __init__(self):
        self.box = Box({"request_deadline_ms": 500, "quiet_ms": 500, "family_lease_ms": 1000, "skew_ms": 100})
        self.server = self.box.accounting()
        for policy in POLICIES:
            self.box.policy_app(self.server, policy, at_ttl=3600, grace=GRACE)
        self.grants, self.families = {}, {}
        self.kek, self.keks = "kek", 0

    def close(self):
        self.box.end()
        self.box.remove()

    def family(self, policy):
        return self.server.get("/_ctl/report")["families"][self.families[policy] - 1]

    def ensure_grant(self, policy):
        """A fresh, healthy grant of that policy, the daemon running."""
        if policy not in self.grants:
            self.grants[policy] = self.box.consent(policy)
            self.families[policy] = self.server.get("/_ctl/report")["families"][-1]["number"]

    # -- one cycle

    def cycle(self, point, policy, seed):
        """Returns a dict: reached, lost, words."""
        kind, rng = SEEDS[seed % len(SEEDS)], random.Random(f"{point}{policy}{seed}")
        self.server.post("/_ctl/clear", {})
        if point in ERASE:
            return {"point": point, "policy": policy, "seed": kind, "reached": self.erase(point, policy), "lost": False}
        if point in REWRAP:
            return {"point": point, "policy": policy, "seed": kind, "reached": self.rotate(point, policy, kind), "lost": False}
        self.box.start()
        self.ensure_grant(policy)
        if policy == "family":  # of its access token the answer to a doubt depends
            self.server.post("/_ctl/client", {"client_id": policy, "at_ttl": SHORT_TTL if point in DOUBT else 3600})
            self.box.daemon.rpc.call("grant.refresh", grant=self.grants[policy])
        before = self.family(policy)
        self.box.daemon.stop()
        reached = self.crash(point, policy, kind, rng)
        result = {"point": point, "policy": policy, "seed": kind, "reached": reached, "lost": False}
        if point in REVOKE:
            self.judge_revoked(policy)
        else:
            self.judge(result, policy, before, point)
        return result

    def crash(self, point, policy, kind, rng):
        """Makes the daemon die at the point; False when it was not met."""
        if point in STARTUP:  # a spool that was not committed, or an intent whose end nobody knows
            self.die_in_refresh("F13:kill9" if point == "F22" else "F05:kill9", policy, kind)
            return self.die_at_start(point)
        if point in DRAIN:
            return self.die_in_drain(point, policy, kind)
        if point in REVOKE:
            return self.die_in_revoke(point, policy)
        if point in CHECKPOINT:
            return self.die_in_writing(point, policy)
        passage = 1
        if kind == SECOND:
            passage = rng.randint(2, 6) if point in COMMITS else 2
        reached = self.die_in_refresh(f"{point}:kill9:{passage}", policy, kind)
        if kind == "killed again while recovering":
            self.die_at_start("F22") or self.die_at_start("F23")
        return reached

    def die_in_writing(self, point, policy):
        """Writes until the log is copied back, with refreshes in between."""
        self.box.start(f"{point}:kill9")
        line = Rpc(self.box.socket_path)
        try:
            for number in range(4000):
                line.call("client.create", name=f"client {number}")
                if number % 50 == 0:
                    line.call("grant.refresh", grant=self.grants[policy])
        except (Gone, RpcError):
            pass
        line.close()
        return self.dead() or self.end_unharmed()

    def arm(self, kind):
        if kind == "slow answer":
            self.server.post("/_ctl/fault", {"action": "delay", "ms": 40, "grant_type": "refresh_token"})

    def die_in_refresh(self, faults, policy, kind):
        """Starts with the fault armed and refreshes until the daemon is dead or has shown that it does not die."""
        try:
            self.box.start(faults)
        except AssertionError:  # the point was met before it was ready
            return self.dead()
        self.arm(kind)
        callers = 3 if kind == "three callers" else 1
        rounds = 2 if kind == SECOND else 1
        for _ in range(rounds):
            try:
                lines = [Rpc(self.box.socket_path, 15) for _ in range(callers)]
                for line in lines:
                    line.send("grant.refresh", grant=self.grants[policy])
                for line in lines:
                    try:
                        line.reply()
                    except RpcError:
                        pass
            except (Gone, OSError):
                break
            finally:
                for line in lines:
                    line.close()
        return self.dead() or self.end_unharmed()

    def dead(self):
        try:
            self.box.daemon.process.wait(1.0)
        except subprocess.TimeoutExpired:
            return False
        self.box.daemon.wait_dead()
        return self.box.daemon.process.returncode == -9

    def end_unharmed(self):
        """It may still meet the point while ending (checkpoint, drain); else it was not on this way."""
        try:
            return self.box.daemon.stop() == -9
        except AssertionError as e:
            raise Failed(f"does not end: {e}") from e

    def die_at_start(self, point):
        try:
            self.box.start(f"{point}:kill9")
        except AssertionError:
            return self.dead()
        self.box.daemon.kill9()
        return False

    def die_in_drain(self, point, policy, kind):
        """SIGTERM with an answer on its way; on the second passage it has come and is stored."""
        accepted = self.family(policy)["accepted"]
        self.box.start(f"{point}:kill9:{2 if kind == SECOND else 1}")
        self.server.post("/_ctl/fault", {"action": "delay", "ms": 150, "grant_type": "refresh_token"})
        line = Rpc(self.box.socket_path)
        line.send("grant.refresh", grant=self.grants[policy])
        wait_for(lambda: self.family(policy)["accepted"] > accepted, 5)
        code = self.box.daemon.stop()
        line.close()
        return code == -9

    def die_in_revoke(self, point, policy):
        self.box.start(f"{point}:kill9")
        self.server.post("/_ctl/fault", {"action": "delay", "ms": 150, "grant_type": "refresh_token"})
        refresh, revoke = Rpc(self.box.socket_path), Rpc(self.box.socket_path)
        refresh.send("grant.refresh", grant=self.grants[policy])
        time.sleep(0.03)
        try:
            revoke.call("grant.revoke", grant=self.grants[policy])
        except (Gone, RpcError):
            pass
        refresh.close()
        revoke.close()
        return self.dead() or self.end_unharmed()

    # -- what came of it

    def judge_revoked(self, policy):
        """The revoke was not answered: it may have begun or not. Asked again, it ends it, here and at the server."""
        self.box.start()
        grant = self.grants.pop(policy)
        self.box.daemon.rpc.call("grant.revoke", grant=grant)
        wait_for(lambda: self.box.grant(grant)["state"] == "ended", RESTART_SECONDS)
        wait_for(lambda: self.family(policy)["revoked"], 10)
        if self.family(policy)["access_lives"]:
            raise Failed("an access token outlives the revocation")
        self.whole()

    def erase(self, point, policy):
        """The client of a grant that has ended is erased; dead in the midst, the next start or the next call ends it."""
        self.box.start(f"{point}:kill9")
        grant = self.box.consent(policy)
        client = self.box.grant(grant)["client"]
        self.box.daemon.rpc.call("grant.revoke", grant=grant)
        try:
            self.box.daemon.rpc.call("client.erase", client=client, name="Anna Bakery")
        except Gone:
            pass
        reached = self.dead() or self.end_unharmed()
        self.box.start()
        try:
            self.box.daemon.rpc.call("client.erase", client=client, name="Anna Bakery")
        except RpcError as e:  # the start has finished it already
            if e.reason in (None, "INTERNAL"):
                raise
        for row in self.box.daemon.rpc.call("client.list")["clients"]:
            if row["id"] == client and (row["state"] != "erased" or "Anna" in row["name"]):
                raise Failed(f"not erased: {row}")
        try:
            self.box.daemon.rpc.call("grant.token", grant=grant)
            raise Failed("a token of an erased client is vended")
        except RpcError:
            pass
        self.whole()
        return reached

    def rotate(self, point, policy, kind):
        """The key is exchanged; dead in the midst of it, the next start goes on, and then the old one is not needed."""
        self.box.start()
        self.ensure_grant(policy)
        self.box.consent(policy)  # another client: a second key to be wrapped
        self.box.daemon.stop()
        self.keks += 1
        old, new = (os.path.join(self.box.state, name) for name in (self.kek, f"kek{self.keks}"))
        self.kek = f"kek{self.keks}"
        with open(os.open(new, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
            file.write(os.urandom(32))
        self.box.extra = f"key: {{file: {new}, previous: {{file: {old}}}}}\n"
        self.box.start(f"{point}:kill9:{2 if kind == SECOND else 1}")
        try:
            self.box.daemon.rpc.call("key.rotate")
            if kind == "three callers":
                self.box.daemon.rpc.call("key.rotate")
        except (Gone, RpcError):
            pass
        reached = self.dead() or self.end_unharmed()
        if kind == "killed again while recovering":
            try:
                self.box.start(f"{point}:kill9")
            except AssertionError:
                pass
            self.dead() or self.box.daemon.kill9()
        self.box.start()
        wait_for(lambda: self.box.daemon.rpc.call("key.status")["rotation"]["state"] == "done", RESTART_SECONDS)
        self.box.daemon.stop()
        os.remove(old)
        self.box.extra = f"key: {{file: {new}}}\n"
        self.box.start()
        self.box.daemon.rpc.call("grant.refresh", grant=self.grants[policy])
        self.box.daemon.rpc.call("grant.token", grant=self.grants[policy])
        self.whole()
        return reached

    def may_be_lost(self, policy, before, point, kind):
        """Do the rules of the server leave no way to what it has given out?"""
        now = self.family(policy)
        rotated = now["accepted"] > before["accepted"]
        if point in DRAIN and kind == SECOND:
            return False
        return rotated and policy in ("strict", "family") and point in LOSSY

    def judge(self, result, policy, before, point):
        excused = self.may_be_lost(policy, before, point, result["seed"])
        self.box.start()
        grant, rpc = self.grants[policy], self.box.daemon.rpc
        if self.family(policy)["access_lives"] and not rpc.call("grant.token", grant=grant)["access_token"]:
            raise Failed("no token is vended although the access token lives")
        result["lost"] = not self.recovers(policy, grant, excused)
        shown = self.box.grant(grant)
        if self.family(policy)["reuse_presented"] > before["reuse_presented"] and policy == "family":
            raise Failed("a spent refresh token was shown to a family server before its access token expired")
        if result["lost"]:
            if not excused:
                raise Failed(f"lost without need: {shown['state']} {shown.get('reason')} {shown['layers']['token']} "
                             f"server: {self.family(policy)}")
            if shown["state"] in ("ended", "erased", "ending") or shown["layers"]["token"]["status"] == "revoked":
                raise Failed(f"declared dead by itself: {shown['state']}")
            del self.grants[policy]  # this one needs a new consent; the next cycle begins with one
        elif policy == "family":  # a long life again, or it refreshes by itself in the midst of the others' cycles
            self.server.post("/_ctl/client", {"client_id": policy, "at_ttl": 3600})
            rpc.call("grant.refresh", grant=grant)
        self.whole()

    def recovers(self, policy, grant, excused):
        """The daemon comes back to a current credential alone; then a refresh must be accepted and stored."""
        end = time.monotonic() + RESTART_SECONDS
        while time.monotonic() < end:
            status = self.box.grant(grant)["layers"]["token"]["status"]
            if status == "current":
                accepted = self.family(policy)["accepted"]
                try:
                    self.box.daemon.rpc.call("grant.refresh", grant=grant)
                except RpcError:
                    pass
                if self.family(policy)["accepted"] > accepted:
                    return True
            if status == "needs_consent" or (status == "quarantined" and excused):
                return False
            time.sleep(0.05)
        return False

    def whole(self):
        verdict = self.box.daemon.rpc.call("audit.verify")
        if not verdict["ok"]:
            raise Failed(f"the audit log: {verdict}")
        code = self.box.daemon.stop()
        if code != 0:
            raise Failed(f"ends with {code}")
        self.box.integrity()
        self.one_current()
        self.box.search_secrets()

    def one_current(self):
        found = self.box.rows("SELECT credential_id, count(*) FROM token_versions WHERE status = 'current'"
                              " GROUP BY credential_id HAVING count(*) > 1")
        if found:
            raise Failed(f"two current generations: {found}")


def work(job):
    """A worker's share: one bench for all its cycles, a new one after a failure."""
    out, bench = [], None
    for point, policy, seed in job:
        try:
            bench = bench or Bench()
            out.append(bench.cycle(point, policy, seed))
        except Exception as e:  # the whole matrix is run; failures are listed at its end
            tail = bench.box.log_tail(1500) if bench else ""
            out.append({"point": point, "policy": policy, "seed": SEEDS[seed % len(SEEDS)], "reached": None,
                        "lost": None, "failed": f"{type(e).__name__}: {e}\n{tail}"})
            if bench:
                bench.close()
            bench = None
        if len(out) % 100 == 0:
            print(f"worker {os.getpid()}: {len(out)} of {len(job)} cycles, "
                  f"{sum(1 for one in out if one.get('failed'))} failed", flush=True)
    if bench:
        bench.close()
    return out


def report(results, wanted, seconds):
    """Prints the matrix; returns the number of complaints."""
    failed = [one for one in results if one.get("failed")]
    by = collections.defaultdict(list)
    for one in results:
        by[one["point"], one["policy"]].append(one)
    print("point  " + "".join(f"{policy:>12}" for policy in POLICIES) + "   (met/cycles, ~n: lost as the rules allow)")
    for point in wanted:
        cells = []
        for policy in POLICIES:
            cell = by.get((point, policy), [])
            lost = sum(1 for one in cell if one["lost"])
            bad = sum(1 for one in cell if one.get("failed"))
            cells.append(f"{sum(1 for one in cell if one['reached'])}/{len(cell)}" + (f" ~{lost}" if lost else "")
                         + (f" !{bad}" if bad else ""))
        print(f"{point:7}" + "".join(f"{cell:>12}" for cell in cells))
    unmet = sorted({point for point in wanted if not any(one["reached"] for one in results if one["point"] == point)})
    for one in failed[:20]:
        print(f"FAILED {one['point']} {one['policy']} ({one['seed']}): {one['failed']}")
    for point in unmet:
        print(f"FAILED {point} was never met: the matrix does not test it")
    lost = sum(1 for one in results if one["lost"])
    print(f"{len(results)} cycles in {seconds:.0f} s, {len(failed)} failed, {lost} lost as the server's rules demand, "
          f"0 lost otherwise" if not failed else f"{len(results)} cycles in {seconds:.0f} s, {len(failed)} FAILED")
    return len(failed) + len(unmet)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--point", action="append")
    parser.add_argument("--policy", action="append")
    parser.add_argument("--big", action="store_true", help="20 seeds")
    args = parser.parse_args()
    wanted, policies = args.point or points(), args.policy or POLICIES
    seeds = 20 if args.big else args.seeds
    jobs = [[] for _ in range(args.workers)]
    for number, point in enumerate(wanted):
        for policy in policies:
            jobs[number % args.workers] += [(point, policy, seed) for seed in range(seeds)]
    began = time.monotonic()
    with concurrent.futures.ProcessPoolExecutor(args.workers) as pool:
        results = [one for share in pool.map(work, jobs) for one in share]
    sys.exit(1 if report(results, wanted, time.monotonic() - began) else 0)


if __name__ == "__main__":
    main()
