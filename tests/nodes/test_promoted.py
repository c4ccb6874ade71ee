#!/usr/bin/env python3
"""A standby that lacks the last commits is promoted: what a node had received comes back out of its spool. As long as one
that lives has not given back what it had, nobody presents a token that may be spent; and where the others went on without
one, and were told that the token is spent, that is made good when it comes."""
import time
import unittest

from trio import Cluster, Failover, RpcError, Trio, wait_for


class Case(unittest.TestCase):
    LIMITS = {"request_deadline_ms": 1000, "quiet_ms": 1000}
    LEASE_MS = 60000

    def setUp(self):
        self.cluster = Cluster()
        self.addCleanup(self.cluster.done)
        self.cluster.__enter__()
        self.pair = Failover(self.cluster)
        self.trio = Trio(self.cluster, limits={**self.LIMITS, "node_lease_ms": self.LEASE_MS}, store={"deadline_ms": 1500},
                         wired=True, ports=self.pair.ports)
        self.addCleanup(self.trio.close)
        self.trio.policies("none", "strict", "family")
        self.trio.start()

    def status(self, node, grant):
        return node.call("grant.get", grant=grant)["grant"]["layers"]["token"]["status"]

    def refresh(self, node, grant):
        try:
            node.call("grant.refresh", grant=grant)
        except RpcError as e:
            return e.reason
        return "ok"

    def away(self, *nodes):
        """They do not reach the database any more."""
        for node in nodes:
            self.trio.wires[node.number].gone = True
            self.trio.wires[node.number].cut()

    def again(self, node, grant):
        wait_for(lambda: self.refresh(node, grant) == "ok", 30, 0.05)

    def renew(self, node, grant):
        """By this one, which may have to learn first what another did."""
        def accepted():
            return sum(family["accepted"] for family in self.trio.families())
        before = accepted()
        wait_for(lambda: self.refresh(node, grant) == "ok" and accepted() > before, 30, 0.05)

    def server(self, policy):
        return next(f for f in self.trio.families() if f["policy"] == policy)

    def presented(self):
        """How often each server was shown a token"""
        return {policy: self.server(policy)["accepted"] + self.server(policy)["refused"] for policy in ("strict", "family")}

    def fail_over(self):
        self.pair.fail_over()
        self.trio.cluster = self.pair.primary

    def lose(self, *policies):
        """The last two answers of these servers are known to one node each, and to no database; the third node goes on
        with what it has."""
        a, b, c = self.trio.nodes
        free = a.consent("none", login="bert")
        grants = [a.consent(policy) for policy in policies]
        for node in (a, b, c):
            for grant in (*grants, free):
                self.again(node, grant)
        self.pair.leave_behind()
        for grant in grants:
            self.renew(b, grant)
            self.renew(a, grant)
        self.renew(a, free)
        self.away(a, b)
        self.fail_over()
        for _ in range(6):  # it moves on, and says nothing about what was lost
            self.again(c, free)
        return grants

    def knows(self, node, grant):
        try:
            return self.status(node, grant)
        except RpcError as e:
            if e.reason not in ("NOT_FOUND", "STORE_SET_BACK"):
                raise
        return None

    def behind(self, node):
        """Who has not given back yet what he may have, as this one lists them"""
        return {one["title"] for one in node.call("node.list")["nodes"] if one["behind"]}

    def restarts(self):
        return [node.log_tail(1 << 20).count('"event":"restarting"') for node in self.trio.nodes]


