// What a page must be for everybody, read off the page as it is laid out. Returns a list of faults.
const faults = [];
const say = (what, e) => faults.push(what + ": " + (e ? e.outerHTML.slice(0, 120) : ""));
const all = (css) => Array.from(document.querySelectorAll(css));
const shown = (e) => e.getClientRects().length > 0 && getComputedStyle(e).visibility !== "hidden";

if (!document.documentElement.lang) say("no lang");
if (!document.title.trim()) say("no title");
if (all("h1").length !== 1) say("not exactly one h1");
if (all("main").length !== 1) say("not exactly one main");
if (!document.querySelector('meta[name="viewport"]')) say("no viewport");

let level = 0;
for (const h of all("h1, h2, h3, h4, h5, h6")) {
    const n = Number(h.tagName[1]);
    if (n > level + 1) say("heading skips a level", h);
    if (!h.textContent.trim()) say("empty heading", h);
    level = n;
}

const ids = new Set();
for (const e of all("[id]")) {
    if (ids.has(e.id)) say("id twice", e);
    ids.add(e.id);
}
for (const e of all("[aria-labelledby]"))
    if (!document.getElementById(e.getAttribute("aria-labelledby"))) say("labelled by nothing", e);

for (const e of all("input:not([type=hidden]), select, textarea"))
    if (!(e.labels && e.labels.length && e.labels[0].textContent.trim())) say("field without a label", e);
for (const e of all("button, a[href]")) {
    const name = e.getAttribute("aria-label") || e.textContent;
    if (!name.trim()) say("control without a name", e);
    if (e.getAttribute("aria-label") && !name.toLowerCase().includes(e.textContent.trim().toLowerCase()))
        say("name does not hold the words that are seen", e);
}
for (const e of all("button, input:not([type=hidden])"))
    if (shown(e) && e.getBoundingClientRect().height < 44) say("target below 44 px", e);
for (const e of all("svg[role=img], img"))
    if (!(e.getAttribute("aria-label") || e.getAttribute("alt"))) say("picture without a text", e);

if (document.documentElement.scrollWidth > window.innerWidth)
    say("wider than the screen: " + document.documentElement.scrollWidth + " > " + window.innerWidth);
for (const e of all("main *"))
    if (shown(e) && e.getBoundingClientRect().right > window.innerWidth + 1) say("reaches out of the screen", e);

if (all("script, iframe, object, embed, img[src^=http], link[href]").length) say("foreign or active content");
for (const e of all("*"))
    for (const a of e.attributes)
        if (a.name.startsWith("on") || a.name === "style") say("active attribute", e);
for (const entry of performance.getEntriesByType("resource"))
    if (!entry.name.endsWith("/favicon.ico")) faults.push("loads " + entry.name);

// WCAG 2.1 relative luminance and contrast of every text with what it stands on.
const parse = (c) => { const m = c.match(/[\d.]+/g).map(Number); return { r: m[0], g: m[1], b: m[2], a: m.length > 3 ? m[3] : 1 }; };
const light = (c) => [c.r, c.g, c.b].map((v) => v / 255)
    .map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
const ground = (e) => {
    for (let n = e; n; n = n.parentElement) {
        const c = parse(getComputedStyle(n).backgroundColor);
        if (c.a === 1) return c;
        if (c.a !== 0) say("half transparent ground", n);
    }
    return { r: 255, g: 255, b: 255, a: 1 };
};
let lowest = 21;
for (const e of all("body *")) {
    const own = Array.from(e.childNodes).some((n) => n.nodeType === 3 && n.textContent.trim());
    if (!shown(e) || (!own && e.tagName !== "INPUT")) continue;
    const a = light(parse(getComputedStyle(e).color)), b = light(ground(e));
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    lowest = Math.min(lowest, contrast);
    if (contrast < 4.5) say("contrast " + contrast.toFixed(2), e);
}
return { faults: faults, lowest: lowest, dark: light(ground(document.body)) < 0.2, texts: all("body *").length };
