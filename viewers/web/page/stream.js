// SPDX-License-Identifier: Apache-2.0
// One stream: its name and label, the picture, the timeline, the level, the best labels, and listening.

import { Clock, RATE } from './clock.js';
import { element, hue, hueOrNone, percent, pretty, setText } from './dom.js';
import { encode, quantile, resize } from './focus.js';
import { calm, settings } from './settings.js';
import { Timeline } from './timeline.js';
import { Waterfall, heightOf } from './waterfall.js';

const MODES = { sound: 0, both: 1, focus: 2 };
const LEVEL_FLOOR = -60;

export class Stream {
  constructor(name, listener) {
    this.name = name;
    this.listener = listener;
    this.clock = new Clock();
    this.run = null;
    this.hop = 186;
    this.frames = 431;
    this.levels = [];
    this.held = { db: -Infinity, ms: 0 };
    this.analysis = {};
    this.preview = {}; // what somebody turns just now
    this.build();
    this.waterfall = new Waterfall(this.picture, (why) => {
      setText(this.noPicture, why);
      this.noPicture.hidden = why === '';
    });
    this.timeline = new Timeline(this.lanes);
    this.waterfall.setColours(settings.colours);
    this.drawScale();
    this.onScreen = new IntersectionObserver((seen) => (seen.at(-1).isIntersecting ? this.waterfall.show() : this.waterfall.hide()), { rootMargin: '200px' });
    this.onScreen.observe(this.element);
  }

  close() {
    this.onScreen.disconnect();
    this.waterfall.release();
  }

  build() {
    const listenButton = (which, text, title) => element('button.listen', {
      type: 'button', 'aria-pressed': 'false', 'data-which': which, title,
      onclick: () => this.toggleListening(which),
    }, element('span.play', { 'aria-hidden': 'true' }), text);
    this.buttons = [
      listenButton('input', 'Input', 'Listen to what the microphone hears'),
      listenButton('audio', 'Interpretation', 'Listen to the part of the sound that made focald say so'),
    ];
    this.delay = element('span.delay.dim', { 'aria-live': 'off' });
    this.label = element('p.label', {}, 'Listening …');
    this.sure = element('span.sure', {});
    this.source = element('span.source.dim', {});
    this.picture = element('canvas.picture', { role: 'img', 'aria-label': `${this.name}: spectrogram of the last seconds, with what focald looked at` });
    this.lanes = element('canvas.lanes', { role: 'img', 'aria-label': `${this.name}: labels over the same time` });
    this.scale = element('div.scale', { 'aria-hidden': 'true' });
    this.noPicture = element('p.no-picture', { hidden: true });
    this.meter = element('div.meter', { role: 'meter', 'aria-label': `${this.name}: level`, 'aria-valuemin': LEVEL_FLOOR, 'aria-valuemax': 0 },
      element('div.bar', {}), element('div.peak', {}), element('div.gate', {}));
    this.level = element('span.level.dim', {});
    this.top = element('ol.top-labels', { 'aria-label': 'Best labels' });
    this.element = element('article.card.stream', { 'aria-label': this.name },
      element('header', {},
        element('div.who', {}, element('h2', {}, this.name), this.source),
        element('div.listening', { role: 'group', 'aria-label': `Listen to ${this.name}` }, this.delay, ...this.buttons)),
      element('div.said', {}, this.label, this.sure),
      element('div.stage', {},
        element('div.pictures', {}, element('div.frame', {}, this.picture, this.scale, this.noPicture), this.lanes),
        element('div.side', {}, this.meter, this.level)),
      this.top);
  }

  toggleListening(which) {
    const { listener } = this;
    if (listener.stream === this.name && listener.choice === which) listener.stop();
    else listener.play(this.name, which).catch((error) => setText(this.delay, error.message));
  }

