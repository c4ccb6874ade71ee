#!/usr/bin/env python3
"""What a platform can do beside plain tokens, with a platform and a server of the test's own (platforms/atlas.c,
atlas.py): several items under one consent, native access and tokens side by side, choices, codes with a verdict each,
parameters, fan-outs that a crash or an outage interrupts, second consents, hubs, and the end of all that."""
import datetime
import os
import shutil
import threading
import time
import unittest

from atlas import ORIGIN, Atlas
from harness import BUILD, GrantdTest, Rpc, RpcError, wait_for

END = (datetime.date.today() + datetime.timedelta(90)).isoformat()  # of a campaign


class AtlasTest(GrantdTest):
    ACCOUNTS = 3

    def setUp(self):
        super().setUp()
        self.atlas = Atlas(self.ACCOUNTS)
        self.addCleanup(self.atlas.stop)
        self.box.origins[ORIGIN] = self.atlas.base
        folder = os.path.join(self.box.inputs, "platforms")
        os.mkdir(folder, 0o755)
        for path in ("platforms/oauth2.so", "tests/daemon/platforms/atlas.so"):
            shutil.copy(os.path.join(BUILD, path), folder)
        self.box.platform_dir = folder
        self.box.app("atlas", platform="atlas")
        path, _ = self.box.secret_file("hub", self.atlas.hub_token)
        self.box.hubs["agency"] = {"platform": "atlas", "id": "hub1", "access_token": {"file": path}}
        self.box.start()

    def client(self):
        return self.rpc.call("client.create", name="Anna Bakery")["client"]["id"]

    def ask(self, *items, client=None, confirm=False):
        made = self.rpc.call("request.create", client=client or self.client(), confirm=confirm,
                             items=[{"app": "atlas", **item} for item in items])
        self.box.canaries.add(made["link"].rsplit("/", 1)[1].encode())
        return made["link"], made["request"]["id"]

    def approve(self, link):
        browser = self.box.browser()
        browser.open(link)
        return browser.walk(login="anna")

    def items(self, request):
        return self.rpc.call("request.get", request=request)["request"]["items"]

    def states(self, request):
        return [item["state"] for item in self.items(request)]

    def granted(self, request, seconds=10):
        wait_for(lambda: set(self.states(request)) == {"granted"}, seconds)
        return [[self.box.grant(g) for g in item["grants"]] for item in self.items(request)]

    def consent(self, *items, client=None):
        link, request = self.ask(*items, client=client)
        self.approve(link)
        return self.granted(request)

    def surfaces(self, grant):
        return {s["kind"]: s["state"] for s in self.box.grant(grant)["surfaces"]}


