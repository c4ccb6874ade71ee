// The login and consent pages of the test server: plain forms, no script. Any login is believed; its name is the
// account. POST bodies are ordinary form posts.
const escape = (text) => String(text).replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);

function page(title, body) {
  return `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>${escape(title)}</title></head>`
    + `<body><h1>${escape(title)}</h1>${body}</body></html>`;
}

function html(res, text, status = 200) {
  res.statusCode = status;
  res.setHeader('content-type', 'text/html; charset=utf-8');
  res.setHeader('cache-control', 'no-store');
  res.end(text);
}

function loginForm(uid) {
  return page('Sign in', `<form method="post" action="/interaction/${escape(uid)}/login">`
    + '<label>Login <input name="login" autocomplete="username"></label>'
    + '<label>Password <input name="password" type="password"></label>'
    + '<button name="go" value="login">Sign in</button></form>');
}

function consentForm(uid, details) {
  const { params } = details;
  return page('Allow access?', `<p>${escape(params.client_id)} asks for: ${escape(params.scope)}</p>`
    + `<form method="post" action="/interaction/${escape(uid)}/confirm"><button name="go" value="allow">Allow</button></form>`
    + `<form method="post" action="/interaction/${escape(uid)}/abort"><button name="go" value="deny">Deny</button></form>`);
}

async function consentResult(provider, details) {
  const { prompt: { details: missing }, params, session: { accountId }, grantId } = details;
  const grant = (grantId && await provider.Grant.find(grantId))
    || new provider.Grant({ accountId, clientId: params.client_id });
  if (missing.missingOIDCScope) grant.addOIDCScope(missing.missingOIDCScope.join(' '));
  if (missing.missingOIDCClaims) grant.addOIDCClaims(missing.missingOIDCClaims);
  for (const [indicator, scopes] of Object.entries(missing.missingResourceScopes || {})) {
    grant.addResourceScope(indicator, scopes.join(' '));
  }
  return { consent: { grantId: await grant.save() } };
}

export async function interactionPage(provider, req, res, bodyOf) {
  const [, , uid, action] = req.url.split('?')[0].split('/');
  let details;
  try {
    details = await provider.interactionDetails(req, res);
  } catch (e) {
    return html(res, page('This sign-in has ended', `<p>${escape(e.message)}</p>`), 400);
  }
  if (req.method === 'GET' && !action) {
    return html(res, details.prompt.name === 'login' ? loginForm(uid) : consentForm(uid, details));
  }
  if (req.method !== 'POST') return html(res, page('Not here', ''), 405);
  const form = new URLSearchParams(await bodyOf(req));
  let result;
  if (action === 'login') {
    const login = (form.get('login') || '').trim();
    if (!login) return html(res, loginForm(uid), 422);
    result = { login: { accountId: login } };
  } else if (action === 'confirm') {
    result = await consentResult(provider, details);
  } else {
    result = { error: 'access_denied', error_description: 'the person said no' };
  }
  return provider.interactionFinished(req, res, result, { mergeWithLastSubmission: action === 'confirm' });
}

export const deviceSources = {
  userCodeInputSource: async (ctx, form, out, err) => {
    ctx.body = page('Enter the code', `${err ? '<p>That code is not known.</p>' : ''}${form}`
      + '<button type="submit" form="op.deviceInputForm">Continue</button>');
  },
  userCodeConfirmSource: async (ctx, form, client, deviceInfo, userCode) => {
    ctx.body = page('Is this your device?', `<p>${escape(client.clientId)}: ${escape(userCode)}</p>${form}`
      + '<button type="submit" form="op.deviceConfirmForm">Continue</button>');
  },
  successSource: async (ctx) => {
    ctx.body = page('Done', '<p>You can close this page.</p>');
  },
};
