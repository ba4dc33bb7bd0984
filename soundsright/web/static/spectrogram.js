// Spectrograms in dB, and drawing them. Signals are Float32Array, full scale ±1. Levels are in dB, times in seconds.
"use strict";

const Spectrogram = (() => {
  const WINDOW_S = 0.032, HOP_S = 0.008, RANGE_DB = 80, DIFFERENCE_DB = 24;
  // Levels go from dark violet to light yellow in even steps of lightness. Differences go from blue over grey to orange.
  const LEVELS = [[0, 0, 4], [28, 16, 68], [79, 18, 123], [129, 37, 129], [181, 54, 122], [229, 80, 100], [251, 135, 97], [254, 194, 135], [252, 253, 191]];
  const SIGNS = [[0, 62, 138], [0, 114, 178], [120, 178, 216], [232, 232, 232], [240, 176, 96], [213, 94, 0], [122, 46, 0]];

  // Replaces re + i im by its complex spectrum (radix-2 FFT in place).
  const fft = (re, im) => {
    const n = re.length;
    for (let i = 1, j = 0; i < n; i++) {
      let bit = n >> 1;
      for (; j & bit; bit >>= 1) j ^= bit;
      j ^= bit;
      if (i < j) { [re[i], re[j]] = [re[j], re[i]]; [im[i], im[j]] = [im[j], im[i]]; }
    }
    for (let size = 2; size <= n; size <<= 1) {
      const angle = -2 * Math.PI / size, half = size >> 1;
      for (let k = 0; k < half; k++) {
        const c = Math.cos(angle * k), s = Math.sin(angle * k);
        for (let i = k; i < n; i += size) {
          const j = i + half;
          const x = re[j] * c - im[j] * s, y = re[j] * s + im[j] * c;
          re[j] = re[i] - x; im[j] = im[i] - y; re[i] += x; im[i] += y;
        }
      }
    }
  };

  // The spectrogram of a signal: {db, frames, bins, rate, seconds}. `db` has frames x bins values, frame by frame.
  const of = (samples, rate) => {
    const size = 2 ** Math.ceil(Math.log2(WINDOW_S * rate)), hop = Math.round(HOP_S * rate);
    const bins = size / 2, frames = Math.max(1, Math.ceil(samples.length / hop));
    const window = Float32Array.from({ length: size }, (_, i) => 0.5 - 0.5 * Math.cos(2 * Math.PI * i / size));
    const db = new Float32Array(frames * bins), re = new Float64Array(size), im = new Float64Array(size);
    for (let frame = 0; frame < frames; frame++) {
      const start = frame * hop - size / 2;
      for (let i = 0; i < size; i++) { re[i] = (samples[start + i] ?? 0) * window[i]; im[i] = 0; }
      fft(re, im);
      for (let k = 0; k < bins; k++) db[frame * bins + k] = 10 * Math.log10((re[k] * re[k] + im[k] * im[k]) * 16 / (size * size) + 1e-12);
    }
    return { db, frames, bins, rate, seconds: samples.length / rate };
  };

  const colour = (stops, share) => {
    const at = Math.min(Math.max(share, 0), 1) * (stops.length - 1), i = Math.min(Math.floor(at), stops.length - 2);
    return stops[i].map((value, c) => value + (stops[i + 1][c] - value) * (at - i));
  };
  const table = (stops) => Array.from({ length: 256 }, (_, i) => colour(stops, i / 255));
  const levels = table(LEVELS), signs = table(SIGNS);

  const paint = (canvas, frames, bins, shade) => {
    canvas.width = frames; canvas.height = bins;
    const context = canvas.getContext("2d"), image = context.createImageData(frames, bins);
    for (let frame = 0; frame < frames; frame++) for (let k = 0; k < bins; k++) {
      const [r, g, b] = shade(frame * bins + k), at = 4 * ((bins - 1 - k) * frames + frame);
      image.data[at] = r; image.data[at + 1] = g; image.data[at + 2] = b; image.data[at + 3] = 255;
    }
    context.putImageData(image, 0, 0);
  };

  const draw = (canvas, view, gainDb = 0) => paint(canvas, view.frames, view.bins,
    (i) => levels[Math.max(0, Math.min(255, Math.round(255 * (view.db[i] + gainDb + RANGE_DB + 10) / RANGE_DB)))]);

  // Draws A minus B in dB: blue where A is louder, orange where B is. Levels below the floor count as the floor.
  const drawDifference = (canvas, a, b, gainA = 0, gainB = 0) => {
    const frames = Math.min(a.frames, b.frames), bins = Math.min(a.bins, b.bins), floor = -RANGE_DB;
    paint(canvas, frames, bins, (i) => {
      const x = Math.max(a.db[i] + gainA, floor), y = Math.max(b.db[i] + gainB, floor);
      return signs[Math.max(0, Math.min(255, Math.round(127.5 + 127.5 * (y - x) / DIFFERENCE_DB)))];
    });
  };

  // The gain in dB that makes a signal as loud as the reference. It compares 20 ms frames in which the reference
  // has speech: frames within 30 dB of its loudest one. The gain is limited to ±30 dB.
  const levelGainDb = (reference, samples, rate) => {
    const size = Math.round(0.02 * rate), count = Math.floor(Math.min(reference.length, samples.length) / size);
    const power = (signal, part) => { let sum = 0; for (let i = part * size; i < (part + 1) * size; i++) sum += signal[i] * signal[i]; return sum; };
    const parts = Array.from({ length: count }, (_, i) => power(reference, i));
    const loudest = parts.reduce((most, p) => Math.max(most, p), 0);
    let own = 0, theirs = 0;
    parts.forEach((p, i) => { if (p > loudest * 1e-3) { theirs += p; own += power(samples, i); } });
    if (!(own > 0) || !(theirs > 0)) return 0;
    return Math.max(-30, Math.min(30, 10 * Math.log10(theirs / own)));
  };

  return { of, draw, drawDifference, levelGainDb, DIFFERENCE_DB };
})();
