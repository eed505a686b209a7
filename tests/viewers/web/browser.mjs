// SPDX-License-Identifier: Apache-2.0
// What the page promises, seen in Chromium. Run through test_browser.sh.
import { spawn, execFileSync } from 'node:child_process';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';

const [modules, chromiumPath, shots, , source, focald, record, web, focalctl] = process.argv.slice(2);
const { chromium } = createRequire(`${modules}/`)('playwright-core');
const PATIENCE_MS = 240000; // a loaded machine is slow, not wrong
const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'focal-web-'));
const children = new Map();
const env = { ...process.env, XDG_RUNTIME_DIR: dir, XDG_DATA_HOME: dir, FOCALD_DATA: `ipc://${dir}/run/data`, FOCALD_CONTROL: `ipc://${dir}/run/control` };

/* Programs */

function start(name, program, args) {
  const log = fs.openSync(`${dir}/${name}.log`, 'a');
  const child = spawn(program, args, { env, stdio: ['ignore', 'pipe', log] });
  children.set(name, child);
  return child;
}

async function stop(name) {
  const child = children.get(name);
  children.delete(name);
  if (!child || child.exitCode !== null) return;
  const gone = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGTERM');
  await gone;
}

function startFocald() {
  fs.writeFileSync(`${dir}/focald.conf`, `[ipc]\ndir = ${dir}/run\n[paths]\ncache = ${dir}/cache\n[model]\nthreads = 1\n`
    + `[analysis]\nhop = 86 frames\n[stream yard]\nsource = file:${source}/daemon/demo/rooster.ogg\nloop = yes\n`);
  start('focald', focald, ['run', '--config', `${dir}/focald.conf`]);
}

async function startWeb(listen) {
  const child = start('web', web, ['--config', '/dev/null', '--listen', listen, '--history', `${dir}/history`]);
  const line = await new Promise((resolve, reject) => {
    child.stdout.once('data', (data) => resolve(String(data)));
    child.once('exit', () => reject(new Error(fs.readFileSync(`${dir}/web.log`, 'utf8'))));
  });
  return line.match(/http:\S+/)[0];
}

process.on('SIGTERM', () => { // as meson does when the time is over: nothing stays behind
  for (const child of children.values()) child.kill('SIGKILL');
  process.exit(1);
});

/* Promises */

let failed = 0;
async function promise(name, check) {
  const began = Date.now();
  try {
    await check();
    console.log(`ok   ${name} (${((Date.now() - began) / 1000).toFixed(1)} s)`);
  } catch (error) {
    failed++;
    console.log(`FAIL ${name}: ${error.stack}`);
  }
}

function hold(condition, text) {
  if (!condition) throw new Error(text);
}

async function until(what, text, patience = PATIENCE_MS) {
  const end = Date.now() + patience;
  for (;;) {
    const value = await what();
    if (value) return value;
    if (Date.now() > end) throw new Error(`not within ${patience / 1000} s: ${typeof text === 'function' ? text() : text}`);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

/** The picture's pixels: how many colours, and a small grey copy to compare. In the frame that drew them. */
const look = (page) => page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => {
  const from = document.querySelector('canvas.picture');
  const small = new OffscreenCanvas(128, 48).getContext('2d');
  small.drawImage(from, 0, 0, 128, 48);
  const { data } = small.getImageData(0, 0, 128, 48);
  const colours = new Set();
  const grey = [];
  for (let i = 0; i < data.length; i += 4) {
    colours.add((data[i] >> 3 << 10) | (data[i + 1] >> 3 << 5) | (data[i + 2] >> 3));
    grey.push((data[i] + data[i + 1] + data[i + 2]) / 3);
  }
  resolve({ colours: colours.size, grey });
})));

/** Presses the button `which`, if one is named, and gives `times` times the last 2 s that left for the loudspeaker, as
    they left, a quarter of a second apart. An AnalyserNode hangs beside the destination (see addInitScript). */
