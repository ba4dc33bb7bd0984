// Sorts tables. Two clicks on "listen" open the page that plays both entries. Without scripts, tables stay in rank order.
"use strict";

(() => {
  const valueOf = (row, column) => {
    const cell = row.children[column];
    const text = cell.dataset.v ?? cell.textContent.trim();
    if (text === "") return null;
    const number = Number(text);
    return Number.isNaN(number) ? text : number;
  };

  const compare = (a, b) => {
    if (typeof a === "number" && typeof b === "number") return a - b;
    return String(a).localeCompare(String(b), "en", { numeric: true });
  };

  const sortBy = (table, button) => {
    const heading = button.closest("th");
    const column = heading.cellIndex;
    const first = button.dataset.first === "down" ? "descending" : "ascending";
    const other = first === "descending" ? "ascending" : "descending";
    const order = heading.getAttribute("aria-sort") === first ? other : first;
    for (const th of table.tHead.rows[0].cells) th.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", order);
    const sign = order === "ascending" ? 1 : -1;
    const body = table.tBodies[0];
    const rows = Array.from(body.rows, (row, index) => ({ row, index, value: valueOf(row, column) }));
    rows.sort((x, y) => {
      // Rows without a value stay last in both directions.
      if (x.value === null || y.value === null) return (x.value === null) - (y.value === null) || x.index - y.index;
      return sign * compare(x.value, y.value) || x.index - y.index;
    });
    const sorted = document.createDocumentFragment();
    for (const { row } of rows) sorted.append(row);
    body.append(sorted);
  };

  for (const table of document.querySelectorAll("table.sortable")) {
    table.tHead.addEventListener("click", (event) => {
      const button = event.target.closest("button.sort");
      if (button) sortBy(table, button);
    });
  }

  // A command to copy names the address at which the reader found this page.
  for (const code of document.querySelectorAll("code[data-here]")) {
    const folder = new URL(".", location.href);
    const here = (folder.protocol === "file:" ? decodeURIComponent(folder.pathname) : folder.href).replace(/\/$/, "");
    code.textContent = code.textContent.replaceAll("ADDRESS", () => here);
  }

  for (const table of document.querySelectorAll("table.board")) {
    const status = table.closest(".wide").nextElementSibling;
    let picked = null;
    table.addEventListener("click", (event) => {
      const link = event.target.closest("a.hear");
      if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      const row = link.closest("tr");
      const name = row.querySelector("th a, th span").textContent;
      if (picked && picked !== row) {
        const query = new URLSearchParams({ a: picked.dataset.key, b: row.dataset.key });
        location.href = `${table.dataset.ears}#${query}`;
        return;
      }
      picked = picked === row ? null : row;
      for (const other of table.tBodies[0].rows) {
        other.classList.toggle("picked", other === picked);
        other.querySelector("a.hear").textContent = other === picked ? "A" : picked ? "compare" : "listen";
      }
      status.textContent = picked ? `A is ${name}. Click "compare" in the row of the entry to compare it with.` : "";
    });
    // Forget the choice when the visitor returns with the browser's back button.
    window.addEventListener("pageshow", () => picked?.querySelector("a.hear").click());
  }
})();
