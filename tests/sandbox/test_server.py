"""The sandbox itself: command line, control interface, consent pages, clock, webhooks, what it refuses."""
import base64
import hmac
import http.client
import http.server
import json
import os
import signal
import socket
import subprocess
import tempfile
import threading
import time
import unittest

BUILD = os.environ["GRANTD_BUILD"]
PROGRAM = os.path.join(BUILD, "tools/sandbox/grantd-sandbox")
INFO = "/business-api.tiktok.com/open_api/v1.3/user/info/"


def start(*args):
    process = subprocess.Popen([PROGRAM, "--listen", "127.0.0.1:0", *args], stdout=subprocess.PIPE, text=True)
    line = process.stdout.readline()
    process.stdout.close()
    return process, int(line.strip().rpartition(":")[2])


def run(*args):
    return subprocess.run([PROGRAM, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=10,
                          check=False)


class Case(unittest.TestCase):
    args = ("--seed", "7", "--clock", "1795251600", "--hold-clock")

    def setUp(self):
        self.process, self.port = start(*self.args)

    def tearDown(self):
        self.process.terminate()
        self.assertEqual(self.process.wait(20), 0)

    def call(self, method, path, body=None, headers=None):
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        if isinstance(body, dict):
            body = json.dumps(body)
        link.request(method, path, body, headers or {})
        answer = link.getresponse()
        data = answer.read().decode()
        link.close()
        return answer.status, dict(answer.getheaders()), data

    def control(self, method, path, body=None, headers=None):
        status, _, data = self.call(method, "/_sandbox" + path, body, headers)
        return status, json.loads(data)


class Control(Case):
    def test_lists_itself(self):
        status, said = self.control("GET", "/")
        self.assertEqual(status, 200)
        self.assertIn("https://business-api.tiktok.com", said["platforms"]["tiktok"]["origins"])
        for part in ("acts", "faults", "options"):
            self.assertTrue(said["platforms"]["tiktok"][part])

    def test_clock(self):
        self.assertEqual(self.control("GET", "/clock")[1], {"now": 1795251600, "hold": True})
        self.assertEqual(self.control("POST", "/clock", {"advance": 400 * 86400})[1]["now"], 1795251600 + 400 * 86400)
        self.assertIn("2027", self.call("GET", INFO)[1]["Date"])
        self.assertEqual(self.control("POST", "/clock", {"set": 5, "hold": False})[1]["hold"], False)
        self.assertEqual(self.control("POST", "/clock", {"advance": "1"})[0], 400)
        self.assertEqual(self.control("POST", "/clock", {})[0], 400)

    def test_refuses_what_it_does_not_know(self):
        for path, body in (("/fault", {"platform": "tiktok", "fault": "none"}), ("/fault", {"fault": "http"}),
                           ("/fault", {"platform": "myspace", "fault": "http"}),
                           ("/fault", {"platform": "tiktok", "fault": "http", "times": -1}),
                           ("/option", {"platform": "tiktok", "name": "none", "value": 1}),
                           ("/option", {"platform": "tiktok", "name": "null_data"}),
                           ("/act", {"platform": "tiktok", "act": "none"}), ("/reset", {"platform": "myspace"}),
                           ("/world", {"platform": "tiktok", "world": []})):
            self.assertEqual(self.control("POST", path, body)[0], 400, (path, body))
        self.assertEqual(self.control("POST", "/act", {"platform": "tiktok", "act": "make_code"})[0], 409)
        self.assertEqual(self.control("POST", "/clock", None)[0], 400)
        self.assertEqual(self.control("GET", "/nothing")[0], 404)
        self.assertEqual(self.control("GET", "/fault")[0], 405)

    def test_only_by_its_own_name(self):
        self.assertEqual(self.control("GET", "/", headers={"Host": "rebound.example"})[0], 403)
        self.assertEqual(self.control("GET", "/", headers={"Host": "business-api.tiktok.com"})[0], 403)
        own = f"127.0.0.1:{self.port}"
        self.assertEqual(self.control("POST", "/reset", {}, {"Host": own, "Origin": "https://evil.example"})[0], 403)
        self.assertEqual(self.control("POST", "/reset", {}, {"Host": own, "Origin": "http://" + own})[0], 200)

    def test_log_shortens_secrets(self):
        self.call("GET", INFO + "?secret=very-secret-thing", headers={"Access-Token": "ltk_0123456789"})
        self.call("POST", "/business-api.tiktok.com/open_api/v1.3/oauth2/access_token/",
                  {"app_id": "7", "secret": "very-secret-thing", "inner": [{"auth_code": "ac_0123456789"}]},
                  {"Content-Type": "application/json"})
        self.call("POST", "/open.tiktokapis.com/v2/oauth/token/", "client_secret=very-secret-thing&code=ac_0123456789",
                  {"Content-Type": "application/x-www-form-urlencoded"})
        text = json.dumps(self.control("GET", "/log")[1])
        for secret in ("very-secret-thing", "ltk_0123456789", "ac_0123456789"):
            self.assertNotIn(secret, text)
        seen = self.control("GET", "/log?platform=tiktok&match=*/user/info/")[1]["requests"]
        self.assertEqual([one["method"] for one in seen], ["GET"])
        self.assertEqual(self.control("GET", f"/log?since={seen[0]['n']}")[1]["requests"][0]["n"], seen[0]["n"] + 1)
        self.control("DELETE", "/log")
        self.assertEqual(self.control("GET", "/log")[1]["requests"], [])

    def test_log_is_bounded(self):
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        for _ in range(2010):
            link.request("GET", INFO)
            link.getresponse().read()
        link.close()
        self.assertEqual(len(self.control("GET", "/log")[1]["requests"]), 2000)

    def test_reset(self):
        self.control("POST", "/world", {"platform": "tiktok", "world": {"apps": []}})
        self.control("POST", "/fault", {"platform": "tiktok", "fault": "http", "times": 0})
        self.assertEqual(self.call("GET", INFO)[0], 503)
        self.assertEqual(self.control("GET", "/faults")[1]["tiktok"][0]["fault"], "http")
        self.control("POST", "/reset", {})
        self.assertEqual(self.call("GET", INFO)[0], 200)
        self.assertTrue(self.control("GET", "/state?platform=tiktok")[1]["apps"])
        self.assertIn("tiktok", self.control("GET", "/state")[1])


class Serving(Case):
    def test_hosts(self):
        self.assertEqual(self.call("GET", "/nowhere.example/x")[0], 404)
        self.assertEqual(self.call("GET", "/")[0], 404)
        by_name = self.call("GET", INFO.replace("/business-api.tiktok.com", ""), headers={"Host": "business-api.tiktok.com"})
        self.assertIn("40104", by_name[2])
        self.assertIn("40104", self.call("GET", INFO.replace("business", "BUSINESS"))[2])

    def test_bodies(self):
        path = "/business-api.tiktok.com/open_api/v1.3/oauth2/access_token/"
        kind = {"Content-Type": "application/json"}
        self.assertEqual(self.call("POST", path, "x" * (1024 * 1024 + 1), kind)[0], 413)
        deep = "[" * 40 + "]" * 40
        for body in ("", "{", deep, '{"a":1,"a":2}', "\x00", "null"):
            self.assertIn("40002", self.call("POST", path, body, kind)[2], body)

    def test_many_parameters(self):
        self.assertEqual(self.call("GET", INFO + "?" + "&" * 5000)[0], 200)
        status = self.call("GET", INFO + "?" + "a=1&" * 4000)[0]
        self.assertIn(status, (200, 414))

    def test_slow_does_not_hold_up_others(self):
        self.control("POST", "/fault", {"platform": "tiktok", "fault": "slow", "seconds": 2})
        slow = threading.Thread(target=self.call, args=("GET", INFO))
        began = time.monotonic()
        slow.start()
        while not self.control("GET", "/log")[1]["requests"]:
            time.sleep(0.01)
        self.call("GET", INFO)
        self.assertLess(time.monotonic() - began, 1.5)
        slow.join()
        self.assertGreaterEqual(time.monotonic() - began, 2)

    def test_ends_while_somebody_waits(self):
        self.control("POST", "/fault", {"platform": "tiktok", "fault": "slow", "seconds": 3600})
        link = socket.create_connection(("127.0.0.1", self.port))
        link.sendall(f"GET {INFO} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        while not self.control("GET", "/log")[1]["requests"]:
            time.sleep(0.01)
        self.process.send_signal(signal.SIGTERM)
        self.assertEqual(self.process.wait(10), 0)
        link.close()

    def test_torn_requests(self):
        for text in (b"GARBAGE\r\n\r\n", b"GET " + INFO.encode(), b"POST " + INFO.encode() +
                     b" HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{"):
            link = socket.create_connection(("127.0.0.1", self.port))
            link.sendall(text)
            link.close()
        self.assertEqual(self.call("GET", INFO)[0], 200)


class Consent(Case):
    page = ("/business-api.tiktok.com/portal/auth?app_id=7450000000000000101&state=%3Cscript%3E&redirect_uri="
            "http%3A%2F%2F127.0.0.1%3A9%2Fcb")
    form = {"Content-Type": "application/x-www-form-urlencoded"}

    def shown(self):
        status, headers, text = self.call("GET", self.page)
        self.assertEqual(status, 200)
        self.assertIn("default-src 'none'", headers["Content-Security-Policy"])
        self.assertIn("not the platform", text)
        return text.partition('action="')[2].partition('"')[0]

    def test_names_are_text(self):
        self.control("POST", "/world", {"platform": "tiktok", "world": {
            "people": [{"user_id": "7222000000000000001", "name": "<b>\"x'&"}]}})
        text = self.call("GET", self.page)[2]
        self.assertIn("&lt;b&gt;&quot;x&#39;&amp;", text)
        self.assertNotIn("<b>", text)

    def test_decline_and_approve(self):
        where = self.shown()
        for body in ("", "decision=maybe", "decision=approve", "decision=approve&who=nobody",
                     "decision=approve&who=7222000000000000001&assets=1"):
            self.assertEqual(self.call("POST", where, body, self.form)[0], 400, body)
        self.assertEqual(self.call("GET", where)[0], 405)
        self.assertEqual(self.call("POST", where, "decision=decline", self.form)[1]["Location"],
                         "http://127.0.0.1:9/cb?state=%3Cscript%3E")
        self.assertEqual(self.call("POST", where, "decision=decline", self.form)[0], 404)
        chosen = "decision=approve&who=7222000000000000001&assets=7311000000000000042"
        self.assertIn("auth_code=", self.call("POST", self.shown(), chosen, self.form)[1]["Location"])

    def test_at_once(self):
        self.assertIn("auth_code=", self.call("GET", self.page + "&auto=approve")[1]["Location"])
        self.assertNotIn("code=", self.call("GET", self.page + "&auto=deny")[1]["Location"])
        self.assertEqual(self.call("GET", self.page + "&auto=approve&auto_who=nobody")[0], 400)
        self.assertEqual(self.call("GET", self.page + "&auto=approve&auto_who=nobody,7222000000000000001")[0], 302)


class Receiver:
    """Takes webhooks, and calls the sandbox back before it answers."""

    def __init__(self, port):
        got = self.got = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                link = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
                link.request("GET", "/_sandbox/clock")
                got.append((self.path, dict(self.headers), body, link.getresponse().status))
                link.close()
                self.send_response(204)
                self.end_headers()

            def log_message(self, *args):
                pass

        self.server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/wh/shopify"
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    def stop(self):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


class Webhooks(Case):
    def send(self, url):
        said = self.control("POST", "/act", {"platform": "shopify", "act": "webhook", "shop": "acme-candles.myshopify.com",
                                             "topic": "shop/redact", "url": url})
        self.assertEqual(said[0], 200, said)
        for _ in range(500):
            sent = self.control("GET", "/sent")[1]["sent"]
            if sent:
                return sent[0]
            time.sleep(0.01)
        self.fail("nothing was sent")

    def test_signed_and_delivered(self):
        receiver = Receiver(self.port)
        self.addCleanup(receiver.stop)
        self.assertEqual(self.send(receiver.url), {"url": receiver.url, "status": 204})
        (path, headers, body, inner), = receiver.got
        self.assertEqual((path, inner), ("/wh/shopify", 200))
        secret = self.control("GET", "/state?platform=shopify")[1]["apps"][0]["secret"]
        mac = hmac.new(secret.encode(), body, "sha256").digest()
        self.assertEqual({k.lower(): v for k, v in headers.items()}["x-shopify-hmac-sha256"],
                         base64.b64encode(mac).decode())

    def test_only_to_this_machine(self):
        for url in ("https://127.0.0.1:1/x", "http://192.0.2.1/x", "http://127.0.0.1.evil.example/x", "http://127.0.0.1:x/",
                    "http://127.0.0.1@192.0.2.1/", "http://", "ftp://127.0.0.1/"):
            self.control("DELETE", "/log")
            self.assertIn("127.0.0.1 only", self.send(url)["error"], url)

    def test_nobody_there(self):
        closed = socket.socket()
        closed.bind(("127.0.0.1", 0))
        self.assertEqual(self.send(f"http://127.0.0.1:{closed.getsockname()[1]}/x")["error"], "no answer")
        closed.close()


class CommandLine(unittest.TestCase):
    def test_origins(self):
        said = run("--print-origins", "--listen", "127.0.0.1:7799")
        self.assertEqual(said.returncode, 0)
        lines = said.stdout.splitlines()
        self.assertEqual(lines[0], "origins:")
        self.assertIn('  "https://business-api.tiktok.com": "http://127.0.0.1:7799/business-api.tiktok.com"', lines)

    def test_list_and_help(self):
        self.assertIn("make_code", run("--list").stdout)
        self.assertIn("--anywhere", run("--help").stdout)
        self.assertTrue(run("--version").stdout.startswith("grantd-sandbox "))

    def test_refusals(self):
        for args, code, word in ((("--listen", "0.0.0.0:0"), 1, "--anywhere"), (("--listen", "nonsense"), 1, "ADDRESS"),
                                 (("--listen", "127.0.0.1:99999"), 1, "ADDRESS"), (("--seed", "x"), 2, "number"),
                                 (("--nothing",), 2, "usage"), (("extra",), 2, "no option"),
                                 (("--world", "/nonexistent"), 1, "cannot be read")):
            said = run(*args)
            self.assertEqual(said.returncode, code, args)
            self.assertIn(word, said.stderr, args)

    def test_world_file(self):
        with tempfile.NamedTemporaryFile("w", suffix=".json") as f:
            json.dump({"tiktok": {"apps": [{"app_id": "5"}]}}, f)
            f.flush()
            process, port = start("--world", f.name)
            link = http.client.HTTPConnection("127.0.0.1", port)
            link.request("GET", "/_sandbox/state?platform=tiktok")
            world = json.load(link.getresponse())
            link.close()
            process.terminate()
            self.assertEqual(process.wait(20), 0)
        self.assertEqual(world["apps"], [{"app_id": "5"}])
        self.assertTrue(world["bcs"])

    def test_bad_world_files(self):
        for text in ("", "{", "[]", '{"myspace": {}}', '{"tiktok": 1}'):
            with tempfile.NamedTemporaryFile("w") as f:
                f.write(text)
                f.flush()
                self.assertEqual(run("--listen", "127.0.0.1:0", "--world", f.name).returncode, 1, text)

    def test_port_taken(self):
        process, port = start()
        self.assertEqual(run("--listen", f"127.0.0.1:{port}").returncode, 1)
        process.terminate()
        self.assertEqual(process.wait(20), 0)

    def test_seed_repeats(self):
        seen = []
        for _ in range(2):
            process, port = start("--seed", "5", "--clock", "1795251600", "--hold-clock")
            link = http.client.HTTPConnection("127.0.0.1", port)
            link.request("GET", Consent.page + "&auto=approve")
            seen.append(link.getresponse().getheader("Location"))
            link.close()
            process.terminate()
            process.wait(20)
        self.assertEqual(seen[0], seen[1])

    def test_anywhere(self):
        process = subprocess.Popen([PROGRAM, "--listen", "0.0.0.0:0", "--anywhere"], stdout=subprocess.PIPE, text=True)
        self.assertIn("listens on", process.stdout.readline())
        process.stdout.close()
        process.terminate()
        self.assertEqual(process.wait(20), 0)


if __name__ == "__main__":
    unittest.main()
