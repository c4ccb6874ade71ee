#!/usr/bin/env python3
"""The accounting authorization server of the tests: it knows the truth about every refresh token.

OAuth 2.0 code flow with PKCE, refresh, revocation (RFC 7009), introspection, userinfo, discovery and ID tokens, on
loopback. Per client it plays one of the policies that real servers have:

  none      the refresh token never changes
  overlap   rotated; the old one works until its successor is used
  grace     rotated; the old one works for `grace` seconds after its first use, only the newest successor is good
  strict    rotated; the old one is refused
  family    rotated; the old one is refused and everything of that consent is revoked
  exchange  no refresh token; a living access token is traded for a new one

It keeps the lineage, counts how often each refresh token came and whether the answer left, and can hang, cut, delay,
double or replace an answer. Control: POST /_ctl/client, POST /_ctl/fault, POST /_ctl/clear; GET /_ctl/report.

  as.py [--port N] [--issuer URL] [--state FILE]     prints {"event":"ready","port":N,"issuer":"..."}
"""
import argparse
import asyncio
import base64
import hashlib
import hmac
import html
import json
import os
import secrets
import signal
import subprocess
import sys
import time
import urllib.parse

HEAD_MAX = 65536
BODY_MAX = 1 << 20
CLIENT_DEFAULTS = {
    "policy": "none", "at_ttl": 3600, "rt_ttl": 0, "grace": 2, "secret": None, "page": "auto", "account": None,
    "redirect_uris": None, "bounce_to": None, "omit_expires_in": False, "scope": None, "iss": True, "sub": None,
}


def fingerprint(token):
    return hashlib.sha256(token.encode()).hexdigest()[:16]


class Family:
    """What one consent yielded: a line of refresh tokens and the access tokens beside them."""

    def __init__(self, number, client_id, account, scope, nonce):
        self.number, self.client_id, self.account, self.scope, self.nonce = number, client_id, account, scope, nonce
        self.revoked = None  # "reuse", "revoked"
        self.refresh = {}    # token -> dict
        self.access = {}     # token -> expiry (epoch seconds)
        self.accepted = self.refused = self.reuse_presented = self.reuse_late = 0

    def access_lives(self, now):
        return not self.revoked and any(until > now for until in self.access.values())


