#!/usr/bin/env python3
"""What happens while something else is under way: a no while the platform is being asked, an end or a new token while a
grant is looked at, a new consent of the hub while the old one is looked at; thousands
of accounts; and who may ask for the agency's own consent."""
import contextlib
import signal
import threading
import time
import unittest

from harness import Daemon, Rpc, RpcError, has_faults, wait_for
from test_native import AtlasTest


class MeanwhileTest(AtlasTest):
    ACCOUNTS = 4

    def setUp(self):
        super().setUp()
        self.lines = []
        self.addCleanup(lambda: [line.close() for line in self.lines])

    def beside(self, method, **params):
        """A call on a line of its own, not waited for."""
        line = Rpc(self.box.socket_path)
        self.lines.append(line)
        line.send(method, **params)
        return line

    def held(self, path, method, **params):
        """A call that has the platform's answer still to come."""
        self.atlas.hang(path, how="slow")
        line = self.beside(method, **params)
        self.assertTrue(self.atlas.held.wait(10))
        return line

    def decline(self, link):
        browser = self.box.browser()
        browser.open(link)
        form = next(f for f in browser.page.forms if f.buttons and f.buttons[0][1] == "decline")
        browser.submit(form, None, form.buttons[0])

    def patient(self):
        """A platform that takes long is waited for."""
        self.assertEqual(self.box.daemon.stop(), 0)
        self.box.limits.update(request_deadline_ms=20000, quiet_ms=20000)
        self.box.start()

    def events(self, kind):
        return [e for e in self.rpc.call("event.list")["events"] if e["type"] == kind]

    def nothing_is_left(self):
        wait_for(lambda: not self.atlas.shares and not self.atlas.living())
        wait_for(lambda: {g["state"] for g in self.rpc.call("grant.list")["grants"]} <= {"ended"})


