"use strict";

// Everything a candidate wrote reaches the page by textContent alone.
function element(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

// Sorting and filtering

function makeSortable(table) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    if ("unsortable" in head.dataset) return;
    const button = element("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      // Numbers are looked at from the largest down, names from A.
      const first = head.classList.contains("number") ? "descending" : "ascending";
      const other = first === "ascending" ? "descending" : "ascending";
      const order = head.getAttribute("aria-sort") === first ? other : first;
      heads.forEach((each) => each.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", order);
      sortRows(table.tBodies[0], column, order === "ascending" ? 1 : -1, head.classList.contains("number"));
    });
  });
}

function sortRows(body, column, sign, numeric) {
  const keyed = [...body.rows].map((row) => {
    const cell = row.cells[column];
    const text = cell.dataset.sort ?? cell.textContent.trim();
    const missing = ["", "-", "None"].includes(text);
    // "40 % [12, 77]" by its 40, "<0.1" by its 0.1
    return { row, missing, text, number: numeric ? Number.parseFloat(text.replace(/^[<>#]/, "")) : Number(text) };
  });
  keyed.sort((a, b) => {
    if (a.missing || b.missing) return a.missing - b.missing; // last, whichever way
    if (!Number.isNaN(a.number) && !Number.isNaN(b.number)) return sign * (a.number - b.number);
    return sign * a.text.localeCompare(b.text, "en", { numeric: true });
  });
  body.append(...keyed.map(({ row }) => row));
}

function makeFilter(form, table) {
  const rows = [...table.tBodies[0].rows];
  const apply = () => {
    const wanted = form.elements.task.value.trim().toLowerCase();
    let shown = 0;
    for (const row of rows) {
      const { task, strategy, verdict } = row.dataset;
      row.hidden = !(
        (task.toLowerCase().includes(wanted) || task.toLowerCase().replaceAll("_", " ").includes(wanted)) &&
        ["", strategy].includes(form.elements.strategy.value) &&
        ["", verdict].includes(form.elements.verdict.value)
      );
      shown += !row.hidden;
    }
    form.elements.count.textContent = `${shown} of ${rows.length} rows`;
  };
  form.addEventListener("input", apply);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  apply();
}

// A table that is wider than its place: each row a block, and each cell says what it is of (page.css). The roles keep it
// a table for who hears the page.
const ROLES = { THEAD: "rowgroup", TBODY: "rowgroup", TR: "row", TD: "cell" };

function makeStackable(table) {
  const heads = [...table.tHead.rows[0].cells].map((head) => head.textContent.trim());
  table.setAttribute("role", "table");
  table.querySelectorAll("thead, tbody, tr, td, th").forEach((each) => {
    each.setAttribute("role", ROLES[each.tagName] ?? (each.scope === "row" ? "rowheader" : "columnheader"));
  });
  for (const row of table.tBodies[0].rows) {
    [...row.cells].forEach((cell, column) => { cell.dataset.label = heads[column]; });
  }
  const fit = () => {
    table.classList.remove("stacked");
    table.classList.toggle("stacked", table.scrollWidth > table.parentNode.clientWidth + 1);
  };
  addEventListener("resize", fit);
  table.closest("details")?.addEventListener("toggle", fit);
  return fit;
}

// Intervals

const WIDTH = 220;
const TICKS = [1e-3, 0.01, 0.03, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 100, 300, 1000, 1e4];

function svg(name, attributes, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

// Logarithmic, over all of `intervals` ([middle, low, high]) and some room around 1.
function axisOf(intervals) {
  const ends = intervals.flat().filter((value) => value > 0);
  const low = Math.log(Math.min(0.8, ...ends));
  const high = Math.log(Math.max(1.25, ...ends));
  return (value) => 6 + ((Math.log(Math.max(value, Math.exp(low))) - low) / (high - low)) * (WIDTH - 12);
}

function line(className, x, top, bottom) {
  return svg("line", { class: className, x1: x, x2: x, y1: top, y2: bottom });
}

function interval([middle, low, high], x, fast) {
  return svg(
    "svg",
    { class: fast ? "interval fast" : "interval", viewBox: `0 0 ${WIDTH} 16`, "aria-hidden": "true" },
    line("one", x(1), -8, 24),
    svg("line", { class: "range", x1: x(low), x2: x(high), y1: 8, y2: 8 }),
    svg("circle", { class: "middle", cx: x(middle), cy: 8, r: 4 }),
  );
}

function axis(x) {
  const drawn = svg("svg", { class: "axis", viewBox: `0 0 ${WIDTH} 20`, "aria-hidden": "true" });
  const taken = [];
  for (const tick of [1, ...TICKS]) {
    const place = x(tick);
    if (place < 6 || place > WIDTH - 6 || x(tick * 0.999) === place) continue;
    if (taken.some((other) => Math.abs(other - place) < 34)) continue;
    taken.push(place);
    drawn.append(svg("text", { x: place, y: 13 }, `${tick}x`), line("one", place, 16, 20));
  }
  return drawn;
}

function plotTable(table) {
  const cells = [...table.querySelectorAll("td[data-interval]")];
  const intervals = cells.map((cell) => cell.dataset.interval.split(" ").map(Number));
  const x = axisOf(intervals);
  table.querySelector(".axis").append(axis(x));
  cells.forEach((cell, place) => {
    cell.append(interval(intervals[place], x, cell.parentNode.dataset.verdict === "fast"));
  });
}

// The candidate's single calls, in ms from the fastest to the slowest.
function calls(times) {
  const low = Math.min(...times);
  const high = Math.max(...times);
  const x = (value) => 6 + ((value - low) / (high - low || 1)) * (WIDTH - 12);
  const dots = times.map((value) => svg("circle", { class: "call", cx: x(value), cy: 8, r: 3 }));
  const drawn = svg("svg", { class: "interval", viewBox: `0 0 ${WIDTH} 16`, "aria-hidden": "true" }, ...dots);
  const shown = element("dd", "calls");
  shown.append(`${low} ms`, drawn, `${high} ms`);
  return shown;
}

// Candidates

async function unpack(base64) {
  const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
}

function open(details) {
  const place = details.querySelector(".unpacked");
  details.unpacked ??= unpack(details.querySelector("script").textContent).then(
    ({ sets, texts }) => {
      for (const set of sets) {
        if (sets.length > 1) place.append(element("h3", "", set.strategies.join(", ")));
        place.append(...candidateList(set, texts));
      }
    },
    (error) => place.append(element("p", "caution", `This browser cannot unpack the candidates (${error}).`)),
  );
  return details.unpacked;
}

function candidateList({ candidates, strategies }, texts) {
  if (!candidates.length) return [element("p", "", "No candidate.")];
  const x = axisOf(candidates.map(({ speedup }) => speedup ?? []));
  const heading = element("div", "heading row");
  heading.setAttribute("aria-hidden", "true");
  const plot = element("span", "plot");
  if (candidates.some(({ speedup }) => speedup)) plot.append(axis(x));
  heading.append(element("span", "", "Answers"), element("span", "", "Outcome"), plot);
  heading.append(element("span", "", "Speed-up [95 %]"), element("span", "", "Flags; chosen by"));
  return [heading, ...candidates.map((candidate) => candidateDetails(candidate, strategies, x, texts))];
}

function candidateDetails(candidate, strategies, x, texts) {
  const details = element("details", "candidate");
  details.isOf = (index, strategy) =>
    candidate.indices.includes(index) && (strategy === undefined || strategies.includes(strategy));
  const summary = element("summary");
  const row = element("span", "row");
  const state = candidate.fast ? "fast" : candidate.outcome;
  const plot = element("span", "plot");
  if (candidate.speedup?.every((value) => value !== null)) plot.append(interval(candidate.speedup, x, candidate.fast));
  const outcome = element("span");
  outcome.append(element("span", `verdict ${candidate.fast ? "fast" : candidate.outcome}`, state.replaceAll("_", " ")));
  const marks = [...candidate.flags, ...candidate.chosen.map((name) => `★\u00a0${name}`)];
  row.append(element("span", "", shortened(candidate.indices)), outcome, plot);
  row.append(element("span", "speedup", candidate.shown), element("span", "small", marks.join(", ")));
  summary.append(row);
  details.append(summary);
  details.addEventListener("toggle", () => fill(details, candidate, texts), { once: true });
  return details;
}

function shortened(indices) {
  if (indices.length <= 4) return indices.map((index) => `#${index}`).join(", ");
  return `${indices.slice(0, 3).map((index) => `#${index}`).join(", ")} and ${indices.length - 3} more`;
}

function fill(details, candidate, texts) {
  if (candidate.detail) details.append(element("p", "log", candidate.detail));
  const facts = element("dl", "facts");
  const all = candidate.indices.length > 4 ? [["answers", candidate.indices.map((index) => `#${index}`).join(", ")]] : [];
  for (const [name, value] of [...all, ...candidate.facts]) facts.append(element("dt", "", name), element("dd", "", value));
  if (candidate.calls_ms.length) {
    facts.append(element("dt", "", `${candidate.calls_ms.length} single calls`), calls(candidate.calls_ms));
  }
  details.append(facts);
  if (candidate.log) details.append(scrolled(`Build log of ${shortened(candidate.indices)}`, shown(candidate.log)));
  if (candidate.text !== null) {
    details.append(scrolled(`Source of ${shortened(candidate.indices)}`, highlighted(texts[candidate.text])));
  }
}

function scrolled(label, content) {
  const made = element("pre");
  made.tabIndex = 0; // so that the keyboard can scroll it
  made.setAttribute("role", "region");
  made.setAttribute("aria-label", label);
  made.append(content);
  return made;
}

// Highlighting: Python, and C++ in the strings that hold it. Every pattern is linear in what it is given.

const PYTHON = new RegExp(
  [
    /(?<comment>#[^\n]*)/,
    /(?<string>\b[rbfu]{1,2}(?=["'])(?:"""[^]*?(?:"""|$)|'''[^]*?(?:'''|$)|"(?:\\.|[^"\\\n])*"?|'(?:\\.|[^'\\\n])*'?)|"""[^]*?(?:"""|$)|'''[^]*?(?:'''|$)|"(?:\\.|[^"\\\n])*"?|'(?:\\.|[^'\\\n])*'?)/,
    /(?<decorator>@[\w.]+)/,
    /(?<keyword>\b(?:and|as|assert|async|await|break|class|continue|def|del|elif|else|except|False|finally|for|from|global|if|import|in|is|lambda|None|nonlocal|not|or|pass|raise|return|True|try|while|with|yield)\b)/,
    /(?<number>\b\d[\w.]*)/,
  ].map((each) => each.source).join("|"),
  "g",
);
const CPP = new RegExp(
  [
    /(?<comment>\/\/[^\n]*|\/\*[^]*?(?:\*\/|$))/,
    /(?<string>"(?:\\.|[^"\\\n])*"?)/,
    /(?<decorator>^[ \t]*#[ \t]*\w+|\b__\w+__\b)/,
    /(?<keyword>\b(?:auto|bool|break|case|char|class|const|constexpr|continue|default|do|double|else|enum|extern|false|float|for|half|if|inline|int|int64_t|long|namespace|operator|return|short|signed|sizeof|size_t|static|struct|switch|template|true|typedef|typename|unsigned|using|void|volatile|while)\b)/,
    /(?<number>\b\d[\w.]*)/,
  ].map((each) => each.source).join("|"),
  "gm",
);
const HOLDS_CPP = /#include|__global__|extern "C"|TORCH_LIBRARY|torch::Tensor/;
// Controls, invisible characters and those that reorder text: a source must not look like another one.
const HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/;
const CLASSES = { comment: "comment", string: "string", decorator: "decorator", keyword: "keyword", number: "number-literal" };

function highlighted(source, pattern = PYTHON) {
  const made = document.createDocumentFragment();
  let end = 0;
  for (const match of source.matchAll(pattern)) {
    made.append(shown(source.slice(end, match.index)));
    end = match.index + match[0].length;
    const kind = Object.keys(CLASSES).find((name) => match.groups[name] !== undefined);
    if (kind === "string" && pattern === PYTHON && HOLDS_CPP.test(match[0])) {
      made.append(highlighted(match[0], CPP));
    } else {
      const span = element("span", CLASSES[kind]);
      span.append(shown(match[0]));
      made.append(span);
    }
  }
  made.append(shown(source.slice(end)));
  return made;
}

function shown(text) {
  const made = document.createDocumentFragment();
  for (const part of text.split(new RegExp(`(${HIDDEN.source})`))) {
    const code = part.length === 1 && HIDDEN.test(part) && part.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0");
    made.append(code ? element("span", "hidden-character", `U+${code}`) : part);
  }
  return made;
}

// Links to a task and to one of its candidates, of a strategy where there are several sets (#task-3/31/oracle)

async function follow() {
  const [, task, index, strategy] = /^#task-(\d+)(?:\/(\d+)(?:\/(.+))?)?$/.exec(location.hash) ?? [];
  const details = task && document.getElementById(`task-${task}`);
  if (!details) return;
  details.open = true;
  await open(details);
  let target = details;
  if (index !== undefined) {
    const wanted = (each) => each.isOf(Number(index), strategy && decodeURIComponent(strategy));
    target = [...details.querySelectorAll(".candidate")].find(wanted) ?? details;
    target.open = true;
  }
  target.scrollIntoView();
  target.querySelector("summary").focus();
}

const fits = [...document.querySelectorAll("table")].map(makeStackable);
document.querySelectorAll("table.plotted").forEach(plotTable);
document.querySelectorAll("table.sortable").forEach(makeSortable);
document.querySelectorAll("form.filters").forEach((form) => makeFilter(form, document.querySelector("table.filtered")));
document.querySelectorAll("details.task").forEach((each) => {
  each.addEventListener("toggle", () => each.open && open(each));
});
fits.forEach((fit) => fit());
addEventListener("hashchange", follow);
follow();