const heard = (page, times = 1, which = null) => page.evaluate(async ([times, which]) => {
  if (which) document.querySelector(`.listen[data-which=${which}]`).click();
  const parts = [];
  for (let n = 0; n < times; n++) {
    if (n > 0) await new Promise((resolve) => setTimeout(resolve, 250));
    const out = new Float32Array(32768);
    window.testTap?.getFloatTimeDomainData(out);
    let text = '';
    for (const byte of new Uint8Array(out.buffer)) text += String.fromCharCode(byte);
    parts.push(btoa(text));
  }
  return parts;
}, [times, which]).then((parts) => parts.map((text) => new Float32Array(Uint8Array.from(Buffer.from(text, 'base64')).buffer)));

/** What focald published so far, by the other way, laid out on the timeline: i the input, a the interpretation. */
const timeline = { i: new Float32Array(16000 * 1200), a: new Float32Array(16000 * 1200), end: 0, read: 0 };
function published() {
  const file = fs.readFileSync(`${dir}/pcm`);
  while (timeline.read + 13 <= file.length) {
    const at = timeline.read;
    const first = Number(file.readBigUInt64LE(at + 1));
    const count = file.readUInt32LE(at + 9);
    if (at + 13 + 4 * count > file.length) break;
    const samples = timeline[String.fromCharCode(file[at])];
    for (let i = 0; i < count; i++) samples[first + i] = file.readFloatLE(at + 13 + 4 * i);
    timeline.end = Math.max(timeline.end, first + count);
    timeline.read += 13 + 4 * count;
  }
  return { input: timeline.i.subarray(0, timeline.end), audio: timeline.a.subarray(0, timeline.end) };
}

/** Everywhere that `part` [from, to) lies in `whole`, all its samples the same: a clip in a loop is heard again and
    again. Looks at its loudest sample first; silence lies nowhere. */
function* places(part, from, to, whole) {
  let loudest = from;
  for (let i = from; i < to; i++) if (Math.abs(part[i]) > Math.abs(part[loudest])) loudest = i;
  if (part[loudest] === 0) return;
  for (let at = whole.indexOf(part[loudest]); at >= 0; at = whole.indexOf(part[loudest], at + 1)) {
    const p = at - (loudest - from);
    let i = 0;
    while (i < to - from && whole[p + i] === part[from + i]) i++;
    if (i === to - from) yield p;
  }
}

/** How far `part` keeps the promise: the input up to a switch, and behind it the interpretation from the same sample of
    the timeline on. */
const KEPT = ['not the input', 'the input without a switch', 'another sample behind the switch', 'silence behind the switch', 'kept'];
function switchKept(part, input, audio) {
  const HEAD = 4000; // enough to know where it is
  const FADE = 160; // of player.js
  let best = 0;
  for (const p of places(part, 0, HEAD, input)) {
    let turn = HEAD;
    while (turn < part.length && part[turn] === input[p + turn]) turn++;
    let sound = 0; // samples of the interpretation that are neither silence nor the input
    let same = turn + FADE + 1 < part.length;
    for (let i = turn + FADE + 1; i < part.length && same; i++) {
      same = part[i] === audio[p + i];
      sound += audio[p + i] !== 0 && audio[p + i] !== input[p + i];
    }
    best = Math.max(best, turn + FADE + 1 >= part.length ? 1 : !same ? 2 : sound <= 1000 ? 3 : 4);
  }
  return KEPT[best];
}

const state = (page) => page.textContent('#state-text');
const label = (page) => page.textContent('.label');

