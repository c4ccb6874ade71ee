"""Checks of the sources: format, direction of includes, privacy of rooms, banned functions."""
import os
import re
import shutil
import subprocess

from common import bare, waived

# Rooms by floor; a room may use the floors below its own, never its neighbours.
FLOORS = [["base"], ["log"], ["config", "crypto"], ["http", "store", "audit"], ["plugin"], ["policy", "event", "node"],
          ["grant"], ["register"], ["sched"], ["rpc", "portal"], ["daemon"]]
LEVEL = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
PROGRAMS = {"tools/grantctl": {"base", "rpc/schema.h"}, "tools/plugtest": {"base", "log", "config", "crypto", "http", "plugin"},
            "tools/docgen": {"base"}, "tools/sandbox": {"base", "crypto"}}
C_LIBRARY = {"assert", "ctype", "errno", "inttypes", "limits", "stdarg", "stdbool", "stddef", "stdint", "stdio",
             "stdlib", "string", "time"}
OURS = ("core/", "platforms/", "include/", "tools/")

BANNED = "strcpy strcat sprintf vsprintf gets strtok atoi atol atoll sscanf alloca rand system popen mktemp " \
         "tmpnam strncpy strncat localtime gmtime asctime ctime getenv"
# What only its keeper may call, and where the keeper lives.
KEPT = {
    r"json_load\w*": (("core/base/",), "JSON from outside goes through gd_json_parse"),
    r"curl_easy_init": (("core/http/",), "all requests go through the http room and its egress guard"),
    r"malloc|calloc|realloc|reallocarray|strdup|strndup": (("core/base/", "platforms/", "include/"),
                                                           "memory comes from gd_new or an arena"),
}
# Where comparing must take the same time whatever the bytes are: all of crypto, and what has a telling name.
MEMCMP = re.compile(r"(?<![\w.>])memcmp\s*\([^;]*")
TELLING = re.compile(r"secret|token|csrf|cookie|session|\bmac\b|hmac|digest|otp|verifier|password|commit")
TEST_BANNED = "strcpy strcat sprintf vsprintf gets strtok atoi sscanf alloca mktemp tmpnam strncpy strncat popen"


def check_format(tree):
    """format: clang-format would change nothing"""
    program = shutil.which("clang-format") or shutil.which("clang-format-14")
    if not program:
        return ["clang-format is not installed: run tools/setup"]
    names = [n for n in tree.under(OURS + ("tests/",), (".c", ".h"))]
    out = []
    for at in range(0, len(names), 100):
        command = [program, "--dry-run", "-Werror", "--ferror-limit=1", *names[at:at + 100]]
        done = subprocess.run(command, cwd=tree.root, stderr=subprocess.PIPE, check=False)
        found = re.findall(r"^([^:\s]+:\d+):\d+: error", done.stderr.decode(), re.M)
        out += [f"{where}: not formatted; run clang-format -i" for where in found]
        if done.returncode and not found:
            out.append("clang-format failed: " + done.stderr.decode()[:300])
    return out


def room_of(name):
    """("core", room), ("program", folder), ("platform", name), ("test", room or None)"""
    parts = name.split("/")
    if parts[0] == "core":
        return "core", parts[1]
    if parts[0] == "platforms":
        return "platform", parts[1]
    if parts[0] == "tools":
        return "program", "/".join(parts[:2])
    if parts[:2] == ["tests", "unit"]:
        return "test", parts[2]
    return "test" if parts[0] == "tests" else "public", None


def complaint(name, quoted, target):
    """Why name may not include target, or None."""
    kind, own = room_of(name)
    room = target.split("/")[0] if "/" in target else None
    if kind == "platform":
        good = target.startswith("grantd/") or (not quoted and target[:-2] in C_LIBRARY)
        good = good or (quoted and "/" not in target and "*" not in target)
        return None if good else "a platform includes only <grantd/...> and the C library"
    if kind == "public":
        good = target.startswith("grantd/") or (not quoted and target[:-2] in C_LIBRARY)
        return None if good else "public headers include only the C library"
    if not quoted or room not in LEVEL:
        return None
    if target.endswith("_int.h") and own != room:
        return f"{target} is private to room {room}"
    if kind == "program" and own in PROGRAMS and not {room, target} & PROGRAMS[own]:
        return f"{own} may not use room {room}"
    if kind != "core" or room == own:
        return None
    if own not in LEVEL:
        return f"room {own} is on no floor: add it to FLOORS"
    if LEVEL[room] >= LEVEL[own]:
        return f"room {own} may not use room {room}: it is not below it"
    return None


def check_deps(tree):
    """deps: includes go only from a room to rooms below it; platforms see nothing but the public headers"""
    out = []
    for name in tree.under(OURS + ("tests/unit/",), (".c", ".h")):
        for number, line in enumerate(tree.lines(name), 1):
            found = re.match(r'\s*#\s*include\s*([<"])([^>"]+)[>"]', line)
            if not found or waived(line):
                continue
            why = complaint(name, found.group(1) == '"', found.group(2))
            if why:
                out.append(f"{name}:{number}: {why}")
    return out


def check_banned(tree):
    """banned: functions that are not used, or only by their keeper"""
    everywhere = re.compile(r"(?<![\w.>])(" + BANNED.replace(" ", "|") + r")\s*\(")
    tests = re.compile(r"(?<![\w.>])(" + TEST_BANNED.replace(" ", "|") + r")\s*\(")
    kept = [(re.compile(r"(?<![\w.>])(" + names + r")\s*\("), where, why) for names, (where, why) in KEPT.items()]
    out = []
    for name in tree.under(OURS + ("tests/",), (".c", ".h")):
        raw = tree.lines(name)
        for number, line in enumerate(bare(tree.text(name)).split("\n"), 1):
            if waived(raw[number - 1]):
                continue
            if name.startswith("tests/"):
                out += [f"{name}:{number}: {hit} is banned" for hit in tests.findall(line)]
                continue
            out += [f"{name}:{number}: {hit} is banned" for hit in everywhere.findall(line)]
            for pattern, where, why in kept:
                if not name.startswith(where):
                    out += [f"{name}:{number}: {hit}: {why}" for hit in pattern.findall(line)]
            found = MEMCMP.search(line)
            if found and (name.startswith("core/crypto/") or TELLING.search(found.group(0))):
                out.append(f"{name}:{number}: memcmp where secrets are near: use gd_same_bytes")
    return out


def check_sql(tree):
    """sql: the statements stay within the subset that the second engine runs too"""
    script = tree.path("tools/check/sql")
    if not os.access(script, os.X_OK):
        return ["tools/check/sql is missing or not executable"]
    done = subprocess.run([script], cwd=tree.root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    text = done.stdout.decode("utf-8", "replace").strip()
    return [] if done.returncode == 0 else (text.split("\n") or ["tools/check/sql failed"])
