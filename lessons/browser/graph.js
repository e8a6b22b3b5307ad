"use strict";
/* Draws the graph of an expression and steps through its backward pass. Read before: autograd.js. */

const $ = id => document.getElementById(id);
const BOX = {width: 124, height: 62}, PITCH = {x: 294, y: 96}, BEND = 46, MARGIN = 14;
const SYMBOLS = {"*": "×", "/": "÷", "-": "−", negative: "−( )", "**": "power"};
const RULES = {
  "+": "∂(a + b)/∂a = ∂(a + b)/∂b = 1", "-": "∂(a − b)/∂a = 1, ∂(a − b)/∂b = −1", "*": "∂(a·b)/∂a = b, ∂(a·b)/∂b = a",
  "/": "∂(a/b)/∂a = 1/b, ∂(a/b)/∂b = −a/b²", "**": "∂aᵇ/∂a = b·aᵇ⁻¹, ∂aᵇ/∂b = aᵇ·log a", negative: "∂(−a)/∂a = −1",
  exp: "∂eᵃ/∂a = eᵃ", log: "∂log a/∂a = 1/a", sqrt: "∂√a/∂a = 1/(2√a)", sin: "∂sin a/∂a = cos a", cos: "∂cos a/∂a = −sin a",
  tanh: "∂tanh a/∂a = 1 − tanh² a", sigmoid: "with s = sigmoid a: ∂s/∂a = s(1 − s)", relu: "1 where a > 0, otherwise 0", abs: "the sign of a",
};
const EXAMPLES = [["one neuron", "tanh(w * x + b)"], ["a number used twice", "b = a + a\nc = b * b"],
  ["a loss", "p = sigmoid(w * x + b)\n-log(p)"], ["a residual", "h = x + tanh(w * x)\n(h - 1) ** 2"]];
const STARTS = [0.5, 2, -0.3, 1.5, -1, 3];   // w, x and b of lesson 1 come first

const shown = {result: null, variables: new Map(), steps: [], at: 0, numbers: new Map(), plan: null};

function number(x) {
  if (Number.isNaN(x)) return "nan";
  if (!Number.isFinite(x)) return x > 0 ? "∞" : "−∞";
  const text = String(Number(x.toPrecision(4)));
  return text.replace("-", "−");
}

function element(tag, text, more = {}) {
  const made = Object.assign(document.createElement(tag), more);
  if (text !== undefined) made.textContent = text;   // never as HTML: somebody typed it
  return made;
}

function drawn(tag, attributes = {}, text) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

const symbol = value => value.kind === "constant" ? number(value.value) : value.kind === "variable" ? value.name : SYMBOLS[value.kind] || value.kind;
const called = value => value.kind === "variable" ? value.name : value.name ? `${value.name} (${symbol(value)})` : symbol(value);

/* ------------------------------------------------------------------------------------------------------ layout */

/* A column per depth; a leaf stands one before the first number that uses it. Edges over several columns get a place in each. */
function columnsOf(result) {
  const values = youngestFirst(result).reverse(), rank = new Map(), columns = [];
  for (const v of values) rank.set(v, v.inputs.length ? 1 + Math.max(...v.inputs.map(i => rank.get(i))) : 0);
  for (const v of values.filter(v => !v.inputs.length)) {
    rank.set(v, Math.min(...values.filter(u => u.inputs.includes(v)).map(u => rank.get(u))) - 1);
  }
  const items = new Map(values.map(v => [v, {value: v, left: [], right: []}])), edges = [];
  if (values.length === 1) rank.set(result, 0);
  const put = (item, column) => (columns[column] ||= []).push(item);
  for (const v of values) put(items.get(v), rank.get(v));
  for (const v of values) v.inputs.forEach((from, input) => {
    const way = [items.get(from)];
    for (let c = rank.get(from) + 1; c < rank.get(v); c++) { way.push({left: [], right: []}); put(way.at(-1), c); }
    way.push(items.get(v));
    way.slice(1).forEach((item, i) => { item.left.push(way[i]); way[i].right.push(item); });
    edges.push({from, to: v, input, way});
  });
  return {columns, edges};
}