async function soundMatches(page) {
  await page.click('.listen[data-which=input]');
  await until(async () => /behind/.test(await page.textContent('.delay')), 'the delay is shown');
  await until(async () => {
    const [part] = await heard(page);
    return !places(part, 0, part.length, published().input).next().done;
  }, '2 s of what is heard are the published input, sample by sample');
  const delay = parseFloat(await page.textContent('.delay'));
  hold(delay > 0 && delay < 60, `a delay of ${delay} s`);
  // The moment of a switch is in what is heard for 2 s; where the interpretation is silent there is nothing to see.
  const seen = {};
  await until(async () => {
    const parts = await heard(page, 8, 'audio');
    await page.click('.listen[data-which=input]');
    await page.waitForTimeout(2500); // the interpretation is published later than it is input
    const { input, audio } = published();
    const kept = parts.map((part) => switchKept(part, input, audio));
    for (const k of kept) seen[k] = (seen[k] ?? 0) + 1;
    return kept.includes('kept');
  }, () => `the switch to the interpretation is at the same sample; seen: ${JSON.stringify(seen)}`);
  await page.click('.listen[data-which=audio]');
  await page.keyboard.press('s');
  await until(async () => (await page.getAttribute('.listen[data-which=audio]', 'aria-pressed')) === 'false', 's is silence');
}

async function historyPlays(page) {
  await page.goto(`${page.url().split('#')[0]}#history`);
  await until(() => page.$('.snippet'), 'a snippet');
  await until(() => page.evaluate(() => [...document.querySelectorAll('img.thumb')].some((i) => i.naturalWidth === 320)), 'its thumbnail');
  hold((await page.$$('.calendar button')).length > 360, 'a year of days');
  await until(() => page.$('.calendar button[data-heat="4"], .calendar button[data-heat="1"]'), 'today is warm');
  await page.screenshot({ path: `${shots}/history-${page.viewportSize().width}.png`, fullPage: true });
  await page.click('.snippet');
  await until(() => page.evaluate(() => document.querySelector('.player audio')?.readyState >= 2), 'the sound is there');
  await page.evaluate(() => document.querySelector('.player audio').play());
  await until(() => page.evaluate(() => document.querySelector('.player audio').currentTime > 0.5), 'it plays');
  const both = await page.evaluate(() => [...document.querySelectorAll('.player audio')].map((a) => [a.muted, a.duration]));
  hold(both.length === 2 && !both[0][0] && both[1][0] && Math.abs(both[0][1] - both[1][1]) < 0.01, JSON.stringify(both));
  await page.evaluate(() => { document.querySelector('.player audio').currentTime = 1; }); // a range is asked for
  await page.click('.controls button');
  hold(await page.evaluate(() => [...document.querySelectorAll('.player audio')].map((a) => a.muted).join() === 'true,false'), 'the switch');
  await until(() => page.evaluate(() => document.querySelector('.picture-large').naturalWidth > 400), 'its picture');
  await page.screenshot({ path: `${shots}/player-${page.viewportSize().width}.png` });
  await page.keyboard.press('Escape');
  await page.fill('input[type=search]', 'no such sound');
  await until(async () => (await page.$$('.snippet')).length === 0, 'the search finds nothing');
  await page.fill('input[type=search]', '');
  await until(() => page.$('.snippet'), 'all again');
  await page.goto(`${page.url().split('#')[0]}#live`);
}

/** The calendar and the way to the content, without a mouse. */
async function keysReachDays(page) {
  await page.goto(`${page.url().split('#')[0]}#history`);
  await until(() => page.$('.calendar button'), 'the calendar');
  const at = () => page.evaluate(() => document.activeElement.dataset.day);
  const stops = (await page.$$('.calendar button[tabindex="0"]')).length;
  hold(stops === 1, `${stops} stops`);
  await page.focus('.calendar button[tabindex="0"]');
  const today = await at();
  await page.keyboard.press('ArrowDown');
  hold((await at()) === today, 'there is no tomorrow');
  await page.keyboard.press('ArrowLeft');
  await page.keyboard.press('ArrowUp');
  const day = await at();
  hold(Math.round((Date.parse(today) - Date.parse(day)) / 86400000) === 8, `${today} and ${day}`);
  for (const pressed of ['true', 'false']) {
    await page.keyboard.press('Enter');
    await until(() => page.$(`.calendar button[data-day="${day}"][aria-pressed=${pressed}]`), `pressed: ${pressed}`);
    hold((await at()) === day, 'the focus is lost');
  }
  await page.focus('.skip');
  await page.keyboard.press('Enter');
  hold((await page.evaluate(() => document.activeElement.id)) === 'content', 'the content has not the focus');
  hold(await page.isVisible('#history'), 'it went to another page');
  await page.goto(`${page.url().split('#')[0]}#live`);
}

