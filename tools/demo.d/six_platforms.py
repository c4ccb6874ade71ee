"""The second walk of tools/demo: six platforms through the sandbox, one request, one link, a crash in the middle of a
fan-out, 400 days, and the end of everything."""
import json
import os
import subprocess
import threading
import time

from sandbox import Sandbox, Visitor
from stage import Stage

DAY = 86400
LEAPS = (24, 31, 80, 160, 240, 320, 355, 400)  # days since the start, each shortly after something asked for a person
MEMORY = "/dev/shm"
WRONG_CODE = "#" + "A" * 62 + "="

# Who signs in where: the agency's people connect the hubs, Anna is the client.
AGENCY = {"tiktok_center": "7222000000000000005", "tiktok_spark": "7222000000000000005", "google_manager": "ops@agency.example",
          "linkedin_people": "bo"}
ANNA = {"tiktok": "7222000000000000001", "spark": None, "meta": "1020000000055", "google": "owner@bakery.example",
        "linkedin": "ada", "shopify": None}
ITEMS = ("app=tiktok,role=OPERATOR", "app=spark", "app=meta,role=advertiser", "app=google",
         "app=linkedin,role=CAMPAIGN_MANAGER,asset=507000111", "app=shopify,role=write,asset=bakery-plus.myshopify.com",
         "app=shopify,mode=collaborator,role=read,asset=bakery-plus.myshopify.com")
TIKTOK, META, POSTS = (["7311000000000000042", "7311000000000000043"], ["act_5550001112223", "act_5550001112224"],
                       ["7440123456789012345", "7440123456789012346"])
SHOP, GOOGLE, LINKEDIN, AGENCY_BC = "bakery-plus.myshopify.com", "1234567890", "507000111", "7301112223334445556"
ALIVE = ("tiktok_bc", "meta", "google_ads", "linkedin", "shopify")
SECRETS = {"tiktok": "shh", "meta": "s3cr3t", "meta_system_user": "EAAagency", "google": "GOCSPX-demo",
           "linkedin": "WPL_AP1.demo", "shopify": "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"}
CONFIG = """titles: {{main: Northlight Media}}
apps:                       # the agency's developer apps, one a platform
  tiktok: {{platform: tiktok_bc, app_id: "7450000000000000101", secret: {{file: tiktok.secret}}}}
  spark: {{platform: spark_ads, app_id: "7450000000000000101", secret: {{file: tiktok.secret}}}}
  meta: {{platform: meta, app_id: "310000000000001", app_secret: {{file: meta.secret}}, config_id: "900000000000033",
         keep_client_token: true}}
  google: {{platform: google_ads, client_id: 77-abc.apps.googleusercontent.com, client_secret: {{file: google.secret}}}}
  linkedin: {{platform: linkedin, client_id: 86demo1client, client_secret: {{file: linkedin.secret}}, keep_client_token: true}}
  shopify: {{platform: shopify, client_id: a61950a2cbd5f32876b0b55587ec7a27, client_secret: {{file: shopify.secret}},
            scopes: "read_orders, write_products"}}
hubs:                       # the agency's own identities: clients share to them
  tiktok_center: {{platform: tiktok_bc, app: tiktok, id: "7301112223334445556"}}
  tiktok_spark: {{platform: spark_ads, app: spark, id: "7301112223334445556", advertisers: "7311000000000000777"}}
  meta_business: {{platform: meta, app: meta, id: "220000000000777", system_user_id: "61550000000042",
                  access_token: {{file: meta_system_user.secret}}}}
  google_manager: {{platform: google_ads, app: google, id: "9001112222", agency_email: ops@agency.example}}
  linkedin_people: {{platform: linkedin, app: linkedin, id: kT_agency55}}
limits: {{per_minute: 1000000, burst: 100000}}    # a year goes by in a minute here
origins: {origins}
"""


