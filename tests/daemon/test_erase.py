#!/usr/bin/env python3
"""T49: a client is erased. Its data key, its name and its e-mail stand nowhere any more: not in the databases, their
logs and free pages, not in the spool, not in the audit log; whatever interrupts it, and whatever a backup brings back."""
import os
import threading
import unittest

from harness import SHARED, Daemon, GrantdTest, RpcError, has_faults, the_cluster, wait_for

NAME, EMAIL, LOGIN = "Zwetschgen Quittenhof", "quitte@zwetschge.example", "berta"
OTHER = "Staying Bakery"


class Erase(GrantdTest):
    def setUp(self):
        super().setUp()
        self.server = self.box.accounting()
        self.box.policy_app(self.server, "none", at_ttl=600, account=LOGIN)
        self.box.policy_app(self.server, "strict", name="other", at_ttl=600, account="otto")
        self.box.start()

    # -- what is done again and again

    def client(self, name=NAME, email=EMAIL):
        return self.rpc.call("client.create", name=name, email=email, locale="de")["client"]["id"]

    def request(self, client, app="none", message=f"Dear {NAME}"):
        made = self.rpc.call("request.create", client=client, confirm=False, items=[{"app": app}], message=message)
        return made["link"], made["request"]["id"]

    def granted(self, link, request):
        browser = self.box.browser()
        browser.open(link)
        browser.walk(login=LOGIN)
        return self.rpc.call("request.get", request=request)["request"]["items"][0]["grants"][0]

    def grown(self, name=NAME, email=EMAIL, end=True):
        """A client with all that a life leaves behind; returns (client, grant)."""
        client = self.client(name, email)
        grant = self.granted(*self.request(client))
        self.rpc.call("grant.refresh", grant=grant)
        self.rpc.call("grant.verify", grant=grant)
        if end:
            self.rpc.call("grant.revoke", grant=grant)
            self.assertEqual(self.box.grant(grant)["state"], "ended")
        return client, grant

    def erase(self, client, name=NAME):
        return self.rpc.call("client.erase", client=client, name=name)["client"]

    def wrapped(self, client):
        rows = self.box.rows("SELECT wrapped FROM data_keys WHERE client_id = ? AND state = 'active'", client, keyring=True)
        self.assertEqual(len(rows), 1)
        self.assertEqual(len(rows[0][0]), 100)
        return rows[0][0]

    def sealed(self, client):
        """What was sealed under the client's key, as the rows have it."""
        return [row[0] for row in self.box.rows(
            "SELECT v.sealed FROM token_versions v JOIN credentials c ON c.id = v.credential_id"
            " WHERE c.client_id = ? UNION SELECT sealed FROM flows WHERE client_id = ?", client, client)]

    def assert_gone(self, client, *needles):
        self.assertEqual(self.box.holding(NAME.encode(), EMAIL.encode(), LOGIN.encode(), *needles), set())
        shown = self.rpc.call("client.get", client=client)["client"]
        self.assertEqual((shown["state"], shown["name"], shown["email"], shown["locale"]),
                         ("erased", "erased", None, None))
        keys = self.box.rows("SELECT state, wrapped FROM data_keys WHERE client_id = ?", client, keyring=True)
        self.assertEqual(keys, [("erased", b"")])

    def restart(self, faults=None):
        if self.box.daemon.alive():
            self.assertEqual(self.box.daemon.stop(), 0)
        self.box.start(faults)

    def state(self, client):
        return self.rpc.call("client.get", client=client)["client"]["state"]

    # -- the whole way

    def test_nothing_of_it_is_left(self):
        stays = self.client(OTHER, "stay@bakery.example")
        kept = self.granted(*self.request(stays, "other", "Dear neighbours"))
        client, grant = self.grown(end=False)
        open_link, open_request = self.request(client)
        key, sealed = self.wrapped(client), self.sealed(client)
        other_key = self.wrapped(stays)
        self.assertTrue(sealed)
        if SHARED:  # what the server has learned about the columns
            the_cluster().sql("ANALYZE", the_cluster().name_of(self.box.store["url"]))
        there = {"clients", "data_keys"} if SHARED else {"grantd.db-wal", "keyring.db-wal"}
        self.assertTrue(there <= self.box.holding(NAME.encode(), key))
        self.rpc.call("grant.revoke", grant=grant)
        cursor = self.rpc.call("event.list")["cursor"]

        erased = self.erase(client)

        self.assertEqual(erased["state"], "erased")
        self.assert_gone(client, key, *sealed)
        self.assertEqual(self.box.holding(other_key), {"data_keys"} if SHARED else {"keyring.db"})
        self.assertEqual(os.path.getsize(os.path.join(self.box.state, "spool")), 0)
        shown = self.box.grant(grant)
        self.assertEqual((shown["state"], shown["reason"], shown["account"]),
                         ("erased", "CLIENT_ERASED", {"id": None, "name": None}))
        self.assertEqual(self.rpc.call("request.get", request=open_request)["request"]["state"], "cancelled")
        self.assertEqual(self.box.browser().open(open_link).status, 410)
        events = self.rpc.call("event.list", cursor=cursor)["events"]
        self.assertEqual([(e["type"], e["subject"]) for e in events], [("client.erased", client)])
        # who stays is as it was
        self.assertTrue(self.rpc.call("grant.token", grant=kept)["access_token"])
        self.rpc.call("grant.refresh", grant=kept)
        # and it stays so
        self.restart()
        self.assert_gone(client, key, *sealed)
        self.assertTrue(self.rpc.call("grant.token", grant=kept)["access_token"])
        self.assertTrue(self.rpc.call("audit.verify")["ok"])

    def test_what_an_erased_client_is_told(self):
        client, grant = self.grown()
        self.erase(client)
        self.assertEqual(self.erase(client, "whatever")["state"], "erased")  # done long ago: no harm
        self.refused("CLIENT_ENDED", "request.create", client=client, items=[{"app": "none"}])
        self.refused("CLIENT_ENDED", "client.update", client=client, name=NAME)
        for again in range(2):
            with self.assertRaises(RpcError):
                self.rpc.call("grant.token", grant=grant)
            self.assertEqual(self.box.grant(grant)["state"], "erased")
            self.assertEqual(self.rpc.call("grant.list", client=client)["grants"][0]["state"], "erased")
            self.assertEqual(self.rpc.call("daemon.doctor")["findings"], [])
            if not again:
                self.restart()

    def test_the_audit_log_has_pseudonyms_only(self):
        client = self.client()
        self.rpc.call("client.update", client=client, name=NAME, email=EMAIL)
        self.refused("CLIENT_NAME_MISMATCH", "client.erase", client=client, name=NAME + " & Sons")
        self.erase(client)
        self.assertTrue(self.rpc.call("audit.verify")["ok"])
        records = [r for r in self.rpc.call("audit.list")["records"] if r["act"] == "client.erase"]
        self.assertEqual([(r["phase"], r.get("outcome")) for r in records],
                         [("request", None), ("done", "CLIENT_NAME_MISMATCH"), ("request", None), ("done", "ok")])
        self.assertEqual(self.box.holding(NAME.encode(), EMAIL.encode()), set())

    def test_by_grantctl(self):
        client = self.client()
        done = self.box.ctl("client", "erase", client, check=False)
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertEqual(self.state(client), "active")
        self.assertEqual(self.box.ctl("client", "erase", client, "--name", NAME)["client"]["state"], "erased")

    # -- refused

    def test_refused_while_access_is_open(self):
        client, grant = self.grown(end=False)
        self.refused("CLIENT_NAME_MISMATCH", "client.erase", client=client, name=NAME.lower())
        refusal = self.refused("CLIENT_HAS_GRANTS", "client.erase", client=client, name=NAME)
        self.assertIn(grant, str(refusal))
        self.refused("NOT_FOUND", "client.erase", client="cl" + client[2:-4] + "zzzz", name=NAME)
        shown = self.rpc.call("client.get", client=client)["client"]
        self.assertEqual((shown["state"], shown["name"], shown["email"]), ("active", NAME, EMAIL))
        self.assertTrue(self.rpc.call("grant.token", grant=grant)["access_token"])
        # while it is being closed too: the platform still has a token that lives
        self.server.stop()
        self.rpc.call("grant.revoke", grant=grant)
        self.assertEqual(self.box.grant(grant)["state"], "ending")
        self.refused("CLIENT_HAS_GRANTS", "client.erase", client=client, name=NAME)
        self.assertEqual(self.state(client), "active")

    def test_refused_while_an_approval_is_under_way(self):
        """Tokens that are about to come must find their key."""
        client = self.client()
        link, request = self.request(client)
        self.server.post("/_ctl/fault", {"action": "delay", "ms": 1500, "grant_type": "authorization_code"})
        browser = self.box.browser()
        browser.open(link)
        walk = threading.Thread(target=browser.walk, kwargs={"login": LOGIN})
        walk.start()
        wait_for(lambda: self.box.rows("SELECT 1 FROM flows WHERE status = 'exchanging'"))
        self.refused("CONFLICT", "client.erase", client=client, name=NAME)
        walk.join()
        grant = self.rpc.call("request.get", request=request)["request"]["items"][0]["grants"][0]
        self.assertTrue(self.rpc.call("grant.token", grant=grant)["access_token"])
        self.rpc.call("grant.revoke", grant=grant)
        self.assertEqual(self.erase(client)["state"], "erased")

    def test_an_open_flow_dies_with_it(self):
        """The browser is at the platform while the client is erased: what it brings back finds nothing."""
        client = self.client()
        link, request = self.request(client)
        browser = self.box.browser()
        browser.open(link)
        form, button = browser.choose()
        away = browser.submit(form, None, button, stay=True)
        self.assertEqual(self.box.rows("SELECT status FROM flows"), [("pending",)])
        self.erase(client)
        self.assertEqual(self.box.rows("SELECT status FROM flows"), [])
        page = browser.follow(away)
        self.assertTrue(page.url.startswith(self.box.url + "/cb/"), page.url)
        self.assertGreaterEqual(page.status, 400)
        self.assertEqual(self.server.get("/_ctl/report")["seen"]["token"], 0)
        self.assertEqual(self.rpc.call("request.get", request=request)["request"]["items"][0]["grants"], [])

    # -- interrupted

    def interrupted(self, fault):
        client, grant = self.grown()
        key, sealed = self.wrapped(client), self.sealed(client)
        self.restart(fault)
        self.rpc.send("client.erase", client=client, name=NAME)
        self.assertEqual(self.box.daemon.wait_dead(10), -9)
        state = self.box.rows("SELECT state FROM clients WHERE id = ?", client)
        self.assertEqual(state, [("erasing",)])
        return client, grant, key, sealed

    def test_killed_between_key_and_rows(self):
        client, grant, key, sealed = self.interrupted("F29:kill9")
        self.assertTrue(self.box.holding(NAME.encode()))
        self.box.start()
        wait_for(lambda: self.state(client) == "erased")
        self.assert_gone(client, key, *sealed)
        self.assertEqual(self.box.grant(grant)["state"], "erased")
        self.restart()
        self.assert_gone(client, key, *sealed)
        types = [e["type"] for e in self.rpc.call("event.list")["events"] if e["subject"] == client]
        self.assertEqual(types, ["client.created", "client.erased"])
        with open(self.box.log_path, "rb") as file:
            self.assertEqual(file.read().count(b'"erase.resumed"'), 1)

    def test_killed_between_rows_and_files(self):
        client, _, key, sealed = self.interrupted("F30:kill9")
        self.box.start()
        wait_for(lambda: self.state(client) == "erased")
        self.assert_gone(client, key, *sealed)

    def test_killed_again_and_again(self):
        client, _, key, sealed = self.interrupted("F29:kill9")
        for fault in ("F29:kill9", "F30:kill9"):
            daemon = Daemon(self.box, fault)  # goes on where the last one died, and dies there
            self.assertEqual(daemon.wait_dead(20), -9)
        self.box.start()
        wait_for(lambda: self.state(client) == "erased")
        self.assert_gone(client, key, *sealed)

    @unittest.skipUnless(has_faults(), "a build without fault points")
    def test_a_step_that_fails_is_done_again(self):
        """Nobody has to ask for it once more."""
        client, _ = self.grown()
        key, sealed = self.wrapped(client), self.sealed(client)
        self.restart("F30:eio")
        self.refused("STORE_FAILED", "client.erase", client=client, name=NAME)
        self.assertEqual(self.state(client), "erasing")
        wait_for(lambda: self.state(client) == "erased")
        self.assert_gone(client, key, *sealed)

    # -- restored

    def restored(self, keyring):
        client, grant = self.grown()
        key, sealed = self.wrapped(client), self.sealed(client)
        kept = self.box.keep(keyring)
        self.erase(client)
        self.assertEqual(self.box.daemon.stop(), 0)
        self.box.put_back(kept, keyring)
        self.assertTrue(self.box.holding(key if keyring else NAME.encode()))
        self.box.start()
        wait_for(lambda: not self.box.holding(NAME.encode(), key))
        wait_for(lambda: self.state(client) == "erased")
        self.assert_gone(client, key, *sealed)
        self.assertEqual(self.box.grant(grant)["state"], "erased")

    def test_a_restored_keyring_does_not_bring_it_back(self):
        self.restored(keyring=True)

    def test_a_restored_spool_does_not_keep_it(self):
        """The backup had answers with it: those of who is erased go from its file, too."""
        client, _ = self.grown()
        key, sealed = self.wrapped(client), self.sealed(client)
        kept, keys, spool = self.box.keep(), self.box.keep(True), os.path.join(self.box.state, "spool")
        with open(spool, "rb") as file:
            answers = file.read()
        self.assertIn(LOGIN.encode(), answers)
        self.erase(client)
        self.assertEqual(self.box.daemon.stop(), 0)
        self.box.put_back(kept)
        if SHARED:  # a node of those remembers it all the same; the one that is alone does by its keyring
            self.box.put_back(keys, True)
        with open(os.open(spool + ".restored", os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
            file.write(answers)
        self.box.start()
        wait_for(lambda: not self.box.holding(NAME.encode(), key))
        wait_for(lambda: self.state(client) == "erased")
        self.assert_gone(client, key, *sealed)
        self.assertFalse(os.path.exists(spool + ".restored"))

    def test_a_restored_store_does_not_bring_it_back(self):
        self.restored(keyring=False)


if __name__ == "__main__":
    unittest.main()
