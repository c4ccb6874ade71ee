#!/usr/bin/env python3
"""The client's side under attack: second browsers, forwarded links, hostile providers, doubled answers, scanners.
Every refusal names its reason, and nothing has changed."""
import concurrent.futures
import http.client
import re
import socket
import unittest
import urllib.parse

from harness import GrantdTest  # first: it finds the servers
from browser import Page, origin_of

EVIL = "https://evil.test.example"


class Portal(GrantdTest):
    def setUp(self):
        super().setUp()
        self.server = self.box.accounting()
        self.box.policy_app(self.server, "none", page="form")
        self.box.policy_app(self.server, "strict", page="form")
        self.extra_apps()
        self.box.start()

    def extra_apps(self):
        pass

    def token_calls(self):
        return self.server.get("/_ctl/report")["seen"]["token"]

    def item(self, request):
        return self.rpc.call("request.get", request=request)["request"]["items"][0]

    def nothing_came(self, request):
        self.assertEqual(self.item(request)["grants"], [])
        self.assertEqual(self.token_calls(), 0)

    def begin(self, link, app=None):
        """Opens the link and approves; returns the browser, standing at the provider's form."""
        browser = self.box.browser()
        page = browser.open(link)
        self.assertEqual(page.status, 200, page.text)
        form, button = browser.choose()
        if app:
            form = next(f for f in page.forms if ["app", app, "hidden"] in f.fields)
            button = form.buttons[0]
        page = browser.submit(form, None, button)
        self.assertNotEqual(origin_of(page.url), self.box.url, page.text)
        return browser

    def allow(self, browser):
        """Consents at the provider; returns the callback address, not yet opened."""
        form, button = browser.choose()
        page = browser.submit(form, {"login": "anna"}, button, stay=True)
        self.assertEqual(page.status, 303)
        return page.header("location")

    def refused_page(self, page, *reasons):
        self.assertGreaterEqual(page.status, 400, page.text)
        self.assertTrue(any(reason in page.body for reason in reasons), (page.status, page.text))
        return page

    def raw(self, data, seconds=5):
        """Bytes to the portal, all that comes back."""
        with socket.create_connection(("127.0.0.1", self.box.port), timeout=seconds) as s:
            s.sendall(data)
            out = b""
            try:
                while chunk := s.recv(65536):
                    out += chunk
            except (ConnectionError, TimeoutError):
                pass
            return out


