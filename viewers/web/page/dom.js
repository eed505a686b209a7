// SPDX-License-Identifier: Apache-2.0
// Small helpers: elements, names, times and numbers for people.

/** element('div.card', {title: 'x', onclick: f}, child, 'text', ...) */
export function element(what, properties = {}, ...children) {
  const [tag, ...classes] = what.split('.');
  const e = document.createElement(tag || 'div');
  if (classes.length) e.className = classes.join(' ');
  for (const [key, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith('on')) e.addEventListener(key.slice(2), value);
    else if (key === 'style') for (const [k, v] of Object.entries(value)) e.style.setProperty(k, v);
    else e.setAttribute(key, value === true ? '' : value);
  }
  e.append(...children.filter((c) => c !== null && c !== undefined));
  return e;
}

export const byId = (id) => document.getElementById(id);

/** Changes the text only when it is another: screen readers and layout are left in peace. */
export function setText(e, text) {
  if (e.textContent !== text) e.textContent = text;
}

/** "crying_baby" → "Crying baby" */
export function pretty(label) {
  if (!label) return 'Unknown';
  const text = label.replaceAll('_', ' ');
  return text.charAt(0).toUpperCase() + text.slice(1);
}

export const percent = (p) => `${Math.round(100 * p)} %`;

const clockFormat = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' });
const dayFormat = new Intl.DateTimeFormat(undefined, { weekday: 'short', day: 'numeric', month: 'short' });
const longDayFormat = new Intl.DateTimeFormat(undefined, { weekday: 'long', day: 'numeric', month: 'long', year: 'numeric' });
export const clockText = (ms) => clockFormat.format(ms);
export const dayText = (ms) => dayFormat.format(ms);
export const longDayText = (ms) => longDayFormat.format(ms);

export function seconds(s) {
  if (s < 10) return `${s.toFixed(1)} s`;
  if (s < 90) return `${Math.round(s)} s`;
  if (s < 5400) return `${Math.round(s / 60)} min`;
  if (s < 172800) return `${Math.round(s / 3600)} h`;
  return `${Math.round(s / 86400)} days`;
}

// Okabe and Ito's colours and some between, which all kinds of sight tell apart. The first labels have one
// each, those after them share; each keeps its own.
const hues = ['#56b4e9', '#e69f00', '#2fb98d', '#d98cb8', '#e5da3d', '#d5743c', '#8f9bff', '#9ccf7a', '#b5b5b5', '#c9a27a'];
const chosen = new Map(); // label → colour
const sum = (text) => [...text].reduce((n, c) => (n * 31 + c.codePointAt(0)) % 65521, 7);
export function hue(label) {
  if (!chosen.has(label)) chosen.set(label, hues[(chosen.size < hues.length ? chosen.size : sum(`${label}`)) % hues.length]);
  return chosen.get(label);
}
/** The colour it has, without taking one. */
export const hueOrNone = (label) => chosen.get(label) ?? 'var(--dim)';

/** A row of choices of which one holds, by arrow keys too. */
export function segments(host, options, value, change) {
  const buttons = options.map(([key, text, title]) => element('button', {
    type: 'button', role: 'radio', 'data-value': key, title,
    onclick: () => { select(key); change(key); },
    onkeydown: (event) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      const at = options.findIndex((o) => o[0] === key);
      const next = options[(at + step + options.length) % options.length][0];
      select(next);
      change(next);
      host.querySelector(`[data-value="${next}"]`).focus();
    },
  }, text));
  function select(key) {
    for (const b of buttons) {
      const on = b.dataset.value === key;
      b.setAttribute('aria-checked', on);
      b.tabIndex = on ? 0 : -1;
    }
  }
  host.replaceChildren(...buttons);
  select(value);
  return select;
}
