// The overview, and what goes on between views: address, theme, keys.

const report = embedded("overview");
const main = document.getElementById("main");

const columns = [
  { name: "Network", text: (n) => n.name },
  { name: "#Neurons", wide: true, value: (n) => n.neurons, text: (n) => whole(n.neurons) },
  { name: "#Accuracy", value: (n) => n.correct / n.pairs, text: (n) => share(n.correct, n.pairs), low: true },
  { name: "#Explained", value: (n) => proved(n, "explained"), text: (n) => provedText(n, "explained"), title: "proved by the explanation alone" },
  { name: "#rho-set", wide: true, value: (n) => proved(n, "rho-set"), text: (n) => provedText(n, "rho-set"), title: "proved by the paper's verifier" },
  { name: "#Cost", wide: true, value: (n) => cost(n, "cascade"), text: (n) => (cost(n, "cascade") === null ? absent : digits(100 * cost(n, "cascade")) + " %"), title: "flops of the cascade, of brute force" },
  { name: "#Loss ≤", wide: true, value: (n) => n.cross_entropy, text: (n) => upper(n.cross_entropy) },
  { name: "#Margin ≥", wide: true, value: (n) => n.min_margin, text: (n) => lower(n.min_margin) },
  { name: "#Circuits", wide: true, value: (n) => n.full_circuits / (n.circuits || 1), text: (n) => `${n.full_circuits}/${n.circuits}`, title: "full circuits, of all" },
  { name: "Tiers", wide: true, value: (n) => proved(n, "explained"), cell: (n) => { const row = verifierRow(n, "explained"); return row?.tiers ? tierBar(row.tiers, n.pairs) : absent; }, title: "which tier of the explanation decided" },
  { name: "Irreps", wide: true, broad: true, text: (n) => n.irreps.slice(0, 4).join(", ") + (n.irreps.length > 4 ? "…" : "") || absent },
];

const verifierRow = (network, name) => network.verifiers.find(({ verifier, refusal }) => verifier === name && !refusal);
function proved(network, name) {
  const row = verifierRow(network, name);
  return row ? row.certified_pairs / network.pairs : null;
}
const provedText = (network, name) => (proved(network, name) === null ? absent : share(verifierRow(network, name).certified_pairs, network.pairs));
function cost(network, name) {
  const [row, brute] = [verifierRow(network, name), verifierRow(network, "brute")];
  return row && brute && brute.flops ? row.flops / brute.flops : null;
}

// Kept while networks are opened and closed.
const state = { sort: 0, down: false, text: "", group: "" };

