"""The spool file as the daemon writes it (core/store/spool.c), and the records of refreshes in it (core/grant/record.c)."""
import base64
import json
import os
import struct

TEXTS = ("workspace", "client", "app", "cred", "attempt", "intent", "account_id", "account_name", "scope")
NUMBERS = ("gen", "at", "issued_at", "expires_at", "refresh_expires_at", "horizon_at", "due", "grace", "shape", "retry_class")


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def rewrite(state, change):
    """Every record replaced by what change makes of it; how many came out different."""
    path = os.path.join(state, "spool")
    with open(path, "rb") as file:
        data = file.read()
    out, changed = b"", 0
    while data:
        magic, length = data[:4], struct.unpack("<I", data[4:8])[0]
        assert magic == b"GDS1", magic
        record, data = data[20:20 + length], data[20 + length:]
        new = change(record)
        changed += new != record
        head = magic + struct.pack("<IQ", len(new), len(out))
        out += head + struct.pack("<I", crc32c(head + new)) + new
    with open(path, "wb") as file:
        file.write(out)
    return changed


def as_json(record):
    """A record of bytes in the form of the first releases."""
    assert record[:4] == b"GDV1", record[:4]
    found = dict(zip(NUMBERS, struct.unpack("<10q", record[5:85])))
    found.update({"new": bool(record[4] & 1), "v": 1})
    if record[4] & 2:
        found["rejected"] = True
    at = 85
    for name in (*TEXTS, "sealed"):
        length = struct.unpack("<I", record[at:at + 4])[0]
        block, at = record[at + 4:at + 4 + length], at + 4 + length
        if name == "sealed":
            found[name] = base64.urlsafe_b64encode(block).rstrip(b"=").decode()
        elif length or name != "intent":
            found[name] = block[:-1].decode() if length else None
    assert at == len(record)
    return json.dumps(found, separators=(",", ":"), sort_keys=True).encode()
