// Sends a recording to the gateway and plays it before and after. Signals are Float32Array, full scale ±1, one channel.
// Times are in seconds, rates in Hz. What a server says is set as text, never as HTML.
"use strict";

const Try = (() => {
  const $ = (id) => document.getElementById(id);
  const KEPT = "soundsright-key", FRAME_MS = 20, KEPT_S = 60, SHOW_MS = 100;
  // Browsers that block storage throw an error here.
  const store = (() => { try { return sessionStorage; } catch { return null; } })();
  const facts = $("ask").dataset;
  let busy = null, shown = null, saved = null;
  const player = new Player(() => update(), () => update());
  player.looping = false;

  const say = (text) => { $("say").textContent = text; $("say").hidden = !text; };
  const rate = () => Number($("competition").selectedOptions[0].dataset.rate);
  const key = () => $("key").value.trim();
  const longest = () => Number(key() ? facts.maxS : facts.demoMaxS);

  // Whether something can be sent now. Says why not.
  const may = () => {
    if (key() || facts.open === "yes") return true;
    say("Type your key first.");
    $("key").focus();
    return false;
  };

  // Samples as 16-bit integers.
  const integers = (samples) => Int16Array.from(samples, (x) => Math.max(-32768, Math.min(32767, Math.round(32768 * x))));
  const floats = (whole) => Float32Array.from(whole, (x) => x / 32768);
  const asSent = (samples) => floats(integers(samples));

  const wavOf = (samples, hz) => {
    const bytes = new ArrayBuffer(44 + 2 * samples.length), view = new DataView(bytes);
    const text = (at, letters) => [...letters].forEach((letter, i) => view.setUint8(at + i, letter.charCodeAt(0)));
    text(0, "RIFF"); view.setUint32(4, 36 + 2 * samples.length, true); text(8, "WAVEfmt ");
    view.setUint32(16, 16, true); view.setUint16(20, 1, true); view.setUint16(22, 1, true);
    view.setUint32(24, hz, true); view.setUint32(28, 2 * hz, true); view.setUint16(32, 2, true); view.setUint16(34, 16, true);
    text(36, "data"); view.setUint32(40, 2 * samples.length, true);
    integers(samples).forEach((value, i) => view.setInt16(44 + 2 * i, value, true));
    return bytes;
  };

  const joined = (parts) => {
    const all = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
    let at = 0;
    for (const part of parts) { all.set(part, at); at += part.length; }
    return all;
  };

  // One channel at another rate, by the browser's own resampler.
  const resampled = async (buffer, hz) => {
    const context = new OfflineAudioContext(1, Math.max(1, Math.round(buffer.duration * hz)), hz);
    const source = new AudioBufferSourceNode(context, { buffer });
    source.connect(context.destination);
    source.start();
    return (await context.startRendering()).getChannelData(0);
  };

  const shortened = (samples) => {
    const most = Math.floor(longest() * rate());
    if (samples.length <= most) return samples;
    say(`Only the first ${longest()} seconds were sent.`);
    return samples.subarray(0, most);
  };

  // Shows an answer: samples before and after, and who gave it.
  const show = (before, after, hz, who) => {
    shown = { before, after, rate: hz, ...who };
    $("prover").textContent = who.prover;
    $("tier").textContent = who.tier;
    $("latency").textContent = who.time;
    $("verified").textContent = who.verified ? "Yes: its last answer to the verifier was its committed model's" : "No: its last answer to the verifier was not its committed model's";
    for (const [name, samples] of [["before", before], ["after", after]]) {
      const view = $(`${name}-view`);
      Spectrogram.draw(view, Spectrogram.of(samples, hz));
      view.setAttribute("aria-label", `Spectrogram ${name}, ${(samples.length / hz).toFixed(1)} seconds`);
    }
    player.looping = false;
    player.heard = "after";
    const tracks = new Map([["before", before], ["after", after]]);
    player.load(tracks, new Map([["before", 1], ["after", 1]]), hz, Math.max(before.length, after.length, 1) / hz);
    if (saved) URL.revokeObjectURL(saved);
    saved = URL.createObjectURL(new Blob([wavOf(after, hz)], { type: "audio/wav" }));
    $("save").href = saved;
    $("result").hidden = false;
    $("result-title").focus();
    update();
  };

  const send = async (samples) => {
    const hz = rate(), headers = { "Content-Type": "audio/wav" };
    if (key()) headers["X-Api-Key"] = key();
    if (!samples.length) { say("The recording is empty."); return; }
    const short = shortened(samples), sent = asSent(short), isWhole = short === samples;
    if (isWhole) say("Waiting for the answer…");
    try {
      const began = performance.now();
      const answer = await fetch(`v1/enhance?competition=${encodeURIComponent($("competition").value)}`, { method: "POST", headers, body: wavOf(sent, hz) });
      if (!answer.ok) throw new Error(await sentence(answer));
      const { samples: after } = await Player.decode(await answer.arrayBuffer());
      const whole = Math.round(performance.now() - began), own = Math.round(Number(answer.headers.get("X-Latency-Ms")));
      show(sent, after, hz, {
        prover: answer.headers.get("X-Prover"), tier: answer.headers.get("X-Tier"), verified: answer.headers.get("X-Verified") === "true",
        time: `${own} ms for ${(sent.length / hz).toFixed(1)} s of speech (${whole} ms with the way to this browser)`,
      });
      if (isWhole) say("");
    } catch (error) {
      say(error.message);
    }
    ladder();
  };

  const sentence = async (answer) => {
    try { return `${(await answer.json()).sentence}.`; } catch { return `The gateway answered with status ${answer.status}.`; }
  };

  // The microphone as frames: `each` gets Float32Arrays. `play` plays frames. A rate of null leaves the device's own.
  const microphone = async (hz, each) => {
    const wanted = { channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: false };
    const media = await navigator.mediaDevices.getUserMedia({ audio: wanted });
    const context = new AudioContext(hz ? { sampleRate: hz, latencyHint: "interactive" } : {});
    const close = async () => { for (const track of media.getTracks()) track.stop(); await context.close(); };
    try {
      await context.audioWorklet.addModule("assets/live_worklet.js");
      await context.resume();
      const size = Math.round(context.sampleRate * FRAME_MS / 1000);
      const node = new AudioWorkletNode(context, "live-frames", { numberOfInputs: 1, numberOfOutputs: 1, outputChannelCount: [1], processorOptions: { size } });
      node.port.onmessage = (event) => { level(event.data); each(event.data); };
      new MediaStreamAudioSourceNode(context, { mediaStream: media }).connect(node).connect(context.destination);
      return { rate: context.sampleRate, play: (frame) => node.port.postMessage(frame), close };
    } catch (error) {
      await close();
      throw error;
    }
  };

  const level = (frame) => {
    let most = 0;
    for (const value of frame) most = Math.max(most, Math.abs(value));
    $("level").value = most;
  };

  const noMicrophone = (error) => say(error.name === "NotAllowedError" ? "The browser has no leave to use the microphone. Allow it, or choose a file." : `The microphone cannot be used (${error.message}). Choose a file instead.`);

  // Starts or ends what one of the two buttons does. `begin` gives a function that ends it.
  const toggled = (button, begin) => async () => {
    if (busy) { if (busy.button === button) await busy.end?.(); return; }
    if (!may()) return;
    say("");
    player.pause();
    busy = { button, end: null };
    update();
    try {
      const end = await begin();
      if (busy) busy.end = end;
    } catch (error) { noMicrophone(error); idle(); }
    update();
  };
  const idle = () => { busy = null; $("level").value = 0; update(); };

  const record = async () => {
    const parts = [];
    let length = 0, mic = null, ended = false;
    const end = async () => {
      if (ended) return;
      ended = true;
      await mic.close();
      idle();
      const hz = mic.rate, all = joined(parts);
      if (!all.length) { say("The recording is empty."); return; }
      const buffer = new AudioBuffer({ length: all.length, sampleRate: hz, numberOfChannels: 1 });
      buffer.copyToChannel(all, 0);
      await send(hz === rate() ? all : await resampled(buffer, rate()));
    };
    mic = await microphone(null, (frame) => {
      parts.push(frame);
      length += frame.length;
      $("clock").textContent = `${(length * FRAME_MS / 1000 / frame.length).toFixed(1)} s`;
      if (mic && length >= longest() * mic.rate) end();
    });
    return end;
  };

  const live = async () => {
    const hz = rate(), sent = [], came = [], times = [], delays = [];
    let mic = null, ready = null, stats = null, ended = false, failed = "";
    const url = new URL(`v1/stream?competition=${encodeURIComponent($("competition").value)}`, location.href);
    url.protocol = url.protocol.replace("http", "ws");
    const socket = new WebSocket(url, [facts.protocol, ...(key() ? [facts.keyProtocol + key()] : [])]);
    socket.binaryType = "arraybuffer";
    const stop = async () => {
      if (ended) return;
      ended = true;
      await mic?.close();
      $("level").value = 0;
      if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify({ type: "end" }));
    };
    socket.onopen = () => socket.send(JSON.stringify({ type: "start", sample_rate_hz: hz, frame_ms: FRAME_MS }));
    socket.onmessage = async (event) => {
      if (typeof event.data !== "string") {
        const frame = floats(new Int16Array(event.data));
        if (times.length) delays.push(performance.now() - times.shift());
        if (came.length < KEPT_S * 1000 / FRAME_MS) came.push(frame);
        if (!ended) mic?.play(frame);
        return;
      }
      const message = JSON.parse(event.data);
      if (message.type === "stats") stats = message;
      if (message.type === "done") socket.close();
      if (message.type !== "ready") return;
      ready = message;
      try {
        mic = await microphone(hz, (frame) => {
          if (ended || socket.readyState !== WebSocket.OPEN || socket.bufferedAmount > 65536) return;
          socket.send(integers(frame).buffer);
          times.push(performance.now());
          if (sent.length < KEPT_S * 1000 / FRAME_MS) sent.push(asSent(frame));
          $("clock").textContent = `${(sent.length * FRAME_MS / 1000).toFixed(1)} s`;
        });
        if (ended) await mic.close();
        say(`${ready.prover.slice(0, 8)}… (${ready.tier}) answers. Press Live again to stop.`);
      } catch (error) { noMicrophone(error); failed = $("say").textContent; await stop(); }
    };
    socket.onclose = async (event) => {
      await stop();
      idle();
      if (!ready) { say("Live audio was refused: the key is not known, too many listen, or no model that streams answers now."); return; }
      if (event.code !== 1000 && event.code !== 1005) failed = `The stream ended (${event.reason || event.code}).`;
      if (sent.length) shownLive(hz, joined(sent), joined(came), ready, delays, stats);
      say(failed);
      ladder();
    };
    return stop;
  };

  const shownLive = (hz, before, after, ready, delays, stats) => {
    // The answer lags by the look-ahead. For the comparison it is moved back.
    const lag = Math.ceil(ready.lookahead_ms / FRAME_MS) * hz * FRAME_MS / 1000;
    const median = [...delays].sort((a, b) => a - b)[delays.length >> 1] ?? 0;
    const there = stats ? `; ${stats.latency_ms_p50} ms of it at the gateway` : "";
    show(before, after.subarray(Math.min(lag, after.length)), hz, {
      prover: ready.prover, tier: ready.tier, verified: ready.verified === "true",
      time: `${median.toFixed(1)} ms for a frame of ${FRAME_MS} ms, and ${ready.lookahead_ms} ms of look-ahead${there}`,
    });
  };

  const file = async (chosen) => {
    if (!chosen || busy || !may()) return;
    say("");
    busy = { button: "choose" };
    update();
    try {
      // Decoding by a context of this rate resamples too.
      const buffer = await new OfflineAudioContext(1, 1, rate()).decodeAudioData(await chosen.arrayBuffer());
      await send(buffer.numberOfChannels === 1 ? buffer.getChannelData(0) : await resampled(buffer, rate()));
    } catch (error) {
      say(`${chosen.name} cannot be read as audio.`);
    }
    idle();
  };

  const update = () => {
    for (const name of ["record", "live"]) {
      const on = busy?.button === name;
      $(name).setAttribute("aria-pressed", String(on));
      $(name).disabled = Boolean(busy) && !on;
    }
    $("record").textContent = busy?.button === "record" ? "Stop and send" : "Record";
    $("live").textContent = busy?.button === "live" ? "Stop live" : "Live";
    $("choose").disabled = $("competition").disabled = Boolean(busy);
    $("play").textContent = player.playing ? "Pause" : "Play";
    for (const name of ["before", "after"]) $(name).setAttribute("aria-pressed", String(player.heard === name));
  };

  const cell = (text, title = "", kind = "") => {
    const made = document.createElement("td");
    made.textContent = text;
    made.className = kind;
    if (title) made.title = title;
    return made;
  };

  const ladder = async () => {
    try {
      const answer = await fetch(`v1/provers?competition=${encodeURIComponent($("competition").value)}`);
      if (!answer.ok) return;
      const rows = (await answer.json()).provers.map((prover) => {
        const row = document.createElement("tr");
        const live = prover.streams === null ? "–" : prover.streams ? "yes" : "no";
        row.append(cell(`${prover.hotkey.slice(0, 8)}…`, prover.hotkey, "left"), cell(prover.tier, "", "left"), cell(prover.model.split("@")[0], prover.model, "left"),
          cell(prover.latency_ms === null ? "–" : `${prover.latency_ms} ms`), cell(prover.verified ? "yes" : "no"), cell(live));
        return row;
      });
      if (!rows.length) { const row = document.createElement("tr"); row.append(cell("None at the moment")); rows.push(row); }
      $("provers").replaceChildren(...rows);
    } catch { /* The table stays as it is; a request tells what is wrong. */ }
  };

  $("record").addEventListener("click", toggled("record", record));
  $("live").addEventListener("click", toggled("live", live));
  $("choose").addEventListener("click", () => $("file").click());
  $("file").addEventListener("change", async () => { await file($("file").files[0]); $("file").value = ""; });
  $("ask").addEventListener("submit", (event) => event.preventDefault());
  $("key").addEventListener("input", () => (key() ? store?.setItem(KEPT, key()) : store?.removeItem(KEPT)));
  $("competition").addEventListener("change", ladder);
  $("play").addEventListener("click", () => player.toggle());
  for (const name of ["before", "after"]) $(name).addEventListener("click", () => player.hear(name));
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => { event.preventDefault(); file(event.dataTransfer.files[0]); });
  document.addEventListener("keydown", (event) => {
    const name = { 1: "before", 2: "after" }[event.key];
    if (!name || !shown || event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, select")) return;
    player.hear(name);
  });
  setInterval(() => { if (player.playing) update(); }, SHOW_MS);
  $("key").value = store?.getItem(KEPT) ?? "";
  update();
  ladder();
  return { player, get shown() { return shown; }, get busy() { return busy; } };
})();
