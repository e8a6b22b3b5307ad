"use strict";
/* The page of a lesson: cells that are edited, run in the worker's Python, and kept in this browser. */

const $ = id => document.getElementById(id);
const cells = [...document.querySelectorAll(".cell")], ofLesson = cells.length;   // by number; new ones come at the end
let worker = null, ready = false, queue = [], running = null;

const number = cell => Number(cell.dataset.number);
const source = cell => cell.querySelector("textarea");
const inOrder = () => [...document.querySelectorAll(".cell")];
const output = cell => cell.querySelector(".output");

/* -------------------------------------------------------------------------------------------------------- Python */

function start() {
  if (location.protocol === "file:") return status("Browsers run no Python in a page that was opened as a file: serve the folder with a web server (python -m http.server).");
  worker = new Worker("worker.js");
  worker.onmessage = ({data}) => heard(data);
  worker.onerror = event => heard({broken: event.message || "worker.js cannot be loaded"});
  worker.postMessage({start: true});
  $("start").hidden = true;
  $("progress").hidden = false;
  status("loading");
}

function heard(data) {
  const cell = data.cell ? cells[data.cell - 1] : null;
  if (data.what) {
    $("progress").value = data.loaded / data.of;
    status(`${data.what}: ${(data.loaded / 1e6).toFixed(1)} of ${(data.of / 1e6).toFixed(1)} MB`);
  } else if (data.ready) {
    ready = true;
    $("progress").hidden = true;
    status(`${data.versions} is ready.`);
    next();
  } else if (data.text) write(cell, data.text);
  else if (data.picture) picture(cell, data.picture, data.kind);
  else if (data.finished) finished(cell, data.failed);
  else if (data.broken) broken(cell, data.broken);
  buttons();
}

/* Ends the thread: nothing else stops a loop without end. Names that cells have defined are lost, what is written is not. */
function stop(why) {
  if (worker) worker.terminate();
  if (running) mark(running, why);
  worker = running = null;
  ready = false;
  queue = [];
  $("start").hidden = false;
  $("progress").hidden = true;
  status(`Python has ended${why ? ` (${why})` : ""}. Start it again, then “Run all above” brings back what the cells had defined.`);
  buttons();
}

function broken(cell, text) {
  if (cell) write(cell, text + "\n", "wrong");
  stop("an error");
  if (!cell) status(`Python could not be started: ${text}`);
}

/* --------------------------------------------------------------------------------------------------------- cells */

function ask(list) {
  queue.push(...list.filter(cell => cell !== running && !queue.includes(cell)));
  queue.forEach(cell => mark(cell, "waits"));
  next();
  buttons();
}

function next() {
  if (!ready || running || !queue.length) return;
  running = queue.shift();
  output(running).replaceChildren();
  mark(running, "runs");
  worker.postMessage({run: source(running).value, cell: number(running)});
}

function finished(cell, failed) {
  mark(cell, failed ? "stopped with an error" : "done");
  if (failed) { queue.forEach(c => mark(c, "")); queue = []; }
  running = null;
  next();
}

/* A cell of the reader's own below this one. It is not kept. */
function addBelow(cell) {
  const made = cell.cloneNode(true);
  made.dataset.number = cells.push(made);
  source(made).value = source(made).defaultValue = "";
  source(made).setAttribute("aria-label", "a cell of your own");
  output(made).replaceChildren();
  made.querySelector("details")?.replaceWith(source(made));   // of a check, which is folded
  mark(made, "");
  cell.after(made);
  wire(made);
  source(made).focus();
}

function mark(cell, text) { cell.querySelector(".state").textContent = text; }

function write(cell, text, look = "") {
  const last = output(cell).lastChild;
  if (last && last.nodeName === "SPAN" && last.className === look) last.append(text);
  else output(cell).append(Object.assign(document.createElement("span"), {textContent: text, className: look}));
}

/* An image, never markup: a drawing holds texts that the reader typed. */
function picture(cell, content, kind) {
  const url = URL.createObjectURL(new Blob([content], {type: kind === "svg" ? "image/svg+xml" : "image/png"}));
  output(cell).append(Object.assign(new Image(), {src: url, alt: "the picture that this cell draws"}));
}

/* --------------------------------------------------------------------------------------- what the reader has written */

const key = cell => `minitorch ${document.body.dataset.lesson} ${number(cell)}`;

function keep(cell) {
  try {
    const {value, defaultValue} = source(cell);
    if (number(cell) > ofLesson) return fit(source(cell));
    if (value === defaultValue) localStorage.removeItem(key(cell));
    else localStorage.setItem(key(cell), JSON.stringify({original: defaultValue, value}));
  } catch { status("This browser keeps nothing: copy your answers before you close the page."); }
  cell.querySelector(".reset").hidden = source(cell).value === source(cell).defaultValue;
  fit(source(cell));
}

function restore(cell) {
  try {
    const kept = JSON.parse(localStorage.getItem(key(cell)) || "null");
    if (kept && kept.original === source(cell).defaultValue) source(cell).value = kept.value;   // else the lesson has changed since
  } catch { /* nothing kept */ }
  cell.querySelector(".reset").hidden = source(cell).value === source(cell).defaultValue;
  fit(source(cell));
}

function fit(area) { area.rows = area.value.split("\n").length; }

/* Tab indents; after Escape it leaves the cell, for those who walk the page by keys. Enter keeps the indentation. */
function typed(event, cell) {
  const area = source(cell), {selectionStart: at, value} = area;
  if (event.key === "Enter" && (event.shiftKey || event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    if (worker) ask([cell]);
    const next = inOrder()[inOrder().indexOf(cell) + 1];
    if (event.shiftKey && next) source(next).focus();
  } else if (event.key === "Tab" && !event.shiftKey && !area.leaving) {
    event.preventDefault();
    insert(area, "    ");
  } else if (event.key === "Enter") {
    const line = value.slice(value.lastIndexOf("\n", at - 1) + 1, at);
    event.preventDefault();
    insert(area, "\n" + line.match(/^ */)[0] + (line.trimEnd().endsWith(":") ? "    " : ""));
  }
  area.leaving = event.key === "Escape";
}

/* Through the browser's own command, so that undo works. */
function insert(area, text) {
  if (!document.execCommand("insertText", false, text)) area.setRangeText(text, area.selectionStart, area.selectionEnd, "end");
}

/* -------------------------------------------------------------------------------------------------------- buttons */

function status(text) { $("status").textContent = text; }

function buttons() {
  $("stop").disabled = !worker;
  $("all").disabled = !worker;
  for (const button of document.querySelectorAll(".run, .above")) button.disabled = !worker;
}

$("start").onclick = () => { start(); buttons(); };
$("stop").onclick = () => stop("stopped");
$("all").onclick = () => ask(inOrder());

function wire(cell) {
  const on = (name, action) => { cell.querySelector(name).onclick = action; };
  restore(cell);
  source(cell).oninput = () => keep(cell);
  source(cell).onkeydown = event => typed(event, cell);
  on(".run", () => ask([cell]));
  on(".above", () => ask(inOrder().slice(0, inOrder().indexOf(cell))));
  on(".new", () => addBelow(cell));
  on(".reset", () => { source(cell).value = source(cell).defaultValue; keep(cell); });
}
cells.forEach(wire);
buttons();