class Shared(AtlasTest):
    def test_one_consent_for_many_items(self):
        """Each item has a run of its own: role, asset and parameters are its own, the credential is one."""
        out = self.consent({"mode": "both", "asset": "a1", "role": "analyst"},
                           {"mode": "both", "asset": "a2,a3", "role": "manager", "params": {"campaign_end": END}})
        self.assertEqual([sorted(g["asset"]["id"] for g in one) for one in out], [["a1"], ["a2", "a3"]])
        self.assertEqual({g["role"]["asked"] for g in out[1]}, {"manager"})
        self.assertEqual((self.atlas.consents, self.atlas.count("/token")), (1, 1))
        self.assertEqual(len({g["credential"] for one in out for g in one}), 1)
        for account, role, end, insured in (("a1", "analyst", None, "false"), ("a2", "manager", END, "false"),
                                            ("a3", "manager", END, "false")):
            share = next(b for p, b in self.atlas.bodies if p == "/share" and b["account"] == account)
            self.assertEqual((share["role"], share.get("campaign_end"), share["insured"], share["partner"]),
                             (role, end, insured, "hub1"))
        grant = out[0][0]
        self.assertEqual((grant["layers"]["native"]["status"], grant["layers"]["token"]["status"]), ("present", "current"))
        self.assertEqual(self.surfaces(grant["id"]), {"partner": "open", "token": "open"})
        self.assertTrue(self.rpc.call("audit.verify")["ok"])

    def test_what_was_asked_of_all_that_is_reached(self):
        """The token reaches every account; the grant is for the one that was asked, however its id is written."""
        ((grant,),) = self.consent({"mode": "token", "asset": "a-1"})
        self.assertEqual(grant["asset"]["id"], "a1")
        link, request = self.ask({"mode": "token", "asset": "zz"})
        self.assertIn("NOTHING_GRANTED", self.approve(link).body)
        item = self.items(request)[0]
        self.assertEqual((item["state"], item["reason"], item["grants"]), ("open", "ASSET_NOT_SHARED", []))
        wait_for(lambda: len(self.atlas.living()) == 1)

    def test_modes_are_not_mixed_in_one_consent(self):
        link, request = self.ask({"mode": "token", "asset": "a1"}, {"mode": "native", "asset": "a2"})
        self.approve(link)
        wait_for(lambda: self.states(request).count("granted") == 1)
        self.approve(link)
        self.granted(request)
        self.assertEqual(self.atlas.consents, 2)

    def test_native_access_needs_no_token(self):
        """When every item of the consent has ended natively, the token is given back, and only the token."""
        out = self.consent({"mode": "native", "asset": "a1"}, {"mode": "native", "asset": "a2"})
        wait_for(lambda: not self.atlas.living())
        self.assertEqual((self.atlas.count("/revoke"), self.atlas.count("/unshare"), len(self.atlas.shares)), (1, 0, 2))
        for (grant,) in out:
            self.assertEqual((grant["state"], grant["credential"], grant["layers"]["token"]), ("active", None, None))
            self.refused("GRANT_NO_TOKEN", "grant.token", grant=grant["id"])
            seen = self.rpc.call("grant.verify", grant=grant["id"])
            self.assertEqual(seen["differences"], [])
            self.rpc.call("grant.revoke", grant=grant["id"])
            self.assertEqual(self.surfaces(grant["id"]), {"partner": "closed"})
            self.assertEqual(self.box.grant(grant["id"])["state"], "ended")
        self.assertEqual((self.atlas.shares, self.atlas.count("/revoke")), ({}, 1))

    def test_the_token_is_a_tool_until_its_last_grant_ends(self):
        ((one,), (two,)) = self.consent({"mode": "both", "asset": "a1"}, {"mode": "both", "asset": "a2"})
        self.rpc.call("grant.revoke", grant=one["id"])
        self.assertEqual(self.surfaces(one["id"]), {"partner": "closed", "token": "closed"})
        self.assertEqual((self.atlas.count("/revoke"), len(self.atlas.shares)), (0, 1))
        self.assertEqual(self.rpc.call("grant.token", grant=two["id"])["token_type"], "Bearer")
        self.rpc.call("grant.revoke", grant=two["id"], inputs={"all": "yes"})
        self.assertEqual((self.atlas.count("/revoke", all="yes"), self.atlas.shares, self.atlas.living()), (1, {}, set()))

    def test_surfaces_of_one_kind_are_told_apart(self):
        """Two partners on one grant: one is closed, the other one fails and is tried again."""
        ((grant,),) = self.consent({"mode": "both", "asset": "a1"})
        second = {"id": "s-second", "account": "a1"}
        self.atlas.shares[second["id"]] = second
        self.assertEqual(self.box.daemon.stop(), 0)
        self.box.rows("INSERT INTO surfaces (workspace, id, grant_id, kind, ref, outcome, changed_at)"
                      " VALUES ('main', ?, ?, 'partner', ?, 'open', 0)", "sf" + "z" * 26, grant["id"], second["id"])
        self.box.start()
        self.atlas.fail("/unshare", 503, 1, skip=1)
        self.rpc.call("grant.revoke", grant=grant["id"])
        states = sorted(s["state"] for s in self.box.grant(grant["id"])["surfaces"] if s["kind"] == "partner")
        self.assertEqual(states, ["closed", "failed"])
        wait_for(lambda: self.box.grant(grant["id"])["state"] == "ended", 20)
        self.assertEqual({s["state"] for s in self.box.grant(grant["id"])["surfaces"]}, {"closed"})
        self.assertEqual((self.atlas.shares, self.atlas.count("/unshare")), ({}, 3))


