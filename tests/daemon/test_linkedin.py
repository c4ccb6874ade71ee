#!/usr/bin/env python3
"""LinkedIn from ask to end, against the sandbox."""
from sandboxed import SandboxTest

ACCOUNT = "507000111"


class LinkedIn(SandboxTest):
    def begin(self, **options):
        self.app("li", "linkedin", client_id="86demo1client", client_secret=self.secret("li", "WPL_AP1.demo"), **options)
        self.hub("people", "linkedin", app="li", id="kT_agency55")
        self.box.start()
        self.connect("people", who="bo")

    def grant(self):
        link, request, _ = self.request({"app": "li", "role": "CAMPAIGN_MANAGER", "asset": ACCOUNT})
        browser = self.box.browser()
        browser.open(link)
        self.approve(browser, who="ada")
        item, = self.wait_items(request, "granted")
        grant, = item["grants"]
        return grant

    def seats(self):
        users = self.sandbox.state("linkedin")["users"]
        return [u["member"] for u in users if u["account"] == ACCOUNT]

    def test_the_share_stays_without_the_client_s_token(self):
        self.begin()
        grant = self.grant()
        seen = self.box.grant(grant)
        self.assertEqual((seen["state"], seen["asset"]["id"]), ("active", ACCOUNT))
        self.assertEqual((seen["layers"]["native"]["status"], seen["layers"]["token"]), ("present", None))
        self.assertEqual(self.rpc.call("grant.verify", grant=grant)["differences"], [])
        scan = self.rpc.call("hub.scan", hub="people")
        self.assertEqual((scan["reached"], scan["unexplained"]), (1, 0), scan)
        self.refused("GRANT_NO_TOKEN", "grant.token", grant=grant)
        # Without the client's token only a person can take the seat back, and that is said.
        surface = self.whole_end(grant)["member"]
        self.assertEqual(surface["state"], "manual")
        self.assertIn("Campaign Manager", surface["step"])
        self.assertIn("bo", self.seats())
        left = self.box.grant(grant)
        self.assertEqual((left["state"], left["reason"], left["owner"]), ("ended", "SURFACE_LEFT", "client"))
        self.assertEqual(left["account"]["id"], "qPdemo7Zx1")  # who approved is known without the token
        self.assertIn(grant, [f["grant"] for f in self.rpc.call("daemon.doctor")["findings"]])
        self.refused("GRANT_ENDED", "grant.token", grant=grant)
        # The client does it by hand: the daily look sees it, and nothing is left.
        users = [u for u in self.sandbox.state("linkedin")["users"] if u["member"] != "bo"]
        self.sandbox.world("linkedin", users=users)
        self.advance(86400)
        left = self.box.grant(grant)
        self.assertEqual((left["state"], left["reason"]), ("ended", "GRANT_ENDED"))
        self.assertEqual([s["state"] for s in left["surfaces"]], ["gone"])
        self.assertEqual(self.rpc.call("daemon.doctor")["findings"], [])

    def test_an_order_repeated_looks_again(self):
        self.begin()
        grant = self.grant()
        self.rpc.call("grant.revoke", grant=grant)
        self.rpc.call("grant.revoke", grant=grant)
        self.assertEqual(self.box.grant(grant)["reason"], "SURFACE_LEFT")
        users = [u for u in self.sandbox.state("linkedin")["users"] if u["member"] != "bo"]
        self.sandbox.world("linkedin", users=users)
        self.rpc.call("grant.revoke", grant=grant)
        self.assertEqual(self.box.grant(grant)["reason"], "GRANT_ENDED")

    def test_an_operator_says_that_it_was_closed(self):
        self.begin()
        grant = self.grant()
        self.rpc.call("grant.revoke", grant=grant)
        self.assertEqual(self.box.grant(grant)["reason"], "SURFACE_LEFT")
        self.rpc.call("grant.confirm", grant=grant)
        left = self.box.grant(grant)
        self.assertEqual((left["reason"], left["surfaces"][0]["state"]), ("GRANT_ENDED", "closed"))

    def test_kept_token_closes_what_it_opened(self):
        self.begin(keep_client_token=True)
        grant = self.grant()
        self.rpc.call("grant.token", grant=grant)
        surfaces = self.whole_end(grant)
        self.assertEqual(surfaces["member"]["state"], "closed", surfaces)
        self.assertEqual(self.box.grant(grant)["state"], "ended")
        self.assertNotIn("bo", self.seats())

    def test_taken_back_by_the_client(self):
        """A seat that the client removed is seen at the daily look, told once, and asks for the client."""
        self.begin()
        grant = self.grant()
        users = [u for u in self.sandbox.state("linkedin")["users"] if u["member"] != "bo"]
        self.sandbox.world("linkedin", users=users)
        self.advance(2 * 86400)
        seen = self.box.grant(grant)
        self.assertEqual((seen["state"], seen["reason"]), ("needs_consent", "NATIVE_GONE"))
        drift = [e for e in self.rpc.call("event.list")["events"] if e["type"] == "grant.drift"]
        self.assertEqual(len(drift), 1, drift)
        self.assertEqual(self.rpc.call("hub.scan", hub="people")["reached"], 0)