class Promoted(Case):
    def test_nobody_presents_before_all_have_come_back(self):
        """A node that lost nothing itself, and one that gave back all it had, wait for the third."""
        a, b, c = self.trio.nodes
        grants = self.lose("strict", "family")
        before = self.presented()

        def held(*nodes):
            """they know why they wait"""
            for node in nodes:  # what it knew itself may be newer than what the database shows
                for grant in grants:
                    self.refresh(node, grant)
            return {self.refresh(node, grant) for node in nodes for grant in grants} == {"NODES_BEHIND"}
        for _ in range(5):
            self.assertTrue(held(c))
        wait_for(lambda: self.behind(c) == {"node-0", "node-1"}, 30, 0.1)
        table = c.ctl("node", "list", check=False).stdout
        self.assertRegex(table, r"title +state +behind ")
        self.assertRegex(table, r"node-0 +live +yes ")
        self.trio.wires[a.number].back()
        wait_for(lambda: self.restarts()[0] == 1 and held(a, c), 30, 0.1)
        for _ in range(5):
            self.assertTrue(held(a, c))
        self.assertEqual(self.presented(), before)
        self.trio.wires[b.number].back()
        for node in (c, b, a):
            for grant in grants:
                self.again(node, grant)
        for grant in grants:
            self.trio.same_everywhere(grant)
        for policy in ("strict", "family"):
            server = self.server(policy)
            self.assertEqual((server["refused"], server["reuse_presented"], server["revoked"]), (0, 0, None))
        self.assertEqual(self.restarts(), [1, 1, 0])
        wait_for(lambda: self.behind(c) == set(), 30, 0.1)
        self.assertEqual(c.call("store.doubts")["doubts"], [])
        self.trio.whole()

    def test_what_only_looks_removed_hides_nothing(self):
        """An answer that is in no spool any more, but beside it: after it stands one that others have moved on from so far
        that the store would have removed it."""
        a, b, c = self.trio.nodes
        grants = [a.consent("strict"), a.consent("strict", login="bert")]
        for node in (a, b, c):
            for grant in grants:
                self.again(node, grant)
        self.pair.leave_behind()
        for grant in grants:
            self.renew(a, grant)
        self.assertEqual(a.daemon.stop(), 0)
        self.trio.start(a)
        self.trio.all_live()
        for _ in range(8):
            self.renew(b, grants[1])
        self.away(a, b)
        self.fail_over()
        self.trio.wires[b.number].back()
        wait_for(lambda: self.restarts()[1] == 1 and b.log_tail(1 << 20).count('"event":"ready"') == 2, 30, 0.1)
        self.trio.wires[a.number].back()
        for node in (c, b, a):
            for grant in grants:
                self.again(node, grant)
        self.assertEqual([(f["refused"], f["reuse_presented"]) for f in self.trio.families()], [(0, 0)] * 2)
        self.trio.whole()

    def test_a_consent_comes_back_with_the_clients_key(self):
        """The client was there before; his data key, and what it opens, were made after the standby heard the last of it."""
        a, b, c = self.trio.nodes
        client = a.call("client.create", name="Anna Bakery")["client"]["id"]
        made = a.call("request.create", client=client, confirm=False, items=[{"app": "strict"}])
        keys = "SELECT count(*) FROM grantd_keys.data_keys"
        self.assertEqual(self.trio.sql(keys), "0")
        self.pair.leave_behind()
        self.trio.door_to(a)
        browser = a.browser()
        browser.open(made["link"])
        browser.walk(login="anna")
        [grant] = a.call("request.get", request=made["request"]["id"])["request"]["items"][0]["grants"]
        self.assertEqual(self.trio.sql(keys), "1")
        self.away(a)
        self.fail_over()
        self.assertEqual(self.trio.sql(keys), "0")
        self.trio.wires[a.number].back()
        wait_for(lambda: self.trio.sql(keys) == "1", 30, 0.1)
        for node in (c, b, a):
            wait_for(lambda node=node: self.knows(node, grant), 30, 0.1)
            self.again(node, grant)
        self.trio.same_everywhere(grant)
        self.assertEqual(self.server("strict")["refused"], 0)
        self.trio.whole()

    def consent_at(self, node, made, login="anna"):
        """A browser walks the link by way of this node; the grant of the first item."""
        self.trio.door_to(node)
        browser = node.browser()
        browser.open(made["link"])
        browser.walk(login=login)
        return node.call("request.get", request=made["request"]["id"])["request"]["items"][0]["grants"][0]

    def told(self, node, act):
        """What is said of it: the data of the audit record and of the event"""
        [record] = [r for r in node.call("audit.list", limit=1000)["records"] if r["act"] == act]
        [event] = [e for e in node.call("event.list", limit=1000)["events"] if e["type"] == act]
        return record, event

    def test_a_client_that_was_lost_comes_back_with_what_was_asked(self):
        """Who was made, asked, and gave his consent after the standby heard the last of it can be seen, used, revoked and
        erased on every node."""
        a, b, c = self.trio.nodes
        self.pair.leave_behind()
        client = a.call("client.create", name="Anna Bakery", email="anna@bakery.example")["client"]
        made = a.call("request.create", client=client["id"], confirm=False, message="as we said",
                      items=[{"app": "strict"}, {"app": "none", "role": "other"}])
        grant = self.consent_at(a, made)
        request = a.call("request.get", request=made["request"]["id"])["request"]
        self.away(a)
        self.fail_over()
        self.assertEqual(self.trio.sql("SELECT count(*) FROM grantd.clients"), "0")
        self.trio.wires[a.number].back()
        for node in (c, b, a):
            wait_for(lambda node=node: self.knows(node, grant), 30, 0.1)
            self.assertEqual(node.call("client.get", client=client["id"])["client"], client)
            self.assertEqual(node.call("request.get", request=request["id"])["request"], request)
        self.assertEqual([item["state"] for item in request["items"]], ["granted", "open"])
        record, event = self.told(a, "client.brought_back")
        self.assertEqual((record["client"], event["subject"]), (client["id"], client["id"]))
        self.assertTrue(event["data"]["whole"])
        self.assertEqual(self.told(a, "request.brought_back")[1]["subject"], request["id"])
        self.again(c, grant)
        self.trio.same_everywhere(grant)
        self.trio.door_to(c)
        browser = c.browser()
        browser.open(made["link"])  # the same link, for what is still open
        browser.walk(login="anna")
        [other] = wait_for(lambda: c.call("request.get", request=request["id"])["request"]["items"][1]["grants"], 20, 0.1)
        for one in (grant, other):
            c.call("grant.revoke", grant=one)
        c.call("client.erase", client=client["id"], name="Anna Bakery")
        self.assertEqual(b.call("client.get", client=client["id"])["client"]["state"], "erased")
        self.assertEqual((self.server("strict")["refused"], self.server("strict")["reuse_presented"]), (0, 0))
        self.trio.whole()

    def test_a_client_of_whom_only_a_part_is_known(self):
        """What was asked did not fit into the record of the answer: the grant is there, and whose it is has no name."""
        a, b, c = self.trio.nodes
        self.pair.leave_behind()
        client = a.call("client.create", name="Anna Bakery")["client"]["id"]
        items = [{"app": "strict"}] + [{"app": "none", "params": {}, "asset": str(i) + "x" * 990} for i in range(58)]
        made = a.call("request.create", client=client, confirm=False, items=items)
        grant = self.consent_at(a, made)
        self.away(a)
        self.fail_over()
        self.trio.wires[a.number].back()
        for node in (c, b, a):
            wait_for(lambda node=node: self.knows(node, grant), 30, 0.1)
        record, event = self.told(a, "client.brought_back")
        self.assertFalse(event["data"]["whole"])
        self.assertIn("neither the name", record["data"]["text"])
        self.again(c, grant)
        found = b.call("client.get", client=client)["client"]
        self.assertEqual((found["state"], found["email"]), ("active", None))
        self.assertIn("not known", found["name"])
        b.call("client.update", client=client, name="Anna Bakery")
        c.call("grant.revoke", grant=grant)
        c.call("client.erase", client=client, name="Anna Bakery")
        self.assertEqual(a.call("client.get", client=client)["client"]["state"], "erased")
        self.trio.whole()

    def erased_in_what_was_lost(self):
        """A client who was made, asked, came by way of the first node, and was erased by the second, which nobody else has
        heard: the first was cut off, the third stopped, the standby behind."""
        a, b, c = self.trio.nodes
        self.pair.leave_behind()
        client = a.call("client.create", name="Anna Bakery")["client"]["id"]
        made = a.call("request.create", client=client, confirm=False, items=[{"app": "strict"}])
        grant = self.consent_at(a, made)
        wait_for(lambda: self.knows(b, grant), 10, 0.05)
        self.away(a)
        self.assertEqual(c.daemon.stop(), 0)
        b.call("grant.revoke", grant=grant)
        b.call("client.erase", client=client, name="Anna Bakery")
        self.assertTrue(a.spools_with(client))
        self.away(b)
        self.fail_over()
        self.trio.start(c)
        return client, grant

    def gone(self, client):
        """On no node is anything of him, and no node can be brought to give him out"""
        for node in self.trio.nodes:
            wait_for(lambda node=node: not node.spools_with(client), 20, 0.1)
            wait_for(lambda node=node: not node.call("grant.list", client=client, state="active")["grants"], 20, 0.1)
        keys = "SELECT string_agg(state, ',') FROM grantd_keys.data_keys"
        wait_for(lambda: self.trio.sql(keys) == "erased", 20, 0.1)
        self.assertEqual(self.trio.sql("SELECT count(*) FROM grantd.token_versions"), "0")
        self.assertNotIn("Anna", self.trio.sql("SELECT string_agg(name, ',') FROM grantd.clients"))

    def test_who_was_erased_is_not_brought_back(self):
        """The node that erased him comes first."""
        a, b, c = self.trio.nodes
        client, grant = self.erased_in_what_was_lost()
        self.trio.wires[b.number].back()
        wait_for(lambda: self.restarts()[1] == 1 and "client.erased_again" in b.log_tail(1 << 20), 30, 0.1)
        self.trio.wires[a.number].back()
        wait_for(lambda: self.restarts()[0] == 1 and a.log_tail(1 << 20).count('"event":"ready"') == 2, 30, 0.1)
        self.gone(client)
        for node in (a, b, c):
            self.assertIsNone(self.knows(node, grant))
            self.assertNotIn("client.brought_back", node.log_tail(1 << 20))
        self.trio.whole()

    def test_who_was_erased_and_brought_back_is_erased_again(self):
        """The node that knows nothing of it comes first."""
        a, b, c = self.trio.nodes
        client, grant = self.erased_in_what_was_lost()
        self.trio.wires[a.number].back()
        wait_for(lambda: self.knows(c, grant) and self.knows(a, grant), 30, 0.1)
        self.assertTrue(a.token(grant)["access_token"])
        self.trio.wires[b.number].back()
        wait_for(lambda: c.call("client.get", client=client)["client"]["state"] == "erased", 30, 0.1)
        self.gone(client)

        def refused(node):
            """it is given out by nobody"""
            try:
                node.token(grant)
            except RpcError as e:
                return e.reason
        for node in (a, b, c):
            wait_for(lambda node=node: refused(node), 20, 0.1)
        self.assertIn("client.erased_again", [r["act"] for r in b.call("audit.list", limit=1000)["records"]])
        self.trio.whole()

    def test_a_promotion_that_loses_nothing_is_over_at_once(self):
        """Nobody starts anew, and the next beat of each is enough."""
        grant = self.trio.first.consent("strict")
        for node in self.trio.nodes:
            self.again(node, grant)
        wait_for(lambda: self.pair.primary.sql("SELECT count(*) FROM pg_stat_replication WHERE replay_lsn ="
                                               " pg_current_wal_lsn()") == "1", 20, 0.05)
        self.fail_over()
        for node in self.trio.nodes:
            self.again(node, grant)
        self.assertEqual(self.restarts(), [0, 0, 0])


