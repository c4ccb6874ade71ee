/* grant/schema.c - the tables of the two databases. Append only: a migration that shipped is never edited.
 * Every key begins with workspace. Times are Unix milliseconds; ids are made by us (base/id.h). */
#include "grant/broker.h"
#include "node/node.h"

static const char *const spine[] = {
    "CREATE TABLE meta (name text NOT NULL PRIMARY KEY, value text NOT NULL)",

    "CREATE TABLE clients (workspace text NOT NULL, id text NOT NULL, name text NOT NULL, email text, locale "
    "text,"
    " state text NOT NULL, created_at bigint NOT NULL, updated_at bigint NOT NULL, PRIMARY KEY (workspace, "
    "id))",

    "CREATE TABLE requests (workspace text NOT NULL, id text NOT NULL, client_id text NOT NULL, state text "
    "NOT NULL,"
    " message text, confirm bigint NOT NULL, created_at bigint NOT NULL, expires_at bigint NOT NULL,"
    " PRIMARY KEY (workspace, id))",
    "CREATE INDEX requests_by_client ON requests (workspace, client_id)",

    "CREATE TABLE items (workspace text NOT NULL, id text NOT NULL, request_id text NOT NULL, position "
    "bigint NOT NULL,"
    " app text NOT NULL, role text, mode text, asset text, scope text, expect_account text, state text NOT "
    "NULL,"
    " flow_id text, reason text, reason_text text, steps text, next_look_at bigint NOT NULL,"
    " updated_at bigint NOT NULL, PRIMARY KEY (workspace, id))",
    "CREATE INDEX items_by_request ON items (workspace, request_id, position)",
    "CREATE INDEX items_by_look ON items (workspace, state, next_look_at)",

    /* hash: HMAC of the secret under the lookup key; the secret itself is never stored. */
    "CREATE TABLE links (workspace text NOT NULL, id text NOT NULL, request_id text NOT NULL, hash bytea NOT "
    "NULL,"
    " created_at bigint NOT NULL, expires_at bigint NOT NULL, ended_at bigint, PRIMARY KEY (workspace, id))",
    "CREATE INDEX links_by_id ON links (id)",

    /* state_hash and session_hash: HMACs; sealed: verifier and nonce. status: pending, exchanging, waiting,
       done, failed, left (no item goes on with it: what it has opened is to be closed). */
    "CREATE TABLE flows (workspace text NOT NULL, id text NOT NULL, link_id text NOT NULL, request_id text "
    "NOT NULL,"
    " client_id text NOT NULL, app text NOT NULL, context text NOT NULL, state_hash bytea NOT NULL,"
    " session_hash bytea NOT NULL, sealed bytea NOT NULL, items text NOT NULL, notes text, status text NOT "
    "NULL,"
    " outcome text, reason text, reason_text text, created_at bigint NOT NULL, expires_at bigint NOT NULL,"
    " PRIMARY KEY (workspace, id))",
    "CREATE INDEX flows_by_state ON flows (state_hash)",
    "CREATE INDEX flows_by_id ON flows (id)",

    "CREATE TABLE credentials (workspace text NOT NULL, id text NOT NULL, client_id text NOT NULL, app text "
    "NOT NULL,"
    " account_id text, account_name text, gen bigint NOT NULL, status text NOT NULL, shape bigint NOT NULL,"
    " retry_class bigint NOT NULL, retry_grace_ms bigint NOT NULL, scope text, current_attempt text,"
    " issued_at bigint NOT NULL, expires_at bigint NOT NULL, refresh_expires_at bigint NOT NULL,"
    " horizon_at bigint NOT NULL, next_at bigint NOT NULL, attempts bigint NOT NULL, reason text, "
    "reason_text text,"
    " lease_owner text, lease_epoch bigint NOT NULL, lease_until bigint NOT NULL, lease_attempt text,"
    " created_at bigint NOT NULL, refreshed_at bigint NOT NULL, ended_at bigint, PRIMARY KEY (workspace, "
    "id))",
    "CREATE INDEX credentials_by_due ON credentials (workspace, next_at)",
    "CREATE INDEX credentials_by_client ON credentials (workspace, client_id)",

    /* status: candidate, current, superseded, rejected. Nothing that a platform answered is ever not
       inserted. */
    "CREATE TABLE token_versions (workspace text NOT NULL, attempt_id text NOT NULL, credential_id text NOT "
    "NULL,"
    " parent_gen bigint NOT NULL, status text NOT NULL, sealed bytea NOT NULL, created_at bigint NOT NULL,"
    " issued_at bigint NOT NULL, expires_at bigint NOT NULL, refresh_expires_at bigint NOT NULL,"
    " PRIMARY KEY (workspace, attempt_id))",
    "CREATE INDEX token_versions_by_credential ON token_versions (workspace, credential_id, parent_gen)",

    /* One that is there is open: it may have been sent. Closed ones are deleted, the audit log tells of them.
     */
    "CREATE TABLE intents (workspace text NOT NULL, attempt_id text NOT NULL, credential_id text NOT NULL,"
    " gen bigint NOT NULL, epoch bigint NOT NULL, node text NOT NULL, deadline bigint NOT NULL,"
    " created_at bigint NOT NULL, PRIMARY KEY (workspace, attempt_id))",
    "CREATE INDEX intents_by_credential ON intents (workspace, credential_id)",

    "CREATE TABLE grants (workspace text NOT NULL, id text NOT NULL, client_id text NOT NULL, credential_id "
    "text,"
    " request_id text, item_id text, app text NOT NULL, asset_id text, asset_kind text, asset_name text,"
    " role_asked text, role_granted text, role_observed text, lifecycle text NOT NULL, native text NOT NULL,"
    " observed text, created_at bigint NOT NULL, verified_at bigint, ended_at bigint, reason text, "
    "reason_text text,"
    " PRIMARY KEY (workspace, id))",
    "CREATE INDEX grants_by_credential ON grants (workspace, credential_id)",
    "CREATE INDEX grants_by_client ON grants (workspace, client_id)",

    /* outcome: open, closed, gone, manual, failed. */
    "CREATE TABLE surfaces (workspace text NOT NULL, id text NOT NULL, grant_id text NOT NULL, kind text NOT "
    "NULL,"
    " ref text, outcome text NOT NULL, note text, changed_at bigint NOT NULL, PRIMARY KEY (workspace, id))",
    "CREATE INDEX surfaces_by_grant ON surfaces (workspace, grant_id)",

    "CREATE TABLE events (workspace text NOT NULL, id text NOT NULL, at bigint NOT NULL, type text NOT NULL,"
    " subject text NOT NULL, data text, PRIMARY KEY (workspace, id))",
    NULL,
};

