#!/usr/bin/env python3
"""cites.py finds what it is there for: each sin is planted in a stand-in of one function."""
import pathlib
import tempfile
import unittest

import cites

FACTS = """# TikTok
## 1. Errors
### 1.4 Codes
| 40002 | parameter error |
| 40007 | object does not exist |
## Open questions (not verified)
1. Which code comes back.
"""
GOOD = """/* tiktok_x.c - a stand-in (tiktok.md). */
/* 1.4 "| 40002 |" */
static void call(struct sb_req *r, const json_t *args, json_t *token)
{
    tiktok_fail(r, 40002, "no");
}
"""


class Cites(unittest.TestCase):
    def found(self, text):
        with tempfile.TemporaryDirectory() as folder:
            here = pathlib.Path(folder)
            (here / "tiktok.md").write_text(FACTS, encoding="utf-8")
            (here / "tiktok_x.c").write_text(text, encoding="utf-8")
            return cites.findings(here, here)[0]

    def test_the_good(self):
        self.assertEqual(self.found(GOOD), [])
        self.assertEqual(self.found(GOOD.replace('1.4 "| 40002 |"', "the code is open 1")), [])
        self.assertEqual(self.found(GOOD.replace('1.4 "| 40002 |"', "the code is [assumed]")), [])
        self.assertEqual(self.found(GOOD.replace('"| 40002 |"', '"| 40002 |\n * parameter error" and "| 40007 |"')), [])

    def test_each_sin(self):
        for old, new, says in (('1.4 "| 40002 |"', "1.4", "tiktok_fail"), ('1.4 "| 40002 |"', "an error", "its parameters"),
                               ("| 40002 |", "| 40003 |", "is on 0 lines"), ("| 40002 |", "| 4000", "is on 2 lines"),
                               ('1.4 "| 40002 |"', '1.5 "| 40002 |"', "is on 0 lines"), ("tiktok.md", "facts", "does not name"),
                               ('1.4 "| 40002 |"', "open 2", "no open question 2"), ("/* 1.4", "/* as 2.4 says, 1.4", "no section 2.4")):
            with self.subTest(new=new):
                found = "\n".join(self.found(GOOD.replace(old, new)))
                self.assertIn(says, found)


if __name__ == "__main__":
    unittest.main()
