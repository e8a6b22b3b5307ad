"use strict";
/* Autograd for numbers: an expression becomes a graph, and the backward pass walks it, youngest first.

   It is lesson 1 in JavaScript, with the names and conventions of minitorch/graph.py. Nothing here knows of the page:
   graph.js draws what this file computes, moons.js trains with it. */

/* Each operation returns its value and, one per input, its slopes. */
const OPERATIONS = {
  "+": (a, b) => [a + b, 1, 1],
  "-": (a, b) => [a - b, 1, -1],
  "*": (a, b) => [a * b, b, a],
  "/": (a, b) => [a / b, 1 / b, -a / (b * b)],
  "**": (a, b) => [a ** b, b === 0 ? 0 : b * a ** (b - 1), a === 0 && b >= 0 ? 0 : a ** b * Math.log(a)],
  negative: a => [-a, -1],
  exp: a => [Math.exp(a), Math.exp(a)],
  log: a => [Math.log(a), 1 / a],
  sqrt: a => [Math.sqrt(a), 0.5 / Math.sqrt(a)],
  sin: a => [Math.sin(a), Math.cos(a)],
  cos: a => [Math.cos(a), -Math.sin(a)],
  tanh: a => [Math.tanh(a), 1 - Math.tanh(a) ** 2],
  sigmoid: a => { const s = 1 / (1 + Math.exp(-a)); return [s, s * (1 - s)]; },
  relu: a => [Math.max(a, 0), a > 0 ? 1 : 0],
  abs: a => [Math.abs(a), Math.sign(a)],
};
const FUNCTIONS = Object.keys(OPERATIONS).filter(name => /^[a-z]/.test(name) && name !== "negative");

/* A number, the numbers it was made from, and the slope of that step with respect to each of them. */
class Value {
  static clock = 0;

  constructor(value, inputs = [], slopes = []) {
    this.value = value;
    this.inputs = inputs;
    this.slopes = slopes;
    this.grad = 0;
    this.time = Value.clock++;
    this.needed = inputs.some(input => input.needed);   // constants get no gradient
  }
}

function constant(number) { return Object.assign(new Value(number), {kind: "constant"}); }
function variable(number, name) { return Object.assign(new Value(number), {kind: "variable", name, needed: true}); }

function apply(kind, ...inputs) {
  const [value, ...slopes] = OPERATIONS[kind](...inputs.map(input => input.value));
  return Object.assign(new Value(value, inputs, slopes), {kind});
}

/* All numbers behind a result, itself included, the youngest first. */
function youngestFirst(result) {
  const seen = new Set([result]);
  for (const value of seen) for (const input of value.inputs) seen.add(input);   // a Set visits what is added meanwhile
  return [...seen].sort((a, b) => b.time - a.time);
}

/* One step per number that was computed from variables: its gradient is complete, and it sends each input its share. */
function* walk(result) {
  const order = youngestFirst(result);
  for (const value of order) value.grad = 0;
  result.grad = 1;
  for (const value of order) {
    if (!value.needed || !value.inputs.length) continue;
    const sent = [];
    value.inputs.forEach((to, i) => {
      if (!to.needed) return;
      const amount = value.grad * value.slopes[i], before = to.grad;
      to.grad += amount;
      sent.push({to, input: i, slope: value.slopes[i], amount, before, after: to.grad});
    });
    yield {value, grad: value.grad, sent};
  }
}

function backward(result) { for (const _ of walk(result)); }

/* ------------------------------------------------------------------------------------------------- expressions */

class Slip extends Error {}   // the reader's slip; its text is written for the reader

const LONGEST = 600, MOST = 120;   // characters of a text, numbers in a graph: what can still be looked at
const TOKEN = /[ \t]*(?:(\d+\.?\d*(?:[eE][-+]?\d+)?|\.\d+(?:[eE][-+]?\d+)?)|([\p{L}_][\p{L}\p{N}_]*)|(\*\*|[-+*/()=])|(.))/uy;

function tokens(line) {
  const found = [];
  TOKEN.lastIndex = 0;
  for (let match; TOKEN.lastIndex < line.length && (match = TOKEN.exec(line));) {
    const [, number, name, sign, other] = match;
    if (other === "^") throw new Slip("^ is no power in Python: write ** instead, as in x ** 2.");
    if (other) throw new Slip(`“${other}” means nothing here. There are numbers, names, + - * / **, parentheses and ${FUNCTIONS.join(", ")}.`);
    found.push({kind: number ? "number" : name ? "name" : "sign", text: number || name || sign});
  }
  return found;
}

