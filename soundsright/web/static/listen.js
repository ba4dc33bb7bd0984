// A listening test. The server names recordings by random words, so raters cannot tell which model they hear.
"use strict";

const Listen = (() => {
  const $ = (id) => document.getElementById(id);
  const NAMES = {
    acr: [[5, "5 Excellent"], [4, "4 Good"], [3, "3 Fair"], [2, "2 Poor"], [1, "1 Bad"]],
    ccr: [[3, "Much better"], [2, "Better"], [1, "Slightly better"], [0, "About the same"], [-1, "Slightly worse"], [-2, "Worse"], [-3, "Much worse"]],
  };
  // In MUSHRA, versions play in a loop. A version counts as heard after this time, or its length if that is shorter.
  const ENOUGH_S = 2, LOOK_MS = 50, KEPT = "soundsright-rater";
  // Browsers that block storage throw an error here.
  const store = (() => { try { return sessionStorage; } catch { return null; } })();
  let test = null, number = 0, heard = new Set(), listened = new Map(), counted = null;
  const player = new Player(() => update(), () => { heard.add(player.heard); ready(); });

  const element = (tag, text = "", attributes = {}) => {
    const made = document.createElement(tag);
    made.textContent = text;
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    return made;
  };
  const say = (text) => { $("say").textContent = text; $("say").hidden = !text; };

  const GRADES = ["Bad", "Poor", "Fair", "Good", "Excellent"];

  const ask = async (address, value) => {
    const answer = await fetch(address, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(value) });
    const reply = await answer.json();
    if (!answer.ok) throw new Error(reply.problem);
    return reply;
  };

  const labels = (trial) => {
    if (test.method === "acr") return ["Recording"];
    if (test.method === "ccr") return ["First", "Second"];
    return ["Reference", ...trial.stimuli.map((_, index) => `Version ${index + 1}`)];
  };

  const begin = async () => {
    const trial = test.trials[number], words = test.method === "mushra" ? [trial.reference, ...trial.stimuli] : trial.stimuli;
    heard = new Set();
    listened = new Map();
    counted = null;
    $("number").textContent = `Question ${number + 1} of ${test.trials.length}`;
    $("progress").max = test.trials.length;
    $("progress").value = number;
    $("next").disabled = true;
    say("");
    $("stimuli").replaceChildren();
    const names = labels(trial);
    const recordings = await Promise.all(words.map(async (word) => {
      const answer = await fetch(`api/sound/${test.rater}/${word}.wav`);
      if (!answer.ok) throw new Error("A recording did not load. Load the page again.");
      return Player.decode(await answer.arrayBuffer());
    }));
    const tracks = new Map(names.map((name, index) => [name, recordings[index].samples]));
    const seconds = Math.max(...recordings.map(({ samples, rate }) => samples.length / rate));
    player.looping = test.method === "mushra";
    player.heard = names[0];
    player.load(tracks, new Map(names.map((name) => [name, 1])), recordings[0].rate, seconds);
    const rows = names.map(stimulus);
    if (test.method === "mushra") rows.splice(1, 0, scale());
    else rows.push(choices());
    $("stimuli").replaceChildren(...rows);
    update();
    $("number").focus();
  };

  const stimulus = (name) => {
    const row = element("div", "", { class: "stimulus" });
    const button = element("button", `Play ${name.toLowerCase()}`, { type: "button", "aria-pressed": "false", "data-name": name });
    button.addEventListener("click", () => play(name));
    row.append(button);
    if (test.method === "mushra" && name !== "Reference") {
      const label = element("label", "", { class: "seek" });
      const slider = element("input", "", { type: "range", min: test.low, max: test.high, step: 1, value: 50, "data-rated": "", "aria-label": `Score of ${name.toLowerCase()}` });
      const shown = element("output", "–");
      const rate = () => {
        slider.dataset.rated = "yes";
        shown.textContent = `${slider.value} ${GRADES[Math.min(4, Math.floor(slider.value / 20))]}`;
        slider.setAttribute("aria-valuetext", shown.textContent);
        ready();
      };
      // Releasing the slider or pressing Enter gives a score too, even if the value did not change.
      for (const kind of ["input", "change", "pointerup"]) slider.addEventListener(kind, rate);
      slider.addEventListener("keydown", (event) => { if (event.key === "Enter") { event.preventDefault(); rate(); } });
      label.append(slider);
      row.append(label, shown);
    }
    return row;
  };

  // The five grades of the BS.1534 scale, shown above the sliders. Screen readers get the grade from each slider.
  const scale = () => {
    const row = element("div", "", { class: "stimulus scale", "aria-hidden": "true" });
    row.append(element("span"), element("span", "", { class: "grades" }), element("span"));
    row.children[1].append(...GRADES.map((grade) => element("span", grade)));
    return row;
  };

  const choices = () => {
    const set = element("fieldset");
    set.append(element("legend", test.method === "acr" ? "The quality is" : "Compared to the first recording, the second is"));
    for (const [value, text] of NAMES[test.method]) {
      const label = element("label", "", { class: "choice" });
      const radio = element("input", "", { type: "radio", name: "score", value });
      radio.addEventListener("change", ready);
      label.append(radio, ` ${text}`);
      set.append(label);
    }
    return set;
  };

  // In MUSHRA, a click switches versions without losing the position. In the other methods it plays from the start.
  const play = async (name) => {
    count();
    if (test.method === "mushra" && player.playing) {
      if (player.heard === name) player.pause();
      else player.hear(name);
    } else {
      player.stop();
      player.offset = 0;
      player.heard = name;
      await player.play();
    }
  };

  // Adds the time since the last call to the version that was audible, measured by the audio clock.
  const count = () => {
    const now = player.playing ? player.context.currentTime : null;
    if (now !== null && counted !== null && player.looping && !heard.has(player.heard)) {
      listened.set(player.heard, (listened.get(player.heard) ?? 0) + now - counted);
      if (listened.get(player.heard) >= Math.min(ENOUGH_S, player.duration)) { heard.add(player.heard); ready(); update(); }
    }
    counted = now;
  };

  const scores = () => {
    if (test.method === "mushra") {
      const sliders = [...$("stimuli").querySelectorAll("input[type=range]")];
      return sliders.every((slider) => slider.dataset.rated) ? sliders.map((slider) => Number(slider.value)) : null;
    }
    const chosen = $("stimuli").querySelector("input[name=score]:checked");
    return chosen ? [Number(chosen.value)] : null;
  };

  const ready = () => { $("next").disabled = !(scores() && labels(test.trials[number]).every((name) => heard.has(name))); };

  const update = () => {
    for (const button of $("stimuli").querySelectorAll("button")) {
      button.setAttribute("aria-pressed", String(player.playing && player.heard === button.dataset.name));
      button.toggleAttribute("data-heard", heard.has(button.dataset.name));
    }
  };

  const next = async (event) => {
    event.preventDefault();
    if ($("next").disabled) return;
    $("next").disabled = true;
    player.pause();
    try {
      await ask("api/answer", { rater: test.rater, trial: number, scores: scores() });
      number += 1;
      await question();
    } catch (error) {
      say(`${error.message} Your answer is still here. Press Next again.`);
      ready();
    }
  };

  const question = async () => {
    $("welcome").hidden = true;
    $("trial").hidden = number === test.trials.length;
    if (number < test.trials.length) return begin();
    store?.removeItem(KEPT);
    say("That was the last question. Thank you.");
    document.body.dataset.done = "yes";
  };

  // If a rater loads the page again, the test continues at the same question, as long as the server runs.
  const enter = async (known) => {
    $("start").disabled = true;
    try {
      test = await ask("api/enter", known);
      store?.setItem(KEPT, test.rater);
      number = test.answered;
      await question();
    } catch (error) {
      say(error.message);
      $("start").disabled = false;
    }
  };

  // The invitation is the part of the link after #, which browsers do not send to servers or other sites.
  const invitation = location.hash.slice(1, 65);
  $("start").addEventListener("click", () => enter(invitation ? { invitation } : {}));
  $("trial").addEventListener("submit", next);
  setInterval(count, LOOK_MS);
  const rater = store?.getItem(KEPT);
  if (rater) { store?.removeItem(KEPT); enter({ rater }); }
  return { player, get test() { return test; }, get number() { return number; } };
})();
