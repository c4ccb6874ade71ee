"""The page about tapes is true: its tape runs, and it names every member that a tape may have, and no other.

tapes.py GRANTD_PLUGTEST EXAMPLE.so SOURCE_DIR
"""
import json
import pathlib
import re
import subprocess
import sys
import tempfile

plugtest, platform, source = sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3])
page = (source / "tools/plugtest/README.md").read_text(encoding="utf-8")
code = (source / "tools/plugtest/tape.c").read_text(encoding="utf-8")
wrong = []

tape = re.search(r"(?s)```json\n(.*?)```", page).group(1)
json.loads(tape)
with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
    file.write(tape)
    file.flush()
    done = subprocess.run([plugtest, "--partial", platform, file.name], stdout=subprocess.PIPE, text=True, check=False)
if done.returncode or "\nok  " not in "\n" + done.stdout:
    wrong.append(f"its tape: {done.returncode} {done.stdout}")

for array, heading in (("members", "What goes in"), ("expected", "What must come out")):
    known = set(re.findall(r'"(\w+)"', re.search(rf"(?s){array}\[\] = \{{(.*?)\}};", code).group(1)))
    if len(known) < 10:
        wrong.append(f"tape.c: {array} is not found")
    table = page.split("## " + heading)[1].split("\n## ")[0]
    named = {word for row in re.findall(r"(?m)^\| (`[^|]*) \|", table) for word in re.findall(r"`(\w+)`", row)}
    known -= {"expect"} if array == "members" else set()
    wrong += [f"{heading}: {word} is missing or made up" for word in sorted(known ^ named)]

print("\n".join(wrong) or "the page about tapes is true")
sys.exit(1 if wrong else 0)
