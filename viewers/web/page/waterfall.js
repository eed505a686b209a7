// SPDX-License-Identifier: Apache-2.0
// The moving picture of one stream: spectrogram and map lie in textures that are rings in time, one row
// a frame; each drawing shifts the view by a part of a pixel. Nothing is redrawn by the processor.
// Browsers keep few WebGL contexts (Chromium 16) and take the oldest back for one more: a picture has one
// while it is on the screen; a frozen one keeps it, for nothing draws that again. What its textures hold is
// here, too, for the next one.

import { BANDS } from './focus.js';
import { colourTable } from './colormap.js';

const RING = 2048; // frames, 23.8 s
const BREATH_MS = 420; // from one map to the next
const SEAM = 28; // frames over which one window's map goes over into the next one's

const vertexSource = `#version 300 es
out vec2 at;
void main() {
  at = vec2(gl_VertexID & 1, gl_VertexID >> 1) * 2.0;
  gl_Position = vec4(at * 2.0 - 1.0, 0.0, 1.0);
}`;

const fragmentSource = `#version 300 es
precision highp float;
in vec2 at;
out vec4 colour;
uniform sampler2D spec, before, now, colours;
uniform float right, span, newest, oldest; // frames, counted from the ring's beginning
uniform float low, high;                   // of the bytes, darkest and brightest
uniform float breath, opacity, mel, playhead, bins;
uniform int mode;                          // 0 sound, 1 both, 2 what made it say so
uniform vec3 ground;

const float ring = ${RING}.0;

float bin(float y) {                       // part of the height → part of the spectrum
  float top = log(1.0 + 8000.0 / 700.0);
  return mix(y, 700.0 * (exp(y * top) - 1.0) / 8000.0, mel);
}

void main() {
  float frame = right - (1.0 - at.x) * span;
  float f = bin(at.y);
  if (frame > newest || frame < oldest) { colour = vec4(ground, 1.0); return; }
  float row = (frame + 0.5) / ring;
  float value = texture(spec, vec2((f * (bins - 1.0) + 0.5) / bins, row)).r * 255.0;
  float n = clamp((value - low) / (high - low), 0.0, 1.0);
  vec3 sound = texture(colours, vec2(n, 0.5)).rgb;
  vec2 cell = vec2(f, row);
  vec2 m = mix(texture(before, cell).rg, texture(now, cell).rg, breath);
  float known = step(0.002, m.g);
  float inside = known * smoothstep(m.g - 0.012, m.g + 0.012, m.r);
  vec3 c = sound;
  if (mode == 1) c = mix(mix(ground, mix(vec3(dot(sound, vec3(0.3, 0.59, 0.11))), sound, 0.55), 0.55), sound, max(inside, 1.0 - known));
  if (mode == 2) c = mix(ground, sound, inside);
  float glow = known * m.r * m.r;
  if (mode != 2) c += opacity * 0.30 * glow * vec3(1.0, 0.93, 0.78);
  float edge = abs(m.r - m.g) / max(fwidth(m.r), 1e-4);
  float seam = 1.0 - smoothstep(0.03, 0.07, abs(dFdx(m.r))); // no outline where one window's map ends
  c = mix(c, vec3(1.0, 0.97, 0.9), known * seam * min(1.0, 1.6 * opacity) * (1.0 - smoothstep(0.6, 1.6, edge)));
  float head = abs(frame - playhead) / max(fwidth(frame), 1e-6);
  c = mix(c, vec3(1.0), 0.75 * (1.0 - smoothstep(0.5, 1.5, head)));
  colour = vec4(min(c, 1.0), 1.0);
}`;

function compile(gl, kind, source) {
  const shader = gl.createShader(kind);
  gl.shaderSource(shader, source);
  gl.compileShader(shader);
  if (!gl.getShaderParameter(shader, gl.COMPILE_STATUS)) throw new Error(gl.getShaderInfoLog(shader));
  return shader;
}

/** A ring's stretches that take `rows` from the frame `first` on: [rows before it, its place, its rows]. */
function* stretches(first, rows) {
  for (let done = 0; done < rows;) {
    const y = (first + done) % RING;
    const n = Math.min(rows - done, RING - y);
    yield [done, y, n];
    done += n;
  }
}

export class Waterfall {
  /** tell(text): why there is no picture, '' when there is one. It is shown by show(). */
  constructor(canvas, tell) {
    this.canvas = canvas;
    this.tell = tell;
    this.context = null;
    this.gl = null; // the context while it works
    this.seen = this.frozen = false;
    this.bins = 513;
    this.range = { low: 60, high: 200 };
    this.colours = 'viridis';
    this.forget();
    this.watchContext();
  }

  watchContext() {
    const { canvas } = this;
    canvas.addEventListener('webglcontextlost', (event) => {
      event.preventDefault(); // it may come back
      if (canvas !== this.canvas) return;
      this.gl = null;
      this.tell('The browser took this picture’s memory: there are too many pictures, or the graphics began anew. It comes back when the browser gives it back.');
    });
    canvas.addEventListener('webglcontextrestored', () => canvas === this.canvas && this.start());
  }

