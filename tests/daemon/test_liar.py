#!/usr/bin/env python3
"""A platform that lies in every field that it can fill (platforms/liar.c): each lie has its reason word and changes
nothing, or is an oddity that counts as not said. The daemon goes on, its log stays one JSON object a line, and an honest
grant beside it is served all the while."""
import datetime
import http.client
import json
import os
import shutil
import time
import unittest

from harness import BUILD, GrantdTest, RpcError, wait_for

PLUGIN, PROTOCOL = "OP_PLUGIN", "OP_PROTOCOL"
CONTROL = {"unknown_class": PLUGIN, "odd_text": "OP_FORBIDDEN", "two_answers": PLUGIN, "no_function": PLUGIN,
           "foreign_host": "OP_HOST_DENIED", "head_break": PROTOCOL, "odd_method": PLUGIN, "for_ever": PLUGIN,
           "long_wait": "OP_DEADLINE", "much_memory": "OP_NOMEM", "long_note": PROTOCOL, "odd_note": PROTOCOL,
           "odd_keep": PROTOCOL, "much_kept": PLUGIN, "many_notes": PLUGIN, "odd_warning": PLUGIN,
           "many_warnings": PLUGIN}
TOKENS = {"token_break": PROTOCOL, "token_no_text": PROTOCOL, "token_empty": PROTOCOL, "token_huge": PROTOCOL,
          "account_no_text": PROTOCOL, "shape": PLUGIN, "retry_class": PLUGIN}
ASSETS = {"asset_no_id": PROTOCOL, "asset_no_text": PROTOCOL, "asset_huge": PROTOCOL, "asset_size": PROTOCOL,
          "asset_layers": PLUGIN, "asset_problem": PLUGIN, "asset_thousands": PLUGIN, "surface_outcome": PLUGIN,
          "surface_no_kind": PLUGIN, "surface_no_text": PROTOCOL, "surface_thousands": PLUGIN}
STEPS = {"step_no_title": PLUGIN, "step_script": PROTOCOL, "step_choices": PLUGIN, "step_thousands": PLUGIN}
ENDLESS = ("for_ever", "long_wait")
REQUEST = {"nowhere": PLUGIN, "script": PROTOCOL}
SCAN = {**{k: v for k, v in CONTROL.items() if k != "for_ever"}, **ASSETS}
NOTICE = ["unknown_class", "two_answers", "foreign_host", "for_ever", "long_wait", "much_memory", "odd_note", "odd_keep",
          "odd_warning", "account_no_text", "token_break", "shape", "odd_event"]
VERIFY = {"odd_key": PLUGIN, "no_text": PROTOCOL, "thousands": PLUGIN}