class Interrupted(AtlasTest):
    ACCOUNTS = 6

    def shares(self):
        return sorted(b["account"] for p, b in self.atlas.bodies if p == "/share")

    def test_a_crash_in_a_fan_out(self):
        """Killed while the fourth answer is on its way: nothing is shared twice, nothing is forgotten."""
        link, request = self.ask({"mode": "both"}, {"mode": "both", "asset": "a6", "role": "manager"})
        self.atlas.hang("/share", skip=3)
        browser = self.box.browser()
        browser.open(link)
        walking = threading.Thread(target=self.walk, args=(browser,), daemon=True)
        walking.start()
        self.assertTrue(self.atlas.held.wait(15))
        self.box.daemon.kill9()
        self.atlas.hold.set()
        walking.join(10)
        self.box.start()
        out = self.granted(request, 20)
        self.assertEqual(sorted(g["asset"]["id"] for g in out[0]), ["a1", "a2", "a3", "a4", "a5", "a6"])
        self.assertEqual([g["asset"]["id"] for g in out[1]], ["a6"])
        self.assertLessEqual(len(self.shares()), 7)
        self.assertEqual(sorted(set(self.shares())), ["a1", "a2", "a3", "a4", "a5", "a6"])
        self.assertEqual(len([a for a in self.shares() if a != "a6"]), 5)
        self.assertEqual((self.atlas.consents, self.atlas.count("/token")), (1, 1))
        self.assertEqual({tuple(sorted(self.surfaces(g["id"]))) for g in out[0]}, {("partner", "token")})

    def walk(self, browser):
        try:
            browser.walk(login="anna")
        except Exception:  # the daemon is killed under it
            pass

    def test_an_outage_in_a_fan_out(self):
        """What passes is waited for: no person has to do anything again."""
        link, request = self.ask({"mode": "both"})
        self.atlas.fail("/share", 503, 1, skip=2)
        self.approve(link)
        self.assertEqual(self.states(request), ["waiting"])
        (grants,) = self.granted(request, 20)
        self.assertEqual(len(grants), 6)
        self.assertEqual(len(self.atlas.shares), 6)
        self.assertTrue(all("6 of 8" in g["warnings"]["ACCOUNTS_NEAR_LIMIT"] for g in grants))
        told = [e for e in self.rpc.call("event.list")["events"] if e["type"] == "request.warning"]
        self.assertEqual([(e["subject"], e["data"]["warning"]) for e in told], [(request, "ACCOUNTS_NEAR_LIMIT")])
        self.assertEqual((self.atlas.consents, self.atlas.count("/token")), (1, 1))

    def test_taken_back_meanwhile(self):
        """A request that is cancelled while an item waits with its consent had: the token is given back."""
        link, request = self.ask({"mode": "choose"})
        self.approve(link)
        self.assertEqual(self.states(request), ["waiting"])
        self.assertTrue(self.atlas.living())
        self.rpc.call("request.cancel", request=request)
        wait_for(lambda: not self.atlas.living())
        self.assertEqual(self.states(request), ["cancelled"])

    def test_a_start_leaves_alone_what_is_being_set_up(self):
        link, request = self.ask({"mode": "choose"})
        self.approve(link)
        self.assertEqual(self.box.daemon.stop(), 0)
        self.box.start()
        item = self.items(request)[0]
        self.assertEqual((item["state"], item["steps"][0]["ask"]), ("waiting", "accounts"))
        self.rpc.call("grant.submit", request=request, item=item["id"], inputs=[{"accounts": "a2\na4"}])
        (grants,) = self.granted(request)
        self.assertEqual(sorted(g["asset"]["id"] for g in grants), ["a2", "a4"])
        self.assertEqual(self.rpc.call("grant.token", grant=grants[0]["id"])["token_type"], "Bearer")
        self.assertEqual((self.atlas.count("/revoke"), self.atlas.count("/token")), (0, 1))

    def test_a_token_that_expired_meanwhile_is_renewed_first(self):
        self.atlas.expires_in = 8
        link, request = self.ask({"mode": "choose"})
        self.approve(link)
        self.atlas.expires_in = 600
        item = self.items(request)[0]
        before = self.atlas.count("/token", grant_type="refresh_token")
        self.rpc.call("grant.submit", request=request, item=item["id"], inputs=[{"accounts": "a1"}])
        self.granted(request)
        self.assertGreater(self.atlas.count("/token", grant_type="refresh_token"), before)


