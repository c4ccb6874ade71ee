"""The manual is complete and well formed: every method, parameter, example and reason word is in it, every key of the
configuration and every option of the daemon, and every macro is one that mdoc(7) knows, with lists and displays closed.

check.py SOURCE_DIR MAN_DIR
"""
import json
import pathlib
import re
import sys

source, man = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
MACROS = {"Dd", "Dt", "Os", "Sh", "Ss", "Nm", "Nd", "Ar", "Op", "Fl", "Bl", "El", "It", "Bd", "Ed", "Li", "Xr", "Ev", "Sy", "Cm", "Pp", "Pa"}
wrong = []


def plain(text):
    """What a reader sees, without macros and escapes."""
    text = re.sub(r"^\.(\w\w) ?", " ", text, flags=re.M)
    return re.sub(r"\s+", " ", text.replace("\\-", "-").replace("\\&", "").replace("\\(dq", '"').replace("\\e", "\\"))


def must(page, text, part, what):
    if re.sub(r"\s+", " ", part) not in text:
        wrong.append(f"{page}: {what}: {part!r} is missing")


def check_form(page, raw):
    opened = []
    for number, line in enumerate(raw.split("\n"), 1):
        if re.search(r"[^\x09\x20-\x7e]", line) and not line.isascii():
            continue  # UTF-8 in text is fine
        if not line.startswith("."):
            continue
        if line.startswith('.\\"'):
            continue
        macro = line[1:3]
        if macro not in MACROS:
            wrong.append(f"{page}:{number}: {line!r} is no macro")
        if macro in ("Bl", "Bd"):
            opened.append(macro)
        if macro in ("El", "Ed") and (not opened or opened.pop() != {"El": "Bl", "Ed": "Bd"}[macro]):
            wrong.append(f"{page}:{number}: {line} closes nothing")
    if opened:
        wrong.append(f"{page}: {opened} is left open")


raw = (man / "grantctl.1").read_text(encoding="utf-8")
check_form("grantctl.1", raw)
text = plain(raw)
files = sorted(p for p in (source / "core/rpc/schema").glob("*.json") if p.stem != "types")
if len(files) < 30:
    wrong.append("there are hardly any schemas")
for path in files:
    schema = json.loads(path.read_text(encoding="utf-8"))
    noun, verb = schema["method"].split(".")
    if f".Ss {noun} {verb}\n" not in raw:
        wrong.append(f"grantctl.1: no section {noun} {verb}")
        continue
    own = plain(raw.split(f".Ss {noun} {verb}\n")[1].split("\n.Ss ")[0].split("\n.Sh ")[0])
    must("grantctl.1", own, schema["summary"], schema["method"])
    for example in schema["examples"]:
        must("grantctl.1", own, example, schema["method"])
    for name, param in schema["params"].items():
        must("grantctl.1", own, "Fl Fl " + param.get("flag", name).replace("_", "-"), schema["method"])
        must("grantctl.1", own, param["help"], schema["method"])

raw = (man / "grantd-reasons.7").read_text(encoding="utf-8")
check_form("grantd-reasons.7", raw)
text = plain(raw)
row = re.compile(r'^GD_REASON\((\w+),\s*(\w+),\s*"((?:[^"\\]|\\.)*)",\s*"((?:[^"\\]|\\.)*)"\)', re.M)
rows = row.findall((source / "core/base/reasons.def").read_text(encoding="utf-8"))
if len(rows) < 50:
    wrong.append("there are hardly any reason words")
for word, _, meaning, remedy in rows:
    if f".It Sy {word}\n" not in raw:
        wrong.append(f"grantd-reasons.7: {word} is missing")
    for sentence in (meaning, remedy):
        must("grantd-reasons.7", text, sentence.replace('\\"', '"').replace("\\\\", "\\"), word)

# The pages that are written by hand name every key and every option, and none that there is not.
raw = (source / "tools/docgen/grantd.yaml.5").read_text(encoding="utf-8")
check_form("grantd.yaml.5", raw)
keys = set()
for path in (source / "core/config").glob("*.c"):
    for keys_of in re.findall(r"static const struct key \w+\[\] = \{(.*?)\n\};", path.read_text(encoding="utf-8"), re.S):
        keys |= set(re.findall(r'\{ "(\w+)",', keys_of))
named = {word for line in re.findall(r"^\.(?:It )?Cm (.*)", raw, re.M) for word in re.findall(r"[a-z_]{2,}", line)}
named |= set(re.findall(r"^\.Ss ([a-z_]+)$", raw, re.M))
if len(keys) < 60:
    wrong.append("there are hardly any keys of the configuration")
wrong += [f"grantd.yaml.5: {key} is missing" for key in sorted(keys - named)]
wrong += [f"grantd.yaml.5: there is no {key}" for key in sorted(named - keys - {"yes", "no"})]

raw = (source / "tools/docgen/grantd.8").read_text(encoding="utf-8")
check_form("grantd.8", raw)
taken = set(re.findall(r'\{ "([\w-]+)", (?:required|no)_argument', (source / "core/daemon/main.c").read_text(encoding="utf-8")))
named = {word.replace("\\-", "-") for word in re.findall(r"Fl Fl ([\w\\-]+)", raw)}
if len(taken) < 10:
    wrong.append("there are hardly any options of the daemon")
wrong += [f"grantd.8: --{word} is missing or made up" for word in sorted(taken ^ named)]

print("\n".join(wrong) or f"complete: {len(files)} methods, {len(rows)} reason words")
sys.exit(1 if wrong else 0)
