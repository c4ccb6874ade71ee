#!/usr/bin/env python3
"""A scripted browser that keeps cookies: opens a link, fills forms with their hidden fields, follows redirects.

It stands in for the client's own browser in the demonstration and the tests. It runs no script and loads nothing
that a page refers to. One Browser is one cookie jar; two people are two Browsers.

  browser.py LINK --login anna [--password x] [--deny] [--map ORIGIN=ORIGIN] [--json]
"""
import argparse
import http.client
import json
import re
import ssl
import sys
import time
import urllib.parse
from html.parser import HTMLParser

REDIRECTS_MAX = 20
BODY_MAX = 4 * 1024 * 1024
YES = re.compile(r"\b(approve|allow|accept|authorize|authorise|grant|connect|continue|confirm|yes|go on)\b", re.I)
NO = re.compile(r"\b(deny|decline|refuse|reject|cancel|abort|no)\b", re.I)


class Form:
    """One form of a page: where it goes, its fields, and the buttons that may send it."""

    def __init__(self, attributes):
        self.action = attributes.get("action") or ""
        self.method = (attributes.get("method") or "get").upper()
        self.id = attributes.get("id")
        self.fields = []  # [name, value, type]
        self.buttons = []  # [name, value, text, formaction]

    def names(self):
        return [field[0] for field in self.fields]

    def wants_login(self):
        return any(kind == "password" or name in ("login", "username") for name, _, kind in self.fields)

    def button(self, pattern):
        for button in self.buttons:
            if pattern.search(" ".join(filter(None, button[:3]))):
                return button
        return None

    def pairs(self, changes, button):
        changes = dict(changes or {})
        out = []
        for name, value, _ in self.fields:
            out.append((name, changes.pop(name) if name in changes else value))
        out.extend(changes.items())
        if button and button[0]:
            out.append((button[0], button[1] or ""))
        return out


class Page(HTMLParser):
    """What a browser got: the answer and the forms, links and text in it."""

    def __init__(self, url, status, headers, body):
        super().__init__(convert_charrefs=True)
        self.url, self.status, self.headers, self.body = url, status, headers, body
        self.forms, self.links, self.elements, self.title = [], [], [], ""
        self._form = self._button = None
        self._inside, self._text, self._strays = [], [], []
        if "html" in self.header("content-type", ""):
            self.feed(body)
            self.close()
            for form_id, button in self._strays:
                for form in self.forms:
                    if form.id == form_id:
                        form.buttons.append(button)

    def header(self, name, default=None):
        for key, value in self.headers:
            if key.lower() == name:
                return value
        return default

    def all_headers(self, name):
        return [value for key, value in self.headers if key.lower() == name]

    @property
    def text(self):
        return re.sub(r"\s+", " ", " ".join(self._text)).strip()

    def handle_starttag(self, tag, attrs):
        attributes = {key: value if value is not None else "" for key, value in attrs}
        self.elements.append((tag, attributes))
        if tag not in ("input", "br", "meta", "link", "img", "hr"):
            self._inside.append(tag)
        if tag == "form":
            self._form = Form(attributes)
            self.forms.append(self._form)
        elif tag == "a" and attributes.get("href"):
            self.links.append(attributes["href"])
        elif tag == "input":
            self._input(attributes)
        elif tag in ("textarea", "select") and self._form and attributes.get("name"):
            self._form.fields.append([attributes["name"], "", tag])
        elif tag == "option" and self._form and self._form.fields and self._form.fields[-1][2] == "select":
            if "selected" in attributes or not self._form.fields[-1][1]:
                self._form.fields[-1][1] = attributes.get("value", "")
        elif tag == "button" and attributes.get("type", "submit") == "submit":
            self._button = [attributes.get("name"), attributes.get("value"), "", attributes.get("formaction")]
            self._add_button(attributes, self._button)

    def _add_button(self, attributes, button):
        if attributes.get("form"):
            self._strays.append((attributes["form"], button))
        elif self._form:
            self._form.buttons.append(button)

    def _input(self, attributes):
        kind, name = attributes.get("type", "text").lower(), attributes.get("name")
        if kind == "submit":
            button = [name, attributes.get("value"), attributes.get("value", ""), attributes.get("formaction")]
            self._add_button(attributes, button)
        elif self._form and name and "disabled" not in attributes:
            if kind in ("checkbox", "radio"):
                if "checked" in attributes:
                    self._form.fields.append([name, attributes.get("value", "on"), kind])
            else:
                self._form.fields.append([name, attributes.get("value", ""), kind])

    def handle_endtag(self, tag):
        while self._inside and self._inside.pop() != tag:
            pass
        if tag == "form":
            self._form = None
        elif tag == "button":
            self._button = None

    def handle_data(self, data):
        if self._inside and self._inside[-1] in ("script", "style"):
            return
        if self._inside and self._inside[-1] == "title":
            self.title += data.strip()
            return
        self._text.append(data)
        if self._button is not None:
            self._button[2] = (self._button[2] + data).strip()


