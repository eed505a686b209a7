// SPDX-License-Identifier: Apache-2.0
// What focal-record kept: search, a year's calendar, thumbnails, and a player that switches between what
// was heard and what made focald say so.

import { calendar, calendarBegin } from './calendar.js';
import { clockText, dayText, element, percent, pretty, seconds, setText } from './dom.js';

const PAGE = 48;
const FRESH_MS = 5000; // how soon what has just been kept is shown

async function get(path, query = {}) {
  const text = new URLSearchParams(Object.entries(query).filter(([, v]) => v !== '' && v !== null && v !== undefined));
  const answer = await fetch(`${path}?${text}`);
  if (answer.status === 401) location.href = '/login';
  const reply = await answer.json();
  if (!answer.ok) throw new Error(reply.error);
  return reply;
}

/** A history begun anew has other snippets of the same ids. */
const identity = (event) => `${event.id} ${event.first_ms}`;

/** Browsers keep it for a day: its address is this snippet's alone. */
const file = (event, name) => `/history/${event.id}/${name}?${event.first_ms}`;

export class History {
  constructor(host) {
    this.asked = { text: '', label: '', stream: '', day: null, favourites: false };
    this.search = element('input', { type: 'search', placeholder: 'Search sounds and notes', 'aria-label': 'Search sounds and notes', maxlength: 100, oninput: () => this.soon({ text: this.search.value }) });
    this.labels = element('select', { 'aria-label': 'Sound', onchange: () => this.ask({ label: this.labels.value }) });
    this.streams = element('select', { 'aria-label': 'Stream', onchange: () => this.ask({ stream: this.streams.value }) });
    this.favourites = element('button.plain', { type: 'button', 'aria-pressed': 'false', onclick: () => this.ask({ favourites: !this.asked.favourites }) }, '★ Favourites');
    this.year = element('div', {});
    this.found = element('p.found.dim', { role: 'status' });
    this.list = element('div.snippets', {});
    this.moreButton = element('button.plain.more', { type: 'button', hidden: true, onclick: () => this.more() }, 'Earlier ones');
    this.dialog = element('dialog.player', { 'aria-label': 'Snippet' });
    this.dialog.addEventListener('close', () => this.dialog.replaceChildren());
    host.replaceChildren(
      element('div.filters', { role: 'search' }, this.search, this.labels, this.streams, this.favourites),
      element('section.card.overview', { 'aria-labelledby': 'year-title' }, element('h2', { id: 'year-title' }, 'The last year'), this.year,
        element('p.legend', { 'aria-hidden': 'true' }, 'fewer', ...Array.from({ length: 5 }, () => element('i', {})), 'more')),
      this.found, this.list, this.moreButton, this.dialog);
  }

  async show() {
    clearInterval(this.freshTimer);
    this.freshTimer = setInterval(() => this.fresh(), FRESH_MS);
    await Promise.all([this.fillChoices(), this.drawYear(), this.reload()]);
  }

  async fillChoices() {
    try {
      const [labels, streams] = await Promise.all([get('/api/counts', { by: 'label' }), get('/api/counts', { by: 'stream' })]);
      const fill = (select, all, rows, name) => {
        select.replaceChildren(element('option', { value: '' }, all), ...rows.map(([value, n]) => element('option', { value, selected: value === this.asked[name] }, `${name === 'label' ? pretty(value) : value} (${n})`)));
      };
      fill(this.labels, 'All sounds', labels.counts.map((c) => [c.label, c.heard]), 'label');
      fill(this.streams, 'All streams', streams.counts.map((c) => [c.stream, c.heard]), 'stream');
      this.streams.hidden = streams.counts.length < 2;
    } catch (error) {
      setText(this.found, error.message);
    }
  }

