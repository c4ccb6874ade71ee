#!/usr/bin/env python3
"""Platforms call the portal, and so does everybody who knows the address: thousands of notices, wrongly signed, huge,
sent a byte at a time, from many networks. Nothing of that changes anything, vending goes on, and what is genuine is
heard all the while."""
import base64
import concurrent.futures
import hashlib
import hmac
import json
import socket
import statistics
import threading
import time
import unittest

from harness import Gone, Rpc, sanitized
from sandboxed import SandboxTest

CLIENT, SECRET = "a61950a2cbd5f32876b0b55587ec7a27", "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"
SHOP = "acme-candles.myshopify.com"
WAIT_MAX = 2.0  # a vend under the flood, on a machine that makes the flood itself: nineteen of twenty
MEMORY_MAX = 96 * 1024  # KiB that the daemon may grow by; what it maps from files is not its own


def address(number):
    """Each of another network, as the limits count."""
    return f"127.{1 + number // 250 % 250}.{number % 250}.9"


class Vending:
    """Somebody who needs tokens all the while."""

    def __init__(self, box, grant):
        self.box, self.grant = box, grant
        self.stop, self.took, self.errors = threading.Event(), [], []
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        line = Rpc(self.box.socket_path)
        try:
            while not self.stop.is_set():
                began = time.monotonic()
                try:
                    line.call("grant.token", grant=self.grant)
                except (Gone, OSError, RuntimeError) as e:
                    self.errors.append(repr(e))
                    return
                self.took.append(time.monotonic() - began)
                time.sleep(0.002)
        finally:
            line.close()

    def end(self):
        self.stop.set()
        self.thread.join(30)


