#!/usr/bin/env python3
"""facts.py TAPES...: what a tape expects a platform to send, and how it classes an answer, comes from the facts about that
platform, never from what the plugin happens to do. So each tape names the row that it was written from."""
import json
import sys

bad = tapes = 0
for name in sys.argv[1:]:
    with open(name, encoding="utf-8") as file:
        for tape in json.load(file):
            tapes += 1
            fact = tape.get("fact", "")
            if not any(char.isdigit() for char in fact) and "platform.h" not in fact:
                print(f"{name}: {tape['name']!r} names no fact")
                bad += 1
print(f"{tapes} tapes")
sys.exit(1 if bad or tapes < 1000 else 0)
