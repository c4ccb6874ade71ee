#!/usr/bin/env python3
"""Two nodes decide at the same time by what there is. The row that both want is held until both stand in front of it, so
that each has looked before the other did anything."""
import threading
import unittest

from trio import Cluster, RpcError, Trio, wait_for


class Races(unittest.TestCase):
    def setUp(self):
        self.cluster = Cluster()
        self.addCleanup(self.cluster.done)
        self.cluster.__enter__()
        self.trio = Trio(self.cluster, 2, limits={"request_deadline_ms": 3000, "quiet_ms": 3000, "node_lease_ms": 20000})
        self.addCleanup(self.trio.close)
        self.trio.policies("strict")
        self.trio.start()
        self.trio.all_live()

    def waiting(self, n):
        return int(self.trio.sql("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name "
                                 "LIKE 'grantd/%'")) >= n

    def test_a_client_is_erased_while_it_approves(self):
        """Either it is gone before the platform is asked, or it is not erased."""
        a, b = self.trio.nodes
        outcomes = set()
        for turn in range(3):
            client = a.call("client.create", name="Anna Bakery")["client"]["id"]
            made = a.call("request.create", client=client, confirm=False, items=[{"app": "strict"}])
            self.trio.door_to(b)
            self.trio.server.post("/_ctl/fault", {"client_id": "strict", "grant_type": "authorization_code",
                                                  "action": "delay", "ms": 700})
            browser, told = b.browser(), []
            browser.open(made["link"])

            def erase(client=client, told=told):
                try:
                    told.append(a.call("client.erase", client=client, name="Anna Bakery") and "erased")
                except RpcError as e:
                    told.append(e.reason)
            eraser = threading.Thread(target=erase, daemon=True)
            approver = threading.Thread(target=browser.walk, kwargs={"login": f"anna{turn}"}, daemon=True)
            before = len(self.trio.families())
            with self.cluster.session(self.trio.database) as other:
                other(f"BEGIN; SELECT 1 FROM grantd.clients WHERE id = '{client}' FOR UPDATE")
                eraser.start()
                wait_for(lambda: self.waiting(1), 20, 0.01)
                approver.start()
                # It waits for the same row, or has gone on without looking at it.
                wait_for(lambda: self.waiting(2) or len(self.trio.families()) > before or self.taken(client), 20, 0.01)
                other("COMMIT")
            eraser.join(20)
            approver.join(20)
            living = [f for f in self.trio.families()[before:] if not f["revoked"]]
            self.trio.server.post("/_ctl/clear", {})
            self.assertEqual(len(told), 1)
            outcomes.add(told[0])
            self.assertEqual(told[0] == "erased", living == [], f"{told}, and at the platform lives {living}")
        print("\n  " + ", ".join(sorted(outcomes)))

    def test_a_client_is_erased_while_it_is_asked(self):
        """Nothing is asked of somebody whom another node erases at that moment."""
        a, told = self.trio.nodes[0], []
        client = a.call("client.create", name="Anna Bakery")["client"]["id"]

        def ask():
            try:
                told.append(a.call("request.create", client=client, items=[{"app": "strict"}]) and "ok")
            except RpcError as e:
                told.append(e.reason)
        asker = threading.Thread(target=ask, daemon=True)
        with self.cluster.session(self.trio.database) as other:
            other(f"BEGIN; UPDATE grantd.clients SET state = 'erased' WHERE id = '{client}'")
            asker.start()
            wait_for(lambda: self.waiting(1) or told, 20, 0.01)
            other("COMMIT")
        asker.join(20)
        self.assertEqual(told, ["CONFLICT"])
        for table in ("requests", "items", "links"):
            self.assertEqual(self.trio.sql(f"SELECT count(*) FROM grantd.{table}"), "0")

    def test_a_lease_is_let_go_while_another_asks(self):
        """Between its question for the lease and its look at the row the one who had it lets it go. All are there."""
        node, told = self.trio.nodes[0], []
        grant = node.consent("strict")

        def ask():
            try:
                told.append(node.call("grant.refresh", grant=grant) and "ok")
            except RpcError as e:
                told.append(e.reason)
        asker = threading.Thread(target=ask, daemon=True)
        self.trio.sql("UPDATE grantd.credentials SET lease_owner = 'somebody', lease_until = 99999999999999")
        with self.cluster.session(self.trio.database) as other:
            other("BEGIN; LOCK TABLE grantd.intents IN SHARE MODE")  # in front of this it has no lease, behind it it looks
            asker.start()
            wait_for(lambda: self.waiting(1) or told, 20, 0.01)
            self.trio.sql("UPDATE grantd.credentials SET lease_owner = NULL, lease_until = 0")
            other("COMMIT")
        asker.join(20)
        self.assertEqual(told, ["CONFLICT"])
        self.assertTrue(node.call("grant.refresh", grant=grant))

    def taken(self, client):
        return self.trio.sql(f"SELECT count(*) FROM grantd.flows WHERE client_id = '{client}' AND status = 'exchanging'") != "0"


if __name__ == "__main__":
    unittest.main()
