"""grantctl against the real rpc with doubles behind it: usage, help, exit codes, tables, JSON, secrets, links, events.

grantctl_test.py GRANTCTL RPC_DOUBLE
"""
import fcntl
import json
import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import unittest

GRANTCTL, DOUBLE = sys.argv[1], sys.argv[2]
CLIENTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../clients/run.sh")
CL = "cl01jdk3m8q4h5v6w7x8y9z0a1b2"
GR = "gr01jdk3m8q4h5v6w7x8y9z0a1b2"
RQ = "rq01jdk3m8q4h5v6w7x8y9z0a1b2"
IT = "it01jdk3m8q4h5v6w7x8y9z0a1b2"
NOW = "2026-11-21T23:16:04.123Z"
CLIENT = {"id": CL, "workspace": "main", "name": "Anna \u202eBakery", "email": "anna@example.com", "locale": "en",
          "state": "active", "created_at": NOW}
REQUEST = {"id": RQ, "workspace": "main", "client": CL, "state": "open", "message": None, "confirm": True,
           "created_at": NOW, "expires_at": "2099-12-05T23:16:04.123Z", "links": 1,
           "items": [{"id": IT, "app": "x", "platform": "oauth2", "provider": "x", "state": "open", "grants": [],
                      "params": {}, "problems": [], "steps": []}]}
GRANT = {"id": GR, "workspace": "main", "client": CL, "app": "x", "platform": "oauth2", "asset": {"name": "Page"},
         "role": {"asked": "post", "granted": "post"}, "account": {"id": "1", "name": "anna"}, "state": "needs_consent",
         "reason": "GRANT_NEEDS_CONSENT", "owner": "client", "next_at": NOW, "layers": {}, "surfaces": [], "warnings": {},
         "created_at": NOW}
LINK = "https://grants.example.com/a/ln01jdk3m8q4h5v6w7x8y9z0a1b2/" + "s" * 43
ANSWERS = {
    "gd_client_create": {"client": CLIENT},
    "gd_client_list": {"clients": [CLIENT, {**CLIENT, "name": "Zoë \x1b[31mevil"}], "next": CL},
    "gd_request_create": {"request": REQUEST, "link": LINK, "expires_at": REQUEST["expires_at"], "notices": [
        {"asset": "1", "platform": "x", "reason": "ACCOUNT_ASKED_ALREADY", "text": "1 is asked for already",
         "request": REQUEST["id"], "client": CL}]},
    "gd_request_get": {"request": REQUEST},
    "gd_grant_list": {"grants": [GRANT]},
    "gd_grant_get": {"grant": GRANT},
    "gd_grant_refresh": {"reason": "GRANT_NEEDS_CONSENT", "text": "the client has to approve again"},
    "gd_grant_revoke": {"reason": "CONFLICT", "text": "changed meanwhile"},
    "gd_grant_submit": {"request": REQUEST, "grants": []},
    "gd_grant_verify": {"grant": GRANT, "observed": {"alive": True}, "differences": []},
    "gd_platform_get": {"reason": "NOT_FOUND", "text": "no platform of that name"},
    "gd_platform_list": {"platforms": [], "refused": []},
}