class Many(AtlasTest):
    ACCOUNTS = 400

    def test_more_grants_than_a_record_holds(self):
        link, request = self.ask({"mode": "token"})
        self.approve(link)
        (grants,) = [item["grants"] for item in self.items(request)]
        self.assertEqual(len(grants), 400)
        self.box.daemon.kill9()
        self.box.start()
        self.assertEqual(len(self.items(request)[0]["grants"]), 400)
        self.assertEqual(self.rpc.call("grant.token", grant=grants[399])["token_type"], "Bearer")


class Codes(AtlasTest):
    def submit(self, request, codes):
        item = self.items(request)[0]["id"]
        return self.rpc.call("grant.submit", request=request, item=item, inputs=[{"codes": codes}])

    def test_a_verdict_for_each_code(self):
        link, request = self.ask({"mode": "codes", "params": {"goal": "sales", "seats": "3"}})
        self.approve_guided(link)
        out = self.submit(request, "good1\nbad1\ngood2")
        self.assertEqual(sorted(g["asset"]["id"] for g in out["grants"]), ["good1", "good2"])
        item = self.items(request)[0]
        self.assertEqual(item["state"], "granted")
        self.assertEqual([(p["id"], p["problem"]) for p in item["problems"]], [("bad1", "CODE_EXPIRED")])
        self.assertIn("ask for a new one", item["problems"][0]["text"])
        self.assertEqual(item["params"], {"goal": "sales", "seats": "3"})
        grant = self.box.grant(out["grants"][0]["id"])
        self.assertEqual((grant["credential"], grant["layers"]["native"]["status"]), (None, "present"))

    def test_each_post_has_its_own_warning(self):
        """The same word of two posts: each grant says what is about it, and a later figure takes the place of the earlier."""
        one, two = "dim10000001", "dim10000002"
        link, request = self.ask({"mode": "codes"})
        self.approve_guided(link)
        out = self.submit(request, f"{one}~7\n{two}~8\ngood1\n{one}~9")
        said = {g["asset"]["id"]: g["warnings"] for g in out["grants"]}
        self.assertEqual(said, {one: {"POST_PRIVATE": f"post {one} is private: nobody sees it in 9 days"},
                                two: {"POST_PRIVATE": f"post {two} is private: nobody sees it in 8 days"}, "good1": {}})
        (told,) = [e["data"] for e in self.rpc.call("event.list")["events"] if e["type"] == "request.warning"]
        self.assertEqual((told["warning"], sorted(told["text"].split("\n"))),
                         ("POST_PRIVATE", [said[one]["POST_PRIVATE"], said[two]["POST_PRIVATE"]]))

    def test_what_was_warned_of_is_forgotten_with_the_client(self):
        """The sentence names what the client gave: it stands in an event of the request, which goes, too."""
        client = self.client()
        _, request = self.ask({"mode": "codes"}, client=client)
        (grant,) = self.submit(request, "dim10000001~7")["grants"]
        self.rpc.call("grant.revoke", grant=grant["id"])
        self.assertTrue(self.box.holding(b"dim10000001"))
        self.rpc.call("client.erase", client=client, name="Anna Bakery")
        self.assertEqual(self.box.holding(b"dim10000001"), set())
        told = [e for e in self.rpc.call("event.list")["events"] if e["type"] == "request.warning"]
        self.assertEqual([e.get("data") for e in told], [None])

    def test_when_none_is_good_others_can_be_handed_in(self):
        link, request = self.ask({"mode": "codes"})
        self.approve_guided(link)
        with self.assertRaises(RpcError) as caught:
            self.submit(request, "bad1\nbad2")
        self.assertEqual(caught.exception.reason, "NOTHING_GRANTED")
        item = self.items(request)[0]
        self.assertEqual((item["state"], item["reason"], len(item["problems"]), item["grants"]),
                         ("open", "CODE_EXPIRED", 2, []))
        page = self.box.browser().open(link)
        self.assertIn("past its date", page.text)
        self.approve_guided(link)
        self.submit(request, "good1")
        self.granted(request)

    def test_handed_in_without_the_page(self):
        """The client sent its codes by mail: nobody has to open the link."""
        _, request = self.ask({"mode": "codes"})
        self.assertEqual(self.states(request), ["open"])
        out = self.submit(request, "good1")
        self.assertEqual([g["asset"]["id"] for g in out["grants"]], ["good1"])

    def approve_guided(self, link):
        browser = self.box.browser()
        page = browser.open(link)
        form, button = browser.choose()
        return browser.submit(form, None, button) if page else None


