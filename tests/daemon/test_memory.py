"""T41: what the daemon's memory holds of tokens a moment after they went through it: nothing that can be read."""
import re
import time
import unittest

from harness import TOKEN, GrantdTest


def tokens_in_memory(pid):
    """Every token of the accounting server in the readable memory of a process, with the mapping that holds it."""
    found = []
    with open(f"/proc/{pid}/maps", encoding="utf-8") as maps, open(f"/proc/{pid}/mem", "rb", buffering=0) as mem:
        for line in maps:
            words = line.split()
            begin, end = (int(x, 16) for x in words[0].split("-"))
            if "r" not in words[1] or line.rstrip().endswith(("[vvar]", "[vsyscall]", "[vdso]")):
                continue
            try:
                mem.seek(begin)
                data = mem.read(end - begin)
            except (OSError, ValueError):
                continue
            found += [(m.group()[:6], line.strip()[-40:]) for m in re.finditer(TOKEN, data)]
    return found


class Memory(GrantdTest):
    def test_nothing_readable_stays(self):
        server = self.box.accounting()
        self.box.policy_app(server, "overlap", at_ttl=600)
        self.box.start()
        grant = self.box.consent("overlap")
        for _ in range(5):
            self.rpc.call("grant.token", grant=grant)
            self.rpc.call("grant.refresh", grant=grant)
        self.rpc.call("grant.token", grant=grant)
        time.sleep(1)
        self.assertEqual(tokens_in_memory(self.box.daemon.process.pid), [])

    def test_only_what_was_asked_for_is_at_hand(self):
        """A refresh keeps the new token at hand where the old one was; the first who asks brings it there."""
        def kept():
            return self.rpc.call("daemon.status")["broker"]["memory"]["tokens"]

        server = self.box.accounting()
        self.box.policy_app(server, "overlap", at_ttl=600)
        self.box.start()
        grant = self.box.consent("overlap")
        self.assertEqual(kept(), 1)
        self.box.daemon.stop()
        self.box.start()
        self.assertEqual(kept(), 0)
        self.rpc.call("grant.refresh", grant=grant)
        self.assertEqual(kept(), 0)
        first = self.rpc.call("grant.token", grant=grant)
        self.assertEqual(kept(), 1)
        self.rpc.call("grant.refresh", grant=grant)
        self.assertEqual(kept(), 1)
        second = self.rpc.call("grant.token", grant=grant)
        self.assertEqual(second["gen"], first["gen"] + 1)
        self.assertNotEqual(second["access_token"], first["access_token"])

    def test_the_search_finds_what_is_there(self):
        """The other half: a process that does hold one is found out (this test cannot pass by looking badly)."""
        held = "at-" + "A" * 31 + "b"
        import os
        self.assertTrue(any(kind == held[:6].encode() for kind, _ in tokens_in_memory(os.getpid())))


if __name__ == "__main__":
    unittest.main()
