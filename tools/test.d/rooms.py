#!/usr/bin/env python3
"""rooms.py SUMMARY.json: what gcovr measured, room by room."""
import collections
import json
import sys

with open(sys.argv[1], encoding="utf-8") as file:
    files = json.load(file)["files"]
rooms = collections.defaultdict(collections.Counter)
for one in files:
    room = one["filename"].split("/")[1]
    for key in ("line_covered", "line_total", "branch_covered", "branch_total"):
        rooms[room][key] += one[key]
        rooms["all"][key] += one[key]
for room, n in sorted(rooms.items(), key=lambda item: (item[0] == "all", item[0])):
    print(f"{room:8} lines {100 * n['line_covered'] / max(1, n['line_total']):5.1f} % of {n['line_total']:5}   "
          f"branches {100 * n['branch_covered'] / max(1, n['branch_total']):5.1f} % of {n['branch_total']:5}")