function overview() {
  const names = [...new Set(report.networks.map((network) => report.groups[network.group].name))];
  const perfect = report.networks.filter(({ correct, pairs }) => correct === pairs).length;
  const relu = report.networks.filter((network) => proved(network, "explained") !== null);
  const most = relu.filter((network) => proved(network, "explained") >= .95).length;
  const unlearned = report.networks.filter(({ correct, pairs }) => correct * 2 < pairs).length;
  const body = html("div");
  const count = html("span", { class: "quiet", role: "status" });
  const heads = [];

  const show = () => {
    const words = state.text.toLowerCase().split(/\s+/).filter(Boolean);
    const rows = report.networks.map((network, index) => ({ network, index, group: report.groups[network.group].name }))
      .filter(({ group }) => !state.group || group === state.group)
      .filter(({ network, group }) => words.every((word) => `${network.name} ${group} ${network.irreps.join(" ")} ${network.architecture} ${network.activation}`.toLowerCase().includes(word)));
    const { value, text } = columns[state.sort];
    rows.sort((p, q) => {
      const [a, b] = [(value ?? text)(p.network), (value ?? text)(q.network)];
      // What is absent comes last, whichever way.
      if (a === null || b === null) return Number(a === null) - Number(b === null) || p.index - q.index;
      const order = typeof a === "string" ? a.localeCompare(b, "en", { numeric: true }) : a - b;
      return (state.down ? -order : order) || p.index - q.index;
    });
    heads.forEach((head, i) => (i === state.sort ? head.setAttribute("aria-sort", state.down ? "descending" : "ascending") : head.removeAttribute("aria-sort")));
    count.textContent = rows.length === report.networks.length ? plural(rows.length, "network") : `${whole(rows.length)} of ${plural(report.networks.length, "network")}`;
    const bodies = names.flatMap((name) => {
      const own = rows.filter(({ group }) => group === name);
      if (!own.length) return [];
      const order = report.groups[own[0].network.group].order;
      return [html("tbody", {},
        html("tr", {}, html("th", { class: "group", colspan: String(columns.length), scope: "rowgroup" }, name + " ", html("small", {}, `order ${whole(order)}, ${plural(own.length, "network")}`))),
        own.map(({ network, index }) => html("tr", { class: "open", onclick: (event) => { if (event.target.tagName !== "A") go(index); } },
          columns.map((column, i) => html("td", { class: [column.name.startsWith("#") ? "number" : i === 0 ? "name" : "", column.broad ? "broad" : "", column.wide ? "wide" : "", column.low && network.correct * 2 < network.pairs ? "bad" : ""].join(" ").trim() || null, title: i === 0 ? network.name : null },
            i === 0 ? html("a", { href: "#network=" + index }, network.name) : (column.cell ?? column.text)(network))))))];
    });
    // The head stays where it is: its buttons would lose the focus.
    listing.querySelectorAll("tbody").forEach((old) => old.remove());
    listing.append(...bodies);
    empty.hidden = rows.length > 0;
  };
  const head = html("thead", {}, html("tr", {}, columns.map((column, i) => {
    const cell = html("th", { scope: "col", class: [column.name.startsWith("#") ? "number" : "", column.wide ? "wide" : ""].join(" ").trim() || null, title: column.title },
      html("button", { type: "button", onclick: () => {
        [state.sort, state.down] = [i, state.sort === i ? !state.down : column.value !== undefined];
        show();
      } }, column.name.replace("#", "")));
    heads.push(cell);
    return cell;
  })));
  const listing = html("table", { class: "overview" }, head);
  const empty = note("No network matches.");
  body.append(html("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Networks" }, listing), empty);

  const view = html("article", {},
    html("h1", {}, names.length === 1 ? `${plural(report.networks.length, "network")} over ${names[0]}` : `${plural(report.networks.length, "network")} over ${names.length} groups`),
    html("p", { class: "lead" },
      html("b", {}, whole(perfect)), ` proved right on every input. `,
      relu.length ? [`Explanation alone proves 95 % accuracy or more for `, html("b", {}, `${whole(most)} of ${whole(relu.length)}`), ". "] : "",
      unlearned ? [html("b", {}, whole(unlearned)), " did not learn to multiply."] : ""),
    report.unread.length > 0 && html("details", { class: "note", open: report.unread.length < 4 },
      html("summary", {}, `${plural(report.unread.length, "input")} could not be read`),
      html("ul", {}, report.unread.map(({ name, reason }) => html("li", {}, html("b", {}, name), ": ", reason)))),
    panel("Networks",
      html("div", { class: "controls" },
        html("label", {}, "Filter", html("input", { type: "search", placeholder: "name, group, irrep", value: state.text, oninput: (event) => { state.text = event.target.value; show(); } })),
        names.length > 1 && html("label", {}, "Group", html("select", { onchange: (event) => { state.group = event.target.value; show(); } },
          html("option", { value: "" }, "all"), names.map((name) => html("option", { value: name, selected: state.group === name }, name)))),
        count),
      body),
    costSection(),
    censusSection(report.groups) ?? "");
  show();
  return view;
}

