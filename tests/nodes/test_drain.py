#!/usr/bin/env python3
"""A node is stopped in order while the others go on working: it ends well, and nothing is missed."""
import signal
import threading
import unittest

from trio import Cluster, RpcError, Trio


class Drain(unittest.TestCase):
    def setUp(self):
        cluster = Cluster()
        self.addCleanup(cluster.done)
        cluster.__enter__()
        self.trio = Trio(cluster)
        self.addCleanup(self.trio.close)

    def test_news_that_come_while_it_ends_harm_nobody(self):
        trio, going = self.trio, threading.Event()
        trio.policies("none")
        trio.start()
        grants = [trio.nodes[n].consent("none") for n in range(2)]
        going.set()

        def work(number):
            while going.is_set():
                try:
                    trio.nodes[number].call("grant.refresh", grant=grants[number])
                except RpcError:
                    pass
        threads = [threading.Thread(target=work, args=(n,), daemon=True) for n in range(2)]
        for thread in threads:
            thread.start()
        codes = []
        for _ in range(8):
            trio.nodes[2].daemon.process.send_signal(signal.SIGTERM)
            codes.append(trio.nodes[2].daemon.wait_dead(20))
            trio.start(trio.nodes[2])
        going.clear()
        for thread in threads:
            thread.join(30)
        self.assertEqual(codes, [0] * 8, trio.logs())
        for grant in grants:
            trio.same_everywhere(grant)
        trio.whole()


if __name__ == "__main__":
    unittest.main()
