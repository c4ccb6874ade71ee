"""What the tests of mails stand on: a real SMTP server, a client who gave something, and the browser that asks for it."""
import email
import email.policy
import logging
import os
import re
import sys

sys.path.append("/usr/lib/python3/dist-packages")  # where Debian's package lies, whichever Python runs the tests
from aiosmtpd.controller import Controller  # noqa: E402
from aiosmtpd.smtp import AuthResult  # noqa: E402

from harness import GrantdTest, free_port, wait_for  # noqa: E402

SHOW, ENTER, AGAIN, BACK = (re.compile(text) for text in (
    "Show what was given", "Show it", "Send another code", "Take back"))
USER = "grants"
logging.getLogger("mail").setLevel(logging.CRITICAL)  # what the server thinks of its callers is no news


class Postbox:
    """Keeps what arrives; says no where it is told to."""

    def __init__(self):
        self.mails, self.no = [], None

    async def handle_RCPT(self, _server, _session, envelope, address, _options):
        if self.no:
            return self.no
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server, _session, envelope):
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        self.mails.append((envelope.mail_from, list(envelope.rcpt_tos), mail))
        return "250 taken"

    def text(self):
        return self.mails[-1][2].get_content().replace("\r\n", "\n")

    def code(self):
        return re.search(r"^    (\d{3} \d{3})$", self.text(), re.M).group(1)


class MailTest(GrantdTest):
    def setUp(self):
        super().setUp()
        self.server = self.box.accounting()
        self.postbox = Postbox()
        password_file, self.password = self.box.secret_file("mail")
        self.smtp = Controller(self.postbox, hostname="127.0.0.1", port=free_port(), auth_require_tls=False,
                               auth_required=True, authenticator=self.login)
        self.smtp.start()
        self.addCleanup(self.smtp.stop)
        self.box.extra = (f"mail: {{url: 'smtp://127.0.0.1:{self.smtp.port}', from: grants@agency.example,"
                          f" user: {USER}, password: {{file: '{password_file}'}}}}\n"
                          "titles: {main: \"Größe & Søn\"}\n")
        self.box.args = ["--virtual-clock", os.path.join(self.box.folder, "clock")]
        self.box.policy_app(self.server, "strict", at_ttl=86400 * 30)

    def login(self, _server, _session, _envelope, _mechanism, data):
        return AuthResult(success=(data.login, data.password) == (USER.encode(), self.password.encode()))

    def press(self, browser, pattern, **changes):
        chosen = browser.choose(pattern)
        self.assertIsNotNone(chosen, browser.page.text)
        return browser.submit(chosen[0], changes, chosen[1])

    def client(self, name="Anna Bakery", **more):
        return self.rpc.call("client.create", name=name, email="anna@client.example", **more)["client"]["id"]

    def request(self, client):
        made = self.rpc.call("request.create", client=client, confirm=False, items=[{"app": "strict"}])
        self.box.canaries.add(made["link"].rsplit("/", 1)[1].encode())
        return made["link"], made["request"]["id"]

    def given(self):
        """A client who gave something, and a second link that asks for more."""
        client = self.client()
        link, request = self.request(client)
        self.owner = self.box.browser()
        self.owner.open(link)
        self.owner.walk(login="anna")
        grant = self.rpc.call("request.get", request=request)["request"]["items"][0]["grants"][0]
        self.first_link = link
        self.link, self.second = self.request(client)
        return grant

    def opened(self, browser, link=None):
        browser.open(link or self.link)
        self.press(browser, SHOW)
        return self.press(browser, ENTER, code=self.postbox.code())

    def audit(self, act, wanted):
        """What the audit log tells of it, in the end (nobody waits for the last record)."""
        wait_for(lambda: self.recorded(act) == wanted, 5)

    def recorded(self, act):
        return [(one["phase"], one.get("outcome")) for one in self.rpc.call("audit.list", limit=500)["records"]
                if one["act"] == act]

    def reasons(self, page, word):
        self.assertIn(word, page.text)
        self.assertIn(page.status, (400, 403, 409, 429, 503))