/* What native access needs: the agency's own identities, what it said about an item, windows, looks. */
static const char *const platforms[] = {
    /* params: what the agency said about it; problems: JSON list of assets that were not granted, and why. */
    "ALTER TABLE items ADD COLUMN params text",
    "ALTER TABLE items ADD COLUMN problems text",

    /* credential_id: what its consent yielded, once that is durable. */
    "ALTER TABLE flows ADD COLUMN credential_id text",
    "CREATE INDEX flows_by_credential ON flows (workspace, credential_id)",
    "CREATE INDEX flows_by_request ON flows (workspace, request_id)",

    /* starts_at and ends_at: the window at the platform; look_at: when the scheduler looks next (0: not);
       looks: failed ones in a row; warnings: JSON object word -> sentence. */
    /* account_id: who approved, also when the token was not kept. */
    "ALTER TABLE grants ADD COLUMN account_id text",
    "ALTER TABLE grants ADD COLUMN mode text",
    "ALTER TABLE grants ADD COLUMN params text",
    "ALTER TABLE grants ADD COLUMN asset_parent text",
    "ALTER TABLE grants ADD COLUMN starts_at bigint NOT NULL DEFAULT 0",
    "ALTER TABLE grants ADD COLUMN ends_at bigint NOT NULL DEFAULT 0",
    "ALTER TABLE grants ADD COLUMN look_at bigint NOT NULL DEFAULT 0",
    "ALTER TABLE grants ADD COLUMN looks bigint NOT NULL DEFAULT 0",
    "ALTER TABLE grants ADD COLUMN warnings text",
    "CREATE INDEX grants_by_look ON grants (workspace, look_at)",

    /* client_id: a client of state 'hub' that stands for the agency itself: its key, links and credentials.
     */
    "CREATE TABLE hubs (workspace text NOT NULL, id text NOT NULL, client_id text, credential_id text, "
    "observed text,"
    " verified_at bigint, look_at bigint NOT NULL, looks bigint NOT NULL, reason text, reason_text text,"
    " warnings text, PRIMARY KEY (workspace, id))",
    NULL,
};

/* Codes that are mailed to a client, and the browsers that typed one. */
static const char *const codes[] = {
    /* One row a request. hash and asked_by: HMACs, NULL when no code is to be typed; sent1 to sent3: when the
       last three went out, newest first; tries: since the last code that was right. */
    "CREATE TABLE codes (workspace text NOT NULL, request_id text NOT NULL, client_id text NOT NULL, hash "
    "bytea,"
    " asked_by bytea, expires_at bigint NOT NULL, sent1 bigint NOT NULL, sent2 bigint NOT NULL,"
    " sent3 bigint NOT NULL, tries bigint NOT NULL, locked_until bigint NOT NULL,"
    " PRIMARY KEY (workspace, request_id))",
    "CREATE TABLE code_sessions (workspace text NOT NULL, request_id text NOT NULL, session_hash bytea NOT "
    "NULL,"
    " client_id text NOT NULL, opened_at bigint NOT NULL, expires_at bigint NOT NULL,"
    " PRIMARY KEY (workspace, request_id, session_hash))",
    NULL,
};

