// SPDX-License-Identifier: Apache-2.0
// Which sample of a stream's timeline is at the picture's right edge now. Messages come once a hop and
// not evenly; the edge moves evenly, just far enough behind that it never runs out of sound.

export const RATE = 16000;
const REMEMBERED = 10;
const MARGIN_S = 0.12;
const JUMP_S = 2;

export class Clock {
  constructor() {
    this.reset();
  }

  reset() {
    this.offsets = [];
    this.offset = null; // stream seconds minus page seconds
    this.hop = 0.5;
    this.wall = null; // {sample, ms} of one moment
  }

  /** A message with samples [first, first + count) has just come. */
  arrived(first, count, tNs, nowMs) {
    const end = (first + count) / RATE;
    this.hop += (Math.min(count / RATE, 5) - this.hop) * 0.2;
    const offset = end - nowMs / 1000;
    if (offset - Math.max(...this.offsets) > JUMP_S) this.offsets = []; // this page's time stood still: a laptop slept
    // what comes at once, as the last seconds do at the beginning, is as late as its newest
    const atOnce = this.arrivedMs !== undefined && nowMs - this.arrivedMs < this.hop * 333;
    if (atOnce && this.offsets.length) this.offsets[this.offsets.length - 1] = Math.max(offset, this.offsets.at(-1));
    else this.offsets.push(offset);
    this.arrivedMs = nowMs;
    if (this.offsets.length > REMEMBERED) this.offsets.shift();
    this.wall = { sample: first, ms: tNs / 1e6 };
  }

  /** The latest of the last messages decides. */
  target() {
    return Math.min(...this.offsets) - this.hop - MARGIN_S;
  }

  /** Called once a frame; null before anything has come. */
  position(nowMs) {
    if (!this.offsets.length) return null;
    const target = this.target();
    const step = this.before === undefined ? 0 : Math.min(0.1, (nowMs - this.before) / 1000);
    this.before = nowMs;
    if (this.offset === null || Math.abs(target - this.offset) > JUMP_S) this.offset = target;
    else this.offset += Math.max(-0.25 * step, Math.min(0.25 * step, target - this.offset));
    return (nowMs / 1000 + this.offset) * RATE;
  }

  /** Wall-clock ms of a sample. */
  wallMs(sample) {
    return this.wall ? this.wall.ms + (sample - this.wall.sample) / (RATE / 1000) : null;
  }
}
