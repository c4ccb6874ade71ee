"""Bench (f): grantd on PostgreSQL beside pgbench on the same tables. A cluster of its own with the data of
bench_populate; drivers that do what is durable of a refresh (bench_refresh), and pgbench scripts that change the same
rows by plain statements, as many a commit."""
import contextlib
import json
import os
import random
import resource
import statistics
import shutil
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "pg"))
from cluster import Cluster, binary, die_with_parent  # noqa: E402

NUMBERED = 10 ** 18  # bench.h
SETTINGS = {"shared_buffers": "2GB", "max_wal_size": "16GB", "checkpoint_timeout": "30min", "wal_buffers": "16MB",
            "max_connections": "100", "track_wal_io_timing": "on"}
FORM_US = 250  # a quarter of store.group_wait_us: nothing more came
TICK = os.sysconf("SC_CLK_TCK")


def quoted(value):
    """A cell as COPY reads it."""
    if value is None:
        return "\\N"
    if isinstance(value, bytes):
        return "\\\\x" + value.hex()
    return str(value)


class Database:
    """So many grants in a database of their own; state: the folder with the key that they are sealed under."""

    def __init__(self, bench, cluster, grants, app="bench_none", **options):
        self.bench, self.cluster, self.grants = bench, cluster, grants
        self.url = cluster.database()
        self.name = cluster.name_of(self.url)
        self.state, self.ids = bench.path(f"pg-state-{self.name}"), bench.path(f"pg-ids-{self.name}")
        bench.populate(self.state, self.ids, grants, app=app, numbered=True, **options)
        self.kek = os.path.join(self.state, "kek")
        self.runs, self.bytes = 0, 0
        stop(daemons(bench, self, 1))  # makes the tables
        self.fill()

    def store(self):
        return {"url": self.url, "module_dir": os.path.join(self.bench.build, "store")}

    def fill(self):
        for schema, file, tables in (("grantd", "grantd.db", ("clients", "credentials", "token_versions", "grants")),
                                     ("grantd_keys", "keyring.db", ("data_keys",))):
            with contextlib.closing(sqlite3.connect(os.path.join(self.state, file))) as database:
                for table in tables:
                    self.copy(schema, table, database)
            os.unlink(os.path.join(self.state, file))
        self.sql("VACUUM ANALYZE")
        self.bytes = int(self.sql("SELECT length(sealed) FROM grantd.token_versions LIMIT 1"))

    def without_indexes(self, schema, table):
        """Takes those away that only finding needs; returns what makes them again. Sorted once they are made in a third
        of the time."""
        rows = self.sql(f"SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = '{schema}' AND tablename = '{table}'"
                        " AND indexname NOT IN (SELECT conname FROM pg_constraint)").splitlines()
        for row in rows:
            self.sql(f"DROP INDEX {schema}.{row.split('|', 1)[0]}")
        return [row.split("|", 1)[1] for row in rows]

    def copy(self, schema, table, database):
        indexes = self.without_indexes(schema, table)
        rows = database.execute(f"SELECT * FROM {table} ORDER BY 1, 2")
        columns = ", ".join(column[0] for column in rows.description)
        psql = subprocess.Popen([binary("psql"), "-Xq", "-v", "ON_ERROR_STOP=1", "-h", self.cluster.folder, "-p",
                                 str(self.cluster.port), "-U", "postgres", "-d", self.name, "-c",
                                 f"COPY {schema}.{table} ({columns}) FROM STDIN"], stdin=subprocess.PIPE, text=True)
        while some := rows.fetchmany(5000):
            psql.stdin.write("".join("\t".join(map(quoted, row)) + "\n" for row in some))
        psql.stdin.close()
        if psql.wait():
            raise RuntimeError(f"{table} was not copied")
        for index in indexes:
            self.sql(f"SET maintenance_work_mem = '512MB'; {index}")

    def sql(self, text):
        return self.cluster.sql(text, self.name)

    def gens(self):
        return int(self.sql("SELECT sum(gen) FROM grantd.credentials"))


