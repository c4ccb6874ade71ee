#!/usr/bin/env python3
"""TikTok Business Center from ask to end, through grantd and against the sandbox: each mode, what people do meanwhile,
lost answers, a crash in the middle of a fan-out, the end of every surface."""
import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "daemon"))
from harness import wait_for  # noqa: E402
from sandboxed import PlatformTest  # noqa: E402

HUB, CLIENT = "7301112223334445556", "7302223334445556667"
EU, UK, LIND = "7311000000000000042", "7311000000000000043", "7311000000000000900"
MANY = 2900
VOS, NOOR, INES = "7222000000000000001", "7222000000000000005", "7222000000000000009"


class TikTok(PlatformTest):
    PLATFORM, APP = "tiktok", "tt"

    def begin(self, connected=True, staff=None, hub=None, **options):
        app = self.sandbox.state("tiktok")["apps"][0]
        self.sandbox.world("tiktok", apps=[dict(app, secret="made-up-secret-of-the-app")])
        self.app("tt", "tiktok_bc", app_id=app["app_id"], secret=self.secret("tt", "made-up-secret-of-the-app"), **options)
        self.hub("agency", "tiktok_bc", app="tt", id=HUB, **({"staff": staff} if staff else {}), **(hub or {}))
        self.box.start()
        if connected:
            self.connect("agency", who=NOOR)

    def ask(self, asset=None, role="OPERATOR", mode="partner", who=VOS, assets=(EU, UK), deny=False, **params):
        return super().ask(role=role, mode=mode, asset=asset, params=params, who=who, assets=assets, deny=deny)

    def test_each_role_is_shown_and_what_was_shown_is_asked(self):
        self.begin()
        self.assertEqual(self.roles_are_shown("tt", asset=EU),
                         {None: "ANALYST", "partner": "ANALYST", "access": "ANALYST", "guided": "ANALYST", "oauth": None})
        grant, = self.granted(EU, role=None)
        self.assertEqual(self.box.grant(grant)["role"]["asked"], "ANALYST")
        self.assertEqual([s["role"] for s in self.sandbox.state("tiktok")["shares"]], ["ANALYST"])

    def test_share_from_ask_to_end(self):
        self.begin(staff=INES)
        grant, = self.granted(EU)
        seen = self.box.grant(grant)
        self.assertEqual((seen["state"], seen["role"]["granted"]), ("active", "OPERATOR"))
        self.assertEqual(seen["layers"]["native"]["status"], "present")
        self.assertEqual({s["kind"]: s["id"] for s in seen["surfaces"] if s["kind"] != "token"},
                         {"partner_asset": CLIENT, "partner": CLIENT, "member": INES})
        self.assertEqual(self.rpc.call("grant.verify", grant=grant)["differences"], [])
        self.assertEqual(self.rpc.call("hub.scan", hub="agency")["reached"], 1)
        ends = self.whole_end(grant)
        self.assertEqual(self.states(ends), {"partner_asset": "closed", "partner": "closed", "member": "closed",
                                             "token": "closed"}, ends)
        self.assertEqual(self.rpc.call("hub.scan", hub="agency")["reached"], 0)

    def test_members_with_roles_of_their_own(self):
        """A lower role for a member than was asked of the client, and a finance role that stays the agency's matter."""
        self.begin()
        grant, = self.granted(EU, staff=INES, staff_role="ANALYST", finance_role="MANAGER")
        state = self.sandbox.state("tiktok")
        row, = [a for a in state["assignments"] if a["user_id"] == INES]
        self.assertEqual((row["asset_id"], row["role"]), (EU, "ANALYST"), row)
        finance = lambda s: next(m["finance_role"] for b in s["bcs"] for m in b["members"] if m["user_id"] == INES)
        self.assertEqual(finance(state), "MANAGER")
        self.assertEqual(self.box.grant(grant)["role"]["granted"], "OPERATOR")
        self.assertEqual(self.states(self.whole_end(grant))["member"], "closed")
        state = self.sandbox.state("tiktok")
        self.assertEqual(([a for a in state["assignments"] if a["user_id"] == INES], finance(state)), ([], "MANAGER"))

    def test_the_client_chooses(self):
        self.begin()
        link, request, browser = self.ask(role="ANALYST")
        item, = self.wait_items(request, "waiting")
        self.assertEqual([c["value"] for c in item["steps"][0]["choices"]], [EU, UK])
        self.hand_in(browser, link, ad_accounts=[EU, UK])
        item, = self.wait_items(request, "granted")
        grants = {self.box.grant(g)["asset"]["id"]: g for g in item["grants"]}
        self.assertEqual(sorted(grants), [EU, UK])
        self.assertEqual(len(self.calls("POST", "bc/partner/add")), 1)
        ends = self.states(self.whole_end(grants[EU]))
        self.assertEqual((ends["partner_asset"], ends["partner"]), ("closed", "closed"))
        self.assertEqual(self.calls("POST", "oauth2/revoke_token") + self.calls("POST", "bc/partner/delete"), [])
        self.assertEqual(self.rpc.call("grant.verify", grant=grants[UK])["differences"], [])
        self.assertEqual(self.states(self.whole_end(grants[UK])),
                         {"partner_asset": "closed", "partner": "closed", "token": "closed"})
        self.assertEqual(len(self.calls("POST", "bc/partner/delete")), 1)

    def test_two_items_share_one_consent(self):
        self.begin()
        link, request, _ = self.request({"app": "tt", "role": "OPERATOR", "mode": "partner", "asset": EU},
                                        {"app": "tt", "role": "ANALYST", "mode": "partner", "asset": UK})
        browser = self.box.browser()
        browser.open(link)
        self.approve(browser, who=VOS, assets=(EU, UK))
        first, second = (self.box.grant(i["grants"][0]) for i in self.wait_items(request, "granted"))
        self.assertEqual([(g["asset"]["id"], g["role"]["granted"]) for g in (first, second)],
                         [(EU, "OPERATOR"), (UK, "ANALYST")])
        self.assertEqual(len(self.calls("POST", "oauth2/access_token")), 2)  # the hub's and the client's
        self.whole_end(first["id"])
        self.assertEqual(self.rpc.call("grant.verify", grant=second["id"])["differences"], [])
        self.assertEqual(set(self.states(self.whole_end(second["id"])).values()), {"closed"})
        self.assertEqual(self.rpc.call("hub.scan", hub="agency")["reached"], 0)

    def test_an_account_that_was_not_ticked(self):
        self.begin()
        _, request, _ = self.ask(f"{EU}, {UK}", assets=(UK,))
        item, = self.wait_items(request, "granted")
        self.assertIn(self.box.grant(item["grants"][0])["asset"]["id"], (EU, UK))

    def test_the_client_declines(self):
        self.begin()
        _, request, _ = self.ask(EU, deny=True)
        self.wait_items(request, "declined")

    def test_the_share_has_to_be_accepted(self):
        self.begin()
        self.sandbox.option("tiktok", name="partner_acceptance", value=True)
        _, request, _ = self.ask(EU)
        item, = self.wait_items(request, "waiting")
        self.assertIn("accept the partner", item["steps"][0]["title"])
        self.act("accept_partner", bc_id=CLIENT, partner_id=HUB)
        self.advance(600)
        self.wait_items(request, "granted")
        self.assertEqual(len(self.calls("POST", "bc/partner/add")), 1)

    def test_a_share_that_nobody_accepted_is_taken_back(self):
        self.begin()
        self.sandbox.option("tiktok", name="partner_acceptance", value=True)
        _, request, _ = self.ask(EU)
        self.wait_items(request, "waiting")
        self.assertEqual(len(self.sandbox.state("tiktok")["shares"]), 1)
        self.rpc.call("request.cancel", request=request)
        self.withdrawn("closed", "gone")
        self.assertEqual(self.sandbox.state("tiktok")["shares"], [])
        self.assertEqual(self.items(request)[0]["state"], "cancelled")

    def test_a_lost_answer_shares_once(self):
        self.begin()
        self.sandbox.fault("tiktok", "lost", method="POST", match="*/bc/partner/add/", times=1)
        _, request, _ = self.ask(EU)
        wait_for(lambda: self.calls("POST", "bc/partner/add"), 15)
        self.advance(600)
        self.wait_items(request, "granted")
        self.assertEqual(len(self.calls("POST", "bc/partner/add")), 1)

    def test_limits_and_halves_are_gone_through(self):
        self.begin()
        self.sandbox.fault("tiktok", "partial", times=1)
        grants = self.granted(f"{EU}, {UK}")
        self.assertEqual(sorted(self.box.grant(g)["asset"]["id"] for g in grants), [EU, UK])

    def test_the_role_is_lower_than_asked(self):
        self.begin()
        self.sandbox.fault("tiktok", "role_downgrade", times=1)
        grant, = self.granted(EU, role="ADMIN")
        seen = self.box.grant(grant)
        self.assertEqual((seen["role"]["asked"], seen["role"]["granted"]), ("ADMIN", "ANALYST"))
        self.assertIn("ROLE_LOWER", seen["warnings"])

    def test_linked_elsewhere_goes_on(self):
        self.begin()
        self.sandbox.fault("tiktok", "linked_elsewhere", times=1)
        _, request, _ = self.ask(EU)
        item, = self.wait_items(request, "waiting")
        self.act("share_account", advertiser_id=EU, partner_id=HUB, role="OPERATOR")
        self.advance(600)
        self.wait_items(request, "granted")

    def test_a_crash_in_the_middle_of_the_fan_out(self):
        self.begin()
        self.sandbox.fault("tiktok", "slow", method="POST", match="*/bc/partner/add/", times=1, seconds=5)
        link, request, _ = self.request({"app": "tt", "role": "OPERATOR", "mode": "partner", "asset": f"{EU}, {UK}"})
        browser = self.box.browser()
        browser.open(link)
        self.killed_while(lambda: self.approve(browser, who=VOS, assets=(EU, UK)),
                          lambda: self.calls("POST", "bc/partner/add"))
        self.advance(600)
        item, = self.wait_items(request, "granted")
        self.assertEqual(sorted(self.box.grant(g)["asset"]["id"] for g in item["grants"]), [EU, UK])
        self.assertEqual(len(self.calls("POST", "bc/partner/add")), 1)

    def test_asked_by_the_agency(self):
        self.begin(staff=INES)
        _, request, _ = self.ask(LIND, mode="access")
        self.wait_items(request, "waiting")
        self.act("file_request", bc_id=HUB, advertiser_id=LIND, role="OPERATOR")
        self.advance(600)
        self.assertEqual(self.items(request)[0]["state"], "waiting")
        self.act("approve_request", bc_id=HUB, advertiser_id=LIND)
        self.advance(3600)
        item, = self.wait_items(request, "granted")
        grant, = item["grants"]
        self.assertEqual(self.rpc.call("grant.verify", grant=grant)["differences"], [])
        ends = self.whole_end(grant)
        self.assertEqual(self.states(ends), {"member": "closed", "access": "manual"}, ends)
        self.assertIn("TikTok has no call", ends["access"]["step"])

    def test_what_no_source_says_may_be_either_way(self):
        """Open questions of the facts, the other way round: 10, 15, and empty answers."""
        self.begin(staff=INES)
        for name, value in (("keyword_matches_ids", False), ("zero_page_info", True), ("null_data", True),
                            ("callback_names", "code"), ("scope_error", 40130)):
            self.sandbox.option("tiktok", name=name, value=value)
        self.act("file_request", bc_id=HUB, advertiser_id=LIND, role="OPERATOR")
        self.act("approve_request", bc_id=HUB, advertiser_id=LIND)
        _, request, _ = self.ask(LIND, mode="access")
        self.advance(600)
        item, = self.wait_items(request, "granted")
        self.assertEqual(self.rpc.call("grant.verify", grant=item["grants"][0])["differences"], [])
        grant, = self.granted(EU)
        self.assertEqual(self.rpc.call("hub.scan", hub="agency")["reached"], 2)
        self.assertEqual(set(self.states(self.whole_end(grant)).values()), {"closed"})

    def test_limits_are_waited_for(self):
        self.begin()
        self.sandbox.fault("tiktok", "qps", match="*/bc/asset/admin/get/", times=2)
        _, request, _ = self.ask(EU)
        for _ in range(6):
            self.advance(120)
        item, = self.wait_items(request, "granted")
        self.sandbox.fault("tiktok", "restricted", match="*/bc/partner/asset/delete/", times=1)
        grant, = item["grants"]
        self.rpc.call("grant.revoke", grant=grant)
        self.advance(3600)
        wait_for(lambda: {s["kind"]: s["state"] for s in self.box.grant(grant)["surfaces"]}["partner_asset"] == "closed", 20)

    def test_the_owner_rejects(self):
        self.begin()
        self.act("file_request", bc_id=HUB, advertiser_id=LIND, role="OPERATOR")
        self.act("reject_request", bc_id=HUB, advertiser_id=LIND)
        _, request, _ = self.ask(LIND, mode="access")
        self.advance(600)
        wait_for(lambda: "REJECTED" in str(self.items(request)[0]), 15)

    def test_shared_by_hand(self):
        self.begin()
        link, request, browser = self.ask(mode="guided")
        self.wait_items(request, "waiting")
        self.act("share_account", advertiser_id=EU, partner_id=HUB, role="OPERATOR")
        self.hand_in(browser, link, client_bc="7302223334445550001")
        self.wait_items(request, "waiting")
        self.hand_in(browser, link, client_bc=CLIENT)
        item, = self.wait_items(request, "granted")
        ends = self.whole_end(item["grants"][0])
        self.assertEqual(set(self.states(ends)), {"partner_asset"}, ends)

    def test_the_limit_of_accounts_counts_what_partners_share(self):
        self.begin(hub={"account_limit": 3})
        self.assertNotIn("ACCOUNTS_NEAR_LIMIT", self.rpc.call("hub.scan", hub="agency")["warnings"])
        self.granted(f"{EU},{UK}")
        warnings = self.rpc.call("hub.scan", hub="agency")["warnings"]
        self.assertIn("holds 3 ad accounts, TikTok allows 3", warnings["ACCOUNTS_NEAR_LIMIT"])

    def test_a_client_with_many_accounts(self):
        """Pages and batches over some runs; more than a list on a page shows."""
        self.begin()
        accounts = self.sandbox.state("tiktok")["accounts"]
        many = [str(7311000000000010000 + i) for i in range(MANY)]
        self.sandbox.world("tiktok", accounts=accounts + [dict(accounts[0], advertiser_id=a, name="Shop " + a) for a in many])
        _, request, _ = self.ask(assets=many)
        item, = self.wait_items(request, "waiting")
        self.assertNotIn("choices", [k for s in item["steps"] for k, v in s.items() if v])
        self.rpc.call("grant.submit", request=request, item=item["id"], inputs=[{"ad_accounts": "all"}])
        item, = self.wait_items(request, "granted", seconds=200)
        self.assertEqual(len(item["grants"]), MANY)
        self.assertEqual(len(self.calls("POST", "bc/partner/add")), -(-MANY // 50))
        scan = self.rpc.call("hub.scan", hub="agency")
        self.assertEqual((scan["reached"], list(scan["warnings"])), (MANY, ["ACCOUNTS_NEAR_LIMIT"]))

    def test_every_account_of_a_long_list_is_ticked(self):
        self.begin()
        accounts = self.sandbox.state("tiktok")["accounts"]
        many = [str(7311000000000010000 + i) for i in range(200)]
        self.sandbox.world("tiktok", accounts=accounts + [dict(accounts[0], advertiser_id=a, name="Shop " + a) for a in many])
        link, request, browser = self.ask(assets=many)
        item, = self.wait_items(request, "waiting")
        self.assertEqual(len(item["steps"][0]["choices"]), 200)
        page = self.hand_in(browser, link, ad_accounts=many)
        self.assertEqual(page.status, 200)
        item, = self.wait_items(request, "granted", seconds=60)
        self.assertEqual(len(item["grants"]), 200)

    def test_what_the_client_does_meanwhile_is_seen(self):
        self.begin()
        grant, = self.granted(EU)
        self.act("share_account", advertiser_id=EU, partner_id=HUB, role="ANALYST")
        self.assertIn("role", str(self.rpc.call("grant.verify", grant=grant)["differences"]))
        self.act("unshare_account", advertiser_id=EU, partner_id=HUB)
        self.rpc.call("grant.verify", grant=grant)
        self.assertEqual(self.box.grant(grant)["layers"]["native"]["status"], "gone")

    def test_the_token_is_dropped_when_the_option_says_so(self):
        self.begin(keep_client_token=False)
        grant, = self.granted(EU)
        wait_for(lambda: self.calls("POST", "oauth2/revoke_token"), 15)
        self.assertIsNone(self.box.grant(grant)["layers"]["token"])
        self.assertEqual(self.rpc.call("grant.verify", grant=grant)["differences"], [])
        ends = self.whole_end(grant)
        self.assertIn(ends["partner_asset"]["state"], ("closed", "manual"))

    def test_ids_as_they_are_pasted(self):
        self.begin()
        grants = self.granted(f' "{EU}"\n; {UK} ', mode="oauth", role=None)
        self.assertEqual(sorted(self.box.grant(g)["asset"]["id"] for g in grants), [EU, UK])

    def test_only_a_token(self):
        self.begin(connected=False)
        grants = self.granted(mode="oauth", role=None)
        self.assertEqual(len(grants), 2)
        self.assertTrue(self.rpc.call("grant.token", grant=grants[0])["access_token"].startswith("ltk_"))
        self.act("remove_app", user_id=VOS)
        self.rpc.call("grant.verify", grant=grants[0])
        wait_for(lambda: self.box.grant(grants[0])["state"] != "active", 15)

    def test_a_hub_of_somebody_else(self):
        self.begin(connected=False)
        link = self.rpc.call("hub.connect", hub="agency")["link"]
        browser = self.box.browser()
        browser.open(link)
        self.approve(browser, VOS)
        self.assertNotEqual(self.rpc.call("hub.get", hub="agency")["hub"]["state"], "ready")


if __name__ == "__main__":
    unittest.main()
