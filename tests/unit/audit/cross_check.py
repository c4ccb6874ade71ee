#!/usr/bin/env python3
"""Checks a log with nothing of ours: hashes, chain, RFC 6962 roots and, through openssl, the signatures."""
import base64, hashlib, json, os, re, subprocess, sys, tempfile

TAIL = re.compile(rb',"hash":"([0-9a-f]{64})"}$')


def root(leaves):
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return hashlib.sha256(b"\1" + root(leaves[:k]) + root(leaves[k:])).digest()


def check_signature(folder, note, vkey):
    text, signatures = note.split("\n\n")
    name, key_hash, key = vkey.split("+")
    key = base64.b64decode(key)
    assert key[0] == 1 and hashlib.sha256(name.encode() + b"\n" + key).hexdigest()[:8] == key_hash
    dash, signer, signature = signatures.rstrip("\n").split(" ")
    signature = base64.b64decode(signature)
    assert dash == "\u2014" and signer == name and signature[:4].hex() == key_hash
    der = bytes.fromhex("302a300506032b6570032100") + key[1:]
    paths = [os.path.join(folder, n) for n in ("key", "sig", "text")]
    for path, data in zip(paths, (der, signature[4:], (text + "\n").encode())):
        with open(path, "wb") as f:
            f.write(data)
    subprocess.run(["openssl", "pkeyutl", "-verify", "-rawin", "-pubin", "-keyform", "DER", "-inkey", paths[0],
                    "-sigfile", paths[1], "-in", paths[2]], check=True, stdout=subprocess.DEVNULL)
    return text.split("\n")


def main():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "audit.log")
        subprocess.run([sys.argv[1], "write", path, "37"], check=True)
        with open(path, "rb") as f:
            lines = f.read().split(b"\n")
        assert lines.pop() == b""
        leaves, head, vkey, checkpoints = [], "00" * 32, None, 0
        for number, line in enumerate(lines, 1):
            record = json.loads(line)
            assert record["seq"] == number and record["prev"] == head, number
            digest = hashlib.sha256(b"\0" + TAIL.sub(b"}", line)).digest()
            assert record["hash"] == digest.hex(), number
            if record["act"] == "audit.begin":
                vkey = record["data"]["key"]
            if record["act"] == "audit.checkpoint":
                origin, size, want = check_signature(folder, record["data"]["note"], vkey)
                assert origin == "grantd/nd-test" and int(size) == len(leaves)
                assert base64.b64decode(want) == root(leaves), number
                checkpoints += 1
            leaves.append(digest)
            head = record["hash"]
        with open(path + ".head", encoding="utf-8") as f:
            origin, size, want = check_signature(folder, f.read(), vkey)
        assert int(size) == len(leaves) - 1 and base64.b64decode(want) == root(leaves[:-1])
        assert checkpoints == 5, checkpoints
        print(f"{len(leaves)} records, {checkpoints} checkpoints: the same hashes, roots and signatures")


main()
