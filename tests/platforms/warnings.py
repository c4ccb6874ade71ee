#!/usr/bin/env python3
"""warnings.py PLATFORMS TESTS: what a platform warns of is explained on its page, and provoked by a test."""
import pathlib
import re
import sys

platforms, tests = map(pathlib.Path, sys.argv[1:])
WARN = re.compile(r'grantd_warn\(\s*op,[^"]*?((?:"[A-Z_]{3,}"[^",;]*)+),', re.S)
shown = "\n".join(f.read_text(encoding="utf-8") for f in tests.rglob("*") if f.suffix in (".json", ".py"))
bad = words = 0
for page in sorted(platforms.glob("*/README.md")):
    text = page.read_text(encoding="utf-8")
    code = "".join(f.read_text(encoding="utf-8") for f in sorted(page.parent.glob("*.c")))
    for word in sorted({w for found in WARN.findall(code) for w in re.findall(r'"([A-Z_]+)"', found)}):
        words += 1
        for where, there in (("its page", word in text), ("a test", word in shown)):
            if not there:
                print(f"{page.parent.name}: {word} is not in {where}")
                bad += 1
print(f"{words} warnings")
sys.exit(1 if bad or words < 50 else 0)