class Meanwhile(MeanwhileTest):
    def waiting(self, **item):
        link, request = self.ask({"mode": "choose", **item})
        self.approve(link)
        self.assertEqual(self.states(request), ["waiting"])
        return link, request, self.items(request)[0]["id"]

    def test_a_no_while_the_platform_is_asked(self):
        """The client declines while what it chose is being read: what comes out is ended, not kept."""
        for act in ("decline", "cancel"):
            with self.subTest(act=act):
                link, request, item = self.waiting()
                line = self.held("/accounts", "grant.submit", request=request, item=item, inputs=[{"accounts": "a1"}])
                if act == "decline":
                    self.decline(link)
                else:
                    self.rpc.call("request.cancel", request=request)
                self.atlas.hold.set()
                with self.assertRaises(RpcError) as caught:
                    line.reply()
                self.assertEqual(caught.exception.reason, "ITEM_CLOSED")
                self.nothing_is_left()
                self.assertEqual(self.states(request), ["declined" if act == "decline" else "cancelled"])

    def test_a_no_while_it_is_looked_at(self):
        """The same where the run ends with a further question: nobody will answer it, so the token is given back."""
        link, request, item = self.waiting()
        line = self.held("/accounts", "grant.submit", request=request, item=item, inputs=[{}])
        self.decline(link)
        self.atlas.hold.set()
        line.reply()
        self.nothing_is_left()
        self.assertEqual(self.states(request), ["declined"])

    def test_a_failure_after_half_of_the_work(self):
        """Two accounts are shared, the third is refused for good: what was opened is closed again."""
        link, request = self.ask({"mode": "native"})
        self.atlas.fail("/share", 403, 1, skip=2, error="forbidden")
        self.approve(link)
        wait_for(lambda: self.states(request) == ["open"])
        self.assertEqual(self.atlas.count("/share"), 3)
        self.nothing_is_left()

    def invite(self, request):
        return self.rpc.call("grant.submit", request=request, item=self.items(request)[0]["id"], inputs=[{}])

    def test_a_failure_while_it_is_asked_for(self):
        """What the platform opened before anybody had to approve, until it refused: it is closed again, and nothing of
        the item is begun. The next time it goes well."""
        client = self.client()
        _, request = self.ask({"mode": "invite", "asset": "a1,a2,a3"}, client=client)
        self.atlas.fail("/share", 403, 1, skip=2, error="forbidden")
        with self.assertRaises(RpcError) as caught:
            self.invite(request)
        self.assertEqual((caught.exception.reason, self.atlas.count("/share")), ("OP_FORBIDDEN", 3))
        self.nothing_is_left()
        self.assertEqual(self.states(request), ["open"])
        self.assertEqual(sorted(g["asset"]["id"] for g in self.rpc.call("grant.list")["grants"]), ["a1", "a2"])
        self.invite(request)
        (grants,) = self.granted(request)
        living = [g for g in grants if g["state"] == "active"]
        self.assertEqual((len(living), len(self.atlas.shares)), (3, 3))
        for grant in living:
            self.rpc.call("grant.revoke", grant=grant["id"])
        self.nothing_is_left()
        self.rpc.call("client.erase", client=client, name="Anna Bakery")

    def test_an_end_while_a_grant_is_looked_at(self):
        """The platform shows a dead token because it was just revoked: that is no drift."""
        ((grant,),) = self.consent({"mode": "both", "asset": "a1"})
        line = self.held("/shares", "grant.verify", grant=grant["id"])
        self.rpc.call("grant.revoke", grant=grant["id"])
        self.assertEqual(self.box.grant(grant["id"])["state"], "ended")
        self.atlas.hold.set()
        with self.assertRaises(RpcError) as caught:
            line.reply()
        self.assertEqual((caught.exception.reason, self.events("grant.drift")), ("GRANT_ENDED", []))
        self.assertEqual(self.box.grant(grant["id"])["state"], "ended")

    def test_a_token_that_is_renewed_while_a_grant_is_looked_at(self):
        """A platform that ends the old token at once says no to it: that is no drift, the new one is looked at."""
        ((grant,),) = self.consent({"mode": "both", "asset": "a1"})
        line = self.held("/shares", "grant.verify", grant=grant["id"])
        old = set(self.atlas.tokens)
        self.rpc.call("grant.refresh", grant=grant["id"])
        for token in old:
            self.atlas.tokens[token] = None
        self.atlas.hold.set()
        self.assertEqual(line.reply()["differences"], [])
        self.assertEqual((self.events("grant.drift"), self.atlas.count("/token", grant_type="refresh_token")), ([], 1))


    def test_an_end_while_another_attempt_takes_it_over(self):
        """The new attempt has seen the share and has not said so yet: closing it waits, and leaves it to that one."""
        client = self.client()
        ((grant,),) = self.consent({"mode": "both", "asset": "a1"}, client=client)
        link, request = self.ask({"mode": "both", "asset": "a1"}, client=client)
        self.atlas.hang("/shares", how="late")
        walking = threading.Thread(target=self.approve, args=(link,), daemon=True)
        walking.start()
        self.assertTrue(self.atlas.held.wait(10))
        line = self.beside("grant.revoke", grant=grant["id"])
        wait_for(lambda: self.box.grant(grant["id"])["state"] == "ending")
        self.refused("GRANT_ENDING", "grant.token", grant=grant["id"])
        time.sleep(0.5)
        self.assertEqual(self.atlas.count("/unshare"), 0)
        self.atlas.hold.set()
        walking.join(20)
        ((new,),) = self.granted(request)
        line.reply()
        self.assertEqual(self.box.grant(grant["id"])["state"], "ended")
        self.assertEqual((new["state"], len(self.atlas.shares), self.atlas.count("/share")), ("active", 1, 1))
        self.assertEqual(self.rpc.call("grant.verify", grant=new["id"])["differences"], [])

    def submit(self, client, codes):
        _, request = self.ask({"mode": "codes"}, client=client)
        item = self.items(request)[0]["id"]
        return self.rpc.call("grant.submit", request=request, item=item, inputs=[{"codes": codes}])["grants"]

    def test_what_is_handed_in_while_its_place_is_closed(self):
        """It is not kept, so it is refused with a word that says to do it again."""
        self.patient()
        client = self.client()
        (grant,) = self.submit(client, "good1")
        line = self.held("/unshare", "grant.revoke", grant=grant["id"])
        _, request = self.ask({"mode": "codes"}, client=client)
        handed = {"request": request, "item": self.items(request)[0]["id"], "inputs": [{"codes": "good1"}]}
        self.refused("CLOSING_FIRST", "grant.submit", **handed)
        self.atlas.hold.set()
        line.reply()
        (again,) = self.rpc.call("grant.submit", **handed)["grants"]
        self.assertEqual([self.box.grant(g["id"])["state"] for g in (grant, again)], ["ended", "active"])

    def test_a_new_consent_while_a_grant_is_looked_at(self):
        """The look began with the old window: what the new consent brought stays, and is what is looked at."""
        client = self.client()
        (grant,) = self.submit(client, "good1")
        line = self.held("/shares", "grant.verify", grant=grant["id"])
        (again,) = self.submit(client, "good1~90")
        self.assertEqual(again["id"], grant["id"])
        self.assertGreater(again["window"]["ends_at"], grant["window"]["ends_at"])
        self.atlas.hold.set()
        line.reply()
        self.assertEqual(self.atlas.count("/shares"), 2)
        shown = self.box.grant(grant["id"])
        self.assertEqual((shown["window"]["ends_at"], shown["item"]), (again["window"]["ends_at"], again["item"]))


