"""What the end-to-end tests of the platforms stand on: a real grantd, grantd-sandbox in place of the platforms, one clock
that both share, and a scripted browser that clicks the sandbox's consent pages."""
import http.client
import json
import os
import select
import subprocess
import threading
import time

from harness import GrantdTest, RpcError, free_port, origin_of, program, start, wait_for
from browser import YES


class Sandbox:
    """grantd-sandbox and its control interface."""

    def __init__(self, folder, clock, seed=1):
        self.port = free_port()
        self.base = f"http://127.0.0.1:{self.port}"
        self.log = open(os.path.join(folder, "sandbox.log"), "ab")
        self.process = subprocess.Popen([program("grantd-sandbox"), "--listen", f"127.0.0.1:{self.port}", "--seed", str(seed),
                                         "--virtual-clock", clock], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=self.log, text=True, start_new_session=True,
                                        preexec_fn=start.die_with_parent)
        if not select.select([self.process.stdout], [], [], 20)[0] or "listens on" not in self.process.stdout.readline():
            raise RuntimeError("grantd-sandbox did not start")

    def origins(self):
        out = subprocess.run([program("grantd-sandbox"), "--print-origins", "--listen", f"127.0.0.1:{self.port}"],
                             stdout=subprocess.PIPE, text=True, check=True).stdout
        pairs = (line.strip().split(": ") for line in out.splitlines() if line.startswith("  "))
        return {key.strip('"'): value.strip('"') for key, value in pairs}

    def call(self, method, path, args=None):
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            link.request(method, "/_sandbox" + path, None if args is None else json.dumps(args),
                         {"Content-Type": "application/json"})
            answer = link.getresponse()
            said = json.loads(answer.read() or b"null")
        finally:
            link.close()
        if answer.status != 200:
            raise AssertionError(f"sandbox {method} {path} {args}: {answer.status} {said}")
        return said

    def act(self, platform, act, **args):
        return self.call("POST", "/act", {"platform": platform, "act": act, **args})

    def fault(self, platform, fault, **args):
        return self.call("POST", "/fault", {"platform": platform, "fault": fault, **args})

    def option(self, platform, **args):
        """One lasting switch: option("meta", name="...", value=...)."""
        return self.call("POST", "/option", {"platform": platform, **args})

    def world(self, platform, **members):
        """Members that take the place of the world's."""
        return self.call("POST", "/world", {"platform": platform, "world": members})

    def state(self, platform):
        return self.call("GET", "/state?platform=" + platform)

    def seen(self, **query):
        """Requests that the sandbox saw."""
        return self.call("GET", "/log" + ("?" + "&".join(f"{k}={v}" for k, v in query.items()) if query else ""))

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(20)
        self.process.stdout.close()
        self.log.close()


class Roles:
    """For a test of a platform whose daemon runs: what the client sees of roles before approving."""

    def page_of(self, item, client):
        """What is asked (role), and the link's page."""
        made = self.rpc.call("request.create", client=client, items=[item])
        self.box.canaries.add(made["link"].rsplit("/", 1)[1].encode())
        return made["request"]["items"][0]["role"], self.box.browser().open(made["link"]).text

    def roles_are_shown(self, app, **members):
        """In each mode, with each of its roles and with none named: the page says what the role may and may not do, and a
        role that the mode has not is refused. members: of the item, for all modes. Returns what each mode asks when
        none is named (mode None: none of those either)."""
        known = self.rpc.call("platform.get", platform=self.box.apps[app]["platform"])["platform"]
        client = self.rpc.call("client.create", name="Reader")["client"]["id"]
        roles, defaults = {role["name"]: role for role in known["roles"]}, {}
        for mode in [None] + known["modes"]:
            item = {"app": app, **members, **({"mode": mode} if mode else {})}
            for name in [None] + list(roles):
                with self.subTest(mode=mode, role=name):
                    if name and (mode or known["modes"][0]) not in roles[name]["modes"]:
                        with self.assertRaises(RpcError) as refused:
                            self.page_of({**item, "role": name}, client)
                        self.assertEqual(refused.exception.reason, "ROLE_UNKNOWN")
                        continue
                    asked, page = self.page_of({**item, "role": name} if name else item, client)
                    if name:
                        self.assertEqual(asked, name)
                    else:
                        defaults[mode] = asked
                    for words in ("title", "may", "may_not") if asked else ():
                        self.assertIn(roles[asked][words], page)
                    if not asked:
                        self.assertFalse([r for r in roles.values() if r["may"] in page])
        self.assertEqual({m: {r["name"] for r in known["roles"] if m in r["default_in"]} for m in known["modes"]},
                         {m: {r} if r else set() for m, r in defaults.items() if m})
        return defaults


