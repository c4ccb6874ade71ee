"""One cycle of the matrix that does something to the database of three nodes while they renew what all five classes of
servers gave out and vend it, on every node, all the time:

  backends killed      SIGKILL to some of the server's processes that work for nodes; the server then restarts all
  postmaster killed    SIGKILL to the postmaster, and a new one
  postmaster stopped   SIGSTOP for five seconds: who is connected goes on, nobody else gets in
  server stopped       the same with all of its processes
  immediate shutdown   SIGQUIT, without a checkpoint, and started again
  commit cut           connections break before their COMMIT arrives
  answer cut           connections break after their COMMIT arrived, before its answer
  promoted sync        the primary is killed, a synchronous standby takes its place
  promoted async       the same, but the standby lacks the last commits that the primary acknowledged

No node dies, so every answer of a platform has come to somebody who lives: nothing may be lost, nothing be presented
twice, nothing be declared dead, nothing need an operator. Only after "promoted async" nobody can know what was spent:
there it is counted, and every answer that the primary took along must have been brought back by the nodes' spools."""
import collections
import random
import signal
import threading
import time

from trio import POLICIES, Cluster, Failed, Failover, Gone, Rpc, RpcError, Trio, wait_for

DATABASE = "database"
LOSING = "promoted async"
PROMOTED = ("promoted sync", LOSING)
TROUBLES = ("backends killed", "postmaster killed", "postmaster stopped", "server stopped", "immediate shutdown",
            "commit cut", "answer cut", *PROMOTED)
LIMITS = {"request_deadline_ms": 2000, "quiet_ms": 2000, "family_lease_ms": 4000, "node_lease_ms": 3000}
DEADLINE_MS = 1500
STOPPED_SECONDS = 5
WAIT = 30
EACH = 2  # grants of each policy
BUSY = ("CONFLICT", "OVERLOADED", "CREDENTIAL_RETRYING", "LEASE_LATE", "NODES_BEHIND")  # another node, or this one, is at it
ANEW = {"gone", "SHUTTING_DOWN", "STORE_UNREACHABLE", "STORE_SLOW"}
HELD = "CREDENTIAL_RESTORED"


class Load:
    """Two that renew and one that vends, at each node, with connections of their own. What is vended nobody renews: a
    node that was told of a change may have to read it, and what cannot be read is not known to be valid."""

    def __init__(self, trio, grants, calm):
        self.trio, self.grants, self.calm = trio, grants, calm
        self.lock, self.going, self.ended = threading.Condition(), False, False
        self.busy, self.told, self.vended = 0, collections.Counter(), collections.Counter()
        self.flows = collections.Counter()  # by node: answers "ok"
        self.threads = [threading.Thread(target=self._work, args=(node, method, k), daemon=True) for node in trio.nodes
                        for k, method in enumerate(("grant.refresh", "grant.refresh", "grant.token"))]
        for thread in self.threads:
            thread.start()

    def _work(self, node, method, number):
        rng, line = random.Random(node.number * 10 + number), None
        while True:
            with self.lock:
                self.lock.wait_for(lambda: self.going or self.ended)
                if self.ended:
                    break
                self.busy += 1
                grant = rng.choice(self.calm if method == "grant.token" else self.grants)
            try:
                line = line or Rpc(node.socket_path, WAIT)
                line.call(method, grant=grant)
                word = "ok"
            except RpcError as e:
                word = e.reason or str(e)
            except (Gone, OSError) as e:
                line, word = line and line.close(), "gone" if node.up() else f"ended: {e}"
            with self.lock:
                self.busy -= 1
                (self.vended if method == "grant.token" else self.told)[word] += 1
                self.flows[node] += word == "ok" and method == "grant.refresh"
                self.lock.notify_all()
            time.sleep(0.01 if word == "ok" else 0.03)
        if line:
            line.close()

    def resume(self):
        with self.lock:
            self.told.clear()
            self.vended.clear()
            self.going = True
            self.lock.notify_all()

    def pause(self):
        with self.lock:
            self.going = False
            if not self.lock.wait_for(lambda: self.busy == 0, 2 * WAIT):
                raise Failed("a call is never answered")

    def flow(self, seconds=WAIT):
        """Until each node has renewed something that was asked for from now on."""
        with self.lock:
            before = dict(self.flows)
            if not self.lock.wait_for(lambda: all(self.flows[n] > before.get(n, 0) + 1 for n in self.trio.nodes), seconds):
                still = [n.number for n in self.trio.nodes if self.flows[n] <= before.get(n, 0) + 1]
                raise Failed(f"nodes {still} renew nothing within {seconds} s: {dict(self.told)}")

    def end(self):
        with self.lock:
            self.ended = True
            self.lock.notify_all()
        for thread in self.threads:
            thread.join(WAIT)


