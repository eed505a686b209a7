// SPDX-License-Identifier: Apache-2.0
// The page: connects, gives packets to streams, draws all of them once a frame.

import { byId, segments, setText } from './dom.js';
import { setSeveral, showEvent } from './events.js';
import { forgetHealth, showHealth, worst } from './health.js';
import { Knobs } from './knobs.js';
import { Link } from './link.js';
import { Listener } from './listen.js';
import { onChange, set, settings } from './settings.js';
import { Stream } from './stream.js';
import { applyTheme, openView } from './view.js';

const link = new Link();
const listener = new Listener(link);
const streams = new Map();
const knobs = new Knobs(link, (values) => {
  for (const stream of streams.values()) stream.setPreview(values);
});
let hello = { knobs: false, history: false, password: false };
let connected = false;
let here = null; // whether focald answers
let openedMs = 0;
let frozenMs = null;

/* What comes */

function streamOf(name) {
  let stream = streams.get(name);
  if (!stream) {
    stream = new Stream(name, listener);
    streams.set(name, stream);
    arrange();
    wantSoon();
  }
  return stream;
}

function forget(name) {
  streams.get(name)?.close();
  streams.delete(name);
  forgetHealth(name);
  arrange();
}

/** What went while nobody told this page says nothing any more. Health comes every second or so. */
const SILENT_MS = 20000;
let silence;
function forgetSilent() {
  clearTimeout(silence);
  const since = performance.now();
  silence = setTimeout(() => {
    if (!connected || !here) return;
    for (const stream of [...streams.values()]) if (stream.heardMs < since) forget(stream.name);
    showState();
  }, SILENT_MS);
}

function arrange() {
  const shown = [...streams.values()].filter((s) => !settings.hidden.includes(s.name)).sort((a, b) => (a.name < b.name ? -1 : 1));
  byId('streams').replaceChildren(...shown.map((s) => s.element));
  byId('streams').classList.toggle('several', shown.length > 1);
  setSeveral(streams.size > 1);
  byId('empty').hidden = shown.length > 0;
  showState();
}

function takeOwn(packet) {
  if (packet.kind === 'hello') {
    hello = packet;
    byId('tab-history').hidden = !hello.history;
    byId('open-knobs').hidden = !hello.knobs;
    route();
  } else if (packet.kind === 'daemon') {
    here = packet.here;
    if (here) forgetSilent();
    if (here && !byId('knobs').hidden) knobs.refresh();
  } else if (packet.kind === 'values') knobs.show(packet.values);
  else if (packet.kind === 'gone') forget(packet.stream);
  showState();
}

link.addEventListener('packet', ({ detail: packet }) => {
  if (packet.topic === 'web') return takeOwn(packet);
  const now = performance.now();
  if (packet.topic === 'event') {
    streams.get(packet.stream)?.take(packet, now); // its stream may be gone
    return showEvent(packet, now - openedMs > 2000);
  }
  const stream = streamOf(packet.stream);
  stream.heardMs = now;
  stream.take(packet, now);
  if (packet.topic === 'info') knobs.heard(packet);
  if (packet.topic === 'health') {
    showHealth(packet);
    stream.showHealth(packet);
    showState();
  }
  return undefined;
});
link.addEventListener('open', () => {
  connected = true;
  openedMs = performance.now();
  wantPictures();
  showState();
});
link.addEventListener('closed', () => {
  connected = false;
  here = null;
  showState();
});
listener.addEventListener('change', () => {
  for (const stream of streams.values()) stream.showListening();
});

/* How it is, in the head of the page */

function showState() {
  const trouble = worst();
  const [kind, text] = !connected ? ['lost', 'Connection lost; trying again …']
    : here === false ? ['lost', 'focald does not answer; waiting for it …']
    : here === null ? ['wait', 'Connecting …']
    : trouble ? ['ill', `${trouble.stream}: ${trouble.problem}`]
    : ['well', 'Listening'];
  byId('state').dataset.kind = kind;
  setText(byId('state-text'), text);
  setText(byId('empty'), kind === 'lost' ? text : streams.size > 0 ? 'All streams are hidden. “How it looks”, at the top, shows them again.' : 'Waiting for focald …');
}

/* Pages */

