// Plays several versions of one clip at the same time; one of them is audible. Times are in seconds, gains linear.
"use strict";

// Loads audio from scripts beside the page. A page that was opened from a disk cannot fetch files, but can load scripts.
const EmbeddedAudio = (() => {
  const waiting = new Map();
  const load = (address) => new Promise((resolve, reject) => {
    const script = document.createElement("script");
    waiting.set(address.replace(/^(\.\.\/)+/, ""), resolve);
    script.addEventListener("error", () => reject(new Error("the audio file is missing")));
    script.addEventListener("load", () => script.remove());
    script.src = address;
    document.head.append(script);
  });
  // `places` are the stretches that look hallucinated: {from, to, text}.
  const take = (address, base64, places = []) => {
    const text = atob(base64), bytes = new Uint8Array(text.length);
    for (let i = 0; i < bytes.length; i++) bytes[i] = text.charCodeAt(i);
    waiting.get(address)?.({ bytes: bytes.buffer, places });
    waiting.delete(address);
  };
  return { load, take };
})();

class Player {
  static FADE_S = 0.012;
  static LEAD_S = 0.03;

  // One source and one gain per track. All start at the same time of the context's clock and the same position.
  static graph(context, tracks, { heard, gains, when, offset, loop }) {
    const nodes = new Map();
    for (const [name, buffer] of tracks) {
      const source = new AudioBufferSourceNode(context, { buffer });
      const gain = new GainNode(context, { gain: name === heard ? gains.get(name) : 0 });
      source.connect(gain).connect(context.destination);
      if (loop) { source.loop = true; source.loopStart = loop.from; source.loopEnd = loop.to; }
      source.start(when, offset);
      nodes.set(name, { source, gain });
    }
    return nodes;
  }

  constructor(changed, ended = () => {}) {
    this.changed = changed;
    this.ended = ended;
    this.context = null;
    this.tracks = new Map();
    this.gains = new Map();
    this.heard = null;
    this.duration = 0;
    this.offset = 0;
    this.startedAt = null;
    this.looping = true;
    this.part = { from: 0, to: 0 };
    this.nodes = new Map();
    this.turn = 0;
  }

  get playing() { return this.startedAt !== null; }

  // Loads tracks of one sample rate. Each is cut or padded to `duration`, so all tracks loop at the same sample.
  load(tracks, gains, rate, duration) {
    this.stop();
    this.rate = rate;
    const length = Math.max(1, Math.round(duration * rate));
    this.tracks = new Map();
    for (const [name, samples] of tracks) {
      const buffer = new AudioBuffer({ length, sampleRate: rate, numberOfChannels: 1 });
      buffer.copyToChannel(samples.length > length ? samples.subarray(0, length) : samples, 0);
      this.tracks.set(name, buffer);
    }
    this.gains = gains;
    this.duration = length / rate;
    this.offset = 0;
    this.part = { from: 0, to: this.duration };
    if (!this.tracks.has(this.heard)) this.heard = this.tracks.keys().next().value ?? null;
    this.changed();
  }

  position() {
    if (!this.playing) return this.offset;
    const at = this.offset + Math.max(0, this.context.currentTime - this.startedAt);
    const { from, to } = this.part;
    if (this.looping && at > to) return from + (at - from) % (to - from);
    return Math.min(at, this.duration);
  }

  async play() {
    if (!this.tracks.size) return;
    this.stop();
    // The audio device needs time to wake up. If a later call played, stopped or loaded meanwhile, that call wins.
    const turn = this.turn;
    if (!this.context || this.context.sampleRate !== this.rate) {
      const old = this.context;
      this.context = new AudioContext({ sampleRate: this.rate, latencyHint: "interactive" });
      old?.close();
    }
    await this.context.resume();
    if (turn !== this.turn) return;
    if (this.offset >= this.duration - 0.01) this.offset = 0;
    if (this.looping && this.offset > this.part.to) this.offset = this.part.from;
    this.startedAt = this.context.currentTime + Player.LEAD_S;
    this.nodes = Player.graph(this.context, this.tracks, {
      heard: this.heard, gains: this.gains, when: this.startedAt, offset: this.offset, loop: this.looping ? this.part : null,
    });
    const first = this.nodes.values().next().value.source;
    first.addEventListener("ended", () => { if (this.nodes.values().next().value?.source === first) { this.stop(); this.offset = 0; this.ended(); this.changed(); } });
    this.changed();
  }

  stop() {
    this.turn += 1;
    this.offset = this.position();
    for (const { source, gain } of this.nodes.values()) {
      gain.gain.setTargetAtTime(0, this.context.currentTime, Player.FADE_S / 3);
      source.stop(this.context.currentTime + Player.FADE_S);
    }
    this.nodes = new Map();
    this.startedAt = null;
  }

  pause() { this.stop(); this.changed(); }
  async toggle() { if (this.playing) this.pause(); else await this.play(); }

  async seek(at) {
    const wasPlaying = this.playing;
    this.stop();
    this.offset = Math.min(Math.max(at, 0), this.duration);
    if (wasPlaying) await this.play(); else this.changed();
  }

  // Switches the audible track. The sources keep running and only gains change, so the position stays exact.
  hear(name) {
    if (!this.tracks.has(name)) return;
    this.heard = name;
    this.applyGains();
    this.changed();
  }

  setGains(gains) { this.gains = gains; this.applyGains(); }

  applyGains() {
    for (const [name, { gain }] of this.nodes) {
      const now = this.context.currentTime;
      gain.gain.cancelScheduledValues(now);
      gain.gain.setValueAtTime(gain.gain.value, now);
      gain.gain.linearRampToValueAtTime(name === this.heard ? this.gains.get(name) : 0, now + Player.FADE_S);
    }
  }

  async setLoop(looping, from = this.part.from, to = this.part.to) {
    const at = this.position();
    this.looping = looping;
    this.part = to - from >= 0.05 ? { from: Math.max(0, from), to: Math.min(to, this.duration) } : { from: 0, to: this.duration };
    await this.seek(looping && (at < this.part.from || at > this.part.to) ? this.part.from : at);
  }

  // The samples and sample rate of a WAV or FLAC file. They are not resampled.
  static async decode(bytes) {
    const head = new DataView(bytes);
    const isWav = head.byteLength > 28 && head.getUint32(0) === 0x52494646;
    const isFlac = head.byteLength > 21 && head.getUint32(0) === 0x664c6143;
    if (!isWav && !isFlac) throw new Error("the file is neither WAV nor FLAC");
    const rate = isWav ? head.getUint32(24, true) : head.getUint32(18) >>> 12;
    if (!(rate >= 8000 && rate <= 96000)) throw new Error(`its sample rate of ${rate} Hz is not between 8000 and 96000 Hz`);
    const buffer = await new OfflineAudioContext(1, 1, rate).decodeAudioData(bytes);
    return { samples: buffer.getChannelData(0), rate };
  }

  // Gains that make every track as loud as the first one where that has speech. No track exceeds full scale.
  static levelled(tracks, rate) {
    const reference = tracks.values().next().value;
    const gains = new Map(), peaks = [];
    for (const [name, samples] of tracks) {
      const gain = 10 ** (Spectrogram.levelGainDb(reference, samples, rate) / 20);
      let peak = 0;
      for (const value of samples) peak = Math.max(peak, Math.abs(value));
      gains.set(name, gain);
      peaks.push(gain * peak);
    }
    const headroom = Math.min(1, 0.98 / Math.max(...peaks, 1e-9));
    for (const [name, gain] of gains) gains.set(name, gain * headroom);
    return gains;
  }
}
