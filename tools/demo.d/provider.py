"""The authorization server that we did not write (npm oidc-provider), behind a relay that can hold a request back, and what
an agency's programs ask of it."""
import base64
import json
import secrets
import urllib.error
import urllib.parse
import urllib.request

from stage import start

ISSUER = "https://login.demo.example"
TOKEN_SECONDS = 10


class Provider:
    def __init__(self, stage):
        self.client_secret = secrets.token_hex(16)
        self.server = start.oidc_provider(stage.folder, issuer=ISSUER, at_ttl=TOKEN_SECONDS)
        stage.children.append(self.server)
        self.relay = start.relay(stage.folder, self.server.port)
        stage.children.append(self.relay)

    def register(self, redirect_uri):
        """As in a developer console."""
        self.server.post("/_ctl/client", {"client_id": "agency", "client_secret": self.client_secret,
                                          "redirect_uris": [redirect_uri]})

    def config(self, secret):
        """The lines of grantd's configuration that are about it; secret: the file of the app's secret."""
        return f"""apps:
  demo:
    platform: oauth2
    provider: oidc
    issuer: {ISSUER}
    client_id: agency
    client_secret: {{file: {secret}}}
origins:                    # the demonstration's server has no public name: this is where it really is
  "{ISSUER}": "{self.relay.base}"
limits:                     # short, so that you need not wait: tokens live {TOKEN_SECONDS} seconds here
  request_deadline_ms: 4000
  quiet_ms: 4000
  skew_ms: 0
  family_lease_ms: 4000
  outage_ms: 1000
  margin_min_ms: 2000
"""

    def report(self):
        return self.server.get("/_ctl/report")["seen"]

    def hold_refresh(self):
        """The next one stays in the relay until whoever sent it is gone."""
        self.relay.post("/_relay/hold", {"contains": "grant_type=refresh_token"})

    def held(self):
        return self.relay.get("/_relay/state")["held"]

    def dropped(self):
        return self.relay.get("/_relay/state")["dropped"]

    def userinfo(self, token):
        request = urllib.request.Request(self.server.base + "/me", headers={"Authorization": "Bearer " + token})
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as e:
            return e.code, None

    def introspect(self, token):
        basic = base64.b64encode(f"agency:{self.client_secret}".encode()).decode()
        request = urllib.request.Request(self.server.base + "/token/introspection",
                                         urllib.parse.urlencode({"token": token}).encode(),
                                         {"Authorization": "Basic " + basic})
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read())["active"]
