#!/usr/bin/env python3
"""Reason words that are met on rare ways: each is provoked in the daemon as it runs, and nothing has changed after."""
import json
import os
import re
import socket
import subprocess
import threading
import unittest

import test_native
from harness import AS_ORIGIN, SHARED, Box, GrantdTest, RpcError, description, program, wait_for
from sandboxed import Roles


class RolesOfPinterest(Roles, GrantdTest):
    def test_each_role_is_shown(self):
        """The one platform of this folder without a sandbox; the others' tests do the same."""
        self.box.apps["pin"] = {"platform": "pinterest", "client_id": "1",
                                "client_secret": {"file": self.box.secret_file("pin")[0]}}
        self.box.hubs["us"] = {"platform": "pinterest", "app": "pin", "id": "729090764583391194",
                               "access_token": {"file": self.box.secret_file("us")[0]}}
        self.box.start()
        self.assertEqual(self.roles_are_shown("pin"), {None: "ANALYST", "share": "ANALYST", "request": "ANALYST",
                                                       "token": None})
        shown = self.box.ctl("platform", "get", "pinterest", check=False).stdout
        self.assertRegex(shown, r"name: ANALYST\n  title: Analyst\n  default: yes\n  default_in: share request\n")


class Refusals(test_native.AtlasTest):
    def setUp(self):
        super().setUp()
        self.who = self.client()

    def everything(self):
        return [self.rpc.call(method) for method in ("client.list", "request.list", "grant.list", "hub.list")]

    def unchanged(self, word, method, **params):
        before = self.everything()
        self.refused(word, method, **params)
        self.assertEqual(self.everything(), before)

    def test_what_the_platform_does_not_have(self):
        self.unchanged("ROLE_UNKNOWN", "request.create", client=self.who, items=[{"app": "atlas", "role": "painter"}])
        self.unchanged("NOT_SUPPORTED", "request.create", client=self.who, items=[{"app": "atlas", "mode": "osmosis"}])
        self.unchanged("HUB_UNKNOWN", "hub.connect", hub="nobody")
        self.unchanged("HUB_UNKNOWN", "hub.scan", hub="nobody")

    def test_an_item_of_a_time_when_no_role_was_decided(self):
        """What is shown and asked for it is the default; a new one has it written down."""
        link, request = self.ask({"mode": "both", "asset": "a1"}, client=self.who)
        self.assertEqual([item["role"] for item in self.items(request)], ["analyst"])
        self.box.rows("UPDATE items SET role = NULL")
        self.assertEqual([item["role"] for item in self.items(request)], [None])
        page = self.box.browser().open(link)
        for words in ("Analyst", "see figures", "change anything"):
            self.assertIn(words, page.text)
        self.approve(link)
        ((grant,),) = self.granted(request)
        self.assertEqual(grant["role"]["asked"], "analyst")
        self.assertEqual([b["role"] for p, b in self.atlas.bodies if p == "/share"], ["analyst"])

    def test_a_grant_that_is_being_closed(self):
        ((grant,),) = self.consent({"mode": "both", "asset": "a1"}, client=self.who)
        self.atlas.fail("/unshare", 503, 99)
        self.rpc.call("grant.revoke", grant=grant["id"])
        self.assertEqual(self.box.grant(grant["id"])["state"], "ending")
        self.refused("GRANT_ENDING", "grant.token", grant=grant["id"])
        self.assertEqual(self.box.grant(grant["id"])["reason"], "GRANT_ENDING")
        self.atlas.faults.clear()
        wait_for(lambda: self.box.grant(grant["id"])["state"] == "ended", 30)

    def test_a_flow_that_a_crash_interrupts(self):
        """Before the platform answered with a token nothing can be resumed: the person sees it and approves again."""
        link, request = self.ask({"mode": "both", "asset": "a1"}, client=self.who)
        self.atlas.hang("/token")
        browser, seen = self.box.browser(), []

        def approve():
            try:
                browser.open(link)
                browser.walk(login="anna")
            except Exception as e:  # its connection dies with the daemon
                seen.append(e)

        thread = threading.Thread(target=approve)
        thread.start()
        self.assertTrue(self.atlas.held.wait(10))
        self.box.daemon.kill9()
        thread.join(20)
        self.atlas.hold.set()
        self.box.start()
        self.assertNotIn("granted", self.states(request))
        row = self.rows("SELECT status, outcome, reason FROM flows")
        self.assertEqual(row, [("failed", "failed", "FLOW_INTERRUPTED")])
        self.approve(link)
        self.granted(request)

    def rows(self, sql):
        return self.box.rows(sql)


