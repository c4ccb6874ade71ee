"""Webhooks of the sandbox as somebody receives them: signed over the bytes that arrive."""
import base64
import hashlib
import hmac
import http.server
import json
import threading
import time

import test_server

SHOPIFY_SECRET = b"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"
SHOP = "acme-candles.myshopify.com"
APP = "a61950a2cbd5f32876b0b55587ec7a27"


class Receiver:
    def __init__(self):
        self.got = got = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                got.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args):
                pass
        self.server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/wh"

    def wait(self, n):
        deadline = time.monotonic() + 10
        while len(self.got) < n:
            if time.monotonic() > deadline:
                raise AssertionError(f"{len(self.got)} webhooks arrived, wanted {n}")
            time.sleep(0.01)
        return self.got[n - 1]

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


class Webhooks(test_server.Case):
    def setUp(self):
        super().setUp()
        self.receiver = Receiver()

    def tearDown(self):
        self.receiver.stop()
        super().tearDown()

    def order(self, path, **args):
        status, said = self.control("POST", path, args)
        self.assertEqual(status, 200, said)
        return said

    def test_shopify_uninstall(self):
        install = {"shop": SHOP, "app": APP, "id": "77", "scopes": ["read_orders"], "optional": []}
        self.order("/world", platform="shopify", world={"installs": [install]})
        self.order("/act", platform="shopify", act="uninstall", shop=SHOP, url=self.receiver.url)
        path, headers, body = self.receiver.wait(1)
        self.assertEqual(path, "/wh")
        # linkedin_shopify_oauth2.md 2.2.8: the vector
        self.assertEqual(headers["x-shopify-hmac-sha256"], "WfOdXj77v4cvPxMytph7FZ0At6IyAGD9Kexpbf1VUxc=")
        self.assertEqual(headers["x-shopify-hmac-sha256"],
                         base64.b64encode(hmac.new(SHOPIFY_SECRET, body, hashlib.sha256).digest()).decode())
        self.assertEqual((headers["x-shopify-topic"], headers["x-shopify-shop-domain"]), ("app/uninstalled", SHOP))
        self.order("/act", platform="shopify", act="redeliver", id=headers["x-shopify-webhook-id"])
        self.assertEqual(self.receiver.wait(2)[1]["x-shopify-webhook-id"], headers["x-shopify-webhook-id"])

    def test_shopify_signed_wrongly(self):
        self.order("/option", platform="shopify", name="bad_webhook_hmac", value=True)
        self.order("/act", platform="shopify", act="webhook", shop=SHOP, topic="shop/redact", url=self.receiver.url)
        _, headers, body = self.receiver.wait(1)
        self.assertNotEqual(headers["x-shopify-hmac-sha256"],
                            base64.b64encode(hmac.new(SHOPIFY_SECRET, body, hashlib.sha256).digest()).decode())

    def test_meta_integration_removed(self):
        self.order("/act", platform="meta", act="remove_app", app="310000000000001", business="440000000000888",
                   url=self.receiver.url)
        _, headers, body = self.receiver.wait(1)
        # meta_google.md A2: sha256= and the HMAC of the raw body keyed by the app secret
        self.assertEqual(headers["x-hub-signature-256"],
                         "sha256=" + hmac.new(b"s3cr3t", body, hashlib.sha256).hexdigest())
        change = json.loads(body)["entry"][0]["changes"][0]
        self.assertEqual(change, {"field": "business_integration_uninstall",
                                  "value": {"business_manager_id": "440000000000888"}})
