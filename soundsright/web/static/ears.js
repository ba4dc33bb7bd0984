// Plays a clip as two entries enhanced it, and draws spectrograms. Clips with the largest difference come first.
// Miners choose the names, so they are set as text, never as HTML.
"use strict";

const Ears = (() => {
  const $ = (id) => document.getElementById(id);
  const data = JSON.parse($("data").textContent);
  const entries = new Map(data.entries.map((entry) => [entry.key, entry]));
  const metrics = new Map(data.metrics.map((metric) => [metric.key, metric]));
  const TRACKS = ["clean", "degraded", "A", "B"];
  const state = { a: null, b: null, metric: null, clip: null };
  let loading = 0, cache = new Map(), levels = new Map(), spectra = new Map(), marked = new Map(), views = [];

  const element = (tag, text = "", attributes = {}) => {
    const made = document.createElement(tag);
    made.textContent = text;
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    return made;
  };

  const score = (entry, metric, clip) => entry.scores[metric]?.[clip] ?? null;
  const difference = (metric, clip) => {
    const of = (key) => score(entries.get(key), metric, clip) ?? metrics.get(metric).floor;
    return of(state.a) - of(state.b);
  };
  const signed = (value, digits) => (value >= 0 ? "+" : "−") + Math.abs(value).toFixed(digits);

  // Clips by difference, largest first. Clips without audio come last.
  const ordered = () => data.clips.map((_, clip) => clip).sort((x, y) =>
    audible(y) - audible(x) || Math.abs(difference(state.metric, y)) - Math.abs(difference(state.metric, x)) || x - y);
  const audible = (clip) => entries.get(state.a).audio[clip] && entries.get(state.b).audio[clip];

  const fromAddress = () => {
    const query = new URLSearchParams(location.hash.slice(1));
    const keys = [...entries.keys()];
    const known = (key) => (entries.has(key) ? key : null);
    state.a = known(query.get("a")) ?? keys[0];
    state.b = known(query.get("b")) ?? keys.find((key) => key !== state.a && key !== data.unprocessed) ?? data.unprocessed;
    state.metric = metrics.has(query.get("metric")) ? query.get("metric") : data.paid[0] ?? data.metrics[0].key;
    const clip = data.clips.findIndex(({ id }) => id === query.get("clip"));
    state.clip = clip >= 0 ? clip : null;
  };

  const toAddress = () => {
    const query = new URLSearchParams({ a: state.a, b: state.b, metric: state.metric, clip: data.clips[state.clip].id });
    history.replaceState(null, "", `#${query}`);
  };

  const fill = (select, options, chosen) => {
    select.replaceChildren(...options.map(([value, text]) => element("option", text, { value })));
    select.value = chosen;
  };

  const show = () => {
    fill($("a"), data.entries.map((entry) => [entry.key, entry.label]), state.a);
    fill($("b"), data.entries.map((entry) => [entry.key, entry.label]), state.b);
    fill($("metric"), data.metrics.map((metric) => [metric.key, metric.name]), state.metric);
    const order = ordered();
    if (state.clip === null) state.clip = order[0];
    const metric = metrics.get(state.metric);
    $("clips").replaceChildren(...order.map((clip) => {
      const value = difference(state.metric, clip);
      const option = element("div", "", { role: "option", id: `clip-${clip}`, "aria-selected": String(clip === state.clip) });
      option.append(element("b", signed(value, metric.digits), { class: value >= 0 ? "up" : "down" }), `clip ${data.clips[clip].id}`);
      if (!audible(clip)) option.append(element("small", " no audio"));
      option.addEventListener("click", () => choose(clip));
      return option;
    }));
    choose(state.clip);
  };

  const choose = (clip) => {
    state.clip = clip;
    toAddress();
    for (const option of $("clips").children) option.setAttribute("aria-selected", String(option.id === `clip-${clip}`));
    $("clips").setAttribute("aria-activedescendant", `clip-${clip}`);
    const chosen = $(`clip-${clip}`), strip = $("clips");
    strip.scrollLeft = chosen.offsetLeft - strip.offsetLeft - 8;
    $("clip-title").textContent = `Clip ${data.clips[clip].id}`;
    $("facts").textContent = data.clips[clip].facts;
    showScores();
    return loadClip();
  };

  const next = (step) => {
    const order = ordered(), at = order.indexOf(state.clip) + step;
    if (order[at] !== undefined) choose(order[at]);
  };

  const showScores = () => {
    const rows = [["A", state.a], ["B", state.b]].filter(([, key]) => key !== data.unprocessed);
    rows.push(["degraded", data.unprocessed]);
    const head = element("tr");
    head.append(element("th", "", { scope: "col" }), ...data.metrics.map((metric) => element("th", metric.name, { scope: "col" })));
    head.firstChild.append(element("span", "version", { class: "hidden" }));
    $("scores").tHead.replaceChildren(head);
    $("scores").tBodies[0].replaceChildren(...rows.map(([name, key]) => {
      const entry = entries.get(key), row = element("tr");
      row.append(element("th", name === "degraded" ? "degraded input" : `${name}: ${entry.label}`, { scope: "row", class: "left" }));
      for (const metric of data.metrics) row.append(element("td", score(entry, metric.key, state.clip)?.toFixed(metric.digits) ?? "–"));
      const failure = entry.failures[data.clips[state.clip].id];
      if (failure) row.firstChild.append(element("span", failure, { class: "fail" }));
      return row;
    }));
  };

  const say = (text) => { $("say").textContent = text; $("say").hidden = !text; };

  const keyOf = (track) => (track === "A" ? state.a : track === "B" ? state.b : null);
  // The entry "unprocessed input" is the degraded signal.
  const signalOf = (track) => { const key = keyOf(track); return key === null ? track : key === data.unprocessed ? "degraded" : key; };
  const available = (track) => {
    const signal = signalOf(track);
    return Boolean(data.references[signal] ? data.references[signal][state.clip] : entries.get(signal).audio[state.clip]);
  };

  const absent = (track) => {
    const failure = entries.get(keyOf(track))?.failures[data.clips[state.clip].id];
    return failure ? `${track} failed on this clip (${failure.split(":")[0]}).` : `${track}: no audio of this clip was kept.`;
  };

  // The places are evidence beside the audio. Without them, the clip still plays.
  const placesOf = async (address, signal) => {
    if (data.references[signal]) return [];
    try {
      const answer = await fetch(`${address}.places.json`);
      return answer.ok ? await answer.json() : [];
    } catch { return []; }
  };

  const fetched = async (signal, clip) => {
    const address = `${data.audio.root}${data.clips[clip].id}/${signal}`;
    if (data.audio.kind === "embedded") {
      const { bytes, places } = await EmbeddedAudio.load(`${address}.js`);
      return { ...await Player.decode(bytes), places };
    }
    const answer = await fetch(`${address}.wav`);
    if (!answer.ok) throw new Error(`the server replied ${answer.status}`);
    return { ...await Player.decode(await answer.arrayBuffer()), places: await placesOf(address, signal) };
  };

  const loadClip = async () => {
    const turn = ++loading, clip = state.clip, notes = [];
    player.pause();
    const playable = TRACKS.filter((track) => available(track));
    if (data.clips[clip].isPrivate) notes.push("The audio of this clip is published when its recordings retire.");
    else for (const track of TRACKS) if (!playable.includes(track)) notes.push(absent(track));
    const signals = new Map();
    await Promise.all(playable.map(async (track) => {
      const signal = signalOf(track), key = `${clip} ${signal}`;
      try {
        if (!cache.has(key)) cache.set(key, fetched(signal, clip).then((audio) => ({ ...audio, view: Spectrogram.of(audio.samples, audio.rate) })));
        signals.set(track, await cache.get(key));
      } catch (error) {
        cache.delete(key);
        notes.push(`${track}: this clip cannot be played (${error.message}).`);
      }
    }));
    if (turn !== loading) return;
    // The signals of one clip take a few megabytes. Keep only the latest ones.
    while (cache.size > 40) cache.delete(cache.keys().next().value);
    const present = TRACKS.filter((track) => signals.has(track));
    const rate = signals.get(present[0])?.rate ?? 16000;
    const odd = present.filter((track) => signals.get(track).rate !== rate);
    for (const track of odd) notes.push(`${track}: cannot be played, because its sample rate is ${signals.get(track).rate} Hz and not ${rate} Hz.`);
    const kept = present.filter((track) => !odd.includes(track));
    const tracks = new Map(kept.map((track) => [track, signals.get(track).samples]));
    levels = kept.length ? Player.levelled(tracks, rate) : new Map();
    const duration = Math.max(0, ...[...tracks.values()].map((samples) => samples.length / rate));
    player.load(tracks, gains(), rate, duration);
    say(notes.join(" "));
    spectra = new Map(kept.map((track) => [track, signals.get(track).view]));
    marked = new Map(kept.map((track) => [track, signals.get(track).places]));
    drawViews();
    $("seek").max = String(duration);
    document.body.dataset.loaded = data.clips[clip].id;
    update();
  };

  const gains = () => ($("level").getAttribute("aria-pressed") === "true" ? levels : new Map([...levels.keys()].map((name) => [name, 1])));
  const decibels = (track) => 20 * Math.log10(gains().get(track) ?? 1);

  const drawViews = () => {
    views = [];
    const figure = (track, caption, draw, label) => {
      const made = element("figure", "", { "data-track": track });
      const box = element("div", "", { class: "canvas" });
      const canvas = element("canvas", "", { role: "img", "aria-label": label });
      const over = element("canvas", "", { class: "over", "aria-hidden": "true" });
      box.append(canvas, over);
      made.append(element("figcaption", caption), box);
      draw(canvas);
      views.push({ track, made, over });
      dragOver(over);
      return made;
    };
    const made = [...spectra].map(([track, view]) => {
      const figureOf = figure(track, caption(track), (canvas) => Spectrogram.draw(canvas, view, decibels(track)), `Spectrogram, ${caption(track)}`);
      figureOf.append(axis(view));
      if (marked.get(track)?.length) figureOf.append(placesList(marked.get(track)));
      return figureOf;
    });
    if (spectra.has("A") && spectra.has("B")) {
      const [a, b] = [spectra.get("A"), spectra.get("B")];
      const text = `A minus B: blue where A is louder, orange where B is louder (strongest colour: ${Spectrogram.DIFFERENCE_DB} dB)`;
      const figureOf = figure("", text, (canvas) => Spectrogram.drawDifference(canvas, a, b, decibels("A"), decibels("B")), `Difference spectrogram. ${text}`);
      figureOf.append(axis(a));
      made.push(figureOf);
    }
    $("views").replaceChildren(...made);
  };

  const axis = (view) => {
    const made = element("div", "", { class: "scale", "aria-hidden": "true" });
    made.append(element("span", "0 s"), element("span", `0 to ${view.rate / 2000} kHz, bottom to top`), element("span", `${view.seconds.toFixed(2)} s`));
    return made;
  };

  // The places that look hallucinated, in words. A click loops one, with half a second around it.
  const placesList = (places) => {
    const list = element("ul", "", { class: "places" });
    for (const { from, to, text } of places) {
      const button = element("button", text, { type: "button" }), item = element("li");
      button.addEventListener("click", () => player.setLoop(true, Math.max(0, from - .5), Math.min(player.duration, to + .5)));
      item.append(button);
      list.append(item);
    }
    const box = element("div");
    box.append(element("p", "Looks hallucinated:", { class: "soft" }), list);
    return box;
  };

  const caption = (track) => (keyOf(track) === null ? track : `${track}: ${entries.get(keyOf(track)).label}`);

  // A click moves the position. A drag chooses the part to loop.
  const dragOver = (over) => {
    let from = null;
    const at = (event) => {
      const box = over.getBoundingClientRect();
      return Math.min(Math.max((event.clientX - box.left) / box.width, 0), 1) * player.duration;
    };
    over.addEventListener("pointerdown", (event) => { from = at(event); over.setPointerCapture(event.pointerId); });
    over.addEventListener("pointercancel", () => { from = null; });
    over.addEventListener("pointerup", (event) => {
      if (from === null) return;
      const to = at(event), [low, high] = [Math.min(from, to), Math.max(from, to)];
      from = null;
      if (high - low < 0.05) player.seek(to);
      else player.setLoop(true, low, high);
    });
  };

  const update = () => {
    $("play").textContent = player.playing ? "Pause" : "Play";
    $("play").disabled = !player.tracks.size;
    $("loop").setAttribute("aria-pressed", String(player.looping));
    for (const [number, button] of [...$("switches").children].entries()) {
      const track = TRACKS[number];
      button.textContent = `${number + 1} ${caption(track)}`;
      button.disabled = !player.tracks.has(track);
      button.setAttribute("aria-pressed", String(player.heard === track && !button.disabled));
    }
    for (const { track, made } of views) made.classList.toggle("on", track !== "" && track === player.heard);
    frame();
  };

  const frame = () => {
    const at = player.position(), share = player.duration ? at / player.duration : 0;
    if (document.activeElement !== $("seek") || player.playing) $("seek").value = String(at);
    $("time").textContent = `${at.toFixed(2)} of ${player.duration.toFixed(2)} s`;
    const { from, to } = player.part, whole = to - from > player.duration - 0.01;
    for (const { over, track: name } of views) {
      const width = over.clientWidth, height = over.clientHeight;
      if (over.width !== width) over.width = width;
      if (over.height !== height) over.height = height;
      const context = over.getContext("2d");
      context.clearRect(0, 0, width, height);
      context.strokeStyle = "#fff";
      context.lineWidth = 2;
      for (const place of marked.get(name) ?? []) {
        const [x, y] = [place.from, place.to].map((t) => t / player.duration * width);
        context.strokeRect(x, 1, Math.max(y - x, 3), height - 2);
      }
      if (player.looping && !whole && player.duration) {
        const [x, y] = [from / player.duration * width, to / player.duration * width];
        context.fillStyle = "rgba(0,0,0,.45)";
        context.fillRect(0, 0, x, height);
        context.fillRect(y, 0, width - y, height);
      }
      context.fillStyle = "#000";
      context.fillRect(share * width - 1.5, 0, 4, height);
      context.fillStyle = "#fff";
      context.fillRect(share * width - .5, 0, 2, height);
    }
  };

  const tick = () => { if (player.playing) frame(); requestAnimationFrame(tick); };

  const setLevel = (on) => {
    $("level").setAttribute("aria-pressed", String(on));
    player.setGains(gains());
    drawViews();
    update();
  };

  const keys = {
    " ": () => player.toggle(),
    x: () => player.hear(player.heard === "A" ? "B" : "A"),
    l: () => player.setLoop(!player.looping),
    m: () => setLevel($("level").getAttribute("aria-pressed") !== "true"),
    j: () => next(1),
    k: () => next(-1),
    ArrowLeft: () => player.seek(player.position() - 1),
    ArrowRight: () => player.seek(player.position() + 1),
    "[": () => player.setLoop(true, player.position(), player.part.to),
    "]": () => player.setLoop(true, player.part.from, player.position()),
  };
  TRACKS.forEach((track, number) => { keys[String(number + 1)] = () => player.hear(track); });

  const player = new Player(() => update());
  fromAddress();
  $("ears").hidden = false;
  $("switches").append(...TRACKS.map((track, number) => {
    const button = element("button", track, { type: "button", "aria-pressed": "false", "aria-keyshortcuts": String(number + 1) });
    button.addEventListener("click", () => player.hear(track));
    return button;
  }));
  $("play").addEventListener("click", () => player.toggle());
  $("loop").addEventListener("click", () => player.setLoop(!player.looping));
  $("level").addEventListener("click", () => keys.m());
  $("seek").addEventListener("input", () => player.seek(Number($("seek").value)));
  $("clips").addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (step) { event.preventDefault(); event.stopPropagation(); next(step); }
  });
  $("choice").addEventListener("submit", (event) => event.preventDefault());
  for (const name of ["a", "b", "metric"]) $(name).addEventListener("change", () => { state[name] = $(name).value; state.clip = null; show(); });
  document.addEventListener("keydown", (event) => {
    const within = event.target.closest("select, input, textarea, button, a");
    const action = keys[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!action || event.ctrlKey || event.metaKey || event.altKey) return;
    // Do not take keys that the focused control itself needs.
    if (within && (within.matches("select, textarea") || event.key === " " || (within.matches("input") && event.key.startsWith("Arrow")))) return;
    event.preventDefault();
    action();
  });
  window.addEventListener("hashchange", () => { fromAddress(); show(); });
  window.addEventListener("resize", frame);
  show();
  requestAnimationFrame(tick);
  return { player, state, ordered };
})();
