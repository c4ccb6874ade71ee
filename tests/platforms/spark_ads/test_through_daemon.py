#!/usr/bin/env python3
"""TikTok Spark Ads from ask to end, through grantd and against the sandbox: codes as people paste them, a creator's
consent, an account by QR; what creators do meanwhile, lost answers, a crash among the codes."""
import datetime
import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "daemon"))
from harness import wait_for  # noqa: E402
from sandboxed import PlatformTest  # noqa: E402

HUB, HOUSE, NOOR = "7301112223334445556", "7311000000000000777", "7222000000000000005"
DAWN, WHEELS, FRIENDS, STORY = (f"744012345678901234{i}" for i in (5, 6, 7, 8))
ANA, ANA_ASSET, DAY = "oid_Zq81-xW4", "7355000000000000020", 86400


class Spark(PlatformTest):
    PLATFORM, APP = "tiktok", "spark"

    def begin(self):
        app = self.sandbox.state("tiktok")["apps"][0]
        self.sandbox.world("tiktok", apps=[dict(app, secret="made-up-secret-of-the-app")])
        self.app("spark", "spark_ads", app_id=app["app_id"], secret=self.secret("tt", "made-up-secret-of-the-app"))
        self.hub("agency", "spark_ads", app="spark", id=HUB, advertisers=HOUSE)
        self.box.start()
        self.connect("agency", who=NOOR)

    def ask(self, mode="code", asset=None, who=None, deny=False, **params):
        return super().ask(role="SPARK_ADS", mode=mode, asset=asset, params=params, who=who, deny=deny)

    def code(self, item, days=30):
        self.act("make_code", item_id=item, days=days)
        codes = [c for c in self.sandbox.state("tiktok")["spark_codes"] if c["item_id"] == item]
        return next(v for v in codes[-1].values() if isinstance(v, str) and v.startswith("#"))

    def posts(self, item):
        return {self.box.grant(g)["asset"]["id"]: g for g in item["grants"]}

    def test_the_conditions_are_shown_before_anybody_agrees(self):
        """In each mode, whether the agency named the role or not; the agency's own consent is for none."""
        self.begin()
        self.assertEqual(set(self.roles_are_shown("spark").values()), {"SPARK_ADS"})
        for mode in ("code", "creator", "qr"):
            for role in ({"role": "SPARK_ADS"}, {}):
                with self.subTest(mode=mode, **role):
                    link, _, _ = self.request({"app": "spark", "mode": mode, **role})
                    browser = self.box.browser()
                    browser.open(link)
                    for words in ("use the posts that you give, and no others", "switch on Ad settings, Ad authorization",
                                  "posts public, of a supported kind, with their final caption and disclosures", "log in as you"):
                        self.assertIn(words, browser.page.text)
        browser = self.box.browser()
        browser.open(self.rpc.call("hub.connect", hub="agency")["link"])
        self.assertNotIn("use the posts", browser.page.text)

    def test_codes_from_ask_to_end(self):
        self.begin()
        link, request, browser = self.ask(creator="ride.with.ana")
        item, = self.wait_items(request, "waiting")
        self.assertEqual([s["title"] for s in item["steps"]],
                         ["Before you start", "Make a code for each post", "Hand in the codes"])
        one, two = self.code(DAWN), self.code(WHEELS)
        self.hand_in(browser, link, codes=f"1. \u201c{one}\u201d\r\n 2. '{two[:40]}\r\n{two[40:]}'\r\n#nope")
        item, = self.wait_items(request, "granted")
        self.assertEqual([p["problem"] for p in item["problems"]], ["CODE_FORM"])
        posts = self.posts(item)
        self.assertEqual(sorted(posts), [DAWN, WHEELS])
        seen = self.box.grant(posts[DAWN])
        self.assertEqual((seen["state"], seen["layers"]["token"]), ("active", None))
        self.assertEqual(self.rpc.call("grant.verify", grant=posts[DAWN])["differences"], [])
        self.assertEqual(self.rpc.call("hub.scan", hub="agency")["reached"], 2)
        for post in posts.values():
            self.assertEqual(self.states(self.whole_end(post)), {"code": "closed"})
        self.assertEqual(self.rpc.call("hub.scan", hub="agency")["reached"], 0)
        for code in (one, two):
            self.assertNotIn(code, self.box.log_tail())

    def test_one_bad_code_never_fails_the_others(self):
        self.begin()
        link, request, browser = self.ask()
        codes = [self.code(item) for item in (DAWN, FRIENDS, STORY)]
        old = self.code(WHEELS, 7)
        self.act("delete_code", item_id=WHEELS)
        made_up = "#" + "Qq0" * 20 + "w="
        self.hand_in(browser, link, codes="\r\n".join(codes + [old, made_up]))
        item, = self.wait_items(request, "granted")
        self.assertEqual(sorted(self.posts(item)), [DAWN])
        words = [p["problem"] for p in item["problems"]]
        self.assertEqual(len(words), 4, item["problems"])
        self.assertIn("POST_PRIVATE", words)
        self.assertIn("POST_TYPE", words)

    def test_only_bad_codes_and_then_a_good_one(self):
        self.begin()
        link, request, browser = self.ask()
        self.hand_in(browser, link, codes="#" + "Qq0" * 20 + "w=")
        wait_for(lambda: self.items(request)[0]["state"] == "open", 15)
        browser.open(link)
        self.approve(browser)
        self.hand_in(browser, link, codes=self.code(DAWN))
        self.wait_items(request, "granted")

    def test_a_post_that_is_not_indexed_yet(self):
        self.begin()
        link, request, browser = self.ask()
        self.sandbox.fault("tiktok", "not_indexed", times=1)
        self.hand_in(browser, link, codes=self.code(DAWN))
        self.wait_items(request, "waiting")
        self.advance(60)
        self.wait_items(request, "granted")

    def test_a_lost_answer_redeems_once(self):
        self.begin()
        link, request, browser = self.ask()
        self.sandbox.fault("tiktok", "lost", method="POST", match="*/tt_video/authorize/", times=1)
        self.hand_in(browser, link, codes=self.code(DAWN))
        self.advance(600)
        self.wait_items(request, "granted")
        self.assertEqual(len(self.calls("POST", "tt_video/authorize")), 1)

    def test_killed_among_the_codes(self):
        self.begin()
        link, request, browser = self.ask()
        one, two = self.code(DAWN), self.code(WHEELS)
        self.sandbox.fault("tiktok", "slow", seconds=2, method="POST", match="*/tt_video/authorize/", times=1)
        self.killed_while(lambda: self.hand_in(browser, link, codes=one + "\n" + two),
                          lambda: self.calls("POST", "tt_video/authorize"))
        self.advance(600)
        item, = self.wait_items(request, "granted")
        self.assertEqual(sorted(self.posts(item)), [DAWN, WHEELS])
        self.assertEqual(len(self.calls("POST", "tt_video/authorize")), 2)

    def test_the_window(self):
        self.begin()
        now = self.now()
        link, request, browser = self.ask(campaign_end=day(now + 60 * DAY))
        self.hand_in(browser, link, codes=self.code(DAWN, 30))
        item, = self.wait_items(request, "granted")
        grant, = item["grants"]
        self.assertIn("WINDOW_ENDS_BEFORE_CAMPAIGN", self.box.grant(grant)["warnings"])
        self.act("extend_code", item_id=DAWN, days=60)
        self.rpc.call("grant.verify", grant=grant)
        self.assertGreater(self.box.grant(grant)["window"]["ends_at"], day(now + 80 * DAY))
        self.assertEqual(self.box.grant(grant)["warnings"], {})
        self.advance(91 * DAY)
        wait_for(lambda: self.box.grant(grant)["state"] != "active", 20)

    def test_what_the_creator_does_meanwhile_is_seen(self):
        self.begin()
        link, request, browser = self.ask()
        self.hand_in(browser, link, codes=self.code(DAWN))
        item, = self.wait_items(request, "granted")
        grant, = item["grants"]
        self.act("set_post", item_id=DAWN, status="ONLY_AUTHOR_SEE")
        self.rpc.call("grant.verify", grant=grant)
        self.assertIn("POST_NOT_USABLE", self.box.grant(grant)["warnings"])
        self.act("delete_code", item_id=DAWN)
        self.rpc.call("grant.verify", grant=grant)
        self.assertEqual(self.box.grant(grant)["layers"]["native"]["status"], "gone")

    def test_a_live_authorisation_that_stays(self):
        self.begin()
        self.sandbox.option("tiktok", name="unbind_live", value=False)
        link, request, browser = self.ask()
        self.hand_in(browser, link, codes=self.code(DAWN))
        item, = self.wait_items(request, "granted")
        self.assertEqual(self.states(self.whole_end(item["grants"][0])), {"code": "manual"})

    def test_a_code_that_can_only_be_looked_at_afterwards(self):
        self.begin()
        self.sandbox.option("tiktok", name="info_needs_authorize", value=True)
        link, request, browser = self.ask()
        self.hand_in(browser, link, codes=self.code(DAWN))
        self.wait_items(request, "granted")

    def test_a_creator_from_consent_to_end(self):
        self.begin()
        self.sandbox.option("tiktok", name="empty_bodies", value=True)
        link, request, browser = self.ask("creator", who=ANA)
        item, = self.wait_items(request, "waiting")
        choices = next(s["choices"] for s in item["steps"] if s.get("choices"))
        self.assertIn(DAWN, [c["value"] for c in choices])
        self.hand_in(browser, link, posts=[DAWN, WHEELS])
        item, = self.wait_items(request, "granted")
        posts = self.posts(item)
        self.assertEqual(sorted(posts), [DAWN, WHEELS])
        self.assertEqual(self.rpc.call("grant.verify", grant=posts[DAWN])["differences"], [])
        self.advance(5 * DAY)
        wait_for(lambda: self.calls("POST", "tt_user/oauth2/refresh_token"), 20)
        self.rpc.call("grant.verify", grant=posts[DAWN])
        self.assertEqual(self.box.grant(posts[DAWN])["state"], "active")
        first, last = self.states(self.whole_end(posts[DAWN])), self.states(self.whole_end(posts[WHEELS]))
        self.assertEqual((first["code"], first["authorization"]), ("closed", "closed"))
        self.assertEqual(last, {"code": "closed", "authorization": "closed", "token": "closed"})

    def test_a_creator_whose_post_cannot_be_used(self):
        self.begin()
        _, request, _ = self.ask("creator", asset=f"{STORY},{DAWN}", who=ANA)
        item, = self.wait_items(request, "granted")
        posts = self.posts(item)
        self.assertEqual([p for p, g in posts.items() if self.box.grant(g)["state"] == "active"], [DAWN])
        self.assertEqual([p["id"] for p in item["problems"]], [STORY])
        self.assertEqual(self.withdrawn_of(item, STORY), {"authorization": "closed"})  # its code was made for nothing

    def test_a_code_that_was_made_for_nothing_is_deleted(self):
        """TikTok makes the code of one post and then refuses to redeem it: the other post is granted, and the code goes."""
        self.begin()
        self.sandbox.fault("tiktok", "code", code=40002, message="this post cannot be used for ads", method="POST",
                           match="*/tt_video/authorize/", times=1)
        _, request, _ = self.ask("creator", asset=f"{DAWN},{WHEELS}", who=ANA)
        item, = self.wait_items(request, "granted")
        self.assertEqual([p["id"] for p in item["problems"]], [DAWN])
        wait_for(lambda: self.calls("POST", "business/post/authorize/delete"), 10)
        self.assertEqual(self.withdrawn_of(item, DAWN), {"authorization": "closed"})
        active = [g for g in map(self.box.grant, item["grants"]) if g["state"] == "active"]
        self.assertEqual([g["asset"]["id"] for g in active], [WHEELS])
        self.rpc.call("grant.token", grant=active[0]["id"])

    def withdrawn_of(self, item, post):
        grant, = [g for g in item["grants"] if self.box.grant(g)["asset"]["id"] == post]
        self.wait_state(grant, "ended")
        return {s["kind"]: s["state"] for s in self.box.grant(grant)["surfaces"] if s["kind"] != "token"}

    def test_what_no_source_says_may_be_either_way(self):
        """Open questions of the facts, the other way round: 4, 5, and empty answers."""
        self.begin()
        for name, value in (("creator_rotates", True), ("deleted_code_shows", ""), ("zero_page_info", True),
                            ("null_data", True), ("empty_bodies", True), ("code_single_advertiser", True)):
            self.sandbox.option("tiktok", name=name, value=value)
        _, request, _ = self.ask("creator", asset=DAWN, who=ANA)
        item, = self.wait_items(request, "granted")
        grant, = item["grants"]
        for _ in range(3):
            refreshed = len(self.calls("POST", "tt_user/oauth2/refresh_token"))
            self.advance(DAY)
            wait_for(lambda: len(self.calls("POST", "tt_user/oauth2/refresh_token")) > refreshed, 20)
        self.act("delete_code", item_id=DAWN)
        self.rpc.call("grant.verify", grant=grant)
        self.assertEqual(self.box.grant(grant)["layers"]["native"]["status"], "gone")
        ends = self.states(self.whole_end(grant))
        self.assertEqual(ends, {"code": "closed", "authorization": "gone", "token": "closed"})

    def test_a_creator_who_removes_the_app(self):
        self.begin()
        _, request, _ = self.ask("creator", asset=DAWN, who=ANA)
        item, = self.wait_items(request, "granted")
        grant, = item["grants"]
        self.act("remove_creator_app", open_id=ANA)
        self.rpc.call("grant.verify", grant=grant)
        wait_for(lambda: self.box.grant(grant)["state"] != "active", 15)
        ends = self.states(self.whole_end(grant))
        self.assertEqual((ends["code"], ends["authorization"]), ("closed", "manual"))

    def test_a_creator_who_declines(self):
        self.begin()
        _, request, _ = self.ask("creator", who=ANA, deny=True)
        self.wait_items(request, "declined")

    def test_an_account_by_qr(self):
        self.begin()
        _, request, _ = self.ask("qr", creator="@ride.with.ana")
        item, = self.wait_items(request, "waiting")
        url = next(s["qr"] for s in item["steps"] if s.get("qr"))
        self.act("scan_qr", url=url, open_id=ANA)
        self.advance(600)
        item, = self.wait_items(request, "granted")
        grant, = item["grants"]
        self.assertEqual(self.box.grant(grant)["asset"]["id"], ANA_ASSET)
        self.assertEqual(self.rpc.call("grant.verify", grant=grant)["differences"], [])
        self.assertEqual(self.states(self.whole_end(grant)), {"link": "closed", "account": "closed"})
        self.assertEqual(self.rpc.call("hub.scan", hub="agency")["reached"], 0)

    def test_an_account_by_qr_that_its_creator_names(self):
        self.begin()
        link, request, browser = self.ask("qr")
        item, = self.wait_items(request, "waiting")
        self.act("scan_qr", url=next(s["qr"] for s in item["steps"] if s.get("qr")), open_id=ANA)
        self.advance(600)
        wait_for(lambda: any(s.get("ask") == "account" for s in self.items(request)[0]["steps"]), 15)
        self.hand_in(browser, link, account=ANA_ASSET)
        item, = self.wait_items(request, "granted")
        self.act("leave_bc", bc_id=HUB, asset_id=ANA_ASSET)
        self.rpc.call("grant.verify", grant=item["grants"][0])
        self.assertEqual(self.box.grant(item["grants"][0])["layers"]["native"]["status"], "gone")


def day(unix):
    return datetime.datetime.fromtimestamp(unix, datetime.timezone.utc).strftime("%Y-%m-%d")


if __name__ == "__main__":
    unittest.main()