class Callbacks(Portal):
    def test_t1_another_browser_brings_the_answer(self):
        link, request = self.box.ask("none")
        callback = self.allow(self.begin(link))
        page = self.box.browser().open(callback)
        self.refused_page(page, "SESSION_MISMATCH", "SESSION_MISSING")
        self.nothing_came(request)

    def test_t1_the_right_browser_still_can(self):
        """A stranger with the answer does not spoil it for the one it belongs to."""
        link, request = self.box.ask("none")
        browser = self.begin(link)
        callback = self.allow(browser)
        self.box.browser().open(callback)
        page = browser.open(callback)
        self.assertEqual(page.status, 200, page.text)
        self.assertEqual(self.item(request)["state"], "granted")

    def test_t2_the_providers_page_is_sent_to_somebody_else(self):
        """COSF: the attacker begins, the victim consents."""
        link, request = self.box.ask("none")
        attacker = self.begin(link)
        victim = self.box.browser()
        victim.open(attacker.page.url)
        self.refused_page(victim.open(self.allow(victim)), "SESSION_MISMATCH", "SESSION_MISSING")
        self.nothing_came(request)

    def test_t4_two_contexts_two_sessions(self):
        """Of the four ways to combine two flows only the two true ones pass."""
        for mine, theirs in ((0, 1), (1, 0), (0, 0), (1, 1)):
            with self.subTest(cookie=mine, answer=theirs):
                before = self.token_calls()
                flows = []
                for app in ("none", "strict"):
                    link, request = self.box.ask(app)
                    browser = self.begin(link)
                    flows.append((browser, self.allow(browser), request))
                page = flows[mine][0].open(flows[theirs][1])
                if mine == theirs:
                    self.assertEqual(self.item(flows[mine][2])["state"], "granted", page.text)
                else:
                    self.refused_page(page, "SESSION_MISMATCH", "SESSION_MISSING", "STATE_UNKNOWN")
                    self.assertEqual(self.token_calls(), before)

    def test_t3_an_answer_at_another_context(self):
        """The state of one app at the callback address of the other."""
        link, request = self.box.ask("none")
        browser = self.begin(link)
        callback = urllib.parse.urlsplit(self.allow(browser))
        other = urllib.parse.urlsplit(self.rpc.call("app.get", app="strict")["app"]["redirect_uri"])
        self.assertNotEqual(other.path, callback.path)
        page = browser.open(callback._replace(path=other.path).geturl())
        self.refused_page(page, "CONTEXT_MISMATCH")
        self.nothing_came(request)

    def test_t7_the_same_answer_many_times(self):
        link, request = self.box.ask("strict")
        browser = self.begin(link)
        callback = self.allow(browser)
        cookie = browser.jar.give(callback)
        where = urllib.parse.urlsplit(callback)

        def once(_):
            connection = http.client.HTTPConnection("127.0.0.1", self.box.port, timeout=20)
            connection.request("GET", f"{where.path}?{where.query}", headers={"Cookie": cookie})
            answer = connection.getresponse()
            body = answer.read().decode()
            connection.close()
            return answer.status, body
        with concurrent.futures.ThreadPoolExecutor(12) as pool:
            answers = list(pool.map(once, range(12)))
        self.assertEqual(self.token_calls(), 1, answers)
        self.assertEqual(self.item(request)["state"], "granted")
        self.assertEqual(self.server.get("/_ctl/report")["families"][-1]["revoked"], None)

    def test_t16_doubled_parameters(self):
        link, request = self.box.ask("none")
        browser = self.begin(link)
        callback = self.allow(browser)
        for name in ("state", "code"):
            value = urllib.parse.parse_qs(urllib.parse.urlsplit(callback).query)[name][0]
            page = browser.open(callback + f"&{name}={value}")
            self.refused_page(page, "PARAM_DUPLICATE")
        self.nothing_came(request)

    def test_state_missing_unknown_and_wrong_issuer(self):
        link, request = self.box.ask("none")
        browser = self.begin(link)
        callback = urllib.parse.urlsplit(self.allow(browser))
        query = dict(urllib.parse.parse_qsl(callback.query))

        def opened(**changes):
            pairs = {k: v for k, v in {**query, **changes}.items() if v is not None}
            return browser.open(callback._replace(query=urllib.parse.urlencode(pairs)).geturl())
        self.refused_page(opened(state=None), "STATE_MISSING")
        self.refused_page(opened(state="A" * len(query["state"])), "STATE_UNKNOWN")
        self.refused_page(opened(state=query["state"][:-2]), "STATE_UNKNOWN")
        self.nothing_came(request)

    def test_t13_error_text_of_a_provider_is_not_believed(self):
        payloads = ["<script>alert(1)</script>", "\"><img src=x onerror=alert(1)>", "javascript:alert(1)",
                    "</title><svg onload=1>", "{{7*7}}", "%00", "\u202e"]
        for payload in payloads:
            link, request = self.box.ask("none")
            browser = self.begin(link)
            query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(browser.page.url).query))
            back = query["redirect_uri"] + "?" + urllib.parse.urlencode(
                {"error": "access_denied", "error_description": payload, "error_uri": payload, "state": query["state"]})
            page = browser.open(back)
            self.assertNotIn(payload, page.body)
            self.assertFalse([tag for tag, attributes in page.elements if tag in ("script", "img", "iframe")
                              or any(name.startswith("on") for name in attributes)])
            self.assertEqual(self.item(request)["state"], "declined")
        self.assertEqual(self.token_calls(), 0)