class Hubs(test_native.AtlasTest):
    def setUp(self):
        super().setUp()
        self.box.daemon.stop()
        del self.box.hubs["agency"]["access_token"]
        self.box.start()

    def test_a_hub_without_a_credential(self):
        hub = self.rpc.call("hub.get", hub="agency")["hub"]
        self.assertEqual((hub["state"], hub["reason"]), ("unconnected", "HUB_NOT_CONNECTED"))
        seen = self.rpc.call("hub.check", hub="agency")
        self.assertIn("HUB_NOT_CONNECTED", json.dumps(seen))
        self.assertEqual(self.rpc.call("hub.get", hub="agency")["hub"], hub)
        self.assertEqual([p for p, _ in self.atlas.bodies], [])


class Doubt(GrantdTest):
    def test_a_commit_that_says_nothing(self):
        """The store does not say whether it kept a client. The caller is told so; after a start it is seen that it did.
        A database that can be asked afterwards leaves nobody in doubt: it had kept it."""
        self.box.start(faults="store.commit:eio:40")
        words = []
        for number in range(60):
            try:
                self.rpc.call("client.create", name=f"client {number}")
            except RpcError as e:
                words.append(e.reason)
                break
        self.assertEqual(words, [] if SHARED else ["STORE_UNCERTAIN"])
        self.assertEqual('"store.commit_decided","there":true' in self.box.log_tail(100000), SHARED)
        self.box.daemon.kill9()
        self.box.start()
        names = [c["name"] for c in self.rpc.call("client.list")["clients"]]
        self.assertEqual(sorted(names), sorted(f"client {n}" for n in range(number + 1)))


class Trimmed(GrantdTest):
    def test_a_cursor_from_before(self):
        """Some events are no longer kept: who goes on from one of those is told so, by list and by subscribe."""
        self.box.start()
        for number in range(4):
            self.rpc.call("client.create", name=f"client {number}")
        ids = [e["id"] for e in self.rpc.call("event.list")["events"]]
        self.assertEqual(len(ids), 4)
        self.box.daemon.stop()
        self.box.rows("DELETE FROM events WHERE id < ?", ids[2])
        self.box.rows("UPDATE events SET type = 'event.trimmed', subject = '', data = NULL WHERE id = ?", ids[2])
        self.box.start()
        for method in ("event.list", "event.subscribe"):
            self.refused("EVENT_CURSOR_TOO_OLD", method, cursor=ids[1])
        self.assertEqual([e["type"] for e in self.rpc.call("event.list")["events"]], ["event.trimmed", "client.created"])
        self.assertEqual([e["id"] for e in self.rpc.call("event.list", cursor=ids[2])["events"]], [ids[3]])
        self.assertEqual(self.rpc.call("event.subscribe", cursor=ids[2])["cursor"], ids[2])
        self.assertEqual(json.loads(self.rpc.line())["params"]["id"], ids[3])


class Audit(GrantdTest):
    def test_a_log_that_somebody_else_signed(self):
        """Whole in itself, but not under this daemon's key: a file says whatever key it likes."""
        self.box.start()
        self.assertTrue(self.rpc.call("audit.verify")["ok"])
        other = Box()
        self.addCleanup(other.remove)
        self.addCleanup(other.end)
        other.start()
        other.daemon.rpc.call("client.create", name="Mallory")
        other.daemon.stop()
        names = ("audit.log", "audit.log.head")
        kept = {name: self.whole(self.box, name) for name in names}
        for name in names:
            self.put(name, self.whole(other, name))
        done = subprocess.run([program("grantctl"), "audit", "verify", "--file", os.path.join(self.box.state, names[0])],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=20, check=False)
        self.assertEqual(done.returncode, 0, done.stdout)  # offline nobody can know the key
        verdict = self.rpc.call("audit.verify")
        self.assertEqual((verdict["ok"], verdict["bad_line"], verdict["why"]), (False, 1, "the log names another key"))
        self.box.daemon.kill9()
        for name in names:
            self.put(name, kept[name])
        self.box.start()
        self.assertTrue(self.rpc.call("audit.verify")["ok"])

    def whole(self, box, name):
        with open(os.path.join(box.state, name), "rb") as file:
            return file.read()

    def put(self, name, data):
        with open(os.path.join(self.box.state, name), "wb") as file:
            file.write(data)