def waits(pids):
    """Seconds that each thread of these was ready to run and another was running."""
    found = {}
    for pid in pids:
        found[pid] = {}
        with contextlib.suppress(OSError):
            for tid in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{tid}/schedstat", encoding="ascii") as file:
                    found[pid][tid] = int(file.read().split()[1]) / 1e9
    return found


def waited(before, after):
    """Of each process the thread that waited longest: its threads wait beside each other."""
    return sum(max((s - before.get(pid, {}).get(tid, 0) for tid, s in threads.items()), default=0)
               for pid, threads in after.items())


class Meter:
    """What a server did between two looks: CPU of all its processes, WAL, syncs."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.at = self.look()

    def look(self):
        cpu = 0.0
        for pid in self.cluster.pids():
            with contextlib.suppress(OSError):
                with open(f"/proc/{pid}/stat", encoding="ascii") as file:
                    fields = file.read().rsplit(")", 1)[1].split()
                # The first is the postmaster: with it those that have ended meanwhile.
                cpu += sum(map(int, fields[11:15] if pid == self.cluster.process.pid else fields[11:13])) / TICK
        images, syncs, sync_ms, lsn = self.cluster.sql(
            "SELECT wal_fpi, wal_sync, wal_sync_time, pg_current_wal_insert_lsn() - '0/0'::pg_lsn FROM pg_stat_wal").split("|")
        return {"cpu": cpu, "images": int(images), "syncs": int(syncs), "sync_ms": float(sync_ms), "wal": int(lsn)}

    def stop(self):
        return {key: value - self.at[key] for key, value in self.look().items()}


# ---- the drivers

class Driver:
    def __init__(self, db, node, of, in_flight, seconds):
        folder = db.bench.path(f"pg-node{node}")
        shutil.rmtree(folder, ignore_errors=True)
        self.process = subprocess.Popen(
            [db.bench.program("bench_refresh"), "--url", db.url, "--modules", os.path.join(db.bench.build, "store"), "--state",
             folder, "--node", f"n{node}", "--creds", str(db.grants), "--of", str(of), "--at", str(node), "--in-flight",
             str(in_flight), "--seconds", str(seconds), "--bytes", str(db.bytes)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, preexec_fn=die_with_parent)

    def line(self):
        text = self.process.stdout.readline()
        if not text:
            raise RuntimeError(f"bench_refresh ended with {self.process.wait()}")
        return json.loads(text)

    def go(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def end(self):
        self.go()
        if self.process.wait(60):
            raise RuntimeError(f"bench_refresh ended with {self.process.returncode}")
        self.process.stdin.close()
        self.process.stdout.close()


def drive(db, nodes, in_flight, seconds):
    """So many nodes at once; figures of all together."""
    had = db.gens()
    drivers = [Driver(db, n, nodes, in_flight, seconds) for n in range(nodes)]
    for one in drivers:
        one.line()
    pids = [one.process.pid for one in drivers] + [pid for pid, _ in db.cluster.backends(db.name, "grantd/%/writer")]
    meter, before = Meter(db.cluster), waits(pids)
    for one in drivers:
        one.go()
    got = [one.line() for one in drivers]
    late = waited(before, waits(pids))
    time.sleep(0.1)  # statistics of a connection that rests are told to all
    server = meter.stop()
    for one in drivers:
        one.end()
    done = sum(g["refreshes"] for g in got)
    if db.gens() - had != done or db.sql("SELECT count(*) FROM grantd.intents") != "0":
        raise RuntimeError("the database does not hold what was told to be durable")
    return {"per_second": sum(g["per_second"] for g in got), "done": done, "group": sum(g["transactions"] for g in got) /
            sum(g["commits"] for g in got), "node_us": sum(g["cpu_us"] * g["refreshes"] for g in got) / done,
            "waited_us": late * 1e6 / done, "reread": sum(g["reread"] for g in got) / done, "answer_p50_us": max(g["answer_p50_us"] for g in got),
            "answer_p99_us": max(g["answer_p99_us"] for g in got), **of_server(server, done)}


def of_server(server, done):
    return {"server_us": server["cpu"] * 1e6 / done, "wal_bytes": server["wal"] / done, "images": server["images"] / done,
            "syncs": server["syncs"] / done, "sync_us": server["sync_ms"] * 1e3 / max(1, server["syncs"])}


# ---- pgbench

def script(group, grants, clients, run):
    """A refresh twice, as two commits of so many each: the lease, then the answer. Plain statements by primary key; no
    condition, no clock, no check of anything."""
    cred, attempt = "'cr0000000' || :c%d", f"'at7{run:06d}' || :a%d"
    share = grants // clients
    lease, answer, sets = [], [], []
    for i in range(group):
        c, a = cred % i, attempt % i
        sets += [f"\\set c{i} {NUMBERED} + :client_id + {clients} * random(0, {share - 1})",
                 f"\\set a{i} {NUMBERED} + :client_id * 1000000000000 + :n * 1000 + {i}"]
        lease += [f"UPDATE credentials SET lease_owner = 'pgbench', lease_epoch = lease_epoch + 1, lease_until = 1700000000000,"
                  f" lease_attempt = {a} WHERE workspace = 'main' AND id = {c};",
                  f"INSERT INTO intents (workspace, attempt_id, credential_id, gen, epoch, node, deadline, created_at)"
                  f" VALUES ('main', {a}, {c}, 1, 1, 'pgbench', 1700000000000, 1700000000000);",
                  f"SELECT c.gen, c.account_id, c.scope, c.issued_at, c.expires_at, c.status, v.attempt_id, v.parent_gen,"
                  f" v.created_at, v.sealed FROM credentials c JOIN token_versions v ON v.workspace = c.workspace AND"
                  f" v.attempt_id = c.current_attempt WHERE c.workspace = 'main' AND c.id = {c};"]
        answer += [f"UPDATE credentials SET gen = gen + 1, current_attempt = {a}, status = 'current', issued_at = issued_at + 1,"
                   f" expires_at = expires_at + 1, next_at = next_at + 1, attempts = 0, lease_owner = NULL, lease_until = 0,"
                   f" refreshed_at = refreshed_at + 1 WHERE workspace = 'main' AND id = {c};",
                   f"INSERT INTO token_versions (workspace, attempt_id, credential_id, parent_gen, status, sealed, created_at,"
                   f" issued_at, expires_at, refresh_expires_at) VALUES ('main', {a}, {c}, (SELECT gen - 1 FROM credentials"
                   f" WHERE workspace = 'main' AND id = {c}), 'current', :sealed, 1700000000000, 1700000000000,"
                   f" 1700000000000, 0);",
                   f"UPDATE token_versions SET status = 'superseded' WHERE workspace = 'main' AND credential_id = {c}"
                   f" AND status = 'current' AND attempt_id <> {a};",
                   f"DELETE FROM intents WHERE workspace = 'main' AND attempt_id = {a};"]
        if i % 4 == 0:  # as often as grantd collects
            answer.append(f"DELETE FROM token_versions WHERE workspace = 'main' AND credential_id = {c} AND status ="
                          f" 'superseded' AND parent_gen < (SELECT gen FROM credentials WHERE workspace = 'main' AND id = {c})"
                          f" - 6;")
    feed = f"INSERT INTO feed (node, n, link, prev, at, news) VALUES ('pgbench{run}.' || :client_id, %s, 1, 1, 1700000000000, %s);"

    def commit(lines, number, news):
        return ["\\startpipeline", "BEGIN;", *lines, feed % (number, news), "COMMIT;", "\\endpipeline"]
    return "\n".join(["\\set n :n + 1", *sets, "\\set m 2 * :n", "\\set k 2 * :n + 1", *commit(lease, ":m", "NULL"),
                      *commit(answer, ":k", ":news")]) + "\n"


def pgbench(db, clients, group, seconds):
    """Figures of so many connections, each with so many refreshes a commit."""
    db.runs += 1
    path, had = db.bench.path("pgbench.sql"), db.gens()
    with open(path, "w", encoding="ascii") as file:
        file.write(script(group, db.grants, clients, db.runs))
    env = {**{k: v for k, v in os.environ.items() if not k.startswith("PG")}, "PGOPTIONS": "-c search_path=grantd"}
    meter, cpu = Meter(db.cluster), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([binary("pgbench"), "-n", "-M", "prepared", "-c", str(clients), "-j", str(clients), "-T", str(seconds),
                           "-f", path, "-D", "n=0", "-D", "sealed=" + "A" * db.bytes, "-D", "news=" + "A" * 34 * group, "-h",
                           db.cluster.folder, "-p", str(db.cluster.port), "-U", "grantd", db.name], env=env,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
    after, server = resource.getrusage(resource.RUSAGE_CHILDREN), meter.stop()
    if done.returncode or "number of failed transactions: 0 " not in done.stdout:
        raise RuntimeError(f"pgbench: {done.stdout} {done.stderr[-2000:]}")
    rounds = int(done.stdout.split("actually processed: ")[1].split()[0].split("/")[0])
    rate = float(done.stdout.split("tps = ")[1].split()[0])
    count = rounds * group
    if db.gens() - had != count or db.sql("SELECT count(*) FROM grantd.intents") != "0":
        raise RuntimeError(f"pgbench did {db.gens() - had} refreshes and says {count}")
    db.sql("DELETE FROM grantd.feed WHERE node LIKE 'pgbench%'")
    used = after.ru_utime + after.ru_stime - cpu.ru_utime - cpu.ru_stime
    return {"per_second": rate * group, "done": count, "group": group, "node_us": used * 1e6 / count, **of_server(server, count)}


# ---- daemons on it

def daemons(bench, db, nodes, extra=None):
    """So many nodes, ready and known to each other."""
    config = {**(extra or {}), "store": db.store(), "key": {"file": db.kek}}
    config["limits"] = {**config.get("limits", {}), "node_lease_ms": 3000}
    found = []
    for n in range(nodes):
        state = bench.path(f"pg-daemon{n}")
        shutil.rmtree(state, ignore_errors=True)
        found.append(bench.daemon(state, bench.path(f"d{n}"), config))
    end = time.monotonic() + 60
    while any(sum(n["state"] == "live" for n in d.status()["nodes"]["nodes"]) != nodes for d in found):
        if time.monotonic() > end:
            raise RuntimeError("the nodes do not see each other")
        time.sleep(0.1)
    return found


def stop(found):
    for one in found:
        one.stop(120)


def sample(db, count):
    """A file of some of the ids, in any order."""
    with open(db.ids, "rb") as file:
        ids = file.read()
    all_of_them = [ids[i:i + 16] for i in range(0, len(ids), 16)]
    path = db.bench.path("pg-sample")
    with open(path, "wb") as file:
        file.write(b"".join(random.sample(all_of_them, min(count, len(all_of_them)))))
    return path


def cpu_s(bench, found):
    return sum(bench.cpu_ns(one.pid) for one in found) / 1e9


def vends(bench, db, nodes):
    """What a vend costs: the first of each grant (the token is read from the database, the record is synced), then from
    the node's memory. All nodes at once."""
    count = 200 if bench.smoke else 10000
    ids, found = sample(db, count), daemons(bench, db, nodes)

    def load(daemon, verb, *words):
        return bench.tool("bench_load", verb, "--proto", "grantd", "--socket", daemon.socket, "--ids", ids, "--clients", 16,
                          "--pipeline", 16, *words, core=None)
    with ThreadPoolExecutor(nodes) as pool:
        meter, cpu = Meter(db.cluster), cpu_s(bench, found)
        first = list(pool.map(lambda d: load(d, "warm"), found))
        cpu, server = cpu_s(bench, found) - cpu, meter.stop()
        warm = list(pool.map(lambda d: load(d, "run", "--seconds", bench.ms, "--pid", d.pid), found))
    started = [d.ready_seconds for d in found]
    stop(found)
    done = min(count, db.grants) * nodes
    return {"first_per_second": sum(f["per_second"] for f in first), "first_node_us": cpu * 1e6 / done,
            "first_server_us": server["cpu"] * 1e6 / done, "per_second": sum(w["per_second"] for w in warm),
            "node_us": statistics.mean(w["cpu_us"] for w in warm), "started": max(started)}