  showListening() {
    const here = this.listener.stream === this.name;
    for (const button of this.buttons) {
      const on = here && this.listener.choice === button.dataset.which;
      button.setAttribute('aria-pressed', on);
    }
    const delay = here ? this.listener.delay() : null;
    setText(this.delay, !here ? '' : delay === null ? 'filling up …' : `${delay.toFixed(1)} s behind`);
  }

  take(packet, nowMs) {
    if (packet.topic !== 'info' && packet.topic !== 'health' && packet.topic !== 'event' && packet.run !== this.run) this.restart(packet.run);
    switch (packet.topic) {
      case 'info': return this.takeInfo(packet);
      case 'spec': return this.takeSpec(packet, nowMs);
      case 'map': this.map = packet; return this.showMap(nowMs);
      case 'mask': this.mask = packet; return this.showMap(nowMs);
      case 'level': return this.takeLevel(packet);
      case 'label': return this.takeLabel(packet);
      case 'event': return packet.run === this.run && this.timeline.addEvent(packet);
      default: return undefined;
    }
  }

  /** Another run of focald: its timeline begins anew. */
  restart(run) {
    const first = this.run === null;
    this.run = run;
    this.map = this.mask = null;
    this.levels = [];
    this.clock.reset();
    if (!first) {
      this.waterfall.forget();
      this.timeline.reset();
    }
  }

  takeInfo(packet) {
    this.hop = packet.preprocess?.hop_length ?? this.hop;
    this.frames = packet.preprocess?.frames ?? this.frames;
    this.analysis = packet.analysis ?? {};
    this.model = packet.model;
  }

  takeSpec(packet, nowMs) {
    const [rows, bins] = packet.shape;
    this.range = [packet.db_from, packet.db_step];
    this.clock.arrived(packet.first, packet.count, packet.t_ns, nowMs);
    this.waterfall.addSpec(Math.floor(packet.first / this.hop), rows, bins, packet.payload);
    if (this.map && this.shownMap !== this.map) this.showMap(nowMs);
  }

  /** When map and mask of a window are both here, or the knob is being turned. */
  showMap(nowMs) {
    const { map, mask } = this;
    if (!map) return;
    const turned = this.preview.quantile;
    if (turned === undefined && (!mask || mask.first !== map.first)) return;
    if (this.resizedOf !== map) {
      this.resized = resize(map.payload, ...map.shape, this.frames);
      this.resizedOf = map;
    }
    const threshold = turned === undefined ? mask.threshold : quantile(this.resized, turned);
    this.shownMap = map;
    this.waterfall.setMap(Math.floor(map.first / this.hop), this.frames, encode(this.resized, threshold), nowMs);
  }

  takeLevel(packet) {
    for (let i = 0; i < packet.shape[0]; i++) {
      this.levels.push({ sample: packet.first + i * packet.block, peak: packet.payload[2 * i], rms: packet.payload[2 * i + 1] });
    }
    if (this.levels.length > 1500) this.levels.splice(0, 500);
  }

  takeLabel(packet) {
    const end = packet.first + packet.count;
    this.timeline.add(end, packet.silence || packet.unknown ? [] : packet.top);
    this.latest = packet;
    const best = packet.silence ? null : packet.top[0];
    const sure = best && best.p >= 0.3 && !packet.unknown; // what is unknown is told below, as candidates
    setText(this.label, packet.silence ? 'Silence' : packet.unknown ? 'Unknown' : sure ? pretty(best.label) : 'Not sure');
    setText(this.sure, sure ? percent(best.p) : '');
    this.element.classList.toggle('quiet', !sure);
    this.element.style.setProperty('--hue', sure ? hue(best.label) : 'transparent');
    this.showTop(packet.silence ? [] : packet.top);
  }

  showTop(top) {
    const wanted = this.preview.top_k ?? top.length;
    const items = top.slice(0, wanted);
    while (this.top.children.length > items.length) this.top.lastChild.remove();
    while (this.top.children.length < items.length) {
      this.top.append(element('li', {}, element('span.bar', {}), element('span.name', {}), element('span.p', {})));
    }
    items.forEach((item, i) => {
      const row = this.top.children[i];
      row.firstChild.style.setProperty('transform', `scaleX(${Math.max(0.002, item.p)})`);
      row.firstChild.style.setProperty('background', hueOrNone(item.label));
      setText(row.children[1], pretty(item.label));
      setText(row.children[2], percent(item.p));
    });
  }

