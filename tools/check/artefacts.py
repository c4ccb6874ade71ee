"""Checks of what was built: exported symbols, hardening."""
import glob
import os
import re
import subprocess

from common import run

# A program may export nothing but what the C library lets it replace (memory is wiped when freed).
REPLACED = {"malloc", "free", "calloc", "realloc", "reallocarray", "memalign", "posix_memalign", "aligned_alloc",
            "malloc_usable_size"}
LIBRARIES_OF_PLATFORMS = {"libc.so.6", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"}
PROGRAMS = ("grantd", "grantctl", "grantd-plugtest", "grantd-sandbox")


def is_elf(path):
    with open(path, "rb") as file:
        return file.read(4) == b"\x7fELF"


def defined(path):
    """Names that others can bind to; copies of the C library's own data (stderr@GLIBC) do not count."""
    names = set()
    for line in run("nm", "-D", "--defined-only", path).splitlines():
        found = re.match(r"\S*\s+([A-Za-z])\s+(\S+)", line)
        if found and "@" not in found.group(2):
            names.add(found.group(2))
    return names - {"_init", "_fini", "__bss_start", "_edata", "_end", "data_start", "__data_start", "_IO_stdin_used"}


def hardening(path):
    """What is wrong with an ELF file, as sentences."""
    out = []
    head, dynamic, segments = run("readelf", "-hW", path), run("readelf", "-dW", path), run("readelf", "-lW", path)
    if not re.search(r"Type:\s+DYN", head):
        out.append("not position independent")
    if not re.search(r"BIND_NOW|FLAGS_1.*\bNOW\b", dynamic):
        out.append("not bound at start (-z now)")
    if "GNU_RELRO" not in segments:
        out.append("no RELRO")
    stack = re.search(r"GNU_STACK(.*)", segments)
    if not stack or re.search(r"\bRWE\b", stack.group(1)):
        out.append("executable stack")
    if re.search(r"^\s*LOAD.*\bRWE\b", segments, re.M):
        out.append("a segment both writable and executable")
    for word in ("TEXTREL", "RPATH", "RUNPATH"):
        if f"({word})" in dynamic:
            out.append(f"carries {word}")
    return out


def writable_data(path):
    """Objects of its own that stay writable after start; tables with addresses lie in .data.rel.ro and do not."""
    sections = dict(re.findall(r"^\s*\[\s*(\d+)\]\s+(\.\S+)", run("readelf", "-SW", path), re.M))
    out = []
    for line in run("readelf", "-sW", path).splitlines():
        field = line.split()
        if len(field) == 8 and field[3] in ("OBJECT", "TLS") and sections.get(field[6]) in (
                ".data", ".bss", ".tdata", ".tbss"):
            out.append(field[7])
    return sorted({name for name in out if not name.startswith(("_", "completed."))})


def platform_faults(path):
    out = []
    names = defined(path)
    if names != {"grantd_platform_v1"}:
        out.append(f"exports {sorted(names)} instead of grantd_platform_v1 alone")
    needed = set(re.findall(r"\(NEEDED\).*\[(.*)\]", run("readelf", "-dW", path)))
    if needed - LIBRARIES_OF_PLATFORMS:
        out.append(f"links {sorted(needed - LIBRARIES_OF_PLATFORMS)}")
    writable = writable_data(path)
    if writable:
        out.append(f"has writable data: {writable}")
    return out


def check_artefacts(build):
    """artefacts: one exported symbol a platform, none a program; PIE, RELRO, NOW, nothing writable and executable"""
    out = []
    platforms = [path for path in glob.glob(os.path.join(build, "platforms", "*.so")) if is_elf(path)]
    programs = []
    for folder, _, names in os.walk(build):
        programs += [os.path.join(folder, name) for name in names if name in PROGRAMS]
    programs = [path for path in programs if os.path.isfile(path) and is_elf(path)]
    if not platforms or not any(path.endswith("/grantd") for path in programs):
        out.append(f"{build}: no platforms or no daemon: build first")
    for path in platforms:
        out += [f"{path}: {why}" for why in platform_faults(path) + hardening(path)]
    for path in programs:
        strangers = defined(path) - REPLACED
        out += [f"{path}: {why}" for why in hardening(path)]
        if strangers:
            out.append(f"{path}: exports {sorted(strangers)[:8]}")
    return out


def sanitized(build):
    """A build with sanitizers carries their symbols and is not judged."""
    cache = os.path.join(build, "CMakeCache.txt")
    if not os.path.exists(cache):
        return False
    with open(cache, encoding="utf-8") as file:
        found = re.search(r"^GRANTD_SANITIZE:\w+=(.*)$", file.read(), re.M)
    return bool(found and found.group(1).strip())


def tools_missing():
    return [name for name in ("nm", "readelf") if subprocess.run(["which", name], stdout=subprocess.DEVNULL,
                                                                 check=False).returncode]