def storm(bench, db, nodes, extra):
    """Everything is due some seconds after the nodes are ready: they share it. The whole path, a token endpoint with TLS
    and all."""
    had, ahead = db.gens(), 2 if bench.smoke else 12
    db.sql(f"UPDATE grantd.credentials SET status = 'current', next_at = {int((time.time() + ahead) * 1000)}")
    db.sql("VACUUM ANALYZE grantd.credentials")
    db.cluster.sql("CHECKPOINT")
    found = daemons(bench, db, nodes, extra)
    if db.gens() > had and not bench.smoke:
        raise RuntimeError("the nodes were not ready when it was time; more of it is needed on this machine")
    meter, end = Meter(db.cluster), time.monotonic() + 300
    samples = [(time.monotonic(), 0, cpu_s(bench, found), meter.at)]
    while time.monotonic() < end:  # what the scheduler counts has fired on nodes that leave it to another, too
        samples.append((time.monotonic(), db.gens() - had, cpu_s(bench, found), meter.look()))
        if samples[-1][1] >= db.grants:
            break
        time.sleep(0.02 if bench.smoke else 0.5)
    stop(found)
    if db.gens() - had != db.grants:
        raise RuntimeError(f"{db.gens() - had} of {db.grants} credentials were refreshed: {found[0].tail()}")
    inner = [s for s in samples if db.grants * 0.05 <= s[1] <= db.grants * 0.95]
    first, last = (inner[0], inner[-1]) if len(inner) > 2 else (samples[0], samples[-1])
    done, server = max(1, last[1] - first[1]), {k: last[3][k] - first[3][k] for k in last[3]}
    return {"per_second": done / max(1e-9, last[0] - first[0]), "node_us": (last[2] - first[2]) * 1e6 / done, "done": done,
            **of_server(server, done)}