/* What is looked up when a grant ends: who else stands on the same access. */
static const char *const ends[] = {
    "CREATE INDEX grants_by_asset ON grants (workspace, asset_id)",
    NULL,
};

/* Several nodes. worker: who of them is at it, see node.h; a row of one that is gone is taken over. */
static const char *const workers[] = {
    "ALTER TABLE flows ADD COLUMN worker text",
    "ALTER TABLE grants ADD COLUMN worker text",
    "ALTER TABLE clients ADD COLUMN worker text",
    NULL,
};

/* What a platform reported in the runs of a flow, as JSON: {"assets":[...],"surfaces":[...]}. */
static const char *const parts[] = {
    "CREATE TABLE flow_parts (workspace text NOT NULL, flow_id text NOT NULL, position bigint NOT NULL,"
    " part text NOT NULL, PRIMARY KEY (workspace, flow_id, position))",
    NULL,
};

/* ordered: what was ordered with the end of a grant, sealed; until that end. */
static const char *const orders[] = {
    "ALTER TABLE grants ADD COLUMN ordered bytea",
    NULL,
};

/* What a start looks for among all flows are the few that were under way. */
static const char *const under_way[] = {
    "CREATE INDEX flows_by_status ON flows (status)",
    NULL,
};

/* Events in the order in which they can be seen, the same for all nodes: see core/event. */
static const char *const positions[] = {
    "CREATE TABLE event_heads (workspace text NOT NULL PRIMARY KEY, n bigint NOT NULL)",
    "ALTER TABLE events ADD COLUMN pos bigint",
    "UPDATE events SET pos = t.k FROM (SELECT e.workspace AS w, e.id AS i, row_number() OVER"
    " (PARTITION BY e.workspace ORDER BY e.id) AS k FROM events e) AS t"
    " WHERE events.workspace = t.w AND events.id = t.i",
    "CREATE INDEX events_by_pos ON events (workspace, pos)",
    NULL,
};

/* closing_until: by the store's clock, how long something that is ending, or a flow that was left, may be
   about to be closed at the platform: what begins anew waits until then (meet.c); 0: it is not, or will be
   tried again later. */
static const char *const closings[] = {
    "ALTER TABLE grants ADD COLUMN closing_until bigint NOT NULL DEFAULT 0",
    "ALTER TABLE flows ADD COLUMN closing_until bigint NOT NULL DEFAULT 0",
    NULL,
};

const struct gd_migration gd_broker_migrations[] = {
    { .name = "spine", .statements = spine },           { .name = "platforms", .statements = platforms },
    { .name = "codes", .statements = codes },           { .name = "ends", .statements = ends },
    { .name = "nodes", .statements = gd_nodes_tables }, { .name = "workers", .statements = workers },
    { .name = "parts", .statements = parts },           { .name = "orders", .statements = orders },
    { .name = "under_way", .statements = under_way },   { .name = "positions", .statements = positions },
    { .name = "shown", .statements = gd_nodes_shown },  { .name = "about", .statements = gd_nodes_about },
    { .name = "eras", .statements = gd_nodes_eras },    { .name = "closings", .statements = closings },
};
const size_t gd_broker_nmigrations = sizeof gd_broker_migrations / sizeof *gd_broker_migrations;

/* The keyring lives in a database of its own, with a retention of its own: a backup of the data is worth
 * nothing without it, and erasing a client is deleting its key here. meta: see root.c. kek: the name of the
 * KEK that it is wrapped by; "" of a client that is erased. A keyring whose first step is "keys" is of before
 * there was a root; no release made one, and it is refused (STORE_FOREIGN). */
static const char *const keys[] = {
    "CREATE TABLE meta (name text NOT NULL PRIMARY KEY, value text NOT NULL)",
    "CREATE TABLE data_keys (workspace text NOT NULL, client_id text NOT NULL, id text NOT NULL, state text "
    "NOT NULL,"
    " kek text NOT NULL, wrapped bytea NOT NULL, created_at bigint NOT NULL,"
    " PRIMARY KEY (workspace, client_id, id))",
    "CREATE INDEX data_keys_by_kek ON data_keys (kek)",
    NULL,
};

const struct gd_migration gd_keys_migrations[] = {
    { .name = "keyring", .statements = keys },
};
const size_t gd_keys_nmigrations = sizeof gd_keys_migrations / sizeof *gd_keys_migrations;