class Params(AtlasTest):
    def test_each_mistake_is_named(self):
        client = self.client()
        for params, part in (({"colour": "red"}, "params.colour"), ({"seats": "many"}, "params.seats"),
                             ({"goal": "fame"}, "params.goal"), ({"site": "http://x.example"}, "params.site"),
                             ({"insured": "perhaps"}, "params.insured"), ({"seats": 3}, "params.seats"),
                             ({"campaign_end": "a\u0007b"}, "campaign_end")):
            with self.subTest(params=params), self.assertRaises(RpcError) as caught:
                self.rpc.call("request.create", client=client, items=[{"app": "atlas", "params": params}])
            self.assertIn(caught.exception.reason, ("PARAM_INVALID", "TEXT_INVALID"))
            self.assertIn(part, str(caught.exception))
        self.assertEqual(self.rpc.call("request.list")["requests"], [])

    def test_what_only_the_platform_knows(self):
        """The form of a date is checked when the agency asks, not when the client comes; what is not set up yet, and may
        be by then, is no fault of the item."""
        client = self.client()
        fine, bad = ({"app": "atlas", "params": {"campaign_end": day}} for day in (END, "soon"))
        said = self.refused("OP_CONFIG", "request.create", client=client, items=[fine, bad])
        self.assertIn("items[1]: campaign_end is written YYYY-MM-DD", str(said))
        self.assertEqual(self.rpc.call("request.list")["requests"], [])
        self.rpc.call("request.create", client=client, items=[fine, fine])
        self.assertEqual(self.box.daemon.stop(), 0)
        self.box.app("later", platform="atlas", client_id="broken")
        self.box.start()
        self.rpc.call("request.create", client=client, items=[{"app": "later", "params": {"campaign_end": "soon"}}])
        self.assertEqual(self.atlas.bodies, [])

    def test_on_the_command_line(self):
        made = self.box.ctl("request", "create", self.client(), "--item",
                            f"app=atlas,mode=both,params.campaign_end={END},params.seats=2")
        self.box.canaries.add(made["link"].rsplit("/", 1)[1].encode())
        self.assertEqual(made["request"]["items"][0]["params"], {"campaign_end": END, "seats": "2"})


