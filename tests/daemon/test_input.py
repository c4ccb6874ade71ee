#!/usr/bin/env python3
"""Bad input at every door: configuration, socket, command line. Each is refused by its own word and a sentence that
says what to do, and nothing has changed."""
import json
import os
import socket
import subprocess
import unittest

from harness import Gone, GrantdTest, Rpc, program


def tree(folder):
    """What lies in a folder: names, sizes, bytes."""
    out = {}
    for here, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(here, name)
            if os.path.isfile(path):
                with open(path, "rb") as file:
                    out[os.path.relpath(path, folder)] = file.read()
    return out


class Configuration(GrantdTest):
    def setUp(self):
        super().setUp()
        self.server = self.box.accounting()
        self.box.policy_app(self.server, "none")
        self.box.write_config()
        with open(self.box.config_path, encoding="utf-8") as file:
            self.good = file.read()

    def check(self, *args):
        return subprocess.run([program("grantd"), "--own-platforms", "--config", self.box.config_path, *args],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=20, check=False)

    def write(self, text):
        with open(self.box.config_path, "w", encoding="utf-8") as file:
            file.write(text)

    def test_the_good_one_is_good(self):
        done = self.check("--check")
        self.assertEqual(done.returncode, 0, done.stdout)

    def test_each_mistake_by_its_word(self):
        for text, word in (
                (self.good + "listem: 127.0.0.1:1\n", "CONFIG_UNKNOWN_KEY"),
                (self.good + "limits: {}\n", "CONFIG_DUPLICATE_KEY"),
                (self.good.replace("listen: ", "listen: &a "), "CONFIG_YAML_FEATURE"),
                (self.good.replace('"state_dir"', "state_dir").replace("listen: ", "listen: ["), "CONFIG_SYNTAX"),
                (self.good.replace('"per_minute": 100000', '"per_minute": "many"'), "CONFIG_VALUE_INVALID"),
                (self.good.replace('"platform": "oauth2"', '"platform": "oauth9"'), "CONFIG_PLATFORM_UNKNOWN"),
                (self.good.replace('"client_id": "none", ', ""), "CONFIG_MISSING"),
                (self.good.replace(f'{{"file": "{self.box.inputs}/none.secret"}}', '"in-the-open"'),
                 "CONFIG_SECRET_LITERAL"),
                (self.good + "policy: [{user: root, methods: [grant.tokn]}]\n", "POLICY_INVALID"),
                (self.good + "policy: [{user: root, methods: ['tokens.*']}]\n", "POLICY_INVALID"),
                (self.good + "policy: [{user: nobody-of-that-name, methods: ['*']}]\n", "POLICY_INVALID"),
                (self.good.replace("none.secret", "nowhere.secret"), "CONFIG_SECRET_UNREADABLE"),
                (self.good.replace(self.box.socket_path, "/tmp/" + "s" * 120), "SOCKET_PATH_TOO_LONG")):
            with self.subTest(word=word):
                self.assertNotEqual(text, self.good, "the test plants nothing")
                self.write(text)
                for args in (("--check",), ()):
                    done = self.check(*args)
                    self.assertNotEqual(done.returncode, 0)
                    self.assertIn(word, done.stdout)
                    self.assertNotIn("canary-", done.stdout)
                self.assertEqual(tree(self.box.state), {})

    def test_a_policy_that_names_methods_is_good(self):
        self.write(self.good + "policy: [{user: root, methods: [grant.token, 'event.*', '*']}]\n")
        self.assertEqual(self.check("--check").returncode, 0)

    def test_all_mistakes_at_once_with_their_places(self):
        self.write(self.good + "one: 1\ntwo: 2\n")
        out = self.check("--check").stdout
        for key in ("one", "two"):
            line = next(n for n, l in enumerate((self.good + "one: 1\ntwo: 2\n").split("\n"), 1) if l.startswith(key))
            self.assertIn(f"grantd.yaml:{line}:1", out)

    def test_modes(self):
        os.chmod(self.box.config_path, 0o666)
        self.assertIn("CONFIG_MODE", self.check("--check").stdout)
        os.chmod(self.box.config_path, 0o644)
        os.chmod(f"{self.box.inputs}/none.secret", 0o644)
        self.assertIn("CONFIG_SECRET_MODE", self.check("--check").stdout)

    def test_reload_of_a_bad_file_changes_nothing(self):
        self.box.start()
        before = self.rpc.call("app.list")
        self.write(self.good + "listem: 1\n")
        with self.assertRaises(Exception):
            self.rpc.call("daemon.reload")
        self.assertEqual(self.rpc.call("app.list"), before)
        self.write(self.good)
        self.rpc.call("daemon.reload")


