// A real authorization server that grantd's authors did not write (npm oidc-provider), on loopback, in memory:
// code + PKCE, refresh token rotation with reuse detection (a spent refresh token that comes again kills the whole
// family), revocation, introspection, PAR, device grant, userinfo. Only the login and consent pages are ours.
//
//   node server.js            prints one line {"event":"ready","port":N,"issuer":"..."} and runs until SIGTERM
//
// Environment: PORT (0), ISSUER (default http://127.0.0.1:PORT; an https issuer needs an origin mapping at the
// caller), CLIENT_ID, CLIENT_SECRET, REDIRECT_URIS (comma separated), AT_TTL, RT_TTL, CODE_TTL (seconds),
// ROTATE (1), AUTH_METHOD (client_secret_basic).
// POST /_ctl/client {client_id, client_secret, redirect_uris, ...} registers or replaces a client;
// GET /_ctl/report tells counts.
import http from 'node:http';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { Provider } from 'oidc-provider';
import { Store, setClient, counts } from './store.js';
import { interactionPage, deviceSources } from './pages.js';

const env = process.env;
const seconds = (name, fallback) => Number(env[name] || fallback);
const seen = {
  code: 0, refresh: 0, refresh_refused: 0, families_killed: 0, revoked: 0, introspected: 0, userinfo: 0, device: 0,
};

function clientOf(given) {
  return {
    grant_types: ['authorization_code', 'refresh_token', 'urn:ietf:params:oauth:grant-type:device_code'],
    response_types: ['code'],
    token_endpoint_auth_method: env.AUTH_METHOD || 'client_secret_basic',
    ...given,
  };
}

function signingKey() {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  return { ...privateKey.export({ format: 'jwk' }), use: 'sig', alg: 'RS256', kid: 'test-1' };
}

function configuration() {
  return {
    adapter: Store,
    jwks: { keys: [signingKey()] },
    cookies: { keys: [randomBytes(32).toString('hex')] },
    claims: { openid: ['sub'], profile: ['name'], email: ['email', 'email_verified'] },
    conformIdTokenClaims: false,
    findAccount: async (ctx, id) => ({
      accountId: id,
      claims: async () => ({ sub: id, name: `${id} of the client`, email: `${id}@client.example`, email_verified: true }),
    }),
    features: {
      devInteractions: { enabled: false },
      revocation: { enabled: true },
      introspection: { enabled: true },
      pushedAuthorizationRequests: { enabled: true },
      userinfo: { enabled: true },
      deviceFlow: { enabled: true, ...deviceSources },
    },
    interactions: { url: (ctx, interaction) => `/interaction/${interaction.uid}` },
    pkce: { required: () => true, methods: ['S256'] },
    rotateRefreshToken: () => (env.ROTATE || '1') === '1',
    issueRefreshToken: async (ctx, client) => client.grantTypeAllowed('refresh_token'),
    ttl: {
      AccessToken: seconds('AT_TTL', 3600),
      AuthorizationCode: seconds('CODE_TTL', 60),
      DeviceCode: 600,
      Grant: seconds('RT_TTL', 14 * 86400),
      IdToken: 3600,
      Interaction: 600,
      RefreshToken: seconds('RT_TTL', 14 * 86400),
      Session: 86400,
    },
  };
}

function count(provider) {
  provider.on('grant.success', (ctx) => {
    const type = ctx.oidc.params.grant_type;
    if (type === 'authorization_code') seen.code += 1;
    else if (type === 'refresh_token') seen.refresh += 1;
    else seen.device += 1;
  });
  provider.on('grant.error', (ctx) => {
    const params = (ctx.oidc && ctx.oidc.params) || {};
    if (params.grant_type === 'refresh_token') seen.refresh_refused += 1;
  });
  provider.on('grant.revoked', (ctx) => {
    if (ctx.oidc.route === 'token') seen.families_killed += 1;
    else seen.revoked += 1;
  });
  provider.use(async (ctx, next) => {
    await next();
    if (!ctx.oidc) return;
    if (ctx.oidc.route === 'introspection') seen.introspected += 1;
    if (ctx.oidc.route === 'userinfo' && ctx.status === 200) seen.userinfo += 1;
  });
}

async function bodyOf(req) {
  let text = '';
  for await (const chunk of req) {
    text += chunk;
    if (text.length > 65536) throw new Error('too large');
  }
  return text;
}

async function control(req, res) {
  res.setHeader('content-type', 'application/json');
  if (req.method === 'POST' && req.url === '/_ctl/client') {
    const client = clientOf(JSON.parse(await bodyOf(req)));
    setClient(client);
    res.end(JSON.stringify({ client_id: client.client_id, redirect_uris: client.redirect_uris }));
  } else if (req.url === '/_ctl/report') {
    res.end(JSON.stringify({ seen, stored: counts() }));
  } else {
    res.statusCode = 404;
    res.end('{}');
  }
}

function serve(provider, issuer) {
  const answer = provider.callback();
  const { host, protocol } = new URL(issuer);
  return async (req, res) => {
    try {
      if (req.url.startsWith('/_ctl/')) return await control(req, res);
      if (req.url.startsWith('/interaction/')) return await interactionPage(provider, req, res, bodyOf);
      // The public names are those of the issuer: whoever asks for the description hears them, as behind a proxy.
      if (req.url.startsWith('/.well-known/') || req.url.startsWith('/device/auth')) {
        req.headers['x-forwarded-host'] = host;
        req.headers['x-forwarded-proto'] = protocol.slice(0, -1);
      }
      return answer(req, res);
    } catch (e) {
      res.statusCode = 500;
      return res.end(String(e && e.message));
    }
  };
}

const server = http.createServer();
server.listen(Number(env.PORT || 0), '127.0.0.1', () => {
  const { port } = server.address();
  const issuer = env.ISSUER || `http://127.0.0.1:${port}`;
  const provider = new Provider(issuer, configuration());
  provider.proxy = true;
  if (env.CLIENT_ID) {
    setClient(clientOf({
      client_id: env.CLIENT_ID,
      client_secret: env.CLIENT_SECRET,
      redirect_uris: (env.REDIRECT_URIS || 'http://127.0.0.1:1/cb/none').split(','),
    }));
  }
  count(provider);
  server.on('request', serve(provider, issuer));
  console.log(JSON.stringify({ event: 'ready', port, issuer }));
});
process.on('SIGTERM', () => process.exit(0));
