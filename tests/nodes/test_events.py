#!/usr/bin/env python3
"""A program follows the events of three nodes that all write them; it goes on at another node whenever it likes, and one
of them dies meanwhile. A cursor is good on every node, and nothing is missed."""
import json
import random
import statistics
import threading
import time
import unittest

from trio import Cluster, Gone, Rpc, RpcError, Trio


class Events(unittest.TestCase):
    def setUp(self):
        cluster = Cluster()
        self.addCleanup(cluster.done)
        cluster.__enter__()
        self.trio = Trio(cluster, limits={"request_deadline_ms": 3000, "quiet_ms": 3000})
        self.addCleanup(self.trio.close)
        self.trio.start()
        self.trio.all_live()

    def write(self, node, made, going):
        """Clients, one after another, until told to end or the node is gone."""
        try:
            line = Rpc(node.socket_path)
            while going.is_set():
                made.append(line.call("client.create", name="Anna Bakery")["client"]["id"])
            line.close()
        except (Gone, OSError, RpcError):
            pass

    def test_one_cursor_for_all_nodes(self):
        rng, nodes, going = random.Random(1), self.trio.nodes, threading.Event()
        made, seen, twice, cursor = [], [], 0, {}
        going.set()
        writers = [threading.Thread(target=self.write, args=(node, made, going), daemon=True) for node in nodes
                   for _ in range(2)]
        for writer in writers:
            writer.start()
        end, killed = time.monotonic() + 6, False
        while time.monotonic() < end or not killed:
            node = rng.choice([n for n in nodes if n.up()])
            page = node.call("event.list", limit=rng.choice((1, 7, 100)), **cursor)
            seen += [e["subject"] for e in page["events"]]
            cursor = {"cursor": page["cursor"]} if "cursor" in page else {}
            if not killed and time.monotonic() > end - 3:
                nodes[1].daemon.kill9()
                killed = True
        going.clear()
        for writer in writers:
            writer.join(30)
        for node in (nodes[0], nodes[2], nodes[0]):
            while True:
                page = node.call("event.list", limit=1000, **cursor)
                if not page["events"]:
                    break
                seen += [e["subject"] for e in page["events"]]
                cursor = {"cursor": page["cursor"]}
        self.assertGreater(len(made), 60)
        self.assertEqual(set(made) - set(seen), set(), f"of {len(made)} events some were never seen")
        self.assertEqual(len(seen), len(set(seen)), "an order that is the same for all tells each once")
        everything = [[e["id"] for e in self.pages(node)] for node in (nodes[0], nodes[2])]
        self.assertEqual(everything[0], everything[1])

    @staticmethod
    def pages(node):
        cursor = {}
        while True:
            page = node.call("event.list", limit=1000, **cursor)
            if not page["events"]:
                return
            yield from page["events"]
            cursor = {"cursor": page["cursor"]}

    def test_a_subscriber_hears_of_other_nodes(self):
        a, b, c = self.trio.nodes
        a.call("client.create", name="before")
        line = Rpc(b.socket_path)
        self.addCleanup(line.close)
        line.call("event.subscribe")  # from now on
        heard, took = [], []
        for _ in range(5):  # the machine may have other work: not every time
            asked = time.monotonic()
            made = [node.call("client.create", name="Anna Bakery")["client"]["id"] for node in (a, c, b)]
            now = [json.loads(line.line())["params"] for _ in made]  # what others did is pushed
            took.append(time.monotonic() - asked)
            self.assertEqual(sorted(e["subject"] for e in now), sorted(made))
            heard += now
        self.assertLess(statistics.median(took), 2)
        behind = c.call("event.list", cursor=heard[0]["id"])["events"]  # the same cursor on another node
        self.assertEqual([e["id"] for e in behind], [e["id"] for e in heard[1:]])


if __name__ == "__main__":
    unittest.main()