class Grantctl(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="grantctl-")
        cls.socket = os.path.join(cls.folder, "s")
        answers = os.path.join(cls.folder, "answers.json")
        clean = json.loads(json.dumps(ANSWERS))
        clean["gd_client_list"]["clients"][1]["name"] = "Zoë"  # the schema lets no escape through
        with open(answers, "w", encoding="utf-8") as file:
            json.dump(clean, file)
        cls.double = subprocess.Popen([DOUBLE, cls.socket, answers], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                      text=True)
        assert cls.double.stdout.readline() == "ready\n"

    @classmethod
    def tearDownClass(cls):
        cls.double.stdin.close()
        cls.double.wait(10)
        cls.double.stdout.close()
        shutil.rmtree(cls.folder)

    def run_it(self, *args, stdin="", socket=None):
        env = {key: value for key, value in os.environ.items() if key not in ("GRANTD_SOCKET",)}
        env["GRANTD_SOCKET"] = socket or self.socket
        return subprocess.run([GRANTCTL, *args], input=stdin, capture_output=True, text=True, env=env, timeout=30,
                              check=False)

    def ends(self, code, *args, **more):
        done = self.run_it(*args, **more)
        self.assertEqual(done.returncode, code, (args, done.stdout, done.stderr))
        return done

    def methods(self):
        done = self.ends(0, "daemon", "help", "--json")
        return json.loads(done.stdout)["methods"]

    # -- help

    def test_help_without_daemon(self):
        gone = os.path.join(self.folder, "nowhere")
        done = self.ends(0, "help", socket=gone)
        for noun in ("daemon", "platform", "app", "hub", "client", "request", "grant", "audit", "event"):
            self.assertIn(noun, done.stdout)
            self.assertIn(f"grantctl {noun} ", self.ends(0, noun, "help", socket=gone).stdout)
        self.assertEqual(self.ends(2, socket=gone).stdout, "")

    def test_every_method_has_help(self):
        methods = self.methods()
        self.assertEqual(len(methods), 51)
        for method in methods:
            noun, verb = method["method"].split(".")
            text = self.ends(0, noun, verb, "--help").stdout
            self.assertIn(method["summary"], text)
            for param in method["params"]:
                self.assertIn("--" + (param.get("flag") or param["name"]).replace("_", "-"), text)
            self.assertEqual(text, self.ends(0, "help", noun, verb).stdout)

    def test_completion(self):
        for shell in ("bash", "zsh"):
            text = self.ends(0, "completion", shell).stdout
            for method in self.methods():
                self.assertIn(method["method"] + ")", text)
        script = self.ends(0, "completion", "bash").stdout
        done = subprocess.run(["bash", "-c", script + "\nCOMP_WORDS=(grantctl grant to); COMP_CWORD=2; _grantctl; "
                               "echo ${COMPREPLY[@]}; COMP_WORDS=(grantctl grant token --min); COMP_CWORD=3; _grantctl; "
                               "echo ${COMPREPLY[@]}"], capture_output=True, text=True, check=True)
        self.assertEqual(done.stdout, "token\n--min-ttl\n")
        self.ends(2, "completion", "fish")

    def test_did_you_mean(self):
        for args, word in ((("grnat", "list"), "grant"), (("grant", "lits"), "grant list"),
                           (("grant", "list", "--stat", "x"), "--state"), (("request", "create", CL, "--itm", "x"), "--item")):
            self.assertIn(f"did you mean", self.ends(2, *args).stderr)
            self.assertIn(word, self.run_it(*args).stderr)
        self.ends(2, "grant")
        self.ends(2, "grant", "list", "-x")
        self.ends(2, "grant", "get", GR, GR)
        self.ends(2, "grant", "get")
        self.ends(2, "grant", "get", "--grant")
        self.assertIn("min_ttl", self.ends(2, "grant", "token", GR, "--min-ttl", "soon").stderr)
        self.assertIn("name=value", self.ends(2, "request", "create", CL, "--item", "x").stderr)

    # -- who must act

    def test_exit_codes(self):
        self.ends(0, "grant", "get", GR)
        self.ends(2, "grant", "get", "nonsense")
        self.ends(3, "platform", "get", "zzz")
        self.ends(5, "grant", "refresh", GR)
        done = self.ends(6, "grant", "revoke", GR, "--json")
        self.assertEqual(json.loads(done.stdout)["error"]["data"]["reason"], "CONFLICT")
        self.assertIn("CONFLICT", done.stderr)
        done = self.ends(5, "audit", "verify")
        self.assertIn("line 5", done.stdout)
        self.assertIn("hash", done.stdout)
        self.assertFalse(json.loads(self.ends(5, "audit", "verify", "--json").stdout)["ok"])

    def test_no_daemon(self):
        done = self.ends(7, "grant", "list", socket=os.path.join(self.folder, "nowhere"))
        self.assertIn("systemctl start grantd", done.stderr)
        self.assertIn("grantd --config", done.stderr)
        self.assertEqual(done.stdout, "")
        self.ends(2, "grant", "list", "--socket", "x" * 200)
        self.assertEqual(self.ends(7, "grant", "list", "--socket=" + self.folder + "/no").stdout, "")

    # -- answers

    def test_json_is_the_answer(self):
        self.assertEqual(json.loads(self.ends(0, "grant", "list", "--json").stdout)["grants"], [GRANT])
        self.assertEqual(json.loads(self.ends(0, "--json", "client", "create", "Anna").stdout)["client"]["id"], CL)

    def test_tables(self):
        text = self.ends(0, "grant", "list").stdout
        self.assertRegex(text, r"(?m)^id +client +app +asset +role +state +reason +next at$")
        self.assertRegex(text, rf"(?m)^{GR} +{CL} +x +Page +post +needs_consent +GRANT_NEEDS_CONSENT +(in|\d)")
        self.assertNotIn("\x1b", text)
        done = self.ends(0, "client", "list")
        self.assertIn("Zoë", done.stdout)
        self.assertNotIn("\u202e", done.stdout)
        self.assertIn("--after " + CL, done.stderr)
        rows = done.stdout.splitlines()
        self.assertEqual(len({row.index("anna@") for row in rows[1:]}), 1, rows)  # columns line up
        self.assertEqual(self.ends(0, "platform", "list").stdout, "no platforms\n")
        self.assertIn("no differences", self.ends(0, "grant", "verify", GR).stdout)
        self.assertRegex(self.ends(0, "grant", "get", GR).stdout, r"created_at: 2026-11-21 23:16:04 UTC \(.+\)")

    def test_token(self):
        self.assertEqual(self.ends(0, "grant", "token", GR, "--raw").stdout, "ya29.double-token\n")
        self.assertEqual(json.loads(self.ends(0, "grant", "token", GR, "--json").stdout)["gen"], 3)

    def test_export_pages(self):
        done = self.ends(0, "audit", "export", "--limit", "2")
        self.assertEqual([json.loads(line)["seq"] for line in done.stdout.splitlines()], [1, 2, 3, 4, 5, 6, 7])

    # -- requests

    def test_link_and_code(self):
        done = self.ends(0, "request", "create", CL, "--item", "app=x,role=a\\,b", "--item", "app=y", "--no-confirm",
                         "--expires-in", "7d", "--qr")
        self.assertIn(LINK, done.stdout)
        self.assertIn("ACCOUNT_ASKED_ALREADY: 1 is asked for", done.stderr)
        self.assertRegex(done.stdout, "[▀▄█]")
        self.assertNotRegex(self.ends(0, "request", "create", CL, "--item", "app=x").stdout, "[▀▄█]")
        self.ends(0, "request", "create", CL, "--items-json", '[{"app":"x"}]')
        self.ends(0, "request", "create", CL, "--items-json", "-", stdin='[{"app":"x"}]')
        self.assertIn("did you mean role", self.ends(2, "request", "create", CL, "--item", "rol=x,app=y").stderr)

    @unittest.skipUnless(shutil.which("zbarimg"), "zbarimg reads the code; tools/setup test installs it")
    def test_code_is_readable(self):
        text = self.ends(0, "request", "create", CL, "--item", "app=x", "--qr").stdout
        rows = [line[2:] for line in text.splitlines() if re.fullmatch(r"  [ ▀▄█]+", line)]
        width = max(len(row) for row in rows)
        pixels = []
        for row in rows:
            row = row.ljust(width)
            pixels.append([255 if char in "▀█" else 0 for char in row])
            pixels.append([255 if char in "▄█" else 0 for char in row])
        size = 6
        path = os.path.join(self.folder, "qr.pgm")
        with open(path, "wb") as file:
            file.write(b"P5 %d %d 255\n" % ((width + 8) * size, (len(pixels) + 8) * size))
            blank = bytes([255]) * ((width + 8) * size)
            for _ in range(4 * size):
                file.write(blank)
            for row in pixels:
                line = bytes([255]) * (4 * size) + b"".join(bytes([value]) * size for value in row) + bytes([255]) * (4 * size)
                for _ in range(size):
                    file.write(line)
            for _ in range(4 * size):
                file.write(blank)
        done = subprocess.run(["zbarimg", "-q", "--raw", path], capture_output=True, text=True, check=False)
        self.assertEqual(done.stdout.strip(), LINK)

    # -- secrets

    def test_secrets_never_from_argv(self):
        done = self.ends(2, "grant", "submit", RQ, "--item", IT, "--inputs-json", '[{"code":"canary"}]')
        self.assertIn("list of processes", done.stderr)
        done = self.ends(2, "grant", "submit", RQ, "--item", IT, "--input", "code=canary")
        self.assertNotIn("canary", done.stderr)
        path = os.path.join(self.folder, "codes.json")
        with open(path, "w", encoding="utf-8") as file:
            file.write('[{"code":"canary"}]\n')
        self.ends(0, "grant", "submit", RQ, "--item", IT, "--inputs-json", "@" + path)
        self.ends(0, "grant", "submit", RQ, "--item", IT, "--inputs-json", "-", stdin='[{"code":"canary"}]')
        self.ends(2, "grant", "submit", RQ, "--item", IT, "--inputs-json", "@/nowhere")

    # -- terminals and streams

    def test_colour_only_on_a_terminal(self):
        for no_colour, coloured in (("", True), ("1", False)):
            main, side = pty.openpty()
            env = {**os.environ, "GRANTD_SOCKET": self.socket, "TERM": "xterm", "NO_COLOR": no_colour}
            subprocess.run([GRANTCTL, "grant", "list"], stdout=side, stderr=side, stdin=side, env=env, timeout=30,
                           check=True)
            os.close(side)
            text = b""
            while select.select([main], [], [], 1)[0]:
                try:
                    part = os.read(main, 65536)
                except OSError:
                    break
                if not part:
                    break
                text += part
            os.close(main)
            self.assertEqual(b"\x1b[31mneeds_consent" in text, coloured, text)

    def on_terminal(self, *args, locale="C.UTF-8", columns=0):
        """What is shown on a terminal of that character set and width."""
        main, side = pty.openpty()
        fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
        env = {**os.environ, "GRANTD_SOCKET": self.socket, "TERM": "xterm", "LC_ALL": locale}
        with subprocess.Popen([GRANTCTL, *args], stdout=side, stderr=side, stdin=side, env=env) as run:
            os.close(side)
            text = b""
            try:
                while part := os.read(main, 65536):
                    text += part
            except OSError:
                pass
            self.assertEqual(run.wait(30), 0)
        os.close(main)
        return text

    def test_other_character_sets_and_narrow_terminals(self):
        ask = ("request", "create", CL, "--item", "app=x")
        self.assertIn("Zoë".encode(), self.on_terminal("client", "list"))
        self.assertIn("▀".encode(), self.on_terminal(*ask))
        self.assertIn("▀".encode(), self.on_terminal(*ask, columns=200))
        narrow = self.on_terminal(*ask, columns=40)
        self.assertNotIn("▀".encode(), narrow)
        self.assertIn(b"too narrow", narrow)
        for args, part in ((("client", "list"), b"Zo?"), (ask, b"no blocks for a QR code")):
            text = self.on_terminal(*args, locale="C")
            self.assertIn(part, text)
            self.assertTrue(text.isascii(), text)
        env = {**os.environ, "GRANTD_SOCKET": self.socket, "LC_ALL": "C"}
        piped = subprocess.run([GRANTCTL, "client", "list"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=env, check=True)
        self.assertIn("Zoë".encode(), piped.stdout)  # what programs read is UTF-8 everywhere

    # -- pipelines

    def test_what_is_wrong_here_is_json_too(self):
        """Whoever reads --json never gets an empty answer."""
        nowhere = os.path.join(self.folder, "nowhere")
        for code, reason, args in ((7, "DAEMON_UNREACHABLE", ("grant", "list", "--json", "--socket", nowhere)),
                                   (2, "USAGE", ("grant", "list", "--lmiit", "3", "--json")),
                                   (2, "PARAM_INVALID", ("--json", "grant", "get", "nonsense")),
                                   (2, "AUDIT_UNREADABLE", ("audit", "verify", "--file", nowhere, "--json"))):
            error = json.loads(self.ends(code, *args).stdout)["error"]
            self.assertEqual(error["data"]["reason"], reason)
            self.assertTrue(error["message"] and error["data"]["remedy"])
            self.assertEqual(error["data"]["act"], "daemon" if code == 7 else "usage")

    def test_an_answer_that_cannot_be_written(self):
        """A full disk, a reader that went away where SIGPIPE is ignored (as systemd has it): said, and nothing hangs."""
        env = {**os.environ, "GRANTD_SOCKET": self.socket}
        for args in (("client", "list"), ("client", "list", "--json"), ("audit", "export"), ("event", "subscribe", "--json")):
            for gone in (False, True):
                with self.subTest(args=args, gone=gone):
                    if gone:
                        ours, theirs = os.pipe()
                        os.close(ours)
                    else:
                        theirs = os.open("/dev/full", os.O_WRONLY)
                    done = subprocess.run([GRANTCTL, *args], stdout=theirs, stderr=subprocess.PIPE, text=True, env=env,
                                          timeout=20, check=False, restore_signals=False,
                                          preexec_fn=lambda: signal.signal(signal.SIGPIPE, signal.SIG_IGN))
                    os.close(theirs)
                    self.assertEqual(done.returncode, 5, done.stderr)
                    self.assertIn("OUTPUT_FAILED", done.stderr)

    def test_the_largest_request(self):
        """What is refused for its size was not sent: nobody is told that a call was refused which was done."""
        def submit(size):
            texts = ["x" * 4000] * 16 + ["x" * size]
            return self.run_it("grant", "submit", RQ, "--item", IT, "--inputs-json", "-",
                               stdin=json.dumps([{"code": text} for text in texts], separators=(",", ":")))

        def calls():
            return json.loads(self.ends(0, "daemon", "status", "--json").stdout)["rpc"]["calls"].get("grant.submit", 0)
        said = submit(1300)
        self.assertIn("FRAME_TOO_LARGE", said.stderr)
        size = 1300 - (int(re.search(r"has (\d+) bytes", said.stderr)[1]) - 65536)
        before = calls()
        self.assertEqual(submit(size).returncode, 0)
        self.assertEqual(calls(), before + 1)
        said = submit(size + 1)
        self.assertEqual(said.returncode, 2)
        self.assertIn("has 65537 bytes", said.stderr)
        self.assertEqual(calls(), before + 1)

    def test_options_that_would_be_ignored(self):
        self.assertIn("takes no value", self.ends(2, "request", "create", CL, "--item", "app=x", "--no-confirm=yes").stderr)
        self.assertIn("--file", self.ends(2, "audit", "verify", "--others", "/a:/b").stderr)
        self.assertIn("before the command", self.ends(2, "--file", "/etc/grantd/grantd.yaml", "daemon", "check").stderr)
        shown = self.ends(0, "audit", "verify", "--help").stdout
        for flag in ("--file", "--others"):
            self.assertIn(flag + " PATH", shown)

    def test_other_peoples_clients(self):
        done = subprocess.run([CLIENTS, self.socket, GR], capture_output=True, text=True, timeout=120, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual(done.stdout.count(": ok"), 4)

    def test_subscribe_follows(self):
        env = {**os.environ, "GRANTD_SOCKET": self.socket}
        with subprocess.Popen([GRANTCTL, "event", "subscribe", "--json"], stdout=subprocess.PIPE, text=True, env=env) as run:
            self.assertIn("cursor", json.loads(run.stdout.readline()))
            self.assertIsNone(run.poll())
            run.kill()


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