class Truth:
    """All state; no network here, so that it can be tested by itself."""

    def __init__(self, issuer="", clock=time.time):
        self.issuer, self.clock = issuer, clock
        self.clients, self.codes, self.families = {}, {}, {}
        self.by_refresh, self.by_access = {}, {}
        self.seen = {"token": 0, "code": 0, "refresh": 0, "exchange": 0, "revoke": 0, "introspect": 0, "userinfo": 0,
                     "authorize": 0, "foreign_codes": 0}

    # -- clients and consent

    def client(self, client_id):
        return self.clients.setdefault(client_id, dict(CLIENT_DEFAULTS))

    def set_client(self, client_id, changes):
        unknown = set(changes) - set(CLIENT_DEFAULTS)
        if unknown:
            raise ValueError(f"unknown client settings: {sorted(unknown)}")
        self.client(client_id).update(changes)

    def consent(self, query, account):
        code = secrets.token_urlsafe(24)
        self.codes[code] = {
            "client_id": query.get("client_id", ""), "redirect_uri": query.get("redirect_uri"), "account": account,
            "challenge": query.get("code_challenge"), "method": query.get("code_challenge_method"),
            "scope": query.get("scope", ""), "nonce": query.get("nonce"), "until": self.clock() + 60, "used": None}
        return code

    # -- tokens

    def issue_access(self, family):
        settings = self.client(family.client_id)
        token = "at-" + secrets.token_urlsafe(24)
        family.access[token] = self.clock() + settings["at_ttl"]
        self.by_access[token] = family
        return token

    def issue_refresh(self, family, parent):
        token = "rt-" + secrets.token_urlsafe(24)
        settings = self.client(family.client_id)
        family.refresh[token] = {
            "parent": parent, "alive": True, "access_until": 0, "presented": 0, "accepted": 0, "delivered": None, "first_use": None,
            "born": self.clock(), "until": self.clock() + settings["rt_ttl"] if settings["rt_ttl"] else 0}
        self.by_refresh[token] = family
        return token

    def answer(self, family, refresh):
        settings = self.client(family.client_id)
        out = {"access_token": self.issue_access(family), "token_type": "Bearer",
               "scope": settings["scope"] if settings["scope"] is not None else family.scope,
               "account": settings["sub"] or family.account}
        if not settings["omit_expires_in"]:
            out["expires_in"] = settings["at_ttl"]
        if refresh:
            out["refresh_token"] = refresh
            family.refresh[refresh]["access_until"] = family.access[out["access_token"]]
        return out

    def redeem(self, client_id, code, redirect_uri, verifier):
        """Returns (answer, None) or (None, error)."""
        self.seen["code"] += 1
        row = self.codes.get(code)
        if not row:
            self.seen["foreign_codes"] += 1
            return None, "invalid_grant"
        if row["used"] is not None:  # RFC 6749 4.1.2: a code that comes twice takes its tokens along
            row["used"].revoked = row["used"].revoked or "code reuse"
            return None, "invalid_grant"
        if row["client_id"] != client_id or row["redirect_uri"] != redirect_uri or row["until"] < self.clock():
            return None, "invalid_grant"
        if row["challenge"]:
            digest = base64.urlsafe_b64encode(hashlib.sha256((verifier or "").encode()).digest()).rstrip(b"=").decode()
            if row["method"] != "S256" or not hmac.compare_digest(digest, row["challenge"]):
                return None, "invalid_grant"
        family = Family(len(self.families) + 1, client_id, row["account"], row["scope"], row["nonce"])
        self.families[family.number] = family
        row["used"] = family
        refresh = None if self.client(client_id)["policy"] == "exchange" else self.issue_refresh(family, None)
        return self.answer(family, refresh), None

    def usable(self, family, token):
        """Would this refresh token be accepted now? Says why not."""
        row, settings = family.refresh[token], self.client(family.client_id)
        now = self.clock()
        if family.revoked:
            return "revoked"
        if row["until"] and row["until"] < now:
            return "expired"
        if not row["alive"]:
            return "spent"
        if row["first_use"] is not None:
            if settings["policy"] in ("strict", "family"):
                return "spent"
            if settings["policy"] == "grace" and now > row["first_use"] + settings["grace"]:
                return "spent"
        return None

    def refresh(self, client_id, token):
        """Returns (answer, None) or (None, error); the whole rotation happens here, at once."""
        self.seen["refresh"] += 1
        family = self.by_refresh.get(token)
        if not family or family.client_id != client_id:
            return None, "invalid_grant"
        row, policy, now = family.refresh[token], self.client(client_id)["policy"], self.clock()
        row["presented"] += 1
        if policy != "none" and row["first_use"] is not None:
            if row["access_until"] > now:  # the access token that came with it, which a reuse may kill
                family.reuse_presented += 1
            else:
                family.reuse_late += 1
        why = self.usable(family, token)
        if why:
            if why == "spent" and policy == "family":
                family.revoked = "reuse"
            family.refused += 1
            return None, "invalid_grant"
        row["accepted"] += 1
        family.accepted += 1
        if row["first_use"] is None:
            row["first_use"] = now
            self.retire_before(family, token, policy)
        if policy == "none":
            return self.answer(family, None), None
        if policy == "grace":  # only the newest successor is good
            for other in family.refresh.values():
                if other["parent"] == token:
                    other["alive"] = False
        return self.answer(family, self.issue_refresh(family, token)), None

    @staticmethod
    def retire_before(family, token, policy):
        """The first use of a token ends its predecessor (overlap) and its siblings."""
        if policy not in ("overlap", "grace"):
            return
        parent = family.refresh[token]["parent"]
        for other, row in family.refresh.items():
            if other != token and (other == parent or row["parent"] == parent) and parent is not None:
                row["alive"] = False

    def exchange(self, token):
        self.seen["exchange"] += 1
        family = self.by_access.get(token)
        if not family or family.revoked or family.access.get(token, 0) < self.clock():
            return None, "invalid_grant"
        family.accepted += 1
        return self.answer(family, None), None

    def revoke(self, token):
        self.seen["revoke"] += 1
        family = self.by_refresh.get(token) or self.by_access.get(token)
        if family:
            family.revoked = family.revoked or "revoked"

    def owner(self, access_token):
        family = self.by_access.get(access_token)
        if not family or family.revoked or family.access.get(access_token, 0) < self.clock():
            return None
        return family

    # -- the truth, for the tests

    def report(self):
        families = []
        for family in self.families.values():
            newest = [t for t, row in family.refresh.items() if row["delivered"]]
            families.append({
                "number": family.number, "client_id": family.client_id, "account": family.account,
                "policy": self.client(family.client_id)["policy"], "revoked": family.revoked,
                "access_lives": family.access_lives(self.clock()), "accepted": family.accepted,
                "refused": family.refused, "reuse_presented": family.reuse_presented, "reuse_late": family.reuse_late,
                "refresh_tokens": len(family.refresh),
                "undelivered": sum(1 for row in family.refresh.values() if row["delivered"] is False),
                "usable": [fingerprint(t) for t in family.refresh if not self.usable(family, t)],
                "last_delivered": fingerprint(newest[-1]) if newest else None,
                "last_delivered_usable": bool(newest) and self.usable(family, newest[-1]) is None,
                "presented_max": max((row["presented"] for row in family.refresh.values()), default=0)})
        return {"seen": self.seen, "families": families}


