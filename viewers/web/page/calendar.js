// SPDX-License-Identifier: Apache-2.0
// A year at a glance: one square a day, darker with more sounds.

import { element, longDayText } from './dom.js';

const WEEKS = 53;
const DAY_MS = 86400000;
const month = new Intl.DateTimeFormat(undefined, { month: 'short' });
const weekday = new Intl.DateTimeFormat(undefined, { weekday: 'short' });

/** "2026-11-28" of a local day */
export function dayKey(date) {
  return `${date.getFullYear()}-${String(date.getMonth() + 1).padStart(2, '0')}-${String(date.getDate()).padStart(2, '0')}`;
}

/** First shown day, a Monday. */
export function calendarBegin() {
  const today = new Date();
  today.setHours(12, 0, 0, 0);
  const monday = new Date(today - ((today.getDay() + 6) % 7) * DAY_MS);
  return new Date(monday - (WEEKS - 1) * 7 * DAY_MS);
}

/** counts: day → how many. choose(day or null) when one is pressed. */
export function calendar(counts, chosen, choose) {
  const begin = calendarBegin();
  const most = Math.max(1, ...counts.values());
  const heat = (n) => (n ? Math.min(4, 1 + Math.floor(3.999 * Math.log(n) / Math.log(Math.max(most, 2) + 0.5))) : 0);
  const host = element('div.calendar', { role: 'group', 'aria-label': 'Sounds of each day of the last year' });
  for (let d = 0; d < 7; d++) {
    const text = d % 2 === 0 ? weekday.format(new Date(begin.getTime() + d * DAY_MS)) : '';
    host.append(element('span.weekday', { 'aria-hidden': 'true', style: { 'grid-row': d + 2 } }, text));
  }
  const now = Date.now() + DAY_MS / 2;
  for (let week = 0, monthBefore = -1; week < WEEKS; week++) {
    const monday = new Date(begin.getTime() + week * 7 * DAY_MS);
    if (monday.getMonth() !== monthBefore && (week === 0 ? monday.getDate() <= 14 : monday.getDate() <= 7)) {
      host.append(element('span.month', { 'aria-hidden': 'true', style: { 'grid-column': week + 2 } }, month.format(monday)));
    }
    monthBefore = monday.getMonth();
    for (let d = 0; d < 7; d++) {
      const date = new Date(monday.getTime() + d * DAY_MS);
      if (date > now) break;
      const key = dayKey(date);
      const n = counts.get(key) ?? 0;
      host.append(element('button', {
        type: 'button', 'data-day': key, 'data-heat': heat(n), 'aria-pressed': String(key === chosen), title: `${longDayText(date)}: ${n}`,
        'aria-label': `${longDayText(date)}: ${n === 1 ? '1 sound' : `${n} sounds`}`,
        style: { 'grid-column': week + 2, 'grid-row': d + 2 }, onclick: () => choose(key === chosen ? null : key),
      }));
    }
  }
  steerByKeys(host, chosen);
  return host;
}

/** One day is reached by Tab, the others from it by arrows: a column is a week. */
function steerByKeys(host, chosen) {
  const days = [...host.querySelectorAll('button')]; // oldest first
  const reach = (day) => days.forEach((d) => { d.tabIndex = d === day ? 0 : -1; });
  reach(days.find((d) => d.dataset.day === chosen) ?? days.at(-1));
  host.addEventListener('focusin', (event) => reach(event.target));
  host.addEventListener('keydown', (event) => {
    const at = days.indexOf(event.target);
    const to = { ArrowUp: at - 1, ArrowDown: at + 1, ArrowLeft: at - 7, ArrowRight: at + 7, Home: 0, End: days.length - 1 }[event.key];
    if (to === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    days[to]?.focus();
  });
}