class Left(MeanwhileTest):
    """A fan-out waits, after two accounts were shared, when nobody goes on with it: each share becomes a grant that is
    closed at the platform, with the client's token, which goes last."""
    ACCOUNTS = 6

    def half_done(self, *before):
        """before: browsers that open the link while there is something to approve."""
        self.atlas.fail("/share", 503, 100, skip=2)
        link, request = self.ask({"mode": "both"})
        for browser in before:
            browser.open(link)
        self.approve(link)
        self.assertEqual(self.states(request), ["waiting"])
        self.assertEqual(len(self.atlas.shares), 2)
        return link, request

    def closed(self, request, shares=2):
        """All of it is, at the platform and here, by this order."""
        wait_for(lambda: not self.atlas.shares and not self.atlas.living())
        grants = [g for g in self.rpc.call("grant.list")["grants"] if g["request"] == request]
        wait_for(lambda: {self.box.grant(g["id"])["state"] for g in grants} == {"ended"})
        self.assertEqual(sorted(g["asset"]["id"] for g in grants), [f"a{n + 1}" for n in range(shares)])
        for grant in grants:
            self.assertEqual(self.surfaces(grant["id"]), {"partner": "closed", "token": "closed"})
        self.assertEqual((self.atlas.count("/unshare"), self.atlas.count("/revoke")), (shares, 1))
        self.assertEqual([p for p, _ in self.atlas.bodies if p in ("/unshare", "/revoke")][-1], "/revoke")

    def test_cancelled(self):
        _, request = self.half_done()
        self.rpc.call("request.cancel", request=request)
        self.closed(request)
        self.assertEqual((self.states(request), self.events("request.failed")), (["cancelled"], []))

    def test_declined(self):
        link, request = self.half_done()
        self.decline(link)
        self.closed(request)
        self.assertEqual((self.states(request), self.events("request.failed")), (["declined"], []))

    def test_begun_anew(self):
        """Approved once more in another window: the new attempt has grants of its own, the old one's are closed."""
        browser = self.box.browser()
        _, request = self.half_done(browser)
        old = set(self.atlas.shares)
        self.atlas.faults.clear()
        browser.walk(login="anna")
        self.anew(request, old)

    def anew(self, request, old):
        """Granted by the second attempt, with shares of its own; those of the first are gone."""
        (grants,) = self.granted(request, 30)
        wait_for(lambda: not old & set(self.atlas.shares) and len(self.atlas.living()) == 1)
        wait_for(lambda: {self.box.grant(g["id"])["state"] for g in grants} == {"active", "ended"})
        grants = [self.box.grant(g["id"]) for g in grants]
        by = {state: sorted(g["asset"]["id"] for g in grants if g["state"] == state) for state in ("active", "ended")}
        self.assertEqual(by, {"active": ["a1", "a2", "a3", "a4", "a5", "a6"], "ended": ["a1", "a2"]})
        self.assertEqual(len(self.atlas.shares), 6)
        for grant in grants:
            self.assertEqual(set(self.surfaces(grant["id"]).values()), {"open" if grant["state"] == "active" else "closed"})

    def begun_anew(self):
        """The first place is being closed at the platform; until hold is set."""
        self.patient()
        browser = self.box.browser()
        _, request = self.half_done(browser)
        old = set(self.atlas.shares)
        self.atlas.faults.clear()
        self.atlas.hang("/unshare", how="slow")
        page = browser.walk(login="anna").body
        self.assertTrue(self.atlas.held.wait(10))
        return request, old, page

    def test_begun_anew_while_it_is_closed(self):
        """What is there of an account while its share is being closed is not taken over: the new attempt waits, and
        says so. What the consent brought is kept: the code is not used twice."""
        request, old, page = self.begun_anew()
        looks = self.atlas.count("/shares")
        wait_for(lambda: self.states(request) == ["waiting"])
        self.assertEqual(self.items(request)[0]["reason"], "CLOSING_FIRST")
        self.assertIn("What was given before is being closed first.", page)
        time.sleep(2)  # it is tried again now and then
        self.assertEqual((self.states(request), self.atlas.count("/shares")), (["waiting"], looks))
        self.atlas.hold.set()
        self.anew(request, old)
        self.assertEqual(self.atlas.count("/token", grant_type="authorization_code"), 2)
        self.assertIsNone(self.items(request)[0]["reason"])

    def test_begun_anew_and_killed(self):
        """The same over a crash: whichever comes first afterwards, no grant stands without its share."""
        request, _, _ = self.begun_anew()
        self.box.daemon.kill9()
        self.atlas.hold.set()
        self.box.start()
        (grants,) = self.granted(request, 30)
        wait_for(lambda: {self.box.grant(g["id"])["state"] for g in grants} == {"active", "ended"})
        self.stands(request)

    def stands(self, request):
        """Each living grant has its share; each account has one."""
        grants = [self.box.grant(g) for g in self.items(request)[0]["grants"]]
        living = [g["id"] for g in grants if g["state"] == "active"]
        self.assertEqual([self.rpc.call("grant.verify", grant=g)["differences"] for g in living], [[]] * 6)
        self.assertEqual(sorted(s["account"] for s in self.atlas.shares.values()), ["a1", "a2", "a3", "a4", "a5", "a6"])

    def test_begun_anew_where_nothing_can_be_closed(self):
        """The platform refuses to close: the client is not held up. What stands there is taken over, and ends with
        the grant that has it now."""
        browser = self.box.browser()
        _, request = self.half_done(browser)
        old = set(self.atlas.shares)
        self.atlas.faults.clear()
        self.atlas.fail("/unshare", 503, 1000)
        browser.walk(login="anna")
        (grants,) = self.granted(request, 30)
        wait_for(lambda: {self.box.grant(g["id"])["state"] for g in grants} == {"active", "ended"}, 60)
        self.assertLessEqual(old, set(self.atlas.shares))
        self.stands(request)

    def test_begun_anew_while_the_first_is_granted(self):
        """The second attempt waits with a token of its own when the first one is granted: nobody goes on with it."""
        self.patient()
        browser = self.box.browser()
        link, request = self.ask({"mode": "choose"})
        browser.open(link)
        self.approve(link)
        item = self.items(request)[0]["id"]
        line = self.held("/accounts", "grant.submit", request=request, item=item, inputs=[{"accounts": "a1"}])
        browser.walk(login="anna")
        self.assertEqual((self.states(request), len(self.atlas.living())), (["waiting"], 2))
        self.atlas.hold.set()
        (grant,) = line.reply()["grants"]
        wait_for(lambda: len(self.atlas.living()) == 1, 10)
        self.assertEqual(self.states(request), ["granted"])
        self.assertEqual(self.rpc.call("grant.verify", grant=grant["id"])["observed"]["alive"], True)
        self.assertEqual(self.rpc.call("grant.token", grant=grant["id"])["token_type"], "Bearer")

    @unittest.skipUnless(has_faults(), "a build without fault points")
    def test_a_crash_right_after(self):
        """Killed when the order is durable and nothing of it was done yet: the next start does it."""
        for way in ("cancel", "decline"):
            with self.subTest(way=way):
                self.atlas.bodies.clear()
                link, request = self.half_done()
                self.assertEqual(self.box.daemon.stop(), 0)
                self.box.start("flow.left:kill9")
                with contextlib.suppress(Exception):  # it dies before it answers
                    if way == "cancel":
                        self.rpc.call("request.cancel", request=request)
                    else:
                        self.decline(link)
                self.assertEqual(self.box.daemon.wait_dead(), -9)
                self.assertEqual(len(self.atlas.shares), 2)
                self.box.start()
                self.closed(request)
                self.assertEqual(self.states(request), ["cancelled" if way == "cancel" else "declined"])

    @unittest.skipUnless(has_faults(), "a build without fault points")
    def test_crashes_on_the_way(self):
        """Killed again while it is settled, and once more while the places are closed."""
        _, request = self.half_done()
        self.assertEqual(self.box.daemon.stop(), 0)
        self.box.start("flow.left:kill9")
        with contextlib.suppress(Exception):
            self.rpc.call("request.cancel", request=request)
        self.assertEqual(self.box.daemon.wait_dead(), -9)
        for fault in ("flow.left:kill9", "F19:kill9", "F28:kill9:2"):
            daemon = Daemon(self.box, fault)
            self.assertEqual(daemon.wait_dead(20), -9)
        self.box.start()
        self.closed(request)

    def test_a_crash_while_it_is_run(self):
        """Taken back while the platform is being asked, and killed before that run is over."""
        self.atlas.hang("/share", skip=2)
        link, request = self.ask({"mode": "both"})
        browser = self.box.browser()
        browser.open(link)
        walking = threading.Thread(target=self.walk, args=(browser,), daemon=True)
        walking.start()
        self.assertTrue(self.atlas.held.wait(10))
        self.rpc.call("request.cancel", request=request)
        self.box.daemon.kill9()
        self.atlas.hold.set()
        walking.join(10)
        self.box.start()
        wait_for(lambda: len(self.atlas.shares) == 1 and not self.atlas.living())  # the one that was never answered
        self.assertEqual(self.atlas.count("/unshare"), 2)
        self.assertEqual(self.states(request), ["cancelled"])

    def walk(self, browser):
        try:
            browser.walk(login="anna")
        except Exception:  # the daemon is killed under it
            pass

    def test_taken_back_while_it_is_run(self):
        """The run ends by waiting for an outage to pass: nobody waits any more."""
        _, request = self.half_done()
        self.atlas.faults.clear()
        self.atlas.fail("/share", 503, 100, skip=1)
        self.atlas.hang("/accounts", how="slow")
        self.assertTrue(self.atlas.held.wait(20))  # it is looked at again
        self.rpc.call("request.cancel", request=request)
        self.atlas.hold.set()
        self.closed(request, shares=3)

    def test_what_another_grant_stands_on(self):
        """Two items name the same account, and the platform knows one share of it: what the failed one has opened is
        closed, but for what the other one lives by."""
        self.atlas.same_ids, self.atlas.refused = True, {"a3"}
        link, request = self.ask({"mode": "both", "asset": "a1"}, {"mode": "both", "asset": "a1,a2,a3"})
        self.approve(link)
        wait_for(lambda: self.states(request) == ["granted", "open"])
        wait_for(lambda: [s["account"] for s in self.atlas.shares.values()] == ["a1"])
        (grant,) = self.items(request)[0]["grants"]
        others = [g["id"] for g in self.rpc.call("grant.list")["grants"] if g["id"] != grant]
        wait_for(lambda: {self.box.grant(g)["state"] for g in others} == {"ended"})
        self.assertEqual((self.box.grant(grant)["state"], self.surfaces(grant)),
                         ("active", {"partner": "open", "token": "open"}))
        self.assertEqual(self.rpc.call("grant.verify", grant=grant)["differences"], [])
        self.assertEqual(self.rpc.call("grant.token", grant=grant)["token_type"], "Bearer")
        self.rpc.call("grant.revoke", grant=grant)
        self.assertEqual((self.atlas.shares, self.atlas.living()), ({}, set()))


    @unittest.skipUnless(has_faults(), "a build without fault points")
    def test_what_was_left_and_could_not_be_read(self):
        """The store is away in that moment: a later look finds it."""
        _, request = self.half_done()
        self.assertEqual(self.box.daemon.stop(), 0)
        self.box.start("left.unread:eio")
        self.rpc.call("request.cancel", request=request)
        self.closed(request)


