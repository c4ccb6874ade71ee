#!/usr/bin/env python3
"""Those who know nothing but the README, the pages and what the programs say: what they are told is true, and it is told to
the one who can act on it."""
import json
import os
import re
import socket
import subprocess
import unittest

from harness import BUILD, GrantdTest, program, wait_for
from sandboxed import SandboxTest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def yaml_of(path):
    """The first configuration that a page of the manual shows."""
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        found = re.search(r"(?s)```yaml\n(.*?)```", file.read()).group(1)
    indent = len(found) - len(found.lstrip(" "))
    return "".join(line[indent:] if line.strip() else line for line in found.splitlines(True))


class Pages(SandboxTest):
    """The apps are those of the platforms' own pages, which are those of the sandbox."""
    SECRETS = {"linkedin": "WPL_AP1.demo", "google_ads": "GOCSPX-demo", "meta": "s3cr3t", "tiktok_bc": "no-matter-which",
               "spark_ads": "no-matter-which", "shopify": "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", "pinterest": "no-matter-which"}

    def as_its_page_says(self, platform):
        path = self.box.secret_file(platform, self.SECRETS[platform])[0]
        text, n = re.subn(r"\{file: [^}]*\}", "{file: " + path + "}", yaml_of(f"platforms/{platform}/README.md"))
        self.assertEqual(n, 1)
        apps = re.search(r"(?sm)^apps:\n  (\w+):", text)
        self.box.extra = text
        self.box.write_config()
        with open(self.box.config_path, encoding="utf-8") as file:
            lines = [line for line in file if not line.startswith("apps: {")]
        with open(self.box.config_path, "w", encoding="utf-8") as file:
            file.writelines(lines)
        self.box.start(config=False)
        return apps.group(1)

    def test_an_app_that_is_in_order_is_said_to_be(self):
        for platform in self.SECRETS:
            with self.subTest(platform=platform):
                app = self.as_its_page_says(platform)
                seen = self.rpc.call("app.check", app=app)
                for hub in self.rpc.call("hub.list")["hubs"] if not seen["ok"] else ():
                    self.assertIn("grantctl hub connect", seen["checks"][-1]["text"])
                    if platform in ("linkedin", "meta"):  # a person of the sandbox may connect that hub
                        self.connect(hub["id"], who="bo" if platform == "linkedin" else None)
                        seen = self.rpc.call("app.check", app=app)
                if platform in ("linkedin", "meta", "shopify", "tiktok_bc"):
                    self.assertTrue(seen["ok"], seen)
                self.assertEqual(self.box.daemon.stop(), 0)

    def test_an_app_that_is_not(self):
        self.app("g", "google_ads", client_id="77-abc.apps.googleusercontent.com", client_secret=self.secret("g", "GOCSPX-demo"))
        self.box.start()
        seen = self.rpc.call("app.check", app="g")
        self.assertFalse(seen["ok"], seen)
        self.assertIn("hub", seen["checks"][-1]["text"])
        done = self.box.ctl("app", "check", "g", check=False)
        self.assertEqual(done.returncode, 5, done)  # a script that goes on after it would go on with nothing

    def linkedin(self):
        self.app("li", "linkedin", client_id="86demo1client", client_secret=self.secret("li", "WPL_AP1.demo"))
        self.hub("people", "linkedin", app="li", id="unknown")
        self.box.start()

    def test_what_nobody_can_approve_yet_is_told_to_the_agency(self):
        self.linkedin()
        client = self.rpc.call("client.create", name="Bakery")["client"]["id"]
        made = self.rpc.call("request.create", client=client, items=[{"app": "li"}])
        self.box.canaries.add(made["link"].rsplit("/", 1)[1].encode())
        (told,) = made["notices"]
        self.assertEqual((told["reason"], told["client"]), ("OP_CONFIG", client))
        self.assertIn("items[0]", told["text"])
        said = self.box.ctl("request", "create", client, "--item", "app=li", "--no-qr", check=False)
        self.assertIn("cannot be approved as things stand", said.stderr)
        self.box.canaries.update(m.encode() for m in re.findall(r"/a/\w+/(\S+)", said.stdout))
        # The client approves all the same: it hears whose turn it is, and the agency why.
        browser = self.box.browser()
        browser.open(made["link"])
        page = browser.submit(*self.button(browser.page, "approve"))
        self.assertIn("OP_CONFIG", page.text)
        self.assertIn("tell the agency", page.text)
        self.assertNotIn("browser", page.text)
        refused, = wait_for(lambda: [json.loads(line) for line in self.box.log_tail(20000).splitlines()
                                     if '"flow.refused"' in line])
        self.assertEqual(refused["request"], made["request"]["id"])
        self.assertIn(refused["error"], told["text"])
        # Once the hub is connected there is nothing to tell.
        self.connect("people", who="bo")
        made = self.rpc.call("request.create", client=client, items=[{"app": "li"}])
        self.box.canaries.add(made["link"].rsplit("/", 1)[1].encode())
        self.assertEqual(made["notices"], [])

    @staticmethod
    def button(page, act):
        for form in page.forms:
            for button in form.buttons:
                if button[1] == act:
                    return form, None, button
        raise AssertionError(f"no {act}: {page.text[:500]}")

    def test_who_has_to_do_something_is_not_told_to_leave(self):
        self.linkedin()
        self.connect("people", who="bo")
        link, request, _ = self.request({"app": "li"})
        browser = self.box.browser()
        browser.open(link)
        page = self.approve(browser, who="ada")  # which accounts is asked afterwards
        self.assertIn("One thing is left to do", page.text)
        self.assertIn("Waiting for you.", page.text)
        self.assertNotIn("do not have to wait", page.text)
        self.assertIn("STEP_UNANSWERED", self.hand_in(browser, link).text)  # it is not the same page again, without a word
        self.hand_in(browser, link, ad_accounts=["507000111"])
        self.wait_items(request, "granted")


