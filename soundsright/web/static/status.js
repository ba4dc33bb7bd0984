// Shows the running round from server-sent events. Miners choose the names, so they are set as text, never as HTML.
"use strict";

(() => {
  const $ = (id) => document.getElementById(id);
  const element = (tag, text = "", attributes = {}) => {
    const made = document.createElement(tag);
    made.textContent = text;
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    return made;
  };
  const time = (s) => (s < 90 ? `${Math.round(s)} s` : s < 5400 ? `${Math.round(s / 60)} min` : `${(s / 3600).toFixed(1)} h`);
  const gigabytes = (bytes) => `${(bytes / 1e9).toFixed(1)} GB`;
  // Write only changed text; otherwise a screen reader reads the same text again.
  const set = (id, text) => { if ($(id).textContent !== text) $(id).textContent = text; };

  const problem = (text) => { set("problem", text); $("problem").hidden = !text; };

  const row = (entry) => {
    const made = element("tr");
    const bar = element("td", "", { class: "left" });
    bar.append(element("progress", "", { value: entry.clips_done, max: Math.max(1, entry.clips), "aria-label": `Clips done of ${entry.label}` }));
    made.append(
      element("th", entry.label, { scope: "row", class: "left" }), element("td", entry.competition, { class: "left" }),
      element("td", entry.summary, { class: entry.state.startsWith("fail") ? "left fail" : "left" }), bar,
      element("td", `${entry.clips_done} of ${entry.clips}`),
    );
    return made;
  };

  const show = (status) => {
    problem(status.problem ?? "");
    $("round").hidden = Boolean(status.problem);
    if (status.problem) return;
    set("name", status.round);
    set("stage", status.stage_name);
    $("all").max = Math.max(1, status.clips);
    $("all").value = status.clips_done;
    set("clips", `${status.clips_done} of ${status.clips}`);
    set("left", status.left_s === null ? "not known yet" : `about ${time(status.left_s)}`);
    set("quiet", `${time(status.quiet_s)} ago`);
    set("disk", `${gigabytes(status.disk_free_bytes)} free`);
    set("gpus", status.gpus.map((gpu) => `${gpu.index}: ${gigabytes(gpu.used_bytes)} of ${gigabytes(gpu.total_bytes)}, ${Math.round(gpu.busy_percent)} % busy`).join("; ") || "none");
    $("entries").replaceChildren(...status.entries.map(row));
    $("faults").replaceChildren(...(status.faults.length ? status.faults : ["none"]).map((text) => element("li", text)));
  };

  const events = new EventSource("status/events");
  events.addEventListener("message", (event) => show(JSON.parse(event.data)));
  events.addEventListener("error", () => problem("The server does not answer. The page keeps trying."));
})();