@unittest.skipUnless(has_faults(), "a build without fault points")
class Doubts(MeanwhileTest):
    """The store is away, or says nothing, when a run is about to begin."""

    def restart(self, faults):
        self.assertEqual(self.box.daemon.stop(), 0)
        self.box.limits.update(request_deadline_ms=20000, quiet_ms=20000)
        self.box.start(faults)

    def choosing(self):
        link, request = self.ask({"mode": "choose"})
        self.approve(link)
        self.assertEqual(self.states(request), ["waiting"])
        return {"request": request, "item": self.items(request)[0]["id"], "inputs": [{"accounts": "a1"}]}

    def stands(self, handed):
        ((grant,),) = self.granted(handed["request"])
        self.assertEqual((len(self.atlas.living()), self.atlas.count("/revoke")), (1, 0))
        self.assertEqual(self.rpc.call("grant.token", grant=grant["id"])["token_type"], "Bearer")

    def test_a_flow_that_may_have_been_taken(self):
        """It was: the run begins, nobody waits for it until the next start."""
        for passage in (1, 2):  # when the browser comes back; when something is handed in
            with self.subTest(passage=passage):
                self.atlas.bodies.clear()
                self.restart(f"flow.unheard:eio:{passage}")
                handed = self.choosing()
                self.rpc.call("grant.submit", **handed)
                self.stands(handed)
                self.rpc.call("grant.revoke", grant=self.granted(handed["request"])[0][0]["id"])

    def test_a_flow_that_another_run_has(self):
        """It was not, for somebody else is at it."""
        self.restart("flow.unheard:eio:3")
        handed = self.choosing()
        line = self.held("/accounts", "grant.submit", **handed)
        self.refused("CONFLICT", "grant.submit", **handed)
        self.atlas.hold.set()
        line.reply()
        self.stands(handed)

    def test_a_store_that_is_away_before_the_run(self):
        """What the consent brought before is not given up for that."""
        self.restart("flow.unread:eio:2")
        handed = self.choosing()
        self.rpc.call("grant.submit", **handed)
        self.stands(handed)


    def test_a_token_of_no_use_that_could_not_be_looked_at(self):
        """Whether others need it is asked again, and it is given back."""
        self.restart("facts.unread:eio")
        ((grant,),) = self.consent({"mode": "native", "asset": "a1"})
        self.assertEqual((grant["state"], grant["credential"]), ("active", None))
        wait_for(lambda: not self.atlas.living(), 20)
        self.assertEqual((self.atlas.count("/revoke"), self.atlas.count("/unshare")), (1, 0))


