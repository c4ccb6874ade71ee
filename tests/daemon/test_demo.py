#!/usr/bin/env python3
"""tools/demo --by-hand, with a person in front of it: reads what is printed on a terminal, opens the link, says no first
and then yes, and ends it with Ctrl-C. (The demonstration by itself is a step of tools/test.)"""
import glob
import os
import pty
import re
import select
import signal
import subprocess
import sys
import tempfile
import time
import unittest

from harness import BUILD, ROOT, Browser, start

LINK = re.compile(r"http://127\.0\.0\.1:\d+/a/[A-Za-z0-9_/-]+")


class ByHand(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="grantd-test-demo-")
        self.addCleanup(lambda: [os.rmdir(self.folder) if not os.listdir(self.folder) else None])
        self.terminal, inner = pty.openpty()
        self.addCleanup(os.close, self.terminal)
        self.process = subprocess.Popen([sys.executable, "-B", os.path.join(ROOT, "tools/demo.d/walk.py"), "--build", BUILD,
                                         "--by-hand"], stdin=inner, stdout=inner, stderr=inner, start_new_session=True,
                                        env={**os.environ, "TMPDIR": self.folder}, preexec_fn=start.die_with_parent)
        os.close(inner)
        self.addCleanup(self.process.wait, 30)
        self.addCleanup(self.process.kill)
        self.said = ""

    def read(self, wanted, seconds=60):
        """Until that is on the terminal."""
        end = time.monotonic() + seconds
        while wanted not in self.said:
            self.assertLess(time.monotonic(), end, f"no {wanted!r} in:\n{self.said}")
            if select.select([self.terminal], [], [], 0.2)[0]:
                try:
                    self.said += os.read(self.terminal, 65536).decode(errors="replace")
                except OSError:  # the other end is closed
                    self.assertIn(wanted, self.said)
            elif self.process.poll() is not None:
                self.assertIn(wanted, self.said)

    def test_a_person(self):
        self.read("Waiting for you")
        link = LINK.search(self.said).group(0)
        person = Browser()
        person.open(link)
        person.walk(login="berta", deny=True)
        self.read("CONSENT_DENIED")
        self.assertIn("Open the link again", self.said)
        person.open(link)
        self.assertEqual(person.walk(login="berta").status, 200)
        self.read("The operator sees who approved")
        self.read("the server says it is “berta”")
        os.kill(self.process.pid, signal.SIGINT)
        self.assertEqual(self.process.wait(30), 130)
        self.assertEqual(glob.glob(os.path.join(self.folder, "*")), [])  # its folder went, and so did what ran in it

    def test_nobody_is_there(self):
        """Given up while it waits: nothing is left either."""
        self.read("Waiting for you")
        os.kill(self.process.pid, signal.SIGTERM)
        self.assertNotEqual(self.process.wait(30), 0)
        self.assertEqual(glob.glob(os.path.join(self.folder, "*")), [])


if __name__ == "__main__":
    unittest.main()
