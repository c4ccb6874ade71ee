#!/usr/bin/env python3
"""Each check of the sandbox says which line it comes from: cites.py FOLDER FACTS
A function of a stand-in that refuses something, or that is called with parameters which were checked for it, cites a line
of its platform's facts in the comment above it or at the refusal: the section and, in quotes, words that stand on
exactly one line of it (4.2 "POST /bc/member/update/"); the file is named in the first comment of the stand-in. So the
lines may move, but not change unseen. Or it says open N, a numbered open question, or [assumed]. FACTS is the folder of the
facts; without it only the form of the citations is looked at."""
import pathlib
import re
import sys

FACTS = {"tiktok": "tiktok.md", "meta": "meta_google.md", "google": "meta_google.md",
         "linkedin": "linkedin_shopify_oauth2.md", "shopify": "linkedin_shopify_oauth2.md"}

REFUSAL = re.compile(r"\b(tiktok_fail|meta_(?:error|absent)|google_fail|google_failure|google_oauth_fail|google_bad_request|"
                     r"linkedin_(?:error|invalid)|refuse\w*|not_found|token_fail|kit_fail|code_error|google_error_info|google_quota|"
                     r"sb_oauth_error|throttled|(?<![.>])errors)\s*\(")
# What is wrong as a word or a sentence, which its caller refuses with.
VERDICT = re.compile(r"^static const char \*\w*(?:wrong|obstacle|_change)\(")
HANDLER = re.compile(r"\(struct sb_req \*r, const json_t \*args, json_t \*\w+\)")
SECTION = r"(?<![\w./\"-])([AB][1-9]|\d(?:\.\d{1,2}){0,2})"
KEY = re.compile(SECTION + r' ("[^"]+"(?:(?:, | and )"[^"]+")*)')
PLAIN = re.compile(r"(?<![\w./\"-])(?!\d\.0)([AB][1-9]|\d\.\d{1,2}(?:\.\d)?)(?![\w.]*\d)(?!\.\d)\b")
ASSUMED = re.compile(r"\bassumed\b")
OPEN = re.compile(r"\bopen \(?(\d+)\b")
FUNCTION = re.compile(r"((?:^/\*(?:[^*]|\*(?!/))*\*/\n)?)^((?:static |bool |void |const |json_t |int |int64_t |char )[^\n;{=]*\([^;{]*\))"
                      r"\n\{\n(.*?)^\}\n", re.S | re.M)
COMMENT = re.compile(r"/\*(?:[^*]|\*(?!/))*\*/", re.S)
HEADING = re.compile(r"#{1,4} (?:(Open questions)|([AB]?\d+(?:\.\d+)*)\.? )")


def sections(path):
    """The lines of each numbered section, without those of the sections below it; "open" are the open questions."""
    found, name = {}, None
    for line in path.read_text(encoding="utf-8").splitlines():
        heading = HEADING.match(line)
        if heading:
            name = "open" if heading[1] else heading[2]
        if name:
            found.setdefault(name, []).append(line)
    return found


def words(comment):
    """What a comment says, as one line."""
    return re.sub(r"\s*\n\s*\*?\s*", " ", comment[2:-2])


def keys(text):
    """(section, words) of each line that the comments of a text cite."""
    for comment in COMMENT.findall(text):
        for section, quoted in KEY.findall(words(comment)):
            for key in re.findall(r'"([^"]+)"', quoted):
                yield section, key


def founded(text):
    said = " ".join(words(comment) for comment in COMMENT.findall(text))
    return any(one.search(said) for one in (KEY, OPEN, ASSUMED))


def unfounded(above, head, body):
    """Lines of a function that refuse something and do not say why."""
    if founded(above):
        return
    lines = body.splitlines()
    for i, line in enumerate(lines):
        if REFUSAL.search(line) and not founded("\n".join(lines[max(0, i - 3):i + 3])):
            yield head.splitlines()[0], line.strip()
    if HANDLER.search(head):
        yield head.splitlines()[0], "its parameters"
    if VERDICT.search(head):
        yield head.splitlines()[0], "what is wrong"


def wrong_cites(path, text, facts):
    """Citations of a stand-in that lead to no line, or to several."""
    first = COMMENT.match(text)
    if "struct sb_req" in text and FACTS[path.stem.partition("_")[0]] not in (first.group() if first else ""):
        yield "its first comment does not name its facts"
    if not facts:
        return
    for section, key in keys(text):
        n = sum(key in line for line in facts.get(section, []))
        if n != 1:
            yield f'{section} "{key}" is on {n} lines'
    for comment in COMMENT.findall(text):
        yield from (f"no section {s}" for s in PLAIN.findall(re.sub(r'"[^"]*"', "", comment)) if s not in facts)
        yield from (f"no open question {n}" for n in OPEN.findall(words(comment))
                    if not any(line.startswith(f"{n}. ") for line in facts.get("open", [])))


def findings(folder, where):
    """What is wrong, how many functions check something, and how many lines they cite."""
    checks = cited = 0
    wrong = []
    for path in sorted(pathlib.Path(folder).glob("*.c")):
        if path.stem.partition("_")[0] not in FACTS:
            continue
        text = path.read_text(encoding="utf-8")
        source = pathlib.Path(where) / FACTS[path.stem.partition("_")[0]]
        wrong += [f"{path.name}: {one}" for one in wrong_cites(path, text, sections(source) if source.exists() else None)]
        cited += len(set(keys(text)))
        if "struct sb_req" not in text and founded(COMMENT.match(text).group()):
            continue  # a parser of a language
        for above, head, body in FUNCTION.findall(text):
            checks += bool(REFUSAL.search(body))
            wrong += [f"{path.name}: {name}: {line}" for name, line in unfounded(above, head, body)]
    return wrong, checks, cited


def main(folder, where):
    wrong, checks, cited = findings(folder, where)
    print("\n".join(wrong) or f"{checks} functions that check something cite {cited} lines"
          + ("" if pathlib.Path(where).is_dir() else "; the facts are not here, so only how they cite was looked at"))
    return 1 if wrong or checks < 100 else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
