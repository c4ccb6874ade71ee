#!/usr/bin/env python3
"""T10, a link that was forwarded: it shows what is still asked and nothing of the past. What was given is shown after
a code that goes to the client's own address; whoever types it may take back. Against a real SMTP server."""
import os
import re
import secrets
import ssl
import subprocess
import unittest

import mailed
from harness import GrantdTest, free_port, wait_for
from mailed import AGAIN, BACK, ENTER, SHOW, Controller, Postbox


class Code(mailed.MailTest):
    def test_only_to_the_addressee(self):
        self.box.start()
        self.given()
        visitor = self.box.browser()
        visitor.open(self.link)
        page = self.press(visitor, SHOW)
        self.assertEqual(page.status, 200)
        self.assertIn("six digits", page.text)
        sender, to, mail = self.postbox.mails[0]
        self.assertEqual((sender, to, len(self.postbox.mails)), ("grants@agency.example", ["anna@client.example"], 1))
        self.assertEqual(mail["To"], "anna@client.example")
        self.assertIn("Größe & Søn", mail["From"])
        self.assertTrue(mail["Date"] and mail["Message-ID"].endswith("@agency.example>"))
        self.assertNotIn(self.postbox.code(), page.text)
        def log():
            with open(self.box.log_path, encoding="utf-8") as file:
                return file.read()
        wait_for(lambda: "mail.sent" in log(), 10)  # the mail is there before that is said
        self.assertNotIn(self.postbox.code().replace(" ", ""), log())
        self.audit("portal.code", [("request", None), ("done", "ok")])

    def test_a_forwarded_link_shows_nothing_of_the_past(self):
        self.box.start()
        self.given()
        stranger = self.box.browser()
        for link in (self.first_link, self.link):
            page = stranger.open(link)
            self.assertEqual(page.status, 200)
            for word in ("Given.", "Given on", "Take back", "In force", "berta", "anna@"):
                self.assertNotIn(word, page.text)
        self.assertIn("Given.", self.owner.open(self.first_link).text)  # the browser that was there
        # An attempt that was only begun opens nothing.
        stranger.open(self.link)
        chosen = stranger.choose()
        stranger.submit(chosen[0], None, chosen[1], stay=True)
        self.assertNotIn("Given.", stranger.open(self.first_link).text)

    def test_take_back(self):
        self.box.start()
        grant = self.given()
        visitor = self.box.browser()
        page = self.opened(visitor)
        self.assertIn("In force.", page.text)
        self.assertIn("Given on 20", page.text)
        # Another browser with the same link sees nothing, and cannot act.
        other = self.box.browser()
        self.assertNotIn("In force.", other.open(self.link).text)
        form, button = visitor.choose(BACK)
        pairs = dict(form.pairs(None, button))
        pairs["csrf"] = dict(other.page.forms[-1].pairs(None, None))["csrf"]
        self.reasons(other.post(self.link, pairs), "CODE_NEEDED")
        self.assertEqual(self.box.grant(grant)["state"], "active")
        visitor.open(self.link)
        page = self.press(visitor, BACK)
        self.assertIn("Taken back.", page.text)
        self.assertIn("is closed.", page.text)
        self.assertEqual(self.box.grant(grant)["state"], "ended")
        self.assertEqual(self.server.get("/_ctl/report")["families"][-1]["revoked"], "revoked")
        self.audit("portal.take_back", [("request", None), ("done", "ok")])
        self.assertTrue(self.rpc.call("audit.verify")["ok"])

    def test_not_the_grant_of_another_client(self):
        self.box.start()
        theirs = self.box.consent("strict", login="berta")
        self.given()
        visitor = self.box.browser()
        self.opened(visitor)
        form, button = visitor.choose(BACK)
        page = visitor.submit(form, {"grant": theirs}, button)
        self.reasons(page, "NOT_FOUND") if page.status != 404 else self.assertIn("NOT_FOUND", page.text)
        self.assertEqual(self.box.grant(theirs)["state"], "active")

    def test_it_closes_again(self):
        self.box.start()
        self.given()
        visitor = self.box.browser()
        self.assertIn("In force.", self.opened(visitor).text)
        self.rpc.call("daemon.clock", by=15 * 60 + 1)
        self.assertNotIn("In force.", visitor.open(self.link).text)

    def test_blanks_are_taken_and_reuse_is_not(self):
        self.box.start()
        self.given()
        visitor = self.box.browser()
        visitor.open(self.link)
        self.press(visitor, SHOW)
        code = self.postbox.code()
        typed = " " + " ".join(code.replace(" ", "")) + "\u00a0\t"
        form, button = visitor.choose(ENTER)
        self.assertIn("In force.", visitor.submit(form, {"code": typed}, button).text)
        # The same digits once more, from another browser that asked before.
        other = self.box.browser()
        other.open(self.link)
        csrf = dict(other.page.forms[-1].pairs(None, None))["csrf"]
        self.reasons(other.post(self.link, {"csrf": csrf, "act": "enter", "code": code}), "CODE_WRONG")
        self.audit("portal.open", [("request", None), ("done", "ok"), ("request", None), ("done", "CODE_WRONG")])

    def test_the_sixth_try_is_locked(self):
        self.box.start()
        self.given()
        owner = self.box.browser()
        owner.open(self.link)
        self.press(owner, SHOW)
        right = self.postbox.code().replace(" ", "")
        wrong = f"{(int(right) + 1) % 1000000:06d}"
        for n in range(5):  # counted per request: each from a browser of its own
            guesser = self.box.browser()
            guesser.open(self.link)
            csrf = dict(guesser.page.forms[-1].pairs(None, None))["csrf"]
            self.reasons(guesser.post(self.link, {"csrf": csrf, "act": "enter", "code": wrong}), "CODE_WRONG")
        page = self.press(owner, ENTER, code=right)
        self.reasons(page, "CODE_LOCKED")
        self.assertEqual(page.status, 429)
        owner.open(self.link)
        self.assertIsNone(owner.choose(BACK))
        self.reasons(self.press(owner, AGAIN), "CODE_LOCKED")
        self.assertEqual(len(self.postbox.mails), 1)
        wait_for(lambda: self.recorded("portal.open")[-1] == ("done", "CODE_LOCKED"), 5)
        # What is no guess is not counted, and a day later it works again.
        self.rpc.call("daemon.clock", by=86400 + 1)
        self.assertIn("In force.", self.opened(owner).text)

    def test_expired(self):
        self.box.start()
        self.given()
        visitor = self.box.browser()
        visitor.open(self.link)
        self.press(visitor, SHOW)
        form, button = visitor.choose(ENTER)
        self.rpc.call("daemon.clock", by=601)
        self.reasons(visitor.submit(form, {"code": self.postbox.code()}, button), "CODE_EXPIRED")
        self.assertIsNotNone(visitor.open(self.link) and visitor.choose(SHOW))

    def test_three_an_hour(self):
        self.box.start()
        self.given()
        visitor = self.box.browser()
        visitor.open(self.link)
        self.press(visitor, SHOW)
        first = self.postbox.code()
        self.press(visitor, AGAIN)
        self.press(visitor, AGAIN)
        self.reasons(self.press(visitor, AGAIN), "CODE_LIMITED")
        self.assertEqual(len(self.postbox.mails), 3)
        if first != self.postbox.code():  # only the newest counts
            visitor.open(self.link)
            self.reasons(self.press(visitor, ENTER, code=first), "CODE_WRONG")
        self.rpc.call("daemon.clock", by=3601)
        self.assertIn("In force.", self.opened(visitor).text)
        self.assertEqual(len(self.postbox.mails), 4)

    def test_the_store_holds_no_code(self):
        self.box.start()
        self.given()
        visitor = self.box.browser()
        visitor.open(self.link)
        self.press(visitor, SHOW)
        code = self.postbox.code().replace(" ", "").encode()
        self.assertEqual(self.box.daemon.stop(), 0)
        for path in self.box.databases():
            with open(path, "rb") as file:
                self.assertIsNone(re.search(rb"(?<!\d)" + code + rb"(?!\d)", file.read()), path)

    def test_a_server_that_says_no(self):
        self.box.start()
        self.given()
        visitor = self.box.browser()
        visitor.open(self.link)
        self.postbox.no = "550 nobody here"
        self.reasons(self.press(visitor, SHOW), "MAIL_REFUSED")
        visitor.open(self.link)
        self.postbox.no = "451 later"
        self.reasons(self.press(visitor, AGAIN), "MAIL_FAILED")
        self.audit("portal.code", [("request", None), ("done", "MAIL_REFUSED"),
                                   ("request", None), ("done", "MAIL_FAILED")])

    def test_wrong_password(self):
        self.box.start()
        self.given()
        self.password = secrets.token_hex(8)
        visitor = self.box.browser()
        visitor.open(self.link)
        self.reasons(self.press(visitor, SHOW), "MAIL_FAILED")
        self.assertEqual(self.postbox.mails, [])

    def test_nothing_is_offered_without_mail_or_address(self):
        self.box.start()
        client = self.rpc.call("client.create", name="No address")["client"]["id"]
        link, _ = self.request(client)
        visitor = self.box.browser()
        visitor.open(link)
        self.assertIsNone(visitor.choose(SHOW))
        csrf = dict(visitor.page.forms[-1].pairs(None, None))["csrf"]
        self.reasons(visitor.post(link, {"csrf": csrf, "act": "ask"}), "CLIENT_NO_ADDRESS")
        self.box.daemon.stop()
        self.box.extra = ""
        self.box.start()
        link, _ = self.request(self.client())
        visitor.open(link)
        self.assertIsNone(visitor.choose(SHOW))
        csrf = dict(visitor.page.forms[-1].pairs(None, None))["csrf"]
        self.reasons(visitor.post(link, {"csrf": csrf, "act": "ask"}), "MAIL_NOT_CONFIGURED")

    def test_names_cannot_write_the_head(self):
        self.box.extra = self.box.extra.replace("Größe & Søn", 'A\\" <evil@x.example>')
        self.box.start()
        self.refused("PARAM_INVALID", "client.create", name="Anna\n.\nRCPT TO:<evil@x.example>")
        link, _ = self.request(self.client("Anna <evil@x.example>, .\u2028.\u2028Bcc: evil@x.example"))
        visitor = self.box.browser()
        visitor.open(link)
        self.press(visitor, SHOW)
        _, to, mail = self.postbox.mails[0]
        self.assertEqual((to, len(self.postbox.mails)), (["anna@client.example"], 1))
        self.assertEqual([one.addr_spec for one in mail["From"].addresses], ["grants@agency.example"])
        self.assertTrue(self.postbox.code())


