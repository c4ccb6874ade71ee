#!/usr/bin/env python3
"""The walk of tools/demo: every step is a line, checked; the exit status is 0 only if all of them held."""
import argparse
import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "servers"))
import start  # noqa: E402
from browser import Browser  # noqa: E402

ISSUER = "https://login.demo.example"
TOKEN_SECONDS = 10
BOLD, PLAIN = ("\033[1m", "\033[0m") if sys.stdout.isatty() else ("", "")


class Wrong(Exception):
    """A step did not end as it must."""


class Walk:
    def __init__(self, build, by_hand):
        self.build, self.by_hand = os.path.join(ROOT, build), by_hand
        self.folder = tempfile.mkdtemp(prefix="grantd-demo-")
        self.socket = os.path.join(self.folder, "grantd.sock")
        self.children, self.daemon, self.number = [], None, 0
        self.began = time.monotonic()

    # -- telling

    def step(self, text):
        self.number += 1
        print(f"\n{BOLD}{self.number:2}. {text}{PLAIN}", flush=True)

    @staticmethod
    def say(text):
        for line in str(text).rstrip().split("\n"):
            print(f"      {line}", flush=True)

    @staticmethod
    def must(held, text):
        if not held:
            raise Wrong(text)

    # -- grantctl, as a person types it

    def grantctl(self, *args, show=False):
        """The answer of grantctl as JSON; show: what a person sees is printed too."""
        command = [os.path.join(self.build, "bin", "grantctl")]
        if not os.path.exists(command[0]):
            command = [self.find("grantctl")]
        command += ["--socket", self.socket, *args]
        if show:
            self.say("$ grantctl " + " ".join(f"'{a}'" if " " in a else a for a in args))
            seen = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
            self.say(seen.stdout)
            self.must(seen.returncode == 0, f"grantctl {' '.join(args)} ended with {seen.returncode}")
            return seen.stdout
        done = subprocess.run([*command, "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
        self.must(done.returncode == 0, f"grantctl {' '.join(args)}: {done.stderr}{done.stdout}")
        return json.loads(done.stdout)

    def find(self, name):
        for folder, _, names in os.walk(self.build):
            path = os.path.join(folder, name)
            if name in names and os.access(path, os.X_OK):
                return path
        raise Wrong(f"{name} is not built in {self.build}")

    # -- the pieces

    def write_config(self, port, relay):
        secret = os.path.join(self.folder, "client.secret")
        with open(os.open(secret, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="utf-8") as file:
            file.write(self.secret)
        self.config = os.path.join(self.folder, "grantd.yaml")
        with open(self.config, "w", encoding="utf-8") as file:
            file.write(f"""listen: 127.0.0.1:{port}
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
    client_secret: {{file: client.secret}}
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
        os.chmod(self.config, 0o644)

    def start_daemon(self):
        log = open(os.path.join(self.folder, "grantd.log"), "ab")
        self.daemon = subprocess.Popen([self.find("grantd"), "--config", self.config, "--own-platforms"], stdin=subprocess.DEVNULL,
                                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
                                       preexec_fn=start.die_with_parent)
        ready = threading.Event()

        def read(stream):
            for line in stream:
                log.write(line)
                log.flush()
                if b'"ready"' in line:
                    ready.set()
            log.close()
            ready.set()
        threading.Thread(target=read, args=(self.daemon.stdout,), daemon=True).start()
        self.must(ready.wait(20) and self.daemon.poll() is None, "grantd did not get ready")

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
        basic = base64.b64encode(f"agency:{self.secret}".encode()).decode()
        request = urllib.request.Request(self.server.base + "/token/introspection",
                                         urllib.parse.urlencode({"token": token}).encode(),
                                         {"Authorization": "Basic " + basic})
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read())["active"]

    def wait(self, what, seconds, text):
        end = time.monotonic() + seconds
        while not what():
            self.must(time.monotonic() < end, text)
            time.sleep(0.1)

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
        print(f"\n{BOLD}All {self.number} steps held, {time.monotonic() - self.began:.0f} s.{PLAIN} "
              "Nothing is left running.")

    def servers(self):
        self.secret = secrets.token_hex(16)
        self.step("An authorization server that we did not write starts (npm oidc-provider; it rotates refresh tokens, "
                  "and a spent one that comes back kills the whole grant)")
        self.server = start.oidc_provider(self.folder, issuer=ISSUER, at_ttl=TOKEN_SECONDS)
        self.children.append(self.server)
        relay = start.relay(self.folder, self.server.port)
        self.children.append(relay)
        self.relay = relay
        self.say(f"{ISSUER} is {relay.base} here; its access tokens live {TOKEN_SECONDS} seconds")
        self.step("grantd starts: embedded store, keys and folders made by itself")
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
        self.write_config(port, relay.base)
        self.start_daemon()
        self.grantctl("app", "list", show=True)
        app = self.grantctl("app", "get", "demo")["app"]
        self.server.post("/_ctl/client", {"client_id": "agency", "client_secret": self.secret,
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
            self.step("Open the link in your browser, sign in with any name, allow. Waiting for you (10 minutes)")
            self.wait(lambda: self.item()["state"] == "granted", 600, "nobody approved")
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
        self.daemon.send_signal(signal.SIGKILL)
        self.daemon.wait()
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

    def clean(self):
        if self.daemon and self.daemon.poll() is None:
            self.daemon.terminate()
            try:
                self.daemon.wait(15)
            except subprocess.TimeoutExpired:
                self.daemon.kill()
                self.daemon.wait()
        for child in self.children:
            child.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", default="build/release")
    parser.add_argument("--by-hand", action="store_true")
    args = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))
    walk = Walk(args.build, args.by_hand)
    try:
        walk.walk()
    except (Wrong, RuntimeError, OSError, subprocess.SubprocessError, KeyError, ValueError, AssertionError) as e:
        print(f"\ntools/demo: step {walk.number} did not hold: {e}", file=sys.stderr)
        log = os.path.join(walk.folder, "grantd.log")
        if os.path.exists(log):
            with open(log, encoding="utf-8", errors="replace") as file:
                print("the end of grantd's log:\n" + file.read()[-2500:], file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    finally:
        walk.clean()


if __name__ == "__main__":
    main()