class HostileProvider(Portal):
    def extra_apps(self):
        self.evil = self.box.accounting("evil", EVIL)
        self.box.policy_app(self.evil, "overlap", "evil", EVIL)

    def test_t3_coat(self):
        """A hostile provider sends the browser on to an honest one, with the honest app's callback address."""
        honest = self.rpc.call("app.get", app="none")["app"]["redirect_uri"]
        self.server.post("/_ctl/client", {"client_id": "none", "page": "auto"})
        self.evil.post("/_ctl/client", {"client_id": "evil", "bounce_to": self.server.base + "/authorize?"
                       + urllib.parse.urlencode({"client_id": "none", "redirect_uri": honest, "scope": "email"})})
        link, request = self.box.ask("evil")
        browser = self.box.browser()
        browser.open(link)
        form, button = browser.choose()
        page = browser.submit(form, None, button)
        self.refused_page(page, "CONTEXT_MISMATCH")
        self.assertEqual(self.evil.get("/_ctl/report")["seen"]["token"], 0)
        self.nothing_came(request)

    def test_t3_mix_up_by_issuer(self):
        """The same with the hostile app's own callback: the iss of the answer betrays it, or the code goes nowhere."""
        own = self.rpc.call("app.get", app="evil")["app"]["redirect_uri"]
        self.server.post("/_ctl/client", {"client_id": "none", "page": "auto", "redirect_uris": [
            self.rpc.call("app.get", app="none")["app"]["redirect_uri"]]})
        self.evil.post("/_ctl/client", {"client_id": "evil", "bounce_to": self.server.base + "/authorize?"
                       + urllib.parse.urlencode({"client_id": "none", "redirect_uri": own})})
        link, request = self.box.ask("evil")
        browser = self.box.browser()
        browser.open(link)
        form, button = browser.choose()
        browser.submit(form, None, button)
        self.assertEqual(self.evil.get("/_ctl/report")["seen"]["token"], 0)
        self.nothing_came(request)


class Links(Portal):
    def test_t8_guessing(self):
        link, request = self.box.ask("none")
        root, name, secret = link.rsplit("/", 2)
        shapes = set()
        for bad in (f"{root}/{name}/{'A' * len(secret)}", f"{root}/{name}/{secret[:-1]}", f"{root}/{name}/x",
                    f"{root}/ln{'0' * 26}/{secret}"):
            page = self.refused_page(self.box.browser().open(bad), "LINK_UNKNOWN", "PAGE_UNKNOWN")
            shapes.add(page.status)
        self.assertEqual(shapes, {404})
        self.assertEqual(self.box.browser().open(link).status, 200)

    def test_t9_scanners_open_everything(self):
        link, request = self.box.ask("none")
        for number in range(25):
            scanner = self.box.browser()
            scanner.request("HEAD" if number % 2 else "GET", link)
        self.assertEqual(self.server.get("/_ctl/report")["seen"]["authorize"], 0)
        self.assertEqual(self.item(request)["state"], "open")
        browser = self.begin(link)
        self.assertEqual(browser.open(self.allow(browser)).status, 200)
        self.assertEqual(self.item(request)["state"], "granted")

    def test_t11_t12_headers_of_every_page(self):
        link, _ = self.box.ask("none")
        browser = self.box.browser()
        root = self.box.url
        for url in (link, link + "x", root + "/", root + "/nowhere", root + "/cb/none", root + "/end/x", root + "/health"):
            page = browser.request("GET", url)
            with self.subTest(url=url, status=page.status):
                self.assertEqual(page.header("referrer-policy"), "no-referrer")
                self.assertIn("no-store", page.header("cache-control", ""))
                self.assertEqual(page.header("x-content-type-options"), "nosniff")
                if "html" in page.header("content-type", ""):
                    policy = page.header("content-security-policy", "")
                    self.assertIn("frame-ancestors 'none'", policy)
                    self.assertIn("default-src 'none'", policy)
                    self.assertEqual(page.header("x-frame-options", "").upper(), "DENY")
                    self.assertEqual(re.findall(r"(?:src|href)=[\"']?(?:https?:)?//", page.body), [])

    def test_t10_a_form_from_elsewhere(self):
        """Posts without the page's token, or from another origin, change nothing."""
        link, request = self.box.ask("none")
        browser = self.box.browser()
        browser.open(link)
        form, button = browser.choose()
        pairs = form.pairs({}, button)
        self.refused_page(browser.post(link, [p for p in pairs if p[0] != "csrf"]), "FORM_FOREIGN", "FORM_INVALID")
        self.refused_page(browser.post(link, [(k, "x" * 43 if k == "csrf" else v) for k, v in pairs]), "FORM_FOREIGN")
        self.refused_page(browser.post(link, pairs, {"Origin": "https://evil.example"}), "FORM_FOREIGN")
        self.refused_page(self.box.browser().post(link, pairs, {"Origin": self.box.url}), "FORM_FOREIGN",
                          "SESSION_MISSING", "SESSION_MISMATCH")
        self.assertEqual(self.item(request)["state"], "open")

    def test_t15_redirects_are_303(self):
        link, _ = self.box.ask("none")
        browser = self.begin(link)
        browser.open(self.allow(browser))
        ours = [status for _, url, status in browser.history if url.startswith(self.box.url) and 300 <= status < 400]
        self.assertEqual(set(ours), {303})

    def test_expired_and_cancelled(self):
        link, request = self.box.ask("none")
        self.rpc.call("request.cancel", request=request)
        self.refused_page(self.box.browser().open(link), "LINK_CLOSED", "LINK_ENDED", "REQUEST_CANCELLED")

    def test_decline_on_our_page(self):
        link, request = self.box.ask("none")
        browser = self.box.browser()
        browser.open(link)
        form = next(f for f in browser.page.forms if f.buttons and f.buttons[0][1] == "decline")
        page = browser.submit(form, None, form.buttons[0])
        self.assertEqual(page.status, 200)
        self.assertEqual(self.item(request)["state"], "declined")
        self.assertEqual(self.token_calls(), 0)


