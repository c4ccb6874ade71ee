"""A W3C WebDriver client of the few commands that the test needs, on Python's standard library alone."""
import base64
import http.client
import json
import re
import shutil
import subprocess
import tempfile
import time

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage",
         "--disable-background-networking", "--disable-component-update", "--disable-sync"]


class Browser:
    """One chromedriver with one headless Chromium; scripts of pages are switched off."""

    def __init__(self, width=320, height=640):
        program = shutil.which("chromedriver")
        if not program:
            raise SystemExit("chromedriver is missing: install Debian's chromium-driver")
        self.profile = tempfile.mkdtemp(prefix="grantd-browser-")
        self.process = subprocess.Popen([program, "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.port = self._find_port()
        self.session = None
        options = {
            "args": FLAGS + ["--user-data-dir=" + self.profile],
            "mobileEmulation": {"deviceMetrics": {"width": width, "height": height, "pixelRatio": 2.0}},
            "prefs": {"profile.managed_default_content_settings.javascript": 2},
        }
        capabilities = {"browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        self.session = self._call("POST", "/session", {"capabilities": {"alwaysMatch": capabilities}})["sessionId"]

    def _find_port(self):
        for line in self.process.stdout:
            found = re.search(r"successfully on port (\d+)", line)
            if found:
                return int(found.group(1))
        raise SystemExit("chromedriver did not start")

    def _call(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        payload = json.dumps(body if body is not None else {}) if method == "POST" else None
        connection.request(method, path, payload, {"Content-Type": "application/json"})
        value = json.loads(connection.getresponse().read())["value"]
        connection.close()
        if isinstance(value, dict) and value.get("error"):
            raise AssertionError(value["error"] + ": " + value.get("message", ""))
        return value

    def _in(self, method, path, body=None):
        return self._call(method, "/session/" + self.session + path, body)

    def go(self, url):
        self._in("POST", "/url", {"url": url})

    def url(self):
        return self._in("GET", "/url")

    def title(self):
        return self._in("GET", "/title")

    def find(self, css):
        return [e[ELEMENT] for e in self._in("POST", "/elements", {"using": "css selector", "value": css})]

    def text(self, css="body"):
        return self._in("GET", "/element/" + self.find(css)[0] + "/text")

    def click(self, css):
        """As a hand would: WebDriver's own click needs the page's scripts, which are switched off."""
        spot = self.run("const e = document.querySelector(%s); e.scrollIntoView({block: 'center'});"
                        "const r = e.getBoundingClientRect();"
                        "return {x: r.x + r.width / 2, y: r.y + r.height / 2};" % json.dumps(css))
        for kind in ("mousePressed", "mouseReleased"):
            self.cdp("Input.dispatchMouseEvent", dict(spot, type=kind, button="left", clickCount=1))

    def wait(self, what, condition):
        end = time.monotonic() + 15
        while time.monotonic() < end:
            try:
                if condition():
                    return
            except (AssertionError, IndexError):
                pass  # between two pages
            time.sleep(0.02)
        raise AssertionError("%s; the browser is at %s" % (what, self.url()))

    def write(self, css, text):
        self._in("POST", "/element/" + self.find(css)[0] + "/value", {"text": text})

    def key(self, key):
        actions = [{"type": "keyDown", "value": key}, {"type": "keyUp", "value": key}]
        self._in("POST", "/actions", {"actions": [{"type": "key", "id": "k", "actions": actions}]})

    def run(self, script):
        return self._in("POST", "/execute/sync", {"script": script, "args": []})

    def cdp(self, command, params):
        return self._in("POST", "/goog/cdp/execute", {"cmd": command, "params": params})

    def console(self):
        return self._in("POST", "/se/log", {"type": "browser"})

    def cookies(self):
        return self._in("GET", "/cookie")

    def back(self):
        self._in("POST", "/back")

    def screenshot(self, path):
        with open(path, "wb") as out:
            out.write(base64.b64decode(self._in("GET", "/screenshot")))

    def close(self):
        try:
            if self.session:
                self._call("DELETE", "/session/" + self.session)
        finally:
            self.process.terminate()
            self.process.wait(timeout=20)
            for _ in range(20):
                shutil.rmtree(self.profile, ignore_errors=True)
                if not shutil.os.path.exists(self.profile):
                    break
                time.sleep(0.05)
