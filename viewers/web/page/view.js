// SPDX-License-Identifier: Apache-2.0
// The dialog of how it looks: theme, colours, frequency scale, which streams, keys.

import { byId, element, segments } from './dom.js';
import { colourNames } from './colormap.js';
import { set, settings } from './settings.js';

export function applyTheme() {
  const root = document.documentElement;
  if (settings.theme === 'auto') root.removeAttribute('data-theme');
  else root.setAttribute('data-theme', settings.theme);
}

const keys = [['1 2 3', 'sound, both, what made it say so'], ['i', 'listen to the input'], ['o', 'listen to the interpretation'],
  ['s', 'be quiet'], ['f', 'freeze the picture'], ['a', 'adjust'], ['h l', 'history, live'], ['?', 'this']];

export function openView(streams, passwordAsked) {
  const dialog = byId('view');
  const row = (name, key, options) => {
    const host = element('div.segments', { role: 'radiogroup', 'aria-label': name });
    segments(host, options, settings[key], (value) => set(key, value));
    return element('div.row', {}, element('span', {}, name), host);
  };
  const hidden = new Set(settings.hidden);
  dialog.replaceChildren(element('form', { method: 'dialog' },
    element('header', {}, element('h2', { id: 'view-title' }, 'How it looks'), element('button.plain', { 'aria-label': 'Close' }, 'Done')),
    row('Light', 'theme', [['auto', 'As the system'], ['dark', 'Dark'], ['light', 'Light']]),
    row('Colours', 'colours', colourNames.map((name) => [name, name.charAt(0).toUpperCase() + name.slice(1)])),
    row('Frequency', 'scale', [['mel', 'As ears hear'], ['linear', 'Linear']]),
    element('div.row', {}, element('label', { for: 'volume' }, 'Volume'),
      element('input', { type: 'range', id: 'volume', min: 0, max: 100, value: settings.volume, oninput: (event) => set('volume', Number(event.target.value)) })),
    streams.length > 1 || streams.some((name) => hidden.has(name)) ? element('fieldset', {}, element('legend', {}, 'Streams'), ...streams.map((name) => element('label.check', {},
      element('input', { type: 'checkbox', checked: !hidden.has(name), onchange: (event) => {
        if (event.target.checked) hidden.delete(name);
        else hidden.add(name);
        set('hidden', [...hidden]);
      } }), name))) : null,
    element('h3', {}, 'Keys'),
    element('dl.keys', {}, ...keys.flatMap(([key, text]) => [element('dt', {}, ...key.split(' ').map((k) => element('kbd', {}, k))), element('dd', {}, text)])),
    passwordAsked ? element('button.plain', { type: 'submit', formaction: '/logout', formmethod: 'post' }, 'Log out') : null));
  dialog.showModal();
}
