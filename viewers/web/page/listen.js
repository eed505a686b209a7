// SPDX-License-Identifier: Apache-2.0
// Listening to one stream: its input, or what made focald say so, at the same moment of the sound.

import { RATE } from './clock.js';
import { settings } from './settings.js';

export const WHICH = { input: 0, audio: 1 };

export class Listener extends EventTarget {
  constructor(link) {
    super();
    this.link = link;
    this.stream = null;
    this.choice = 'input';
    link.addEventListener('packet', ({ detail }) => this.take(detail));
  }

  /** Once; what failed is tried again. */
  prepare() {
    this.ready ??= this.start().catch((error) => {
      this.context?.close();
      this.context = this.ready = null;
      throw error;
    });
    return this.ready;
  }

  async start() {
    try {
      this.context = new AudioContext({ sampleRate: RATE, latencyHint: 'playback' });
    } catch {
      this.context = new AudioContext({ latencyHint: 'playback' }); // then the worklet converts
    }
    const { context } = this;
    await context.audioWorklet.addModule('/player.js');
    this.node = new AudioWorkletNode(context, 'focal-player', { numberOfInputs: 0, outputChannelCount: [1] });
    this.node.port.onmessage = ({ data }) => this.report(data);
    this.gain = context.createGain();
    this.setVolume(settings.volume);
    this.node.connect(this.gain).connect(context.destination);
  }

  setVolume(percent) {
    if (this.gain) this.gain.gain.value = percent / 100;
  }

  /** which: 'input' or 'audio'. A second call on the same stream switches at once. */
  async play(stream, which) {
    const fresh = this.stream !== stream;
    this.choice = which;
    this.stream = stream;
    try {
      await this.prepare();
      if (this.stream === stream) await this.context.resume();
    } catch (error) {
      if (this.stream === stream) this.stop();
      throw error;
    }
    if (this.stream !== stream) return; // somebody pressed something else meanwhile
    if (fresh) {
      this.node.port.postMessage({ do: 'clear' });
      this.times = null;
      this.status = null;
      this.link.listen(stream);
    }
    this.node.port.postMessage({ do: 'choose', which: WHICH[this.choice], now: fresh });
    this.tell();
  }

  stop() {
    this.stream = null;
    this.status = null;
    this.link.listen(null);
    this.node?.port.postMessage({ do: 'clear' });
    this.context?.suspend();
    this.tell();
  }

  take(packet) {
    if (packet.stream !== this.stream || !this.node || !(packet.topic in WHICH)) return;
    if (this.run !== packet.run) {
      this.run = packet.run;
      this.node.port.postMessage({ do: 'clear' });
    }
    this.times = { sample: packet.first, ms: packet.t_ns / 1e6 };
    const data = packet.payload.slice();
    if (packet.topic === 'input') this.node.port.postMessage({ do: 'keep', seconds: Math.max(this.lowest ?? 0, (1.6 * data.length) / RATE + 0.2) });
    this.node.port.postMessage({ do: 'samples', which: WHICH[packet.topic], first: packet.first, data }, [data.buffer]);
  }

  report(status) {
    if (status.gaps > (this.status?.gaps ?? 0)) this.lowest = status.reserve;
    this.status = status;
    this.reportedMs = performance.now();
    this.tell();
  }

  tell() {
    this.dispatchEvent(new Event('change'));
  }

  /** The sample that is heard now, or null. */
  position() {
    const { status, context } = this;
    if (!this.stream || status?.at === null || status?.at === undefined) return null;
    const output = (context.outputLatency || 0) + (context.baseLatency || 0);
    return status.at + ((performance.now() - this.reportedMs) / 1000 - output) * RATE;
  }

  /** How long ago it sounded, in seconds. */
  delay() {
    const at = this.position();
    if (at === null || !this.times) return null;
    return (this.link.serverNow() - (this.times.ms + (at - this.times.sample) / (RATE / 1000))) / 1000;
  }
}
