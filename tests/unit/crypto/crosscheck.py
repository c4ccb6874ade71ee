#!/usr/bin/env python3
"""Opens and makes sealed records with code that shares nothing with ours: HKDF from the standard library's HMAC,
AES-GCM from python3-cryptography. Usage: crosscheck.py path/to/vectors"""
import hashlib
import hmac
import json
import os
import struct
import subprocess
import sys

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM


def hkdf(md, key, salt, info, n):
    size = hashlib.new(md).digest_size
    prk = hmac.new(salt or bytes(size), key, md).digest()
    out = block = b""
    counter = 1
    while len(out) < n:
        block = hmac.new(prk, block + info + bytes([counter]), md).digest()
        out += block
        counter += 1
    return out[:n]


def canonical(*fields):
    out = b""
    for f in fields:
        if isinstance(f, int):
            f = struct.pack(">q", f)
        elif isinstance(f, str):
            f = f.encode()
        out += struct.pack(">I", len(f)) + f
    return out


def aad_of(name, dek_id):
    return canonical("grantd.tok", 1, name["workspace"], name["client"], name["owner"], name["gen"], name["attempt"],
                     name["column"], dek_id, name["created_at"])


def keys_of(dek, dek_id, salt):
    okm = hkdf("sha512", dek, salt, b"grantd/rec/v1" + b"\x01" + dek_id, 76)
    return okm[:32], okm[32:44], okm[44:]


def open_record(o):
    rec, dek, dek_id = (bytes.fromhex(o[k]) for k in ("record", "dek", "dek_id"))
    assert rec[:4] == b"GS\x01\x01" and rec[4:20] == dek_id, "head"
    key, nonce, commit = keys_of(dek, dek_id, rec[20:52])
    assert rec[52:84] == commit, "commitment"
    return AESGCM(key).decrypt(nonce, rec[84:], aad_of(o["name"], dek_id))


def seal_record(plain, dek, dek_id, name):
    salt = os.urandom(32)
    key, nonce, commit = keys_of(dek, dek_id, salt)
    return b"GS\x01\x01" + dek_id + salt + commit + AESGCM(key).encrypt(nonce, plain, aad_of(name, dek_id))


def wrap(kek, kek_id, key_id, key, *name):
    """A key as the keyring keeps it."""
    salt = os.urandom(24)
    okm = hkdf("sha512", hkdf("sha256", kek, b"", b"grantd/wrap/v1", 32), salt, b"grantd/dek/v1" + b"\x01" + key_id, 44)
    sealed = AESGCM(okm[:32]).encrypt(okm[32:], key, canonical(*name, key_id, kek_id, "active"))
    return b"GK\x01\x01" + kek_id + key_id + salt + sealed


def unwrap(kek, kek_id, w, *name):
    """What stands in a wrapped key: its id and itself."""
    assert hkdf("sha256", kek, b"", b"grantd/kek-id/v1", 8).hex() == kek_id, "name of the KEK"
    assert w[:4] == b"GK\x01\x01" and w[4:12].hex() == kek_id and len(w) == 100, "head"
    okm = hkdf("sha512", hkdf("sha256", kek, b"", b"grantd/wrap/v1", 32), w[28:52], b"grantd/dek/v1" + b"\x01" + w[12:28], 44)
    return w[12:28], AESGCM(okm[:32]).decrypt(okm[32:], w[52:], canonical(*name, w[12:28], w[4:12], "active"))


def check_wrapped(o):
    kek, old, name = bytes.fromhex(o["kek"]), bytes.fromhex(o["old"]), ("grantd.dek", o["workspace"], o["client"])
    key = (bytes.fromhex(o["dek_id"]), bytes.fromhex(o["dek"]))
    assert unwrap(old, o["old_id"], bytes.fromhex(o["wrapped"]), *name) == key, "data key"
    assert unwrap(kek, o["kek_id"], bytes.fromhex(o["again"]), *name) == key, "the same under another KEK"
    _, root = unwrap(old, o["old_id"], bytes.fromhex(o["root"]), "grantd.root", "", "")
    derived = lambda purpose: hkdf("sha256", root, b"", b"grantd/%s/v1" % purpose, 32)
    assert derived(b"audit").hex() == o["audit"], "derived key"
    sub = hmac.new(derived(b"lookup"), b"link", "sha256").digest()
    assert hmac.new(sub, b"secret", "sha256").hexdigest() == o["lookup"], "lookup"


def main():
    program = sys.argv[1]
    lines = subprocess.run([program, "make"], check=True, capture_output=True, text=True).stdout.splitlines()
    counts = {"record": 0, "wrapped": 0}
    for line in lines:
        o = json.loads(line)
        counts[o["kind"]] += 1
        if o["kind"] == "wrapped":
            check_wrapped(o)
            continue
        assert open_record(o).hex() == o["plain"], "plain text"
        o["name"]["gen"] += 1
        try:
            open_record(o)
            raise SystemExit("a record opened under another generation")
        except InvalidTag:
            pass
    assert counts == {"record": 50, "wrapped": 10}, counts

    asked, wanted = [], []
    for i in range(50):
        name = {"workspace": "main", "client": "cl%d" % i, "owner": "cr", "gen": i - 5, "attempt": "" if i % 3 else "at",
                "column": "access", "created_at": 1790000000000 + i}
        dek, dek_id, plain = os.urandom(32), os.urandom(16), os.urandom(i * 7)
        rec = bytearray(seal_record(plain, dek, dek_id, name))
        if i % 4 == 3:
            rec[-1] ^= 1
        asked.append(json.dumps({"name": name, "dek": dek.hex(), "dek_id": dek_id.hex(), "record": rec.hex()}))
        wanted.append("SEAL_TAMPERED" if i % 4 == 3 else "=" + plain.hex())
    got = subprocess.run([program, "open"], input="\n".join(asked) + "\n", check=True, capture_output=True,
                         text=True).stdout.splitlines()
    assert got == wanted, [(g, w) for g, w in zip(got, wanted) if g != w][:3]
    print("50 records opened, 50 made, 10 wrapped keys checked")


if __name__ == "__main__":
    main()