# ---- the bench

class Refreshes:
    """(f): both sides in turns, at one size and so many nodes."""

    def __init__(self, bench, db, nodes):
        self.bench, self.db, self.nodes = bench, db, nodes
        self.pgbench, self.grantd = [], []

    def run(self, seconds, rounds):
        in_flight = self.bench.args.concurrency
        group = max(1, round(drive(self.db, self.nodes, in_flight, 1)["group"]))  # and what is cold gets warm
        for _ in range(rounds):
            for side in (self.pgbench, self.grantd):
                self.db.cluster.sql("CHECKPOINT")
                side.append(pgbench(self.db, self.nodes, group, seconds) if side is self.pgbench
                            else drive(self.db, self.nodes, in_flight, seconds))
        return self

    def ratio(self):
        return [g["per_second"] / p["per_second"] for g, p in zip(self.grantd, self.pgbench)]

    def mean(self, key, side=None):
        return statistics.median(one[key] for one in side or self.grantd)

    def predicted(self):
        """What a connection can do, which a node has one of: a group forms, is spooled and synced (answers only), goes to
        the server, is executed and synced; a refresh takes part in two. What all waited for a core on a busy machine
        belongs to it. Where all nodes together would need more CPU than there is, that counts."""
        m = {key: self.mean(key) for key in ("server_us", "node_us", "waited_us", "group", "sync_us")}
        cpu = m["server_us"] + m["node_us"]
        cycle = m["group"] * (cpu + m["waited_us"]) + 2 * (FORM_US + m["sync_us"]) + m["sync_us"]
        return min(self.nodes * m["group"] * 1e6 / cycle, os.cpu_count() * 1e6 / cpu)


