// Elements, numbers as text, and the tip beside the pointer. Text from files becomes text nodes, never markup.

const NAMESPACE = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "style") Object.assign(element.style, value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

const html = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);
const svg = (tag, attributes, ...children) => fill(document.createElementNS(NAMESPACE, tag), attributes, children);

/** The JSON of a script element; undefined where there is none. */
function embedded(id) {
  const element = document.getElementById(id);
  return element ? JSON.parse(element.textContent) : undefined;
}

/** The bytes of a base64 text, signed or not. */
function bytes(text, Type) {
  const raw = atob(text);
  const array = new Type(raw.length);
  for (let i = 0; i < raw.length; i++) array[i] = raw.charCodeAt(i);
  return array;
}

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();

// Numbers. Bounds are rounded to the side on which they still hold.
const absent = "–";
const whole = (value) => value.toLocaleString("en");
const share = (part, all) => (part > 0 && part / all < 1e-4 ? "<\u00a00.01\u00a0%" : all ? (Math.floor((part / all) * 1e4 + 1e-9) / 1e2).toFixed(part === all || part === 0 ? 0 : 2) + "\u00a0%" : absent);
function digits(value, count = 3) {
  if (value === null || value === undefined) return absent;
  const size = Math.abs(value);
  if (size !== 0 && (size >= 1e5 || size < 1e-3)) return value.toExponential(Math.max(0, count - 1)).replace("e+", "e");
  return String(Number(value.toPrecision(count)));
}
/** Three digits, rounded up or down: a printed bound is a bound. */
function bound(value, round) {
  if (value === null || value === undefined) return absent;
  if (value === 0) return "0";
  const unit = 10 ** (Math.floor(Math.log10(Math.abs(value))) - 2);
  return digits(round(value / unit) * unit);
}
const upper = (value) => bound(value, Math.ceil);
const lower = (value) => bound(value, Math.floor);
function seconds(value) {
  const [factor, unit] = value >= 1 ? [1, "s"] : value >= 1e-3 ? [1e3, "ms"] : [1e6, "µs"];
  return `${digits(value * factor)} ${unit}`;
}
const plural = (count, noun) => `${whole(count)} ${noun}${count === 1 ? "" : "s"}`;

const tip = {
  show(event, text) {
    const element = document.getElementById("tip");
    element.textContent = text;
    element.hidden = false;
    const { width, height } = element.getBoundingClientRect();
    const left = Math.min(event.clientX + 14, innerWidth - width - 8);
    const above = event.clientY - height - 12;
    element.style.left = Math.max(8, left) + "px";
    element.style.top = (above < 8 ? event.clientY + 18 : above) + "px";
  },
  hide() {
    document.getElementById("tip").hidden = true;
  },
};

const tipped = (text) => ({
  onpointermove: (event) => tip.show(event, text),
  onpointerleave: () => tip.hide(),
});

// What is drawn by size or in colours of a canvas is drawn again when those change, for as long as it is on the page.
const redraws = new Map();
const observer = new ResizeObserver((entries) => {
  for (const { target, contentRect } of entries) {
    const drawing = redraws.get(target);
    if (drawing && Math.abs(drawing.width - contentRect.width) >= 1) {
      drawing.width = contentRect.width;
      drawing.draw(contentRect.width);
    }
  }
});

/** An element that `draw(width, element)` fills, whenever its width changes. */
function responsive(draw, attributes) {
  const element = html("div", attributes);
  redraws.set(element, { width: 0, draw: (width) => width > 0 && draw(width, element) });
  observer.observe(element);
  return element;
}

function forgetDrawings() {
  observer.disconnect();
  redraws.clear();
}

function drawAgain() {
  for (const { width, draw } of redraws.values()) draw(width);
}

/** A canvas of so many CSS pixels, sharp on dense screens. */
function sharp(canvas, width, height) {
  const density = Math.min(3, devicePixelRatio || 1);
  canvas.width = Math.round(width * density);
  canvas.height = Math.round(height * density);
  canvas.style.width = width + "px";
  canvas.style.height = height + "px";
  const context = canvas.getContext("2d");
  context.setTransform(density, 0, 0, density, 0, 0);
  return context;
}

/** Lets pointer and arrow keys walk over a canvas of rows and columns. `move(row, column, event)` hears of every step. */
function walkable(canvas, rows, columns, move) {
  let [row, column] = [0, 0];
  const go = (r, c, event) => {
    [row, column] = [Math.max(0, Math.min(rows - 1, r)), Math.max(0, Math.min(columns - 1, c))];
    move(row, column, event);
  };
  const at = (event) => {
    const box = canvas.getBoundingClientRect();
    const inset = canvas.inset ?? 0;
    const y = ((event.clientY - box.top - inset) / (box.height - inset)) * rows;
    const x = ((event.clientX - box.left - inset) / (box.width - inset)) * columns;
    if (x >= 0 && y >= 0) go(Math.floor(y), Math.floor(x), event);
  };
  canvas.addEventListener("pointermove", at);
  canvas.addEventListener("pointerdown", at);
  canvas.addEventListener("pointerleave", () => { tip.hide(); move(null, null); });
  canvas.addEventListener("blur", () => move(null, null));
  canvas.addEventListener("focus", () => { if (canvas.matches(":focus-visible")) go(row, column); });
  canvas.addEventListener("keydown", (event) => {
    const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (!step) return;
    event.preventDefault();
    go(row + step[0], column + step[1]);
  });
}

/** A section of a view. */
function panel(title, ...children) {
  const id = "section-" + title.toLowerCase().replace(/[^a-z]+/g, "-");
  return html("section", { class: "panel", "aria-labelledby": id }, html("h2", { id }, title), ...children);
}

const note = (text) => html("p", { class: "note" }, text);

/** A plain table: headings with a leading "#" are of numbers. */
function table(caption, headings, rows, name) {
  const number = headings.map((heading) => typeof heading === "string" && heading.startsWith("#"));
  const cell = (content, i) =>
    content instanceof Element && content.tagName === "TD" ? content : html("td", { class: number[i] ? "number" : null }, content);
  return html("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    html("table", { class: name },
      html("thead", {}, html("tr", {}, headings.map((heading, i) =>
        html("th", { scope: "col", class: number[i] ? "number" : heading.className || null }, number[i] ? heading.slice(1) : heading)))),
      html("tbody", {}, rows.map((row) => html("tr", {}, row.map(cell))))));
}

const legend = (items) =>
  html("ul", { class: "legend" }, items.map(([name, fill, round]) =>
    html("li", {}, html("span", { class: "key" + (round ? " round" : ""), style: { background: fill } }), name)));
