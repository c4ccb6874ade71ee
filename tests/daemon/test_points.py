#!/usr/bin/env python3
"""Every durable step of the grant room, cut off by kill -9 right behind it (the points with names like flow.split; those
of a refresh are the matter of matrix.py, those of a takeover of nodes/node_matrix.py). For each point one kill and a new
start; whoever was not answered does its step again; then all is as if nobody had killed: nothing is lost, and nothing is done
twice at the platform."""
import base64
import glob
import hashlib
import hmac
import http.client
import json
import os
import re
import unittest

import mailed
from harness import ROOT, RpcError, wait_for
from sandboxed import SandboxTest
from test_keys import RotatingKeys
from test_native import AtlasTest


def sources():
    """The points at which somebody can die that the grant room has. Those where the store does not answer (x.unread,
    x.unheard) are met in test_meanwhile.py and by several nodes."""
    found = set()
    for name in glob.glob(os.path.join(ROOT, "core", "grant", "*.c")):
        with open(name, encoding="utf-8") as file:
            for words in re.findall(r"GD_FAULT\(([^;]*)\);", file.read()):
                found |= set(re.findall(r'"([a-z]+\.(?!unread|unheard)[a-z]+)"', words))
    return found


class Killed:
    """Beside a GrantdTest: one test for each of POINTS and one without a kill, each the same scenario()."""
    POINTS = ()
    point = None
    killed = False

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        for point in (None, *cls.POINTS) if cls.POINTS else ():
            def test(self, point=point):
                self.point = point
                self.scenario()
                self.assertEqual(self.killed, point is not None, f"{point} was not met")
            name = "test_" + (point or "no_kill").replace(".", "_")
            setattr(cls, name, test)

    def arm(self):
        """From here on the point kills."""
        if self.point:
            self.assertEqual(self.box.daemon.stop(), 0)
            self.box.start(self.point + ":kill9")

    def do(self, what, *args, late=0, **kwargs):
        """What it returns; None when the daemon died, which then runs again. late: it may die behind the answer."""
        out = None
        try:
            out = what(*args, **kwargs)
        except Exception:
            if not self.point or self.killed or not self.died(2):
                raise
            out = None
        if self.point and not self.killed and (late or not self.box.daemon.alive()) and self.died(late or 2):
            out = None
        return out

    def died(self, seconds):
        try:
            wait_for(lambda: not self.box.daemon.alive(), seconds)
        except AssertionError:
            return False
        self.assertEqual(self.box.daemon.wait_dead(), -9)
        self.killed = True
        self.box.start()
        return True

    def events(self, kind):
        return [e for e in self.rpc.call("event.list", limit=1000)["events"] if e["type"] == kind]

    def whole(self):
        self.assertTrue(self.rpc.call("audit.verify")["ok"])


class AtlasKilled(Killed, AtlasTest):
    def shared(self):
        return sorted(b["account"] for p, b in self.atlas.bodies if p == "/share")


class Consent(AtlasKilled):
    """One consent for two items and three accounts."""
    POINTS = ("request.made", "flow.asked", "flow.taken", "flow.split", "flow.saved", "flow.made", "flow.told")
    AGAIN = ("flow.asked", "flow.taken")  # before the platform was asked for anything: the client approves again

    def scenario(self):
        client = self.client()
        self.arm()
        items = ({"mode": "both", "asset": "a1", "role": "analyst"}, {"mode": "both", "asset": "a2,a3", "role": "manager"})
        made = self.do(self.ask, *items, client=client)
        if not made:  # the operator was not answered: what was made is there, and gets another link
            (request,) = self.rpc.call("request.list")["requests"]
            link = self.rpc.call("request.remind", request=request["id"])["link"]
            self.box.canaries.add(link.rsplit("/", 1)[1].encode())
            made = link, request["id"]
        link, request = made
        self.do(self.approve, link, late=5 if self.point == "flow.told" else 0)
        if self.point in self.AGAIN:
            self.assertEqual(self.atlas.count("/token"), 0)
            self.approve(link)
        out = self.granted(request, 20)
        self.assertEqual([sorted(g["asset"]["id"] for g in one) for one in out], [["a1"], ["a2", "a3"]])
        self.assertEqual([{g["role"]["asked"] for g in one} for one in out], [{"analyst"}, {"manager"}])
        self.assertEqual(self.shared(), ["a1", "a2", "a3"])
        self.assertEqual((self.atlas.count("/token"), len(self.atlas.living()), self.atlas.count("/revoke")), (1, 1, 0))
        self.assertEqual(len({g["credential"] for one in out for g in one}), 1)
        for one in out:
            for grant in one:
                self.assertEqual(self.surfaces(grant["id"]), {"partner": "open", "token": "open"})
                self.rpc.call("grant.token", grant=grant["id"])
        self.assertEqual(len(self.rpc.call("request.list")["requests"]), 1)
        self.assertEqual(len(self.events("grant.created")), 3)
        self.whole()


