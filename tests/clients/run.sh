#!/bin/sh
# Other people's programs against the socket, with nothing of ours installed: Python, Node, Go, each its standard
# library only, and curl for the same objects by HTTP. run.sh SOCKET GRANT; ends with 0 only if all of them ran and got
# what they asked for.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
socket=$1 grant=$2
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

expect() { # NAME: two lines on standard input, "N grants" and "Bearer"
    name=$1
    cat >"$folder/$name"
    if ! grep -Eqx '[1-9][0-9]* grants' "$folder/$name" || ! grep -qx 'Bearer' "$folder/$name"; then
        echo "$name did not get its answers:" >&2
        cat "$folder/$name" >&2
        exit 1
    fi
    echo "$name: ok"
}

for program in python3 node go curl; do
    command -v $program >/dev/null || { echo "$program is not installed; tools/setup test installs it" >&2; exit 1; }
done
python3 "$here/client.py" "$socket" "$grant" 2>&1 | expect python
node "$here/client.js" "$socket" "$grant" 2>&1 | expect node
cp "$here/client.go" "$folder/client.go"
(cd "$folder" && GO111MODULE=off GOFLAGS= GOCACHE="${GOCACHE:-$folder/cache}" HOME="$folder" go build -o client client.go)
"$folder/client" "$socket" "$grant" 2>&1 | expect go
post() { curl -sS --fail --unix-socket "$socket" http://grantd/ -d "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"$1\",\"params\":{$2}}"; }
{
    post grant.list "" | grep -q '"grants":\[{' && echo "1 grants"
    post grant.token "\"grant\":\"$grant\"" | grep -q '"token_type":"Bearer"' && echo Bearer
} 2>&1 | expect curl
