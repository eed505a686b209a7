// SPDX-License-Identifier: Apache-2.0
// How this browser wants to see it; kept here, and nowhere else.

const defaults = { mode: 'both', opacity: 45, colours: 'viridis', scale: 'mel', theme: 'auto', volume: 100, hidden: [] };
const listeners = [];
let stored = {};
try {
  stored = JSON.parse(localStorage.getItem('focal') ?? '{}');
} catch { /* private windows have no storage */ }

export const settings = { ...defaults, ...stored };

export function set(key, value) {
  settings[key] = value;
  try {
    localStorage.setItem('focal', JSON.stringify(settings));
  } catch { /* it holds until the page is closed */ }
  for (const listener of listeners) listener(key, value);
}

export function onChange(listener) {
  listeners.push(listener);
}

export const calm = matchMedia('(prefers-reduced-motion: reduce)');