class SandboxTest(GrantdTest):
    """One daemon and one sandbox a test. apps and hubs are configured before self.box.start()."""

    def setUp(self):
        super().setUp()
        clock = os.path.join(self.box.folder, "clock")
        self.sandbox = self.box.child(Sandbox(self.box.folder, clock))
        self.box.origins.update(self.sandbox.origins())
        self.box.args = ["--virtual-clock", clock]
        self.hubs = {}
        self.now = lambda: self.sandbox.call("GET", "/clock")["now"]

    def secret(self, name, value):
        return {"file": self.box.secret_file(name, value)[0]}

    def app(self, name, platform, **options):
        self.box.apps[name] = {"platform": platform, **options}

    def hub(self, name, platform, **options):
        self.hubs[name] = {"platform": platform, **options}
        self.box.extra = "hubs: " + json.dumps(self.hubs) + "\n"

    def advance(self, seconds):
        return self.rpc.call("daemon.clock", by=seconds)

    # -- the client

    def approve(self, browser, who=None, assets=None, deny=False, steps=8):
        """Approves what the page of the portal asks, as that person; ends at the portal's end page."""
        home = origin_of(browser.page.url)
        begun = len(browser.history)
        for _ in range(steps):
            if origin_of(browser.page.url) == home:
                if any(origin_of(url) != home for _, url, _ in browser.history[begun:]):
                    return browser.page
                chosen = browser.choose(YES)
                if not chosen:
                    return browser.page
                browser.submit(chosen[0], None, chosen[1])
                continue
            form = browser.page.forms[0] if browser.page.forms else None
            if not form:
                raise AssertionError(f"{browser.page.url} ({browser.page.status}) has no form: {browser.page.text[:500]}")
            if who and "who" in form.names():
                form.fields = [[n, who if n == "who" else v, k] for n, v, k in form.fields]
            if assets is not None:
                form.fields = [f for f in form.fields if f[0] != "assets"] + [["assets", a, "checkbox"] for a in assets]
            button = next(b for b in form.buttons if (b[1] == "approve") != deny)
            browser.submit(form, None, button)
        raise AssertionError(f"no end; now at {browser.page.url}: {browser.page.text[:300]}")

    def connect(self, hub, who=None):
        """The agency's own consent."""
        link = self.rpc.call("hub.connect", hub=hub)["link"]
        browser = self.box.browser()
        browser.open(link)
        page = self.approve(browser, who)
        state = self.rpc.call("hub.get", hub=hub)["hub"]
        if state["state"] != "ready":
            raise AssertionError(f"the hub is {state}; the browser is at {page.url}: {page.text[:500]}\n{self.box.log_tail()}")
        return state

    def request(self, *items, client=None, confirm=False):
        """(link, request, client)"""
        client = client or self.rpc.call("client.create", name="Bakery", email="b@bakery.example")["client"]["id"]
        made = self.rpc.call("request.create", client=client, confirm=confirm, items=list(items))
        self.box.canaries.add(made["link"].rsplit("/", 1)[1].encode())
        return made["link"], made["request"]["id"], client

    def items(self, request):
        return self.rpc.call("request.get", request=request)["request"]["items"]

    def wait_items(self, request, *states, seconds=20):
        """The items, once each has one of the states (given one by one, or one for all)."""
        def there():
            items = self.items(request)
            want = states if len(states) == len(items) else states * len(items)
            return items if all(i["state"] == w for i, w in zip(items, want)) else None
        try:
            return wait_for(there, seconds)
        except AssertionError:
            raise AssertionError(f"wanted {states}: {json.dumps(self.items(request), indent=1)}\n"
                                 f"{json.dumps(self.sandbox.seen(), indent=None)[-3000:]}\n{self.box.log_tail()}") from None

    def hand_in(self, browser, link, **inputs):
        """Answers a guided step on the page; a list is several ticked boxes."""
        page = browser.open(link)
        form = next(f for f in page.forms if any(b[1] == "submit" for b in f.buttons))
        pairs = [(n, v) for n, v, k in form.fields if not n.startswith("in.")]
        for name, value in inputs.items():
            values = value if isinstance(value, list) else [value]
            many = isinstance(value, list)
            pairs += [(f"in.{name}:{i + 1}" if many else f"in.{name}", v) for i, v in enumerate(values)]
        return browser.follow(browser.post(browser.page.url, pairs + [("act", "submit")]))

    def grants(self, **query):
        return self.rpc.call("grant.list", **query)["grants"]

    def whole_end(self, grant, **params):
        """Revokes and returns the surfaces by kind."""
        self.rpc.call("grant.revoke", grant=grant, **params)
        return {s["kind"]: s for s in self.box.grant(grant)["surfaces"]}

    def withdrawn(self, *states):
        """[(kind, state)]: what was opened for items that ended without a grant, once it is closed; all in one of states."""
        def over():
            left = [self.box.grant(g["id"]) for g in self.grants()]
            return left if left and all(g["state"] == "ended" for g in left) else None
        left = wait_for(over, 20)
        surfaces = [(s["kind"], s["state"]) for g in left for s in g["surfaces"] if s["kind"] != "token"]
        self.assertTrue(surfaces and all(state in states for _, state in surfaces), left)
        return surfaces

    def decline(self, browser, link):
        """The client says no on the page."""
        page = browser.open(link)
        form = next(f for f in page.forms if any(b[1] == "decline" for b in f.buttons))
        return browser.submit(form, None, next(b for b in form.buttons if b[1] == "decline"))

    def wait_state(self, grant, state, seconds=15):
        return wait_for(lambda: self.box.grant(grant)["state"] == state, seconds, 0.05)

    @staticmethod
    def settle(seconds=0.1):
        time.sleep(seconds)


