"""The server behind the test platform atlas: accounts, codes, tokens and shares, in the test's own process. It knows
what was asked how often, and can fail or hang an address."""
import http.server
import json
import secrets
import threading
import time
import urllib.parse

ORIGIN = "https://atlas.test.example"


class Atlas:
    def __init__(self, accounts=3):
        self.accounts = [{"id": f"a{n}", "name": f"Account {n}"} for n in range(1, accounts + 1)]
        self.codes, self.tokens, self.refresh, self.shares = {}, {}, {}, {}
        self.seen, self.bodies, self.faults = [], [], {}
        self.hub_token, self.account, self.scope, self.expires_in = "hub-" + secrets.token_hex(8), "anna", None, 3600
        self.consents, self.ahead = 0, 0
        self.same_ids, self.refused, self.silent = False, set(), False
        self.hold = threading.Event()
        self.held = threading.Event()
        atlas = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # or each answer takes 40 ms

            def log_message(self, *args):
                pass

            def date_time_string(self, timestamp=None):
                return super().date_time_string(time.time() + atlas.ahead)

            def do_GET(self):
                atlas.handle(self, b"")

            def do_POST(self):
                atlas.handle(self, self.rfile.read(int(self.headers.get("Content-Length") or 0)))

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.base = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.hold.set()
        self.server.shutdown()
        self.server.server_close()

    # -- what the tests ask

    def count(self, path, **form):
        return sum(p == path and all(b.get(k) == v for k, v in form.items()) for p, b in self.bodies)

    def living(self):
        """families of tokens that still work"""
        return {family for family in self.tokens.values() if family is not None}

    def fail(self, path, status=503, times=1, skip=0, error="temporarily_unavailable"):
        self.faults[path] = [status, times, skip, error]

    def hang(self, path, skip=0, how="hang"):
        """hang: it is done, and no answer ever comes; slow: it is done and answered when hold is set; late: it is done
        at once, and answered when hold is set"""
        self.hold.clear()
        self.held.clear()
        self.faults[path] = [how, 1, skip, None]

    # -- the answers

    def handle(self, h, body):
        url = urllib.parse.urlsplit(h.path)
        query = dict(urllib.parse.parse_qsl(url.query))
        form = dict(urllib.parse.parse_qsl(body.decode()))
        self.bodies.append((url.path, form or query))
        fault = self.faults.get(url.path)
        if fault and fault[2] > 0:
            fault[2] -= 1
        elif fault and fault[1] > 0:
            fault[1] -= 1
            if fault[0] in ("hang", "slow", "late"):
                said = self.answer(h, url.path, query, form, send=False) if fault[0] != "slow" else None
                self.held.set()
                self.hold.wait(30)
                if fault[0] == "hang":
                    h.close_connection = True
                    return
                if said:
                    self.send(h, *said)
                    return
            else:
                self.send(h, fault[0], {"error": fault[3]})
                return
        self.answer(h, url.path, query, form)

    def send(self, h, status, body, location=None):
        data = json.dumps(body).encode()
        h.send_response(status)
        if location:
            h.send_header("Location", location)
        h.send_header("Content-Type", "application/json")
        h.send_header("Content-Length", str(len(data)))
        h.end_headers()
        h.wfile.write(data)

    def answer(self, h, path, query, form, send=True):
        bearer = (h.headers.get("Authorization") or "").removeprefix("Bearer ")
        found = getattr(self, "on_" + path.strip("/"), None)
        status, body, location = found(query, form, bearer) if found else (404, {}, None)
        if send:
            self.send(h, status, body, location)
        return status, body, location

    def on_authorize(self, query, form, bearer):
        self.consents += 1
        code = secrets.token_urlsafe(12)
        self.codes[code] = (self.consents, query.get("scope"))
        back = query["redirect_uri"] + "?" + urllib.parse.urlencode({"code": code, "state": query["state"]})
        return 302, {}, back

    def issue(self, family, scope):
        access, refresh = "at-" + secrets.token_urlsafe(24), "rt-" + secrets.token_urlsafe(24)
        self.tokens[access] = family
        self.refresh[refresh] = (family, scope)
        return 200, {"access_token": access, "refresh_token": refresh, "expires_in": self.expires_in,
                     "account": self.account, "scope": self.scope or scope, "region": "eu"}, None

    def on_token(self, query, form, bearer):
        if form.get("grant_type") == "refresh_token":
            found = self.refresh.get(form.get("refresh_token"))
        else:
            found = self.codes.pop(form.get("code"), None)
            if self.silent:
                return 200, {"nothing": True}, None
        return self.issue(*found) if found else (400, {"error": "invalid_grant"}, None)

    def knows(self, bearer):
        return bearer == self.hub_token or self.tokens.get(bearer) is not None

    def on_accounts(self, query, form, bearer):
        if not self.knows(bearer):
            return 401, {"error": "invalid_token"}, None
        begin = int(query.get("from", 0))
        page = self.accounts[begin:begin + 20] if "from" in query else self.accounts
        return 200, {"accounts": page, "total": len(self.accounts)}, None

    def on_shares(self, query, form, bearer):
        if not self.knows(bearer):
            return 401, {"error": "invalid_token"}, None
        return 200, {"shares": [s for s in self.shares.values() if query.get("account") in (None, s["account"])]}, None

    def on_share(self, query, form, bearer):
        if not self.knows(bearer):
            return 401, {"error": "invalid_token"}, None
        if form.get("account") in self.refused:
            return 403, {"error": "forbidden"}, None
        name = form["account"] if self.same_ids else secrets.token_hex(4)
        share = {"id": "s" + name, **form}
        self.shares[share["id"]] = share
        return 200, share, None

    def on_unshare(self, query, form, bearer):
        if not self.knows(bearer):
            return 401, {"error": "invalid_token"}, None
        return (200, {}, None) if self.shares.pop(form.get("id"), None) else (404, {}, None)

    def on_revoke(self, query, form, bearer):
        family = self.tokens.get(form.get("token"))
        for token, of in list(self.tokens.items()):
            if of == family:
                self.tokens[token] = None
        self.refresh = {k: v for k, v in self.refresh.items() if v[0] != family}
        return 200, {}, None