class Jar:
    """Cookies by host, path and name, as a browser keeps them (a port makes no difference)."""

    def __init__(self):
        self.cookies = {}  # (host, path, name) -> (value, secure, expires)

    def take(self, url, header):
        parts = [part.strip() for part in header.split(";")]
        name, _, value = parts[0].partition("=")
        attributes = {}
        for part in parts[1:]:
            key, _, given = part.partition("=")
            attributes[key.strip().lower()] = given.strip()
        secure = "secure" in attributes
        where = urllib.parse.urlsplit(url)
        path = attributes.get("path") or "/"
        if name.startswith("__Host-") and (not secure or path != "/" or "domain" in attributes):
            return
        if secure and where.scheme != "https":
            return
        expires = None
        if attributes.get("max-age", "").lstrip("-").isdigit():
            expires = time.time() + int(attributes["max-age"])
        elif "expires" in attributes:
            expires = http_date(attributes["expires"])
        key = (where.hostname, path, name)
        if expires is not None and expires <= time.time():
            self.cookies.pop(key, None)
        else:
            self.cookies[key] = (value, secure, expires)

    def give(self, url):
        where = urllib.parse.urlsplit(url)
        target = where.path or "/"
        found = []
        for (host, path, name), (value, secure, expires) in self.cookies.items():
            below = target == path or target.startswith(path if path.endswith("/") else path + "/")
            if host != where.hostname or not below or (secure and where.scheme != "https"):
                continue
            if expires is not None and expires <= time.time():
                continue
            found.append((len(path), f"{name}={value}"))
        return "; ".join(text for _, text in sorted(found, key=lambda one: -one[0]))


def http_date(text):
    import email.utils
    try:
        return email.utils.parsedate_to_datetime(text).timestamp()
    except (TypeError, ValueError):
        return None


