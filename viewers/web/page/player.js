// SPDX-License-Identifier: Apache-2.0
// The AudioWorklet: input and interpretation lie in two rings that share the stream's timeline, so that
// switching between them is a change of ring at the same sample. It plays samples as they are; only when
// the browser's clock and the sound card's drift apart it plays by 0.3 % faster or slower for a while.

const SIZE = 1 << 18; // 16 s
const RATE = 16000;
const FADE = 160; // samples of a switch, 10 ms
const TURN = 0.003;
const LATE = 3 * RATE; // more than that is left out, not caught up with
const REPORT = 800; // output samples between reports

class Player extends AudioWorkletProcessor {
  constructor() {
    super();
    this.rings = [new Float32Array(SIZE), new Float32Array(SIZE)];
    this.port.onmessage = ({ data }) => this[data.do](data);
    this.choice = 0;
    this.mix = 0; // 0: ring 0, 1: ring 1
    this.reserve = 1.2 * RATE;
    this.clear();
  }

  clear() {
    this.from = [null, null]; // first sample there is, of each ring
    this.end = [0, 0]; // behind the last
    this.at = null; // next sample to play
    this.speed = 1;
    this.gaps = 0;
    this.sinceReport = 0;
  }

  choose({ which, now }) {
    this.choice = which;
    if (now) this.mix = which;
  }

  keep({ seconds }) {
    this.reserve = Math.max(0.2, seconds) * RATE;
  }

  samples({ which, first, data }) {
    const ring = this.rings[which];
    if (this.from[which] === null) this.from[which] = this.end[which] = first;
    if (first > this.end[which] + SIZE / 2 || first + data.length < this.end[which] - SIZE / 2) { // another timeline
      this.clear();
      this.from[which] = this.end[which] = first;
    }
    for (let s = this.end[which]; s < first; s++) ring[s % SIZE] = 0; // a loss is silence, never a shift
    for (let i = 0; i < data.length; i++) ring[(first + i) % SIZE] = data[i];
    this.end[which] = Math.max(this.end[which], first + data.length);
    this.from[which] = Math.max(this.from[which], this.end[which] - SIZE + 1);
  }

  /** Both must be there: the interpretation comes later than the input. */
  available() {
    return this.from.includes(null) ? 0 : Math.min(...this.end) - (this.at ?? Math.max(...this.from));
  }

  begin() {
    if (this.available() < this.reserve) return false;
    this.at = Math.max(Math.max(...this.from), Math.min(...this.end) - Math.round(this.reserve));
    this.speed = 1;
    return true;
  }

  /** Steady until the reserve is far off, then a little faster or slower until it is right again. */
  steer() {
    const over = this.available() - this.reserve;
    const hop = 8000; // what comes at once makes the level swing by as much
    if (this.speed === 1) {
      if (over > 1.2 * RATE) this.speed = 1 + TURN;
      else if (over < -(this.reserve - 0.1 * RATE) && this.at > 0) this.speed = 1 - TURN;
    } else if ((this.speed > 1 && over < hop / 2) || (this.speed < 1 && over > -hop / 2)) {
      const next = Math.ceil(this.at);
      if (next - this.at < 2 * TURN) { // whole samples again: exact again
        this.at = next;
        this.speed = 1;
      }
    }
  }

  value(which, at) {
    const ring = this.rings[which];
    const low = Math.floor(at);
    const part = at - low;
    if (part === 0) return ring[low % SIZE];
    const [a, b, c, d] = [-1, 0, 1, 2].map((k) => ring[(low + k + SIZE) % SIZE]); // Catmull-Rom
    return b + 0.5 * part * (c - a + part * (2 * a - 5 * b + 4 * c - d + part * (3 * (b - c) + d - a)));
  }

  process(inputs, [[out]]) {
    const step = RATE / sampleRate;
    if (this.at === null && !this.begin()) {
      this.report(out.length);
      return true;
    }
    if (this.available() > this.reserve + LATE) { // the tab slept, or the machine was too busy: on with the present
      this.at = Math.min(...this.end) - Math.round(this.reserve);
      this.speed = 1;
    }
    this.steer();
    const end = Math.min(...this.end);
    for (let i = 0; i < out.length; i++) {
      if (this.at >= end) { // ran dry: silence until there is a reserve again, a larger one
        this.at = null;
        this.gaps++;
        this.reserve = Math.min(this.reserve + 0.25 * RATE, 4 * RATE);
        break;
      }
      const to = this.choice;
      if (this.mix !== to) this.mix = to > this.mix ? Math.min(1, this.mix + 1 / FADE) : Math.max(0, this.mix - 1 / FADE);
      if (this.mix === 0 || this.mix === 1) out[i] = this.value(this.mix, this.at);
      else out[i] = this.value(0, this.at) * (1 - this.mix) + this.value(1, this.at) * this.mix;
      this.at += step * this.speed;
    }
    this.report(out.length);
    return true;
  }

  report(n) {
    this.sinceReport += n;
    if (this.sinceReport < REPORT * (sampleRate / RATE)) return;
    this.sinceReport = 0;
    this.port.postMessage({ at: this.at, available: this.available() / RATE, reserve: this.reserve / RATE, gaps: this.gaps, speed: this.speed, frame: currentFrame });
  }
}

registerProcessor('focal-player', Player);