class Again(AtlasTest):
    def test_a_second_consent_keeps_the_grant(self):
        """Same client, app, account and asset: programs go on with the grant that they know; the old token goes."""
        client = self.client()
        ((first,),) = self.consent({"mode": "both", "asset": "a1", "role": "analyst"}, client=client)
        old = self.rpc.call("grant.token", grant=first["id"])["access_token"]
        ((again,),) = self.consent({"mode": "both", "asset": "a1", "role": "manager"}, client=client)
        self.assertEqual((again["id"], again["role"]["asked"]), (first["id"], "manager"))
        self.assertNotEqual(again["credential"], first["credential"])
        token = self.rpc.call("grant.token", grant=first["id"])["access_token"]
        self.assertNotEqual(token, old)
        wait_for(lambda: self.atlas.tokens[old] is None)
        self.assertIsNotNone(self.atlas.tokens[token])
        self.assertEqual([g["id"] for g in self.rpc.call("grant.list", client=client)["grants"]], [first["id"]])
        self.box.daemon.kill9()
        self.box.start()
        self.assertEqual(self.rpc.call("grant.token", grant=first["id"])["access_token"], token)
        self.rpc.call("grant.revoke", grant=first["id"])
        self.assertEqual((self.box.grant(first["id"])["state"], self.atlas.living(), self.atlas.shares),
                         ("ended", set(), {}))

    def test_others_of_the_old_credential_keep_it(self):
        client = self.client()
        ((one,), (two,)) = self.consent({"mode": "token", "asset": "a1"}, {"mode": "token", "asset": "a2"}, client=client)
        self.consent({"mode": "token", "asset": "a1"}, client=client)
        for grant in (one, two):
            self.assertEqual(self.rpc.call("grant.token", grant=grant["id"])["token_type"], "Bearer")
        self.assertEqual(self.box.grant(two["id"])["credential"], two["credential"])
        self.assertNotEqual(self.box.grant(one["id"])["credential"], one["credential"])
        self.assertEqual((self.atlas.count("/revoke"), len(self.atlas.living())), (0, 2))

    def test_a_narrower_consent_narrows_nothing(self):
        client = self.client()
        self.atlas.scope = "ads reports"
        ((wide,),) = self.consent({"mode": "token", "asset": "a1"}, client=client)
        self.atlas.scope = "reports"
        ((narrow,),) = self.consent({"mode": "token", "asset": "a1"}, client=client)
        self.assertNotEqual(narrow["id"], wide["id"])
        self.assertEqual(self.box.grant(wide["id"])["credential"], wide["credential"])
        self.assertEqual((self.atlas.count("/revoke"), len(self.atlas.living())), (0, 2))

    def test_another_account_renews_nothing(self):
        client = self.client()
        ((first,),) = self.consent({"mode": "token", "asset": "a1"}, client=client)
        self.atlas.account = "berta"
        ((other,),) = self.consent({"mode": "token", "asset": "a1"}, client=client)
        self.assertNotEqual(other["id"], first["id"])
        self.assertEqual(self.box.grant(first["id"])["account"]["id"], "anna")

    def test_a_dead_grant_comes_back(self):
        client = self.client()
        ((first,),) = self.consent({"mode": "token", "asset": "a1"}, client=client)
        self.atlas.on_revoke({}, {"token": self.rpc.call("grant.token", grant=first["id"])["access_token"]}, "")
        for _ in range(2):
            with self.assertRaises(RpcError):
                self.rpc.call("grant.refresh", grant=first["id"])
        wait_for(lambda: self.box.grant(first["id"])["state"] == "needs_consent", 20)
        ((again,),) = self.consent({"mode": "token", "asset": "a1"}, client=client)
        self.assertEqual((again["id"], again["state"]), (first["id"], "active"))
        self.assertEqual(self.rpc.call("grant.token", grant=first["id"])["token_type"], "Bearer")