/** The paper's main figure: what each verifier proves, against what it costs. */
function costSection() {
  const points = report.networks.flatMap((network, index) => {
    return network.verifiers.filter(({ verifier, refusal }) => verifier !== "brute" && !refusal)
      .map((row) => ({ index, network, verifier: row.verifier, x: cost(network, row.verifier), y: row.certified_pairs / network.pairs }));
  }).filter(({ x }) => x > 0);
  const title = "Proof against cost";
  if (!points.length) return panel(title, note("There is no data for this figure: only brute force applies to these networks."));
  const draw = (width, element) => {
    const xs = points.map(({ x }) => x);
    const { picture, X, Y, margin, bottom } = axes(width, 300,
      { from: Math.min(...xs) / 1.3, to: Math.max(1, ...xs) * 1.3, log: true, label: "flops, of brute force", text: (value) => (100 * value >= 1 ? digits(100 * value) : digits(100 * value, 2)) + " %" },
      { from: -.03, to: 1.03, label: "accuracy proved", text: (value) => Math.round(100 * value) + " %" }, `${title}: ${points.length} points`);
    picture.setAttribute("role", "group");
    picture.append(svg("line", { x1: X(1), x2: X(1), y1: margin.top, y2: bottom, stroke: "var(--faint)", "stroke-dasharray": "4 3" }),
      svg("text", { x: X(1), y: margin.top - 8, "text-anchor": "middle" }, "brute force"));
    for (const point of points) {
      picture.append(svg("circle", {
        class: "point", cx: X(point.x), cy: Y(point.y), r: 4.5, fill: `var(--${point.verifier})`, "fill-opacity": .7,
        onclick: () => { tip.hide(); go(point.index); },
        ...tipped(`${point.network.name}\n${point.verifier}: ${share(Math.round(point.y * point.network.pairs), point.network.pairs)} at ${digits(100 * point.x)} % of brute force`),
      }));
    }
    element.replaceChildren(picture);
  };
  const used = ["rho-set", "coset", "explained", "cascade"].filter((name) => points.some(({ verifier }) => verifier === name));
  return panel(title, html("p", {}, "One point per network and verifier; further up is more accuracy proved, further left is cheaper. The search for the explanation is not counted."),
    responsive(draw), legend(used.map((name) => [name, `var(--${name})`, true])));
}

function go(index) {
  location.hash = index === null ? "" : "network=" + index;
}

function show() {
  const index = Number((location.hash.match(/^#network=(\d+)$/) ?? [])[1] ?? NaN);
  const open = Number.isInteger(index) && index < report.networks.length;
  forgetDrawings();
  tip.hide();
  const crumb = document.getElementById("crumb");
  crumb.replaceChildren();
  let view;
  try {
    view = open ? networkView(report, index, go) : overview();
  } catch (error) {
    // Never a blank page: say what went wrong in its place.
    console.error(error);
    view = note(`This view could not be drawn: ${error.message}`);
  }
  if (open) crumb.append("› ", report.groups[report.networks[index].group].name, " › ", report.networks[index].name);
  document.title = (open ? report.networks[index].name + " – " : "") + "rhoset report";
  main.replaceChildren(view);
  scrollTo(0, 0);
}

const themes = ["light", "dark"];
function applyTheme(theme) {
  document.documentElement.dataset.theme = theme;
  const button = document.getElementById("theme");
  button.textContent = theme === "dark" ? "☀ Light" : "☾ Dark";
  button.setAttribute("aria-label", `Switch to the ${theme === "dark" ? "light" : "dark"} theme`);
  drawAgain();
}
const preference = matchMedia("(prefers-color-scheme: dark)");
let chosen = null;
// Storage may be forbidden where pages are opened from files.
try { chosen = localStorage.getItem("rhoset-theme"); } catch { /* not remembered */ }
const theme = () => (themes.includes(chosen) ? chosen : preference.matches ? "dark" : "light");
preference.addEventListener("change", () => applyTheme(theme()));
document.getElementById("theme").addEventListener("click", () => {
  chosen = theme() === "dark" ? "light" : "dark";
  try { localStorage.setItem("rhoset-theme", chosen); } catch { /* not remembered */ }
  applyTheme(chosen);
});

addEventListener("hashchange", () => { show(); main.focus({ preventScroll: true }); });
addEventListener("scroll", () => tip.hide(), { passive: true });
document.getElementById("footer").textContent = `Made by rhoset ${report.version}. Everything on this page is in this file.`;
applyTheme(theme());
show();
document.documentElement.dataset.ready = "true";