/* The graph of a text: lines "name = expression"; the last line is the result. start(name) is the number of a variable. */
function build(text, start) {
  if (text.length > LONGEST) throw new Slip(`This has ${text.length} characters; ${LONGEST} fit.`);
  const lines = text.split(/[\n;]/).map(line => line.replace(/#.*/, "")).filter(line => line.trim());
  if (!lines.length) throw new Slip("Write an expression, for example tanh(w * x + b).");
  const scope = {names: new Map(), variables: new Map(), start, made: 0};
  let result;
  for (const line of lines) result = new Parser(tokens(line), scope).line();
  return {result, variables: scope.variables};
}

const END = {kind: "end", text: "the end of the line"};
const quoted = token => token === END ? token.text : `“${token.text}”`;

/* Python's grammar for sums, products, signs and powers, by recursive descent: ** binds more than a sign before it. */
class Parser {
  constructor(tokens, scope) { Object.assign(this, {tokens, scope, at: 0}); }

  peek() { return this.at < this.tokens.length ? this.tokens[this.at] : END; }
  takes(...signs) { return this.peek().kind === "sign" && signs.includes(this.peek().text) ? this.tokens[this.at++].text : null; }
  wants(sign) {
    if (!this.takes(sign)) throw new Slip(`A “${sign}” is missing before ${quoted(this.peek())}.`);
  }

  made(value) {
    if (++this.scope.made > MOST) throw new Slip(`A graph of more than ${MOST} numbers is too large to look at.`);
    return value;
  }

  line() {
    const [first, second] = this.tokens, assigns = second && second.text === "=";
    if (assigns && first.kind !== "name") throw new Slip(`Left of = stands a name, not “${first.text}”.`);
    if (assigns && this.scope.names.has(first.text)) throw new Slip(`${first.text} has a number already: give this one another name.`);
    if (assigns && FUNCTIONS.includes(first.text)) throw new Slip(`${first.text} is a function: choose another name.`);
    if (assigns) this.at = 2;
    let value = this.sum();
    if (this.peek() !== END) throw new Slip(`An operation is missing before ${quoted(this.peek())}.`);
    if (assigns) {
      if (this.scope.names.has(first.text)) throw new Slip(`${first.text} is used before it has a number.`);
      this.scope.names.set(first.text, value);
      value.name ||= first.text;
    }
    return value;
  }

  chain(next, ...signs) {
    let left = next();
    for (let sign; (sign = this.takes(...signs));) left = this.made(apply(sign, left, next()));
    return left;
  }

  sum() { return this.chain(() => this.product(), "+", "-"); }
  product() { return this.chain(() => this.signed(), "*", "/"); }

  signed() {
    if (this.takes("+")) return this.signed();
    if (!this.takes("-")) return this.power();
    const value = this.signed();
    if (value.kind === "constant" && !value.name) return constant(-value.value);   // -2 is a number, not an operation on 2
    return this.made(apply("negative", value));
  }

  power() {
    const base = this.atom();
    return this.takes("**") ? this.made(apply("**", base, this.signed())) : base;
  }

  atom() {
    const token = this.peek();
    this.at++;
    if (token.kind === "number") return this.made(constant(Number(token.text)));
    if (token.kind === "name") return this.named(token.text);
    if (token.text !== "(") throw new Slip(`A number, a name or a parenthesis is missing before ${quoted(token)}.`);
    const inside = this.sum();
    this.wants(")");
    return inside;
  }

  named(name) {
    if (this.takes("(")) {
      if (!FUNCTIONS.includes(name)) throw new Slip(`There is no function ${name}; there are ${FUNCTIONS.join(", ")}.`);
      const inside = this.sum();
      this.wants(")");
      return this.made(apply(name, inside));
    }
    if (FUNCTIONS.includes(name)) throw new Slip(`${name} is a function: write ${name}(...).`);
    if (!this.scope.names.has(name)) {
      const value = this.made(variable(this.scope.start(name), name));
      this.scope.names.set(name, value);
      this.scope.variables.set(name, value);
    }
    return this.scope.names.get(name);
  }
}
