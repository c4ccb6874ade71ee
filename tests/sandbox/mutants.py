#!/usr/bin/env python3
"""Every request of the replayed examples, bent at random, against every stand-in: mutants.py PROGRAM ROUNDS SEED
Whatever arrives is answered by the platform's stand-in, never by silence, a crash, or "this handler answered nothing"."""
import copy
import glob
import json
import os
import random
import sys

from run import METHODS, File, Sandbox

ODD = ["", "0", "-1", "null", "[]", "{}", "%", "%zz", "%00", "a" * 3000, "\u00e9", "true", "1e999", "[[[[", "*", "../..",
       "9" * 30, "#", "=&=", '{"a":{"b":[1]}}']
VALUES = [None, True, 0, -1, 1 << 62, 1.5, "", "x", "9" * 40, [], {}, [[]], [None], {"": ""}, ["a"] * 60, {"id": {"id": []}}]


def bend_json(value, rng):
    if rng.random() < 0.15:
        return copy.deepcopy(rng.choice(VALUES))
    if isinstance(value, dict) and value:
        name = rng.choice(list(value))
        if rng.random() < 0.3:
            del value[name]
        else:
            value[name] = bend_json(value[name], rng)
    elif isinstance(value, list) and value:
        at = rng.randrange(len(value))
        value[at] = bend_json(value[at], rng)
    elif isinstance(value, str):
        return rng.choice(ODD)
    return value


def bend_pairs(text, rng):
    pairs = text.split("&")
    at = rng.randrange(len(pairs))
    name = pairs[at].partition("=")[0]
    how = rng.randrange(4)
    if how == 0:
        del pairs[at]
    elif how == 1:
        pairs.append(pairs[at])
    else:
        pairs[at] = name + "=" + rng.choice(ODD).encode("latin-1", "replace").hex(" ").replace(" ", "%").join(["%", ""]) \
            if how == 2 and rng.random() < 0.5 else name + "=" + rng.choice(ODD).replace("\u00e9", "%C3%A9")
    return "&".join(pairs)


def bend(step, rng):
    step = copy.deepcopy(step)
    method = next(m for m in METHODS if m in step)
    where = step.pop(method)
    if rng.random() < 0.1:
        method = rng.choice(METHODS)
    head, mark, query = where.partition("?")
    how = rng.random()
    if how < 0.35 and "json" in step:
        step["json"] = bend_json(step["json"], rng)
    elif how < 0.35 and "form" in step:
        step["form"] = bend_pairs(step["form"], rng)
    elif how < 0.7 and query:
        query = bend_pairs(query, rng)
    elif how < 0.8:
        parts = head.split("/")
        parts[rng.randrange(3, len(parts)) if len(parts) > 3 else -1] = rng.choice(ODD[:9] + ["x", "(a:b)"])
        head = "/".join(parts)
    elif step.get("headers") and how < 0.9:
        name = rng.choice(list(step["headers"]))
        step["headers"][name] = rng.choice([o for o in ODD if o.isascii()])
    elif "json" in step:
        step["body"] = json.dumps(step.pop("json"))[:rng.randrange(40)]
    step[method] = (head + mark + query).replace(" ", "%20").replace("\u00e9", "%C3%A9")
    return step


def storm(one, name, rng, told):
    for case in one.data["cases"]:
        one.prepare(case)
        for step in (s for s in case["steps"] if any(m in s and s[m].startswith("http") for m in METHODS)):
            bent = bend(step, rng)
            try:
                got = one.request(bent, Names())
            except (ValueError, UnicodeError):  # Python's client would not send it
                continue
            if got is None or b"answered nothing" in got[2]:
                raise SystemExit(f"{name}: {case['name']}: {got} after {json.dumps(bent)[:2000]}")
            told[got[0]] = told.get(got[0], 0) + 1


def main():
    program, rounds, rng = sys.argv[1], int(sys.argv[2]), random.Random(int(sys.argv[3]))
    box, told = Sandbox(program), {}
    try:
        for name in sorted(glob.glob(os.path.join(os.path.dirname(os.path.abspath(__file__)), "*.json"))):
            one = File.__new__(File)
            with open(name, encoding="utf-8") as f:
                one.data = json.load(f)
            one.platform, one.sandbox = one.data["platform"], box
            for _ in range(rounds):
                storm(one, os.path.basename(name), rng, told)
        box.stop()
    finally:
        box.process.kill()
    print(f"{sum(told.values())} requests; answers by status: {dict(sorted(told.items()))}")
    if sum(told.values()) < 100 or told.get(200, 0) == sum(told.values()):
        raise SystemExit("too few, or nothing was refused")


class Names(dict):
    """Names kept by earlier steps: those were bent too, so any text stands for them."""

    def __missing__(self, name):
        return "kept-" + name


if __name__ == "__main__":
    main()