/* Rows by the mean row of the neighbours, to and fro (Sugiyama, Tagawa and Toda 1981). */
function layout(result) {
  const {columns, edges} = columnsOf(result), most = Math.max(...columns.map(c => c.length));
  const settle = column => column.forEach((item, i) => { item.y = i - (column.length - 1) / 2; });
  const mean = (item, side) => item[side].length ? item[side].reduce((sum, n) => sum + n.y, 0) / item[side].length : item.y;
  columns.forEach(settle);
  for (let sweep = 0; sweep < 4; sweep++) {
    const side = sweep % 2 ? "right" : "left";
    for (const column of sweep % 2 ? [...columns].reverse() : columns) {
      column.map(item => [item, mean(item, side)]).sort((a, b) => a[1] - b[1]).forEach(([item], i) => { column[i] = item; });
      settle(column);
    }
  }
  columns.forEach((column, c) => column.forEach(item => {
    item.x = MARGIN + c * PITCH.x + BOX.width / 2;
    item.y = MARGIN + (item.y + (most - 1) / 2) * PITCH.y + BOX.height / 2;
  }));
  const width = 2 * MARGIN + (columns.length - 1) * PITCH.x + BOX.width, height = 2 * MARGIN + (most - 1) * PITCH.y + BOX.height;
  return {items: columns.flat().filter(item => item.value), edges: route(edges), width, height};
}

/* The curves of the edges. Each bends first and arrives on a straight line, on which its numbers stand: so they never meet. */
function route(edges) {
  for (const edge of edges) {
    const inputs = edge.to.inputs, twice = inputs.length > 1 && inputs[0] === inputs[1];
    const apart = (twice ? 40 : 28) * (edge.input - (inputs.length - 1) / 2), points = edge.way.map(item => [item.x, item.y]);
    points[0] = [points[0][0] + BOX.width / 2, points[0][1] + (twice ? apart : 0)];
    points[points.length - 1] = [points.at(-1)[0] - BOX.width / 2, points.at(-1)[1] + apart];
    edge.path = `M${points[0]}`;
    for (const [i, [u, v]] of points.slice(1).entries()) {
      const [x, y] = points[i], bent = x + BEND;
      edge.path += `C${x + BEND / 2},${y} ${x + BEND / 2},${v} ${bent},${v}H${u}`;
    }
    edge.place = [points.at(-1)[0] - (PITCH.x - BOX.width - BEND) / 2, points.at(-1)[1]];
  }
  return edges;
}

/* ----------------------------------------------------------------------------------------------------- drawing */

/* Gradients after `at` steps: the first gives the result its 1, each later one passes a gradient on. */
function stateAfter(at) {
  const grads = new Map(), passed = new Map(), sent = shown.steps.slice(0, Math.max(at - 1, 0));
  if (at) grads.set(shown.result, 1);
  for (const step of sent) for (const part of step.sent) { grads.set(part.to, part.after); passed.set(`${step.value.time}/${part.input}`, {...part, grad: step.grad}); }
  const rest = new Set(shown.steps.slice(sent.length).flatMap(step => step.sent.map(part => part.to)));
  return {grads, passed, now: at > 1 ? shown.steps[at - 2].value : null, done: value => grads.has(value) && !rest.has(value)};
}

function drawEdge(edge, state) {
  const part = state.passed.get(`${edge.to.time}/${edge.input}`), current = edge.to === state.now && edge.from.needed;
  const look = !edge.from.needed ? "idle" : current ? "now passed" : part ? "passed" : "";
  const group = drawn("g");
  group.append(drawn("path", {class: `edge ${look}`, d: edge.path}));
  if (!edge.from.needed) return group;
  const [x, y] = edge.place, label = drawn("text", {class: `label ${look}`, x, y});
  const lines = part ? [`${number(part.grad)} × ${number(part.slope)}`, `= ${number(part.amount)}`] : [`slope ${number(edge.to.slopes[edge.input])}`];
  lines.forEach((line, i) => label.append(drawn("tspan", {x, dy: i ? 13 : lines.length > 1 ? -3 : 4}, line)));
  const width = 8 + 6.6 * Math.max(...lines.map(line => line.length)), height = 3 + 13 * lines.length;
  group.append(drawn("rect", {class: "ground", x: x - width / 2, y: y - height / 2, width, height}), label);
  return group;
}

function drawValue({value, x, y}, state) {
  const group = drawn("g", {class: `${value.kind === "constant" || value.kind === "variable" ? value.kind : "made"} ${value === state.now ? "now" : ""}`});
  const round = value.inputs.length ? 16 : 2;
  group.append(drawn("rect", {class: "box", x: x - BOX.width / 2, y: y - BOX.height / 2, width: BOX.width, height: BOX.height, rx: round}));
  const mark = value === state.now ? "▶ " : state.done(value) ? "✓ " : "", name = called(value);
  group.append(drawn("text", {class: "symbol", x, y: y - 12}, mark + (name.length > 13 ? name.slice(0, 12) + "…" : name)));
  group.append(drawn("text", {x, y: y + 6}, value.kind === "constant" ? "constant" : number(value.value)));
  if (state.grads.has(value)) {
    const partly = !state.done(value) && value !== state.now;
    group.append(drawn("text", {class: "gradient", x, y: y + 23}, `${partly ? "grad so far" : "grad"} ${number(state.grads.get(value))}`));
  }
  group.append(drawn("title", {}, name));
  return group;
}

