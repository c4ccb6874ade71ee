"""Checks of what is committed: no path of a developer's machine, no registry, no binaries, clean lock files."""
import json
import os
import re

BINARY_OK = ("tests/fuzz/", "tests/platforms/")
SIZE_MAX = 1024 * 1024
# A machine's own folders, and hosts that packages come from: neither belongs into a repository.
MACHINE = re.compile(r"(?<![\w.])/(?:wo" + r"rk|home/[a-z][\w-]*|root)/[\w.]")
REGISTRY = re.compile(r"https?://[\w.-]*(?:regis" + r"try|artifact" + r"ory|\bpy" + r"pi\b|npm" + r"js|mirr" + r"or)[\w.-]*\.\w+")


def is_text(data):
    return b"\0" not in data


def check_tracked(tree):
    """tracked: no machine path, registry host, binary or huge file among the sources"""
    out = []
    for name in tree.files:
        if os.path.islink(tree.path(name)):
            out.append(f"{name}: a symbolic link; put the file there")
            continue
        size = os.path.getsize(tree.path(name))
        if size > SIZE_MAX:
            out.append(f"{name}: {size} bytes, the limit is {SIZE_MAX}")
            continue
        if not is_text(tree.bytes(name)):
            if not name.startswith(BINARY_OK):
                out.append(f"{name}: a binary file among the sources")
            continue
        for number, line in enumerate(tree.lines(name), 1):
            if MACHINE.search(line):
                out.append(f"{name}:{number}: a path of one machine")
            if REGISTRY.search(line):
                out.append(f"{name}:{number}: names a package registry")
            if line.endswith(("<<<<<<< HEAD", ">>>>>>> HEAD")):
                out.append(f"{name}:{number}: a conflict marker")
    return out


def check_locks(tree):
    """locks: package-lock files pin by integrity and name no place to download from"""
    out = []
    for name in tree.files:
        if name.endswith("package-lock.json"):
            for package, row in json.loads(tree.text(name)).get("packages", {}).items():
                if "resolved" in row:
                    out.append(f"{name}: {package} carries a download address (omit-lockfile-registry-resolved)")
                if package and not row.get("link") and "integrity" not in row:
                    out.append(f"{name}: {package} is not pinned by integrity")
    return out


def check_readme(tree):
    """readme: under 200 lines, and every file of ours that it names is there"""
    if "README.md" not in tree.files:
        return ["README.md is missing"]
    out = []
    lines = tree.lines("README.md")
    if len(lines) > 200:
        out.append(f"README.md: {len(lines)} lines, the limit is 200")
    known = set(tree.files) | {os.path.dirname(name) for name in tree.files}
    for number, line in enumerate(lines, 1):
        for found in re.findall(r"\b((?:tools|core|platforms|include|tests)/[\w./-]*\w)", line):
            folder = found.rstrip("/")
            if folder not in known and not any(name.startswith(folder + "/") for name in tree.files):
                out.append(f"README.md:{number}: {found} does not exist")
    return out