class SixPlatforms(Stage):
    def __init__(self, build):
        # Every renewal waits until its tokens are on the disk; a year of them in a minute wants a disk in memory.
        super().__init__(build, MEMORY if os.access(MEMORY, os.W_OK) else None)
        self.home = f"http://127.0.0.1:{self.free_port()}"
        self.cursor, self.days, self.gens, self.fired = None, 0, {}, 0

    def walk(self):
        self.servers()
        self.hubs()
        self.ask()
        self.approve()
        self.choose()
        self.killed_in_a_fan_out()
        self.show()
        self.use()
        self.year()
        self.close()
        self.nothing_is_left()
        self.audit()

    # -- the pieces

    def servers(self):
        clock = os.path.join(self.folder, "clock")
        self.step("One sandbox stands in for TikTok, Meta, Google, LinkedIn and Shopify; grantd starts with a clock that can "
                  "be moved")
        self.sandbox = Sandbox(self, clock)
        self.children.append(self.sandbox)
        self.sandbox.rename("tiktok", {"Harbour Bikes": "Anna Bakery", "M. Vos": "Anna Baker"})
        self.sandbox.rename("meta", {"Bakery GmbH": "Anna Bakery", "Berta Baker": "Anna Baker"})
        self.sandbox.rename("linkedin", {"Acme Candles": "Anna Bakery", '"Ada"': '"Anna"', '"Berg"': '"Baker"'})
        origins = self.sandbox.origins()
        for name, value in SECRETS.items():
            self.secret(name, value)
        self.configure(self.home.rsplit(":", 1)[1], CONFIG.format(origins=json.dumps(origins)), self.home)
        self.arguments = ["--virtual-clock", clock]
        self.start_daemon()
        self.people = Visitor(origins, self.home)
        platforms = {a["platform"] for a in self.grantctl("app", "list")["apps"]}
        self.must(len(platforms) == 6, f"platforms: {platforms}")
        self.say(f"{len(origins)} addresses of {len(platforms)} platforms lead to {self.sandbox.port} on this machine; nothing "
                 "leaves it")

    def hubs(self):
        self.step("The agency connects its own accounts once: grantctl hub connect, and a person of the agency approves")
        for hub, who in AGENCY.items():
            self.connect(hub, who)
        self.say("Meta's needs no person: the token of a system user was handed in")
        self.grantctl("hub", "list", show=True)
        hubs = self.grantctl("hub", "list")["hubs"]
        self.must(all(h["state"] == "ready" for h in hubs), f"hubs: {hubs}")

    def connect(self, hub, who):
        agency = Visitor(self.people.browser.maps, self.home)
        agency.approve(self.grantctl("hub", "connect", hub)["link"], who)

    def ask(self):
        self.step("One request with seven items of six platforms, one link")
        self.client = self.grantctl("client", "create", "Anna Bakery", "--email", "anna@client.example")["client"]["id"]
        args = [arg for item in ITEMS for arg in ("--item", item)]
        made = self.grantctl("request", "create", self.client, "--no-confirm", *args)
        self.link, self.request = made["link"], made["request"]["id"]
        self.say("\n  ".join([f"$ grantctl request create {self.client} --no-confirm", *(f"--item {item}" for item in ITEMS)]))
        self.say(f"the link: {self.link[:len(self.home) + 12]}…")

    def items(self):
        return self.grantctl("request", "get", self.request)["request"]["items"]

    def item(self, app, mode=None):
        return next(i for i in self.items() if i["app"] == app and i["mode"] == mode)

    # -- the client

    def approve(self):
        self.step("Anna opens the link and approves each platform with her own login there")
        declined = self.item("shopify", "collaborator")["id"]
        self.people.press(self.link, "decline", item=declined)
        self.say("Shopify, a seat for a person of the agency: no. She declines that item")
        for app, who in ANNA.items():
            page = self.people.approve(self.link, who, app=app)
            self.say(f"{self.item(app)['platform']}: “{page.title}”, {self.item(app)['state']}")
        states = {i["id"]: i["state"] for i in self.items()}
        self.must(states.pop(declined) == "declined" and set(states.values()) == {"granted", "waiting"}, f"items: {states}")

    def choose(self):
        self.step("Where she has several accounts the page asks which; three Spark codes are pasted as they came by mail")
        for app, name, value in (("tiktok", "ad_accounts", TIKTOK), ("google", "accounts", [GOOGLE])):
            asked = self.item(app)["steps"][0]
            self.people.hand_in(self.link, self.item(app)["id"], name, value)
            self.say(f"{asked['title']}: {len(value)} of {len(asked['choices'])}")
        codes = [self.sandbox.act("tiktok", "make_code", item_id=post, days=30)["code"] for post in POSTS]
        self.people.hand_in(self.link, self.item("spark")["id"], "codes",
                            f'1. "{codes[0][:30]}\n{codes[0][30:]}"\n2) {codes[1]} ,\n3. {WRONG_CODE}\n')
        item = self.item("spark")
        for problem in item["problems"]:
            self.say(f"{problem['id']}: {problem['problem']}, {problem['text']}")
        self.must(len(item["grants"]) == 2 and [p["problem"] for p in item["problems"]] == ["CODE_WRONG"], f"codes: {item}")
        self.say("the other two codes were redeemed: one that is wrong fails no other")

    def killed_in_a_fan_out(self):
        self.step("Two Meta ad accounts are shared one after the other; kill -9 while the second is under way")
        self.sandbox.fault("meta", "slow", seconds=2, method="POST", match=f"*/{META[1]}/agencies")
        anna = threading.Thread(target=self.answer_lost)
        anna.start()
        self.wait(lambda: self.shared(META[1]) == 1, 20, "the second account was never shared")
        self.kill_daemon()
        anna.join()
        self.say(f"grantd is dead. Shares sent: {self.shared(META[0])} of the first account, {self.shared(META[1])} of the "
                 "second, whose answer is lost")
        self.must(self.item_survives(), "the item is lost")
        self.grantctl("daemon", "clock", "600")
        self.wait(lambda: self.item("meta")["state"] == "granted", 20, f"Meta does not go on: {self.item('meta')}")
        self.must([self.shared(a) for a in META] == [1, 1], "a step was repeated")
        self.must(len(self.item("meta")["grants"]) == 2, "an account is missing")
        self.say("grantd is back, looks what is there, and goes on: both are shared, each was sent once")

    def answer_lost(self):
        try:
            self.people.hand_in(self.link, self.item("meta")["id"], "ad_accounts", META)
        except OSError:
            pass  # the page went away with the daemon

    def item_survives(self):
        self.start_daemon()
        return self.item("meta")["state"] in ("waiting", "started", "granted")

    def shared(self, account):
        return self.sandbox.count("meta", "POST", f"/{account}/agencies")

    # -- what came of it

    def grants(self):
        return self.grantctl("grant", "list", "--client", self.client)["grants"]

    def show(self):
        self.step("What came of one link")
        self.grantctl("grant", "list", "--client", self.client, show=True)
        grants = self.grants()
        self.must(len(grants) == 9 and {g["state"] for g in grants} == {"active"}, f"grants: {grants}")
        self.must([i["state"] for i in self.items()].count("declined") == 1, "nothing was declined")
        self.step("Asked of the platforms themselves: everything is as it was granted, and nothing else is there")
        seen = self.grantctl("grant", "verify", "--all")
        self.must(seen["looked"] == 9 and not seen["failed"] and not seen["differences"], f"verify: {seen}")
        self.say(f"$ grantctl grant verify --all: {seen['looked']} grants looked at, no differences")
        self.scan(9 - 1)

    def scan(self, expected):
        """Every hub: what it reaches, and that a grant explains each."""
        reached = 0
        for hub in self.grantctl("hub", "list")["hubs"]:
            seen = self.grantctl("hub", "scan", hub["id"])
            reached += seen["reached"]
            self.must(seen["unexplained"] == 0, f"{hub['id']}: {seen}")
        self.must(reached == expected, f"the hubs reach {reached}, not {expected}")
        self.say(f"$ grantctl hub scan, all hubs: {reached} shared accounts and posts, none without a grant")

    def grant_of(self, platform):
        return next(g for g in self.grants() if g["platform"] == platform)

    def shop_answers(self):
        """The vended token at Shopify's API, as a program of the agency uses it."""
        token = self.grantctl("grant", "token", self.grant_of("shopify")["id"])["access_token"]
        status, said = self.sandbox.request("POST", f"/{SHOP}/admin/api/2026-10/graphql.json", {"query": "{ shop { name } }"},
                                            {"X-Shopify-Access-Token": token})
        return status == 200 and said["data"]["shop"]["name"]

    def use(self):
        self.step("Two layers, side by side: shares that stay by themselves, tokens that are kept alive")
        self.must(self.shop_answers() == "Bakery Plus", "the shop's token does not work")
        self.say("Shopify: grantctl grant token, used at its API: “Bakery Plus”")
        google = self.grant_of("google_ads")
        self.must(google["layers"]["native"]["status"] == "present" and not google["layers"]["token"], f"google: {google}")
        self.say("Google Ads: linked to the agency's manager account; the client's token was dropped, nothing needs it")

    # -- 400 days

    def year(self):
        self.step(f"{LEAPS[-1]} days go by, from deadline to deadline ($ grantctl daemon clock SECONDS); people do only what "
                  "grantd asks for")
        self.events()
        self.gens, self.fired = self.generations(), self.renewals()
        for day in LEAPS:
            self.leap(day)
        states = {(g["platform"], g["state"]) for g in self.grants()}
        self.must(states == {("spark_ads", "needs_consent"), *((p, "active") for p in ALIVE)}, f"after the year: {states}")
        self.must(self.shop_answers() == "Bakery Plus", "the shop's token does not work")
        self.say("all grants are alive but the two codes that were let run out; the shop's token works as on the first day")

    def generations(self):
        return {g["id"]: (g["platform"], g["layers"]["token"]["gen"]) for g in self.grants() if g["layers"]["token"]}

    def renewals(self):
        return self.grantctl("daemon", "status")["scheduler"]["fired"]

    def events(self):
        """What happened since the last time, as (type, subject, data)."""
        out = []
        while True:
            page = self.grantctl("event", "list", "--limit", "1000", *(["--cursor", self.cursor] if self.cursor else []))
            out += [(e["at"], e["type"], e["subject"], e.get("data") or {}) for e in page["events"]]
            self.cursor = page["cursor"] or self.cursor
            if len(page["events"]) < 1000:
                return out

    def leap(self, day):
        went, self.days = day - self.days, day
        began = time.monotonic()
        done = self.grantctl("daemon", "clock", str(went * DAY))
        self.say(f"-- day {day}, {done['now'][:10]} ({went} days in {time.monotonic() - began:.0f} s)")
        self.tell_renewals(went)
        self.act_where_asked(day, self.tell_events())

    def tell_renewals(self, went):
        gens, fired, by = self.generations(), self.renewals(), {}
        for grant, (platform, gen) in gens.items():
            by[platform] = max(by.get(platform, 0), gen - self.gens.get(grant, (platform, gen))[1])
        self.must(by["shopify"] >= went * 24 - 2, f"the shop's token was renewed {by['shopify']} times in {went} days")
        self.must(self.grantctl("daemon", "status")["broker"]["late"] == 0, "something was late")
        self.say(f"   by itself: {fired - self.fired} renewals and checks, among them "
                 + ", ".join(f"{platform} {n}" for platform, n in by.items() if n) + "; most of the others keep the hubs alive")
        self.gens, self.fired = gens, fired

    def tell_events(self):
        """Each thing that wants a person, once; returns the hubs among them."""
        names = {g["id"]: g["platform"] for g in self.grants()}
        told, hubs = {}, set()
        for at, kind, subject, data in self.events():
            if kind in ("grant.warning", "hub.warning"):
                who = names.get(subject, subject)
                told.setdefault((at[:10], kind, who, data["warning"], data["text"]), []).append(subject)
            self.must(kind != "hub.at_risk", f"{subject} was not told in time: {data}")
            if kind == "hub.warning" and data["warning"] == "ENDS_SOON":
                hubs.add(subject)
        for (day, kind, who, word, text), subjects in told.items():
            many = f" ({len(subjects)} grants)" if len(subjects) > 1 else ""
            self.say(f"   {day} {kind}, {who}{many}: {word}, {text}")
        return hubs

    def act_where_asked(self, day, hubs):
        asked = {}
        for grant in self.grants():
            if grant["state"] in ("at_risk", "needs_consent"):
                asked.setdefault(grant["platform"], []).append(grant)
        if day == LEAPS[0]:
            self.must(len(asked.get("spark_ads", [])) == 2, f"nobody was asked for the codes: {asked}")
            self.sandbox.act("tiktok", "extend_code", item_id=POSTS[0], days=365)
            self.say("   -> the creator makes the first code last a year longer in the TikTok app, and lets the second run out")
        for platform, app, asset in (("meta", "meta", META), ("linkedin", "linkedin", [LINKEDIN])):
            if platform in asked:
                self.renew(app, asked[platform], asset)
        for hub in hubs:
            self.connect(hub, AGENCY[hub])
            self.must(self.grantctl("hub", "get", hub)["hub"]["state"] == "ready", f"{hub} is not connected")
            self.say(f"   -> the agency approves for its hub {hub} again")

    def renew(self, app, grants, assets):
        """In time: still working, and the same grants go on."""
        self.must({g["state"] for g in grants} == {"at_risk"}, f"{app} was not told in time: {grants}")
        made = self.grantctl("request", "create", self.client, "--no-confirm", "--items-json",
                             json.dumps([{"app": app, "role": grants[0]["role"]["asked"], "asset": ",".join(assets)}]))
        self.people.approve(made["link"], ANNA[app], app=app)
        after = {g["id"]: g["state"] for g in self.grants()}
        self.must(all(after[g["id"]] == "active" for g in grants), f"{app} was not renewed: {after}")
        self.say(f"   -> Anna gets a link and approves at {grants[0]['platform']} again; the same grants go on")

    # -- the end

    def close(self):
        self.step("Anna leaves: every grant is revoked, surface by surface, and each is looked at again")
        self.sandbox.call("POST", "/option", {"platform": "google", "name": "manager_login_can_unlink", "value": False})
        by_hand = [grant for grant in self.grants() if not self.revoke(grant)]
        self.must([g["platform"] for g in by_hand] == ["google_ads"], f"left for people: {by_hand}")
        self.step("Google refused the agency's order to end the link: a step for Anna is left, and a scan sees whether it "
                  "was done")
        seen = self.grantctl("hub", "scan", "google_manager")
        self.must((seen["reached"], seen["unexplained"]) == (1, 1), f"the link should be seen: {seen}")
        self.say("$ grantctl hub scan google_manager: 1 account is reached that no grant explains")
        self.sandbox.act("google", "unlink", manager="9001112222", client=GOOGLE)
        self.say("Anna removes the manager in Google Ads")

    def revoke(self, grant):
        """True when nothing is left to do."""
        ended = self.grantctl("grant", "revoke", grant["id"], "--reason", "client left")
        self.say(f"{grant['platform']}, {grant['asset']['name']}: {ended['grant']['state']}; "
                 + ", ".join(f"{s['kind']} {s['state']}" for s in ended["surfaces"]))
        left = [s for s in ended["surfaces"] if s["state"] not in ("closed", "gone")]
        for surface in left:
            self.must(surface["state"] == "manual" and surface["step"], f"{surface}")
            self.say(f"   left: {surface['step']}")
        return not left

    def nothing_is_left(self):
        self.step("Asked of the platforms once more: nothing is left")
        self.scan(0)
        tiktok, meta, google, linkedin = (self.sandbox.world(p) for p in ("tiktok", "meta", "google", "linkedin"))
        left = {"TikTok": tiktok["shares"] + tiktok["partnerships"] + tiktok["redemptions"],
                "Meta": meta["shares"] + meta["assigned"],
                "Google Ads": [one for one in google["links"] if one["status"] != "INACTIVE"],
                "LinkedIn": [one for one in linkedin["users"] if one["member"] == "bo"],
                "Shopify": self.sandbox.world("shopify")["installs"]}
        self.must(not any(left.values()), f"left at the platforms: {left}")
        self.say("the sandbox's own books agree: " + ", ".join(f"{name} 0" for name in left))

    def audit(self):
        self.step("The audit log of 400 days, and its chain")
        self.grantctl("audit", "verify", show=True)
        self.must(self.grantctl("audit", "verify")["ok"], "the chain is broken")
