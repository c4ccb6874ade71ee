#!/usr/bin/env python3
"""LinkedIn from ask to end, through grantd and against the sandbox: choices, hands, limits, sunsets, the year's end, a
crash in the middle of a fan-out. (tests/daemon/test_linkedin.py has the plain share.)"""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "daemon"))
from harness import RpcError, wait_for  # noqa: E402
from sandboxed import PlatformTest  # noqa: E402

CANDLES, CANDLES_US = "507000111", "507000222"
DAY = 86400


class LinkedIn(PlatformTest):
    PLATFORM, APP = "linkedin", "li"

    def begin(self, connect="bo", hub=None, **options):
        self.app("li", "linkedin", client_id="86demo1client", client_secret=self.secret("li", "WPL_AP1.demo"), **options)
        self.hub("people", "linkedin", app="li", id="unknown", member_names="Bo Agent", **(hub or {}))
        self.box.start()
        if connect:
            self.connect("people", who=connect)

    def ask(self, who="ada", role="CAMPAIGN_MANAGER", **item):
        return super().ask(who=who, role=role, **item)

    def role(self, account, member="bo"):
        users = self.sandbox.state("linkedin")["users"]
        return next((u["role"] for u in users if u["account"] == account and u["member"] == member), None)

    # -- sharing

    def test_the_client_chooses(self):
        self.begin()
        link, request, browser = self.ask()
        item, = self.wait_items(request, "waiting")
        step, = item["steps"]
        self.assertEqual([c["value"] for c in step["choices"]], [CANDLES, CANDLES_US])
        self.hand_in(browser, link, ad_accounts=[CANDLES_US])
        item, = self.wait_items(request, "granted")
        grant, = item["grants"]
        self.assertEqual(self.box.grant(grant)["asset"]["name"], "Acme Candles US")
        self.assertEqual((self.role(CANDLES), self.role(CANDLES_US)), (None, "CAMPAIGN_MANAGER"))

    def test_every_way_to_answer_a_put(self):
        self.begin()
        for status, role in ((200, "VIEWER"), (201, "CREATIVE_MANAGER"), (204, "CAMPAIGN_MANAGER")):
            self.switch("put_status", status)
            self.granted(asset=CANDLES, role=role)
            self.assertEqual(self.role(CANDLES), role)

    def test_two_people(self):
        self.begin(hub={"members": "kT_agency55, kT_agency66"})
        grant, = self.granted(asset=CANDLES, role="VIEWER")
        self.assertEqual((self.role(CANDLES), self.role(CANDLES, "cem")), ("VIEWER", "VIEWER"))
        self.assertEqual(len([s for s in self.box.grant(grant)["surfaces"] if s["kind"] == "member"]), 2)

    def test_killed_in_the_middle_of_a_fan_out(self):
        self.begin()
        self.sandbox.fault("linkedin", "slow", seconds=2, method="PUT", times=1)
        link, request, _ = self.request({"app": "li", "role": "VIEWER", "asset": f"{CANDLES},{CANDLES_US}"})
        browser = self.box.browser()
        browser.open(link)
        self.killed_while(lambda: self.approve(browser, who="ada"), lambda: self.calls("PUT", "adAccountUsers"))
        self.advance(600)
        item, = self.wait_items(request, "granted")
        self.assertEqual(len(item["grants"]), 2)
        self.assertEqual([len(self.calls("PUT", a)) for a in (CANDLES, CANDLES_US)], [1, 1])

    def test_one_bad_account_never_fails_the_other(self):
        self.begin()
        _, request, _ = self.ask(asset=f"507000333,{CANDLES},999")
        item, = self.wait_items(request, "granted")
        self.assertEqual(len(item["grants"]), 1)
        self.assertEqual({p["id"]: p["problem"] for p in item["problems"]},
                         {"507000333": "ROLE_TOO_LOW", "999": "NOT_YOURS"})

    def test_one_of_two_is_refused_on_the_way(self):
        """The other one is shared all the same, the refused one goes on by hand, and no step is done twice."""
        self.begin()
        self.sandbox.fault("linkedin", "partial", match=f"*{CANDLES_US}*", times=0)
        _, request, _ = self.ask(asset=f"{CANDLES},{CANDLES_US}")
        item, = self.wait_items(request, "waiting")
        self.assertEqual((self.role(CANDLES), self.role(CANDLES_US)), ("CAMPAIGN_MANAGER", None))
        self.assertIn(f"Open ad account {CANDLES_US}", item["steps"][0]["text"])
        self.act("set_role", account=CANDLES_US, member="bo", role="CAMPAIGN_MANAGER")
        self.advance(2 * 3600)
        item, = self.wait_items(request, "granted")
        self.assertEqual(sorted(self.box.grant(g)["asset"]["id"] for g in item["grants"]), [CANDLES, CANDLES_US])
        self.assertEqual([len(self.calls("PUT", a)) for a in (CANDLES, CANDLES_US)], [1, 1])

    def test_the_role_is_lower_than_asked(self):
        self.begin()
        self.sandbox.fault("linkedin", "role_downgrade", times=0)
        grant, = self.granted(asset=CANDLES)
        seen = self.box.grant(grant)
        self.assertEqual((seen["role"]["asked"], seen["role"]["granted"]), ("CAMPAIGN_MANAGER", "VIEWER"))
        self.assertIn("ROLE_DIFFERS", seen["warnings"])
        self.assertEqual([d["what"] for d in self.rpc.call("grant.verify", grant=grant)["differences"]], ["role"])

    def test_more_accounts_than_are_looked_at(self):
        self.box.limits.update(request_deadline_ms=45000, quiet_ms=45000)  # forty pages, at LinkedIn's pace
        self.begin()
        state = self.sandbox.state("linkedin")
        many = [str(600000000 + i) for i in range(2001)]
        self.sandbox.world("linkedin", accounts=state["accounts"] + [{**state["accounts"][0], "id": i} for i in many])
        self.sandbox.world("linkedin", users=state["users"] + [{**state["users"][0], "account": i} for i in many])
        link, request, browser = self.ask()
        item, = self.wait_items(request, "waiting", seconds=60)
        self.assertGreater(len(item["steps"][0]["choices"]), 1990)
        self.hand_in(browser, link, ad_accounts=[CANDLES])
        item, = self.wait_items(request, "granted", seconds=60)
        self.assertIn("ACCOUNTS_TOO_MANY", self.box.grant(item["grants"][0])["warnings"])

    def test_who_may_not_is_told(self):
        self.begin()
        _, request, _ = self.ask(who="dora", asset=CANDLES)
        item, = self.items(request)
        self.assertEqual((item["grants"], [p["problem"] for p in item["problems"]]), ([], ["ROLE_TOO_LOW"]))
        self.assertIsNone(self.role(CANDLES))

    def test_the_agency_itself(self):
        self.begin()
        _, request, _ = self.ask(who="bo", asset=CANDLES)
        self.assertEqual(self.items(request)[0]["grants"], [])

    # -- hands

    def test_by_hand(self):
        self.begin()
        _, request, _ = self.ask(mode="manual", asset=CANDLES)
        self.wait_items(request, "waiting")
        self.advance(3600)
        self.wait_items(request, "waiting")
        self.act("set_role", account=CANDLES, member="bo", role="CAMPAIGN_MANAGER")
        self.advance(2 * 3600)
        item, = self.wait_items(request, "granted")
        grant, = item["grants"]
        self.assertEqual(self.rpc.call("grant.verify", grant=grant)["differences"], [])
        self.act("set_role", account=CANDLES, member="bo", role="VIEWER")
        self.assertIn("role", [d["what"] for d in self.rpc.call("grant.verify", grant=grant)["differences"]])

    def test_a_business_manager_owns_it(self):
        self.begin()
        self.act("set_account", account=CANDLES_US, business_manager=True)
        _, request, _ = self.ask(asset=f"{CANDLES},{CANDLES_US}")
        item, = self.wait_items(request, "waiting")
        self.assertEqual([s["title"] for s in item["steps"]], ["Add the agency in Campaign Manager"])
        self.act("set_role", account=CANDLES_US, member="bo", role="CAMPAIGN_MANAGER")
        self.advance(2 * 3600)
        item, = self.wait_items(request, "granted")
        self.assertEqual(len(item["grants"]), 2)

    def test_an_address_that_is_not_confirmed(self):
        self.begin(connect="eli")
        _, request, _ = self.ask(asset=CANDLES)
        item, = self.wait_items(request, "waiting")
        self.assertEqual([s["title"] for s in item["steps"]], ["The agency confirms an e-mail address"])

    # -- tokens

    def test_a_hub_must_be_connected_first(self):
        self.begin(connect=None)
        _, request, _ = self.ask(asset=CANDLES)
        self.assertEqual(self.items(request)[0]["grants"], [])
        self.assertFalse(self.calls("GET", "/authorization"))

    def test_the_year_s_end(self):
        """Refreshes never pass the 365th day; the client is asked before it."""
        self.begin(keep_client_token=True)
        grant, = self.granted(asset=CANDLES)
        horizon = self.box.grant(grant)["layers"]["token"]["horizon_at"]
        self.advance(200 * DAY)
        seen = self.box.grant(grant)
        self.assertEqual((seen["state"], seen["layers"]["token"]["horizon_at"][:10]), ("active", horizon[:10]))
        self.advance(155 * DAY)
        self.assertNotEqual(self.box.grant(grant)["state"], "active")
        self.assertEqual(self.box.grant(grant)["layers"]["token"]["horizon_at"][:10], horizon[:10])

    def test_superseded_tokens_end_too(self):
        self.begin(keep_client_token=True)
        grant, = self.granted(asset=CANDLES)
        for _ in range(2):
            self.rpc.call("grant.refresh", grant=grant)
        ends = self.whole_end(grant)
        self.assertEqual({k: s["state"] for k, s in ends.items()}, {"member": "closed", "token": "closed"})
        living = [t for t in self.sandbox.state("linkedin")["tokens"].values()
                  if t["member"] == "ada" and t["state"] == "live" and t["kind"] == "access"]
        self.assertEqual(living, [])

    def test_the_member_removes_the_app(self):
        self.begin(keep_client_token=True)
        grant, = self.granted(asset=CANDLES)
        self.act("remove_app", member="ada")
        seen = self.rpc.call("grant.verify", grant=grant)["observed"]
        self.assertEqual((seen["alive"], seen["native"]), (False, "present"))

    def test_no_programmatic_refresh(self):
        world = self.sandbox.state("linkedin")
        self.sandbox.world("linkedin", apps=[{**a, "refresh": False} for a in world["apps"]])
        self.begin(keep_client_token=True)
        grant, = self.granted(asset=CANDLES)
        self.assertEqual(self.box.grant(grant)["layers"]["token"]["shape"], "window")

    def test_a_token_that_is_too_young(self):
        """Machines that have not heard of it call it revoked; five seconds later they know it."""
        self.box.limits.update(request_deadline_ms=30000, quiet_ms=30000, family_lease_ms=30000)
        self.begin()
        self.switch("revoked_first_seconds", 4)
        grant, = self.granted(asset=CANDLES)
        self.assertEqual(self.box.grant(grant)["state"], "active")

    # -- the operator

    def test_the_version_was_retired(self):
        self.begin(api_version="202511")
        self.switch("oldest_version", "202601")
        _, request, _ = self.ask(asset=CANDLES)
        item, = self.items(request)
        self.assertEqual(item["grants"], [])
        self.assertIn("API version 202511", self.box.log_tail(20000))

    def test_the_day_s_calls_are_used_up(self):
        self.begin()
        grant, = self.granted(asset=CANDLES)
        for args in ({}, {"retry_after": "1"}):
            self.sandbox.fault("linkedin", "throttle", times=1, match="*/rest/adAccountUsers/(account*", **args)
            with self.assertRaises(RpcError) as caught:
                self.rpc.call("grant.verify", grant=grant)
            self.assertEqual(caught.exception.reason, "OP_LIMITED")
        self.assertEqual(self.rpc.call("grant.verify", grant=grant)["differences"], [])

    def test_each_role_is_shown_and_what_was_shown_is_asked(self):
        self.begin()
        self.assertEqual(self.roles_are_shown("li", asset=CANDLES),
                         {None: "VIEWER", "share": "VIEWER", "manual": "VIEWER", "token": None})
        grant, = self.granted(asset=CANDLES, role=None)
        self.assertEqual((self.role(CANDLES), self.box.grant(grant)["role"]["asked"]), ("VIEWER", "VIEWER"))

    def test_an_account_by_its_urn(self):
        self.begin()
        urn = "urn:li:sponsoredAccount:"
        grants = self.granted(asset=f"{urn}{CANDLES};{CANDLES_US}")
        self.assertEqual(sorted(self.box.grant(g)["asset"]["id"] for g in grants), [CANDLES, CANDLES_US])
        grant, = self.granted(asset=urn + CANDLES, mode="token", role=None)
        self.assertEqual(self.box.grant(grant)["asset"]["id"], CANDLES)
        self.rpc.call("grant.token", grant=grant)

    def test_half_done_and_taken_back(self):
        """One account is shared, the other waits for a hand: the seat that was given goes when the request does."""
        self.begin()
        self.act("set_account", account=CANDLES_US, business_manager=True)
        _, request, _ = self.ask(asset=f"{CANDLES},{CANDLES_US}")
        self.wait_items(request, "waiting")
        self.assertEqual((self.role(CANDLES), self.role(CANDLES_US)), ("CAMPAIGN_MANAGER", None))
        self.rpc.call("request.cancel", request=request)
        self.assertEqual(self.withdrawn("closed"), [("member", "closed")])
        self.assertIsNone(self.role(CANDLES))

    def test_the_day_is_waited_out(self):
        """Refused again and again: after a few minutes nothing is asked until midnight of UTC, and then it goes on by itself."""
        self.begin()
        self.sandbox.fault("linkedin", "throttle", times=0, method="GET", match="*/rest/adAccountUsers*")
        _, request, _ = self.ask(asset=CANDLES)
        self.wait_items(request, "waiting")
        for _ in range(12):
            self.advance(60)
            self.settle()
        asked = len(self.calls("GET", "/rest/adAccountUsers"))
        self.assertLess(asked, 6)
        now = self.now()
        for _ in range(3):
            self.advance((DAY - now % DAY - 60) // 3)
            self.settle()
        self.assertEqual(len(self.calls("GET", "/rest/adAccountUsers")), asked)
        self.sandbox.call("DELETE", "/faults")
        self.advance(60 + 900 + 10)
        self.wait_items(request, "granted")

    def test_the_scope_set_trap(self):
        """Another set of scopes than the app's would end the tokens of everybody who is asked: refused when the agency asks."""
        self.begin()
        with self.assertRaises(RpcError) as refused:
            self.request({"app": "li", "asset": CANDLES, "scope": "r_ads"})
        self.assertEqual(refused.exception.reason, "OP_CONFIG")
        self.assertIn("another set of scopes", str(refused.exception))
        self.request({"app": "li", "asset": CANDLES, "scope": "rw_ads r_basicprofile r_ads"})
        self.assertEqual(len(self.calls("GET", "/authorization")), 1)  # the hub's

    def test_the_scope_set_trap_of_two_apps(self):
        """One registration configured twice, with a set of scopes each: refused where it is configured."""
        self.begin()
        self.box.apps["li2"] = {**self.box.apps["li"], "scope_set": "openid"}
        self.box.write_config()
        checked = self.rpc.call("daemon.check", file=self.box.config_path)
        self.assertEqual([(e["reason"], "must have one scope_set" in e["text"]) for e in checked["errors"]],
                         [("CONFIG_VALUE_INVALID", True)])
        with self.assertRaises(RpcError) as refused:
            self.rpc.call("daemon.reload")
        self.assertEqual(refused.exception.reason, "CONFIG_VALUE_INVALID")
        self.box.apps["li2"]["client_id"] = "86demo2client"
        self.box.write_config()
        self.assertTrue(self.rpc.call("daemon.check", file=self.box.config_path)["ok"])


if __name__ == "__main__":
    import unittest
    unittest.main()