class Orders(MeanwhileTest):
    """What was ordered with a revoke holds until its end, and lies nowhere in the clear."""

    def ordered(self):
        ((grant,),) = self.consent({"mode": "both", "asset": "a1"})
        self.box.canaries.add(b"a-secret-answer")
        self.atlas.fail("/revoke", 503, 1)
        self.rpc.call("grant.revoke", grant=grant["id"], inputs={"all": "a-secret-answer"})
        self.assertEqual(self.box.grant(grant["id"])["state"], "ending")
        return grant["id"]

    def ended(self, grant):
        wait_for(lambda: self.box.grant(grant)["state"] == "ended", 20)
        self.assertEqual((self.atlas.count("/revoke"), self.atlas.count("/revoke", all="a-secret-answer")), (2, 2))
        self.assertEqual(self.surfaces(grant), {"partner": "closed", "token": "closed"})

    def test_a_second_try(self):
        self.ended(self.ordered())

    def test_a_crash_before_the_second_try(self):
        grant = self.ordered()
        self.box.daemon.kill9()
        self.box.start()
        self.ended(grant)

    def test_a_crash_while_the_platform_is_asked(self):
        """Given up when it cannot be closed, as it was ordered before the crash."""
        ((grant,),) = self.consent({"mode": "both", "asset": "a1"})
        self.atlas.hang("/unshare")
        self.beside("grant.revoke", grant=grant["id"], force=True, inputs={"all": "yes"})
        self.assertTrue(self.atlas.held.wait(10))
        self.box.daemon.kill9()
        self.atlas.hold.set()
        self.atlas.fail("/revoke", 503, 100)
        self.box.start()
        wait_for(lambda: self.box.grant(grant["id"])["state"] == "ended", 20)
        self.assertEqual(self.surfaces(grant["id"]), {"partner": "closed", "token": "manual"})
        self.assertGreater(self.atlas.count("/revoke", all="yes"), 0)


    def test_a_stop_while_another_node_has_the_credential(self):
        """It is not waited for; the next start goes on."""
        ((grant,),) = self.consent({"mode": "both", "asset": "a1"})
        self.box.rows("UPDATE credentials SET lease_owner = 'elsewhere+1', lease_until = ?",
                      int(time.time() * 1000) + 3600000)
        line = self.beside("grant.revoke", grant=grant["id"])
        wait_for(lambda: self.box.grant(grant["id"])["state"] == "ending")
        time.sleep(0.3)
        self.box.daemon.process.send_signal(signal.SIGTERM)
        with self.assertRaises(RpcError) as caught:
            line.reply()
        self.assertEqual((caught.exception.reason, self.box.daemon.wait_dead(15)), ("SHUTTING_DOWN", 0))
        self.assertEqual(self.atlas.count("/unshare"), 0)
        self.box.rows("UPDATE credentials SET lease_until = 0")
        self.box.start()
        wait_for(lambda: self.box.grant(grant["id"])["state"] == "ended")
        self.assertEqual((self.atlas.shares, self.atlas.living()), ({}, set()))