class Database:
    """One installation of three nodes. PAIR: on a primary with a standby."""
    PAIR = False

    def __init__(self):
        self.cluster, self.pair, self.trio, self.load = Cluster(wal_keep_size="128MB"), None, None, None
        self.grants, self.numbers, self.calm = {}, {}, []
        try:
            self.cluster.__enter__()
            if self.PAIR:
                self.pair = Failover(self.cluster)
            self.trio = Trio(self.cluster, limits=LIMITS, store={"deadline_ms": DEADLINE_MS}, wired=True,
                             ports=self.pair.ports if self.pair else ())
            self.server = self.trio.server
            self.trio.policies(grace=5)
            self.trio.start()
            self.trio.all_live()
        except BaseException:
            self.close()
            raise

    def close(self):
        if self.load:
            self.load.end()
        if self.trio:
            self.trio.close()
        (self.pair or self.cluster).done()

    # -- what is asked of it

    def names(self):
        return [(policy, k) for policy in POLICIES for k in range(EACH)]

    def ensure_grants(self):
        while len(self.calm) < len(POLICIES):
            self.calm.append(self.trio.first.consent(POLICIES[len(self.calm)], login="calm"))
        for number, name in enumerate(self.names()):
            if name not in self.grants:
                self.grants[name] = self.trio.nodes[number % 3].consent(name[0], login=f"anna{name[1]}")
                self.numbers[name] = self.trio.families()[-1]["number"]

    def family(self, name, families):
        return families[self.numbers[name] - 1]

    def count(self, what, families, policies=POLICIES):
        return sum(self.family(name, families)[what] for name in self.grants if name[0] in policies)

    def workers(self):
        return {node.number: node.worker() for node in self.trio.nodes}

    def cycle(self, trouble, _policy, _mode, seed):
        self.rng = random.Random(f"{trouble}{seed}")
        self.result = {"point": trouble, "policy": "all", "mode": DATABASE, "seed": str(seed), "reached": False,
                       "lost": None, "restarted": 0, "strikes": 0, "twice": 0}
        self.trio.start()
        self.trio.all_live()
        for node in self.trio.nodes:
            node.daemon.close()  # it may have started itself anew
        self.ensure_grants()
        before, workers = self.trio.families(), self.workers()
        self.load = Load(self.trio, list(self.grants.values()), self.calm)
        for grant in self.calm:
            self.trio.same_everywhere(grant)
        try:
            self.load.resume()
            self.load.flow()
            getattr(self, trouble.replace(" ", "_"))()
            began = time.monotonic()
            self.load.flow()
            self.result["back_ms"] = int((time.monotonic() - began) * 1000)
            self.load.pause()
        finally:
            self.load.end()
        self.judge(trouble, before, workers)
        return self.result

    def judge(self, trouble, before, workers):
        told, vended = self.load.told, self.load.vended
        self.load = None
        set_back = trouble == LOSING
        self.trio.all_live(WAIT)
        self.result["interrupted"] = sum(n for word, n in told.items() if word != "ok" and word not in BUSY)
        self.result["renewed"], self.result["told"] = told["ok"], dict(told)
        self.result["restarted"] = sum(was != workers[number] for number, was in self.workers().items())
        self.result["why"] = [line[:200] for node in self.trio.nodes for line in node.log_tail(60000).splitlines()
                              if self.result["restarted"] and ("node.dead" in line or "restarting" in line or "ousted" in line
                              or "beat_failed" in line)]
        if any(word.startswith("ended") for word in (*told, *vended)):
            raise Failed(f"a node ended: {told}")
        if not set_back:
            self.vended_all_the_time(vended)
        self.settle(set_back)
        after = self.trio.families()
        again = {policy: sum(self.count(what, after, [policy]) - self.count(what, before, [policy])
                             for what in ("reuse_presented", "reuse_late")) for policy in POLICIES[1:]}
        self.result["twice"] = sum(again.values())
        if self.result.get("brought", 0) < self.result.get("taken", 0):
            raise Failed(f"answers that a living node had received are gone: {self.result}")
        if self.result["twice"] and not set_back:
            raise Failed(f"a spent refresh token was presented: {again} {told}")
        for grant in self.grants.values():
            self.trio.same_everywhere(grant, 10)
        self.trio.whole()

    def vended_all_the_time(self, vended):
        """Except by one that was buried alive, which is counted: it began anew and knows nothing to be valid until it
        has read it."""
        bad = {word: n for word, n in vended.items() if word != "ok"}
        if bad and self.result["restarted"] and set(bad) <= ANEW:
            return
        if bad or not vended["ok"]:
            raise Failed(f"what lives was not vended: {dict(vended)}")

    def settle(self, set_back):
        """Each comes back to a current credential alone, and one refresh more is accepted and stored."""
        end, left, dead = time.monotonic() + WAIT, dict(self.grants), []
        held = set()
        while left:
            for name, grant in list(left.items()):
                node = self.rng.choice(self.trio.nodes)
                shown = node.call("grant.get", grant=grant)["grant"]
                status = shown["layers"]["token"]["status"]
                if set_back and shown.get("reason") == HELD:
                    held.add(name)
                    continue
                if status == "current" and self.renews(node, name, grant):
                    del left[name]
                elif status in ("needs_consent", "quarantined", "revoked"):
                    dead.append(name)
                    del left[name]
            if held and held >= set(left):
                self.result["held"] = self.result.get("held", 0) + len(held)
                self.trio.first.call("store.accept")
                held = set()
                end = time.monotonic() + WAIT
            if left and time.monotonic() > end:
                raise self.loss(left)
            time.sleep(0.05)
        if dead:
            self.lost(dead, set_back)

    def renews(self, node, name, grant):
        accepted = self.family(name, self.trio.families())["accepted"]
        try:
            node.call("grant.refresh", grant=grant)
        except RpcError:
            pass
        return self.family(name, self.trio.families())["accepted"] > accepted and node.status(grant) == "current"

    def loss(self, names):
        families, words = self.trio.families(), []
        for name in names:
            shown = self.trio.first.call("grant.get", grant=self.grants[name])["grant"]
            family = self.family(name, families)
            if shown["layers"]["token"]["status"] in ("needs_consent", "quarantined", "revoked") and family["usable"]:
                self.result["false_dead"] = True
            row = self.trio.sql("SELECT status, gen, reason, reason_text FROM grantd.credentials WHERE id = "
                                f"'{shown['credential']}'")
            words.append(f"{name}: {shown['state']} {row} server {family}")
        return Failed("lost without need: " + "; ".join(words))

    def lost(self, dead, set_back):
        """After lost commits only a token that was really spent may be gone."""
        families = self.trio.families()
        if not set_back or any(self.family(name, families)["usable"] for name in dead):
            raise self.loss(dead)
        self.result["lost"] = "promotion"
        self.result["gone"] = len(dead)
        for name in dead:
            del self.grants[name]
            del self.numbers[name]

    # -- what is done to the server

    def backends_killed(self):
        for _ in range(2):
            found = self.cluster.backends(self.trio.database)
            for pid, _name in self.rng.sample(found, self.rng.randint(1, len(found))):
                self.kill(pid)
            self.cluster.wait()
            self.load.flow()

    def kill(self, pid):
        try:
            self.cluster.kill_process(pid)
            self.result["strikes"] += 1
            self.result["reached"] = True
        except ProcessLookupError:  # the server has ended it already, because of another one
            pass

    def away(self):
        """How long it stays away: less or more than a transaction waits."""
        time.sleep(self.rng.choice((0, 0.3, 2 * DEADLINE_MS / 1000)))

    def struck(self):
        self.result["strikes"] += 1
        self.result["reached"] = True

    def postmaster_killed(self):
        self.cluster.kill_postmaster()
        self.struck()
        self.away()
        self.cluster.start()

    def immediate_shutdown(self):
        self.cluster.stop(signal.SIGQUIT)
        self.struck()
        self.away()
        self.cluster.start()

    def postmaster_stopped(self, all_of_it=False):
        stopped = self.cluster.freeze(all_of_it)
        try:
            for wire in self.trio.wires.values() if not all_of_it else ():
                wire.cut()  # else nobody would notice
            time.sleep(STOPPED_SECONDS)
        finally:
            self.cluster.thaw(stopped)
        self.struck()

    def server_stopped(self):
        self.postmaster_stopped(True)

    # -- between COMMIT and its answer

    def decided(self, there):
        word = f'"there":{str(there).lower()}'
        return sum('"store.commit_decided"' in line and word in line.replace(" ", "")
                   for node in self.trio.nodes for line in node.log_tail(1 << 30).splitlines())

    def commit_cut(self, there=False):
        """On every node several times; then sometimes nobody is to be reached for longer than a transaction waits."""
        before = self.decided(there)
        for turn in range(4):
            far = bool(turn % 2) and self.rng.random() < 0.7
            for wire in self.trio.wires.values():
                wire.cut_commit(there, gone=far)
            wait_for(lambda: all(wire.struck() for wire in self.trio.wires.values()), 20)
            self.result["strikes"] += len(self.trio.wires)
            if far:
                time.sleep(DEADLINE_MS / 1000 * self.rng.choice((0.3, 2)))
                for wire in self.trio.wires.values():
                    wire.back()
            self.load.flow()
        self.result["reached"] = self.decided(there) > before

    def answer_cut(self):
        self.commit_cut(True)

    # -- a standby takes over

    def lead(self, synchronous):
        wait_for(self.cluster.streams, 20, 0.05)
        self.cluster.reload(synchronous_standby_names="'*'" if synchronous else "''")
        if synchronous:
            wait_for(lambda: self.cluster.sql("SELECT sync_state FROM pg_stat_replication") == "sync", 10, 0.05)
            self.load.flow()

    def fail_over(self):
        self.pair.fail_over()
        self.cluster = self.trio.cluster = self.pair.primary
        self.struck()

    def promoted_sync(self):
        self.lead(True)
        self.fail_over()
        self.pair.renew()

    def attempts(self, cluster):
        """attempt id -> (credential, is it the current one)"""
        rows = cluster.sql("SELECT v.attempt_id, v.credential_id, v.attempt_id = c.current_attempt FROM "
                           "grantd.token_versions v JOIN grantd.credentials c ON c.id = v.credential_id",
                           self.trio.database).splitlines()
        return {row.split("|")[0]: (row.split("|")[1], row.split("|")[2] == "t") for row in rows}

    def promoted_async(self):
        """What the primary alone has, and where it is afterwards: there, or something newer than both knew."""
        self.lead(False)
        self.pair.leave_behind()
        time.sleep(self.rng.choice((0, 0.2, 0.6)))
        self.load.flow()
        self.pair.replayed()
        kept = self.attempts(self.pair.standby)
        self.fail_over()
        self.load.flow()
        taken = self.pair.old_says(self.attempts)
        self.load.flow()
        here = self.attempts(self.cluster)
        lost = {attempt: cred for attempt, (cred, current) in taken.items() if current and attempt not in kept}
        newer = {cred for attempt, (cred, current) in here.items() if current and attempt not in kept and attempt not in taken}
        self.result["taken"] = len(lost)
        self.result["brought"] = sum(attempt in here or cred in newer for attempt, cred in lost.items())
        self.pair.renew()


class Pair(Database):
    PAIR = True


def table(results):
    """What was done to the database, and what came of it."""
    if not results:
        return
    print(f"{'database':20}{'met':>8}{'strikes':>9}{'renewed':>9}{'disturbed':>11}{'back ms':>9}{'restarts':>10}{'twice':>7}"
          f"{'held':>6}{'gone':>6}   answers taken along by the primary, brought back")
    for trouble in TROUBLES:
        these = [one for one in results if one["point"] == trouble]
        if not these:
            continue

        def total(what, these=these):
            return sum(one.get(what) or 0 for one in these)
        bad = sum(1 for one in these if one.get("failed"))
        met = f"{total('reached')}/{len(these)}" + (f"!{bad}" if bad else "")
        print(f"{trouble:20}{met:>8}{total('strikes'):>9}{total('renewed'):>9}{total('interrupted'):>11}"
              f"{max(one.get('back_ms') or 0 for one in these):>9}{total('restarted'):>10}{total('twice'):>7}"
              f"{total('held'):>6}{total('gone'):>6}" + (f"   {total('taken')}, {total('brought')}"
                                                         if trouble == LOSING else ""))
