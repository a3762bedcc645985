// Charts: axes, histograms, lines, points, bars. SVG in the colours of the style sheet.

function ticks(from, to, log, most = 6) {
  if (log) {
    const [first, last] = [Math.ceil(Math.log10(from) - 1e-9), Math.floor(Math.log10(to) + 1e-9)];
    const step = Math.max(1, Math.ceil((last - first + 1) / most));
    const marks = [];
    for (let exponent = first; exponent <= last; exponent += step) marks.push(10 ** exponent);
    return marks.length > 1 ? marks : [from, to];
  }
  const rough = (to - from) / most;
  const unit = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * unit).find((size) => size >= rough) ?? rough;
  const marks = [];
  for (let mark = Math.ceil(from / step - 1e-9) * step; mark <= to + step * 1e-9; mark += step) marks.push(Math.abs(mark) < step * 1e-9 ? 0 : mark);
  return marks;
}

/** Labels of an axis, all in one style: powers of ten, or multiples of one of them where numbers written out are long. */
function tickTexts(marks, log) {
  const power = (exponent) => (exponent === 0 ? "1" : exponent === 1 ? "10" : "10" + String(exponent).replace(/[-0-9]/g, (c) => "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"["-0123456789".indexOf(c)]));
  const exponents = marks.map((mark) => Math.log10(mark));
  const decades = log && exponents.every((exponent) => Math.abs(exponent - Math.round(exponent)) < 1e-6);
  if (decades && exponents.some((exponent) => exponent > 4.5 || exponent < -2.5)) return exponents.map((exponent) => power(Math.round(exponent)));
  const most = Math.max(...marks.map(Math.abs));
  const shared = most && (most >= 1e5 || most < 1e-2) ? Math.floor(Math.log10(most) + 1e-9) : 0;
  return marks.map((mark) => String(Number((mark / 10 ** shared).toPrecision(3))) + (shared && mark ? "×" + power(shared) : ""));
}

/** Axes. `x` and `y`: { from, to, log, label, text }. Gives the picture and the scales. */
function axes(width, height, x, y, name) {
  const margin = { left: 52, right: 14, top: y.label ? 24 : 10, bottom: x.label ? 44 : 26 };
  const scale = ({ from, to, log }, low, high) => {
    const of = log ? Math.log10 : (value) => value;
    const span = of(to) - of(from) || 1;
    return (value) => low + ((of(value) - of(from)) / span) * (high - low);
  };
  const X = scale(x, margin.left, width - margin.right);
  const Y = scale(y, height - margin.bottom, margin.top);
  const picture = svg("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": name });
  const labelled = ({ from, to, log, text }, most) => {
    const marks = ticks(from, to, log, most);
    const texts = text ? marks.map((mark) => text(mark)) : tickTexts(marks, log);
    return marks.map((mark, i) => [mark, texts[i]]);
  };
  for (const [mark, text] of labelled(y, Math.max(2, Math.floor(height / 48)))) {
    picture.append(svg("line", { class: "tick", x1: margin.left, x2: width - margin.right, y1: Y(mark), y2: Y(mark) }),
      svg("text", { x: margin.left - 8, y: Y(mark) + 4, "text-anchor": "end" }, text));
  }
  for (const [mark, text] of labelled(x, Math.max(2, Math.floor(width / 80)))) {
    picture.append(svg("text", { x: X(mark), y: height - margin.bottom + 18, "text-anchor": "middle" }, text),
      svg("line", { class: "axis", x1: X(mark), x2: X(mark), y1: height - margin.bottom, y2: height - margin.bottom + 4 }));
  }
  picture.append(svg("line", { class: "axis", x1: margin.left, x2: width - margin.right, y1: height - margin.bottom, y2: height - margin.bottom }));
  if (x.label) picture.append(svg("text", { x: (margin.left + width - margin.right) / 2, y: height - 8, "text-anchor": "middle" }, x.label));
  if (y.label) picture.append(svg("text", { x: 4, y: 13 }, y.label));
  return { picture, X, Y, margin, bottom: height - margin.bottom };
}

/** Histograms over one axis. `series`: [{ name, data, fill }]; `line`: { at, name } is drawn upright. */
function histogram({ name, label, series, line, note: text }) {
  const drawn = series.filter(({ data }) => data);
  if (!drawn.length) return html("figure", {}, html("h3", {}, name), note(text ?? "There is no data for this figure."));
  const { from, to } = drawn[0].data;
  const most = Math.max(1, ...drawn.flatMap(({ data }) => data.counts));
  const all = (data) => data.counts.reduce((sum, count) => sum + count, 0) + data.below + data.above;
  const said = drawn.map((one) => `${one.name}: median ${digits(one.data.median)} over ${whole(all(one.data))} inputs` +
    (one.data.below ? `, ${whole(one.data.below)} further left` : "")).join("; ");
  const draw = (width, element) => {
    const { picture, X, Y, margin, bottom } = axes(width, 220, { from, to, label }, { from: 0, to: most, label: "inputs", text: (value) => Number.isInteger(value) ? whole(value) : "" }, `${name}. ${said}.`);
    for (const { data, fill, name: title } of drawn) {
      const step = (data.to - data.from) / data.counts.length;
      data.counts.forEach((count, i) => {
        if (!count) return;
        const [left, right] = [X(data.from + i * step), X(data.from + (i + 1) * step)];
        picture.append(svg("rect", {
          x: left, width: Math.max(1, right - left - (right - left > 4 ? 1 : 0)), y: Y(count), height: bottom - Y(count), fill,
          "fill-opacity": drawn.length > 1 ? .62 : .85,
          ...tipped(`${title}: ${whole(count)} inputs from ${digits(data.from + i * step)} to ${digits(data.from + (i + 1) * step)}`),
        }));
      });
    }
    if (line && line.at >= from && line.at <= to) {
      picture.append(svg("line", { x1: X(line.at), x2: X(line.at), y1: margin.top, y2: bottom, stroke: "var(--ink)", "stroke-width": 1.5, "stroke-dasharray": "4 3" }),
        svg("text", { x: X(line.at) + (X(line.at) > width * .6 ? -6 : 6), y: margin.top + 10, "text-anchor": X(line.at) > width * .6 ? "end" : "start" }, line.name));
    }
    element.replaceChildren(picture);
  };
  return html("figure", {}, html("h3", {}, name), responsive(draw),
    drawn.length > 1 && legend(drawn.map(({ name: title, fill }) => [title, fill])),
    html("figcaption", {}, said + ". ", text ?? ""));
}

