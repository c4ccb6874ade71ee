"""What all checks share: the list of files, C without comments and strings, waivers."""
import os
import re
import subprocess

WAIVER = "check:allow"
TEXT_MAX = 2 * 1024 * 1024


class Tree:
    """The files under test. In the real tree: what git tracks plus what is new and not ignored."""

    def __init__(self, root, files=None):
        self.root = root
        self.files = sorted(files if files is not None else self._listed())
        self._text = {}

    def _listed(self):
        out = subprocess.run(["git", "-C", self.root, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
                             check=True, stdout=subprocess.PIPE).stdout.decode()
        return sorted({name for name in out.split("\0") if name and os.path.isfile(os.path.join(self.root, name))})

    def path(self, name):
        return os.path.join(self.root, name)

    def bytes(self, name):
        with open(self.path(name), "rb") as file:
            return file.read(TEXT_MAX)

    def text(self, name):
        if name not in self._text:
            self._text[name] = self.bytes(name).decode("utf-8", "replace")
        return self._text[name]

    def lines(self, name):
        return self.text(name).split("\n")

    def under(self, folders, endings):
        return [name for name in self.files if name.startswith(tuple(folders)) and name.endswith(tuple(endings))]


def waived(line):
    """A waiver is a comment with a reason on the line itself."""
    return bool(re.search(WAIVER + r"\s+\w", line)) or bool(re.search(WAIVER + r"\s*\*/", line))


def bare(text):
    """C text with comments, strings and characters blanked, so that every line keeps its number."""
    def blank(match):
        found = match.group(0)
        if found.startswith(("/*", "//")):
            return re.sub(r"[^\n]", " ", found)
        return found[0] + re.sub(r"[^\n]", " ", found[1:-1]) + found[-1]
    pattern = r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\''
    return re.sub(pattern, blank, text, flags=re.S)


def run(*command):
    """Output of a program that must succeed."""
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT).stdout.decode(
        "utf-8", "replace")
