// Storage of the authorization server: a map in memory with expiry. Clients live here too, so that a test can
// register one (with the redirect address that grantd printed) while the server runs.
const rows = new Map(); // "Model:id" -> {payload, until}
const byGrant = new Map(); // grantId -> keys
const pointers = new Map(); // "uid:..." or "code:..." -> id

function living(key) {
  const row = rows.get(key);
  if (!row) return undefined;
  if (row.until && row.until < Date.now()) {
    rows.delete(key);
    return undefined;
  }
  return row.payload;
}

export class Store {
  constructor(model) {
    this.model = model;
  }

  async upsert(id, payload, expiresIn) {
    const key = `${this.model}:${id}`;
    rows.set(key, { payload, until: expiresIn ? Date.now() + expiresIn * 1000 : 0 });
    if (payload.grantId && this.model !== 'Grant') {
      if (!byGrant.has(payload.grantId)) byGrant.set(payload.grantId, new Set());
      byGrant.get(payload.grantId).add(key);
    }
    if (payload.uid) pointers.set(`uid:${this.model}:${payload.uid}`, id);
    if (payload.userCode) pointers.set(`code:${payload.userCode}`, id);
  }

  async find(id) {
    return living(`${this.model}:${id}`);
  }

  async findByUid(uid) {
    return this.find(pointers.get(`uid:${this.model}:${uid}`));
  }

  async findByUserCode(code) {
    return this.find(pointers.get(`code:${code}`));
  }

  async consume(id) {
    const payload = living(`${this.model}:${id}`);
    if (payload) payload.consumed = Math.floor(Date.now() / 1000);
  }

  async destroy(id) {
    rows.delete(`${this.model}:${id}`);
  }

  async revokeByGrantId(grantId) {
    for (const key of byGrant.get(grantId) || []) rows.delete(key);
    byGrant.delete(grantId);
  }
}

export function setClient(client) {
  rows.set(`Client:${client.client_id}`, { payload: client, until: 0 });
}

// What is alive, for a test that wants to know the truth: numbers only, no token leaves by this door.
export function counts() {
  const out = {};
  for (const key of [...rows.keys()]) {
    const payload = living(key);
    if (!payload) continue;
    const model = key.slice(0, key.indexOf(':'));
    out[model] = out[model] || { live: 0, consumed: 0 };
    out[model][payload.consumed ? 'consumed' : 'live'] += 1;
  }
  return out;
}