/** Lines over a common axis. `series`: [{ name, values, fill, broad }], null where there is no value; broad ones may be
 *  covered by others. `now`: { epoch, marks }, a place on the axis to mark, and what to call when it moves. */
function lines({ name, label, at, series, log, range, text, now }) {
  const drawn = series.filter(({ values }) => values && values.some((value) => value !== null && (!log || value > 0)));
  if (!drawn.length || !at.length) return html("figure", {}, html("h3", {}, name), note("There is no data for this figure."));
  const values = drawn.flatMap(({ values }) => values.filter((value) => value !== null && (!log || value > 0)));
  let [low, high] = range ?? [Math.min(...values), Math.max(...values)];
  if (low === high) [low, high] = log ? [low / 2, high * 2] : [low - 1, high + 1];
  // Epoch 0 has no logarithm: it is drawn where half an epoch would be.
  const place = (epoch) => Math.max(.5, epoch);
  const draw = (width, element) => {
    const x = { from: place(at[0]), to: Math.max(place(at[at.length - 1]), place(at[0]) * 2), log: true, label };
    const { picture, X, Y, margin, bottom } = axes(width, 220, x, { from: low, to: high, log, text }, name);
    for (const { values, fill, name: title, broad } of drawn) {
      const points = values.flatMap((value, i) => (value === null || (log && value <= 0) ? [] : [`${X(place(at[i])).toFixed(1)},${Y(value).toFixed(1)}`]));
      picture.append(svg("polyline", { points: points.join(" "), fill: "none", stroke: fill, "stroke-width": broad ? 6 : 2, "stroke-opacity": broad ? .4 : 1, "stroke-linejoin": "round" }));
      const last = values[values.length - 1];
      if (last !== null && (!log || last > 0)) picture.append(svg("circle", { cx: X(place(at[at.length - 1])), cy: Y(last), r: 3, fill }, svg("title", {}, title)));
    }
    const cursor = svg("line", { class: "axis", y1: margin.top, y2: bottom, visibility: "hidden" });
    picture.append(cursor);
    if (now) {
      const marked = svg("line", { class: "now", y1: margin.top, y2: bottom });
      const move = () => ["x1", "x2"].forEach((end) => marked.setAttribute(end, X(Math.min(Math.max(place(now.epoch), x.from), x.to))));
      if (now.epoch !== null) { move(); picture.append(marked); now.marks.set(name, move); }
    }
    picture.addEventListener("pointermove", (event) => {
      const x = event.clientX - picture.getBoundingClientRect().left;
      const nearest = at.reduce((best, epoch, i) => (Math.abs(X(place(epoch)) - x) < Math.abs(X(place(at[best])) - x) ? i : best), 0);
      cursor.setAttribute("x1", X(place(at[nearest])));
      cursor.setAttribute("x2", X(place(at[nearest])));
      cursor.setAttribute("visibility", "visible");
      tip.show(event, [`${label} ${whole(at[nearest])}`, ...drawn.map(({ name: title, values }) => `${title}: ${text ? text(values[nearest] ?? NaN) : digits(values[nearest])}`)].join("\n"));
    });
    picture.addEventListener("pointerleave", () => { cursor.setAttribute("visibility", "hidden"); tip.hide(); });
    element.replaceChildren(picture);
  };
  const last = drawn.map(({ name: title, values }) => `${title} ${text ? text(values[values.length - 1] ?? NaN) : digits(values[values.length - 1])}`).join(", ");
  return html("figure", {}, html("h3", {}, name), responsive(draw), legend(drawn.map(({ name: title, fill }) => [title, fill])),
    html("figcaption", {}, `At the end: ${last}.`));
}

/** A bar of shares. `parts`: [[name, count, fill]]. */
function shares(parts, all, tall) {
  const said = parts.filter(([, count]) => count).map(([name, count]) => `${name} ${share(count, all)}`).join(", ");
  return html("div", { class: "meter" + (tall ? " tall" : ""), role: "img", "aria-label": said || "none" },
    parts.filter(([, count]) => count).map(([name, count, fill]) =>
      html("span", { style: { width: (count / all) * 100 + "%", background: fill }, ...tipped(`${name}: ${whole(count)} of ${whole(all)} inputs (${share(count, all)})`) })));
}
