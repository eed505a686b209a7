// SPDX-License-Identifier: Apache-2.0
// Under the picture, on the same time axis: how sure each label was, and from when to when its sounds went.

import { RATE } from './clock.js';
import { clockText, hue, pretty } from './dom.js';

const LANES = 4;
const KEPT_S = 30;
const AXIS = 20; // px

export class Timeline {
  constructor(canvas) {
    this.canvas = canvas;
    this.paint = canvas.getContext('2d');
    this.reset();
  }

  reset() {
    this.points = new Map(); // label → [{sample, p}], oldest first
    this.marks = []; // samples of all windows
    this.events = new Map(); // id → {label, onset, end}
    this.lanes = [];
  }

  /** top: the labels of the window that ends at `sample`. The last seconds are told again to whoever
      looks anew. */
  add(sample, top) {
    if (sample <= this.marks.at(-1)) return;
    this.marks.push(sample);
    for (const { label, p } of top) {
      if (!this.points.has(label)) this.points.set(label, []);
      this.points.get(label).push({ sample, p });
    }
    const old = sample - KEPT_S * RATE;
    while (this.marks[0] < old) this.marks.shift();
    for (const [label, list] of this.points) {
      while (list.length && list[0].sample < old) list.shift();
      if (!list.length) this.points.delete(label);
    }
    for (const [id, event] of this.events) if (event.end && event.end < old) this.events.delete(id);
    this.chooseLanes();
  }

  addEvent(event) {
    this.events.set(event.id, { label: event.label, onset: event.onset, end: event.ended ? event.end : 0 });
  }

  /** The strongest labels; one that has its lane keeps it while it is among them. */
  chooseLanes() {
    const strength = [...this.points].map(([label, list]) => [label, Math.max(...list.map((x) => x.p))]);
    const best = strength.filter(([, p]) => p >= 0.12).sort((a, b) => b[1] - a[1]).slice(0, LANES).map(([label]) => label);
    const lanes = this.lanes.map((label) => (best.includes(label) ? label : null));
    for (const label of best) {
      if (lanes.includes(label)) continue;
      const free = lanes.indexOf(null);
      if (free >= 0) lanes[free] = label;
      else lanes.push(label);
    }
    this.lanes = lanes.slice(0, LANES);
  }

  /** look: {rightSample, spanSamples, wall (sample → ms), on (event threshold or null), ink, dim, line} */
  draw(look) {
    const { canvas, paint } = this;
    const ratio = Math.min(devicePixelRatio || 1, 2);
    const width = canvas.clientWidth;
    const height = canvas.clientHeight;
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    paint.setTransform(ratio, 0, 0, ratio, 0, 0);
    paint.clearRect(0, 0, width, height);
    const x = (sample) => width * (1 - (look.rightSample - sample) / look.spanSamples);
    this.drawAxis(look, x, width, height);
    const lane = (height - AXIS) / LANES;
    for (let i = 0; i < LANES; i++) this.drawLane(this.lanes[i], i * lane, lane, look, x, width);
  }

  drawAxis(look, x, width, height) {
    const { paint } = this;
    paint.font = '11px system-ui, sans-serif';
    paint.fillStyle = look.dim;
    paint.strokeStyle = look.line;
    paint.lineWidth = 1;
    const leftMs = look.wall(look.rightSample - look.spanSamples);
    if (leftMs === null) return;
    const every = width < 520 ? 4000 : 2000;
    const rightMs = leftMs + (look.spanSamples / RATE) * 1000;
    for (let ms = Math.ceil(leftMs / every) * every; ms <= rightMs; ms += every) {
      const at = width * (ms - leftMs) / (rightMs - leftMs);
      paint.beginPath();
      paint.moveTo(Math.round(at) + 0.5, 0);
      paint.lineTo(Math.round(at) + 0.5, height - AXIS + 3);
      paint.stroke();
      const text = clockText(ms);
      const half = paint.measureText(text).width / 2;
      if (at - half > 2 && at + half < width - 2) paint.fillText(text, at - half, height - 4);
    }
  }

  drawLane(label, top, height, look, x, width) {
    const { paint } = this;
    const base = top + height - 3;
    paint.strokeStyle = look.line;
    paint.beginPath();
    paint.moveTo(0, base + 0.5);
    paint.lineTo(width, base + 0.5);
    paint.stroke();
    if (!label) return;
    const colour = hue(label);
    const room = height - 9;
    const list = this.points.get(label) ?? [];
    paint.fillStyle = colour;
    for (const event of this.events.values()) {
      if (event.label !== label) continue;
      const from = Math.max(0, x(event.onset));
      const to = Math.min(width, event.end ? x(event.end) : width);
      if (to <= from) continue;
      paint.globalAlpha = 0.16;
      paint.fillRect(from, top + 2, to - from, height - 5);
      paint.globalAlpha = 1;
      paint.fillRect(from, top + 2, to - from, 2);
    }
    this.drawArea(list, colour, base, room, look, x);
    if (look.on !== null) {
      paint.strokeStyle = colour;
      paint.setLineDash([2, 4]);
      paint.globalAlpha = look.turning ? 1 : 0.55;
      paint.beginPath();
      paint.moveTo(0, base - look.on * room);
      paint.lineTo(width, base - look.on * room);
      paint.stroke();
      paint.globalAlpha = 1;
      paint.setLineDash([]);
    }
    const text = pretty(label);
    paint.font = '600 12px system-ui, sans-serif';
    paint.strokeStyle = look.ground;
    paint.lineWidth = 4;
    paint.lineJoin = 'round';
    paint.strokeText(text, 8, base - room / 2 + 4);
    paint.fillStyle = look.ink;
    paint.fillText(text, 8, base - room / 2 + 4);
    paint.lineWidth = 1;
  }

  /** A window that does not name the label is a zero. */
  drawArea(list, colour, base, room, look, x) {
    const { paint } = this;
    const known = new Map(list.map((point) => [point.sample, point.p]));
    paint.beginPath();
    let begun = false;
    let last = 0;
    for (const sample of this.marks) {
      const at = x(sample);
      const y = base - (known.get(sample) ?? 0) * room;
      if (!begun) paint.moveTo(at, base);
      begun = true;
      paint.lineTo(at, y);
      last = at;
    }
    if (!begun) return;
    paint.lineTo(last, base);
    paint.closePath();
    paint.fillStyle = colour;
    paint.globalAlpha = 0.42;
    paint.fill();
    paint.globalAlpha = 1;
    paint.strokeStyle = colour;
    paint.lineWidth = 1.5;
    paint.stroke();
    paint.lineWidth = 1;
  }
}