class Liar(GrantdTest):
    LIMITS = {"request_deadline_ms": 1500}

    def setUp(self):
        super().setUp()
        folder = os.path.join(self.box.inputs, "platforms")
        os.mkdir(folder, 0o755)
        shutil.copy(os.path.join(BUILD, "tests/daemon/platforms/liar.so"), folder)
        self.box.platform_dir = folder
        self.box.apps["liar"] = {"platform": "liar", "client_id": "c"}
        for lie in [*NOTICE, "odd_reply", "huge_reply", "far_dates"]:
            self.box.apps["n_" + lie] = {"platform": "liar", "client_id": "n_" + lie, "lie": "notice " + lie}
        token, _ = self.box.secret_file("hub")
        for lie in SCAN:
            self.box.apps["s_" + lie] = {"platform": "liar", "client_id": "s_" + lie}
            self.box.hubs["h_" + lie] = {"platform": "liar", "app": "s_" + lie, "id": "h", "hub_lie": "scan " + lie,
                                         "access_token": {"file": token}}
        self.box.start()
        self.honest = self.granted(None)

    def ask(self, lie):
        client = self.rpc.call("client.create", name="Anna Bakery")["client"]["id"]
        item = {"app": "liar", **({"params": {"lie": lie}} if lie else {})}
        made = self.rpc.call("request.create", client=client, confirm=False, items=[item])
        self.box.canaries.add(made["link"].rsplit("/", 1)[1].encode())
        return made["request"]["id"], made["request"]["items"][0]["id"], client

    def submit(self, lie):
        request, item, client = self.ask(lie)
        return self.rpc.call("grant.submit", request=request, item=item, inputs=[{"word": "now"}]), client

    def granted(self, lie):
        (grant,) = self.submit(lie)[0]["grants"]
        return grant["id"]

    def item(self, request):
        return self.rpc.call("request.get", request=request)["request"]["items"][0]

    def whole(self):
        """The daemon is there, the honest grant is served, the log is what it always is."""
        self.assertTrue(self.rpc.call("grant.token", grant=self.honest)["access_token"].startswith("at-"))
        self.assertEqual(self.box.grant(self.honest)["state"], "active")
        with open(self.box.log_path, "rb") as file:
            for line in file:
                json.loads(line.decode("utf-8"))
        self.assertTrue(self.rpc.call("audit.verify")["ok"])

    def lie(self, lie, word):
        """Nothing comes out of it: no grant, no credential; the item is open again with the reason."""
        request, item, client = self.ask(lie)
        began = time.monotonic()
        self.refused(word, "grant.submit", request=request, item=item, inputs=[{"word": "now"}])
        self.assertLess(time.monotonic() - began, 30)
        shown = self.item(request)
        self.assertEqual(shown["state"], "open", shown)
        # What it said it had opened is noted only to be closed again.
        grants = self.rpc.call("grant.list", client=client)["grants"]
        self.assertEqual((len(grants), [g["id"] for g in grants]), (1 if lie.endswith("surface_thousands") else 0, shown["grants"]))
        self.assertTrue({g["state"] for g in grants} <= {"ending", "ended"}, grants)

    def test_in_request(self):
        for lie, word in {**CONTROL, **STEPS, **REQUEST}.items():
            with self.subTest(lie=lie):
                self.lie("request " + lie, word)
        self.whole()

    def test_in_grant(self):
        for lie, word in {**CONTROL, **TOKENS, **ASSETS, **STEPS}.items():
            if lie not in ENDLESS:
                with self.subTest(lie=lie):
                    self.lie("grant " + lie, word)
        self.whole()

    def test_what_takes_for_ever(self):
        """The deadline ends it; what passes is made again later, and the client is asked for nothing."""
        for lie in ENDLESS:
            with self.subTest(lie=lie):
                request, item, client = self.ask("grant " + lie)
                with self.assertRaises(RpcError) as caught:
                    self.rpc.call("grant.submit", request=request, item=item, inputs=[{"word": "now"}])
                self.assertIn(caught.exception.reason, ("OP_DEADLINE", "OP_PLUGIN"))
                shown = self.item(request)
                self.assertEqual(shown["state"], "waiting" if caught.exception.reason == "OP_DEADLINE" else "open")
                self.assertEqual(self.rpc.call("grant.list", client=client)["grants"], [])
        self.whole()

    def test_in_what_is_saved(self):
        """Before or behind the commit of tokens: what the tokens opened is ended again."""
        for lie, word in {**TOKENS, **ASSETS}.items():
            with self.subTest(lie=lie):
                self.lie("saved " + lie, word)
        self.whole()

    def test_oddities_count_as_not_said(self):
        """Tokens are never thrown away for the sake of an odd name or date beside them."""
        for lie in ("account_huge", "scope_no_text", "size_huge", "far_dates", "past_dates", "long_lives", "asset_twice",
                    "asset_dates", "no_end"):
            with self.subTest(lie=lie):
                seen = self.box.grant(self.granted("grant " + lie))
                self.assertEqual((seen["state"], seen["asset"]["id"]), ("active", "s1"))
                token = seen["layers"]["token"]
                self.assertEqual(token["status"], "current")
                for name in ("expires_at", "refresh_expires_at", "horizon_at"):
                    self.assertTrue(token.get(name) is None or token[name] < "2400", (name, token))
                self.rpc.call("grant.token", grant=seen["id"])
        self.whole()

    def test_nothing_is_nothing(self):
        """A result of no size says nothing: then there is no token, and no token layer that could be vended."""
        for lie in ("size_none", "size_half"):
            with self.subTest(lie=lie):
                seen = self.box.grant(self.granted("grant " + lie))
                self.assertIsNone(seen["credential"])
                self.refused("GRANT_NO_TOKEN", "grant.token", grant=seen["id"])
        self.whole()

    def test_a_role_that_nobody_knows(self):
        seen = self.box.grant(self.granted("grant asset_role"))
        self.assertIn(seen["role"]["granted"], (None, "emperor <b>"))
        self.whole()

    def test_looks_at_any_time(self):
        """A look in a billion years is made in one; one long ago is made in a moment, and not at once."""
        for lie, least, most in (("look_in_a_billion_years", 365, 367), ("look_long_ago", 0, 1)):
            with self.subTest(lie=lie):
                request, item, _ = self.ask("grant " + lie)
                before = datetime.datetime.now(datetime.timezone.utc)
                self.rpc.call("grant.submit", request=request, item=item, inputs=[{"word": "now"}])
                shown = self.item(request)
                self.assertEqual(shown["state"], "waiting")
                at = datetime.datetime.fromisoformat(shown["next_look_at"].replace("Z", "+00:00")) - before
                self.assertTrue(least <= at.total_seconds() / 86400 <= most, at)
        self.whole()

    def test_in_refresh(self):
        """The credential stays what it was, the old token is served, and nobody has to consent again."""
        for lie, word in {**CONTROL, **TOKENS}.items():
            with self.subTest(lie=lie):
                grant = self.granted("refresh " + lie)
                old = self.rpc.call("grant.token", grant=grant)["access_token"]
                self.refused(word, "grant.refresh", grant=grant)
                seen = self.box.grant(grant)
                self.assertEqual((seen["layers"]["token"]["gen"], seen["state"] in ("active", "at_risk")), (1, True), seen)
                self.assertEqual(self.rpc.call("grant.token", grant=grant)["access_token"], old)
        self.whole()

    def test_what_was_kept_is_removed(self):
        grant = self.granted("verify forgotten")
        self.refused("OP_FORBIDDEN", "grant.verify", grant=grant)
        self.rpc.call("grant.refresh", grant=grant)
        self.rpc.call("grant.verify", grant=grant)
        self.whole()

    def test_a_platform_that_wants_no_rest(self):
        """It lives one second, wants to be renewed an age before its end, and every second: it is, and no faster."""
        grant = self.granted("refresh no_rest")
        self.rpc.call("grant.refresh", grant=grant)
        began, gen = time.monotonic(), self.box.grant(grant)["layers"]["token"]["gen"]
        time.sleep(3)
        now = self.box.grant(grant)["layers"]["token"]["gen"]
        self.assertLess(now - gen, 4 * (time.monotonic() - began))
        self.whole()

    def test_in_verify(self):
        for lie, word in {**{k: v for k, v in CONTROL.items() if k != "for_ever"}, **VERIFY}.items():
            with self.subTest(lie=lie):
                grant = self.granted("verify " + lie)
                self.refused(word, "grant.verify", grant=grant)
                self.assertEqual(self.box.grant(grant)["state"], "active")
                self.rpc.call("grant.token", grant=grant)
        self.whole()

    def test_odd_facts(self):
        for lie, differs in (("perhaps", []), ("emperor", ["role"]), ("dates", []), ("native", [])):
            with self.subTest(lie=lie):
                grant = self.granted("verify " + lie)
                seen = self.rpc.call("grant.verify", grant=grant)
                self.assertEqual([d["what"] for d in seen["differences"]], differs)
                self.assertEqual(self.box.grant(grant)["state"], "active")
        self.whole()

    def test_in_revoke(self):
        """It does not end on a lie: it is tried again, and an operator can end it by force."""
        for lie in [*CONTROL, *ASSETS]:
            with self.subTest(lie=lie):
                grant = self.granted("revoke " + lie)
                try:
                    self.rpc.call("grant.revoke", grant=grant)
                except RpcError as e:
                    self.assertIn(e.reason, {*CONTROL.values(), *ASSETS.values()})
                seen = self.box.grant(grant)
                self.assertIn(seen["state"], ("ending", "ended"))
                with self.assertRaises(RpcError):
                    self.rpc.call("grant.token", grant=grant)
                if seen["state"] == "ending":
                    self.rpc.call("grant.revoke", grant=grant, force=True)
                    wait_for(lambda: self.box.grant(grant)["state"] == "ended", 10)
        for lie in ("unlisted", "silence"):  # what it does not say is closed is left to a person
            grant = self.granted("revoke " + lie)
            self.rpc.call("grant.revoke", grant=grant)
            states = {s["kind"]: s["state"] for s in self.box.grant(grant)["surfaces"]}
            self.assertEqual(states["token"], "manual")
        self.whole()

    def test_in_scan(self):
        for lie, word in SCAN.items():
            with self.subTest(lie=lie):
                self.refused(word, "hub.scan", hub="h_" + lie)
        self.whole()

    def notice(self, app):
        line = http.client.HTTPConnection("127.0.0.1", self.box.port, timeout=30)
        try:
            line.request("POST", f"/hook/main.{app}", "{}", {"Content-Type": "application/json"})
            answer = line.getresponse()
            return answer.status, answer.read()
        finally:
            line.close()

    def test_in_notice(self):
        """Whatever it says, and in whatever way: nothing is recorded of it, and the page says no."""
        for lie in NOTICE:
            with self.subTest(lie=lie):
                status, body = self.notice("n_" + lie)
                self.assertEqual(status, 403)
                self.assertIn(b"NOTICE_REFUSED", body)
        self.assertEqual(self.rpc.call("event.list", types=["platform.notice"])["events"], [])
        for lie in ("odd_reply", "huge_reply", "far_dates"):  # heard; an odd reply is none
            status, body = self.notice("n_" + lie)
            self.assertEqual((status, body), (200, b"heard" if lie == "far_dates" else b""))
        self.whole()


if __name__ == "__main__":
    unittest.main()