class Choice(AtlasKilled):
    """A choice that is handed in later."""
    POINTS = ("flow.waits", "item.taken")

    def submitted(self, chosen):
        """Once more; the start looks at what waits, and meanwhile the answer is: later."""
        try:
            return self.rpc.call("grant.submit", **chosen)
        except RpcError as e:
            self.assertEqual(e.reason, "CONFLICT")
            return None

    def scenario(self):
        link, request = self.ask({"mode": "choose"})
        self.arm()
        self.do(self.approve, link)
        wait_for(lambda: self.states(request) == ["waiting"])
        item = self.items(request)[0]
        self.assertEqual([c["value"] for c in item["steps"][0]["choices"]], ["a1", "a2", "a3"])
        chosen = {"request": request, "item": item["id"], "inputs": [{"accounts": "a1\na3"}]}
        if not self.do(lambda: self.rpc.call("grant.submit", **chosen)):
            self.assertEqual(self.states(request), ["waiting"])
            wait_for(lambda: self.submitted(chosen))
        (grants,) = self.granted(request)
        self.assertEqual(sorted(g["asset"]["id"] for g in grants), ["a1", "a3"])
        self.assertEqual((self.atlas.count("/token"), len(self.atlas.living()), self.atlas.consents), (1, 1, 1))
        self.assertEqual(len(self.events("grant.created")), 2)
        self.whole()


class No(AtlasKilled):
    """The client declines on the page."""
    POINTS = ("item.declined",)

    def decline(self, link):
        browser = self.box.browser()
        browser.open(link)
        form = next(f for f in browser.page.forms if f.buttons and f.buttons[0][1] == "decline")
        browser.submit(form, None, form.buttons[0])

    def scenario(self):
        link, request = self.ask({"mode": "choose"})
        self.approve(link)
        self.arm()
        self.do(self.decline, link)
        self.assertEqual(self.states(request), ["declined"])
        wait_for(lambda: not self.atlas.living())
        self.assertEqual((self.atlas.count("/token"), len(self.events("request.declined"))), (1, 1))
        self.whole()


class TakenBack(AtlasKilled):
    """The agency cancels while a fan-out waits: what was shared so far is closed."""
    POINTS = ("flow.left",)

    def scenario(self):
        self.atlas.fail("/share", 503, 100, skip=2)
        link, request = self.ask({"mode": "both"})
        self.approve(link)
        wait_for(lambda: self.states(request) == ["waiting"])
        self.assertEqual(len(self.atlas.shares), 2)
        self.arm()
        self.do(lambda: self.rpc.call("request.cancel", request=request))
        wait_for(lambda: not self.atlas.shares and not self.atlas.living(), 20)
        wait_for(lambda: [g["state"] for g in self.rpc.call("grant.list")["grants"]] == ["ended", "ended"])
        self.assertEqual((self.atlas.count("/unshare"), self.atlas.count("/revoke")), (2, 1))
        self.assertEqual([len(self.events(f"grant.{kind}")) for kind in ("created", "ended")], [2, 2])
        self.whole()


class Refused(AtlasKilled):
    """The platform refuses the second of three: what was opened is closed, and the client may ask again."""
    POINTS = ("flow.failed",)

    def scenario(self):
        link, request = self.ask({"mode": "token"})
        self.atlas.fail("/token", 400, 1, error="invalid_grant")
        self.arm()
        self.do(self.approve, link)
        wait_for(lambda: self.states(request) == ["open"])
        self.assertEqual((self.atlas.living(), len(self.events("request.failed"))), (set(), 1))
        self.approve(link)
        self.granted(request)
        self.assertEqual((len(self.atlas.living()), len(self.events("grant.created"))), (1, 3))
        self.whole()


class Look(AtlasKilled):
    """A share that somebody took away is seen, and told once."""
    POINTS = ("look.seen", "look.kept")

    def scenario(self):
        ((grant,),) = self.consent({"mode": "both", "asset": "a1"})
        self.atlas.shares.clear()
        self.arm()
        seen = self.do(lambda: self.rpc.call("grant.verify", grant=grant["id"]))
        if not seen:
            seen = self.rpc.call("grant.verify", grant=grant["id"])
        self.assertEqual([d["what"] for d in seen["differences"]], ["native"])
        shown = self.box.grant(grant["id"])
        self.assertEqual((shown["layers"]["native"]["status"], shown["reason"]), ("gone", "NATIVE_GONE"))
        self.assertEqual((len(self.events("grant.drift")), self.atlas.count("/token")), (1, 1))
        self.rpc.call("grant.token", grant=grant["id"])
        self.whole()


