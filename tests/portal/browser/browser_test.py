"""The portal's pages in a real browser at phone size, without scripts: a client approves, declines and follows guided
steps; each page is looked at for what everybody needs (labels, headings, language, contrast in both colour schemes)."""
import argparse
import http.server
import pathlib
import subprocess
import threading
import urllib.parse

from driver import Browser

PATH = "/a/ln01jdk300000000000000000001/Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6cXV4Zm9vYmFyYmE"
PAGE_JS = (pathlib.Path(__file__).parent / "page.js").read_text()
FOCUS_JS = """
const e = document.activeElement, s = getComputedStyle(e);
return { tag: e.tagName, outline: s.outlineStyle !== "none" && parseFloat(s.outlineWidth) >= 2 };
"""


class Platform(http.server.BaseHTTPRequestHandler):
    """A platform whose login passes through a second origin before it sends the browser back."""
    portal = None
    seen = []

    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query))
        Platform.seen.append((self.path, dict(self.headers)))
        if url.path == "/authorize":
            where = "http://localhost:%d/login?state=%s" % (self.server.server_port, query["state"])
        elif url.path == "/login":
            where = Platform.portal + "/cb/main.acme?code=a-code&state=" + query["state"]
        else:
            self.send_response(404)
            self.end_headers()
            return
        self.send_response(302)
        self.send_header("Location", where)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args):
        pass


def check(condition, what):
    if not condition:
        raise AssertionError(what)


def look(browser, out, name):
    """The page in both colour schemes: no fault, and a picture of each."""
    for scheme in ("light", "dark"):
        browser.cdp("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]})
        seen = browser.run(PAGE_JS)
        check(not seen["faults"], "%s (%s): %s" % (name, scheme, "\n".join(seen["faults"])))
        check(seen["dark"] == (scheme == "dark"), "%s does not follow the colour scheme %s" % (name, scheme))
        check(seen["texts"] > 5, name + " is empty")
        browser.screenshot(str(out / ("%s-%s.png" % (name, scheme))))
        print("%s (%s): no fault, lowest contrast %.2f" % (name, scheme, seen["lowest"]))
    noise = [e for e in browser.console() if "favicon" not in e["message"]]
    check(not noise, "%s: the console says %s" % (name, noise))


def look_at_focus(browser):
    """Every control can be reached by the keyboard, and one sees where one is."""
    tags = set()
    for _ in range(4):
        browser.key("\ue004")
        seen = browser.run(FOCUS_JS)
        check(seen["outline"], "the focus on %s cannot be seen" % seen["tag"])
        tags.add(seen["tag"])
    check("BUTTON" in tags, "the keyboard reaches no button")


def look_at_past(browser, portal, out):
    """What was given before, by a code, and taken back."""
    browser.click('button[value="ask"]')
    browser.wait("no code is asked for", lambda: browser.find('input[name="code"]'))
    look(browser, out, "code")
    browser.write('input[name="code"]', "12 34 56")
    browser.click('button[value="enter"]')
    browser.wait("what was given is not shown", lambda: "In force." in browser.text())
    look(browser, out, "given")
    browser.click('button[value="end"]')
    browser.wait("it was not taken back", lambda: "Taken back." in browser.text())
    check("Open <settings> and remove the agency." in browser.text(), "what is left to do is not said")
    look(browser, out, "taken-back")
    browser.go(portal + PATH)


def walk(browser, portal, out):
    browser.go(portal + PATH)
    check("Example Agency asks for access" in browser.text("h1"), "the page does not say who asks")
    check("please approve <this>." in browser.text(), "the message is not shown as it was written")
    look(browser, out, "link")
    look_at_focus(browser)
    cookie = browser.cookies()[0]
    check(cookie["httpOnly"] and cookie["sameSite"] == "Lax" and cookie["path"] == "/", "the cookie is too open: %s" % cookie)

    browser.click('form:has(input[value="acme"]) button[value="approve"]:not(.plain)')
    browser.wait("approving does not end at the end page", lambda: browser.url().startswith(portal + "/end/"))
    check("Thank you" in browser.text("h1"), "the end page does not thank")
    check(len(Platform.seen) == 2, "the platform saw %d requests" % len(Platform.seen))
    for _, fields in Platform.seen:
        check("Referer" not in fields, "the platform was told where the browser came from")
    look(browser, out, "end")

    browser.click('form:has(input[name="app"][value="guide"]) button[value="approve"]')
    browser.wait("the guided steps are not shown", lambda: "Copy our number" in browser.text())
    look(browser, out, "steps")
    browser.write('input[name="in.code"]', "#AB 12")
    browser.write('textarea[name="in.codes"]', "#A")
    browser.click('label[for="in-it3-5-2"]')  # ticking by the label, as a thumb does
    browser.click('button[value="submit"]')
    browser.wait("the code was not taken", lambda: not browser.find('input[name="in.code"]'))
    check("Thank you" in browser.text("h1"), "the code was not taken")

    browser.go(portal + PATH)
    browser.click('#item-it4 button[value="approve"]')
    browser.wait("approving after all does not end at the end page", lambda: browser.url().startswith(portal + "/end/"))
    browser.go(portal + PATH)
    check("Everything on this page is settled" in browser.text(), "the page does not say that all is settled")
    look(browser, out, "done")

    look_at_past(browser, portal, out)

    browser.go(portal + PATH.replace("0000001/", "0000009/"))
    check("LINK_UNKNOWN" in browser.text(), "a wrong link does not say so")
    seen = browser.run(PAGE_JS)
    check(not seen["faults"], "error page: %s" % seen["faults"])
    browser.screenshot(str(out / "error.png"))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--server", required=True)
    parser.add_argument("--out", required=True)
    args = parser.parse_args()
    out = pathlib.Path(args.out)
    platform = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Platform)
    threading.Thread(target=platform.serve_forever, daemon=True).start()
    authorize = "http://127.0.0.1:%d/authorize" % platform.server_port
    server = subprocess.Popen([args.server, authorize], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    browser = None
    try:
        Platform.portal = "http://127.0.0.1:" + server.stdout.readline().strip()
        browser = Browser()
        walk(browser, Platform.portal, out)
    finally:
        if browser:
            browser.close()
        server.stdin.close()
        check(server.wait(timeout=20) == 0, "the server did not end cleanly")
        platform.shutdown()
    print("done; pictures are in", out)


if __name__ == "__main__":
    main()