class Link(mailed.MailTest):
    """The link itself by mail: then nobody but the addressee has it."""

    def link(self):
        link = re.search(r"^http://\S+$", self.postbox.text(), re.M).group(0)
        self.box.canaries.add(link.rsplit("/", 1)[1].encode())
        return link

    def events(self):
        return [one["type"] for one in self.rpc.call("event.list", limit=1000)["events"]]

    def test_create_and_remind(self):
        self.box.start()
        client = self.client()
        made = self.rpc.call("request.create", client=client, items=[{"app": "strict"}], notify=True,
                             message="Bitte bis Freitag, schöne Grüße.\n.")
        self.assertNotIn("link", made)
        self.assertIs(made["notified"], True)
        first = self.link()
        self.assertNotIn(first.rsplit("/", 1)[1], str(made))
        self.assertIn("schöne Grüße.\n.\n", self.postbox.text())
        self.assertIn("Größe & Søn asks you for access", self.postbox.mails[0][2]["Subject"])
        self.assertEqual(self.box.browser().open(first).status, 200)
        again = self.box.ctl("request", "remind", made["request"]["id"], "--notify")
        self.assertIs(again["notified"], True)
        second = self.link()
        self.assertNotEqual(first, second)
        self.assertEqual(self.box.browser().open(second).status, 200)
        self.assertEqual([mail[1] for mail in self.postbox.mails], 2 * [["anna@client.example"]])
        self.assertEqual(self.events().count("request.notified"), 2)

    def test_nothing_is_made_that_cannot_be_mailed(self):
        self.box.start()
        items = [{"app": "strict"}]
        nobody = self.rpc.call("client.create", name="No address")["client"]["id"]
        self.refused("CLIENT_NO_ADDRESS", "request.create", client=nobody, items=items, notify=True)
        self.assertEqual(self.rpc.call("request.list")["requests"], [])
        self.postbox.no = "550 nobody here"
        client = self.client()
        error = self.refused("MAIL_REFUSED", "request.create", client=client, items=items, notify=True)
        made = self.rpc.call("request.list")["requests"]
        self.assertEqual(len(made), 1)
        self.assertIn(made[0]["id"], str(error))  # it stands, and can be mailed again
        self.postbox.no = None
        self.assertTrue(self.rpc.call("request.remind", request=made[0]["id"], notify=True)["notified"])
        self.box.daemon.stop()
        self.box.extra = ""
        self.box.start()
        self.refused("MAIL_NOT_CONFIGURED", "request.remind", request=made[0]["id"], notify=True)