class Hub(AtlasKilled):
    """The agency connects its hub, looks at it and lists what it reaches."""
    POINTS = ("hub.client", "hub.asked", "hub.seen", "hub.kept", "hub.scanned")

    def setUp(self):
        super().setUp()
        self.assertEqual(self.box.daemon.stop(), 0)
        del self.box.hubs["agency"]["access_token"]
        self.box.start()

    def twice(self, method):
        """As a person does who was not answered."""
        out = self.do(lambda: self.rpc.call(method, hub="agency"))
        return out if out is not None else self.rpc.call(method, hub="agency")

    def scenario(self):
        self.arm()
        link = self.twice("hub.connect")["link"]
        self.box.canaries.add(link.rsplit("/", 1)[1].encode())
        self.approve(link)
        wait_for(lambda: self.rpc.call("hub.get", hub="agency")["hub"]["state"] == "ready")
        self.assertTrue(self.twice("hub.check")["ok"])
        self.assertEqual(self.twice("hub.scan")["reached"], 0)
        hub = self.rpc.call("hub.get", hub="agency")["hub"]
        self.assertEqual((hub["state"], hub["account"]), ("ready", "anna"))
        self.assertIsNotNone(hub["verified_at"])
        self.assertEqual((self.atlas.count("/token"), len(self.atlas.living()), self.atlas.count("/revoke")), (1, 1, 0))
        self.assertEqual(len({r["client"] for r in self.rpc.call("request.list")["requests"]}), 1)
        self.assertEqual(self.events("hub.at_risk"), [])
        self.whole()


class End(AtlasKilled):
    """A grant is revoked; the platform refuses the first try of one part for a moment."""
    POINTS = ("close.ending", "close.said", "close.again", "close.ended")

    def scenario(self):
        ((grant,),) = self.consent({"mode": "both", "asset": "a1"})
        if self.point == "close.again":
            self.atlas.fail("/unshare", 503, 1)
        self.arm()
        self.do(lambda: self.rpc.call("grant.revoke", grant=grant["id"]))
        self.refused_token(grant["id"])
        wait_for(lambda: self.box.grant(grant["id"])["state"] == "ended", 20)  # nobody orders it again
        self.assertEqual((self.atlas.shares, self.atlas.living()), ({}, set()))
        self.assertEqual(self.surfaces(grant["id"]), {"partner": "closed", "token": "closed"})
        self.assertEqual([len(self.events(kind)) for kind in ("grant.ended", "credential.revoked")], [1, 1])
        self.rpc.call("grant.revoke", grant=grant["id"])
        self.assertEqual(len(self.events("grant.ended")), 1)
        self.whole()

    def refused_token(self, grant):
        with self.assertRaises(RpcError):
            self.rpc.call("grant.token", grant=grant)


class Mails(Killed, mailed.MailTest):
    """A link by mail; a code by mail, typed; what was given is taken back."""
    POINTS = ("request.mailed", "code.asked", "code.stored", "code.mailed", "code.tried", "code.opened", "back.asked",
              "back.ended")

    def setUp(self):
        super().setUp()
        self.box.start()

    def scenario(self):
        grant = self.given()
        visitor = self.box.browser()
        self.arm()
        self.by_mail()
        asked = self.page(visitor, mailed.SHOW)
        if not asked and visitor.open(self.link) and not visitor.choose(mailed.ENTER):
            self.press(visitor, mailed.SHOW)
        elif not self.postbox.mails[-1][2].get_content().count("type this code"):
            self.press(visitor, mailed.AGAIN)  # it was stored and no mail went out
        page = self.page(visitor, mailed.ENTER, code=self.postbox.code())
        if not page and not visitor.open(self.link).text.count("In force."):
            self.press(visitor, mailed.ENTER, code=self.postbox.code())
        self.assertIn("In force.", visitor.open(self.link).text)
        page = self.page(visitor, mailed.BACK)
        if not page:
            visitor.open(self.link)
            if visitor.choose(mailed.BACK):
                self.assertEqual(self.point, "back.asked")
                self.press(visitor, mailed.BACK)
        wait_for(lambda: self.box.grant(grant)["state"] == "ended")
        self.assertIn("Taken back.", visitor.open(self.link).text)
        self.assertEqual(self.server.get("/_ctl/report")["families"][-1]["revoked"], "revoked")
        self.assertEqual(len(self.server.get("/_ctl/report")["families"]), 1)
        self.assertEqual(len(self.events("grant.ended")), 1)
        self.whole()

    def page(self, browser, pattern, **changes):
        """Opens the link and presses; None when it was not answered."""
        if browser.open(self.link) and browser.choose(pattern):
            return self.do(self.press, browser, pattern, **changes)
        return None

    def by_mail(self):
        """The first mail: a link. Not answered, the operator sends another one of the same request."""
        client = self.client("Second")
        made = self.do(lambda: self.rpc.call("request.create", client=client, items=[{"app": "strict"}], notify=True))
        if not made:
            request = next(r for r in self.rpc.call("request.list")["requests"] if r["client"] == client)
            self.rpc.call("request.remind", request=request["id"], notify=True)
        self.assertEqual(len([r for r in self.rpc.call("request.list")["requests"] if r["client"] == client]), 1)
        self.assertEqual(len(self.events("request.notified")), 1)
        link = re.search(r"^http://\S+$", self.postbox.text(), re.M).group(0)
        self.box.canaries.add(link.rsplit("/", 1)[1].encode())
        self.assertEqual(self.box.browser().open(link).status, 200)