  show() {
    this.seen = true;
    if (!this.context) this.start();
  }

  hide() {
    this.seen = false;
    if (!this.frozen) this.release();
  }

  freeze(frozen) {
    this.frozen = frozen;
    if (!frozen && !this.seen) this.release();
  }

  /** A canvas keeps its context for ever, so another one takes its place. */
  release() {
    if (!this.context) return;
    const canvas = this.canvas.cloneNode();
    this.canvas.replaceWith(canvas);
    this.canvas = canvas;
    this.watchContext();
    this.context.getExtension('WEBGL_lose_context')?.loseContext();
    this.context = this.gl = null;
  }

  /** Where there is no WebGL 2 all the rest of the page works without the picture. */
  start() {
    const gl = this.canvas.getContext('webgl2', { antialias: false, alpha: false, powerPreference: 'low-power' });
    this.context = this.gl = gl;
    this.tell(gl ? '' : 'This browser has no WebGL 2, so there is no picture. Everything else works.');
    if (!gl) return;
    const program = gl.createProgram();
    gl.attachShader(program, compile(gl, gl.VERTEX_SHADER, vertexSource));
    gl.attachShader(program, compile(gl, gl.FRAGMENT_SHADER, fragmentSource));
    gl.linkProgram(program);
    if (!gl.getProgramParameter(program, gl.LINK_STATUS)) throw new Error(gl.getProgramInfoLog(program));
    gl.useProgram(program);
    this.at = {};
    for (let i = 0; i < gl.getProgramParameter(program, gl.ACTIVE_UNIFORMS); i++) {
      const { name } = gl.getActiveUniform(program, i);
      this.at[name] = gl.getUniformLocation(program, name);
    }
    gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1);
    this.textures = ['spec', 'before', 'now', 'colours'].map((name, unit) => {
      const texture = gl.createTexture();
      gl.activeTexture(gl.TEXTURE0 + unit);
      gl.bindTexture(gl.TEXTURE_2D, texture);
      gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.LINEAR);
      gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAG_FILTER, gl.LINEAR);
      gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_S, gl.CLAMP_TO_EDGE);
      gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_T, name === 'colours' ? gl.CLAMP_TO_EDGE : gl.REPEAT);
      gl.uniform1i(this.at[name], unit);
      return texture;
    });
    this.allocate();
    this.setColours(this.colours);
  }

  allocate() {
    const { gl } = this;
    gl.activeTexture(gl.TEXTURE0);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.R8, this.bins, RING, 0, gl.RED, gl.UNSIGNED_BYTE, this.spec);
    for (const unit of [gl.TEXTURE1, gl.TEXTURE2]) {
      gl.activeTexture(unit);
      gl.texImage2D(gl.TEXTURE_2D, 0, gl.RG8, BANDS, RING, 0, gl.RG, gl.UNSIGNED_BYTE, this.map);
    }
  }

  /** Another run, or another stream: what was drawn is no longer of this timeline. */
  forget() {
    this.newest = -1; // frame numbers on the timeline
    this.oldest = 0;
    this.spec = new Uint8Array(this.bins * RING); // as in its texture
    this.map = new Uint8Array(BANDS * RING * 2); // as in the texture `now`
    this.breathFrom = 0;
    if (this.gl) this.allocate();
  }

  setColours(name) {
    this.colours = name;
    const { gl } = this;
    if (!gl) return;
    gl.activeTexture(gl.TEXTURE3);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA8, 256, 1, 0, gl.RGBA, gl.UNSIGNED_BYTE, colourTable(name));
  }

  /** bytes [rows][bins] */
  writeSpec(first, rows, bytes) {
    const { gl, bins } = this;
    for (const [done, y, n] of stretches(first, rows)) {
      const part = bytes.subarray(done * bins, (done + n) * bins);
      this.spec.set(part, y * bins);
      gl?.activeTexture(gl.TEXTURE0);
      gl?.texSubImage2D(gl.TEXTURE_2D, 0, 0, y, bins, n, gl.RED, gl.UNSIGNED_BYTE, part);
    }
  }

  /** now, and what the picture goes over from: bytes [rows][BANDS][2] */
  writeMap(first, rows, before, now) {
    const { gl } = this;
    const row = BANDS * 2;
    for (const [done, y, n] of stretches(first, rows)) {
      this.map.set(now.subarray(done * row, (done + n) * row), y * row);
      for (const [unit, bytes] of gl ? [[gl.TEXTURE1, before], [gl.TEXTURE2, now]] : []) {
        gl.activeTexture(unit);
        gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, y, BANDS, n, gl.RG, gl.UNSIGNED_BYTE, bytes.subarray(done * row, (done + n) * row));
      }
    }
  }

  /** bytes [rows][bins] of the frames from `first` on. */
  addSpec(first, rows, bins, bytes) {
    this.adaptRange(bytes);
    if (bins !== this.bins) {
      this.bins = bins;
      this.forget();
    }
    if (this.newest >= 0 && first > this.newest + 1) { // a loss is dark, not the sound of 24 s ago
      const gap = Math.min(first - this.newest - 1, RING - rows);
      this.writeSpec(first - gap, gap, new Uint8Array(gap * bins));
    }
    if (this.newest < 0 || first > this.newest + RING) this.oldest = first;
    this.writeSpec(first, rows, bytes);
    this.clearMap(Math.max(this.newest + 1, first), first + rows);
    this.newest = Math.max(this.newest, first + rows - 1);
    this.oldest = Math.max(this.oldest, this.newest - RING + 1 + rows);
  }

  /** The ring comes round: maps of 24 s ago must not lie over the new frames. */
  clearMap(from, to) {
    const rows = Math.min(to - from, RING);
    if (rows <= 0) return;
    const none = new Uint8Array(rows * BANDS * 2);
    this.writeMap(from, rows, none, none);
  }

  /** encoded [frames][BANDS][2], see focus.js. */
  setMap(first, frames, encoded, nowMs) {
    const row = BANDS * 2;
    const skip = Math.max(0, this.oldest - first);
    const from = first + skip;
    const rows = Math.min(frames - skip, this.newest - from + 1);
    if (rows <= 0) return;
    const fresh = encoded.subarray(skip * row, (skip + rows) * row);
    const old = new Uint8Array(rows * row);
    for (let r = 0; r < rows; r++) {
      const at = ((from + r) % RING) * row;
      const was = this.map.subarray(at, at + row);
      const is = fresh.subarray(r * row, (r + 1) * row);
      if (r < SEAM && was[1]) { // the oldest frames keep what the window before said: from one to the other softly
        const part = ease((r + 1) / (SEAM + 1));
        for (let i = 0; i < row; i++) is[i] = was[i] + (is[i] - was[i]) * part;
      }
      old.set(was[1] ? was : is, r * row); // new frames do not fade in from nothing
    }
    this.writeMap(from, rows, old, fresh);
    this.breathFrom = nowMs;
  }

  /** Darkest and brightest follow what there is: quiet rooms are not black, loud ones not white. */
  adaptRange(bytes) {
    const counts = new Uint32Array(256);
    let n = 0;
    for (let i = 0; i < bytes.length; i += 7) {
      if (bytes[i] === 0) continue;
      counts[bytes[i]]++;
      n++;
    }
    if (n < 50) return;
    const at = (part) => {
      let sum = 0;
      for (let i = 1; i < 256; i++) if ((sum += counts[i]) >= part * n) return i;
      return 255;
    };
    const low = at(0.25);
    const high = Math.max(at(0.997), low + 75);
    const ease = this.eased ? 0.15 : 1;
    this.eased = true;
    this.range.low += (low - this.range.low) * ease;
    this.range.high += (Math.max(high, this.range.high - 6) - this.range.high) * (high > this.range.high ? 0.6 : ease);
  }

  /** right: the frame (with its part) at the right edge. */
  draw(right, look, nowMs) {
    const { gl, canvas, at } = this;
    if (!gl) return;
    const ratio = Math.min(devicePixelRatio || 1, 2);
    const width = Math.round(canvas.clientWidth * ratio);
    const height = Math.round(canvas.clientHeight * ratio);
    if (canvas.width !== width || canvas.height !== height) {
      canvas.width = width;
      canvas.height = height;
    }
    gl.viewport(0, 0, width, height);
    // highp floats hold 24 bits: count from a multiple of the ring
    const base = Math.floor(Math.max(0, right - RING) / RING) * RING;
    gl.uniform1f(at.right, right - base);
    gl.uniform1f(at.newest, this.newest - base);
    gl.uniform1f(at.oldest, this.oldest - base);
    gl.uniform1f(at.span, look.span);
    gl.uniform1f(at.bins, this.bins);
    gl.uniform1f(at.low, this.range.low);
    gl.uniform1f(at.high, this.range.high);
    gl.uniform1f(at.breath, look.calm ? 1 : ease(Math.min(1, (nowMs - this.breathFrom) / BREATH_MS)));
    gl.uniform1f(at.opacity, look.opacity);
    gl.uniform1f(at.mel, look.mel ? 1 : 0);
    gl.uniform1f(at.playhead, look.playhead === null ? -1e6 : look.playhead - base);
    gl.uniform1i(at.mode, look.mode);
    gl.uniform3f(at.ground, 0.043, 0.055, 0.067);
    gl.drawArrays(gl.TRIANGLES, 0, 3);
  }
}

const ease = (x) => x * x * (3 - 2 * x);

/** Where a frequency stands, 0 at the bottom, as the shader has it. */
export function heightOf(hz, mel) {
  return mel ? Math.log(1 + hz / 700) / Math.log(1 + 8000 / 700) : hz / 8000;
}
