#!/usr/bin/env python3
"""The two walks of tools/demo, and the first of them: every step is a line, checked; the exit status is 0 only if all of
them held."""
import argparse
import json
import re
import secrets
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request

from stage import BOLD, PLAIN, Stage, Wrong, start
from browser import Browser
from six_platforms import SixPlatforms

ISSUER = "https://login.demo.example"
TOKEN_SECONDS = 10


class OneProvider(Stage):
    """One platform by description, against a server that we did not write."""

    def __init__(self, build, by_hand):
        super().__init__(build)
        self.by_hand, self.seen = by_hand, None

    # -- the pieces

    def configure(self, port, relay):
        secret = self.secret("client", self.client_secret)
        self.write_config(f"""listen: 127.0.0.1:{port}
public_url: http://127.0.0.1:{port}
state_dir: {self.folder}/state
socket: {self.socket}
platform_dir: {self.build}/platforms
apps:
  demo:
    platform: oauth2
    provider: oidc
    issuer: {ISSUER}
    client_id: agency
    client_secret: {{file: {secret}}}
origins:                    # the demonstration's server has no public name: this is where it really is
  "{ISSUER}": "{relay}"
limits:                     # short, so that you need not wait: tokens live {TOKEN_SECONDS} seconds here
  request_deadline_ms: 4000
  quiet_ms: 4000
  skew_ms: 0
  family_lease_ms: 4000
  outage_ms: 1000
  margin_min_ms: 2000
""")

    def report(self):
        return self.server.get("/_ctl/report")["seen"]

    def userinfo(self, token):
        request = urllib.request.Request(self.server.base + "/me", headers={"Authorization": "Bearer " + token})
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as e:
            return e.code, None

    def introspect(self, token):
        import base64
        import urllib.parse
        basic = base64.b64encode(f"agency:{self.client_secret}".encode()).decode()
        request = urllib.request.Request(self.server.base + "/token/introspection",
                                         urllib.parse.urlencode({"token": token}).encode(),
                                         {"Authorization": "Basic " + basic})
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read())["active"]

    def token(self):
        return self.grantctl("grant", "token", self.grant)

    # -- the walk

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
        self.client_secret = secrets.token_hex(16)
        self.step("An authorization server that we did not write starts (npm oidc-provider; it rotates refresh tokens, "
                  "and a spent one that comes back kills the whole grant)")
        self.server = start.oidc_provider(self.folder, issuer=ISSUER, at_ttl=TOKEN_SECONDS)
        self.children.append(self.server)
        relay = start.relay(self.folder, self.server.port)
        self.children.append(relay)
        self.relay = relay
        self.say(f"{ISSUER} is {relay.base} here; its access tokens live {TOKEN_SECONDS} seconds")
        self.step("grantd starts: embedded store, keys and folders made by itself")
        self.configure(self.free_port(), relay.base)
        self.start_daemon()
        self.grantctl("app", "list", show=True)
        app = self.grantctl("app", "get", "demo")["app"]
        self.server.post("/_ctl/client", {"client_id": "agency", "client_secret": self.client_secret,
                                          "redirect_uris": [app["redirect_uri"]]})
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
        status, who = self.userinfo(got["access_token"])
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
        self.must(got["gen"] >= begun + 2 and self.userinfo(got["access_token"])[0] == 200, "the token does not work")
        self.say(f"the token is now of generation {got['gen']} and works")

    def crash(self):
        self.step("kill -9 in the middle of a refresh (the relay holds that request back, then grantd dies)")
        self.relay.post("/_relay/hold", {"contains": "grant_type=refresh_token"})
        self.wait(lambda: self.relay.get("/_relay/state")["held"] == 1, 4 * TOKEN_SECONDS, "no refresh was on its way")
        before = self.report()
        self.kill_daemon()
        self.say("grantd is dead; its refresh token was on the wire, nobody knows whether it was spent")
        self.wait(lambda: self.relay.get("/_relay/state")["dropped"] >= 1, 5, "the relay still holds the request")
        self.start_daemon()
        self.say("grantd is back, finds the open intent, waits the quiet period out, and only then asks again")
        self.wait(lambda: self.report()["refresh"] > before["refresh"], 40, "no refresh came after the crash")
        self.wait(lambda: self.grantctl("grant", "get", self.grant)["grant"]["state"] == "active", 10,
                  "the grant is not active")
        seen = self.report()
        self.must(seen["families_killed"] == 0 and seen["refresh_refused"] == 0, "a spent token was presented")
        self.must(self.userinfo(self.token()["access_token"])[0] == 200, "the token does not work after the crash")
        self.say("the grant lives; no spent token was ever presented")

    def end_access(self):
        self.step("Verify: what the platform sees is what was granted")
        verified = self.grantctl("grant", "verify", self.grant)
        self.must(verified["differences"] == [], f"differences: {verified['differences']}")
        self.say("no differences")
        self.step("The client leaves: revoke, and the server agrees that it is gone")
        token = self.token()["access_token"]
        self.must(self.introspect(token), "the token should still live")
        self.say(f"$ grantctl grant revoke {self.grant} --reason 'client left'")
        ended = self.grantctl("grant", "revoke", self.grant, "--reason", "client left")
        self.must(ended["grant"]["state"] == "ended", f"the grant is {ended['grant']['state']}")
        for surface in ended["surfaces"]:
            self.must(surface["state"] in ("closed", "gone"), f"surface {surface}")
            self.say(f"state ended; surface {surface['kind']}: {surface['state']}")
        self.must(not self.introspect(token), "the server still takes the token")
        self.must(self.userinfo(token)[0] == 401, "the server still answers to the token")
        self.say("introspection: active=false; userinfo: 401")

    def audit(self):
        self.step("The audit log of all this, and its chain")
        self.grantctl("audit", "list", show=True)
        self.grantctl("audit", "verify", show=True)
        self.must(self.grantctl("audit", "verify")["ok"], "the chain is broken")


def play(walk, text):
    """One walk from its title to its clean end; False when a step did not hold."""
    Stage.part(text)
    try:
        walk.walk()
        return True
    except (Wrong, RuntimeError, OSError, subprocess.SubprocessError, KeyError, ValueError, AssertionError) as e:
        print(f"\ntools/demo: step {Stage.number} did not hold: {e}", file=sys.stderr)
        print("the end of grantd's log:\n" + walk.log_tail(), file=sys.stderr)
        return False
    finally:
        walk.clean()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", default="build/release")
    parser.add_argument("--by-hand", action="store_true", help="you approve in the first part")
    args = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))
    began = time.monotonic()
    try:
        held = (play(OneProvider(args.build, args.by_hand), "One provider, a real server, a crash in the middle of a refresh")
                and play(SixPlatforms(args.build), "Six platforms, one link, 400 days"))
    except KeyboardInterrupt:
        sys.exit(130)
    if not held:
        sys.exit(1)
    print(f"\n{BOLD}All {Stage.number} steps held, {time.monotonic() - began:.0f} s.{PLAIN} Nothing is left running.")


if __name__ == "__main__":
    main()
