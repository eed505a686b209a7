// SPDX-License-Identifier: Apache-2.0
// Sounds as they come: the newest on top, and said aloud to who cannot see them.

import { byId, clockText, element, hue, percent, pretty, seconds, setText } from './dom.js';

const SHOWN = 40;
const rows = new Map(); // run, stream and id → row
let severalStreams = false;

export function showEvent(packet, isNew) {
  const key = `${packet.run}/${packet.stream}/${packet.id}`;
  const list = byId('events');
  byId('no-events').hidden = true;
  let row = rows.get(key);
  if (!row) {
    row = element('li', {}, element('span.dot', { style: { background: hue(packet.label) }, 'aria-hidden': 'true' }),
      element('span.name', {}, pretty(packet.label)), element('span.where.dim', {}, packet.stream),
      element('span.length.dim', {}), element('span.p', {}), element('time.dim', {}));
    rows.set(key, row);
    list.prepend(row);
    for (const [k, r] of rows) {
      if (rows.size <= SHOWN) break;
      r.remove();
      rows.delete(k);
    }
    announce(packet, row, isNew);
  }
  const [, , , length, p, time] = row.children;
  const ms = packet.t_onset_ns / 1e6;
  row.classList.toggle('going-on', !packet.ended);
  setText(length, packet.ended ? seconds((packet.end - packet.onset) / 16000) : 'now');
  setText(p, percent(packet.p_peak));
  setText(time, clockText(ms));
  time.setAttribute('datetime', new Date(ms).toISOString());
}

export function setSeveral(several) {
  severalStreams = several;
  byId('events').classList.toggle('several', several);
}

/** What begins is said, and what was there when the page came and still goes on; what was over by then is not. */
let waiting = [];
function announce(packet, row, isNew) {
  waiting.push({ text: severalStreams ? `${packet.stream}: ${pretty(packet.label)}` : pretty(packet.label), row, isNew });
  if (waiting.length > 1) return;
  setTimeout(() => {
    const said = waiting.filter((w) => w.isNew || w.row.classList.contains('going-on'));
    if (said.length > 0) byId('announce').textContent = said.slice(-4).map((w) => w.text).join(', ');
    waiting = [];
  }, 700);
}
