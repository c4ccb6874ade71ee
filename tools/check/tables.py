"""Checks of the tables: reason words, maxima, and that no word is said in code that the table does not know."""
import re

from common import bare, waived

ACTS = {"OK", "USAGE", "NOTFOUND", "DENIED", "PERSON", "LATER", "DAEMON"}
ROW = re.compile(r'^GD_REASON\((\w+),\s*(\w+),\s*"((?:[^"\\]|\\.)*)",\s*"((?:[^"\\]|\\.)*)"\)\s*$')
CODE = ("core/", "platforms/", "tools/")


def rows(tree):
    for number, line in enumerate(tree.lines("core/base/reasons.def"), 1):
        if line.startswith("GD_REASON"):
            yield number, line, ROW.match(line)


def check_reasons(tree):
    """reasons: every reason word is defined once, explained and used"""
    where, out, known = "core/base/reasons.def", [], {}
    for number, line, row in rows(tree):
        if not row:
            out.append(f"{where}:{number}: not GD_REASON(WORD, WHO, \"meaning.\", \"remedy.\")")
            continue
        word, act, meaning, remedy = row.groups()
        if word in known:
            out.append(f"{where}:{number}: {word} is already on line {known[word]}")
        known[word] = number
        if act not in ACTS:
            out.append(f"{where}:{number}: {act} is none of {' '.join(sorted(ACTS))}")
        if not re.fullmatch(r"[A-Z][A-Z0-9_]+", word):
            out.append(f"{where}:{number}: a word is made of capitals, digits and underscores")
        if not meaning.endswith((".", "!", "?")) or not remedy.endswith((".", "!", "?")):
            out.append(f"{where}:{number}: meaning and remedy are sentences")
    texts = {name: tree.text(name) for name in tree.under(CODE, (".c", ".h")) if name != where}
    used = set()
    for name, text in texts.items():
        for number, line in enumerate(bare(text).split("\n"), 1):
            for word in re.findall(r"\bGD_R_([A-Z0-9][A-Z0-9_]*)\b", line):
                used.add(word)
                if word not in known and word != "_COUNT":
                    out.append(f"{name}:{number}: GD_R_{word} is not in {where}")
    # In quotes of its own, or within a longer text (JSON, SQL).
    said = set(re.findall(r"""["'\\]([A-Z][A-Z0-9_]+)["'\\]""", "\n".join(texts.values())))
    plain = set(re.findall(r"\b([A-Z][A-Z0-9_]{3,})\b", "\n".join(bare(text) for text in texts.values())))
    for word, number in known.items():
        if word not in used and word not in said and word not in plain and not waived(tree.lines(where)[number - 1]):
            out.append(f"{where}:{number}: {word} is used nowhere")
    return out


def check_limits(tree):
    """limits: every maximum has one home and a use"""
    where = "core/base/limits.h"
    names = {}
    for number, line in enumerate(tree.lines(where), 1):
        found = re.match(r"#define\s+(GD_\w+)\s+\S", line)
        if found:
            names[found.group(1)] = number
    text = "\n".join(bare(tree.text(name)) for name in tree.under(CODE + ("tests/",), (".c", ".h")) if name != where)
    used = set(re.findall(r"\bGD_\w+\b", text)) | set(re.findall(r"\bGD_\w+\b", "\n".join(
        re.sub(r"#define\s+GD_\w+", "", line) for line in tree.lines(where))))
    return [f"{where}:{number}: {name} limits nothing" for name, number in names.items() if name not in used]


def check_shown(tree):
    """shown: a refusal that no test provokes is a promise only"""
    known = [row.group(1) for _, _, row in rows(tree) if row]
    texts = "\n".join(tree.text(name) for name in tree.under(("tests/",), (
        ".c", ".h", ".inc", ".py", ".json", ".txt", ".sh", ".js", ".go", ".yaml", ".cmake")))
    named = set(re.findall(r"\b(?:GD_R_)?([A-Z][A-Z0-9_]+)\b", texts))
    missing = [word for word in known if word not in named]
    return [f"core/base/reasons.def: {word} is named by no test" for word in missing]
