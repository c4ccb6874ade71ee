#!/usr/bin/env python3
"""What a stranger found at the doors: calls that reach further than the rule that lets them in, a configuration that is
read anew, what is closed before the daemon starts, answers that were on their way when it ended."""
import json
import os
import signal
import socket
import subprocess
import sys
import time
import unittest

from harness import SHARED, Daemon, Gone, GrantdTest, Rpc, RpcError, program, wait_for

NOBODY = 65534
ASK = """
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
answers = s.makefile()
for _ in range(int(sys.argv[3])):
    s.sendall(sys.argv[2].encode() + b"\\n")
for _ in range(int(sys.argv[3])):
    print(answers.readline(), end="")
"""


def as_nobody(box, method, times=1, **params):
    """The answer that another user of the machine gets, the last one of so many."""
    os.chmod(box.socket_path, 0o666)
    call = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
    out = subprocess.run(["/usr/bin/python3", "-c", ASK, box.socket_path, call, str(times)], user=NOBODY, group=NOBODY,
                         extra_groups=[], stdout=subprocess.PIPE, cwd="/", check=True)
    answer = json.loads(out.stdout.splitlines()[-1])
    if "error" in answer:
        raise RpcError(answer["error"])
    return answer["result"]


class Narrow(GrantdTest):
    """A rule that names clients lets in for those clients."""

    def test_all_grants_are_not_reached_through_one(self):
        server = self.box.accounting()
        self.box.policy_app(server, "none", at_ttl=600)
        self.box.start()
        mine, others = self.box.consent("none"), self.box.consent("none", login="berta")
        client = self.box.grant(mine)["client"]
        self.box.extra = f"policy:\n  - {{user: {NOBODY}, methods: [grant.verify], clients: [{client}]}}\n"
        self.box.write_config()
        self.rpc.call("daemon.reload")
        self.assertEqual(as_nobody(self.box, "grant.verify", grant=mine)["grant"]["id"], mine)
        for params, reason in (({"grant": others}, "NOT_FOUND"), ({"all": True}, "DENIED"),
                               ({"grant": mine, "all": True}, "PARAM_INVALID"),
                               ({"grant": mine, "client": client}, "PARAM_INVALID")):
            with self.subTest(**params), self.assertRaises(RpcError) as caught:
                as_nobody(self.box, "grant.verify", **params)
            self.assertEqual(caught.exception.reason, reason, params)
        self.assertEqual(as_nobody(self.box, "grant.verify", all=True, client=client)["looked"], 1)

    def test_other_clients_are_not_told_of(self):
        """Who else is asked for the account is said to whoever may see that client."""
        server = self.box.accounting()
        self.box.policy_app(server, "none", at_ttl=600)
        self.box.start()
        one, two = (self.rpc.call("client.create", name=name)["client"]["id"] for name in ("One", "Two"))
        self.box.extra = f"policy:\n  - {{user: {NOBODY}, methods: [request.create], clients: [{two}]}}\n"
        self.box.write_config()
        self.rpc.call("daemon.reload")
        ask = {"items": [{"app": "none", "asset": "properties/1"}]}
        first = self.rpc.call("request.create", client=one, **ask)["request"]["id"]
        (told,) = self.rpc.call("request.create", client=two, **ask)["notices"]
        self.assertEqual((told["request"], told["client"]), (first, one))
        self.assertEqual([n["client"] for n in as_nobody(self.box, "request.create", client=two, **ask)["notices"]], [two])


class Refusals(GrantdTest):
    def test_nobody_fills_the_disk_with_refusals(self):
        """Each is answered and counted; in the audit log and in the log stand twenty of a second."""
        self.box.start()
        before = time.monotonic()
        with self.assertRaises(RpcError) as caught:
            as_nobody(self.box, "client.list", times=3000)
        self.assertEqual(caught.exception.reason, "DENIED")
        most = 20 * (int(time.monotonic() - before) + 2)
        self.assertEqual(self.rpc.call("daemon.status")["rpc"]["denied"], 3000)
        self.assertIn(self.box.log_tail(10**7).count('"rpc.denied"'), range(20, most + 1))
        records = [r for r in self.rpc.call("audit.list", limit=1000)["records"] if r["outcome"] == "DENIED"]
        self.assertIn(len(records), range(20, most + 1))