class Notice(Killed, SandboxTest):
    """A merchant removes the app; Shopify tells, and tells again when it was not answered."""
    POINTS = ("notice.heard", "notice.kept")
    SECRET = "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"
    SHOP = "acme-candles.myshopify.com"

    def tell(self):
        body = json.dumps({"id": 1, "myshopify_domain": self.SHOP}).encode()
        line = http.client.HTTPConnection("127.0.0.1", self.box.port, timeout=20)
        try:
            line.request("POST", "/hook/main.shop", body, {
                "Content-Type": "application/json", "X-Shopify-Topic": "app/uninstalled", "X-Shopify-Webhook-Id": "w1",
                "X-Shopify-Shop-Domain": self.SHOP, "X-Shopify-API-Version": "2026-10", "X-Shopify-Hmac-Sha256":
                base64.b64encode(hmac.new(self.SECRET.encode(), body, hashlib.sha256).digest()).decode()})
            return line.getresponse().status
        finally:
            line.close()

    def scenario(self):
        self.app("shop", "shopify", client_id="a61950a2cbd5f32876b0b55587ec7a27", scopes="read_orders, write_products",
                 client_secret=self.secret("shop", self.SECRET))
        self.box.start()
        link, request, _ = self.request({"app": "shop", "role": "write", "asset": self.SHOP})
        browser = self.box.browser()
        browser.open(link)
        self.approve(browser)
        (item,) = self.wait_items(request, "granted")
        self.sandbox.act("shopify", "uninstall", shop=self.SHOP)
        self.arm()
        if not self.do(self.tell) and self.point == "notice.heard":
            self.assertEqual(self.box.grant(item["grants"][0])["state"], "active")
            self.assertEqual(self.tell(), 200)
        self.wait_state(item["grants"][0], "needs_consent")  # what was told and not answered is looked at all the same
        self.assertEqual(len(self.events("platform.notice")), 1)
        self.assertEqual(self.whole_end(item["grants"][0])["token"]["state"], "gone")
        self.whole()


class Rotation(Killed, RotatingKeys):
    """Another key comes into use; asked again where nobody heard that it does."""
    POINTS = ("rotate.meant", "rotate.used", "rotate.root", "rotate.told")

    def asked(self):
        try:
            return self.box.daemon.rpc.call("key.rotate")
        except RpcError as e:
            self.assertIn(e.reason, ("KEY_ROTATING", "KEY_UNCHANGED"))
            return {}

    def scenario(self):
        old = self.status()["in_use"]
        self.name("new", "kek")
        if not self.point:
            self.box.daemon.rpc.call("daemon.reload")
        self.arm()
        if self.do(self.asked, late=2) is None:
            self.asked()
        self.done()
        said = self.status()
        self.assertEqual((said["rotation"]["from"], said["rotation"]["to"]), (old, said["named"]))
        self.assertTrue(self.under(said["named"]))
        told = [e for e in self.rpc.call("event.list", limit=1000)["events"] if e["type"] == "key.rotated"]
        # Told before it is noted that it was: dead between the two it is told again, but never not at all.
        self.assertEqual(len(told), 2 if self.point in ("rotate.told", ) else 1)
        self.stop()
        self.name("new")
        self.box.start()
        self.lives()


class Complete(unittest.TestCase):
    def test_every_point_is_driven(self):
        driven = {point for one in globals().values() if isinstance(one, type) and issubclass(one, Killed)
                  for point in one.POINTS}
        self.assertEqual(driven, {point for point in sources() if not point.startswith("node.")})


if __name__ == "__main__":
    unittest.main()
