// SPDX-License-Identifier: Apache-2.0
// How focald is, in plain words: one sentence that matters, then the few numbers behind it.

import { byId, element, seconds } from './dom.js';

const latest = new Map(); // stream → health, and what it was a minute ago
const WINDOW_MS = 60000;

const times = (n, what) => `${n} ${what}${n === 1 ? '' : 's'}`;

export function showHealth(packet) {
  const now = Date.now();
  const before = latest.get(packet.stream);
  const past = before && before.health.run === packet.run ? before.past.filter((x) => now - x.ms < WINDOW_MS) : [];
  past.push({ ms: now, skipped: packet.skipped_windows, lost: packet.lost_samples });
  latest.set(packet.stream, { health: packet, past });
  draw();
}

function draw() {
  byId('health').replaceChildren(...[...latest].sort().map(([stream, entry]) => describe(stream, entry)));
}

export function forgetHealth(stream) {
  latest.delete(stream);
  draw();
}

export const worst = () => [...latest.values()].map(({ health }) => health).find((h) => !h.ok);

function sentence({ health, past }) {
  if (!health.ok) return health.problem || 'Something is wrong.';
  const lost = health.lost_samples - past[0].lost;
  const skipped = health.skipped_windows - past[0].skipped;
  if (lost > 0) return `Lost ${seconds(lost / (health.rate_hz || 48000))} of sound in the last minute: this machine did not keep up.`;
  if (skipped > 0) return `Skipped ${times(skipped, 'window')} in the last minute: the network is slower than the hop. A longer hop helps.`;
  return 'Hears every sample, and names every window in time.';
}

function describe(stream, entry) {
  const { health } = entry;
  const text = sentence(entry);
  const well = health.ok && text.startsWith('Hears');
  const ms = (x) => (x === null || x === undefined ? 'not known yet' : x < 950 ? `${Math.round(x)} ms` : `${(x / 1000).toFixed(1)} s`);
  const facts = [
    ['Answers after', health.latency_ms_p50 === null ? 'not known yet' : `${ms(health.latency_ms_p50)}, at worst ${ms(health.latency_ms_p99)}`],
    ['Sound lost', health.lost_samples ? `${seconds(health.lost_samples / (health.rate_hz || 48000))} since it started` : 'none since it started'],
    ['Windows skipped', `${health.skipped_windows} of ${health.windows + health.skipped_windows}`],
    ['Source', `${health.source_kind}, ${health.source_state}${health.reconnects ? `, ${times(health.reconnects, 'reconnection')}` : ''}`],
    ['Computes on', health.precision ? `${health.backend}, ${health.precision}` : health.backend],
    ['Runs for', seconds(health.uptime_s)],
  ];
  return element('div.patient', {},
    element('p.verdict', { class: `verdict ${well ? 'well' : 'ill'}` }, element('span.dot', { 'aria-hidden': 'true' }), element('strong', {}, stream), ' ', text),
    element('dl', {}, ...facts.flatMap(([name, value]) => [element('dt', {}, name), element('dd', {}, value)])));
}
