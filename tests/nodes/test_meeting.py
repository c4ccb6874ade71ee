#!/usr/bin/env python3
"""A place is closed by one node while its client approves anew at another: the run there gives way, also when the node
that closes dies."""
import os
import shutil
import unittest

from trio import BUILD, Cluster, Rpc, Trio, has_faults, wait_for

from atlas import ORIGIN, Atlas


class OfAtlas(unittest.TestCase):
    HUB_IS_HANDED_IN = True

    def setUp(self):
        self.atlas = Atlas(1)
        self.addCleanup(self.atlas.stop)
        self.cluster = Cluster()
        self.addCleanup(self.cluster.done)
        self.cluster.__enter__()
        self.trio = Trio(self.cluster, 2, limits={"request_deadline_ms": 5000, "quiet_ms": 5000})
        self.addCleanup(self.trio.close)
        first = self.trio.first
        first.origins[ORIGIN] = self.atlas.base
        folder = os.path.join(first.inputs, "platforms")
        os.mkdir(folder, 0o755)
        for path in ("platforms/oauth2.so", "tests/daemon/platforms/atlas.so"):
            shutil.copy(os.path.join(BUILD, path), folder)
        first.app("atlas", platform="atlas")
        path, _ = first.secret_file("hub", self.atlas.hub_token)
        for node in self.trio.nodes:
            node.platform_dir = folder
            node.hubs["agency"] = {"platform": "atlas", "id": "hub1"}
            if self.HUB_IS_HANDED_IN:
                node.hubs["agency"]["access_token"] = {"file": path}


class Meeting(OfAtlas):
    def setUp(self):
        super().setUp()
        self.trio.start()
        self.trio.all_live()
        self.closes, self.serves = self.trio.nodes
        self.trio.door_to(self.serves)

    def ask(self, client):
        made = self.serves.call("request.create", client=client, confirm=False, items=[{"app": "atlas", "mode": "both"}])
        browser = self.serves.browser()
        browser.open(made["link"])
        return made["request"]["id"], browser.walk(login="anna").body

    def item(self, request):
        return self.serves.call("request.get", request=request)["request"]["items"][0]

    def granted(self, request):
        """The only grant of the request, which stands."""
        wait_for(lambda: self.item(request)["state"] == "granted", 40, 0.05)
        (grant,) = self.item(request)["grants"]
        self.assertEqual(self.serves.call("grant.verify", grant=grant)["differences"], [])
        return grant

    def held(self):
        """The share is being closed by one node, and the client has approved anew at the other."""
        client = self.serves.call("client.create", name="Anna Bakery")["client"]["id"]
        old = self.granted(self.ask(client)[0])
        wait_for(lambda: self.closes.call("grant.get", grant=old)["grant"]["state"] == "active", 10, 0.05)
        self.atlas.hang("/unshare", how="slow")
        line = Rpc(self.closes.socket_path)
        self.addCleanup(line.close)
        line.send("grant.revoke", grant=old)
        self.assertTrue(self.atlas.held.wait(10))
        looks = self.atlas.count("/shares")
        request, page = self.ask(client)
        self.assertEqual((self.item(request)["state"], self.item(request)["reason"]), ("waiting", "CLOSING_FIRST"))
        self.assertIn("What was given before is being closed first.", page)
        self.assertEqual(self.atlas.count("/shares"), looks)
        return old, request

    def over(self, old, request):
        new = self.granted(request)
        wait_for(lambda: self.serves.call("grant.get", grant=old)["grant"]["state"] == "ended", 40, 0.05)
        self.assertNotEqual(new, old)
        self.assertEqual((len(self.atlas.shares), self.atlas.count("/share")), (1, 2))

    def test_another_node_closes(self):
        old, request = self.held()
        self.atlas.hold.set()
        self.over(old, request)

    def test_the_node_that_closes_dies(self):
        old, request = self.held()
        self.closes.daemon.kill9()
        self.atlas.hold.set()
        self.over(old, request)


class Hub(OfAtlas):
    HUB_IS_HANDED_IN = False

    @unittest.skipUnless(has_faults(), "a build without fault points")
    def test_a_hub_that_could_not_be_read(self):
        """One node is told to ask for the agency's own consent, and the other, which the browser comes back to, did not
        get to know of it: it asks before it takes the consent for a client's."""
        asks, serves = self.trio.nodes
        self.trio.start(asks)
        self.trio.start(serves, faults="hub.unread:eio,hub.unread:eio")
        self.trio.all_live()
        self.trio.door_to(serves)
        browser = serves.browser()
        browser.open(asks.call("hub.connect", hub="agency")["link"])
        browser.walk(login="anna")
        self.assertEqual(asks.call("grant.list")["grants"], [])
        for node in (asks, serves):
            wait_for(lambda node=node: node.call("hub.get", hub="agency")["hub"]["state"] == "ready", 20, 0.1)
            self.assertTrue(node.call("hub.check", hub="agency")["ok"])
