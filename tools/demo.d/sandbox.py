"""grantd-sandbox as the walk of the six platforms uses it, and the people in it: who clicks what on which page."""
import http.client
import json
import os
import select
import subprocess

from stage import Wrong, start
from browser import Browser, origin_of


class Sandbox:
    """One process that stands in for all platforms; its clock is the file that grantd moves."""

    def __init__(self, stage, clock):
        self.program = stage.find("grantd-sandbox")
        self.port = stage.free_port()
        self.log = open(os.path.join(stage.folder, "sandbox.log"), "ab")
        self.process = subprocess.Popen([self.program, "--listen", f"127.0.0.1:{self.port}", "--virtual-clock", clock],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.log, text=True,
                                        start_new_session=True, preexec_fn=start.die_with_parent)
        if not select.select([self.process.stdout], [], [], 20)[0] or "listens on" not in self.process.stdout.readline():
            raise Wrong("grantd-sandbox did not start")

    def origins(self):
        """{public origin: where it is here}, as the sandbox itself prints it for grantd's configuration."""
        said = subprocess.run([self.program, "--print-origins", "--listen", f"127.0.0.1:{self.port}"],
                              stdout=subprocess.PIPE, text=True, check=True).stdout
        pairs = (line.strip().split(": ") for line in said.splitlines() if line.startswith("  "))
        return {public.strip('"'): here.strip('"') for public, here in pairs}

    def call(self, method, path, args=None):
        status, said = self.request(method, "/_sandbox" + path, args)
        if status != 200:
            raise Wrong(f"the sandbox answers {status} to {method} {path}: {said}")
        return said

    def request(self, method, path, args=None, headers=None):
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            link.request(method, path, None if args is None else json.dumps(args),
                         {"Content-Type": "application/json", **(headers or {})})
            answer = link.getresponse()
            return answer.status, json.loads(answer.read() or b"null")
        finally:
            link.close()

    def act(self, platform, act, **args):
        """What somebody does outside of the API: in an app, in the platform's own pages."""
        return self.call("POST", "/act", {"platform": platform, "act": act, **args})

    def fault(self, platform, fault, **args):
        self.call("POST", "/fault", {"platform": platform, "fault": fault, **args})

    def world(self, platform):
        return self.call("GET", "/state?platform=" + platform)

    def rename(self, platform, names):
        """The default world speaks of several companies; here they are one client."""
        text = json.dumps(self.world(platform))
        for old, new in names.items():
            text = text.replace(old, new)
        self.call("POST", "/world", {"platform": platform, "world": json.loads(text)})

    def count(self, platform, method, part):
        """How many requests arrived whose path has that part."""
        seen = self.call("GET", "/log?platform=" + platform)["requests"]
        return sum(1 for r in seen if r["method"] == method and part in r["path"])

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(20)
        self.process.stdout.close()
        self.log.close()


class Visitor:
    """A person with a browser: at home on grantd's page, and signed in at the platforms under a name for each."""

    def __init__(self, origins, home):
        self.browser, self.home = Browser(origins), home

    def open(self, link):
        page = self.browser.open(link)
        if page.status != 200:
            raise Wrong(f"the link answers {page.status}: {page.text[:300]}")
        return page

    def press(self, link, act, **fields):
        """Sends the form of grantd's page that has this button and these hidden fields; the last of them is the one of
        the whole platform."""
        self.open(link)
        for form in reversed(self.browser.page.forms):
            has = {name: value for name, value, _ in form.fields}
            button = next((b for b in form.buttons if b[1] == act), None)
            if button and all(has.get(name) == value for name, value in fields.items()):
                return self.browser.submit(form, None, button)
        raise Wrong(f"the page offers no “{act}” for {fields}: {self.browser.page.text[:600]}")

    def approve(self, link, who=None, **fields):
        """Approves on grantd's page, signs in at the platform as who and says yes; the page where it ends."""
        self.press(link, "approve", **fields)
        for _ in range(4):
            page = self.browser.page
            if origin_of(page.url) == self.home:
                return page
            if not page.forms:
                raise Wrong(f"{page.url} ({page.status}) has no form: {page.text[:300]}")
            form = page.forms[0]
            form.fields = [[n, who if who and n == "who" else v, k] for n, v, k in form.fields]
            self.browser.submit(form, None, next(b for b in form.buttons if b[1] == "approve"))
        raise Wrong(f"no way back from {self.browser.page.url}")

    def hand_in(self, link, item, name, value):
        """Answers a step on grantd's page: a text, or several ticked boxes."""
        self.open(link)
        form = next((f for f in self.browser.page.forms if any(b[1] == "submit" for b in f.buttons)
                     and ["item", item, "hidden"] in f.fields), None)
        if not form:
            raise Wrong(f"the page asks for no {name}: {self.browser.page.text[:600]}")
        pairs = [(n, v) for n, v, _ in form.fields if not n.startswith("in.")]
        if isinstance(value, list):
            pairs += [(f"in.{name}:{i + 1}", one) for i, one in enumerate(value)]
        else:
            pairs.append((f"in.{name}", value))
        return self.browser.follow(self.browser.post(self.browser.page.url, pairs + [("act", "submit")]))