  soon(change) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.ask(change), 200);
  }

  ask(change) {
    Object.assign(this.asked, change);
    this.favourites.setAttribute('aria-pressed', this.asked.favourites);
    if (!('text' in change) && !('favourites' in change)) this.drawYear();
    return this.reload();
  }

  query() {
    const { text, label, stream, day, favourites } = this.asked;
    return { text, label, stream, day, favourites: favourites ? 1 : '', limit: PAGE };
  }

  async drawYear() {
    const { label, stream, day } = this.asked;
    try {
      const { counts } = await get('/api/counts', { by: 'day', label, stream, from: Math.floor(calendarBegin().setHours(0, 0, 0, 0) / 3600000) * 3600000 });
      const at = this.year.contains(document.activeElement) ? document.activeElement.dataset.day : null;
      this.year.replaceChildren(calendar(new Map(counts.map((c) => [c.day, c.heard])), day, (chosen) => this.ask({ day: chosen })));
      if (at) this.year.querySelector(`[data-day="${at}"]`)?.focus({ preventScroll: true });
    } catch { /* the list below says why */ }
  }

  async reload() {
    const turn = this.turn = (this.turn ?? 0) + 1;
    try {
      const { events } = await get('/api/history', this.query());
      if (turn !== this.turn) return;
      this.earlier = false; // nobody has asked for earlier ones
      this.list.replaceChildren(...events.map((event) => this.card(event)));
      this.after(events);
      this.tell();
    } catch (error) {
      if (turn !== this.turn) return;
      this.list.replaceChildren();
      this.moreButton.hidden = true;
      setText(this.found, error.message);
    }
  }

  tell() {
    const { day } = this.asked;
    const n = this.list.childElementCount;
    const where = day ? ` on ${dayText(new Date(`${day}T12:00`))}` : '';
    setText(this.found, n === 0 ? `Nothing was kept${where}.` : n < PAGE ? `${n} kept${where}, newest first` : `The newest ${n}${where}`);
  }

  /** What was kept since then comes on top, what was deleted goes; the rest stays as it is. */
  async fresh() {
    if (!location.hash.startsWith('#history')) clearInterval(this.freshTimer);
    else if (!document.hidden && !this.dialog.open) await this.addNewer();
  }

  async addNewer() {
    const { turn } = this;
    try {
      const { events } = await get('/api/history', this.query());
      if (turn !== this.turn) return;
      const there = new Set(events.map(identity));
      const oldest = events.length < PAGE ? 0 : events.at(-1).id; // nothing is said of what is older
      const shown = [...this.list.children];
      const gone = shown.filter((card) => Number(card.dataset.id) >= oldest && !there.has(card.dataset.identity));
      if (gone.length > 0 && !shown.some((card) => there.has(card.dataset.identity))) { // another history, or nothing is left
        await this.show();
        return;
      }
      for (const card of gone) card.remove();
      const newest = Number(this.list.firstChild?.dataset.id ?? 0);
      const newer = events.filter((event) => event.id > newest);
      if (newer.length + gone.length === 0) return;
      const n = this.list.childElementCount + newer.length;
      const grown = !this.earlier && n > 2 * PAGE; // a page that is left open
      if (newer.length < PAGE && !grown) this.prepend(newer);
      else await this.reload(); // there may be more between them and what is shown
      const at = document.activeElement; // what somebody is about to choose from stays
      if (!this.year.contains(at)) this.drawYear();
      if (at !== this.labels && at !== this.streams) this.fillChoices();
    } catch { /* it is asked again */ }
  }

  prepend(newer) {
    this.list.prepend(...newer.map((event) => this.card(event)));
    this.tell();
  }

  async more() {
    const { turn, earlier } = this;
    if (this.asksMore === turn) return;
    this.asksMore = turn;
    this.earlier = true; // what somebody asked for stays
    try {
      const { events } = await get('/api/history', { ...this.query(), before: this.list.lastChild.dataset.id });
      if (turn !== this.turn) return;
      this.list.append(...events.map((event) => this.card(event)));
      this.after(events);
      this.tell();
    } catch (error) {
      if (turn !== this.turn) return;
      this.earlier = earlier;
      setText(this.found, error.message);
    } finally {
      if (this.asksMore === turn) this.asksMore = null;
    }
  }

  after(events) {
    this.moreButton.hidden = events.length < PAGE;
  }

  name(event) {
    return event.kind === 'continuous' ? 'Recording' : pretty(event.label);
  }

  card(event) {
    const when = `${dayText(event.onset_ms)}, ${clockText(event.onset_ms)}`;
    return element('button.card.snippet', { type: 'button', 'data-id': event.id, 'data-identity': identity(event), onclick: () => this.open(event),
      'aria-label': `${this.name(event)}, ${when}${event.p === null ? '' : `, ${percent(event.p)} sure`}` },
    event.thumb ? element('img.thumb', { src: file(event, 'thumb.png'), loading: 'lazy', alt: '', width: 320, height: 96 }) : element('span.thumb', {}),
    element('span.text', {}, element('span.name', {}, this.name(event), event.favourite ? element('span.star', {}, ' ★') : null),
      element('span.dim', {}, event.p === null ? '' : percent(event.p)), element('span.when', {}, `${when} · ${seconds(event.seconds)} · ${event.stream}`)));
  }

  async open(event) {
    const player = new SnippetPlayer(event);
    const facts = element('p.facts', {}, `${dayText(event.onset_ms)}, ${clockText(event.onset_ms)} · ${event.stream} · ${seconds(event.seconds)}${event.cut ? ' · goes on after the end' : ''}${event.lost ? ` · ${seconds(event.lost / 16000)} of it lost` : ''}`);
    const scores = element('p.scores', {});
    this.dialog.replaceChildren(element('form', { method: 'dialog' },
      element('header', {}, element('h2', {}, this.name(event)), element('button.plain', { 'aria-label': 'Close' }, 'Done')),
      event.picture ? element('img.picture-large', { src: file(event, 'picture.png'), alt: `Spectrogram of ${this.name(event)}, and what made focald say so` }) : null,
      ...player.elements, facts, event.note ? element('p', {}, event.note) : null, scores));
    this.dialog.showModal();
    try {
      const whole = await get(`/api/history/${event.id}`);
      scores.replaceChildren(...whole.scores.slice(0, 5).map((s) => element('span', {}, `${pretty(s.label)} `, element('span.dim', {}, percent(s.p)))));
      const lost = whole.gaps.filter((gap) => gap.kind !== 'private').length;
      if (lost) facts.append(` · ${lost === 1 ? 'one gap' : `${lost} gaps`}, silent in the files`);
    } catch { /* the picture and the sound are enough */ }
  }
}