class Browser:
    """maps: {origin: origin}, where an address leads that is not reachable under its public name."""

    def __init__(self, maps=None, timeout=30, cafile=None):
        self.jar = Jar()
        self.maps = dict(maps or {})
        self.timeout = timeout
        self.cafile = cafile
        self.history = []  # (method, url, status)
        self.page = None

    def address(self, url):
        for origin, other in self.maps.items():
            if url == origin or url.startswith(origin + "/") or url.startswith(origin + "?"):
                return other + url[len(origin):]
        return url

    def request(self, method, url, body=None, headers=None):
        """One request, no redirect followed."""
        url = self.address(url)
        where = urllib.parse.urlsplit(url)
        if where.scheme == "https":
            context = ssl.create_default_context(cafile=self.cafile)
            connection = http.client.HTTPSConnection(where.hostname, where.port, timeout=self.timeout, context=context)
        elif where.scheme == "http":
            connection = http.client.HTTPConnection(where.hostname, where.port, timeout=self.timeout)
        else:
            raise ValueError(f"a browser cannot open {where.scheme}:")
        given = {"Accept": "text/html,*/*;q=0.5", "User-Agent": "scripted-browser", "Accept-Language": "en"}
        given.update(headers or {})
        cookies = self.jar.give(url)
        if cookies:
            given["Cookie"] = cookies
        target = (where.path or "/") + (f"?{where.query}" if where.query else "")
        try:
            connection.request(method, target, body=body, headers=given)
            answer = connection.getresponse()
            text = answer.read(BODY_MAX).decode("utf-8", "replace")
        finally:
            connection.close()
        for header in answer.headers.get_all("Set-Cookie") or []:
            self.jar.take(url, header)
        self.history.append((method, url, answer.status))
        self.page = Page(url, answer.status, answer.getheaders(), text)
        return self.page

    def follow(self, page):
        """Goes where redirects lead; a POST becomes a GET by 303 (and 302), as in browsers."""
        for _ in range(REDIRECTS_MAX):
            if page.status not in (301, 302, 303, 307, 308) or not page.header("location"):
                return page
            if page.status in (307, 308):
                raise AssertionError("a redirect that repeats the post: no server here may ask for that")
            page = self.request("GET", urllib.parse.urljoin(page.url, page.header("location")))
        raise AssertionError("too many redirects")

    def open(self, url):
        return self.follow(self.request("GET", url))

    def post(self, url, pairs, headers=None):
        given = {"Content-Type": "application/x-www-form-urlencoded"}
        where = urllib.parse.urlsplit(self.page.url if self.page else url)
        given["Origin"] = f"{where.scheme}://{where.netloc}"
        given.update(headers or {})
        return self.request("POST", url, urllib.parse.urlencode(pairs), given)

    def submit(self, form, changes=None, button=None, stay=False):
        """Sends a form of the present page; stay: the redirect is not followed."""
        action = (button[3] if button and button[3] else form.action) or self.page.url
        url = urllib.parse.urljoin(self.page.url, action)
        pairs = form.pairs(changes, button)
        if form.method == "POST":
            page = self.post(url, pairs)
        else:
            bare = urllib.parse.urlsplit(url)._replace(query=urllib.parse.urlencode(pairs), fragment="")
            page = self.request("GET", urllib.parse.urlunsplit(bare))
        return page if stay else self.follow(page)

    def choose(self, pattern=YES):
        """(form, button) of the present page that says what pattern wants, or None."""
        for form in self.page.forms:
            button = form.button(pattern)
            if button and not (pattern is YES and NO.search(button[2] or "")):
                return form, button
        return None

    def walk(self, login="anna", password="secret", deny=False, home=None, steps_max=12, say=None):
        """From a link to the end page: approves at home (the portal), signs in and consents at the platform, comes
        back. Returns the last page. home: origin of the portal; deny: says no at the platform."""
        home = home or origin_of(self.page.url)
        begun = len(self.history)
        for _ in range(steps_max):
            at_home = origin_of(self.page.url) == home
            if at_home and any(origin_of(url) != home for _, url, _ in self.history[begun:]):
                return self.page
            refuse = self.choose(NO) if deny and not at_home else None
            if refuse:
                self._say(say, f"presses “{refuse[1][2]}” on “{self.page.title}”")
                self.submit(refuse[0], None, refuse[1])
                continue
            login_form = next((form for form in self.page.forms if form.wants_login()), None)
            if login_form and not at_home:
                self._say(say, f"signs in as {login}")
                names = login_form.names()
                changes = {name: login for name in names if name in ("login", "username", "email")}
                changes.update({name: password for name, _, kind in login_form.fields if kind == "password"})
                self.submit(login_form, changes, login_form.buttons[0] if login_form.buttons else None)
                continue
            chosen = self.choose()
            if not chosen:
                return self.page
            self._say(say, f"presses “{chosen[1][2]}” on “{self.page.title}”")
            self.submit(chosen[0], None, chosen[1])
        raise AssertionError(f"no end after {steps_max} pages; now at {self.page.url}")

    @staticmethod
    def _say(say, text):
        if say:
            say(text)


def origin_of(url):
    where = urllib.parse.urlsplit(url)
    return f"{where.scheme}://{where.netloc}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("link")
    parser.add_argument("--login", default="anna")
    parser.add_argument("--password", default="secret")
    parser.add_argument("--deny", action="store_true")
    parser.add_argument("--map", action="append", default=[], metavar="ORIGIN=ORIGIN")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    browser = Browser(dict(one.split("=", 1) for one in args.map))
    page = browser.open(args.link)
    if page.status != 200:
        sys.exit(f"the link answers {page.status}: {page.text[:300]}")
    page = browser.walk(args.login, args.password, args.deny, say=None if args.json else print)
    result = {"url": page.url, "status": page.status, "title": page.title, "text": page.text}
    print(json.dumps(result) if args.json else f"ends at “{page.title}” ({page.status}): {page.text[:300]}")
    sys.exit(0 if page.status == 200 else 1)


if __name__ == "__main__":
    main()