class Hubs(MeanwhileTest):
    def setUp(self):
        super().setUp()
        self.assertEqual(self.box.daemon.stop(), 0)
        del self.box.hubs["agency"]["access_token"]
        self.box.start()

    def connect(self):
        made = self.rpc.call("hub.connect", hub="agency")
        self.box.canaries.add(made["link"].rsplit("/", 1)[1].encode())
        self.approve(made["link"])

    def test_a_new_consent_while_the_hub_is_looked_at(self):
        """The look was made with the token that the new consent replaced: it says nothing of the new one."""
        self.connect()
        line = self.held("/shares", "hub.check", hub="agency")
        self.connect()
        wait_for(lambda: len(self.atlas.living()) == 1)
        self.atlas.hold.set()
        line.reply()
        self.assertEqual(self.events("hub.at_risk"), [])
        self.assertEqual(self.rpc.call("hub.get", hub="agency")["hub"]["state"], "ready")

    def test_a_consent_that_yields_nothing(self):
        """The platform takes the agency's consent and gives no token: the hub goes on with what it has."""
        self.connect()
        before = self.rpc.call("hub.get", hub="agency")["hub"]
        self.atlas.silent = True
        made = self.rpc.call("hub.connect", hub="agency")
        self.box.canaries.add(made["link"].rsplit("/", 1)[1].encode())
        self.assertIn("HUB_NOT_CONNECTED", self.approve(made["link"]).body)
        self.assertEqual(self.rpc.call("hub.get", hub="agency")["hub"], before)
        self.assertTrue(self.rpc.call("hub.check", hub="agency")["ok"])
        self.assertEqual(self.box.daemon.stop(), 0)
        self.box.start()
        self.assertTrue(self.rpc.call("hub.check", hub="agency")["ok"])

    def test_two_ask_for_it_at_once(self):
        """Both links are the agency's own, whichever is used."""
        lines = [self.beside("hub.connect", hub="agency") for _ in range(2)]
        links = [line.reply()["link"] for line in lines]
        self.box.canaries.update(link.rsplit("/", 1)[1].encode() for link in links)
        for link in links:
            self.approve(link)
            self.assertEqual(self.rpc.call("hub.get", hub="agency")["hub"]["state"], "ready")
            self.assertEqual(self.rpc.call("grant.list")["grants"], [])
        wait_for(lambda: len(self.atlas.living()) == 1)

    def test_only_hub_connect_asks_for_it(self):
        """Who may ask clients may not put another consent into the place of the agency's own."""
        self.connect()
        request = self.rpc.call("request.list")["requests"][0]
        for item in ({"mode": "hub"}, {"mode": "token"}, {}):
            self.refused("NOT_FOUND", "request.create", client=request["client"], items=[{"app": "atlas", **item}])
        self.refused("NOT_SUPPORTED", "request.create", client=self.client(), items=[{"app": "atlas", "mode": "hub"}])
        self.refused("NOT_FOUND", "request.remind", request=request["id"])
        self.refused("NOT_FOUND", "client.get", client=request["client"])
        self.refused("NOT_FOUND", "client.update", client=request["client"], name="Mallory")
        self.refused("NOT_FOUND", "client.erase", client=request["client"], name="agency")
        self.assertNotIn(request["client"], [c["id"] for c in self.rpc.call("client.list")["clients"]])


