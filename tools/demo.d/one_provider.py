"""The first walk of tools/demo: one platform by description, against a server that we did not write."""
import re

from provider import ISSUER, TOKEN_SECONDS, Provider
from stage import Stage
from browser import Browser


class OneProvider(Stage):
    def __init__(self, build, by_hand):
        super().__init__(build)
        self.by_hand, self.seen = by_hand, None

    def token(self):
        return self.grantctl("grant", "token", self.grant)

    def walk(self):
        self.servers()
        self.ask()
        self.approve()
        self.use()
        self.stay_alive()
        self.crash()
        self.end_access()
        self.audit()

    def servers(self):
        self.step("An authorization server that we did not write starts (npm oidc-provider; it rotates refresh tokens, "
                  "and a spent one that comes back kills the whole grant)")
        self.provider = Provider(self)
        self.say(f"{ISSUER} is {self.provider.relay.base} here; its access tokens live {TOKEN_SECONDS} seconds")
        self.step("grantd starts: embedded store, keys and folders made by itself")
        self.configure(self.free_port(), self.provider.config(self.secret("client", self.provider.client_secret)))
        self.start_daemon()
        self.grantctl("app", "list", show=True)
        app = self.grantctl("app", "get", "demo")["app"]
        self.provider.register(app["redirect_uri"])
        self.say(f"registered at the server, as in a developer console: {app['redirect_uri']}")

    def ask(self):
        self.step("The agency has a client and asks for access: one link")
        client = self.grantctl("client", "create", "Anna Bakery", "--email", "anna@client.example")["client"]["id"]
        shown = self.grantctl("request", "create", client, "--item", "app=demo", "--qr", show=True)
        found = re.search(r"http://\S+/a/\S+", shown)
        self.must(found, "no link was printed")
        self.must("█" in shown or "▀" in shown or "▄" in shown, "no QR code was printed")
        self.link = found.group(0)
        self.request = self.grantctl("request", "list", "--client", client)["requests"][0]["id"]

    def approve(self):
        if self.by_hand:
            self.step("Open the link in a browser on this machine, sign in with any name, allow. Waiting for you (10 minutes)")
            self.wait(self.approved, 600, "nobody approved")
        else:
            self.step("The client opens the link in a browser, signs in at the server, allows")
            browser = Browser()
            page = browser.open(self.link)
            self.must(page.status == 200, f"the link answers {page.status}: {page.text}")
            page = browser.walk(login="anna", say=self.say)
            self.say(f"and ends at “{page.title}”: {page.text[:160]}")
            self.must(page.status == 200, "the browser does not end well")
        item = self.item()
        self.must(item["state"] == "granted", f"the item is {item['state']}")
        self.grant = item["grants"][0]
        self.step("The operator sees who approved, and confirms")
        self.grantctl("grant", "confirm", self.grant)
        self.grantctl("grant", "get", self.grant, show=True)

    def approved(self):
        """Has the person allowed it? What else came of it is told, each time."""
        item = self.item()
        if (item["state"], item["reason"]) != self.seen and item["reason"]:
            self.say(f"{item['reason']}: {item['reason_text']}. Open the link again to allow, or end with Ctrl-C")
        self.seen = item["state"], item["reason"]
        return item["state"] == "granted"

    def item(self):
        return self.grantctl("request", "get", self.request)["request"]["items"][0]

    def use(self):
        self.step("A program of the agency asks the local socket for a living token and uses it")
        got = self.token()
        status, who = self.provider.userinfo(got["access_token"])
        self.must(status == 200, f"the server answers {status}")
        self.say(f"token {got['access_token'][:6]}… of generation {got['gen']}; the server says it is “{who['sub']}”")

    def gen(self):
        return self.grantctl("grant", "get", self.grant)["grant"]["layers"]["token"]["gen"]

    def stay_alive(self):
        self.step("grantd keeps it alive: two scheduled refreshes, nobody asked for them")
        begun = self.gen()
        for more in (1, 2):
            self.wait(lambda more=more: self.gen() >= begun + more, 4 * TOKEN_SECONDS, "no scheduled refresh came")
            self.say(f"refresh {more}: new tokens are stored and current, the old refresh token is spent")
        got = self.token()
        self.must(got["gen"] >= begun + 2 and self.provider.userinfo(got["access_token"])[0] == 200, "the token does not work")
        self.say(f"the token is now of generation {got['gen']} and works")

    def crash(self):
        self.step("kill -9 in the middle of a refresh (the relay holds that request back, then grantd dies)")
        self.provider.hold_refresh()
        self.wait(lambda: self.provider.held() == 1, 4 * TOKEN_SECONDS, "no refresh was on its way")
        before = self.provider.report()
        self.kill_daemon()
        self.say("grantd is dead; its refresh token was on the wire, nobody knows whether it was spent")
        self.wait(lambda: self.provider.dropped() >= 1, 5, "the relay still holds the request")
        self.start_daemon()
        self.say("grantd is back, finds the open intent, waits the quiet period out, and only then asks again")
        self.wait(lambda: self.provider.report()["refresh"] > before["refresh"], 40, "no refresh came after the crash")
        self.wait(lambda: self.grantctl("grant", "get", self.grant)["grant"]["state"] == "active", 10,
                  "the grant is not active")
        seen = self.provider.report()
        self.must(seen["families_killed"] == 0 and seen["refresh_refused"] == 0, "a spent token was presented")
        self.must(self.provider.userinfo(self.token()["access_token"])[0] == 200, "the token does not work after the crash")
        self.say("the grant lives; no spent token was ever presented")

    def end_access(self):
        self.step("Verify: what the platform sees is what was granted")
        verified = self.grantctl("grant", "verify", self.grant)
        self.must(verified["differences"] == [], f"differences: {verified['differences']}")
        self.say("no differences")
        self.step("The client leaves: revoke, and the server agrees that it is gone")
        token = self.token()["access_token"]
        self.must(self.provider.introspect(token), "the token should still live")
        self.say(f"$ grantctl grant revoke {self.grant} --reason 'client left'")
        ended = self.grantctl("grant", "revoke", self.grant, "--reason", "client left")
        self.must(ended["grant"]["state"] == "ended", f"the grant is {ended['grant']['state']}")
        for surface in ended["surfaces"]:
            self.must(surface["state"] in ("closed", "gone"), f"surface {surface}")
            self.say(f"state ended; surface {surface['kind']}: {surface['state']}")
        self.must(not self.provider.introspect(token), "the server still takes the token")
        self.must(self.provider.userinfo(token)[0] == 401, "the server still answers to the token")
        self.say("introspection: active=false; userinfo: 401")

    def audit(self):
        self.step("The audit log of all this, and its chain")
        self.grantctl("audit", "list", show=True)
        self.grantctl("audit", "verify", show=True)
        self.must(self.grantctl("audit", "verify")["ok"], "the chain is broken")
