// SPDX-License-Identifier: Apache-2.0
// Parts of the page that need no browser: the colours of labels, the connection, listening and the history's list, in simulated time.
// usage: node test_page.mjs PAGE_DIR
import fs from 'node:fs';
import { finish, hold, promise } from './promises.mjs';

/** By its text, and that of what it imports: node before 20 takes a .js for no module. */
const url = (name) => {
  const text = fs.readFileSync(`${process.argv[2]}/${name}`, 'utf8').replaceAll(/from '\.\/(.+?)'/g, (_, other) => `from '${url(other)}'`);
  return `data:text/javascript;base64,${Buffer.from(text).toString('base64')}`;
};
const page = (name) => import(url(name));

/* Time, and what browsers have */

const timers = new Map();
let nowMs = 0;
let lastTimer = 0;
const later = (call, ms, every) => {
  timers.set(++lastTimer, { call, ms, every, at: nowMs + ms });
  return lastTimer;
};
Object.assign(globalThis, {
  setTimeout: (call, ms) => later(call, ms, false),
  setInterval: (call, ms) => later(call, ms, true),
  clearTimeout: (id) => timers.delete(id),
  clearInterval: (id) => timers.delete(id),
  addEventListener: () => {},
  document: { hidden: false, addEventListener: () => {} },
  localStorage: { getItem: () => null },
  matchMedia: () => ({ matches: false }),
  location: { protocol: 'http:', host: 'localhost', href: '/' },
});
Object.defineProperty(globalThis, 'performance', { value: { now: () => nowMs } });

async function pass(ms) {
  for (const end = nowMs + ms; nowMs < end; nowMs += 100) {
    for (const [id, timer] of [...timers]) {
      if (timer.at > nowMs) continue;
      if (timer.every) timer.at += timer.ms;
      else timers.delete(id);
      timer.call();
    }
    for (let i = 0; i < 10; i++) await null; // what was promised
  }
}

let server = { there: true, answers: true };
class FakeSocket {
  static OPEN = 1;
  static CLOSED = 3;
  constructor() {
    this.readyState = 0;
    FakeSocket.last = this;
    FakeSocket.n = (FakeSocket.n ?? 0) + 1;
    setTimeout(() => {
      this.readyState = server.there ? 1 : 3;
      if (server.there) this.onopen?.();
      else this.onclose?.();
    }, 100);
  }

  send(text) {
    const { cmd, id } = JSON.parse(text);
    if (server.answers && cmd === 'time') this.say({ topic: 'reply', id, ok: true, t_ms: Date.now(), thinned: 0 });
  }

  say(header) {
    const text = new TextEncoder().encode(JSON.stringify(header));
    const whole = new Uint8Array(4 + text.length);
    new DataView(whole.buffer).setUint32(0, text.length, true);
    whole.set(text, 4);
    this.onmessage?.({ data: whole.buffer });
  }

  close() {
    this.readyState = 2; // nobody answers
  }
}
globalThis.WebSocket = FakeSocket;

/* Promises */