async function knobTurns(page) {
  await page.click('#open-knobs');
  await until(() => page.evaluate(() => !document.getElementById('knob-quantile').disabled), 'the knobs know their values');
  await page.focus('#knob-quantile');
  const before = await page.inputValue('#knob-quantile');
  for (let i = 0; i < 5; i++) await page.keyboard.press('ArrowLeft');
  const now = await page.inputValue('#knob-quantile');
  hold(Number(before) - Number(now) > 0.04, `${before} → ${now}`);
  await until(() => JSON.parse(execFileSync(focalctl, ['--json', 'get', 'quantile'], { env })).quantile === now, 'focald has it');
  hold((await page.getAttribute('#knob-quantile', 'aria-valuetext')).includes('15 %'), 'in words');
  await page.click('#open-knobs');
}

async function surviveRestarts(page, address) {
  await stop('focald');
  await until(async () => /does not answer/.test(await state(page)), 'it says that focald is gone');
  startFocald();
  await until(async () => (await state(page)) === 'Listening', 'focald is back');
  await until(async () => (await label(page)) === 'Rooster', 'its label');
  await stop('web');
  await until(async () => /Connection lost/.test(await state(page)), 'it says that the connection is lost');
  await startWeb(address.replace('http://', ''));
  await until(async () => (await state(page)) === 'Listening', 'the connection is back');
}

async function pictureMoves(page) {
  const one = await until(async () => {
    const seen = await look(page);
    return seen.colours > 40 && seen;
  }, 'a picture of more than 40 colours');
  await until(async () => {
    const two = await look(page);
    const moved = two.grey.filter((x, i) => Math.abs(x - one.grey[i]) > 8).length;
    return moved > two.grey.length / 20;
  }, 'it moves');
}

async function paintsAtOnce(page, bytes) {
  const paint = await page.evaluate(() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime);
  const busy = os.loadavg()[0] / os.cpus().length;
  console.log(`     first paint after ${Math.round(paint)} ms, ${bytes} bytes, load ${busy.toFixed(1)} a core`);
  hold(bytes > 10000 && bytes < 300000, `${bytes} bytes`);
  hold(paint !== undefined && (paint < 1000 || busy > 1), `first paint after ${paint} ms`);
}

async function fits(browser, address, width, height, scheme) {
  const page = await browser.newPage({ viewport: { width, height }, colorScheme: scheme });
  page.setDefaultTimeout(PATIENCE_MS);
  await page.goto(address);
  await until(async () => (await label(page).catch(() => '')) === 'Rooster', 'the label');
  await until(async () => (await look(page)).colours > 40, 'the picture');
  await page.waitForTimeout(4000);
  await page.keyboard.press('f'); // a picture that stands still is taken sooner
  await page.screenshot({ path: `${shots}/live-${width}-${scheme}.png`, fullPage: true });
  const over = await page.evaluate(() => document.scrollingElement.scrollWidth - innerWidth);
  hold(over <= 0, `${over} px wider than the screen`);
  const small = await page.evaluate(() => [...document.querySelectorAll('button, a, input, [role=meter], canvas')]
    .filter((e) => e.offsetParent && !e.textContent.trim() && !e.getAttribute('aria-label') && !e.labels?.length).map((e) => e.outerHTML.slice(0, 80)));
  hold(small.length === 0, `without a name for screen readers: ${small}`);
  await page.close();
}

/** On a page that was told to hide another stream. */
async function showsOthers(browser, address) {
  const page = await browser.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  await page.addInitScript(() => localStorage.setItem('focal', '{"hidden":["elsewhere"]}'));
  await page.goto(address);
  await until(async () => (await label(page).catch(() => '')) === 'Rooster', 'the label');
  await page.close();
}