class Words(GrantdTest):
    def test_a_request_that_was_taken_back(self):
        """Nobody looks for a newer message that there is not."""
        server = self.box.accounting()
        self.box.policy_app(server, "none")
        self.box.start()
        link, request = self.box.ask("none")
        self.rpc.call("request.cancel", request=request)
        self.assertIn("REQUEST_CANCELLED", self.box.browser().open(link).text)


    def test_a_name_is_one_line(self):
        """In tables, in the subject of a mail, in the sentence of a page."""
        self.box.start()
        self.refused("PARAM_INVALID", "client.create", name="Anna\nBakery")
        client = self.rpc.call("client.create", name="Anna Bakery")["client"]["id"]
        self.refused("PARAM_INVALID", "client.update", client=client, name="Anna\tBakery")


class ReadMe(GrantdTest):
    """Its configuration, with this test's folders in place of the machine's."""

    def written(self, change=lambda text: text):
        text = yaml_of("README.md").replace("/var/lib/grantd", self.box.state).replace("/run/grantd", self.box.folder)
        text = text.replace("127.0.0.1:8443", f"127.0.0.1:{self.box.port}").replace("user: reporting", "user: nobody")
        self.box.secret_file("hubspot")
        with open(self.box.config_path, "w", encoding="utf-8") as file:
            file.write(change(text))
        self.box.socket_path = os.path.join(self.box.state, "grantd.sock")

    def judged(self):
        return subprocess.run([program("grantd"), "--own-platforms", "--platform-dir", self.box.platform_dir, "--check",
                               "--config", self.box.config_path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, timeout=60, check=False)

    def test_it_starts_as_it_stands(self):
        self.written()
        seen = self.judged()
        self.assertEqual(seen.returncode, 0, seen)
        self.box.args = ["--platform-dir", self.box.platform_dir]
        self.box.start(config=False)
        self.assertTrue(self.rpc.call("daemon.check")["ok"])
        self.assertEqual(self.rpc.call("app.get", app="hubspot")["app"]["redirect_uri"],
                         "https://access.agency.example/cb/main.hubspot")

    def test_whose_folder_is_wrong_is_said(self):
        """Nobody looks for the fault at the file that names the mistake."""
        self.written(lambda text: f"platform_dir: {self.box.folder}/none\n" + text)
        self.assertIn(f"the platforms in {self.box.folder}/none are not loaded", self.judged().stdout)

    def test_what_would_not_start_is_not_called_good(self):
        """Who ends TLS is said before the daemon is stopped for the new configuration."""
        for change in (lambda t: re.sub(r"(?m)^trusted_proxies.*\n", "", t),
                       lambda t: t.replace("https://access.agency.example", "http://127.0.0.1").replace("listen: 127.0.0.1", "listen: 0.0.0.0")):
            self.written(change)
            seen = self.judged()
            self.assertEqual(seen.returncode, 2, seen)
            self.assertIn("PORTAL_TLS_REQUIRED", seen.stdout)


class Unit(GrantdTest):
    def test_it_becomes_ready_as_a_service(self):
        """What the installed unit starts is what the service manager waits for; its socket is where grantctl looks."""
        with open(os.path.join(BUILD, "grantd.service"), encoding="utf-8") as file:
            unit = dict(line.strip().split("=", 1) for line in file if re.match(r"[A-Z]\w*=.", line))
        command = unit["ExecStart"].split()
        self.assertEqual(os.path.basename(command[0]), "grantd")
        self.assertEqual(unit["Type"], "notify")
        given = dict(zip(command[1::2], command[2::2]))
        with open(os.path.join(ROOT, "tools/grantctl/ctl.h"), encoding="utf-8") as file:
            self.assertIn(f'SOCKET_PACKAGED "{given["--socket"]}"', file.read())
        self.assertEqual(given["--socket"], f"/run/{unit['RuntimeDirectory']}/grantd.sock")
        self.assertEqual(given["--state-dir"], f"/var/lib/{unit['StateDirectory']}")
        path = os.path.join(self.box.folder, "given.sock")
        ear = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(ear.close)
        ear.bind(os.path.join(self.box.folder, "notify"))
        ear.settimeout(30)
        with open(self.box.config_path, "w", encoding="utf-8") as file:
            file.write("log: {level: info}\n")
        self.box.args = ["--state-dir", self.box.state, "--socket", path, "--platform-dir", self.box.platform_dir]
        self.box.socket_path = path
        self.box.start(config=False, env={"NOTIFY_SOCKET": os.path.join(self.box.folder, "notify")})
        said = ""
        while "READY=1" not in said:
            said = ear.recv(4096).decode()
        self.assertTrue(self.rpc.call("daemon.check")["ok"])


if __name__ == "__main__":
    unittest.main()