await promise('a_label_keeps_its_colour_however_many_there_are', async () => {
  const { hue } = await page('dom.js');
  const labels = Array.from({ length: 25 }, (_, i) => `label ${i}`);
  const colours = labels.map(hue);
  hold(new Set(colours.slice(0, 10)).size === 10, 'the first ten share');
  hold(colours.every((c) => /^#/.test(c)), `${colours}`);
  for (let frame = 0; frame < 3; frame++) hold(labels.map(hue).join() === colours.join(), 'a colour changed');
});

const { Link } = await page('link.js');

await promise('a_connection_that_died_is_noticed', async () => {
  const link = new Link();
  let closed = 0;
  link.addEventListener('closed', () => { closed++; });
  await pass(60000);
  hold(FakeSocket.n === 1 && closed === 0, 'one that lives was closed');
  server = { there: true, answers: false };
  const first = FakeSocket.last;
  const words = setInterval(() => first.say({ topic: 'health' }), 2000);
  await pass(60000);
  hold(FakeSocket.n === 1, 'one whose answers come late was closed');
  clearInterval(words);
  await pass(40000);
  hold(closed >= 1 && FakeSocket.last !== first, 'it is still waited for');
  server = { there: true, answers: true };
  await pass(30000);
  hold(link.isOpen() && link.questions.size === 0, 'it did not come back');
});

await promise('a_password_that_came_while_nobody_was_there_is_asked_for', async () => {
  globalThis.fetch = async () => {
    if (!server.up) throw new Error('nobody');
    return { status: 401 };
  };
  server = { there: false, up: false };
  FakeSocket.last.readyState = 3;
  FakeSocket.last.onclose();
  await pass(20000);
  hold(location.href === '/', 'it went to nobody');
  server.up = true;
  await pass(60000);
  hold(location.href === '/login', 'it tries for ever');
});

const { Listener } = await page('listen.js');

/** A Listener whose player is loaded, or not, when the test says so; what was said to server and player. */
function makeListener() {
  const loads = [];
  const said = [];
  const node = { connect: (x) => x, port: { postMessage: ({ do: what, which }) => said.push(what === 'choose' ? `${what} ${which}` : what) } };
  globalThis.AudioWorkletNode = class { constructor() { return node; } };
  globalThis.AudioContext = class {
    state = 'running';
    audioWorklet = { addModule: () => new Promise((resolve, reject) => { loads.push({ resolve, reject }); }) };
    createGain() { return { gain: {}, connect: (x) => x }; }
    async resume() { this.state = 'running'; }
    async suspend() { this.state = 'suspended'; }
    async close() { this.state = 'closed'; }
  };
  const link = Object.assign(new EventTarget(), { listen: (stream) => said.push(`listen ${stream}`) });
  return { listener: new Listener(link), loads, said };
}

await promise('listening_begins_at_the_second_try_where_the_first_failed', async () => {
  const { listener, loads, said } = makeListener();
  const first = listener.play('yard', 'input').then(() => 'played', () => 'failed');
  loads[0].reject(new Error('not there'));
  hold(await first === 'failed' && listener.stream === null, 'it seems to play');
  const second = listener.play('yard', 'input');
  loads[1].resolve();
  await second;
  hold(said.slice(-3).join() === 'clear,listen yard,choose 0', `${said}`);
});

await promise('what_is_pressed_while_the_player_loads_holds', async () => {
  const { listener, loads, said } = makeListener();
  const both = [listener.play('yard', 'input'), listener.play('yard', 'audio')];
  hold(loads.length === 1, 'it is loaded twice');
  loads[0].resolve();
  await Promise.all(both);
  hold(said.includes('listen yard') && said.at(-1) === 'choose 1' && !said.includes('choose 0'), `${said}`);
  const other = makeListener();
  const play = other.listener.play('yard', 'input');
  other.listener.stop();
  other.loads[0].resolve();
  await play;
  hold(!other.said.includes('listen yard') && other.listener.context.state === 'suspended', `it plays after all: ${other.said}`);
});

const { History } = await page('history.js');

/** The list of a history that has snippets 1 to `kept` but for those `deleted`, as the page has it. */
function makeHistory(kept) {
  const server = { kept, deleted: [], began: 0, asked: [] };
  globalThis.fetch = (path) => new Promise((resolve, reject) => {
    const before = Number(new URL(path, 'http://localhost').searchParams.get('before') ?? server.kept + 1);
    const ids = Array.from({ length: before - 1 }, (_, i) => before - 1 - i).filter((id) => !server.deleted.includes(id));
    const events = ids.slice(0, 48).map((id) => ({ id, kind: 'continuous', p: null, onset_ms: 0, first_ms: server.began + 1000 * id, seconds: 1 }));
    server.asked.push({ path, answer: () => resolve({ ok: true, status: 200, json: async () => ({ events }) }), fail: () => reject(new Error('nobody')) });
  });
  let cards = [];
  document.createElement = () => {
    const self = {
      dataset: {}, append() {}, addEventListener() {}, remove: () => { cards = cards.filter((c) => c !== self); },
      setAttribute: (name, value) => { if (name.startsWith('data-')) self.dataset[name.slice(5)] = String(value); },
    };
    return self;
  };
  const list = {
    append: (...more) => cards.push(...more), prepend: (...more) => cards.unshift(...more), replaceChildren: (...all) => { cards = all; },
    get childElementCount() { return cards.length; }, get children() { return cards; },
    get firstChild() { return cards[0]; }, get lastChild() { return cards.at(-1); },
  };
  const history = Object.assign(Object.create(History.prototype), {
    asked: {}, list, moreButton: {}, found: {}, year: { contains: () => false }, drawYear() {}, fillChoices() {},
  });
  const answered = async (what) => {
    server.asked.at(-1).answer();
    await what;
  };
  return { history, server, answered, ids: () => cards.map((c) => Number(c.dataset.id)) };
}
const downTo = (from, to) => Array.from({ length: from - to + 1 }, (_, i) => from - i).join();

await promise('what_is_kept_while_nobody_looks_leaves_no_hole_and_the_list_does_not_grow', async () => {
  const { history, server, answered, ids } = makeHistory(100);
  await answered(history.reload());
  server.kept = 110;
  await answered(history.addNewer());
  hold(ids().join() === downTo(110, 53), `${ids()}`);
  const grown = async (kept) => {
    server.kept = kept;
    const fresh = history.addNewer();
    await answered(pass(100));
    await answered(fresh);
  };
  await grown(140);
  await grown(150); // two pages are enough: it begins anew
  hold(ids().join() === downTo(150, 103) && history.moreButton.hidden === false, `${ids()}`);
  await answered(history.more());
  hold(ids().join() === downTo(150, 55), `${ids()}`);
  server.kept = 160;
  await answered(history.addNewer());
  hold(ids().join() === downTo(160, 55), `what was asked for went: ${ids()}`);
  await grown(300);
  hold(ids().join() === downTo(300, 253), `${ids()}`);
});

await promise('a_day_is_asked_for_as_the_calendar_has_it', async () => {
  const { history, server, answered } = makeHistory(1);
  history.asked = { day: '2026-11-28' };
  await answered(history.reload());
  hold(server.asked[0].path.includes('day=2026-11-28') && !/from=|to=/.test(server.asked[0].path), server.asked[0].path);
});

await promise('a_history_that_is_begun_anew_replaces_the_old', async () => {
  const { history, server, answered, ids } = makeHistory(100);
  await answered(history.reload());
  server.kept = 3; // ids begin with 1 again
  const fresh = history.addNewer();
  await answered(pass(100));
  await answered(fresh);
  clearInterval(history.freshTimer);
  hold(ids().join() === downTo(3, 1), `${ids()}`);
  await answered(history.addNewer());
  hold(ids().join() === downTo(3, 1) && server.asked.length === 4, `asked ${server.asked.length} times`);
  server.began = 1e9; // and again, and it has reached the old one's newest
  server.kept = 5;
  const [, , third] = history.list.children;
  const anew = history.addNewer();
  await answered(pass(100));
  await answered(anew);
  clearInterval(history.freshTimer);
  hold(ids().join() === downTo(5, 1) && !history.list.children.includes(third), `the old ones stay: ${ids()}`);
});

await promise('what_is_deleted_goes_and_the_rest_stays', async () => {
  const { history, server, answered, ids } = makeHistory(200);
  await answered(history.reload());
  await answered(history.more());
  const last = history.list.lastChild;
  server.deleted = [200, 190];
  await answered(history.addNewer());
  const left = downTo(200, 105).split(',').filter((id) => id !== '200' && id !== '190').join();
  hold(ids().join() === left && history.list.lastChild === last, `${ids()}`);
  server.kept = 201;
  await answered(history.addNewer());
  hold(ids().join() === `201,${left}`, `${ids()}`);
  hold(server.asked.length === 4, `asked ${server.asked.length} times`);
});

await promise('earlier_ones_come_once_and_of_what_is_asked_for', async () => {
  const { history, server, answered, ids } = makeHistory(200);
  await answered(history.reload());
  const twice = [history.more(), history.more()];
  await answered(Promise.all(twice));
  hold(ids().join() === downTo(200, 105), `${ids()}`);
  const late = history.more();
  const other = history.reload(); // another filter
  server.asked.at(-1).answer();
  server.asked.at(-2).answer();
  await Promise.all([late, other]);
  hold(ids().join() === downTo(200, 153), `${ids()}`);
  const failing = history.more();
  server.asked.at(-1).fail();
  await failing;
  hold(history.found.textContent === 'nobody' && history.earlier === false, 'nobody is told');
});

const { Clock } = await page('clock.js');

/** A clock that hears a hop of half a second each half second; `sent` runs on with it. */
function makeClock() {
  const clock = new Clock();
  const self = { clock, ms: 0, sent: 0 };
  self.hear = (hops) => {
    for (let i = 0; i < hops; i++) {
      self.ms += 500;
      clock.arrived(self.sent, 8000, 0, self.ms);
      self.sent += 8000;
      self.behindS = (self.sent - clock.position(self.ms)) / 16000;
    }
  };
  self.hear(20);
  return self;
}

await promise('after_a_laptops_sleep_the_picture_is_there_at_once', async () => {
  const clock = makeClock();
  hold(clock.behindS > 0 && clock.behindS < 2, `${clock.behindS} s behind`);
  clock.sent += 600 * 16000; // nothing passed for the page
  clock.hear(1);
  hold(clock.behindS > 0 && clock.behindS < 2, `${clock.behindS} s behind after a sleep`);
});

await promise('what_comes_late_moves_the_edge_once', async () => {
  const clock = makeClock();
  clock.ms += 3000; // nothing came for 3 s
  clock.hear(1);
  hold(clock.behindS > 0 && clock.behindS < 2, `${clock.behindS} s`);
  const edge = clock.clock.position(clock.ms);
  clock.sent += 3 * 16000; // and then all at once
  clock.hear(1);
  const moved = (clock.clock.position(clock.ms) - edge) / 16000;
  hold(moved > 0 && moved < 1, `it leapt by ${moved} s, and will again when the next one is late`);
});

const { Timeline } = await page('timeline.js');

await promise('the_last_seconds_told_again_are_drawn_once', async () => {
  const timeline = new Timeline({ getContext: () => ({}) });
  const add = (second) => timeline.add(16000 * second, [{ label: 'dog', p: second / 10 }]);
  for (const second of [1, 2, 3, 4]) add(second);
  for (const second of [2, 3, 4, 6]) add(second); // the tab was hidden for a while
  hold(timeline.marks.join() === '16000,32000,48000,64000,96000', `${timeline.marks}`);
  hold(timeline.points.get('dog').map((point) => point.p).join() === '0.1,0.2,0.3,0.4,0.6', JSON.stringify(timeline.points.get('dog')));
  timeline.reset(); // another run begins at 0
  add(1);
  hold(timeline.marks.join() === '16000', `${timeline.marks}`);
});

const { Knobs } = await page('knobs.js');

await promise('what_others_change_is_asked_for_once_while_the_panel_is_open', async () => {
  const panel = { hidden: false };
  document.getElementById = () => panel;
  let asked = 0;
  const knobs = Object.assign(Object.create(Knobs.prototype), { ran: new Map(), refresh: () => { asked++; } });
  const tell = async (run, quantile) => {
    for (const stream of ['yard', 'door']) knobs.heard({ stream, run, analysis: { quantile } });
    await pass(1000);
    return asked;
  };
  await tell(1, 0.8);
  hold(await tell(1, 0.8) === 1, 'nothing changed');
  hold(await tell(1, 0.9) === 2, `focalctl set: asked ${asked} times`);
  hold(await tell(2, 0.9) === 3, `focald started anew: asked ${asked} times`);
  panel.hidden = true;
  hold(await tell(2, 0.7) === 3, 'nobody looks');
});

const { Waterfall } = await page('waterfall.js');

/** Canvases whose WebGL notes what textures begin with: [spectrogram, map before, map now, colours]. */
function makeCanvas(contexts) {
  const listeners = {};
  const context = () => {
    const self = { lost: false, images: [] };
    contexts.push(self);
    const calls = {
      getExtension: () => ({ loseContext: () => { self.lost = true; } }),
      getShaderParameter: () => true,
      getProgramParameter: (_, what) => (what === 'LINK_STATUS' ? true : 0),
      texImage2D: (...all) => self.images.push(all.at(-1)),
    };
    return new Proxy(calls, { get: (_, name) => calls[name] ?? (/^[A-Z0-9_]+$/.test(name) ? name : () => ({})) });
  };
  return {
    cloneNode: () => makeCanvas(contexts), replaceWith(other) { this.replacedBy = other; }, getContext: context,
    addEventListener: (type, call) => { listeners[type] = call; }, say: (type) => listeners[type]({ preventDefault() {} }),
  };
}

await promise('a_picture_has_a_context_while_it_is_seen_and_comes_back_whole', async () => {
  const contexts = [];
  const canvas = makeCanvas(contexts);
  let told = '';
  const waterfall = new Waterfall(canvas, (text) => { told = text; });
  waterfall.addSpec(0, 2, 513, new Uint8Array(2 * 513).fill(7));
  hold(contexts.length === 0, 'one before anybody looks');
  waterfall.show();
  waterfall.show();
  hold(contexts.length === 1 && contexts[0].images[0][513] === 7, 'what came before is not shown');
  waterfall.hide();
  waterfall.hide();
  hold(contexts[0].lost && canvas.replacedBy === waterfall.canvas, 'it keeps its context');
  canvas.say('webglcontextlost'); // browsers tell it later
  hold(told === '', told);
  waterfall.addSpec(2, 1, 513, new Uint8Array(513).fill(9));
  waterfall.setMap(0, 3, new Uint8Array(3 * 64 * 2).fill(5), 0);
  waterfall.show();
  const [spec, before, now] = contexts[1].images;
  hold(contexts.length === 2 && spec[0] === 7 && spec[2 * 513] === 9 && spec[3 * 513] === 0, 'the spectrogram is not whole');
  hold(before[0] === 5 && now[0] === 5, 'the map is not whole');
});

await promise('a_frozen_picture_stays_when_nobody_sees_it', async () => {
  const contexts = [];
  const canvas = makeCanvas(contexts);
  const waterfall = new Waterfall(canvas, () => {});
  waterfall.show();
  waterfall.freeze(true);
  waterfall.hide();
  waterfall.show();
  hold(!contexts[0].lost && waterfall.canvas === canvas, 'it was frozen, and is gone');
  waterfall.freeze(false);
  hold(!contexts[0].lost, 'it is seen');
  waterfall.freeze(true);
  waterfall.hide();
  waterfall.freeze(false);
  hold(contexts[0].lost, 'nobody sees it, and it keeps its context');
});

await promise('a_picture_that_the_browser_took_says_so_until_it_is_back', async () => {
  const contexts = [];
  const canvas = makeCanvas(contexts);
  let told = '';
  const waterfall = new Waterfall(canvas, (text) => { told = text; });
  waterfall.show();
  canvas.say('webglcontextlost');
  hold(told !== '' && waterfall.gl === null, 'it is dark and says nothing');
  waterfall.addSpec(0, 1, 513, new Uint8Array(513).fill(7));
  canvas.say('webglcontextrestored');
  hold(told === '' && contexts.at(-1).images[0][0] === 7, told);
});

finish();