class Tls(GrantdTest):
    """A mail server that is not known to be this machine has to speak TLS, with a certificate that holds."""
    HOST = "mail.localhost"  # resolves to the loopback, and is no name of it to grantd

    def serve(self, tls, scheme="smtp", trusted=True, **more):
        self.postbox = Postbox()
        self.smtp = Controller(self.postbox, hostname="127.0.0.1", port=free_port(), tls_context=tls, **more)
        self.smtp.start()
        self.addCleanup(self.smtp.stop)
        if trusted:
            self.box.limits["ca_file"] = os.path.join(self.box.folder, "cert.pem")
        self.box.policy_app(self.box.accounting(), "strict")
        self.box.extra = f"mail: {{url: '{scheme}://{self.HOST}:{self.smtp.port}', from: grants@agency.example}}\n"
        self.box.start()
        self.params = {"client": self.rpc.call("client.create", name="Anna", email="anna@client.example")["client"]["id"],
                       "items": [{"app": "strict"}], "notify": True}

    def certificate(self):
        key, cert = (os.path.join(self.box.folder, name) for name in ("key.pem", "cert.pem"))
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-days", "2", "-subj", f"/CN={self.HOST}", "-addext", f"subjectAltName=DNS:{self.HOST}",
                        "-keyout", key, "-out", cert], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(cert, key)
        return context

    def test_plain_text_is_refused(self):
        self.serve(None, trusted=False)
        error = self.refused("MAIL_FAILED", "request.create", **self.params)
        self.assertIn("no TLS", str(error))
        self.assertEqual(self.postbox.mails, [])

    def test_starttls(self):
        self.serve(self.certificate(), require_starttls=True)
        self.arrives()

    def test_tls_from_the_start(self):
        self.serve(None, scheme="smtps", ssl_context=self.certificate())
        self.arrives()

    def arrives(self):
        self.assertTrue(self.rpc.call("request.create", **self.params)["notified"])
        link = re.search(r"^http://\S+$", self.postbox.text(), re.M).group(0)
        self.box.canaries.add(link.rsplit("/", 1)[1].encode())
        self.assertEqual(self.postbox.mails[0][1], ["anna@client.example"])

    def test_a_certificate_that_nobody_vouches_for(self):
        self.serve(self.certificate(), trusted=False)
        error = self.refused("MAIL_FAILED", "request.create", **self.params)
        self.assertIn("certificate", str(error))
        self.assertEqual(self.postbox.mails, [])


if __name__ == "__main__":
    unittest.main()
