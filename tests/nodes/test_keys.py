#!/usr/bin/env python3
"""Three nodes and another key: nobody is shut out by it, and whoever has only one of the two does not start."""
import os
import unittest

from test_together import Nodes
from trio import Daemon, Gone, Rpc, has_faults, wait_for


class Keys(Nodes):
    def kek(self, name):
        path = os.path.join(self.trio.first.inputs, name)
        if not os.path.exists(path):
            with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
                file.write(os.urandom(32))
        return path

    def name(self, node, key, previous=None):
        """In that node's configuration."""
        node.key = {"file": self.kek(key), **({"previous": {"file": self.kek(previous)}} if previous else {})}
        node.write_config()

    def named(self, *nodes, key="new", previous="kek"):
        for node in nodes:
            self.name(node, key, previous)
            node.call("daemon.reload")

    def done(self, node):
        wait_for(lambda: node.call("key.status")["rotation"]["state"] == "done", 30, 0.1)
        return node.call("key.status")

    def not_started(self, node, *words):
        node.daemon = Daemon(node)
        self.assertNotEqual(node.daemon.wait_dead(20), 0)
        for word in words:
            self.assertIn(word, node.log_tail(2000))

    def under(self, kek):
        return set(self.trio.sql("SELECT DISTINCT kek FROM grantd_keys.data_keys WHERE kek > ''").split()) == {kek}

    def test_every_node_has_it_first(self):
        a, b, c = self.start()
        grant = a.consent("none")
        self.named(a, b)
        said = a.call("key.status")
        self.assertEqual(said["lacking"], self.trio.names[c])
        self.assertIn(self.trio.names[c], said["advice"])
        self.refused("KEY_NODE_LACKS", b, "key.rotate")
        self.assertIsNone(a.call("key.status")["rotation"])  # nothing has begun
        self.assertTrue(self.under(said["in_use"]))
        self.named(c)
        for node in (a, b, c):
            self.assertEqual(node.call("key.status")["lacking"], None)
        b.call("key.rotate")
        said = self.done(c)
        self.assertEqual(said["in_use"], said["named"])
        self.assertTrue(self.under(said["in_use"]))
        for node in (a, b, c):  # each makes keys of its own, and opens those of the others
            new = node.consent("none")
            for other in (a, b, c):
                wait_for(lambda other=other: other.token(new), 5)
        self.assertTrue(self.under(said["in_use"]))
        self.trio.same_everywhere(grant)

    def test_one_key_alone(self):
        """While it goes on, and after: a node that lacks what is needed does not start, and touches nothing."""
        a, b, c = self.start()
        grant = a.consent("none")
        self.trio.stop()
        self.name(c, "new")  # only the new one, while all is under the old one
        self.not_started(c, "KEY_WRONG", "key.previous")
        for node in (a, b):
            self.name(node, "new", "kek")
        self.trio.start(a, b)
        wait_for(lambda: a.states().get(self.trio.names[b]) == "live", 10)
        a.call("key.rotate")
        self.done(b)
        self.name(c, "kek")  # only the old one, while all is under the new one
        self.not_started(c, "KEY_WRONG")
        self.name(c, "new")
        self.trio.start(c)
        self.assertTrue(c.token(grant))
        self.trio.all_live()

    @unittest.skipUnless(has_faults(), "no fault points in this build")
    def test_the_node_that_was_asked_is_killed(self):
        """Meant, and no more: the others go on with it."""
        a, b, c = self.start()
        a.consent("none")
        self.trio.stop()
        for node in (a, b, c):
            self.name(node, "new", "kek")
        self.trio.start(b, c)
        self.trio.start(a, faults="rotate.meant:kill9")
        self.trio.all_live()
        with self.assertRaises(Gone):
            Rpc(a.socket_path).call("key.rotate")
        self.trio.buried(a)
        wait_for(lambda: (b.call("key.status")["rotation"] or {}).get("state") == "done", 40, 0.2)
        self.assertTrue(self.under(b.call("key.status")["named"]))
        self.trio.start(a)
        self.trio.all_live()

    @unittest.skipUnless(has_faults(), "no fault points in this build")
    def test_it_waits_for_a_node(self):
        """Meant, and then found that not every node has the new key, when nobody can be told any more."""
        a, b, c = self.start()
        a.consent("none")
        old = a.call("key.status")["in_use"]
        self.assertEqual(a.daemon.stop(), 0)
        self.trio.buried(a)
        self.name(a, "new", "kek")
        self.named(b)
        self.trio.start(a, faults="rotate.meant:kill9")
        self.trio.all_live()
        with self.assertRaises(Gone):
            Rpc(a.socket_path).call("key.rotate")
        self.trio.buried(a)
        wait_for(lambda: "waiting" in {node.call("key.status")["rotation"]["state"] for node in (b, c)}, 20, 0.2)
        said = [node.call("key.status") for node in (b, c)]
        self.assertEqual({one["in_use"] for one in said}, {old})
        self.assertTrue(any(self.trio.names[c] in one["advice"] for one in said))
        self.assertTrue(self.under(old))
        self.named(c)
        self.done(b)
        self.assertTrue(self.under(b.call("key.status")["named"]))
        self.trio.start(a)
        self.trio.all_live()


if __name__ == "__main__":
    unittest.main()
