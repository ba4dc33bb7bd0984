// Cuts what comes in into frames and posts them; plays the frames that are posted back. Counts are in samples.
"use strict";

class LiveFrames extends AudioWorkletProcessor {
  // Playback starts when this many frames wait, and starts again after a gap. More than the most are dropped.
  static START = 3;
  static MOST = 25;

  constructor(options) {
    super();
    this.frame = new Float32Array(options.processorOptions.size);
    this.filled = 0;
    this.waiting = [];
    this.at = 0;
    this.playing = false;
    this.port.onmessage = (event) => {
      this.waiting.push(event.data);
      if (this.waiting.length > LiveFrames.MOST) { this.waiting.shift(); this.at = 0; }
    };
  }

  process(inputs, outputs) {
    const input = inputs[0][0], output = outputs[0]?.[0];
    for (let i = 0; input && i < input.length; i++) {
      this.frame[this.filled++] = input[i];
      if (this.filled === this.frame.length) { this.port.postMessage(this.frame.slice()); this.filled = 0; }
    }
    this.playing ||= this.waiting.length >= LiveFrames.START;
    for (let i = 0; output && i < output.length; i++) {
      if (!this.waiting.length) this.playing = false;
      if (!this.playing) { output[i] = 0; continue; }
      output[i] = this.waiting[0][this.at++];
      if (this.at === this.waiting[0].length) { this.waiting.shift(); this.at = 0; }
    }
    return true;
  }
}

registerProcessor("live-frames", LiveFrames);
