#!/usr/bin/env python3
"""failed.py TESTS.XML: what the tests that failed said last, by ctest's report: at the end of hours of output nobody wants
to look for it. And the names of all of them, last."""
import sys
import xml.etree.ElementTree

LINES = 12
WIDTH = 300


def main():
    names = []
    for case in xml.etree.ElementTree.parse(sys.argv[1]).getroot().iter("testcase"):
        if case.get("status") in ("run", "disabled"):
            continue
        names.append(case.get("name"))
        failure = case.find("failure")
        why = failure.get("message") if failure is not None else ""
        print(f"-- {case.get('name')}: {case.get('status')} after {float(case.get('time')):.0f} s {why}".rstrip())
        for line in (case.findtext("system-out") or "").rstrip().splitlines()[-LINES:]:
            print("   " + line[:WIDTH])
    print(f"-- {len(names)} failed: {' '.join(names)}")


if __name__ == "__main__":
    main()