function draw() {
  const {plan, at, steps} = shown, state = stateAfter(at);
  const picture = drawn("svg", {width: plan.width, height: plan.height, viewBox: `0 0 ${plan.width} ${plan.height}`, role: "img",
    "aria-label": `the graph: ${plan.items.length} numbers, ${plan.edges.length} edges; the list below says what each step does`});
  picture.append(...plan.edges.map(edge => drawEdge(edge, state)), ...plan.items.map(item => drawValue(item, state)));
  $("picture").replaceChildren(picture);
  const here = plan.items.find(item => item.value === (state.now || (at ? shown.result : null)));
  $("picture").scrollLeft = here ? here.x - $("picture").clientWidth / 2 : 0;
  const texts = ["Forward: the numbers are computed from left to right, and each remembers what it was made from."];
  if (!Number.isFinite(shown.result.value)) texts.push("The result is no finite number: look for a division by 0, or the logarithm or root of a negative number.");
  if (at) texts.push("The result’s slope with respect to itself is 1. The walk back begins.");
  texts.push(...steps.slice(0, Math.max(at - 1, 0)).map(say));
  if (at > steps.length) texts.push(`Done: ${[...shown.variables.values()].map(v => `d result/d ${v.name} = ${number(v.grad)}`).join(", ") || "there is no variable to differentiate by"}.`);
  $("log").replaceChildren(...texts.map(text => element("li", text)));
  $("log").scrollTop = $("log").scrollHeight;
  $("count").textContent = `${at} of ${steps.length + 1} steps`;
  $("step").disabled = $("all").disabled = at > steps.length;
  $("back").disabled = $("again").disabled = at === 0;
}

/* A step in words. */
function say(step) {
  const parts = step.sent.map(part => {
    const sum = part.before ? `, which has ${number(part.before)} already: together ${number(part.after)}` : "";
    return `${number(step.grad)} × ${number(part.slope)} = ${number(part.amount)} to ${called(part.to)}${sum}`;
  });
  return `${called(step.value)} has its whole gradient, ${number(step.grad)}, and passes on ${parts.join("; ")}. (${RULES[step.value.kind]})`;
}

/* ------------------------------------------------------------------------------------------------------- input */

function startOf(name) {
  if (!shown.numbers.has(name)) {
    const usual = ["w", "x", "b"].indexOf(name);
    shown.numbers.set(name, STARTS[usual >= 0 ? usual : shown.numbers.size % STARTS.length]);
  }
  return shown.numbers.get(name);
}

/* Reads the expression again; the backward pass starts over, or stays where it is if only a number has changed. */
function read(stay = false) {
  try {
    const {result, variables} = build($("expression").value, startOf);
    Object.assign(shown, {result, variables, steps: [...walk(result)], plan: layout(result)});
    shown.at = stay ? Math.min(shown.at, shown.steps.length + 1) : 0;
    $("slip").textContent = "";
    $("picture").classList.remove("stale");
    if (!stay) fields();
    draw();
  } catch (error) {
    if (!(error instanceof Slip)) throw error;
    $("slip").textContent = error.message;
    $("picture").classList.add("stale");
    for (const id of ["step", "back", "all", "again"]) $(id).disabled = true;
  }
}

function fields() {
  $("variables").replaceChildren(...[...shown.variables.values()].map(variable => {
    const label = element("label", `${variable.name} = `), field = element("input", undefined, {type: "number", step: "any", value: variable.value});
    field.oninput = () => {
      if (Number.isFinite(field.valueAsNumber)) shown.numbers.set(variable.name, field.valueAsNumber);
      else $("slip").textContent = `${variable.name} needs a number, such as 0.5.`;
      if (Number.isFinite(field.valueAsNumber)) read(true);
    };
    label.append(field);
    return label;
  }));
}

function go(to) { shown.at = to; draw(); }
$("step").onclick = () => go(shown.at + 1);
$("back").onclick = () => go(shown.at - 1);
$("all").onclick = () => go(shown.steps.length + 1);
$("again").onclick = () => go(0);
$("expression").oninput = () => read();
for (const [name, text] of EXAMPLES) {
  const button = element("button", name, {className: "quiet"});
  button.onclick = () => { $("expression").value = text; read(); };
  $("examples").append(button);
}
$("expression").value = EXAMPLES[0][1];
read();