class RsaKey:
    """Just enough RS256 for ID tokens of a test; made new at every start."""

    def __init__(self, bits=2048):
        made = subprocess.run(["openssl", "genrsa", "-traditional", str(bits)], check=True, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL).stdout.decode()
        der = base64.b64decode("".join(line for line in made.split("\n") if "-----" not in line))
        _, self.n, self.e, _, self.p, self.q, self.dp, self.dq, self.qi = self._integers(der)

    @staticmethod
    def _integers(der):
        """The numbers of an RSAPrivateKey (RFC 8017 A.1.2): a sequence of nine integers."""
        def head(at):
            size, at = der[at + 1], at + 2
            if size & 0x80:
                size, at = int.from_bytes(der[at:at + (size & 0x7f)], "big"), at + (size & 0x7f)
            return size, at
        _, at = head(0)
        out = []
        for _ in range(9):
            size, at = head(at)
            out.append(int.from_bytes(der[at:at + size], "big"))
            at += size
        return out

    def sign(self, data):
        size = (self.n.bit_length() + 7) // 8
        prefix = bytes.fromhex("3031300d060960864801650304020105000420")
        tail = prefix + hashlib.sha256(data).digest()
        padded = int.from_bytes(b"\x00\x01" + b"\xff" * (size - len(tail) - 3) + b"\x00" + tail, "big")
        m1, m2 = pow(padded % self.p, self.dp, self.p), pow(padded % self.q, self.dq, self.q)
        return (m2 + self.q * ((self.qi * (m1 - m2)) % self.p)).to_bytes(size, "big")

    def jwk(self):
        number = lambda n: b64(n.to_bytes((n.bit_length() + 7) // 8, "big"))
        return {"kty": "RSA", "kid": "as-1", "use": "sig", "alg": "RS256", "n": number(self.n), "e": number(self.e)}


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Faults:
    """Armed disturbances: {"action","count","client_id","grant_type","ms","status","retry_after"}."""

    ACTIONS = {"hang_before", "hang_after", "cut_before", "cut_after", "cut_body", "delay", "status", "duplicate",
               "error", "garbage", "html", "empty", "body"}

    def __init__(self):
        self.armed = []
        self.hits = []

    def add(self, fault):
        if fault.get("action") not in self.ACTIONS:
            raise ValueError(f"action must be one of {sorted(self.ACTIONS)}")
        self.armed.append({"count": 1, **fault})

    def take(self, client_id, grant_type):
        for fault in self.armed:
            if fault.get("client_id", client_id) != client_id or fault.get("grant_type", grant_type) != grant_type:
                continue
            fault["count"] -= 1
            if fault["count"] == 0:
                self.armed.remove(fault)
            self.hits.append(fault["action"])
            return fault
        return None


class Cut(Exception):
    """The connection ends here, without a word."""


class Server:
    def __init__(self, truth):
        self.truth, self.faults, self._key = truth, Faults(), None

    @property
    def key(self):
        if self._key is None:
            self._key = RsaKey()
        return self._key

    # -- HTTP/1.1, the little that is needed

    async def on_connection(self, reader, writer):
        try:
            while await self.one(reader, writer):
                pass
        except (Cut, ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError):
            pass
        finally:
            writer.transport.abort()

    async def one(self, reader, writer):
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return False
        lines = head.decode("latin-1").split("\r\n")
        method, target, _ = lines[0].split(" ", 2)
        headers = {}
        for line in lines[1:]:
            if line:
                name, _, value = line.partition(":")
                headers[name.strip().lower()] = value.strip()
        length = int(headers.get("content-length", 0))
        if length > BODY_MAX:
            raise Cut()
        if headers.get("expect", "").lower() == "100-continue":
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = (await reader.readexactly(length)).decode() if length else ""
        path, _, query = target.partition("?")
        request = {"method": method, "path": path, "query": dict(urllib.parse.parse_qsl(query, True)),
                   "headers": headers, "body": body, "writer": writer, "host": headers.get("host", "")}
        status, extra, payload, sent = await self.route(request)
        await self.reply(writer, status, extra, payload, method == "HEAD")
        if sent:
            sent()
        return headers.get("connection", "").lower() != "close"

    @staticmethod
    async def reply(writer, status, extra, payload, bare=False):
        if isinstance(payload, (dict, list)):
            payload = json.dumps(payload)
            extra = {"Content-Type": "application/json", "Cache-Control": "no-store", **extra}
        data = payload.encode() if isinstance(payload, str) else payload
        head = [f"HTTP/1.1 {status} X", f"Content-Length: {len(data)}"]
        head += [f"{name}: {value}" for name, value in extra.items()]
        writer.write(("\r\n".join(head) + "\r\n\r\n").encode() + (b"" if bare else data))
        await writer.drain()

    async def route(self, r):
        """(status, headers, body, called when it was sent)"""
        name = {"/.well-known/openid-configuration": "discovery",
                "/.well-known/oauth-authorization-server": "discovery"}.get(r["path"])
        name = name or r["path"].lstrip("/").replace("/", "_").replace("-", "_")
        handler = getattr(self, "do_" + name, None)
        if not handler:
            return 404, {}, {"error": "not_found"}, None
        answer = handler(r)
        if asyncio.iscoroutine(answer):
            answer = await answer
        return answer if len(answer) == 4 else (*answer, None)

    # -- what OAuth asks for

    def do_discovery(self, r):
        base = self.truth.issuer
        return 200, {}, {
            "issuer": base, "authorization_endpoint": base + "/authorize", "token_endpoint": base + "/token",
            "revocation_endpoint": base + "/revoke", "introspection_endpoint": base + "/introspect",
            "userinfo_endpoint": base + "/userinfo", "jwks_uri": base + "/jwks",
            "response_types_supported": ["code"], "grant_types_supported": ["authorization_code", "refresh_token"],
            "subject_types_supported": ["public"], "id_token_signing_alg_values_supported": ["RS256"],
            "scopes_supported": ["openid", "email", "offline_access"], "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
            "authorization_response_iss_parameter_supported": True}

    def do_jwks(self, r):
        return 200, {}, {"keys": [self.key.jwk()]}

    def do_authorize(self, r):
        self.truth.seen["authorize"] += 1
        query = dict(r["query"])
        form = dict(urllib.parse.parse_qsl(r["body"], True))
        settings = self.truth.client(query.get("client_id", ""))
        if settings["bounce_to"]:  # a hostile server that sends the browser on to an honest one
            keep = {k: v for k, v in query.items() if k not in ("client_id", "redirect_uri", "scope")}
            join = "&" if "?" in settings["bounce_to"] else "?"
            return 302, {"Location": settings["bounce_to"] + join + urllib.parse.urlencode(keep)}, ""
        uri = query.get("redirect_uri", "")
        if settings["redirect_uris"] is not None and uri not in settings["redirect_uris"]:
            return 400, {"Content-Type": "text/html"}, "<title>Wrong redirect_uri</title>not registered"
        if settings["page"] == "form" and r["method"] != "POST":
            return 200, {"Content-Type": "text/html; charset=utf-8"}, (
                "<!doctype html><title>Allow access?</title><form method=post action=\"%s\">"
                "<input name=login><button name=go value=allow>Allow</button></form>"
                "<form method=post action=\"%s\"><button name=go value=deny>Deny</button></form>"
                % ((html.escape("/authorize?" + urllib.parse.urlencode(query)),) * 2))
        account = form.get("login") or settings["account"] or query.get("login_hint") or "anna"
        back = {"error": "access_denied"} if form.get("go") == "deny" else {"code": self.truth.consent(query, account)}
        if "state" in query:
            back["state"] = query["state"]
        if settings["iss"]:
            back["iss"] = self.truth.issuer
        return 303, {"Location": uri + ("&" if "?" in uri else "?") + urllib.parse.urlencode(back)}, ""

    def authenticate(self, r, form):
        client_id, secret = form.get("client_id"), form.get("client_secret")
        given = r["headers"].get("authorization", "")
        if given.lower().startswith("basic "):
            pair = base64.b64decode(given[6:]).decode().partition(":")
            client_id, secret = urllib.parse.unquote_plus(pair[0]), urllib.parse.unquote_plus(pair[2])
        expected = self.truth.client(client_id or "")["secret"]
        good = expected is None or (secret is not None and hmac.compare_digest(secret, expected))
        return client_id, good

    async def do_token(self, r):
        self.truth.seen["token"] += 1
        form = dict(urllib.parse.parse_qsl(r["body"], True))
        client_id, good = self.authenticate(r, form)
        if r["method"] != "POST" or not good:
            return 401, {}, {"error": "invalid_client"}
        kind = form.get("grant_type", "")
        return await self.disturbed(r, client_id, kind, lambda: self.spend(client_id, kind, form))

    async def do_exchange(self, r):
        token = r["query"].get("access_token", "")
        family = self.truth.by_access.get(token)
        client_id = family.client_id if family else ""
        return await self.disturbed(r, client_id, "exchange", lambda: self.truth.exchange(token))

    def spend(self, client_id, kind, form):
        if kind == "authorization_code":
            return self.truth.redeem(client_id, form.get("code", ""), form.get("redirect_uri"), form.get("code_verifier"))
        if kind == "refresh_token":
            return self.truth.refresh(client_id, form.get("refresh_token", ""))
        return None, "unsupported_grant_type"

    async def disturbed(self, r, client_id, kind, spend):
        fault = self.faults.take(client_id, kind) or {"action": None}
        action = fault["action"]
        if action == "hang_before":
            await asyncio.sleep(fault.get("ms", 3600_000) / 1000)
        elif action == "cut_before":
            raise Cut()
        elif action == "status":
            extra = {"Retry-After": fault["retry_after"]} if "retry_after" in fault else {}
            return fault.get("status", 500), extra, fault.get("body", {"error": "temporarily_unavailable"})
        elif action == "error":
            return fault.get("status", 400), {}, {"error": fault.get("error", "invalid_grant")}
        elif action == "body":
            return fault.get("status", 200), fault.get("headers", {}), fault["body"]
        answer, error = spend()
        if action == "duplicate":
            answer, error = spend()
        if error:
            return 400, {}, {"error": error}
        token = answer.get("refresh_token")
        return await self.deliver(r, fault, self.with_id_token(client_id, answer), token)

    async def deliver(self, r, fault, answer, token):
        action = fault["action"]
        row = self.truth.by_refresh[token].refresh[token] if token else {}
        row["delivered"] = False
        if action == "hang_after":
            await asyncio.sleep(fault.get("ms", 3600_000) / 1000)
        elif action == "cut_after":
            raise Cut()
        elif action == "cut_body":
            text = json.dumps(answer).encode()
            head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n"
            r["writer"].write(head.encode() + text[:len(text) // 2])
            await r["writer"].drain()
            raise Cut()
        elif action == "delay":
            await asyncio.sleep(fault.get("ms", 100) / 1000)
        elif action == "garbage":
            return 200, {"Content-Type": "application/json"}, "{\"access_token\": \"x"
        elif action == "html":
            return 200, {"Content-Type": "text/html"}, "<html>Welcome to the hotel</html>"
        elif action == "empty":
            return 200, {"Content-Type": "application/json"}, ""
        return 200, {}, answer, lambda: row.update(delivered=True)

    def with_id_token(self, client_id, answer):
        family = self.truth.by_access[answer["access_token"]]
        if "openid" not in family.scope.split():
            return answer
        now = int(time.time())
        claims = {"iss": self.truth.issuer, "aud": client_id, "iat": now, "exp": now + 300,
                  "sub": self.truth.client(client_id)["sub"] or family.account}
        if family.nonce:
            claims["nonce"] = family.nonce
        head = {"alg": "RS256", "kid": "as-1", "typ": "JWT"}
        signed = ".".join(b64(json.dumps(part).encode()) for part in (head, claims))
        return {**answer, "id_token": signed + "." + b64(self.key.sign(signed.encode()))}

    def do_revoke(self, r):
        form = dict(urllib.parse.parse_qsl(r["body"], True))
        if not self.authenticate(r, form)[1]:
            return 401, {}, {"error": "invalid_client"}
        self.truth.revoke(form.get("token", ""))
        return 200, {}, ""

    def do_introspect(self, r):
        form = dict(urllib.parse.parse_qsl(r["body"], True))
        client_id, good = self.authenticate(r, form)
        if not good:
            return 401, {}, {"error": "invalid_client"}
        self.truth.seen["introspect"] += 1
        token = form.get("token", "")
        family = self.truth.owner(token)
        if not family and token in self.truth.by_refresh:
            family = self.truth.by_refresh[token]
            family = None if self.truth.usable(family, token) else family
        if not family or family.client_id != client_id:
            return 200, {}, {"active": False}
        return 200, {}, {"active": True, "sub": family.account, "client_id": client_id, "scope": family.scope}

    def do_userinfo(self, r):
        given = r["headers"].get("authorization", "")
        family = self.truth.owner(given[7:]) if given.lower().startswith("bearer ") else None
        if not family:
            return 401, {"WWW-Authenticate": "Bearer error=\"invalid_token\""}, {"error": "invalid_token"}
        self.truth.seen["userinfo"] += 1
        return 200, {}, {"sub": self.truth.client(family.client_id)["sub"] or family.account,
                         "email": f"{family.account}@client.example"}

    # -- the test's own door

    def control(self, r, act):
        try:
            act(json.loads(r["body"] or "{}"))
        except (ValueError, KeyError, TypeError) as e:
            return 400, {}, {"error": str(e)}
        return 200, {}, {"ok": True}

    def do__ctl_client(self, r):
        return self.control(r, lambda given: self.truth.set_client(given.pop("client_id"), given))

    def do__ctl_fault(self, r):
        return self.control(r, self.faults.add)

    def do__ctl_clear(self, r):
        return self.control(r, lambda given: self.faults.armed.clear())

    def do__ctl_report(self, r):
        return 200, {}, {**self.truth.report(), "armed": self.faults.armed, "hits": self.faults.hits}


def save(truth, path):
    plain = {"clients": truth.clients, "seen": truth.seen, "families": [
        {"client_id": f.client_id, "account": f.account, "scope": f.scope, "nonce": f.nonce, "revoked": f.revoked,
         "refresh": f.refresh, "access": f.access, "accepted": f.accepted, "refused": f.refused,
         "reuse_presented": f.reuse_presented, "reuse_late": f.reuse_late} for f in truth.families.values()]}
    with open(path + ".new", "w", encoding="utf-8") as file:
        json.dump(plain, file)
    os.replace(path + ".new", path)


def load(truth, path):
    with open(path, encoding="utf-8") as file:
        plain = json.load(file)
    truth.clients, truth.seen = plain["clients"], plain["seen"]
    for number, row in enumerate(plain["families"], 1):
        family = Family(number, row["client_id"], row["account"], row["scope"], row["nonce"])
        for name in ("revoked", "refresh", "access", "accepted", "refused", "reuse_presented", "reuse_late"):
            setattr(family, name, row[name])
        truth.families[number] = family
        truth.by_refresh.update({token: family for token in family.refresh})
        truth.by_access.update({token: family for token in family.access})


async def serve(args):
    truth = Truth()
    if args.state and os.path.exists(args.state):
        load(truth, args.state)
    server = Server(truth)
    listener = await asyncio.start_server(server.on_connection, "127.0.0.1", args.port, limit=HEAD_MAX, backlog=512)
    port = listener.sockets[0].getsockname()[1]
    truth.issuer = args.issuer or f"http://127.0.0.1:{port}"
    print(json.dumps({"event": "ready", "port": port, "issuer": truth.issuer}), flush=True)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await stop.wait()
    if args.state:
        save(truth, args.state)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--issuer", default="")
    parser.add_argument("--state", default="")
    asyncio.run(serve(parser.parse_args()))
    sys.exit(0)


if __name__ == "__main__":
    main()
