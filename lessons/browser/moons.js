"use strict";
/* A network of two layers learns two half-moons with the backward pass of autograd.js, as in lesson 1. */

const AREA = {left: -1.5, right: 2.5, bottom: -1.1, top: 1.6};   // the part of the plane that the picture shows
const training = {points: [], values: [], costs: [], right: 0, graph: 0, running: false};

/* Random numbers in (0, 1) that depend on the seed alone (mulberry32), and normal ones from them (Box and Muller 1958). */
function randomNumbers(seed) {
  const uniform = () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296 + 1e-10;
  };
  return {uniform, normal: () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform())};
}

/* x₁, x₂ and the target of 2n points. */
function moons(n, random) {
  const points = [];
  for (let i = 0; i < n; i++) {
    const t = Math.PI * random.uniform(), noise = () => 0.1 * random.normal();
    points.push([Math.cos(t) + noise(), Math.sin(t) + noise(), -1], [1 - Math.cos(t) + noise(), 0.5 - Math.sin(t) + noise(), 1]);
  }
  return points;
}

/* The result for one point: w₁, w₂, b and the weight in the sum for each neuron, then the bias of the sum. */
function network(parameters, x1, x2) {
  let result = parameters.at(-1);
  for (let k = 0; k + 4 < parameters.length; k += 4) {
    const [w1, w2, b, out] = parameters.slice(k, k + 4);
    const neuron = apply("tanh", apply("+", apply("+", apply("*", w1, x1), apply("*", w2, x2)), b));
    result = apply("+", result, apply("*", neuron, out));
  }
  return result;
}

/* The mean squared error over the points, and how many have the right sign. */
function costOf(parameters, points) {
  let total = constant(0), right = 0;
  for (const [x1, x2, target] of points) {
    const result = network(parameters, constant(x1), constant(x2)), error = apply("-", result, constant(target));
    total = apply("+", total, apply("*", error, error));
    right += result.value * target > 0;
  }
  return {cost: apply("/", total, constant(points.length)), right};
}

/* The parameters after one step of gradient descent. */
function descended(values, points, rate) {
  const parameters = values.map((value, i) => variable(value, `p${i}`));
  backward(costOf(parameters, points).cost);
  return parameters.map(p => p.value - rate * p.grad);
}

/* -------------------------------------------------------------------------------------------------- the pictures */

function drawField() {
  const canvas = $("field"), pen = canvas.getContext("2d"), {width, height} = canvas, nx = 44, ny = 30;
  const x = i => AREA.left + (AREA.right - AREA.left) * i / nx, y = j => AREA.top - (AREA.top - AREA.bottom) * j / ny;
  const parameters = training.values.map(value => constant(value)), heights = [];
  for (let j = 0; j <= ny; j++) heights.push(Array.from({length: nx + 1}, (_, i) => network(parameters, constant(x(i)), constant(y(j))).value));
  pen.fillStyle = "#fff";
  pen.fillRect(0, 0, width, height);
  pen.fillStyle = "#777";
  pen.textAlign = "center";
  pen.textBaseline = "middle";
  for (let j = 1; j < ny; j += 2) for (let i = 1; i < nx; i += 2) {
    const h = heights[j][i];
    pen.font = `${Math.round(7 + 9 * Math.min(Math.abs(h), 1))}px sans-serif`;
    pen.fillText(h < 0 ? "−" : "+", i * width / nx, j * height / ny);
  }
  drawBoundary(pen, heights, width / nx, height / ny);
  for (const [x1, x2, target] of training.points) drawPoint(pen, (x1 - AREA.left) / (AREA.right - AREA.left) * width, (AREA.top - x2) / (AREA.top - AREA.bottom) * height, target);
}

/* The line where the result is 0: in each square of the grid from edge to edge (marching squares). */
function drawBoundary(pen, heights, dx, dy) {
  pen.strokeStyle = "#111";
  pen.lineWidth = 3;
  pen.beginPath();
  for (let j = 0; j + 1 < heights.length; j++) for (let i = 0; i + 1 < heights[0].length; i++) {
    const corners = [[i, j], [i + 1, j], [i + 1, j + 1], [i, j + 1]], crossings = [];
    corners.forEach(([a, b], k) => {
      const [c, d] = corners[(k + 1) % 4], from = heights[b][a], to = heights[d][c], t = from / (from - to);
      if ((from < 0) !== (to < 0)) crossings.push([(a + (c - a) * t) * dx, (b + (d - b) * t) * dy]);
    });
    for (let k = 0; k + 1 < crossings.length; k += 2) { pen.moveTo(...crossings[k]); pen.lineTo(...crossings[k + 1]); }
  }
  pen.stroke();
}

function drawPoint(pen, x, y, target) {
  pen.beginPath();
  if (target < 0) pen.arc(x, y, 4.5, 0, 7);
  else { pen.moveTo(x, y - 5.5); pen.lineTo(x + 5.5, y + 4.5); pen.lineTo(x - 5.5, y + 4.5); pen.closePath(); }
  pen.fillStyle = target < 0 ? "#2563eb" : "#ea580c";
  pen.strokeStyle = "#111";
  pen.lineWidth = 1;
  pen.fill();
  pen.stroke();
}