async function main() {
  fs.mkdirSync(shots, { recursive: true });
  fs.mkdirSync(`${dir}/history`);
  startFocald();
  start('record', record, ['--config', '/dev/null', '--dir', `${dir}/history`, 'run']);
  start('pcm', '/usr/bin/python3', [`${source}/tests/viewers/web/pcm_listener.py`, env.FOCALD_DATA, `${dir}/pcm`]);
  const address = await startWeb('127.0.0.1:0');
  const browser = await chromium.launch({
    executablePath: chromiumPath, headless: true, timeout: PATIENCE_MS,
    args: ['--no-sandbox', '--disable-gpu', '--use-angle=swiftshader', '--enable-unsafe-swiftshader', '--disable-quic', '--no-first-run',
      '--disable-background-networking', '--disable-component-update', '--disable-sync'],
  });
  try {
    const page = await browser.newPage({ viewport: { width: 1440, height: 900 }, colorScheme: 'dark' });
    page.setDefaultTimeout(PATIENCE_MS);
    const errors = [];
    page.on('pageerror', (error) => errors.push(error.stack));
    page.on('console', (message) => message.type() === 'error' && !/WebSocket connection/.test(message.text()) && errors.push(message.text()));
    let bytes = 0;
    page.on('response', async (response) => { bytes += Number(response.headers()['content-length'] ?? 0); });
    await page.addInitScript(() => {
      const connect = AudioNode.prototype.connect;
      AudioNode.prototype.connect = function (target, ...rest) {
        if (target instanceof AudioDestinationNode) {
          window.testTap = this.context.createAnalyser();
          window.testTap.fftSize = 32768;
          connect.call(this, window.testTap);
        }
        return connect.call(this, target, ...rest);
      };
    });
    await page.goto(address);
    await promise('the_label_appears', () => until(async () => (await label(page).catch(() => '')) === 'Rooster', 'Rooster'));
    await promise('the_page_is_small_and_paints_at_once', () => paintsAtOnce(page, bytes));
    await promise('the_picture_is_not_blank_and_moves', () => pictureMoves(page));
    await promise('a_screen_reader_is_told', () => until(async () => /Rooster/.test(await page.textContent('#announce')), 'announced'));
    await promise('keys_choose_what_is_shown', async () => {
      await page.keyboard.press('3');
      hold((await page.getAttribute('#modes [data-value=focus]', 'aria-checked')) === 'true', '3 is why');
      await page.keyboard.press('2');
    });
    await promise('what_is_heard_is_what_was_published', () => soundMatches(page));
    await promise('a_knob_is_turned_by_keys_and_reaches_focald', () => knobTurns(page));
    await promise('the_history_plays', () => historyPlays(page));
    await promise('keys_reach_every_day', () => keysReachDays(page));
    await promise('the_page_survives_restarts', () => surviveRestarts(page, address));
    await promise('the_page_makes_no_errors', () => hold(errors.length === 0, errors.join('\n')));
    await page.close();
    await promise('a_hidden_stream_hides_no_other', () => showsOthers(browser, address));
    await promise('it_fits_a_desktop', () => fits(browser, address, 1440, 900, 'light'));
    await promise('it_fits_a_phone', () => fits(browser, address, 390, 844, 'dark'));
  } finally {
    await browser.close();
  }
}

try {
  await main();
} catch (error) {
  failed++;
  console.log(`FAIL ${error.stack}`);
} finally {
  for (const name of [...children.keys()]) await stop(name);
  if (failed) for (const file of fs.readdirSync(dir).filter((f) => f.endsWith('.log'))) console.log(`${file}: ${fs.readFileSync(`${dir}/${file}`, 'utf8').slice(-2000)}`);
  fs.rmSync(dir, { recursive: true });
}
process.exit(failed ? 1 : 0);