let history = null;
async function route() {
  const wantsHistory = location.hash.startsWith('#history') && hello.history;
  byId('live').hidden = wantsHistory;
  byId('history').hidden = !wantsHistory;
  for (const [tab, here] of [['tab-live', !wantsHistory], ['tab-history', wantsHistory]]) {
    if (here) byId(tab).setAttribute('aria-current', 'page');
    else byId(tab).removeAttribute('aria-current');
  }
  wantPictures();
  if (!wantsHistory) return;
  if (!history) history = new (await import('./history.js')).History(byId('history'));
  history.show();
}

/** Pictures are sent, and computed by focald, only while somebody looks. */
function wantPictures() {
  const looks = !document.hidden && !byId('live').hidden;
  link.watch(looks ? (settings.hidden.length ? [...streams.keys()].filter((s) => !settings.hidden.includes(s)) : null) : []);
}

/** Of many streams that come at once all are asked for in one command. */
let wanting = null;
function wantSoon() {
  wanting ??= setTimeout(() => {
    wanting = null;
    wantPictures();
  }, 100);
}

addEventListener('hashchange', route);
document.addEventListener('visibilitychange', wantPictures);

/* The frame */

let inks = {};
function readInks() {
  const style = getComputedStyle(document.documentElement);
  const ink = (name) => style.getPropertyValue(name).trim();
  inks = { ink: ink('--ink'), dim: ink('--dim'), line: ink('--line'), ground: ink('--surface') };
}

function frame(nowMs) {
  requestAnimationFrame(frame);
  if (document.hidden || byId('live').hidden || frozenMs !== null) return;
  const look = { seconds: innerWidth < 600 ? 7 : 14, inks };
  for (const stream of streams.values()) if (stream.element.isConnected) stream.draw(nowMs, look);
}

/* What people do */

const chooseMode = segments(byId('modes'), [['sound', 'Sound', 'The spectrogram as it is'], ['both', 'Both', 'What made focald say so stands out'],
  ['focus', 'Why', 'Only what made focald say so']], settings.mode, (mode) => set('mode', mode));

function freeze() {
  frozenMs = frozenMs === null ? performance.now() : null;
  for (const stream of streams.values()) stream.waterfall.freeze(frozenMs !== null);
  byId('freeze').setAttribute('aria-pressed', frozenMs !== null);
}

function toggleKnobs() {
  const panel = byId('knobs');
  panel.hidden = !panel.hidden;
  byId('open-knobs').setAttribute('aria-expanded', !panel.hidden);
  if (!panel.hidden) knobs.refresh();
}

function firstStream() {
  return listener.stream ?? [...streams.keys()].filter((s) => !settings.hidden.includes(s)).sort()[0];
}

const byKey = {
  1: () => { set('mode', 'sound'); chooseMode('sound'); },
  2: () => { set('mode', 'both'); chooseMode('both'); },
  3: () => { set('mode', 'focus'); chooseMode('focus'); },
  i: () => firstStream() && listener.play(firstStream(), 'input'),
  o: () => firstStream() && listener.play(firstStream(), 'audio'),
  s: () => listener.stop(),
  f: freeze,
  a: () => hello.knobs && toggleKnobs(),
  h: () => { location.hash = '#history'; },
  l: () => { location.hash = '#live'; },
  '?': () => openView([...streams.keys()], hello.password),
};

addEventListener('keydown', (event) => {
  const typing = event.target.closest('input:not([type=range]), select, textarea, dialog');
  if (event.ctrlKey || event.metaKey || event.altKey || typing) return;
  byKey[event.key]?.();
});

document.querySelector('.skip').addEventListener('click', (event) => {
  event.preventDefault(); // the address says which page is shown
  byId('content').focus();
});

const opacity = byId('opacity');
opacity.value = settings.opacity;
const showOpacity = () => opacity.style.setProperty('--part', `${settings.opacity}%`);
opacity.addEventListener('input', () => set('opacity', Number(opacity.value)));
byId('freeze').addEventListener('click', freeze);
byId('open-knobs').addEventListener('click', toggleKnobs);
byId('open-view').addEventListener('click', () => openView([...streams.keys()], hello.password));

onChange((key, value) => {
  if (key === 'theme') applyTheme();
  if (key === 'opacity') showOpacity();
  if (key === 'volume') listener.setVolume(value);
  if (key === 'hidden') {
    arrange();
    wantPictures();
  }
  for (const stream of streams.values()) {
    if (key === 'colours') stream.waterfall.setColours(value);
    if (key === 'scale') stream.drawScale();
  }
  readInks();
});

matchMedia('(prefers-color-scheme: dark)').addEventListener('change', readInks);
applyTheme();
readInks();
showOpacity();
showState();
requestAnimationFrame(frame);
