#!/usr/bin/env python3
"""expect.py REGEX... -- COMMAND...: the command must fail, and say something that matches each of them."""
import re
import subprocess
import sys

at = sys.argv.index("--")
done = subprocess.run(sys.argv[at + 1:], check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
text = done.stdout.decode(errors="replace")
missing = [one for one in sys.argv[1:at] if not re.search(one, text)]
if done.returncode == 0 or missing or at == 1:
    print(text)
    print(f"exit status {done.returncode}, not said: {missing}")
    sys.exit(1)
