#!/usr/bin/env python3
"""readme.py GRANTD PLATFORM_DIR README...: what the reference page of each platform tells people to write into grantd.yaml
must be a good configuration. The first yaml block is taken as it stands; the secret files that it names are made here."""
import os
import re
import subprocess
import sys
import tempfile

grantd, platforms, *pages = sys.argv[1:]
bad = 0
for page in pages:
    with open(page, encoding="utf-8") as file:
        block = re.search(r"^```yaml\n(.*?)^```", file.read(), re.S | re.M)
    name = os.path.basename(os.path.dirname(page))
    if not block:
        print(f"{name}: its page shows no configuration")
        bad += 1
        continue
    with tempfile.TemporaryDirectory() as folder:
        def secret(found, folder=folder):
            path = os.path.join(folder, os.path.basename(found.group(1)))
            with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="utf-8") as out:
                out.write("secret")
            return f"{{file: {path}}}"
        text = re.sub(r"\{file: ([^}]+)\}", secret, block.group(1))
        path = os.path.join(folder, "grantd.yaml")
        with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o644), "w", encoding="utf-8") as out:
            out.write(f"state_dir: {folder}/state\nplatform_dir: {platforms}\n{text}")
        done = subprocess.run([grantd, "--check", "--own-platforms", "--config", path], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, check=False)
        if done.returncode:
            print(f"{name}: {done.stdout.replace(folder, '.')}")
            bad += 1
sys.exit(1 if bad or not pages else 0)
