# Python, standard library only. client.py SOCKET GRANT
import json, socket, sys
peer = socket.socket(socket.AF_UNIX); peer.connect(sys.argv[1]); lines = peer.makefile("rw")
call = lambda method, **params: (print(json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}), file=lines, flush=True), json.loads(lines.readline()))[1]
print(len(call("grant.list")["result"]["grants"]), "grants")
print(call("grant.token", grant=sys.argv[2])["result"]["token_type"])