/** Both sounds run together and one is heard, so that switching is at the same moment of the sound. */
class SnippetPlayer {
  constructor(event) {
    const sound = (which) => element('audio', { src: file(event, `${which}.flac`), preload: 'auto', controls: which === 'input', 'aria-label': 'Player' });
    this.heard = event.input ? sound('input') : null;
    this.why = event.audio ? sound('audio') : null;
    if (!this.heard && !this.why) {
      this.elements = [element('p.dim', {}, 'No sound was kept.')];
      return;
    }
    if (!this.heard || !this.why) {
      const only = this.heard ?? this.why;
      only.controls = true;
      this.elements = [element('div.controls', {}, only)];
      return;
    }
    this.why.muted = true;
    this.why.hidden = true;
    for (const type of ['play', 'pause', 'seeking', 'ratechange']) this.heard.addEventListener(type, () => this.follow(type));
    this.heard.addEventListener('timeupdate', () => Math.abs(this.why.currentTime - this.heard.currentTime) > 0.12 && this.follow('seeking'));
    const button = element('button.plain', { type: 'button', 'aria-pressed': 'false', onclick: () => {
      const why = button.getAttribute('aria-pressed') !== 'true';
      button.setAttribute('aria-pressed', why);
      this.why.muted = !why;
      this.why.volume = this.heard.volume;
      this.heard.muted = why;
    } }, 'Only what made it say so');
    this.elements = [element('div.controls', {}, this.heard, this.why, button)];
  }

  follow(type) {
    if (type === 'play') this.why.play();
    if (type === 'pause') this.why.pause();
    if (type === 'ratechange') this.why.playbackRate = this.heard.playbackRate;
    this.why.currentTime = this.heard.currentTime;
  }
}
