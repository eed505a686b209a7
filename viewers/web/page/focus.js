// SPDX-License-Identifier: Apache-2.0
// The network's map of a window, at the size of the picture: rows are frames, columns are ROWS bands of
// frequency. What a mask keeps is map ≥ threshold; the threshold comes with focald's mask, or, while
// somebody turns the knob, from a quantile of the map itself.

export const BANDS = 64;

/** cells [rows][cols] → [frames][BANDS], bilinear with half-pixel centres, as focald resizes. */
export function resize(cells, rows, cols, frames) {
  const out = new Float32Array(frames * BANDS);
  const columns = Array.from({ length: BANDS }, (_, b) => place((b + 0.5) * cols / BANDS - 0.5, cols));
  for (let t = 0; t < frames; t++) {
    const [r0, r1, fr] = place((t + 0.5) * rows / frames - 0.5, rows);
    for (let b = 0; b < BANDS; b++) {
      const [c0, c1, fc] = columns[b];
      const low = cells[r0 * cols + c0] * (1 - fc) + cells[r0 * cols + c1] * fc;
      const high = cells[r1 * cols + c0] * (1 - fc) + cells[r1 * cols + c1] * fc;
      out[t * BANDS + b] = low * (1 - fr) + high * fr;
    }
  }
  return out;
}

function place(at, n) {
  const inside = Math.max(0, Math.min(n - 1, at));
  const low = Math.floor(inside);
  return [low, Math.min(low + 1, n - 1), inside - low];
}

export function quantile(values, q) {
  const sorted = Float32Array.from(values).sort();
  const at = q * (sorted.length - 1);
  const low = Math.floor(at);
  const next = sorted[Math.min(low + 1, sorted.length - 1)];
  return sorted[low] + (next - sorted[low]) * (at - low);
}

/** Values and threshold as two bytes each, on the map's own scale: [frames][BANDS][2]. */
export function encode(values, threshold) {
  let low = Infinity;
  let high = -Infinity;
  for (const v of values) {
    if (v < low) low = v;
    if (v > high) high = v;
  }
  const scale = high > low ? 254 / (high - low) : 0;
  const limit = Math.max(1, Math.min(255, Math.round((threshold - low) * scale)));
  const out = new Uint8Array(values.length * 2);
  for (let i = 0; i < values.length; i++) {
    out[2 * i] = (values[i] - low) * scale;
    out[2 * i + 1] = limit;
  }
  return out;
}
