#!/usr/bin/env python3
"""Google Ads from ask to end, through a real grantd and against the sandbox."""
import contextlib
import json
import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "daemon"))
from harness import RpcError, has_faults, wait_for  # noqa: E402
from sandboxed import PlatformTest  # noqa: E402

BAKERY, SECOND, MANAGER = "1234567890", "5550009999", "9001112222"


class GoogleAds(PlatformTest):
    PLATFORM, APP = "google", "goog"

    def begin(self, **options):
        self.app("goog", "google_ads", client_id="77-abc.apps.googleusercontent.com",
                 client_secret=self.secret("goog", "GOCSPX-demo"), **options)
        self.hub("mcc", "google_ads", app="goog", id=MANAGER, agency_email="ops@agency.example")
        self.box.start()
        self.connect("mcc", who="ops@agency.example")

    def ask(self, *items, who="owner@bakery.example", **more):
        return super().ask(*items, who=who, **more)

    def came_of(self, request):
        item, = self.wait_items(request, "granted")
        return item["grants"]

    def links(self):
        return {l["client"]: l["status"] for l in self.sandbox.state("google")["links"]}

    def test_each_role_is_shown_and_what_was_shown_is_asked(self):
        self.begin()
        self.assertEqual(self.roles_are_shown("goog", asset=BAKERY),
                         {None: "MANAGER", "link": "MANAGER", "link_manual": "MANAGER", "user": "READ_ONLY",
                          "user_manual": "READ_ONLY", "token": None})
        _, request, _ = self.ask(asset=BAKERY, mode="user")
        self.wait_items(request, "waiting")
        invitation, = self.sandbox.state("google")["invitations"]
        self.assertEqual(invitation["role"], "READ_ONLY")

    def test_a_link_stays_without_the_client_s_token(self):
        self.begin()
        _, request, _ = self.ask(asset=BAKERY)
        grant, = self.came_of(request)
        seen = self.box.grant(grant)
        self.assertEqual((seen["state"], seen["asset"]["id"], seen["asset"]["name"]), ("active", BAKERY, "Bakery EU"))
        self.assertEqual((seen["layers"]["native"]["status"], seen["layers"]["token"]), ("present", None))
        self.assertEqual(self.links(), {BAKERY: "ACTIVE"})
        self.assertEqual(self.rpc.call("grant.verify", grant=grant)["differences"], [])
        scan = self.rpc.call("hub.scan", hub="mcc")
        self.assertEqual((scan["reached"], scan["unexplained"]), (1, 0), scan)
        surfaces = self.whole_end(grant)
        self.assertEqual(surfaces["partner"]["state"], "closed", surfaces)
        self.assertEqual(self.links(), {BAKERY: "INACTIVE"})
        self.assertEqual(self.box.grant(grant)["state"], "ended")

    def test_two_accounts_of_which_the_client_chooses_one(self):
        self.begin()
        link, request, browser = self.ask()
        item, = self.wait_items(request, "waiting")
        self.assertEqual([c["value"] for c in item["steps"][0]["choices"]], [BAKERY, SECOND])
        self.hand_in(browser, link, accounts=[SECOND])
        grant, = self.came_of(request)
        self.assertEqual(self.box.grant(grant)["asset"]["id"], SECOND)
        self.assertEqual(self.links(), {SECOND: "ACTIVE"})

    def test_a_customer_id_as_people_write_it(self):
        self.begin()
        for mode in ("link", "token"):
            _, request, _ = self.ask(asset="123-456-7890", mode=mode)
            for grant in self.came_of(request):
                self.assertEqual(self.box.grant(grant)["asset"]["id"], BAKERY)

    def test_both_accounts_in_one_item_and_each_ends_alone(self):
        self.begin()
        _, request, _ = self.ask(asset=f"{BAKERY},{SECOND}")
        grants = {self.box.grant(g)["asset"]["id"]: g for g in self.came_of(request)}
        self.assertEqual(self.links(), {BAKERY: "ACTIVE", SECOND: "ACTIVE"})
        self.whole_end(grants[BAKERY])
        self.assertEqual(self.links(), {BAKERY: "INACTIVE", SECOND: "ACTIVE"})
        self.assertEqual(self.box.grant(grants[SECOND])["state"], "active")

    def test_taken_back_by_the_client(self):
        """A manager that the client removed is seen at the daily look."""
        self.begin()
        _, request, _ = self.ask(asset=BAKERY)
        grant, = self.came_of(request)
        self.act("unlink", manager=MANAGER, client=BAKERY)
        self.advance(2 * 86400)
        seen = self.box.grant(grant)
        self.assertEqual((seen["state"], seen["reason"]), ("needs_consent", "NATIVE_GONE"))
        self.assertEqual(self.whole_end(grant)["partner"]["state"], "gone")

    def test_accepted_by_hand(self):
        self.begin()
        _, request, _ = self.ask(asset=BAKERY, mode="link_manual")
        item, = self.wait_items(request, "waiting")
        self.assertEqual(item["steps"][0]["copy"], MANAGER)
        self.assertEqual(self.links(), {BAKERY: "PENDING"})
        self.act("accept_link", manager=MANAGER, client=BAKERY)
        self.advance(120)
        grant, = self.came_of(request)
        self.assertEqual(self.box.grant(grant)["layers"]["native"]["status"], "present")

    def test_one_consent_for_many_items(self):
        self.begin()
        link, request, _ = self.request({"app": "goog", "asset": BAKERY}, {"app": "goog", "asset": SECOND})
        browser = self.box.browser()
        browser.open(link)
        self.approve(browser, who="owner@bakery.example")
        self.wait_items(request, "granted")
        self.assertEqual(self.links(), {BAKERY: "ACTIVE", SECOND: "ACTIVE"})
        consents = [r for r in self.sandbox.seen()["requests"] if r["path"] == "/o/oauth2/v2/auth"]
        self.assertEqual(len(consents), 2)  # the hub's and the client's

    def test_what_is_linked_asks_nobody(self):
        """An account that is linked already needs no consent, so no token is made for it."""
        self.begin()
        self.ask(asset=BAKERY)
        before = self.sandbox.seen()["requests"][-1]["n"]
        link, request, _ = self.request({"app": "goog", "asset": BAKERY})
        browser = self.box.browser()
        browser.open(link)
        self.approve(browser)
        self.advance(60)
        self.came_of(request)
        after = [r["path"] for r in self.sandbox.seen()["requests"] if r["n"] > before]
        self.assertTrue([p for p in after if p.endswith(BAKERY + "/googleAds:search")], after)
        self.assertEqual([p for p in after if p.startswith("/o/oauth2/") or "Links:mutate" in p], [])

    def test_weeks_go_by(self):
        """The hub's token is renewed and the link is looked at; nothing is asked of anybody."""
        self.begin()
        _, request, _ = self.ask(asset=BAKERY)
        grant, = self.came_of(request)
        self.advance(4 * 86400)
        self.assertEqual(self.box.grant(grant)["state"], "active")
        self.assertEqual(self.rpc.call("hub.get", hub="mcc")["hub"]["state"], "ready")
        self.assertEqual(self.rpc.call("grant.verify", grant=grant)["differences"], [])

    def test_declined(self):
        self.begin()
        link, request, _ = self.request({"app": "goog", "asset": BAKERY})
        browser = self.box.browser()
        browser.open(link)
        self.approve(browser, who="owner@bakery.example", deny=True)
        item, = self.items(request)
        self.assertEqual((item["grants"], self.links()), ([], {}))
        self.assertEqual((item["state"], item["reason"]), ("declined", "CONSENT_DENIED"), item)

    def test_a_seat_with_a_role(self):
        self.begin()
        _, request, _ = self.ask(asset=BAKERY, mode="user", role="STANDARD")
        item, = self.wait_items(request, "waiting")
        self.assertEqual(item["steps"][0]["title"], "Wait for the agency")
        invitation, = self.sandbox.state("google")["invitations"]
        self.assertEqual((invitation["email"], invitation["role"]), ("ops@agency.example", "STANDARD"))
        self.act("accept_invitation", customer=BAKERY, id=invitation["id"])
        self.advance(2 * 86400)
        grant, = self.came_of(request)
        seen = self.box.grant(grant)
        self.assertEqual((seen["role"]["granted"], seen["layers"]["native"]["status"]), ("STANDARD", "present"))
        self.assertEqual(self.rpc.call("grant.verify", grant=grant)["differences"], [])
        surfaces = self.whole_end(grant)
        self.assertEqual((surfaces["member"]["state"], surfaces["token"]["state"]), ("closed", "manual"), surfaces)
        self.assertIn("end_all", surfaces["token"]["step"])
        users = self.sandbox.state("google")["user_access"]
        self.assertEqual([u for u in users if u["customer"] == BAKERY and u["email"] == "ops@agency.example"], [])

    def invitations_sent(self):
        """To whom, as often as it was done."""
        return [r["body"]["operation"]["create"]["clientCustomer"][-10:] for r in self.calls("POST", "customerClientLinks:mutate")]

    def test_one_of_two_cannot_be_linked(self):
        self.begin()
        self.sandbox.fault("google", "partial", after=1, times=0, value="TOO_MANY_MANAGERS")
        _, request, _ = self.ask(asset=f"{BAKERY},{SECOND}")
        item, = self.wait_items(request, "granted")
        self.assertEqual([self.box.grant(g)["asset"]["id"] for g in item["grants"]], [BAKERY])
        self.assertEqual([(p["id"], p["problem"]) for p in item["problems"]], [(SECOND, "TOO_MANY_MANAGERS")])
        self.assertEqual(self.links(), {BAKERY: "ACTIVE"})

    def test_one_of_two_meets_a_limit(self):
        """It is waited for: what was done stays done, and is not done again."""
        self.begin()
        self.sandbox.fault("google", "partial", after=1, times=1)
        _, request, _ = self.ask(asset=f"{BAKERY},{SECOND}")
        self.wait_items(request, "waiting")
        self.assertEqual(self.links(), {BAKERY: "ACTIVE"})
        self.advance(2 * 3600)
        self.assertEqual(len(self.came_of(request)), 2)
        self.assertEqual(self.links(), {BAKERY: "ACTIVE", SECOND: "ACTIVE"})
        self.assertEqual(self.invitations_sent(), [BAKERY, SECOND, SECOND])

    def seat(self, downgrades):
        self.begin()
        self.sandbox.fault("google", "role_downgrade", times=downgrades)
        _, request, _ = self.ask(asset=BAKERY, mode="user", role="STANDARD")
        self.wait_items(request, "waiting")
        invitation, = self.sandbox.state("google")["invitations"]
        self.act("accept_invitation", customer=BAKERY, id=invitation["id"])
        self.advance(3600)
        grant, = self.came_of(request)
        return grant, self.box.grant(grant)["role"]

    def test_the_role_is_lower_than_asked(self):
        grant, role = self.seat(downgrades=0)
        self.assertEqual((role["asked"], role["granted"]), ("STANDARD", "READ_ONLY"))
        self.assertEqual([d["what"] for d in self.rpc.call("grant.verify", grant=grant)["differences"]], ["role"])

    def test_a_lower_role_is_raised_with_the_client_s_consent(self):
        _, role = self.seat(downgrades=1)
        self.assertEqual((role["asked"], role["granted"]), ("STANDARD", "STANDARD"))

    def test_a_token_and_its_end_only_when_ordered(self):
        self.begin()
        _, request, _ = self.ask(mode="token", asset=BAKERY)
        grant, = self.came_of(request)
        self.assertTrue(self.rpc.call("grant.token", grant=grant)["access_token"].startswith("ya29."))
        self.rpc.call("grant.refresh", grant=grant)
        self.assertEqual(self.rpc.call("grant.verify", grant=grant)["differences"], [])
        self.assertEqual(self.box.ctl("grant", "revoke", grant, "--inputs", "end_all", check=False).returncode, 2)
        self.assertEqual(self.box.grant(grant)["state"], "active")  # a slip of the hand ends nothing
        self.box.ctl("grant", "revoke", grant, "--inputs", "end_all=yes")
        surfaces = {one["kind"]: one for one in self.box.grant(grant)["surfaces"]}
        self.assertEqual(surfaces["token"]["state"], "closed", surfaces)
        wait_for(lambda: self.box.grant(grant)["state"] == "ended")

    def test_linked_already_needs_nobody_s_hand(self):
        self.begin()
        _, request, _ = self.ask(asset=BAKERY)
        self.came_of(request)
        _, request, _ = self.ask(asset=BAKERY, mode="link_manual")
        self.advance(60)
        self.came_of(request)

    def test_refused_by_hand_and_asked_again(self):
        self.begin()
        link, request, browser = self.ask(asset=BAKERY, mode="link_manual")
        self.wait_items(request, "waiting")
        self.act("refuse_link", manager=MANAGER, client=BAKERY)
        self.advance(120)
        item = wait_for(lambda: next((i for i in self.items(request) if i["state"] != "waiting"), None))
        self.assertEqual((item["state"], item["reason"]), ("open", "INVITATION_DECLINED"), item)
        browser.open(link)
        self.approve(browser)
        self.act("accept_link", manager=MANAGER, client=BAKERY)
        self.advance(120)
        self.came_of(request)

    def test_no_administrator_consents_another_one_accepts(self):
        """Whoever consented may not accept: the invitation waits for somebody who may."""
        self.begin()
        _, request, _ = self.ask(who="carl@candles.example", asset="7770001111")
        item, = self.wait_items(request, "waiting")
        self.assertEqual(item["steps"][0]["copy"], MANAGER)
        self.act("accept_link", manager=MANAGER, client="7770001111")
        self.advance(120)
        self.came_of(request)

    def test_a_second_administrator_approves_the_seat(self):
        self.begin()
        self.sandbox.option("google", name="mpa", value=True)
        _, request, _ = self.ask(asset=BAKERY, mode="user", role="STANDARD")
        item, = self.wait_items(request, "waiting")
        self.assertEqual(item["steps"][0]["title"], "A second administrator approves")
        review, = self.sandbox.state("google")["reviews"]
        self.act("resolve_review", customer=BAKERY, id=review["id"], status="APPROVED")
        self.advance(120)
        item, = self.wait_items(request, "waiting")
        self.assertEqual(item["steps"][0]["title"], "Wait for the agency")
        invitation, = self.sandbox.state("google")["invitations"]
        self.act("accept_invitation", customer=BAKERY, id=invitation["id"])
        self.advance(3600)
        grant, = self.came_of(request)
        self.assertEqual(self.whole_end(grant)["member"]["state"], "manual")  # the removal waits for approval, too

    def test_the_manager_may_not_unlink(self):
        self.begin()
        self.sandbox.option("google", name="manager_login_can_unlink", value=False)
        _, request, _ = self.ask(asset=BAKERY)
        grant, = self.came_of(request)
        surface = self.whole_end(grant)["partner"]
        self.assertEqual(surface["state"], "manual")
        self.assertIn("Managers", surface["step"])
        self.assertEqual(self.links(), {BAKERY: "ACTIVE"})

    def test_the_client_s_kept_token_unlinks(self):
        self.begin(keep_client_token=True)
        self.sandbox.option("google", name="manager_login_can_unlink", value=False)
        _, request, _ = self.ask(asset=BAKERY)
        grant, = self.came_of(request)
        self.assertEqual(self.whole_end(grant)["partner"]["state"], "closed")
        self.assertEqual(self.links(), {BAKERY: "INACTIVE"})

    def test_an_invitation_that_nobody_accepted_is_cancelled_with_its_request(self):
        self.begin()
        _, request, _ = self.ask(asset=f"{BAKERY},{SECOND}", mode="link_manual")
        self.wait_items(request, "waiting")
        self.assertEqual(self.links(), {BAKERY: "PENDING", SECOND: "PENDING"})
        self.rpc.call("request.cancel", request=request)
        self.withdrawn("closed")
        self.assertEqual(self.links(), {BAKERY: "CANCELED", SECOND: "CANCELED"})
        self.assertEqual(self.items(request)[0]["state"], "cancelled")

    def test_declined_on_the_page_while_it_waits(self):
        """Also when the consent that came with it could not accept, and when the daemon dies in between."""
        self.begin()
        link, request, browser = self.ask(who="carl@candles.example", asset="7770001111")
        self.wait_items(request, "waiting")
        self.sandbox.fault("google", "slow", seconds=2, times=1, match="*/customerClientLinks:mutate")
        self.decline(browser, link)
        wait_for(lambda: self.links()["7770001111"] == "CANCELED", 10)
        self.box.daemon.kill9()
        self.box.start()
        self.withdrawn("closed", "gone")
        self.assertEqual(self.items(request)[0]["state"], "declined")

    def test_accepted_at_the_last_moment_ends_as_a_link(self):
        self.begin()
        _, request, _ = self.ask(asset=BAKERY, mode="link_manual")
        self.wait_items(request, "waiting")
        self.sandbox.act("google", "accept_link", manager=MANAGER, client=BAKERY)
        self.rpc.call("request.cancel", request=request)
        self.withdrawn("closed")
        self.assertEqual(self.links(), {BAKERY: "INACTIVE"})

    def new_client(self):
        return self.rpc.call("client.create", name="Bakery")["client"]["id"]

    def waits_for_one(self, client, **item):
        _, request, _ = self.ask(asset=BAKERY, client=client, **item)
        self.wait_items(request, "waiting")
        return request

    def two_for_one_account(self, **item):
        """Two requests of one client for the same account, both waiting: they share its one invitation."""
        client = self.new_client()
        return client, [self.waits_for_one(client, **item) for _ in range(2)]

    def ended_surfaces(self):
        left = wait_for(lambda: [g for g in map(self.box.grant, (g["id"] for g in self.grants())) if g["state"] == "ended"])
        return {s["kind"]: s["state"] for g in left for s in g["surfaces"]}

    def test_an_invitation_that_another_item_waits_for_stays(self):
        self.begin()
        client, (first, second) = self.two_for_one_account(mode="link_manual")
        self.rpc.call("request.cancel", request=first)
        surfaces = self.ended_surfaces()
        self.assertEqual(surfaces["manager_invitation"], "closed", surfaces)
        self.assertEqual(self.links(), {BAKERY: "PENDING"})
        self.act("accept_link", manager=MANAGER, client=BAKERY)
        self.advance(120)
        grant, = self.came_of(second)
        self.assertEqual(self.box.grant(grant)["state"], "active")
        self.assertEqual(self.whole_end(grant)["partner"]["state"], "closed")
        self.assertEqual(self.links(), {BAKERY: "INACTIVE"})

    def test_the_last_of_two_items_takes_the_invitation_with_it(self):
        self.begin()
        for how in ("one by one", "at once"):
            client, requests = self.two_for_one_account(mode="link_manual")
            for request in requests:
                self.rpc.call("request.cancel", request=request)
                if how == "one by one":
                    wait_for(lambda: all(self.box.grant(g["id"])["state"] == "ended" for g in self.grants(client=client)))
            wait_for(lambda: self.links() == {BAKERY: "CANCELED"}, 10)

    def test_a_link_that_another_item_got_stays(self):
        """The second item's consent accepted the invitation; the first one is taken back before it has looked."""
        self.begin()
        client = self.rpc.call("client.create", name="Bakery")["client"]["id"]
        _, first, _ = self.ask(asset=BAKERY, client=client, mode="link_manual")
        self.wait_items(first, "waiting")
        _, second, _ = self.ask(asset=BAKERY, client=client)
        grant, = self.came_of(second)
        self.rpc.call("request.cancel", request=first)
        surfaces = self.ended_surfaces()
        self.assertEqual(surfaces["manager_invitation"], "gone", surfaces)
        self.assertEqual(self.links(), {BAKERY: "ACTIVE"})
        self.assertEqual(self.rpc.call("grant.verify", grant=grant)["differences"], [])

    def test_a_seat_that_another_item_waits_for_stays(self):
        self.begin()
        _, (first, second) = self.two_for_one_account(mode="user", role="STANDARD")
        self.rpc.call("request.cancel", request=first)
        surfaces = self.ended_surfaces()
        self.assertEqual(surfaces["user_invitation"], "closed", surfaces)
        invitation, = self.sandbox.state("google")["invitations"]
        self.act("accept_invitation", customer=BAKERY, id=invitation["id"])
        self.advance(2 * 86400)
        grant, = self.came_of(second)
        self.assertEqual(self.box.grant(grant)["role"]["granted"], "STANDARD")

    def look_for_days(self, days):
        for _ in range(2 * days):
            self.advance(12 * 3600)
            self.settle()

    def test_wait_days_of_one_item_leave_the_invitation_to_the_other(self):
        """The older one has waited long enough: what both share stays until the younger one has, too."""
        self.begin(wait_days=2)
        for clients in (1, 2):
            older = self.new_client()
            first = self.waits_for_one(older, mode="link_manual")
            self.look_for_days(1)
            second = self.waits_for_one(older if clients == 1 else self.new_client(), mode="link_manual")
            self.look_for_days(1)
            self.advance(3700)
            wait_for(lambda: self.items(first)[0]["reason"] == "NOT_ACCEPTED_IN_TIME", 10)
            wait_for(lambda: [g["state"] for g in self.grants(client=older)] == ["ended"], 10)
            self.assertEqual((self.links(), self.items(second)[0]["state"]), ({BAKERY: "PENDING"}, "waiting"))
            self.look_for_days(2)
            wait_for(lambda: self.items(second)[0]["reason"] == "NOT_ACCEPTED_IN_TIME", 10)
            wait_for(lambda: self.links() == {BAKERY: "CANCELED"}, 10)

    def test_two_clients_who_are_asked_for_one_account_share_its_invitation(self):
        self.begin()
        for mode, kind, invitations in (("link_manual", "manager_invitation", lambda: self.links() == {BAKERY: "PENDING"}),
                                        ("user", "user_invitation", lambda: len(self.sandbox.state("google")["invitations"]) == 1)):
            clients = [self.new_client() for _ in range(2)]
            first, second = (self.waits_for_one(c, mode=mode, role="STANDARD" if mode == "user" else None) for c in clients)
            self.rpc.call("request.cancel", request=first)
            wait_for(lambda: [g["state"] for g in self.grants(client=clients[0])] == ["ended"], 10)
            self.assertTrue(invitations())
            self.rpc.call("request.cancel", request=second)
            wait_for(lambda: [g["state"] for g in self.grants(client=clients[1])] == ["ended"], 10)
            self.assertFalse(invitations())

    def test_who_is_asked_for_the_same_account_is_told(self):
        """Two client records for one account, however it is written: nothing is refused, and the agency is told."""
        self.begin()
        one, two = self.new_client(), self.new_client()
        def ask(client, asset):
            made = self.rpc.call("request.create", client=client, items=[{"app": "goog", "mode": "link_manual", "asset": asset}])
            return made["request"]["id"], made["notices"]
        first, none = ask(one, f"123-456-7890,{SECOND}")
        self.assertEqual((none, ask(two, "7770001111")[1]), ([], []))
        second, (told,) = ask(two, BAKERY)
        self.assertEqual((told["reason"], told["asset"], told["platform"]), ("ACCOUNT_ASKED_ALREADY", BAKERY, "google_ads"))
        self.assertEqual((told["request"], told["client"]), (first, one))
        self.assertIn("of client " + one, told["text"])
        third, notices = ask(two, "555-000-9999," + BAKERY)
        self.assertEqual({(n["asset"], n["request"]) for n in notices}, {(SECOND, first), (BAKERY, first), (BAKERY, second)})
        for request in (first, second, third):
            self.rpc.call("request.cancel", request=request)
        self.assertEqual(ask(one, BAKERY)[1], [])

    def test_a_client_is_not_forgotten_before_what_it_was_asked_is_taken_back(self):
        """No grant and no token, but an invitation that only grantd knows: client.erase waits for its end."""
        self.begin()
        client = self.rpc.call("client.create", name="Bakery")["client"]["id"]
        _, request, _ = self.ask(asset=BAKERY, client=client, mode="link_manual")
        self.wait_items(request, "waiting")
        with self.assertRaises(RpcError) as refused:
            self.rpc.call("client.erase", client=client, name="Bakery")
        self.assertEqual(refused.exception.reason, "CLIENT_HAS_GRANTS")
        self.assertIn(request, str(refused.exception))
        self.assertEqual(self.links(), {BAKERY: "PENDING"})
        self.rpc.call("request.cancel", request=request)
        self.withdrawn("closed")
        self.assertEqual(self.rpc.call("client.erase", client=client, name="Bakery")["client"]["state"], "erased")
        self.assertEqual(self.links(), {BAKERY: "CANCELED"})

    @unittest.skipUnless(has_faults(), "a build without fault points")
    def test_a_client_is_not_forgotten_while_a_cancelled_attempt_is_left(self):
        """The daemon died after the cancelling, and comes back without the app that could close what was opened."""
        self.begin()
        client = self.rpc.call("client.create", name="Bakery")["client"]["id"]
        _, request, _ = self.ask(asset=BAKERY, client=client, mode="link_manual")
        self.wait_items(request, "waiting")
        self.box.daemon.stop()
        self.box.start("flow.left:kill9")
        with contextlib.suppress(Exception):  # it dies before it answers
            self.rpc.call("request.cancel", request=request)
        self.assertEqual(self.box.daemon.wait_dead(), -9)
        app, hubs = self.box.apps.pop("goog"), self.box.extra
        self.app("other", "google_ads", client_id="1-x.apps.googleusercontent.com", client_secret=self.secret("other", "GOCSPX-other"))
        self.box.extra = ""
        self.box.start()
        with self.assertRaises(RpcError) as refused:
            self.rpc.call("client.erase", client=client, name="Bakery")
        self.assertEqual(refused.exception.reason, "CONFLICT")
        self.assertIn("still being closed", str(refused.exception))
        self.box.daemon.stop()
        self.box.apps["goog"], self.box.extra = app, hubs
        self.box.start()
        self.withdrawn("closed")
        self.assertEqual(self.rpc.call("client.erase", client=client, name="Bakery")["client"]["state"], "erased")
        self.assertEqual(self.links(), {BAKERY: "CANCELED"})

    def test_a_seat_that_nobody_took_is_taken_back(self):
        self.begin()
        _, request, _ = self.ask(asset=BAKERY, mode="user", role="STANDARD")
        self.wait_items(request, "waiting")
        self.assertEqual(len(self.sandbox.state("google")["invitations"]), 1)
        self.rpc.call("request.cancel", request=request)
        self.assertEqual(self.withdrawn("closed"), [("user_invitation", "closed")])
        self.assertEqual(self.sandbox.state("google")["invitations"], [])

    def test_a_review_that_nobody_approved_is_taken_back(self):
        self.begin()
        self.sandbox.option("google", name="mpa", value=True)
        _, request, _ = self.ask(asset=BAKERY, mode="user", role="STANDARD")
        self.wait_items(request, "waiting")
        self.rpc.call("request.cancel", request=request)
        surfaces = dict(self.withdrawn("closed", "gone"))
        self.assertEqual(surfaces, {"review": "closed", "user_invitation": "gone"})
        self.assertEqual([r["status"] for r in self.sandbox.state("google")["reviews"]], ["REVOKED"])

    def test_waited_for_too_long(self):
        """One of two accounts is never accepted: its invitation is cancelled, and the other one is granted."""
        self.begin(wait_days=1)
        _, request, _ = self.ask(asset=f"{BAKERY},{SECOND}", mode="link_manual")
        self.wait_items(request, "waiting")
        self.sandbox.act("google", "accept_link", manager=MANAGER, client=BAKERY)
        for _ in range(3):
            self.advance(12 * 3600)
            self.settle()
        came = self.came_of(request)
        wait_for(lambda: {g["asset"]["id"]: g["state"] for g in map(self.box.grant, came)} == {BAKERY: "active", SECOND: "ended"})
        self.assertEqual([p["problem"] for p in self.items(request)[0]["problems"]], ["NOT_ACCEPTED_IN_TIME"])
        self.assertEqual(self.links(), {BAKERY: "ACTIVE", SECOND: "CANCELED"})

    def ask_for_two_hours(self, asset):
        client = self.rpc.call("client.create", name="Bakery")["client"]["id"]
        made = self.rpc.call("request.create", client=client, confirm=False, expires_in=7200,
                             items=[{"app": "goog", "mode": "link_manual", "asset": asset}])
        browser = self.box.browser()
        browser.open(made["link"])
        self.approve(browser)
        return made["request"]["id"]

    def test_the_request_has_ended(self):
        """What nobody said yes to before the request's own end is taken back, after a last look."""
        self.begin()
        request, other = (self.ask_for_two_hours(asset) for asset in (BAKERY, f"{SECOND},7770001111"))
        self.wait_items(request, "waiting")
        self.advance(2 * 3600 - 600)
        self.settle()
        self.sandbox.act("google", "accept_link", manager=MANAGER, client=SECOND)
        self.advance(3 * 3600)
        alive = [g for g in map(self.box.grant, self.came_of(other)) if g["state"] == "active"]
        self.assertEqual([g["asset"]["id"] for g in alive], [SECOND])
        self.assertEqual([(p["id"], p["problem"]) for p in self.items(other)[0]["problems"]], [("7770001111", "LINK_EXPIRED")])
        item = wait_for(lambda: next((i for i in self.items(request) if i["state"] != "waiting"), None))
        self.assertEqual((item["state"], item["reason"]), ("open", "LINK_EXPIRED"), item)
        self.assertEqual(self.rpc.call("request.get", request=request)["request"]["state"], "expired")
        wait_for(lambda: self.links() == {BAKERY: "CANCELED", SECOND: "ACTIVE", "7770001111": "CANCELED"}, 10)

    def test_an_answer_is_lost_after_the_invitation(self):
        """Nothing is invited twice: the next look finds it."""
        self.begin()
        self.sandbox.fault("google", "lost", times=1, match="*/customerClientLinks:mutate")
        link, request, browser = self.ask(asset=BAKERY)
        for _ in range(3):
            if self.items(request)[0]["state"] == "granted":
                break
            self.advance(3600)
            browser.open(link)
            self.approve(browser, who="owner@bakery.example")
        self.came_of(request)
        sent = [r for r in self.sandbox.seen()["requests"] if "customerClientLinks:mutate" in json.dumps(r)]
        self.assertEqual(len(sent), 1, sent)
        self.assertEqual(len(self.sandbox.state("google")["links"]), 1)
        self.assertEqual(self.sandbox.call("GET", "/faults")["google"], [])

    def each_answer(self, fault, **more):
        """Whatever happens to one answer, the client needs at most one more try, and there is one link in the end: what a
        try that failed had sent is taken back."""
        self.begin()
        for match in ("*/token", "*/tokeninfo", "*:listAccessibleCustomers", f"*/{MANAGER}/googleAds:search",
                      "*/customerClientLinks:mutate", f"*/{BAKERY}/googleAds:search", "*/customerManagerLinks:mutate"):
            with self.subTest(match=match):
                self.sandbox.world("google", links=[])
                link, request, _ = self.request({"app": "goog", "asset": BAKERY})
                browser = self.box.browser()
                browser.open(link)
                self.sandbox.fault("google", fault, times=1, match=match, **more)
                self.until_granted(link, request, browser)
                *before, last = [x["status"] for x in self.sandbox.state("google")["links"]]
                self.assertEqual((last, [s for s in before if s not in ("CANCELED", "INACTIVE")]), ("ACTIVE", []))
                self.assertEqual(self.sandbox.call("GET", "/faults")["google"], [])

    def test_each_answer_lost(self):
        self.each_answer("lost")

    def test_each_answer_cut(self):
        self.each_answer("cut")

    def test_each_request_dropped(self):
        self.each_answer("drop")

    def test_each_answer_garbage(self):
        self.each_answer("garbage")

    def test_each_request_refused_for_now(self):
        self.each_answer("http", status=503)

    def test_every_answer_of_the_end_gone_wrong_once(self):
        self.begin()
        for fault in ("lost", "cut", "drop", "garbage", "http"):
            for match in (f"*/{MANAGER}/googleAds:search", "*/customerManagerLinks:mutate"):
                with self.subTest(fault=fault, match=match):
                    _, request, _ = self.ask(asset=BAKERY)
                    grant, = self.came_of(request)
                    more = {"status": 503} if fault == "http" else {}
                    self.sandbox.fault("google", fault, times=1, match=match, **more)
                    self.rpc.call("grant.revoke", grant=grant)
                    self.assertEqual(self.sandbox.call("GET", "/faults")["google"], [])
                    self.advance(7200)
                    self.wait_state(grant, "ended")
                    self.assertIn(self.box.grant(grant)["surfaces"][0]["state"], ("closed", "gone"))
                    self.assertNotIn("ACTIVE", [x["status"] for x in self.sandbox.state("google")["links"]])

    def until_granted(self, link, request, browser):
        for _ in range(3):
            self.approve(browser, who="owner@bakery.example")
            self.advance(3600)
            if self.items(request)[0]["state"] == "granted":
                return
            browser.open(link)
        self.wait_items(request, "granted", seconds=1)

    def test_killed_in_the_middle_of_a_fan_out(self):
        """grantd dies while the second account is being accepted: it goes on, and no step is sent twice."""
        self.begin()
        self.sandbox.fault("google", "slow", times=1, match="*/" + SECOND + "/customerManagerLinks:mutate", seconds=2)
        link, request, _ = self.request({"app": "goog", "asset": f"{BAKERY},{SECOND}"})
        browser = self.box.browser()
        browser.open(link)
        self.killed_while(lambda: self.approve(browser, who="owner@bakery.example"),
                          lambda: self.links().get(SECOND) == "ACTIVE")
        self.advance(120)
        self.assertEqual(len(self.came_of(request)), 2)
        sent = [json.dumps(r) for r in self.sandbox.seen()["requests"]]
        self.assertEqual(sum("customerClientLinks:mutate" in r for r in sent), 2)
        self.assertEqual(sum("customerManagerLinks:mutate" in r for r in sent), 2)

    def test_an_app_in_testing_has_a_horizon(self):
        self.begin()
        clients = self.sandbox.state("google")["clients"]
        self.sandbox.world("google", clients=[{**c, "testing": True} for c in clients])
        _, request, _ = self.ask(mode="token", asset=BAKERY)
        grant, = self.came_of(request)
        seen = self.box.grant(grant)
        self.assertIsNotNone(seen["layers"]["token"]["horizon_at"], seen)

    def test_more_accounts_than_an_answer_holds(self):
        """Google's pages are of 10,000 rows and cannot be made smaller: the manager's accounts are asked for part by part."""
        self.begin()
        state = self.sandbox.state("google")
        many = [str(2000000000 + 7 * i) for i in range(2200)]
        self.sandbox.world("google", customers=state["customers"] + [
            {"id": cid, "name": "x" * 300, "status": "ENABLED", "manager": False, "test": False} for cid in many])
        self.sandbox.world("google", links=[{"manager": MANAGER, "client": cid, "id": cid, "status": "ACTIVE"} for cid in many])
        scan = self.rpc.call("hub.scan", hub="mcc")
        self.assertEqual((scan["reached"], scan["unexplained"]), (2200, 2200), {k: scan[k] for k in ("reached", "unexplained")})
        asked = [r for r in self.sandbox.seen()["requests"] if "LIMIT 1000" in json.dumps(r)]
        self.assertGreaterEqual(len(asked), 3)

    def test_more_accounts_than_an_item_may_have(self):
        self.begin()
        state = self.sandbox.state("google")
        many = [str(3000000000 + i) for i in range(801)]
        self.sandbox.world("google", customers=state["customers"] + [
            {"id": cid, "name": "One of many", "status": "ENABLED", "manager": False, "test": False} for cid in many])
        self.sandbox.world("google", user_access=state["user_access"] + [
            {"customer": cid, "user_id": cid, "email": "many@bakery.example", "role": "ADMIN", "created": 1} for cid in many])
        self.sandbox.world("google", people=state["people"] + [{"email": "many@bakery.example", "sub": "1777", "name": "Many"}])
        _, request, _ = self.ask(mode="token", who="many@bakery.example")
        item, = self.wait_items(request, "granted", seconds=60)
        self.assertEqual(len(item["grants"]), 800)
        self.assertIn("ACCOUNTS_TOO_MANY", self.box.grant(item["grants"][0])["warnings"])

    def test_quota_is_waited_for(self):
        self.begin()
        _, request, _ = self.ask(asset=BAKERY)
        grant, = self.came_of(request)
        self.sandbox.fault("google", "quota", times=1, delay="42s")
        with self.assertRaises(RpcError) as refused:
            self.rpc.call("grant.verify", grant=grant)
        self.assertEqual(refused.exception.reason, "OP_LIMITED")
        self.assertEqual(self.box.grant(grant)["layers"]["native"]["status"], "present")


if __name__ == "__main__":
    unittest.main()