  drawScale() {
    const marks = settings.scale === 'mel' ? [250, 1000, 2000, 4000, 7000] : [1000, 2000, 4000, 6000, 7500];
    this.scale.replaceChildren(...marks.map((hz) => element('span', { style: { bottom: `${100 * heightOf(hz, settings.scale === 'mel')}%` } },
      hz < 1000 ? `${hz} Hz` : `${hz / 1000} kHz`)));
  }

  setPreview(preview) {
    this.preview = preview;
    if (preview.quantile !== undefined || this.map) this.showMap(performance.now());
    if (this.latest && !this.latest.silence) this.showTop(this.latest.top);
  }

  draw(nowMs, look) {
    const right = this.clock.position(nowMs);
    if (right === null) return;
    const spanSamples = look.seconds * RATE;
    const heard = this.listener.stream === this.name ? this.listener.position() : null;
    this.waterfall.draw(right / this.hop, {
      span: spanSamples / this.hop,
      opacity: settings.opacity / 100,
      mode: MODES[settings.mode] ?? 1,
      mel: settings.scale === 'mel',
      playhead: heard === null ? null : heard / this.hop,
      calm: calm.matches,
    }, nowMs);
    this.timeline.draw({
      rightSample: right, spanSamples, wall: (s) => this.clock.wallMs(s),
      on: this.preview.event_on ?? this.analysis.event_on ?? null, turning: this.preview.event_on !== undefined, ...look.inks,
    });
    this.drawLevel(right, nowMs);
  }

  drawLevel(right, nowMs) {
    let now = null;
    for (let i = this.levels.length - 1; i >= 0 && !now; i--) if (this.levels[i].sample <= right) now = this.levels[i];
    if (!now) return;
    const db = (x) => Math.max(LEVEL_FLOOR, 20 * Math.log10(Math.max(x, 1e-6)));
    const part = (x) => (x - LEVEL_FLOOR) / -LEVEL_FLOOR;
    const peak = db(now.peak);
    if (peak >= this.held.db || nowMs - this.held.ms > 1500) this.held = { db: Math.max(peak, this.held.db - (nowMs - (this.drawnMs ?? nowMs)) * 0.03), ms: peak >= this.held.db ? nowMs : this.held.ms };
    this.drawnMs = nowMs;
    const [bar, line, gate] = this.meter.children;
    bar.style.setProperty('transform', `scaleY(${part(db(now.rms))})`);
    line.style.setProperty('bottom', `${100 * part(Math.max(LEVEL_FLOOR, this.held.db))}%`);
    const gateDb = this.preview.silence_gate ?? this.analysis.silence_gate_dbfs ?? -100;
    gate.hidden = gateDb <= LEVEL_FLOOR;
    gate.style.setProperty('bottom', `${100 * part(Math.max(LEVEL_FLOOR, gateDb))}%`);
    const second = Math.floor(nowMs / 500);
    if (second === this.levelShown) return;
    this.levelShown = second;
    setText(this.level, peak <= LEVEL_FLOOR ? '−∞' : `${Math.round(peak)} dB`.replace('-', '−'));
    this.meter.setAttribute('aria-valuenow', Math.round(peak));
    this.meter.setAttribute('aria-valuetext', `${Math.round(peak)} decibels of full scale`);
  }

  showHealth(health) {
    setText(this.source, health.source_text ? shorten(health.source_text) : '');
    this.element.classList.toggle('troubled', !health.ok);
  }
}

/** "playing demo/a clip/dog.ogg" → "playing dog.ogg" */
function shorten(text) {
  return text.replace(/^(playing ).*\//, '$1');
}