class Guard(GrantdTest):
    def test_what_our_own_guard_refuses_freezes_no_app(self):
        """A token address that grantd may not talk to is the operator's matter: the grants wait, the app is not frozen."""
        server = self.box.accounting()
        self.box.policy_app(server, "none", at_ttl=600)
        self.box.start()
        grants = [self.box.consent("none", login=name) for name in ("anna", "bea", "carl")]
        self.box.daemon.stop()
        wrong = description("none", AS_ORIGIN)
        wrong["token"]["url"] = f"https://localhost:{self.box.port}/token"
        self.box.provider(wrong)
        self.box.start()
        for grant in grants:
            before = self.rpc.call("grant.token", grant=grant)["gen"]
            with self.assertRaises(RpcError) as caught:
                self.rpc.call("grant.refresh", grant=grant)
            self.assertEqual(caught.exception.reason, "EGRESS_DENIED")
            self.assertEqual(self.rpc.call("grant.token", grant=grant)["gen"], before)
            self.assertEqual(self.box.grant(grant)["layers"]["token"]["status"], "retrying")
        self.assertNotEqual(self.rpc.call("app.get", app="none")["app"]["state"], "frozen")
        self.box.daemon.stop()
        self.box.provider(description("none", AS_ORIGIN))
        self.box.start()
        for grant in grants:
            self.rpc.call("grant.refresh", grant=grant)
            self.assertEqual(self.box.grant(grant)["layers"]["token"]["status"], "current")


class Http(GrantdTest):
    """The RPC socket as an HTTP client sees it."""

    def ask(self, data):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(5)
            s.connect(self.box.socket_path)
            s.sendall(data)
            answer = b""
            while chunk := s.recv(65536):  # the daemon closes; this side has not
                answer += chunk
        head, _, body = answer.partition(b"\r\n\r\n")
        return int(head.split()[1]), head, body

    def test_what_is_announced_is_not_waited_for(self):
        self.box.start()
        for more in (b"", b"Expect: 100-continue\r\n"):
            for length in (b"65537", b"99999999", b"18446744073709551615"):
                status, _, body = self.ask(b"POST / HTTP/1.1\r\nHost: x\r\n" + more + b"Content-Length: " + length + b"\r\n\r\n")
                self.assertEqual((status, json.loads(body)["error"]["data"]["reason"]), (413, "FRAME_TOO_LARGE"))

    def test_other_verbs(self):
        self.box.start()
        before = self.rpc.call("client.list")
        call = b'{"jsonrpc":"2.0","id":1,"method":"client.create","params":{"name":"Mallory"}}'
        for verb in (b"GET", b"PUT", b"DELETE", b"OPTIONS", b"PATCH", b"HEAD"):
            with self.subTest(verb=verb):
                status, head, body = self.ask(verb + b" / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(call) + call)
                self.assertEqual(status, 405)
                self.assertIn(b"Allow: POST", head)
                if verb == b"HEAD":
                    self.assertEqual(body, b"")
                else:
                    error = json.loads(body)["error"]
                    self.assertEqual(error["data"]["reason"], "HTTP_INVALID")
                    self.assertIn("POST", error["message"])
        self.assertEqual(self.rpc.call("client.list"), before)


class Portal(GrantdTest):
    def test_bytes_that_are_not_http(self):
        self.box.start()
        for data in (b"GET / HTTP/1.1\n\n", b"GET / HTTP/1.1\r\nHost : x\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00"):
            with socket.create_connection(("127.0.0.1", self.box.port), 5) as s:
                s.sendall(data)
                s.shutdown(socket.SHUT_WR)
                answer = b""
                while chunk := s.recv(65536):
                    answer += chunk
            self.assertRegex(answer, rb"^HTTP/1\.1 400 ")
        wait_for(lambda: len(re.findall(r'"reason":"HTTP_MALFORMED"', self.box.log_tail(20000))) == 3)
        self.assertEqual(self.rpc.call("request.list")["requests"], [])


if __name__ == "__main__":
    unittest.main()
