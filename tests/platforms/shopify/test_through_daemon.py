#!/usr/bin/env python3
"""Shopify from ask to end, through grantd and against the sandbox: tokens of every kind, lost answers, webhooks, frozen
shops, collaborators."""
import datetime
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "daemon"))
from harness import wait_for  # noqa: E402
from sandboxed import PlatformTest  # noqa: E402

CLIENT, SECRET = "a61950a2cbd5f32876b0b55587ec7a27", "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"
ACME, PLUS = "acme-candles.myshopify.com", "bakery-plus.myshopify.com"
DAY = 86400


class Shopify(PlatformTest):
    PLATFORM, APP = "shopify", "shop"

    def begin(self, **options):
        self.app("shop", "shopify", client_id=CLIENT, client_secret=self.secret("shop", SECRET),
                 **{"scopes": "read_orders, write_products", **options})
        self.box.start()

    def ask(self, deny=False, shop=ACME, role="write", **item):
        return super().ask(deny=deny, role=role, asset=shop, **item)

    def granted(self, **item):
        grant, = super().granted(**item)
        return grant

    def token(self, grant):
        return self.box.grant(grant)["layers"]["token"]

    def closed_in_the_sandbox(self):
        self.assertEqual([t for t in self.sandbox.state("shopify")["installs"]], [])

    def test_each_role_is_shown_and_what_was_shown_is_asked(self):
        self.begin()
        self.assertEqual(self.roles_are_shown("shop", asset=ACME), {None: "read", "app": "read", "collaborator": "read"})
        seen = self.box.grant(self.granted(role=None))
        self.assertEqual((seen["role"]["asked"], seen["role"]["granted"]), ("read", "read"))
        asked = self.calls("GET", "/admin/oauth/authorize")
        self.assertIn("read_orders,read_products", json.dumps(asked).replace("%2C", ","))

    def test_from_ask_to_end(self):
        self.begin()
        grant = self.granted()
        seen = self.box.grant(grant)
        self.assertEqual((seen["state"], seen["account"]), ("active", {"id": ACME, "name": "Acme Candles"}))
        self.assertEqual((seen["asset"]["name"], seen["role"]["granted"]), ("Acme Candles", "write"))
        self.assertEqual((seen["layers"]["token"]["shape"], seen["layers"]["token"]["retry_class"]), ("rotating", "overlap"))
        self.assertEqual(self.rpc.call("grant.verify", grant=grant)["differences"], [])
        first = self.rpc.call("grant.token", grant=grant)["access_token"]
        self.rpc.call("grant.refresh", grant=grant)
        self.assertNotEqual(self.rpc.call("grant.token", grant=grant)["access_token"], first)
        self.assertEqual(self.whole_end(grant)["token"]["state"], "closed")
        self.assertEqual(self.box.grant(grant)["state"], "ended")
        self.closed_in_the_sandbox()

    def test_renewed_in_time_for_an_outage(self):
        """Shopify's own helpers renew five minutes before the end; an outage may be longer."""
        self.begin()
        token = self.token(self.granted())
        ends, next_at = (datetime.datetime.fromisoformat(token[k]) for k in ("expires_at", "next_refresh_at"))
        self.assertGreaterEqual((ends - next_at).total_seconds(), 1800 - 1)
        self.assertLessEqual((ends - next_at).total_seconds(), 1800 + 360 + 1)

    def test_any_spelling_and_the_role_that_reads(self):
        self.begin()
        grant = self.granted(shop=None, role="read", params={"shop": "https://Admin.Shopify.com/store/acme-candles/orders"})
        seen = self.box.grant(grant)
        self.assertEqual((seen["asset"]["id"], seen["role"]["granted"]), (ACME, "read"))
        self.assertEqual(sorted(seen["layers"]["token"]["scope"].split()), ["read_orders", "read_products"])

    def test_an_asset_in_any_spelling(self):
        self.begin()
        for spelling in ("acme-candles", "https://ACME-candles.myshopify.com/admin", "admin.shopify.com/store/acme-candles"):
            grant = self.granted(shop=spelling)
            self.assertEqual(self.box.grant(grant)["asset"]["id"], ACME)
        self.assertEqual(self.states(self.whole_end(grant)), {"token": "closed"})

    def states(self, ends):
        return {kind: s["state"] for kind, s in ends.items()}

    def test_no_shop_no_way(self):
        """Nobody is sent to a host that is no shop."""
        self.begin()
        _, request, browser = self.ask(shop="acme-candles.myshopify.com@127.0.0.1")
        self.assertEqual(self.items(request)[0]["grants"], [])
        self.assertNotEqual(self.items(request)[0]["state"], "granted")
        self.assertFalse([r for r in self.sandbox.seen()["requests"]])

    def test_the_merchant_says_no(self):
        """Shopify says so without the state of the request: nothing is believed, nothing is asked."""
        self.switch("cancel_redirects", True)
        self.begin()
        _, request, _ = self.ask(deny=True)
        self.assertEqual(self.items(request)[0]["grants"], [])
        self.assertFalse([r for r in self.sandbox.seen()["requests"] if r["path"].endswith("access_token")])

    def test_three_days_of_hours(self):
        self.begin()
        grant = self.granted()
        self.advance(3 * DAY)
        self.assertEqual(self.box.grant(grant)["state"], "active")
        self.assertGreaterEqual(self.token(grant)["gen"], 70)
        self.rpc.call("grant.token", grant=grant)

    def test_a_refresh_whose_answer_is_lost(self):
        """The token was spent, the answer never came: the old one still works until the new one was used."""
        self.begin()
        grant = self.granted()
        self.sandbox.fault("shopify", "lost", method="POST", path="/admin/oauth/access_token", times=1)
        self.advance(3500)
        self.advance(1800)
        wait_for(lambda: self.box.grant(grant)["state"] == "active")
        self.assertEqual(self.rpc.call("grant.verify", grant=grant)["observed"]["alive"], True)

    def test_a_520_that_spent_the_token(self):
        self.begin()
        grant = self.granted()
        self.sandbox.fault("shopify", "consumed_520", times=2)
        self.advance(3 * 3600)
        self.assertEqual(self.box.grant(grant)["state"], "active")

    def test_uninstalled_by_the_merchant(self):
        """The webhook is believed by its signature; then the tokens are looked at, and the client is asked."""
        self.begin()
        grant = self.granted()
        self.act("uninstall", shop=ACME, url=self.box.url + "/hook/main.shop")
        self.wait_state(grant, "needs_consent")
        self.assertEqual(self.whole_end(grant)["token"]["state"], "gone")

    def test_a_webhook_that_is_forged(self):
        self.switch("bad_webhook_hmac", True)
        self.begin()
        grant = self.granted()
        seen = len(self.sandbox.seen()["requests"])
        self.act("webhook", shop=ACME, topic="app/uninstalled", url=self.box.url + "/hook/main.shop")
        self.settle(0.5)
        self.assertEqual(self.box.grant(grant)["state"], "active")
        self.assertEqual(len(self.sandbox.seen()["requests"]), seen)

    def test_compliance_webhooks_are_received(self):
        """Verified by their signature and told as events; they end nothing by themselves."""
        self.begin()
        grant = self.granted()
        for topic in ("customers/data_request", "customers/redact", "shop/redact"):
            self.act("webhook", shop=ACME, topic=topic, url=self.box.url + "/hook/main.shop")

        def told():
            return [e["data"]["observed"]["event"] for e in self.rpc.call("event.list", types=["platform.notice"])["events"]]
        wait_for(lambda: len(told()) == 3, 10)
        self.assertEqual(sorted(told()), ["customers_data_request", "customers_redact", "shop_redact"])
        self.assertEqual(self.box.grant(grant)["state"], "active")

    def test_a_frozen_shop_is_not_lost(self):
        self.begin()
        grant = self.granted()
        self.act("set_shop", shop=ACME, state="frozen")
        self.advance(3 * DAY)
        self.assertNotEqual(self.box.grant(grant)["state"], "needs_consent")
        self.act("set_shop", shop=ACME, state="open")
        self.advance(2 * DAY)
        self.assertEqual(self.box.grant(grant)["state"], "active")

    def test_an_old_token_is_traded_when_it_is_refused(self):
        self.begin(expiring=False)
        grant = self.granted()
        self.assertEqual(self.token(grant)["shape"], "perpetual")
        self.switch("refuse_non_expiring", True)
        self.rpc.call("grant.refresh", grant=grant)
        self.assertEqual((self.token(grant)["shape"], self.token(grant)["retry_class"]), ("rotating", "overlap"))
        self.assertEqual(self.rpc.call("grant.verify", grant=grant)["observed"]["alive"], True)

    def test_permissions_taken_away(self):
        self.begin()
        grant = self.granted()
        self.act("set_scopes", shop=ACME, scopes=["read_orders"])
        differences = self.rpc.call("grant.verify", grant=grant)["differences"]
        self.assertIn("role", [d["what"] for d in differences])

    def test_the_merchant_allows_less_than_was_asked(self):
        self.begin()
        self.sandbox.fault("shopify", "role_downgrade")
        grant = self.granted()
        seen = self.box.grant(grant)
        self.assertEqual((seen["role"]["asked"], seen["role"]["granted"]), ("write", "read"))
        self.assertEqual(sorted(seen["layers"]["token"]["scope"].split()), ["read_orders", "read_products"])
        self.assertIn("SCOPES_MISSING", seen["warnings"])
        self.assertEqual([d["what"] for d in self.rpc.call("grant.verify", grant=grant)["differences"]], ["role"])

    def test_one_shop_twice(self):
        """A second consent retires the tokens of the first: the end of the first leaves the app installed."""
        self.begin()
        first = self.granted()
        second = self.granted(role="read")
        self.assertEqual(self.box.grant(second)["state"], "active")
        if first != second:
            self.rpc.call("grant.revoke", grant=first)
            self.advance(2 * 3600)
        self.assertEqual(self.rpc.call("grant.verify", grant=second)["observed"]["alive"], True)

    def test_throttled(self):
        self.begin()
        grant = self.granted()
        self.sandbox.fault("shopify", "throttled", requested=752, available=752, times=1)
        self.assertEqual(self.rpc.call("grant.verify", grant=grant)["observed"]["alive"], True)

    # -- collaborators

    def test_a_collaborator_by_the_word_of_people(self):
        self.begin(agency_name="Agency Ltd")
        link, request, browser = self.ask(mode="collaborator", role="read")
        item, = self.wait_items(request, "waiting")
        self.assertEqual([s["ask"] for s in item["steps"]], ["collaborator_code"])
        self.hand_in(browser, link, collaborator_code="1234")
        item = wait_for(lambda: [i for i in self.items(request) if len(i["steps"]) == 3])[0]
        self.assertEqual(item["steps"][0]["copy"], "1234")
        self.hand_in(browser, link, store_visible="yes")
        item, = self.wait_items(request, "granted")
        grant, = item["grants"]
        self.assertEqual(self.box.grant(grant)["layers"]["native"]["status"], "present")
        self.assertEqual(self.whole_end(grant)["collaborator"]["state"], "manual")

    def test_a_collaborator_that_is_seen(self):
        self.begin(staff_check=True, agency_email="kim@agency.example", scopes="read_users")
        link, request, browser = self.ask(shop=PLUS, mode="collaborator", role="read")
        self.wait_items(request, "waiting")
        self.hand_in(browser, link, collaborator_code="1234")
        self.act("collaborator", shop=PLUS, email="kim@agency.example", account_type="REQUESTED")
        self.advance(2 * 3600)
        self.wait_items(request, "waiting")
        self.act("collaborator", shop=PLUS, email="kim@agency.example", account_type="COLLABORATOR", active=True)
        self.advance(2 * 3600)
        item, = self.wait_items(request, "granted")
        grant, = item["grants"]
        self.assertEqual(self.rpc.call("grant.verify", grant=grant)["observed"]["native"], "present")
        self.act("collaborator", shop=PLUS, email="kim@agency.example", account_type="")
        self.assertEqual(self.rpc.call("grant.verify", grant=grant)["observed"]["native"], "gone")
        ends = self.whole_end(grant)
        self.assertEqual({k: s["state"] for k, s in ends.items()}, {"collaborator": "gone", "token": "closed"})


if __name__ == "__main__":
    import unittest
    unittest.main()