class Flood(SandboxTest):
    def setUp(self):
        super().setUp()
        self.app("shop", "shopify", client_id=CLIENT, client_secret=self.secret("shop", SECRET),
                 scopes="read_orders, write_products")
        self.box.start()
        link, request, _ = self.request({"app": "shop", "role": "write", "asset": SHOP})
        browser = self.box.browser()
        browser.open(link)
        self.approve(browser)
        (item,) = self.wait_items(request, "granted")
        (self.grant,) = item["grants"]
        self.asked = len(self.sandbox.seen()["requests"])
        self.memory = self.resident()
        self.vending = Vending(self.box, self.grant)

    def resident(self):
        with open(f"/proc/{self.box.daemon.process.pid}/status", encoding="ascii") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("RssAnon"))

    # -- one notice

    def notice(self, secret=SECRET, topic="app/uninstalled", body=None):
        body = json.dumps({"myshopify_domain": SHOP}).encode() if body is None else body
        mac = base64.b64encode(hmac.new(secret.encode(), body, hashlib.sha256).digest()).decode()
        return (f"POST /hook/main.shop HTTP/1.1\r\nHost: 127.0.0.1:{self.box.port}\r\nContent-Type: application/json\r\n"
                f"X-Shopify-Topic: {topic}\r\nX-Shopify-Shop-Domain: {SHOP}\r\nX-Shopify-Hmac-Sha256: {mac}\r\n"
                f"X-Shopify-Webhook-Id: w1\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n").encode() + body

    def connect(self, number):
        line = socket.create_connection(("127.0.0.1", self.box.port), 20, (address(number), 0))
        line.settimeout(20)
        return line

    def send(self, number, data):
        """The status; 0 when the connection was closed without one."""
        try:
            with self.connect(number) as line:
                try:
                    line.sendall(data)
                except (BrokenPipeError, ConnectionResetError):
                    pass  # it was answered before all was sent
                head = b""
                while b"\r\n" not in head:
                    more = line.recv(4096)
                    if not more:
                        break
                    head += more
                return int(head.split()[1]) if head.startswith(b"HTTP/1.1 ") else 0
        except (ConnectionResetError, ConnectionRefusedError):
            return 0

    def flood(self, count, make, threads=12, networks=600):
        with concurrent.futures.ThreadPoolExecutor(threads) as pool:
            return list(pool.map(lambda n: self.send(n % networks, make(n)), range(count)))

    # -- what has to be so at the end

    def judge(self, notices=0):
        self.vending.end()
        self.assertEqual(self.vending.errors, [])
        self.assertGreater(len(self.vending.took), 2)
        self.assertLess(sorted(self.vending.took)[len(self.vending.took) * 19 // 20], WAIT_MAX)
        self.assertEqual(self.box.grant(self.grant)["state"], "active")
        self.assertEqual(self.told(), notices)
        if not sanitized():  # which keeps freed memory back, to see who still uses it
            self.assertLess(self.resident() - self.memory, MEMORY_MAX)
        self.assertTrue(self.rpc.call("audit.verify")["ok"])

    def told(self):
        count, cursor = 0, {}
        while True:
            page = self.rpc.call("event.list", limit=1000, **cursor)
            if not page["events"]:
                return count
            count += sum(e["type"] == "platform.notice" for e in page["events"])
            cursor = {"cursor": page["cursor"]}

    def genuine(self):
        """After all that one is heard: the merchant has removed the app."""
        self.sandbox.act("shopify", "uninstall", shop=SHOP)
        self.assertEqual(self.send(99000, self.notice()), 200)
        self.wait_state(self.grant, "needs_consent")

    # -- the floods

    def test_wrong_signatures(self):
        """Three thousand from six hundred networks: none is believed, none makes a request or a record."""
        got = self.flood(3000, lambda n: self.notice(secret=f"wrong {n}"))
        self.assertEqual(set(got), {403})
        self.assertEqual(len(self.sandbox.seen()["requests"]), self.asked)
        self.assertNotIn("portal.notice", {r["act"] for r in self.rpc.call("audit.list", limit=500)["records"]})
        self.judge()
        self.genuine()

    def test_one_network(self):
        """From one network most are turned away unread; other networks do not feel it."""
        got = self.flood(1000, lambda n: self.notice(secret="wrong"), networks=1)
        self.assertTrue({403, 429} <= set(got) <= {0, 403, 429}, set(got))
        self.assertGreater(got.count(429) + got.count(0), 500)
        self.judge()
        self.genuine()

    def test_huge_and_odd_bodies(self):
        """What is too large is not read to its end; what is no notice is none, whoever signed it."""
        wide = b"[" + b"{}," * 5000 + b"{}]"
        deep = b"[" * 8000 + b"]" * 8000
        odd = (wide, deep, b"", b"\0" * 4000, b"\xff\xfe" * 2000, b'{"myshopify_domain": 7}', b"null",
               b'{"myshopify_domain": "' + b"x" * 16000 + b'"}')
        got = [self.send(n, self.notice(body=body)) for n, body in enumerate(odd * 40)]
        self.assertTrue(set(got) <= {400, 403, 413}, got)
        head = self.notice().split(b"\r\n\r\n")[0]
        for n, length in enumerate((b"17000", b"50000000", b"9223372036854775807", b"99999999999999999999")):
            lie = head.replace(b"Content-Length: " + str(len(json.dumps({"myshopify_domain": SHOP}))).encode(),
                               b"Content-Length: " + length)
            self.assertIn(self.send(1000 + n, lie + b"\r\n\r\n" + b"x" * 200000), (0, 400, 413), length)
        chunked = b"\r\n".join(one for one in head.split(b"\r\n") if not one.startswith(b"Content-Length"))
        endless = chunked + b"\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1000\r\n" + b"y" * 4096 + b"\r\n"
        self.assertIn(self.send(1100, endless + (b"1000\r\n" + b"y" * 4096 + b"\r\n") * 50), (0, 400, 411, 413, 501))
        self.assertEqual(len(self.sandbox.seen()["requests"]), self.asked)
        self.judge()
        self.genuine()

    def test_slow_senders(self):
        """More senders of a byte now and then than there are places: who sends at once is served all the while."""
        lines = []
        self.addCleanup(lambda: [line.close() for line in lines])
        notice = self.notice()
        for n in range(700):
            try:
                lines.append(self.connect(n))
                lines[-1].sendall(notice[:100 + n % 200])
            except OSError:
                pass
        took = []
        for turn in range(20):
            for line in lines:
                try:
                    line.send(b"x")
                except OSError:
                    pass  # its time was up
            began = time.monotonic()
            self.assertEqual(self.send(5000 + turn, self.notice(secret="wrong")), 403)
            took.append(time.monotonic() - began)
            time.sleep(0.05)
        self.assertLess(statistics.median(took), WAIT_MAX)
        self.judge()
        self.genuine()

    def test_a_thousand_genuine(self):
        """Told again and again of a shop that is still there: each is recorded, and the shop is asked now and then."""
        got = self.flood(1000, lambda n: self.notice())
        self.assertEqual(set(got), {200})
        self.judge(notices=1000)
        self.assertLess(len(self.sandbox.seen()["requests"]) - self.asked, 500)
        self.genuine()


if __name__ == "__main__":
    unittest.main()