def numbers(bench):
    return (2,) if bench.smoke else (1, 3)


def sizes_of(bench):
    if bench.smoke:
        return [600]
    return [bench.args.grants] if bench.args.grants else [10000, 100000, 1000000]


def run(bench):
    seconds, rounds = (1, 1) if bench.smoke else (5, min(bench.rounds, 3))
    os.chmod(bench.folder, 0o711)  # the server has a user of its own
    with Cluster(place=bench.folder, **SETTINGS) as cluster:
        try:
            measure(bench, cluster, seconds, rounds)
        except BaseException:
            sys.stderr.write(cluster.log())
            raise


def measure(bench, cluster, seconds, rounds):
    done, vended = {}, {}
    for grants in sizes_of(bench):
        db = Database(bench, cluster, grants)
        for nodes in numbers(bench):
            vended[grants, nodes] = vends(bench, db, nodes)
        for nodes in numbers(bench):  # what these seal, nobody opens
            done[grants, nodes] = Refreshes(bench, db, nodes).run(seconds, rounds)
        cluster.drop(db.url)
    show(bench, done, vended)
    if not bench.args.grants:
        path(bench, cluster)


def label(nodes):
    return f"{nodes} node" + "s" * (nodes > 1)


def show(bench, done, vended):
    say, spread = bench.say, bench.spread
    say("(f) refreshes into PostgreSQL (the store room: lease, intent, row; answer spooled, synced, committed) beside"
        " pgbench -M prepared, pipelined, as many a commit, as many connections")
    rates, costs, model = [], [], []
    for (grants, nodes), r in done.items():
        note = bench.floor("durable", statistics.median(r.ratio()), f"durable refreshes, {grants} grants, {label(nodes)}, x"
                           " pgbench")
        bench.results[f"durable {grants} {nodes}"] = {"ratio": r.ratio(), "grantd": r.grantd, "pgbench": r.pgbench}
        bench.results[f"vends {grants} {nodes}"] = v = vended[grants, nodes]
        rates.append([grants, nodes, f"{r.mean('group'):.0f}", spread(g["per_second"] / 1e3 for g in r.grantd),
                      spread(p["per_second"] / 1e3 for p in r.pgbench), spread(r.ratio()), note])
        costs.append([grants, nodes, spread((g["server_us"] for g in r.grantd), "{:.0f}"),
                      spread((p["server_us"] for p in r.pgbench), "{:.0f}"), spread((g["node_us"] for g in r.grantd), "{:.0f}"),
                      f"{v['first_node_us']:.0f} + {v['first_server_us']:.0f}", f"{v['node_us']:.1f}",
                      f"{v['started']:.1f}"])
        model.append([grants, nodes, f"{r.mean('wal_bytes'):.0f}", f"{r.mean('images'):.2f}", f"{r.mean('syncs'):.3f}",
                      f"{r.mean('sync_us'):.0f}", f"{r.mean('reread'):.2f}", f"{r.predicted() / 1e3:.2f}",
                      f"{r.predicted() / r.mean('per_second'):.2f}"])
    bench.table(["grants", "nodes", "a commit", "grantd, thousand/s", "pgbench", "x pgbench", "floor"], rates)
    bench.table(["CPU us", "nodes", "server/refresh", "with pgbench", "node/refresh", "first vend, node + server", "vend",
                 "start, s"], costs)
    bench.table(["a refresh", "nodes", "WAL bytes", "pages in it", "syncs", "us a sync", "read again", "model, thousand/s",
                 "x measured"], model)


