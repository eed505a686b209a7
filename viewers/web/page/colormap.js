// SPDX-License-Identifier: Apache-2.0
// Colour maps whose lightness rises evenly, so that they can be read in any kind of sight and in grey:
// even steps of matplotlib's viridis, cividis and magma (CC0), joined by straight lines.

const points = {
  viridis: '440154 482475 414487 355f8d 2a788e 21918c 22a884 44bf70 7ad151 bddf26 fde725',
  cividis: '00224e 123570 3b496c 575d6d 707173 8a8678 a59c74 c3b369 e1cc55 fee838',
  magma: '000004 140e36 3b0f70 641a80 8c2981 b73779 de4968 f7705c fe9f6d fecf92 fcfdbf',
};

export const colourNames = Object.keys(points);

/** 256 colours, RGBA bytes. The lowest values sink into the dark ground. */
export function colourTable(name) {
  const stops = points[name].split(' ').map((hex) => [0, 2, 4].map((i) => parseInt(hex.slice(i, i + 2), 16)));
  const table = new Uint8Array(256 * 4);
  for (let i = 0; i < 256; i++) {
    const at = (i / 255) * (stops.length - 1);
    const k = Math.min(Math.floor(at), stops.length - 2);
    const sink = Math.min(1, 0.25 + i / 60);
    for (let c = 0; c < 3; c++) {
      table[4 * i + c] = (stops[k][c] + (stops[k + 1][c] - stops[k][c]) * (at - k)) * sink;
    }
    table[4 * i + 3] = 255;
  }
  return table;
}