class Socket(GrantdTest):
    def setUp(self):
        super().setUp()
        self.server = self.box.accounting()
        self.box.policy_app(self.server, "none")
        self.box.start()
        self.rpc.call("client.create", name="Anna")

    def state(self):
        return self.rpc.call("client.list")["clients"], self.rpc.call("grant.list")["grants"]

    def send(self, data, seconds=5):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(seconds)
            s.connect(self.box.socket_path)
            s.sendall(data)
            s.shutdown(socket.SHUT_WR)
            out = b""
            try:
                while chunk := s.recv(65536):
                    out += chunk
            except (TimeoutError, ConnectionError):
                pass
            return out

    def test_frames(self):
        call = b'{"jsonrpc":"2.0","id":1,"method":"client.create","params":{"name":"Mallory"}}'
        before = self.state()
        for data, word in (
                (b"{\n", "JSON_INVALID"), (b"{}\n", "CALL_INVALID"), (b'{"jsonrpc":"1.0","id":1,"method":"x"}\n', "CALL_INVALID"),
                (call.replace(b'"name":"Mallory"', b'"name":"a","name":"Mallory"') + b"\n", "JSON_INVALID"),
                (call.replace(b"Mallory", b"Mallory\\u0000") + b"\n", ("TEXT_INVALID", "JSON_INVALID", "PARAM_INVALID")),
                (call.replace(b"Mallory", b"\xff\xfe") + b"\n", ("JSON_INVALID", "TEXT_INVALID")),
                (call.replace(b"}}", b'},"x":' + b"[" * 40 + b"]" * 40 + b"}") + b"\n", ("JSON_TOO_DEEP", "CALL_INVALID")),
                (call.replace(b"Mallory", b"M" * 70000) + b"\n", "FRAME_TOO_LARGE"),
                (call.replace(b"client.create", b"client.destroy") + b"\n", "METHOD_UNKNOWN"),
                (call.replace(b'"name":"Mallory"', b'"name":"Mallory","nickname":"m"') + b"\n", "PARAM_INVALID"),
                (call.replace(b'"name":"Mallory"', b'"name":7') + b"\n", "PARAM_INVALID"),
                (call.replace(b'"name":"Mallory"', b'"email":"x@y.example"') + b"\n", "PARAM_INVALID"),
                (call.replace(b'"name":"Mallory"', b'"name":"M","email":"nobody"') + b"\n", "PARAM_INVALID"),
                (b"[" + b",".join([call] * 33) + b"]\n", "BATCH_TOO_LARGE")):
            words = (word,) if isinstance(word, str) else word
            with self.subTest(data=data[:80], words=words):
                answer = self.send(data).decode("utf-8", "replace")
                self.assertTrue(any(f'"{w}"' in answer for w in words), answer[:400])
                self.assertEqual(self.state(), before)

    def test_ids_of_others_and_of_nobody(self):
        for method, params in (("grant.get", {"grant": "gr" + "0" * 26}), ("request.get", {"request": "rq" + "0" * 26}),
                               ("client.get", {"client": "cl" + "0" * 26}), ("grant.token", {"grant": "gr" + "0" * 26}),
                               ("grant.revoke", {"grant": "gr" + "0" * 26})):
            self.refused("NOT_FOUND", method, **params)
        for bad in ("gr", "xx" + "0" * 26, "gr" + "0" * 25 + "!", "", "gr" + "0" * 500):
            with self.subTest(bad=bad[:40]), self.assertRaises(Exception):
                self.rpc.call("grant.get", grant=bad)

    def test_requests_that_cannot_be(self):
        client = self.rpc.call("client.list")["clients"][0]["id"]
        before = self.rpc.call("request.list")
        self.refused("APP_UNKNOWN", "request.create", client=client, items=[{"app": "nowhere"}])
        self.refused("NOT_FOUND", "request.create", client="cl" + "0" * 26, items=[{"app": "none"}])
        self.refused("PARAM_INVALID", "request.create", client=client, items=[])
        self.refused("PARAM_INVALID", "request.create", client=client, items=[{"app": "none"}] * 65)
        self.assertEqual(self.rpc.call("request.list"), before)

    def test_the_same_by_http(self):
        body = json.dumps({"jsonrpc": "2.0", "id": 7, "method": "client.list", "params": {}}).encode()
        head = f"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        answer = self.send(head.encode() + body)
        self.assertTrue(answer.startswith(b"HTTP/1.1 200"), answer[:200])
        self.assertEqual(json.loads(answer.split(b"\r\n\r\n", 1)[1])["result"]["clients"], self.state()[0])
        for bad in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", head.replace("POST", "BREW").encode() + body,
                    b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n" + b" " * 70000):
            self.assertRegex(self.send(bad), rb"HTTP/1\.1 4\d\d")

    def test_a_stranger_is_denied(self):
        """T35: another user of the machine, though the file's mode would let him: the kernel says who he is."""
        self.assertEqual(os.geteuid(), 0, "this test needs root, to be somebody else for a moment")
        os.chmod(self.box.socket_path, 0o666)
        code = ("import socket,sys\ns=socket.socket(socket.AF_UNIX)\ns.connect(sys.argv[1])\n"
                "s.sendall(sys.argv[2].encode()+b'\\n')\nprint(s.makefile().readline())")
        for method, params in (("client.list", {}), ("client.create", {"name": "M"}), ("audit.list", {}), ("daemon.drain", {}),
                               ("grant.token", {"grant": "gr" + "0" * 26})):
            call = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
            out = subprocess.run(["/usr/bin/python3", "-c", code, self.box.socket_path, call], user=65534, group=65534,
                                 extra_groups=[], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd="/", check=False)
            self.assertEqual(json.loads(out.stdout)["error"]["data"]["reason"], "DENIED", (method, out))
        self.assertEqual(len(self.state()[0]), 1)

    def test_half_a_call_and_gone(self):
        for _ in range(50):
            with socket.socket(socket.AF_UNIX) as s:
                s.connect(self.box.socket_path)
                s.sendall(b'{"jsonrpc":"2.0","id":1,"method":"client.cre')
        self.assertEqual(len(self.state()[0]), 1)

    def test_the_socket_is_taken(self):
        """A second daemon does not take the first one's socket; a file in its place is not removed."""
        done = subprocess.run([program("grantd"), "--own-platforms", "--config", self.box.config_path],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=30, check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertEqual(len(self.state()[0]), 1)


class Audit(GrantdTest):
    def test_a_changed_record_is_named(self):
        server = self.box.accounting()
        self.box.policy_app(server, "none")
        self.box.start()
        for number in range(5):
            self.rpc.call("client.create", name=f"client {number}")
        verdict = self.rpc.call("audit.verify")
        self.assertTrue(verdict["ok"])
        self.assertEqual(self.box.daemon.stop(), 0)
        path = next(os.path.join(self.box.state, name) for name in os.listdir(self.box.state) if "audit" in name
                    and name.endswith(".log"))
        with open(path, "rb") as file:
            lines = file.read().split(b"\n")
        at = next(n for n, line in enumerate(lines) if b"client.create" in line)
        for what, changed in (("flip", [*lines[:at], lines[at].replace(b"client.create", b"client.delete"), *lines[at + 1:]]),
                              ("removed", [*lines[:at], *lines[at + 1:]]),
                              ("swapped", [*lines[:at], lines[at + 1], lines[at], *lines[at + 2:]])):
            with self.subTest(what=what):
                with open(path, "wb") as file:
                    file.write(b"\n".join(changed))
                done = subprocess.run([program("grantctl"), "audit", "verify", "--file", path], stdout=subprocess.PIPE,
                                      stderr=subprocess.STDOUT, text=True, timeout=20, check=False)
                self.assertNotEqual(done.returncode, 0, done.stdout)
                self.assertRegex(done.stdout, rf"\b{at + 1}\b|\b{at + 2}\b")
        with open(path, "wb") as file:
            file.write(b"\n".join(lines))


class CommandLine(GrantdTest):
    def setUp(self):
        super().setUp()
        self.box.policy_app(self.box.accounting(), "none")

    def code(self, *args):
        done = self.box.ctl(*args, check=False)
        return done.returncode, done.stdout + done.stderr

    def test_no_daemon(self):
        code, text = self.code("client", "list")
        self.assertEqual(code, 7, text)
        self.assertIn("grantd", text)
        code, text = self.code("help")
        self.assertEqual(code, 0, text)
        for noun in ("client", "request", "grant", "audit", "platform", "app", "daemon", "event", "hub"):
            self.assertIn(noun, text)

    def test_codes_say_who_acts(self):
        self.box.start()
        for args, expected in ((("client", "list"), 0), (("client", "lst"), 2), (("clint", "list"), 2),
                               (("client", "create"), 2), (("client", "create", "x", "--colour", "red"), 2),
                               (("grant", "get", "gr" + "0" * 26), 3), (("client", "get", "cl" + "0" * 26), 3)):
            with self.subTest(args=args):
                code, text = self.code(*args)
                self.assertEqual(code, expected, text)
        self.assertIn("client", self.code("clint", "list")[1])

    def test_the_qr_code_says_the_link(self):
        """What the terminal shows is drawn as a picture and read by a reader that we did not write (zbar)."""
        self.box.start()
        client = self.box.ctl("client", "create", "Anna")["client"]["id"]
        done = self.box.ctl("request", "create", client, "--item", "app=none", "--qr", check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        link = next(word for word in done.stdout.split() if word.startswith(self.box.url + "/a/"))
        self.box.canaries.add(link.rsplit("/", 1)[1].encode())
        rows = [line for line in done.stdout.split("\n") if any(c in line for c in "█▀▄")]
        picture = os.path.join(self.box.folder, "qr.pgm")
        self.draw(rows, picture)
        read = subprocess.run(["zbarimg", "-q", "--raw", picture], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              check=False)
        self.assertEqual(read.stdout.strip(), link, read.stderr)

    @staticmethod
    def draw(rows, path, scale=6, quiet=5):
        """Half blocks to a grey picture; which of ink and paper is dark shows by the frame."""
        width = max(len(row) for row in rows)
        cells = []
        for row in rows:
            row = row.ljust(width)
            cells.append([c in "█▀" for c in row])
            cells.append([c in "█▄" for c in row])
        light_is_ink = sum(cells[1]) > width * 0.6
        dark = [[cell != light_is_ink for cell in line] for line in cells]
        size = width + 2 * quiet
        grid = [[False] * size for _ in range(quiet)] + [[False] * quiet + line + [False] * quiet for line in dark] \
            + [[False] * size for _ in range(quiet)]
        with open(path, "wb") as file:
            file.write(b"P5 %d %d 255\n" % (size * scale, len(grid) * scale))
            for line in grid:
                file.write(b"".join(bytes([0 if cell else 255]) * scale for cell in line) * scale)

    def test_programs_in_other_languages(self):
        """Go, Python and Node with nothing but their standard libraries."""
        script = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "clients", "run.sh")
        self.box.start()
        grant = self.box.consent("none")
        done = subprocess.run(["bash", script, self.box.socket_path, grant], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=180, check=False)
        self.assertEqual(done.returncode, 0, done.stdout)


class Clients(GrantdTest):
    def test_a_reader_that_never_reads(self):
        """Unsent replies are bounded; the others do not notice."""
        self.box.policy_app(self.box.accounting(), "none")
        self.box.start()
        for number in range(40):
            self.rpc.call("client.create", name=f"client {number} " + "x" * 80)
        lazy = Rpc(self.box.socket_path)
        lazy.socket.settimeout(1)
        try:
            for _ in range(3000):
                lazy.send("client.list")
        except (TimeoutError, OSError, Gone):
            pass
        self.assertEqual(len(self.rpc.call("client.list")["clients"]), 40)
        lazy.close()


if __name__ == "__main__":
    unittest.main()