class Guarded(AtlasTest):
    def scheduler(self):
        return self.rpc.call("daemon.status")["scheduler"]

    def status(self, grant):
        return self.box.grant(grant)["layers"]["token"]["status"]

    def test_clocks_that_are_apart(self):
        """Nothing new is begun; what is there is refreshed; and it is over when the clocks agree again."""
        ((grant,),) = self.consent({"mode": "token", "asset": "a1"})
        self.atlas.ahead = 3600
        self.rpc.call("grant.refresh", grant=grant["id"])
        link, request = self.ask({"mode": "token", "asset": "a1"})
        self.assertIn("CLOCK_SKEW", self.approve(link).body)
        self.assertEqual((self.states(request), self.atlas.consents), (["open"], 1))
        self.rpc.call("grant.refresh", grant=grant["id"])
        self.atlas.ahead = 0
        self.rpc.call("grant.refresh", grant=grant["id"])
        self.approve(link)
        self.granted(request)

    def test_tokens_that_cannot_be_opened(self):
        """An operator is asked, once; nothing turns in circles; when the bytes are back so is the grant."""
        ((grant,),) = self.consent({"mode": "token", "asset": "a1"})
        self.assertEqual(self.box.daemon.stop(), 0)
        ((attempt, sealed),) = self.box.rows("SELECT attempt_id, sealed FROM token_versions WHERE status = 'current'")
        broken = bytearray(sealed)
        broken[len(broken) // 2] ^= 1
        self.box.rows("UPDATE token_versions SET sealed = ? WHERE attempt_id = ?", bytes(broken), attempt)
        self.box.start()
        with self.assertRaises(RpcError) as caught:
            self.rpc.call("grant.refresh", grant=grant["id"])
        self.assertEqual(caught.exception.reason, "SEAL_TAMPERED")
        shown = self.box.grant(grant["id"])
        self.assertEqual((shown["state"], shown["reason"], shown["owner"], shown["next_at"]),
                         ("at_risk", "CREDENTIAL_UNREADABLE", "operator", None))
        self.assertIn(grant["id"], [f["grant"] for f in self.rpc.call("daemon.doctor")["findings"]])
        self.assertEqual(self.scheduler()["in_flight"], 0)
        self.assertEqual(self.box.daemon.stop(), 0)
        self.box.rows("UPDATE token_versions SET sealed = ? WHERE attempt_id = ?", sealed, attempt)
        self.box.start()
        wait_for(lambda: self.status(grant["id"]) == "current")

    def test_what_a_frozen_app_is_told_kills_nobody(self):
        """The confirming refusal arrives when the app is frozen already: it says nothing about this client."""
        ((one,),) = self.consent({"mode": "token", "asset": "a1"})
        ((two,),) = self.consent({"mode": "token", "asset": "a2"})
        self.atlas.on_revoke({}, {"token": self.rpc.call("grant.token", grant=one["id"])["access_token"]}, "")
        self.refused("OP_REAUTH", "grant.refresh", grant=one["id"])
        self.assertEqual(self.status(one["id"]), "quarantined")
        self.atlas.hang("/token", how="slow")
        second = Rpc(self.box.socket_path)
        second.send("grant.refresh", grant=one["id"])
        self.assertTrue(self.atlas.held.wait(10))
        self.atlas.fail("/token", 401, 1, error="invalid_client")
        self.refused("OP_CONFIG", "grant.refresh", grant=two["id"])
        self.atlas.hold.set()
        with self.assertRaises(RpcError):
            second.reply()
        second.close()
        self.assertEqual(self.rpc.call("app.get", app="atlas")["app"]["state"], "frozen")
        self.assertEqual(self.box.rows("SELECT status FROM credentials WHERE id = ?", one["credential"]),
                         [("quarantined",)])

    def test_no_turn_of_the_scheduler_is_lost(self):
        """A turn that joins a refresh under way, and one that is refused, are given back."""
        self.atlas.expires_in = 6
        ((grant,),) = self.consent({"mode": "token", "asset": "a1"})
        wait_for(lambda: self.scheduler()["fired"] >= 1, 15)
        self.atlas.hang("/token", how="slow")
        other = Rpc(self.box.socket_path)
        fired = self.scheduler()["fired"]
        other.send("grant.refresh", grant=grant["id"])
        self.assertTrue(self.atlas.held.wait(10))
        time.sleep(2.5)  # the deadline of the exchange is 3 s
        self.atlas.hold.set()
        other.reply()
        other.close()
        wait_for(lambda: self.scheduler()["fired"] > fired, 15)
        wait_for(lambda: self.scheduler()["in_flight"] == 0)
        self.atlas.fail("/token", 401, 1000, error="invalid_client")
        with self.assertRaises(RpcError):
            self.rpc.call("grant.refresh", grant=grant["id"])
        self.assertEqual(self.rpc.call("app.get", app="atlas")["app"]["state"], "frozen")
        fired = self.scheduler()["fired"]
        wait_for(lambda: self.scheduler()["fired"] > fired, 15)
        wait_for(lambda: self.scheduler()["in_flight"] == 0)

    def test_a_look_that_is_interrupted(self):
        """Killed while a waiting item is being looked at: it waits again, and is looked at again."""
        link, request = self.ask({"mode": "choose"})
        self.approve(link)
        item = self.items(request)[0]["id"]
        self.atlas.hang("/accounts")
        other = Rpc(self.box.socket_path)
        other.send("grant.submit", request=request, item=item, inputs=[{"accounts": "a1"}])
        self.assertTrue(self.atlas.held.wait(10))
        self.box.daemon.kill9()
        self.atlas.hold.set()
        other.close()
        looks = self.atlas.count("/accounts")
        self.box.start()
        wait_for(lambda: self.atlas.count("/accounts") > looks)
        wait_for(lambda: self.items(request)[0]["next_look_at"])
        self.assertEqual(self.states(request), ["waiting"])

        def taken():
            try:
                return self.rpc.call("grant.submit", request=request, item=item, inputs=[{"accounts": "a1"}])
            except RpcError as refusal:  # the look after the start is still on
                self.assertEqual(refusal.reason, "CONFLICT")
                return None
        wait_for(taken)
        self.granted(request)

    def test_what_is_handed_in_belongs_to_its_request(self):
        """An item is found only in the request that it is of, so nobody hands in for somebody else's."""
        link, request = self.ask({"mode": "choose"})
        self.approve(link)
        _, foreign = self.ask({"mode": "choose"})
        item = self.items(request)[0]["id"]
        self.refused("ITEM_CLOSED", "grant.submit", request=foreign, item=item, inputs=[{"accounts": "a1"}])
        self.assertEqual((self.states(request), self.states(foreign)), (["waiting"], ["open"]))
        self.refused("ITEM_CLOSED", "grant.submit", request=foreign, item=self.items(foreign)[0]["id"],
                     inputs=[{"accounts": "a1"}])
        self.assertEqual((self.states(foreign), self.rpc.call("grant.list")["grants"]), (["open"], []))


class TheEnd(AtlasTest):
    def test_an_end_that_is_forced(self):
        """The platform cannot be reached for good: the grant ends by order, a person is told what is left, and the
        client can be forgotten."""
        client = self.client()
        ((grant,),) = self.consent({"mode": "both", "asset": "a1"}, client=client)
        self.atlas.fail("/unshare", 503, 1000)
        self.rpc.call("grant.revoke", grant=grant["id"])
        self.assertEqual(self.box.grant(grant["id"])["state"], "ending")
        self.refused("CLIENT_HAS_GRANTS", "client.erase", client=client, name="Anna Bakery")
        done = self.box.ctl("grant", "revoke", grant["id"], "--force")
        self.assertEqual(done["grant"]["state"], "ended")
        partner = next(s for s in done["surfaces"] if s["kind"] == "partner")
        self.assertEqual(partner["state"], "manual")
        self.assertIn("remove the access there", partner["step"])
        records = self.rpc.call("audit.list", subject=grant["id"])["records"]
        self.assertTrue([r for r in records if (r.get("data") or {}).get("force") is True], records)
        self.rpc.call("client.erase", client=client, name="Anna Bakery")

    def test_what_a_start_finishes_is_recorded(self):
        ((grant,),) = self.consent({"mode": "both", "asset": "a1"})
        self.atlas.fail("/unshare", 503, 1)
        self.rpc.call("grant.revoke", grant=grant["id"])
        self.box.daemon.kill9()
        self.box.start()
        wait_for(lambda: self.box.grant(grant["id"])["state"] == "ended", 20)
        wait_for(lambda: [r for r in self.rpc.call("audit.list", subject=grant["id"])["records"]
                          if (r.get("data") or {}).get("resumed") is True])

    def test_the_hubs_own_consent(self):
        made = self.rpc.call("hub.connect", hub="agency")
        self.box.canaries.add(made["link"].rsplit("/", 1)[1].encode())
        self.approve(made["link"])
        self.assertEqual(self.rpc.call("grant.list")["grants"], [])
        self.assertEqual(self.rpc.call("client.list")["clients"], [])
        self.assertTrue(self.atlas.living())
        self.box.daemon.kill9()
        self.box.start()
        self.assertTrue(self.atlas.living())
        self.assertEqual(self.atlas.count("/revoke"), 0)


if __name__ == "__main__":
    unittest.main()
