// SPDX-License-Identifier: Apache-2.0
// The WebSocket to focal-web: opened again when it breaks, packets taken apart, questions answered.

const decoder = new TextDecoder();
const WAIT_MS = [500, 1000, 2000, 4000, 8000];
const ANSWER_MS = 10000;

export class Link extends EventTarget {
  constructor() {
    super();
    this.tries = 0;
    this.questions = new Map();
    this.lastId = 0;
    this.clockOffsetMs = 0; // server minus page
    this.watched = undefined; // undefined: not yet said; null: all
    this.listened = null;
    this.heardMs = -Infinity; // when anything came last
    this.open();
    addEventListener('online', () => this.retryNow());
    document.addEventListener('visibilitychange', () => !document.hidden && this.retryNow());
    setInterval(() => this.isOpen() && this.askTime(), 15000);
  }

  open() {
    const scheme = location.protocol === 'https:' ? 'wss' : 'ws';
    this.socket = new WebSocket(`${scheme}://${location.host}/`, 'focal');
    this.socket.binaryType = 'arraybuffer';
    this.socket.onopen = () => this.opened();
    this.socket.onmessage = (event) => this.take(event.data);
    this.socket.onclose = () => this.closed();
  }

  isOpen() {
    return this.socket.readyState === WebSocket.OPEN;
  }

  opened() {
    this.tries = 0;
    this.tell('open');
    if (this.watched !== undefined) this.watch(this.watched);
    if (this.listened) this.listen(this.listened);
    this.askTime();
  }

  closed() {
    for (const question of this.questions.values()) question.reject(new Error('the connection broke'));
    this.questions.clear();
    this.tell('closed');
    const wait = WAIT_MS[Math.min(this.tries++, WAIT_MS.length - 1)];
    this.timer = setTimeout(() => this.open(), wait * (0.8 + 0.4 * Math.random()));
    if (this.tries % 3 === 0) this.checkSession();
  }

  /** A path that is lost says nothing; the browser would hold the socket open for many minutes. */
  drop() {
    this.socket.onopen = this.socket.onmessage = this.socket.onclose = null;
    this.socket.close();
    this.closed();
  }

  /** The password may have changed, or the session ended: then the login page is where to go. */
  async checkSession() {
    try {
      const answer = await fetch('/api/history?limit=1', { redirect: 'manual' });
      if (answer.status === 401) location.href = '/login';
    } catch { /* nobody there: go on trying */ }
  }

  retryNow() {
    if (this.socket.readyState !== WebSocket.CLOSED) return;
    clearTimeout(this.timer);
    this.tries = 0;
    this.open();
  }

  tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }

  take(buffer) {
    this.heardMs = performance.now();
    const headerBytes = new DataView(buffer).getUint32(0, true);
    const header = JSON.parse(decoder.decode(new Uint8Array(buffer, 4, headerBytes)));
    const at = 4 + headerBytes;
    header.payload = header.dtype === 'u8' ? new Uint8Array(buffer, at)
      : header.dtype === 'f32' && buffer.byteLength > at ? new Float32Array(buffer, at) : null;
    if (header.topic !== 'reply') return this.tell('packet', header);
    const question = this.questions.get(header.id);
    this.questions.delete(header.id);
    if (question && header.ok) question.resolve(header);
    else question?.reject(new Error(header.error));
  }

  send(command) {
    if (this.isOpen()) this.socket.send(JSON.stringify(command));
  }

  ask(command) {
    if (!this.isOpen()) return Promise.reject(new Error('not connected'));
    const id = ++this.lastId;
    return new Promise((resolve, reject) => {
      this.questions.set(id, { resolve, reject });
      this.send({ ...command, id });
    });
  }

  /** streams: names, or null for all. */
  watch(streams) {
    this.watched = streams;
    this.send(streams ? { cmd: 'watch', streams } : { cmd: 'watch' });
  }

  listen(stream) {
    this.listened = stream;
    this.send({ cmd: 'listen', stream });
  }

  /** Whether anything comes: the answer itself may wait behind pictures on a slow path. */
  async askTime() {
    const { socket } = this;
    const askedMs = performance.now();
    const late = setTimeout(() => {
      if (socket === this.socket && this.isOpen() && this.heardMs < askedMs) this.drop();
    }, ANSWER_MS);
    try {
      const before = Date.now();
      const reply = await this.ask({ cmd: 'time' });
      this.clockOffsetMs = reply.t_ms - (before + Date.now()) / 2;
      this.thinned = reply.thinned;
    } catch { /* asked again later */ } finally {
      clearTimeout(late);
    }
  }

  serverNow() {
    return Date.now() + this.clockOffsetMs;
  }
}