def path(bench, cluster):
    """The whole path, in turns with pgbench."""
    server, port, tls = bench.nginx()
    db, other = [Database(bench, cluster, 200 if bench.smoke else 30000, due=3600, ttl=7200) for _ in range(2)]
    extra, rows = bench.storm_config(port, tls, ["none"]), []
    for nodes in numbers(bench):
        sides = []
        for _ in range(1 if bench.smoke else min(bench.rounds, 2)):
            beside = pgbench(other, nodes, 1 if bench.smoke else bench.args.concurrency // 2, 1 if bench.smoke else 5)
            sides.append((storm(bench, db, nodes, extra), beside))
        ratio = [s["per_second"] / p["per_second"] for s, p in sides]
        bench.results[f"path {nodes}"] = {"ratio": ratio, "sides": sides}
        rows.append([nodes, bench.spread(s["per_second"] / 1e3 for s, _ in sides), bench.spread(ratio),
                     bench.spread((s["node_us"] for s, _ in sides), "{:.0f}"),
                     bench.spread((s["server_us"] for s, _ in sides), "{:.0f}")])
    server.stop()
    bench.say(f"  the whole path, with a token endpoint and TLS on the same {os.cpu_count()} cores:")
    bench.table(["nodes", "grantd, thousand/s", "x pgbench", "node us", "server us"], rows)