class PlatformTest(Roles, SandboxTest):
    """One platform: its name in the sandbox, and the app that the test configures in begin()."""
    PLATFORM = APP = None

    def ask(self, *items, who=None, assets=None, deny=False, client=None, **item):
        """Asks for the items, or for one of APP (what is None is left out), and approves: (link, request, browser)."""
        items = items or ({"app": self.APP, **{key: value for key, value in item.items() if value}},)
        link, request, _ = self.request(*items, client=client)
        browser = self.box.browser()
        browser.open(link)
        self.approve(browser, who=who, assets=assets, deny=deny)
        return link, request, browser

    def granted(self, *args, **kwargs):
        """As ask; the grants that came out of the one item."""
        _, request, _ = self.ask(*args, **kwargs)
        return self.wait_items(request, "granted")[0]["grants"]

    def act(self, act, **args):
        return self.sandbox.act(self.PLATFORM, act, **args)

    def switch(self, name, value):
        self.sandbox.option(self.PLATFORM, name=name, value=value)

    def calls(self, method, part):
        return [r for r in self.sandbox.seen()["requests"] if r["method"] == method and part in r["path"]]

    def told(self, kind):
        return self.rpc.call("event.list", types=[kind])["events"]

    @staticmethod
    def states(ends):
        return {kind: one["state"] for kind, one in ends.items()}

    def killed_while(self, doing, seen):
        """A person does something, as far as it is answered; grantd is killed as soon as seen() holds, and starts again."""
        def person():
            try:
                doing()
            except (OSError, AssertionError):
                pass  # the page went away with the daemon
        thread = threading.Thread(target=person)
        thread.start()
        wait_for(seen, 20, 0.05)
        self.box.daemon.kill9()
        thread.join(30)
        self.box.start()
