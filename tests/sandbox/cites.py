#!/usr/bin/env python3
"""Each check of the sandbox says where it comes from: cites.py FOLDER
A function of a stand-in that refuses something names a section of its platform's facts, or [assumed], in the comment
above it or at the refusal; and it names no section that these facts do not have."""
import pathlib
import re
import sys

TIKTOK = {"0.4", "5.10", "7.10", "7.11", *(f"{a}.{b}" for a, n in ((1, 4), (2, 9), (3, 2), (4, 7), (5, 9), (7, 9))
                                             for b in range(1, n + 1))}
LINKEDIN = {"0.1", *(f"1.{b}" for b in range(1, 8))}
SHOPIFY = {"0.1", *(f"2.{b}" for b in range(1, 8)), *(f"2.2.{b}" for b in range(1, 9))}
META = {"0.1", *(f"A{b}" for b in range(1, 8))}
GOOGLE = {"0.1", *(f"B{b}" for b in range(1, 8))}
SECTIONS = {"tiktok": TIKTOK, "meta": META, "google": GOOGLE, "linkedin": LINKEDIN, "shopify": SHOPIFY}

REFUSAL = re.compile(r"\b(tiktok_fail|meta_(?:error|absent)|google_fail|google_failure|google_oauth_fail|google_bad_request|"
                     r"linkedin_(?:error|invalid)|refuse\w*|not_found|token_fail)\s*\(")
CITE = re.compile(r"(?<![\w./\"-])(?!\d\.0)([AB][1-9]|\d\.\d{1,2}(?:\.\d)?)(?![\w.]*\d)(?!\.\d)\b")
ELSE = re.compile(r"\[?assumed\]?|open question|open \(?\d+")
FUNCTION = re.compile(r"((?:^/\*(?:[^*]|\*(?!/))*\*/\n)?)^((?:static |bool |void |const |json_t |int |int64_t |char )[^\n;{=]*\([^;{]*\))"
                      r"\n\{\n(.*?)^\}\n", re.S | re.M)
COMMENT = re.compile(r"/\*(?:[^*]|\*(?!/))*\*/", re.S)


def cites(text):
    return any(CITE.search(comment) or ELSE.search(comment) for comment in COMMENT.findall(text))


def unfounded(head, above, body):
    """Lines of a function that refuse something and do not say why."""
    if cites(above):
        return
    lines = body.splitlines()
    for i, line in enumerate(lines):
        if REFUSAL.search(line) and not cites("\n".join(lines[max(0, i - 3):i + 3])):
            yield head.splitlines()[0], line.strip()


def main(folder):
    checks, wrong = 0, []
    for path in sorted(pathlib.Path(folder).glob("*.c")):
        sections = SECTIONS.get(path.stem.partition("_")[0])
        if not sections:
            continue
        text = path.read_text(encoding="utf-8")
        for comment in COMMENT.findall(text):
            wrong += [f"{path.name}: its facts have no section {c}" for c in CITE.findall(comment) if c not in sections]
        if "struct sb_req" not in text and cites(COMMENT.match(text).group()):
            continue  # a parser of a language
        for above, head, body in FUNCTION.findall(text):
            checks += bool(REFUSAL.search(body))
            wrong += [f"{path.name}: {name}: {line}" for name, line in unfounded(head, above, body)]
    print("\n".join(wrong) or f"{checks} functions that check something say where it comes from")
    return 1 if wrong or checks < 100 else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
