// Node, standard library only. node client.js SOCKET GRANT
const lines = require("readline").createInterface(require("net").connect(process.argv[2]).on("connect", function () {
  for (const [id, method, params] of [[1, "grant.list", {}], [2, "grant.token", { grant: process.argv[3] }]])
    this.write(JSON.stringify({ jsonrpc: "2.0", id, method, params }) + "\n");
}));
const got = {};
lines.on("line", line => {
  const { id, result } = JSON.parse(line);
  got[id] = id === 1 ? result.grants.length + " grants" : result.token_type;
  if (got[1] && got[2]) { console.log(got[1] + "\n" + got[2]); process.exit(0); }
});
