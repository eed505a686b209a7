// SPDX-License-Identifier: Apache-2.0
// The AudioWorklet's player in simulated time: what it plays is what came, sample by sample, also when clocks drift.
// usage: node test_player.mjs PLAYER_JS
import fs from 'node:fs';
import vm from 'node:vm';
import { finish, hold, promise } from './promises.mjs';

const HOP = 7998;
const source = fs.readFileSync(process.argv[2], 'utf8');

function makePlayer(rate = 16000) {
  let Player;
  const context = {
    AudioWorkletProcessor: class { constructor() { this.port = { postMessage: (m) => { this.last = m; } }; } },
    registerProcessor: (name, c) => { Player = c; }, sampleRate: rate, currentFrame: 0, Float32Array, Math,
  };
  vm.runInNewContext(source, context);
  const player = new Player();
  player.say = (data) => player.port.onmessage({ data });
  return player;
}

const input = (n) => Math.fround(((n * 7919) % 65536) / 65536 - 0.5);
const audio = (n) => Math.fround(input(n) / 2);

function feed(player, first, count = HOP) {
  for (const [which, f] of [[0, input], [1, audio]]) {
    player.say({ do: 'samples', which, first, data: Float32Array.from({ length: count }, (_, i) => f(first + i)) });
  }
}

/** Plays for so many seconds of output; a hop comes each `hopS` seconds, `late(k)` seconds late. */
function run(player, seconds, { hopS = HOP / 16000, late = () => 0, rate = 16000, lose = () => false, at = () => {}, keep = true } = {}) {
  const out = [];
  const block = new Float32Array(128);
  let hop = 0;
  for (let t = 0; t < seconds; t += 128 / rate) {
    while (hop * hopS + late(hop) <= t) {
      if (!lose(hop)) feed(player, 1000 + hop * HOP);
      hop++;
    }
    at(t, player);
    block.fill(0);
    player.process([], [[block]]);
    if (keep) out.push(...block);
  }
  return out;
}

/** Where out[i] begins to be f(n): n - i, exactly up to `to`. */
function matches(out, from, to, f) {
  for (let n = 1000; n < 1000 + 65536 * 2; n++) {
    let i = from;
    while (i < to && out[i] === f(n + i - from)) i++;
    if (i === to) return n - from;
  }
  throw new Error(`out[${from}..${to}] is nothing that came`);
}

await promise('it_plays_what_came_exactly', () => {
  const out = run(makePlayer(), 8);
  const begin = out.findIndex((x) => x !== 0);
  hold(begin >= 0 && begin < 3 * 16000, `begins at ${begin}`);
  matches(out, begin, out.length, input);
});

await promise('the_switch_is_at_the_same_sample', () => {
  let switched = false;
  const out = run(makePlayer(), 6, { at: (t, p) => { if (t > 4 && !switched) { switched = true; p.say({ do: 'choose', which: 1 }); } } });
  const cut = Math.floor(4 * 16000);
  const before = matches(out, cut - 8000, cut - 128, input);
  const after = matches(out, cut + 500, cut + 8000, audio);
  hold(before === after, `${before} and ${after}`);
});

await promise('jitter_of_half_a_hop_is_not_heard', () => {
  const out = run(makePlayer(), 60, { late: (k) => ((k * 37) % 10) * 0.025 });
  const begin = out.findIndex((x) => x !== 0);
  hold(begin >= 0, 'nothing');
  matches(out, begin, begin + 16000 * 3, input);
  hold(!silences(out, begin), 'it stopped');
});

/** 50 zeros in a row: none of the samples are so. */
function silences(out, from) {
  for (let i = from, zeros = 0; i < out.length; i++) {
    zeros = out[i] === 0 ? zeros + 1 : 0;
    if (zeros === 50) return true;
  }
  return false;
}

for (const ppm of [2000, -2000]) { // far more than clocks do: minutes stand for hours
  await promise(`clocks_that_drift_by_${ppm}_ppm_are_followed_without_a_gap`, () => {
    const player = makePlayer();
    let steered = false;
    run(player, 900, { keep: false, hopS: (HOP / 16000) * (1 + ppm * 1e-6), at: (t, p) => { steered ||= p.speed !== 1; } });
    hold(player.gaps === 0, `${player.gaps} gaps`);
    hold(steered && player.available() < 2.9 * 16000, `${player.available()} samples wait`); // 1.8 s more would wait unsteered
  });
}

await promise('a_loss_is_silence_and_never_a_shift', () => {
  const out = run(makePlayer(), 12, { lose: (k) => k === 10 });
  const begin = out.findIndex((x) => x !== 0);
  const offset = matches(out, begin, begin + 8000, input);
  const lost = 1000 + 10 * HOP - offset; // in out
  hold(out.slice(lost, lost + HOP).every((x) => x === 0), 'the loss is heard as something');
  // the sound that came comes again every 65536 samples
  hold((matches(out, lost + HOP, lost + HOP + 8000, input) - offset) % 65536 === 0, 'it shifted');
});

await promise('it_fills_up_again_after_it_ran_dry', () => {
  const player = makePlayer();
  const out = run(player, 20, { late: (k) => (k >= 12 && k < 18 ? 2.5 : 0) });
  hold(player.gaps >= 1, 'it never ran dry: the test is none');
  hold(player.at !== null && !silences(out, out.length - 2 * 16000), 'it is still silent'); // a little faster, perhaps
});

await promise('who_slept_goes_on_with_the_present', () => {
  const player = makePlayer();
  run(player, 6);
  for (let hop = 12; hop < 60; hop++) feed(player, 1000 + hop * HOP); // 24 s, more than the ring holds
  const block = new Float32Array(16000);
  player.process([], [[block]]);
  const end = 1000 + 60 * HOP;
  hold((matches(block, 0, 8000, input) - (end - Math.round(player.reserve))) % 65536 === 0, 'it plays what is long past');
});

await promise('a_sound_card_of_48_khz_gets_three_samples_for_one', () => {
  const player = makePlayer(48000);
  const out = run(player, 6, { rate: 48000 });
  const begin = out.findIndex((x) => x !== 0);
  const thirds = out.slice(begin).filter((_, i) => i % 3 === 0).slice(0, 8000);
  let worst = 0;
  const n = [...Array(70000).keys()].map((k) => 1000 + k).find((k) => Math.abs(input(k) - thirds[0]) < 1e-6 && Math.abs(input(k + 1) - thirds[1]) < 1e-4 && Math.abs(input(k + 2) - thirds[2]) < 1e-4);
  hold(n !== undefined, 'not found');
  thirds.forEach((x, i) => { worst = Math.max(worst, Math.abs(x - input(n + i))); });
  hold(worst <= 1e-3, `off by ${worst}`);
});

finish();