class Reload(GrantdTest):
    def setUp(self):
        super().setUp()
        self.server = self.box.accounting()
        self.box.policy_app(self.server, "none", at_ttl=600)

    def reload(self):
        self.box.write_config()
        return self.rpc.call("daemon.reload")["restart_needed"]

    def test_what_waits_for_a_restart_is_named(self):
        self.box.start()
        self.assertEqual(self.reload(), [])
        self.box.extra = "log: {level: debug}\npolicy:\n  - {user: 65534, methods: [client.list]}\n"
        self.assertEqual(self.reload(), [])
        self.assertEqual(as_nobody(self.box, "client.list")["clients"], [])
        self.box.limits["per_minute"] = 77
        self.assertEqual(self.reload(), ["limits"])

    def test_a_secret_that_was_changed_waits_too(self):
        """The file that holds it has the same name; the platform will be shown the old one until the next start."""
        self.box.start()
        self.box.secret_file("none")
        self.assertEqual(self.reload(), ["apps"])

    def test_tls_comes_and_goes_with_a_restart_only(self):
        """A portal that speaks plain http goes on to do so; nobody is told that it changed."""
        self.box.start()
        subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", f"{self.box.inputs}/key.pem"], check=True)
        subprocess.run(["openssl", "req", "-x509", "-key", f"{self.box.inputs}/key.pem", "-subj", "/CN=x", "-out",
                        f"{self.box.inputs}/cert.pem"], check=True)
        self.box.extra = f"tls: {{cert: {self.box.inputs}/cert.pem, key: {self.box.inputs}/key.pem}}\n"
        plain, self.box.url = self.box.url, self.box.url.replace("http:", "https:")
        self.assertEqual(self.reload(), ["public_url", "tls"])
        self.assertEqual(self.box.browser().open(plain + "/health").status, 200)

    def test_a_hangup_while_it_starts(self):
        """A reload that comes too early ends nothing: the file is being read for the first time."""
        self.box.write_config()
        self.box.daemon = Daemon(self.box)
        wait_for(lambda: os.path.exists(self.box.state + "/node") or not self.box.daemon.alive())
        while self.box.daemon.alive() and not self.box.daemon.event.wait(0.001):
            self.box.daemon.process.send_signal(signal.SIGHUP)
        self.box.daemon.wait_ready()
        self.assertEqual(self.rpc.call("client.list")["clients"], [])

    def test_another_file_is_named_by_its_whole_path(self):
        """Where the daemon was started from is nobody's business."""
        self.box.start()
        self.refused("PARAM_INVALID", "daemon.check", file="grantd.yaml")
        self.assertTrue(self.rpc.call("daemon.check", file=self.box.config_path)["ok"])

    def test_a_hangup_is_on_record(self):
        """Rules that a signal changed are rules that somebody changed."""
        self.box.start()
        self.box.daemon.process.send_signal(signal.SIGHUP)
        wait_for(lambda: "config.reload" in self.box.log_tail())
        self.box.extra = "listem: 1\n"
        self.box.write_config()
        self.box.daemon.process.send_signal(signal.SIGHUP)
        wait_for(lambda: "CONFIG_UNKNOWN_KEY" in self.box.log_tail())

        def steps():
            records = self.rpc.call("audit.list", limit=1000)["records"]
            return [r["outcome"] or r["phase"] for r in records if r["act"] == "daemon.reload"]
        wait_for(lambda: len(steps()) == 4)
        self.assertEqual(steps(), ["request", "ok", "request", "CONFIG_UNKNOWN_KEY"])


class Records(GrantdTest):
    def test_the_newest_ones(self):
        """What somebody wants to see first is at the end of a log of years."""
        self.box.start()
        for number in range(5):
            self.rpc.call("client.create", name=f"client {number}")
        everything = self.rpc.call("audit.list", limit=1000)["records"]
        newest = self.rpc.call("audit.list", limit=3, newest=True)
        self.assertEqual(newest, {"records": everything[-3:]})
        first = self.rpc.call("audit.list", limit=3)
        self.assertEqual(first, {"records": everything[:3], "next": everything[2]["seq"]})
        self.assertIn("at least 0", str(self.refused("PARAM_INVALID", "audit.list", after=-1)))


class Closed(GrantdTest):
    def test_nothing_is_written_where_the_log_was_closed(self):
        """grantd 2>&-: the first file that is opened must not become what the log is written to."""
        self.box.accounting()
        self.box.write_config()
        command = f'exec "$0" "$@" <&- >&- 2>&-'
        grantd = subprocess.Popen(["sh", "-c", command, program("grantd"), "--config", self.box.config_path, "--own-platforms"],
                                  start_new_session=True)
        self.addCleanup(grantd.wait)
        self.addCleanup(grantd.kill)
        wait_for(lambda: os.path.exists(self.box.socket_path), 20)
        rpc = Rpc(self.box.socket_path)
        rpc.call("client.create", name="Anna")
        self.assertEqual(self.box.browser().open(self.box.url + "/health").status, 200)
        for fd in range(3):
            self.assertEqual(os.readlink(f"/proc/{grantd.pid}/fd/{fd}"), "/dev/null")
        rpc.close()
        grantd.terminate()
        self.assertEqual(grantd.wait(20), 0)
        for folder, _, names in os.walk(self.box.state):
            for name in names:
                with open(os.path.join(folder, name), "rb") as file:
                    self.assertNotIn(b'"event":"ready"', file.read(), name)