class Wire(Portal):
    def test_t17_hostile_requests(self):
        """Each is refused or ignored, none is understood as two requests, the next honest one is answered."""
        link, request = self.box.ask("none")
        path = urllib.parse.urlsplit(link).path.encode()
        host = b"Host: 127.0.0.1\r\n"
        hostile = [
            b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"GET  / HTTP/1.1\r\n" + host + b"\r\n",
            b"GET / HTTP/1.1\r\n" + host + b"X : y\r\n\r\n", b"GET / HTTP/1.1\r\n" + host + b"X: a\r\n b\r\n\r\n",
            b"GET / HTTP/1.1\n" + host + b"\n", b"GET / HTTP/9.9\r\n" + host + b"\r\n", b"\x16\x03\x01\x02\x00\x01\x00",
            b"POST " + path + b" HTTP/1.1\r\n" + host + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            b"POST " + path + b" HTTP/1.1\r\n" + host + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
            b"POST " + path + b" HTTP/1.1\r\n" + host + b"Content-Length: +5\r\n\r\nhello",
            b"POST " + path + b" HTTP/1.1\r\n" + host + b"Content-Length: 99999999\r\n\r\n",
            b"POST " + path + b" HTTP/1.1\r\n" + host + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
            b"GET / HTTP/1.1\r\n" + host + b"A: " + b"x" * 9000 + b"\r\n\r\n",
            b"GET / HTTP/1.1\r\n" + host + b"".join(b"A%d: b\r\n" % i for i in range(100)) + b"\r\n",
            b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n" + host + b"\r\n", b"GET /%00 HTTP/1.1\r\n" + host + b"\r\n",
            b"GET /\x00 HTTP/1.1\r\n" + host + b"\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"DELETE / HTTP/1.1\r\n" + host + b"\r\n"]
        for data in hostile:
            with self.subTest(data=data[:60]):
                answer = self.raw(data)
                statuses = re.findall(rb"HTTP/1\.[01] (\d{3})", answer)
                self.assertLessEqual(len(statuses), 1, answer[:300])
                self.assertTrue(not statuses or statuses[0][:1] in (b"4", b"5"), answer[:300])
        self.assertEqual(self.box.browser().open(link).status, 200)
        self.assertEqual(self.item(request)["state"], "open")

    def test_t18_slow_clients_do_not_stop_the_others(self):
        slow = []
        try:
            for _ in range(15):
                s = socket.create_connection(("127.0.0.1", self.box.port), timeout=5)
                s.sendall(b"GET / HT")
                slow.append(s)
            link, _ = self.box.ask("none")
            self.assertEqual(self.box.browser().open(link).status, 200)
        finally:
            for s in slow:
                s.close()

    def test_pages_parse_and_need_no_script(self):
        link, _ = self.box.ask("none")
        page = self.box.browser().open(link)
        self.assertIsInstance(page, Page)
        self.assertFalse([tag for tag, _ in page.elements if tag in ("script", "iframe", "object", "embed")])
        self.assertTrue(page.forms)


if __name__ == "__main__":
    unittest.main()