class Buried(Case):
    """Who stays away is not waited for."""
    LEASE_MS = 1500

    def test_what_others_spoiled_meanwhile_is_made_good(self):
        """Without anybody asking for it the newest answer is what the credential stands on, and is due at once (at once
        may be later, where the node whose turn it is is the one that is away); then the older one comes."""
        a, b, c = self.trio.nodes
        [strict] = self.lose("strict")

        def refused():
            """the platform has refused the older token"""
            return self.refresh(c, strict) != "ok" and self.status(c, strict) in ("quarantined", "needs_consent")
        wait_for(refused, 30, 0.1)
        accepted = self.server("strict")["accepted"]
        # As if it had gone from one answer to the next many times, all of which were refused.
        self.trio.sql("UPDATE grantd.credentials SET gen = gen + 20 WHERE app = 'strict'")

        def is_due():
            """the newest answer was taken up"""
            return self.server("strict")["accepted"] > accepted or "t" == self.trio.sql(
                "SELECT status = 'retrying' AND next_at <= extract(epoch FROM clock_timestamp()) * 1000 FROM"
                " grantd.credentials WHERE app = 'strict'")
        self.trio.wires[a.number].back()
        wait_for(is_due, 30, 0.1)
        self.trio.wires[b.number].back()
        for node in (b, a, c):
            self.again(node, strict)
        self.trio.same_everywhere(strict)
        self.assertEqual(c.call("store.doubts")["doubts"], [])
        self.trio.whole()


class Given(Case):
    LIMITS = {"request_deadline_ms": 500, "quiet_ms": 500}
    LEASE_MS = 4500

    def test_who_is_behind_is_given_time_though_the_promotion_was_quick(self):
        """Those that did not notice a gap do not take him for dead when his lease is over: he has something to end, and
        begins anew. Two leases and a deadline, here 9.5 s."""
        a, _, c = self.trio.nodes
        strict = a.consent("strict")
        self.again(c, strict)
        self.pair.leave_behind()
        self.renew(a, strict)
        self.away(a)
        self.fail_over()
        began = time.monotonic()
        wait_for(lambda: self.trio.sql(f"SELECT state FROM grantd.nodes WHERE name = '{self.trio.names[a]}'") in
                 ("left", "gone"), 40, 0.1)
        self.assertGreater(time.monotonic() - began, 8.5)


if __name__ == "__main__":
    unittest.main()