function drawCurve() {
  const costs = training.costs.filter(c => c > 0 && Number.isFinite(c)), width = 340, height = 270, left = 52, bottom = 34;
  const picture = drawn("svg", {width, height, role: "img", "aria-label": "the cost after each step"});
  const low = Math.floor(Math.log10(Math.min(...costs, 0.1)) - 1e-9), high = Math.max(low + 1, Math.ceil(Math.log10(Math.max(...costs, 1)) - 1e-9));
  const y = c => 8 + (high - Math.log10(c)) / (high - low) * (height - bottom - 8), x = i => left + i / Math.max(costs.length - 1, 1) * (width - left - 12);
  picture.append(drawn("path", {d: `M${left},8V${height - bottom}H${width - 12}`, fill: "none", stroke: "#111"}));
  for (let power = low; power <= high; power++) {
    picture.append(drawn("text", {x: left - 22, y: y(10 ** power) + 4}, number(10 ** power)), drawn("path", {d: `M${left - 4},${y(10 ** power)}h4`, stroke: "#111"}));
  }
  const every = Math.ceil(costs.length / 400), line = costs.flatMap((c, i) => i % every && i < costs.length - 1 ? [] : [`${x(i).toFixed(1)},${y(c).toFixed(1)}`]);
  picture.append(drawn("polyline", {points: line.join(" "), fill: "none", stroke: "#1d4f91", "stroke-width": 2}));
  picture.append(drawn("text", {x: left, y: height - bottom + 15}, "0"), drawn("text", {x: width - 26, y: height - bottom + 15}, String(Math.max(costs.length - 1, 0))));
  picture.append(drawn("text", {x: (left + width) / 2, y: height - 6}, "step"), drawn("text", {x: 0, y: 0, transform: `translate(11,${height / 2 - 12}) rotate(-90)`}, "cost"));
  $("curve").replaceChildren(picture);
}

function drawWeights() {
  const {values} = training, n = (values.length - 1) / 4, width = 270, height = Math.max(150, 26 * n + 20);
  const picture = drawn("svg", {width, height, role: "img", "aria-label": "the network and the size of its weights"});
  const inputs = [height / 3, 2 * height / 3], y = k => (k + 0.5) * height / n;
  const wire = (x1, y1, x2, y2, w) => picture.append(drawn("path", {d: `M${x1},${y1}L${x2},${y2}`, stroke: "#111", opacity: 0.65,
    "stroke-width": Math.min(0.4 + 1.8 * Math.abs(w), 7).toFixed(2), ...(w < 0 ? {"stroke-dasharray": "5 4"} : {})}));
  for (let k = 0; k < n; k++) {
    inputs.forEach((from, i) => wire(32, from, 150, y(k), values[4 * k + i]));
    wire(150, y(k), 240, height / 2, values[4 * k + 3]);
  }
  const dot = (x, y, text, look = "") => picture.append(drawn("circle", {cx: x, cy: y, r: 12, class: "box"}), drawn("text", {x, y: y + 4, class: look}, text));
  inputs.forEach((at, i) => dot(32, at, i ? "x₂" : "x₁"));
  for (let k = 0; k < n; k++) dot(150, y(k), "tanh", "inside");
  dot(240, height / 2, "Σ");
  $("weights").replaceChildren(picture);
}

/* ---------------------------------------------------------------------------------------------------- the buttons */

function report() {
  const {costs, right, points, graph} = training, cost = costs.at(-1), lost = !Number.isFinite(cost);
  $("report").textContent = lost ? `Step ${costs.length - 1}: the cost is ${number(cost)}. The learning rate is too large; start over with a smaller one.`
    : `Step ${costs.length - 1}: cost ${cost.toPrecision(4)}, ${right} of ${points.length} points on the right side. One step’s graph: ${graph.toLocaleString("en")} numbers.`;
  if (lost) pause();
}

function show() { drawField(); drawCurve(); drawWeights(); report(); }

function measure() {
  const first = Value.clock, {cost, right} = costOf(training.values.map(v => constant(v)), training.points);
  Object.assign(training, {right, graph: cost.time - first + 1});
  training.costs.push(cost.value);
}

function pause() { training.running = false; $("train").textContent = "Train"; }

function restart() {
  pause();
  const seed = $("seed").valueAsNumber, random = randomNumbers(Number.isFinite(seed) ? seed : 0), n = Number($("neurons").value);
  Object.assign(training, {points: moons(40, random), costs: []});
  training.values = Array.from({length: 4 * n + 1}, () => random.normal());
  measure();
  show();
}

function advance() {
  training.values = descended(training.values, training.points, Number($("rate").value));
  measure();
}

function frame() {
  if (!training.running) return;
  const end = performance.now() + 25;   // milliseconds of training per picture
  do advance(); while (performance.now() < end && Number.isFinite(training.costs.at(-1)));
  show();
  requestAnimationFrame(frame);
}

$("train").onclick = () => {
  if (training.running) return pause();
  training.running = true;
  $("train").textContent = "Pause";
  frame();
};
$("once").onclick = () => { pause(); advance(); show(); };
$("restart").onclick = restart;
for (const id of ["neurons", "seed"]) $(id).onchange = restart;
restart();
