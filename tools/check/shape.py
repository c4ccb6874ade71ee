"""Checks of shape: how long functions and files are, how much is private, how headers are commented. A ratchet: the
figures are those of the best C trees of this field, a single place may be waived with a reason."""
import re

from common import bare, waived

FUNCTION_MAX = 100
FUNCTION_MEDIAN = 15
FUNCTION_P90 = 45
FILE_WARN = 700
FILE_MAX = 1000
FILE_P90 = 700
STATIC_SHARE = 0.60
GOTO_PER_KLOC = 3.0
HEADER_COMMENTS = 0.30
OURS = ("core/", "platforms/", "tools/")
NOT_FUNCTIONS = {"if", "for", "while", "switch", "return", "sizeof", "do", "else", "_Static_assert"}


def blank_preprocessor(text):
    return re.sub(r"^[ \t]*#(?:[^\n\\]|\\[^\n]|\\\n)*", lambda m: re.sub(r"[^\n]", " ", m.group(0)), text, flags=re.M)


def functions(text):
    """(name, first line, last line, is static) of every function defined in C text."""
    text = blank_preprocessor(bare(text))
    out, depth, start, at = [], 0, 0, 0
    opened = None
    for at, char in enumerate(text):
        if char == "{":
            if depth == 0:
                opened = (text[start:at], text.count("\n", 0, start + len(text[start:at]) - len(text[start:at].lstrip())) + 1)
            depth += 1
        elif char == "}":
            depth = max(0, depth - 1)
            if depth == 0 and opened:
                head, first = opened
                found = re.search(r"([A-Za-z_]\w*)\s*\((?:[^{}]*)\)\s*(?:__attribute__\s*\(\(.*\)\)\s*)?$", head, re.S)
                name = found.group(1) if found and "=" not in head else None
                if name and name not in NOT_FUNCTIONS:
                    out.append((name, first, text.count("\n", 0, at) + 1, bool(re.search(r"\bstatic\b", head))))
                opened, start = None, at + 1
        elif char == ";" and depth == 0:
            start = at + 1
    return out


def percentile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * share))] if values else 0


def measure(tree):
    """All figures: functions [(name, file, line, lines, static)], files {name: lines}, gotos, lines."""
    found, files, gotos = [], {}, 0
    for name in tree.under(OURS, (".c",)):
        text = tree.text(name)
        files[name] = text.count("\n")
        gotos += len(re.findall(r"\bgoto\b", bare(text)))
        found += [(f, name, first, last - first + 1, private) for f, first, last, private in functions(text)]
    return found, files, gotos


def check_shape(tree):
    """shape: functions and files stay short, most functions are private, gotos are rare"""
    found, files, gotos = measure(tree)
    out = []
    for function, name, first, size, _ in found:
        near = tree.lines(name)[max(0, first - 2):first + 3]
        if size > FUNCTION_MAX and not any(waived(line) for line in near):
            out.append(f"{name}:{first}: {function} has {size} lines, the limit is {FUNCTION_MAX}")
    for name, size in files.items():
        if size > FILE_MAX and not waived(tree.lines(name)[0]):
            out.append(f"{name}:1: {size} lines, the limit is {FILE_MAX}: split it")
    if len(found) < 40:  # too little to speak of a distribution
        return out
    sizes = [size for _, _, _, size, _ in found]
    lines = sum(files.values())
    for what, value, limit in (
            ("the median function", percentile(sizes, 0.5), FUNCTION_MEDIAN),
            ("the p90 function", percentile(sizes, 0.9), FUNCTION_P90),
            ("the p90 file", percentile(list(files.values()), 0.9), FILE_P90),
            ("gotos per 1000 lines:", round(gotos * 1000 / max(1, lines), 1), GOTO_PER_KLOC)):
        if value > limit:
            out.append(f"all of core, platforms and tools: {what} is {value}, the limit is {limit}")
    share = sum(1 for one in found if one[4]) / len(found)
    if share < STATIC_SHARE:
        out.append(f"only {share:.0%} of the functions are static, {STATIC_SHARE:.0%} must be")
    return out


def comment_share(text):
    lines = [line for line in text.split("\n") if line.strip()]
    if not lines:
        return 1.0
    blanked = [line for line in bare(text).split("\n")]
    with_comment = sum(1 for raw, rest in zip(text.split("\n"), blanked) if raw.strip() and raw != rest and "/" in raw
                       or (raw.strip() and not rest.strip()))
    return with_comment / len(lines)


def check_headers(tree):
    """headers: a contract is written down: the public headers and those between rooms say what they promise"""
    names = [n for n in tree.under(("core/", "include/"), (".h",)) if not n.endswith("_int.h")]
    if not names:
        return []
    out = []
    for name in names:
        if not tree.text(name).lstrip().startswith("/*"):
            out.append(f"{name}:1: a file starts with what it is for")
    out += [f"{name}:1: a file starts with what it is for" for name in tree.under(OURS, (".c",))
            if not tree.text(name).lstrip().startswith("/*")]
    share = comment_share("\n".join(tree.text(name) for name in names))
    if share < HEADER_COMMENTS:
        out.append(f"headers: {share:.0%} of the lines carry a comment, {HEADER_COMMENTS:.0%} must")
    return out


def summary(tree):
    found, files, gotos = measure(tree)
    sizes = [one[3] for one in found]
    warn = sum(1 for size in files.values() if size > FILE_WARN)
    return (f"{len(files)} files, {sum(files.values())} lines, {len(found)} functions: median {percentile(sizes, 0.5)}, "
            f"p90 {percentile(sizes, 0.9)}, longest {max(sizes, default=0)}; {gotos} gotos; {warn} files over {FILE_WARN}")
