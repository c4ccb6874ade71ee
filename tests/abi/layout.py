#!/usr/bin/env python3
"""layout.py BINARY TABLE: compares the layout that the test program prints with the table that is checked in.

The table only grows: a line that is in it must come out again as it is; a line that is not in it is news and must be
added with the change that brings it (`unit_abi_layout > tests/abi/layout.txt`), while the ABI is a draft.
"""
import subprocess
import sys

now = subprocess.run([sys.argv[1]], check=True, stdout=subprocess.PIPE).stdout.decode().splitlines()
with open(sys.argv[2], encoding="utf-8") as file:
    table = file.read().splitlines()
gone = [line for line in table if line not in now]
new = [line for line in now if line not in table]
for line in gone:
    print(f"changed or gone: {line}")
for line in new:
    print(f"not in the table: {line}")
sys.exit(1 if gone or new or not table else 0)
