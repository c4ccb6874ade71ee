#!/usr/bin/env python3
"""memcheck.py BUILD JOBS: every unit test of the build under valgrind, as ctest would call it (and GRANTD_VALGRIND set, for
who asks how long something took): no error, and nothing is definitely lost. Says how many there were and which were bad;
exit status 1 when one was."""
import concurrent.futures
import json
import os
import re
import subprocess
import sys
import time

# It runs one thread at a time: fairly, so that one that only looks again and again does not keep the others waiting.
VALGRIND = ["valgrind", "-q", "--fair-sched=yes", "--error-exitcode=9", "--leak-check=full",
            "--show-leak-kinds=definite", "--errors-for-leak-kinds=definite"]
# Millions of steps of one kind, which the sanitizers see: a log with each byte changed, a year of refreshes.
LONG = {"unit.audit_verify", "unit.year"}
# malloc and free of our own, in whose place valgrind puts its.
OTHERS = {"unit.daemon_wipe"}
SECONDS = 1200


def tests(build):
    text = subprocess.run(["ctest", "--test-dir", build, "--show-only=json-v1", "-R", r"^unit\."], check=True,
                          stdout=subprocess.PIPE).stdout
    for one in json.loads(text)["tests"]:
        if "command" not in one:
            sys.exit(f"valgrind: {one['name']} is not built in {build}")
        with open(one["command"][0], "rb") as file:  # scripts start programs that are tested by themselves
            compiled = file.read(4) == b"\x7fELF" and not re.search(r"python3[.\d]*$", one["command"][0])
            if compiled and one["name"] not in LONG | OTHERS:
                properties = {p["name"]: p["value"] for p in one["properties"]}
                yield one["name"], one["command"], properties


def run(one):
    """Its name, how long it took, and what it said if it was bad."""
    name, command, properties = one
    began = time.monotonic()
    env = dict(os.environ, GRANTD_VALGRIND="1", **dict(pair.split("=", 1) for pair in properties.get("ENVIRONMENT", [])))
    try:
        done = subprocess.run([*VALGRIND, *command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=False, env=env,
                              stderr=subprocess.STDOUT, timeout=SECONDS, cwd=properties.get("WORKING_DIRECTORY"))
    except subprocess.TimeoutExpired as e:
        return name, SECONDS, f"not ended within {SECONDS} s\n" + (e.stdout or b"").decode(errors="replace")[-2000:]
    return name, time.monotonic() - began, None if done.returncode == 0 else done.stdout.decode(errors="replace")[-4000:]


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    all_of_them, bad = list(tests(sys.argv[1])), []
    with concurrent.futures.ThreadPoolExecutor(int(sys.argv[2])) as pool:
        for name, seconds, said in pool.map(run, all_of_them):
            bad += [name] if said is not None else []
            print(f"valgrind: {name}: {'fine' if said is None else said} ({seconds:.0f} s)", flush=True)
    print(f"valgrind: {len(all_of_them)} programs, {len(bad)} bad: {' '.join(bad)}".rstrip(": "))
    sys.exit(1 if bad or not all_of_them else 0)


if __name__ == "__main__":
    main()
