// SPDX-License-Identifier: Apache-2.0
// focald's live parameters. What a knob does is seen while it is turned; focald is told a moment later,
// and every open page shows what it took.

import { byId, element, setText } from './dom.js';

const HOP_FRAME_S = 186 / 16000;
const knobs = [
  { key: 'quantile', name: 'How much of the map counts', min: 0.5, max: 0.99, step: 0.01, read: Number,
    say: (v) => `the strongest ${Math.round(100 * (1 - v))} % of the picture are kept`, hint: 'The outline in the picture and what “Interpretation” plays.' },
  { key: 'hop', name: 'From one answer to the next', min: 11, max: 215, step: 1, read: (t) => (t.includes('s') && !t.includes('frame') ? Math.round(parseFloat(t) / HOP_FRAME_S) : parseFloat(t)),
    write: (v) => `${v} frames`, say: (v) => `every ${(v * HOP_FRAME_S).toFixed(2)} s`, hint: 'Shorter is quicker and costs more.' },
  { key: 'event_on', name: 'A sound begins at', min: 0.05, max: 1, step: 0.01, read: Number,
    say: (v) => `${Math.round(100 * v)} % sure`, hint: 'The dotted line in the timeline.' },
  { key: 'event_off', name: 'and ends below', min: 0.01, max: 0.99, step: 0.01, read: Number, say: (v) => `${Math.round(100 * v)} % sure`, hint: 'Lower than where it begins, so that sounds do not flicker.' },
  { key: 'event_min_length', name: 'Shortest sound told', min: 0, max: 5, step: 0.1, read: parseFloat, write: (v) => `${v} s`, say: (v) => `${v.toFixed(1)} s`, hint: 'Shorter ones are not told.' },
  { key: 'silence_gate', name: 'Silence is below', min: -100, max: -10, step: 1, read: parseFloat, write: (v) => `${v} dBFS`, say: (v) => `${v} dB of full scale`.replace('-', '−'), hint: 'The mark in the level meter. Quieter windows are not analysed.' },
  { key: 'top_k', name: 'Labels listed', min: 1, max: 10, step: 1, read: Number, say: (v) => `${v}`, hint: 'The list under each picture.' },
];

const LATER_MS = 250;

export class Knobs {
  /** preview(values): called with what is being turned, {} when nothing is. */
  constructor(link, preview) {
    this.link = link;
    this.preview = preview;
    this.turned = {};
    this.rows = new Map();
    this.ran = new Map(); // stream → what focald ran with, as it told last
    this.note = element('p.dim.knob-note', { role: 'status' });
    byId('knobs').replaceChildren(...knobs.map((knob) => this.build(knob)), this.note);
  }

  build(knob) {
    const input = element('input', { type: 'range', id: `knob-${knob.key}`, min: knob.min, max: knob.max, step: knob.step, disabled: true, 'aria-describedby': `hint-${knob.key}` });
    const value = element('output', { for: input.id });
    input.addEventListener('input', () => this.turn(knob, Number(input.value)));
    this.rows.set(knob.key, { knob, input, value });
    return element('div.knob', {}, element('label', { for: input.id }, knob.name), value, input, element('p.dim', { id: `hint-${knob.key}` }, knob.hint));
  }

  say({ knob, input, value }, v) {
    const text = knob.say(v);
    setText(value, text);
    input.setAttribute('aria-valuetext', text);
    input.style.setProperty('--part', `${(100 * (Math.min(Math.max(v, knob.min), knob.max) - knob.min)) / (knob.max - knob.min)}%`);
  }

  turn(knob, v) {
    this.say(this.rows.get(knob.key), v);
    this.turned[knob.key] = v;
    this.preview({ ...this.turned });
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.send(knob, v), LATER_MS);
  }

  async send(knob, v) {
    try {
      await this.link.ask({ cmd: 'set', key: knob.key, value: knob.write ? knob.write(v) : String(v) });
      setText(this.note, 'It holds until focald ends; focald.conf has it for ever.');
    } catch (error) {
      setText(this.note, error.message);
      this.refresh();
    }
    if (this.turned[knob.key] !== v) return;
    delete this.turned[knob.key];
    setTimeout(() => this.preview({ ...this.turned }), 1500); // by then focald shows it itself
  }

  /** info: a stream's. Values change without this page too: by focalctl, or when focald starts anew. */
  heard(info) {
    const runs = JSON.stringify([info.run, info.analysis]);
    const before = this.ran.get(info.stream);
    this.ran.set(info.stream, runs);
    if (before === runs || byId('knobs').hidden) return;
    clearTimeout(this.later); // all streams tell it at once
    this.later = setTimeout(() => this.refresh(), LATER_MS);
  }

  async refresh() {
    try {
      const { values } = await this.link.ask({ cmd: 'get' });
      this.show(values);
    } catch (error) {
      setText(this.note, error.message);
    }
  }

  show(values) {
    for (const [key, text] of Object.entries(values)) {
      const row = this.rows.get(key);
      if (!row || key in this.turned) continue;
      const v = row.knob.read(text);
      if (!Number.isFinite(v)) continue;
      row.input.value = v;
      row.input.disabled = false;
      this.say(row, v);
    }
  }
}