SLOW_MAX = 5  # seconds; a hundred times what it is


class Thousands(MeanwhileTest):
    ACCOUNTS = 3000

    def test_nobody_waits_for_somebody_elses_thousands(self):
        """3,000 accounts, and the same again as a renewal: other callers are answered all the while."""
        client, slow = self.client(), []
        stop = threading.Event()

        def ask():
            line = Rpc(self.box.socket_path)
            while not stop.is_set():
                began = time.monotonic()
                line.call("daemon.status")
                slow.append(time.monotonic() - began)
            line.close()

        for _ in range(2):
            link, request = self.ask({"mode": "token"}, client=client)
            stop.clear()
            asking = threading.Thread(target=ask, daemon=True)
            asking.start()
            self.approve(link)
            stop.set()
            asking.join(20)
            self.assertEqual(len(self.items(request)[0]["grants"]), 3000)
        self.assertLess(max(slow), SLOW_MAX)


class ThousandShares(MeanwhileTest):
    ACCOUNTS = 3000

    def test_thousands_of_shares(self):
        """3,000 accounts, each shared by a run of its own with a place of its own: more than one run may take, so it goes
        on again and again, at once; every save costs the same; and other callers are answered all the while."""
        slow, stop = [], threading.Event()

        def ask():
            line = Rpc(self.box.socket_path)
            while not stop.is_set():
                began = time.monotonic()
                line.call("daemon.status")
                slow.append(time.monotonic() - began)
                time.sleep(0.005)
            line.close()

        link, request = self.ask({"mode": "both"})
        asking = threading.Thread(target=ask, daemon=True)
        asking.start()
        began = time.monotonic()
        self.approve(link)
        wait_for(lambda: self.states(request) == ["granted"], 600, 0.1)
        took = time.monotonic() - began
        stop.set()
        asking.join(20)
        grants = self.items(request)[0]["grants"]
        self.assertEqual((len(grants), len(self.atlas.shares), self.atlas.count("/share")), (3000, 3000, 3000))
        self.assertEqual(self.surfaces(grants[1234]), {"partner": "open", "token": "open"})
        self.assertEqual(self.atlas.count("/token"), 1)
        self.assertLess(max(slow), SLOW_MAX)
        print(f"3,000 shares in {took:.0f} s, the slowest answer meanwhile {1000 * max(slow):.0f} ms", flush=True)


if __name__ == "__main__":
    unittest.main()
