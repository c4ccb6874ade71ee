// Go, standard library only. go run client.go SOCKET GRANT
package main

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
)

type object = map[string]any

func main() {
	peer, err := net.Dial("unix", os.Args[1])
	if err != nil {
		panic(err)
	}
	send, receive := json.NewEncoder(peer), json.NewDecoder(peer)
	call := func(method string, params object) (answer struct{ Result object }) {
		send.Encode(object{"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
		receive.Decode(&answer)
		return
	}
	fmt.Println(len(call("grant.list", object{}).Result["grants"].([]any)), "grants")
	fmt.Println(call("grant.token", object{"grant": os.Args[2]}).Result["token_type"])
}
