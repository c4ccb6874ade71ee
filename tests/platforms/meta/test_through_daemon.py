#!/usr/bin/env python3
"""Meta from ask to end, through grantd and against the sandbox: each mode, what people do meanwhile, lost answers, a
crash in the middle of a fan-out, and one person who consents twice."""
import hmac
import http.client
import json
import os
import sys
import urllib.parse

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "daemon"))
from harness import wait_for  # noqa: E402
from sandboxed import PlatformTest  # noqa: E402

HUB, BOT = "220000000000777", "61550000000042"
EU, US, CANDLES = "act_5550001112223", "act_5550001112224", "act_5550001112230"
PAGE = "100500000000001"
BAKERY = "440000000000888"
BERTA, CARL, ANN = "1020000000055", "1020000000081", "1020000000071"


class Meta(PlatformTest):
    PLATFORM, APP = "meta", "fb"

    def begin(self, token="EAAagency", **options):
        self.app("fb", "meta", app_id="310000000000001", app_secret=self.secret("fb", "s3cr3t"),
                 config_id="900000000000033", delegate_config_id="900000000000044", **options)
        handed = {"access_token": self.secret("hub", token)} if token else {}
        self.hub("agency", "meta", app="fb", id=HUB, system_user_id=BOT, **handed)
        self.box.start()

    def ask(self, asset=None, role="advertiser", mode="share", who=BERTA, assets=None, deny=False, **params):
        return super().ask(role=role, mode=mode, asset=asset, params=params, who=who, assets=assets, deny=deny)

    def partner(self, asset, *tasks):
        self.act("set_partner", asset=asset, agency=HUB, permitted_tasks=list(tasks))

    def test_each_role_is_shown_and_what_was_shown_is_asked(self):
        self.begin()
        self.assertEqual(self.roles_are_shown("fb", asset=EU),
                         {None: "analyst", **{m: "analyst" for m in ("share", "request", "delegate", "manual")}})
        grant, = self.granted(EU, role=None)
        self.assertEqual(self.box.grant(grant)["role"]["asked"], "analyst")
        share, = [s for s in self.sandbox.state("meta")["shares"] if s["asset"] == EU and s["agency"] == HUB]
        self.assertEqual(share["permitted_tasks"], ["ANALYZE"])

    def test_share_from_ask_to_end(self):
        self.begin()
        grant, = self.granted(EU)
        seen = self.box.grant(grant)
        self.assertEqual((seen["state"], seen["role"]["granted"]), ("active", "advertiser"))
        self.assertEqual((seen["layers"]["native"]["status"], seen["layers"]["token"]), ("present", None))
        self.assertEqual({s["kind"]: s["id"] for s in seen["surfaces"]}, {"partner": HUB, "member": BOT})
        self.assertEqual(self.rpc.call("grant.verify", grant=grant)["differences"], [])
        ends = self.whole_end(grant)
        self.assertEqual({k: s["state"] for k, s in ends.items()}, {"partner": "closed", "member": "closed"}, ends)
        self.assertEqual(self.rpc.call("hub.scan", hub="agency")["reached"], 0)

    def test_ids_however_they_are_written(self):
        self.begin()
        for mode, more in (("share", {}), ("request", {}), ("delegate", {"assets": [EU]})):
            _, request, _ = self.ask(EU[4:], mode=mode, **more)
            if mode == "request":
                self.assertEqual(self.items(request)[0]["problems"] if "problems" in self.items(request)[0] else [], [])
            item, = self.wait_items(request, "granted")
            self.assertEqual([self.box.grant(g)["asset"]["id"] for g in item["grants"]], [EU], mode)

    def test_the_client_chooses(self):
        self.begin()
        link, request, browser = self.ask(role="analyst")
        item, = self.wait_items(request, "waiting")
        values = [c["value"] for c in item["steps"][0]["choices"]]
        self.assertEqual(values, [EU, US])
        self.hand_in(browser, link, ad_accounts=[EU, US])
        item, = self.wait_items(request, "granted")
        self.assertEqual(sorted(self.box.grant(g)["asset"]["id"] for g in item["grants"]), [EU, US])

    def test_accounts_and_pages_under_one_login(self):
        """Four items, one consent: what one does leaves the others alone, also when it ends."""
        self.begin()
        items = [{"app": "fb", "role": "advertiser", "mode": "share", "asset": EU},
                 {"app": "fb", "role": "admin", "mode": "share", "asset": PAGE, "params": {"kind": "page"}},
                 {"app": "fb", "role": "analyst", "mode": "share", "asset": US},
                 {"app": "fb", "role": "analyst", "mode": "share", "asset": CANDLES}]
        link, request, _ = self.request(*items)
        browser = self.box.browser()
        browser.open(link)
        self.approve(browser, who=BERTA)
        self.advance(60)
        done = self.wait_items(request, "granted", "granted", "granted", "open")
        self.assertEqual(done[3]["reason"], "NOT_VISIBLE")
        grants = {self.box.grant(g)["asset"]["id"]: self.box.grant(g) for i in done for g in i["grants"]}
        self.assertEqual({a: g["role"]["granted"] for a, g in grants.items()},
                         {EU: "advertiser", PAGE: "admin", US: "analyst"})
        self.assertEqual(len(self.calls("GET", "/oauth/access_token")), 1)
        ends = self.whole_end(grants[EU]["id"])
        self.assertEqual({s["state"] for s in ends.values()}, {"closed"}, ends)
        for asset in (PAGE, US):
            self.assertEqual(self.rpc.call("grant.verify", grant=grants[asset]["id"])["differences"], [], asset)

    def test_a_page(self):
        self.begin()
        grant, = self.granted(PAGE, role="admin", kind="page")
        self.assertEqual(self.box.grant(grant)["asset"]["kind"], "page")
        self.assertEqual(self.rpc.call("grant.verify", grant=grant)["differences"], [])
        ends = self.whole_end(grant)
        self.assertEqual({s["state"] for s in ends.values()}, {"closed"}, ends)

    def test_asked_by_the_agency(self):
        self.begin()
        _, request, _ = self.ask(US, mode="request")
        self.wait_items(request, "waiting")
        _, refused, _ = self.ask(CANDLES, mode="request")
        self.wait_items(refused, "waiting")
        self.act("approve_request", asset=US, agency=HUB)
        self.act("decline", asset=CANDLES, agency=HUB)
        self.advance(600)
        self.wait_items(request, "granted")
        self.wait_items(refused, "declined")

    def test_withdrawn_edges_go_on_by_hand(self):
        self.begin()
        self.switch("b2b_requests", "3")
        _, request, _ = self.ask(US, mode="request")
        item, = self.wait_items(request, "waiting")
        self.assertEqual(item["steps"][0]["copy"], HUB)
        self.partner(US, "ANALYZE")
        self.advance(600)
        self.assertEqual(self.items(request)[0]["state"], "waiting")  # not enough for an advertiser
        self.partner(US, "ADVERTISE", "ANALYZE")
        self.advance(600)
        self.wait_items(request, "granted")

    def test_a_second_admin(self):
        self.begin()
        self.switch("admin_review", True)
        _, request, _ = self.ask(US)
        item, = self.wait_items(request, "waiting")
        self.assertIn("second admin", item["steps"][0]["title"])
        self.act("approve_review", asset=US, agency=HUB)
        self.advance(600)
        self.wait_items(request, "granted")
        self.assertEqual(len(self.calls("POST", "/agencies")), 1)

    def shares(self):
        return {s["asset"]: s["access_status"] for s in self.sandbox.state("meta")["shares"]}

    def test_a_request_that_nobody_approved_is_given_up(self):
        self.begin()
        link, request, browser = self.ask(US, mode="request")
        self.wait_items(request, "waiting")
        self.assertEqual(self.shares(), {US: "PENDING"})
        self.decline(browser, link)
        self.assertEqual(self.withdrawn("closed"), [("request", "closed")])
        self.assertEqual((self.shares(), self.items(request)[0]["state"]), ({}, "declined"))

    def test_a_request_that_meta_does_not_let_go_of(self):
        self.begin()
        self.sandbox.option("meta", name="pending_stays", value=True)
        _, request, _ = self.ask(US, mode="request")
        self.wait_items(request, "waiting")
        self.rpc.call("request.cancel", request=request)
        self.assertEqual(self.withdrawn("manual"), [("request", "manual")])
        left, = [self.box.grant(g["id"]) for g in self.grants()]
        self.assertEqual(left["reason"], "SURFACE_LEFT")
        self.assertIn("Requests", left["surfaces"][0]["step"])

    def test_a_share_that_no_second_admin_approved_is_taken_back(self):
        self.begin()
        self.sandbox.option("meta", name="admin_review", value=True)
        _, request, _ = self.ask(US)
        self.wait_items(request, "waiting")
        self.rpc.call("request.cancel", request=request)
        wait_for(lambda: self.shares() == {}, 10)
        self.advance(3 * 3600)  # the login's short token ends by itself
        self.assertEqual(self.withdrawn("closed"), [("request", "closed")])

    def test_one_of_two_is_shared_and_the_request_is_taken_back(self):
        """What was shared is unshared, what waits is withdrawn."""
        self.begin()
        _, request, _ = self.ask(f"{EU},{US}", mode="request")
        self.wait_items(request, "waiting")
        self.act("approve_request", asset=EU, agency=HUB)
        self.advance(600)
        self.assertEqual((self.items(request)[0]["state"], self.shares()), ("waiting", {EU: "CONFIRMED", US: "PENDING"}))
        wait_for(lambda: self.calls("POST", f"{EU}/assigned_users"), 10)
        self.rpc.call("request.cancel", request=request)
        self.assertEqual(sorted(self.withdrawn("closed", "gone")), [("member", "closed"), ("partner", "closed"), ("request", "closed")])
        self.assertEqual(self.shares(), {})

    def test_a_lost_answer_shares_once(self):
        self.begin()
        self.sandbox.fault("meta", "lost", method="POST", match=f"*/{US}/agencies", times=1)
        _, request, _ = self.ask(US)
        self.advance(600)
        self.wait_items(request, "granted")
        self.assertEqual(len(self.calls("POST", f"{US}/agencies")), 1)

    def test_one_of_two_cannot_be_shared(self):
        """The other one is shared all the same, the refused one goes on by hand, and no step is done twice."""
        self.begin()
        self.sandbox.fault("meta", "partial", match=f"*/{US}/agencies", times=0)
        _, request, _ = self.ask(f"{EU},{US}")
        item, = self.wait_items(request, "waiting")
        self.assertEqual(([s["copy"] for s in item["steps"]], self.shares()), ([HUB], {EU: "CONFIRMED"}))
        self.assertIn(f"shares {US} with", item["steps"][0]["text"])
        self.partner(US, "ADVERTISE", "ANALYZE")
        self.advance(600)
        item, = self.wait_items(request, "granted")
        self.assertEqual(sorted(self.box.grant(g)["asset"]["id"] for g in item["grants"]), [EU, US])
        self.assertEqual([len(self.calls("POST", f"{a}/agencies")) for a in (EU, US)], [1, 1])

    def test_one_of_two_gets_nobody_assigned(self):
        """Shared, but the agency's system user is not let in: it is told, and the other one is whole."""
        self.begin()
        self.sandbox.fault("meta", "partial", match=f"*/{US}/assigned_users", times=0)
        grants = {g["asset"]["id"]: g for g in map(self.box.grant, self.granted(f"{EU},{US}"))}
        self.assertEqual({a: sorted(s["kind"] for s in g["surfaces"]) for a, g in grants.items()},
                         {EU: ["member", "partner"], US: ["partner"]})
        self.assertEqual({a: list(g["warnings"]) for a, g in grants.items()}, {EU: [], US: ["MEMBER_NOT_ASSIGNED"]})
        self.assertEqual(self.states(self.whole_end(grants[US]["id"])), {"partner": "closed"})
        self.assertEqual(self.shares(), {EU: "CONFIRMED"})

    def test_less_is_permitted_than_was_asked(self):
        self.begin()
        self.sandbox.fault("meta", "role_downgrade", times=1)
        grant, = self.granted(EU, role="admin")
        seen = self.box.grant(grant)
        self.assertEqual((seen["role"]["asked"], seen["role"]["granted"]), ("admin", "analyst"))
        self.assertIn("ROLE_LOWER", seen["warnings"])
        self.assertEqual([d["what"] for d in self.rpc.call("grant.verify", grant=grant)["differences"]], ["role"])

    def test_killed_in_the_middle_of_a_fan_out(self):
        self.begin()
        self.sandbox.fault("meta", "slow", seconds=2, method="POST", match=f"*/{EU}/agencies", times=1)
        link, request, _ = self.request({"app": "fb", "role": "advertiser", "mode": "share", "asset": f"{EU},{US}"})
        browser = self.box.browser()
        browser.open(link)
        self.killed_while(lambda: self.approve(browser, who=BERTA), lambda: self.calls("POST", f"{EU}/agencies"))
        self.advance(600)
        item, = self.wait_items(request, "granted")
        self.assertEqual(len(item["grants"]), 2)
        self.assertEqual([len(self.calls("POST", f"{a}/agencies")) for a in (EU, US)], [1, 1])

    def test_one_person_twice(self):
        """What ends the first consent's token leaves the second consent alone."""
        self.begin()
        self.granted(EU)
        self.sandbox.fault("meta", "lost", method="POST", match=f"*/{US}/agencies", times=1)
        _, request, _ = self.ask(US)
        self.advance(600)
        self.wait_items(request, "granted")
        self.advance(4 * 3600)  # both short tokens have ended by themselves
        self.assertEqual(self.calls("DELETE", "/me/permissions"), [])

    def test_drift(self):
        self.begin()
        grant, = self.granted(EU)
        self.partner(EU, "ANALYZE")
        self.advance(2 * 86400)
        seen = self.box.grant(grant)
        self.assertEqual((seen["role"]["observed"], seen["reason"]), ("analyst", "NATIVE_CHANGED"))
        self.act("remove_partner", asset=EU, agency=HUB)
        self.advance(2 * 86400)
        self.assertEqual(self.box.grant(grant)["reason"], "NATIVE_GONE")
        ends = self.whole_end(grant)
        self.assertEqual({s["state"] for s in ends.values()}, {"gone"}, ends)

    def test_delegate(self):
        self.begin()
        grant, = self.granted(mode="delegate", assets=[EU])
        self.rpc.call("grant.token", grant=grant)
        self.assertEqual(self.rpc.call("grant.verify", grant=grant)["differences"], [])
        surface = self.whole_end(grant)["token"]
        self.assertEqual(surface["state"], "manual", surface)

    def visit(self, method, address, body=None, **headers):
        """(status, type, text), as Meta would call"""
        link = http.client.HTTPConnection(urllib.parse.urlsplit(address).netloc, timeout=30)
        try:
            link.request(method, address.split(link.host + f":{link.port}", 1)[1], body, headers)
            answer = link.getresponse()
            return answer.status, (answer.getheader("Content-Type") or "").split(";")[0], answer.read().decode()
        finally:
            link.close()

    def test_the_client_removes_the_app(self):
        """The handshake of the webhook is answered to who knows the word; then a removed app is known at once, and a notice
        counts by its signature alone."""
        self.begin(webhook_verify_token=self.secret("word", "w0rd-typed-at-meta"))
        grant, = self.granted(mode="delegate", assets=[EU])
        hook = self.rpc.call("app.get", app="fb")["app"]["notice_uri"]
        self.assertTrue(hook.endswith("/hook/main.fb"), hook)
        ask = "?hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token="
        self.assertEqual(self.visit("GET", hook + ask + "w0rd-typed-at-meta"), (200, "text/plain", "1158201444"))
        for wrong in (ask + "w0rd", ask + "w0rd-typed-at-meta&hub.mode=subscribe", "", "?hub.mode=subscribe"):
            status, _, text = self.visit("GET", hook + wrong)
            self.assertIn(status, (400, 403), wrong)
            self.assertNotIn("1158201444", text)
        self.assertEqual(self.visit("GET", hook.replace("main.fb", "main.li") + ask + "w0rd-typed-at-meta")[0], 404)
        body = json.dumps({"object": "application", "entry": [{"changes": [
            {"field": "business_integration_uninstall", "value": {"business_manager_id": BAKERY}}]}]})
        for signature in ({}, {"X-Hub-Signature-256": "sha256=" + "0" * 64},
                          {"X-Hub-Signature-256": "sha256=" + hmac.new(b"s3cr3t", body.encode(), "sha256").hexdigest()[:-1]}):
            self.assertEqual(self.visit("POST", hook, body, **signature)[0], 403, signature)
        self.advance(60)
        self.assertEqual([e["data"]["observed"]["event"] for e in self.told("platform.notice")], ["handshake"])
        # Genuine, and a lie: it is looked at, and nothing is lost.
        before = len(self.sandbox.seen()["requests"])
        signed = {"X-Hub-Signature-256": "sha256=" + hmac.new(b"s3cr3t", body.encode(), "sha256").hexdigest()}
        self.assertEqual(self.visit("POST", hook, body, **signed)[0], 200)
        wait_for(lambda: len(self.sandbox.seen()["requests"]) > before, 10)
        self.assertEqual(self.box.grant(grant)["state"], "active")
        self.act("remove_app", app="310000000000001", business=BAKERY, url=hook)
        self.wait_state(grant, "needs_consent")
        heard = [e["data"]["observed"]["event"] for e in self.told("platform.notice")]
        self.assertEqual(heard, ["handshake", "uninstall", "uninstall"])
        self.assertEqual(self.whole_end(grant)["token"]["state"], "gone")

    def test_kept_token_lives_beside_the_share(self):
        self.begin(keep_client_token=True)
        grant, = self.granted(EU)
        before = self.box.grant(grant)["layers"]["token"]
        self.advance(58 * 86400)
        after = self.box.grant(grant)["layers"]["token"]
        self.assertEqual((after["status"], after["gen"] > before["gen"]), ("current", True), after)
        ends = self.whole_end(grant)
        self.assertEqual({s["state"] for s in ends.values()}, {"closed"}, ends)

    def test_a_kept_token_that_was_renewed_lives_on(self):
        """The end of the token that a second consent replaced would take the new one with it: it is not ordered."""
        self.begin(keep_client_token=True)
        client = self.rpc.call("client.create", name="Bakery")["client"]["id"]
        grants = []
        for _ in range(2):
            link, request, _ = self.request({"app": "fb", "role": "advertiser", "mode": "share", "asset": EU}, client=client)
            browser = self.box.browser()
            browser.open(link)
            self.approve(browser, who=BERTA)
            grants += self.wait_items(request, "granted")[0]["grants"]
            self.advance(80 * 86400)
        self.assertEqual(grants[0], grants[1])
        seen = self.box.grant(grants[0])
        self.assertEqual(seen["layers"]["token"]["status"], "current", seen)
        self.assertEqual(self.calls("DELETE", "/me/permissions"), [])
        self.rpc.call("grant.token", grant=grants[0])
        ends = self.whole_end(grants[0])
        self.assertEqual({k: s["state"] for k, s in ends.items()}, {"partner": "closed", "member": "closed", "token": "closed"})

    def test_the_agency_connects_its_hub(self):
        self.begin(token=None)
        self.connect("agency", who=ANN)
        grant, = self.granted(EU)
        self.assertEqual(self.box.grant(grant)["layers"]["native"]["status"], "present")
        self.partner(US, "ANALYZE")
        scan = self.rpc.call("hub.scan", hub="agency")
        self.assertEqual((scan["reached"], scan["unexplained"]), (2, 1), scan)

    def test_the_hub_asks_in_time(self):
        """The agency's own consent ends after 90 days, whatever is refreshed: it is told once, and connecting settles it."""
        self.begin(token=None)
        self.connect("agency", who=ANN)
        self.advance(75 * 86400)
        self.assertEqual(self.told("hub.warning"), [])
        self.advance(3 * 86400)
        self.box.daemon.kill9()
        self.box.start()
        self.advance(2 * 86400)
        (told,) = self.told("hub.warning")
        self.assertEqual((told["subject"], told["data"]["warning"]), ("agency", "ENDS_SOON"))
        self.assertIn("hub connect agency", told["data"]["text"])
        self.assertEqual(self.rpc.call("hub.get", hub="agency")["hub"]["state"], "ready")
        self.connect("agency", who=ANN)
        self.advance(30 * 86400)
        self.assertNotIn("ENDS_SOON", self.rpc.call("hub.get", hub="agency")["hub"]["warnings"])
        self.assertEqual((len(self.told("hub.warning")), self.told("hub.at_risk")), (1, []))

    def test_said_no_and_the_wrong_person(self):
        self.begin()
        _, request, _ = self.ask(EU, deny=True)
        self.wait_items(request, "declined")
        _, request, _ = self.ask(EU, who=CARL)
        self.assertEqual(self.wait_items(request, "open")[0]["reason"], "NOT_VISIBLE")
        _, request, _ = self.ask(f"{EU},{CANDLES}")
        item, = self.wait_items(request, "granted")
        self.assertEqual(([p["problem"] for p in item["problems"]], len(item["grants"])), (["NOT_VISIBLE"], 1))