class Ending(GrantdTest):
    def test_the_answer_of_a_drain_arrives(self):
        self.box.start()
        for _ in range(5):
            self.assertEqual(self.rpc.call("daemon.drain"), {"in_flight": 0})
            self.assertEqual(self.box.daemon.wait_dead(), 0)
            self.box.start()

    def test_what_was_begun_is_answered(self):
        """Ten clients are made while the daemon is told to end: each is made and said, or refused."""
        self.box.start()
        peers = [Rpc(self.box.socket_path) for _ in range(10)]
        for number, peer in enumerate(peers):
            peer.send("client.create", name=f"client {number}")
        self.box.daemon.process.send_signal(signal.SIGTERM)
        made = set()
        for peer in peers:
            try:
                made.add(peer.reply()["client"]["id"])
            except RpcError as e:
                self.assertEqual(e.reason, "SHUTTING_DOWN")
            except Gone:
                made.add("nobody was told")
            peer.close()
        self.assertEqual(self.box.daemon.wait_dead(), 0)
        self.box.start()
        self.assertEqual({c["id"] for c in self.rpc.call("client.list")["clients"]}, made)


class Manager:
    """What a service manager does for the daemon: a socket that it made, another that hears how it is."""

    def __init__(self, box):
        self.hears = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.hears.bind(box.folder + "/notify")
        self.hears.settimeout(20)
        self.door = socket.socket(socket.AF_UNIX)
        self.door.bind(box.socket_path)
        self.door.listen()
        box.write_config()
        given = {**os.environ, "NOTIFY_SOCKET": box.folder + "/notify", "LISTEN_FDS": "1",
                 "WATCHDOG_USEC": "30000000"}
        # Its descriptor has to be 3, and the number of the process in its environment.
        command = f'LISTEN_PID=$$ exec "$0" "$@" 3<&{self.door.fileno()} 2>>"$LOG"'
        self.grantd = subprocess.Popen(["bash", "-c", command, program("grantd"), "--config", box.config_path,
                                        "--own-platforms"], env={**given, "LOG": box.log_path}, start_new_session=True,
                                       pass_fds=[self.door.fileno()], stdin=subprocess.DEVNULL)

    def heard(self):
        return self.hears.recv(4096).decode().split("\n")

    def until_ready(self):
        said = []
        while "READY=1" not in said:
            said += self.heard()
        return said

    def end(self):
        self.grantd.kill()
        self.grantd.wait()
        self.hears.close()
        self.door.close()


@unittest.skipIf(SHARED, "moves from file to file")
class Managed(GrantdTest):
    """The daemon starts itself anew, under a service manager."""

    def setUp(self):
        super().setUp()
        self.server = self.box.accounting()
        self.box.policy_app(self.server, "strict", at_ttl=600)

    def move(self, rpc):
        """Everything into another file: the daemon will start itself anew."""
        moved = self.box.state + "/moved.db"
        self.box.extra = f"store: {{path: {moved}}}\n"
        self.box.write_config()
        rpc.call("store.migrate", to=moved)

    def test_told_to_end_while_it_starts_anew(self):
        """SIGTERM is not forgotten because the daemon was on its way down already."""
        self.box.start()
        grant = self.box.consent("strict")
        self.server.post("/_ctl/fault", {"action": "delay", "ms": 1500, "grant_type": "refresh_token"})
        self.rpc.send("grant.refresh", grant=grant)
        wait_for(lambda: self.server.get("/_ctl/report")["seen"]["refresh"])
        other = Rpc(self.box.socket_path)
        self.move(other)
        wait_for(lambda: "draining" in self.box.log_tail())
        self.box.daemon.process.send_signal(signal.SIGTERM)
        self.assertEqual(self.box.daemon.wait_dead(), 0)
        other.close()
        self.assertEqual(self.box.log_tail(10**6).count('"event":"ready"'), 1)

    def test_it_keeps_its_socket_and_is_not_taken_for_one_that_stops(self):
        """A manager ends what says STOPPING=1 and is still there after a while; and it hands its socket out once."""
        manager = Manager(self.box)
        self.addCleanup(manager.end)
        manager.until_ready()
        rpc = Rpc(self.box.socket_path)
        rpc.call("client.create", name="Anna")
        self.move(rpc)
        said = manager.until_ready()
        self.assertNotIn("STOPPING=1", said)
        said += manager.heard()  # while it is away nobody waits for a sign of life: a move may take long
        signs = [word for word in said if word.startswith("WATCHDOG")]
        self.assertLess(signs.index("WATCHDOG_USEC=0"), signs.index("WATCHDOG_USEC=30000000"))
        self.assertNotIn("WATCHDOG=1", signs[signs.index("WATCHDOG_USEC=0"):signs.index("WATCHDOG_USEC=30000000")])
        rpc.close()
        rpc = Rpc(self.box.socket_path)
        self.assertEqual([c["name"] for c in rpc.call("client.list")["clients"]], ["Anna"])
        self.assertEqual(rpc.call("daemon.status")["pid"], manager.grantd.pid)
        rpc.close()
        manager.grantd.terminate()
        wait_for(lambda: "STOPPING=1" in manager.heard())
        self.assertEqual(manager.grantd.wait(20), 0)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[1:]])
