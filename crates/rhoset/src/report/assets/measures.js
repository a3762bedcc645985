// Measures: what the explanation accounts for, and what happens when the network is changed. They prove nothing.

const percentOf = (value) => (value === null || value === undefined ? absent : share(value, 1));

/** Losses side by side: rows [name, { accuracy, cross_entropy } or null], bars of log loss under the original's mark. */
function losses(title, original, rows, text) {
  const drawn = rows.filter(([, performance]) => performance);
  if (!drawn.length) return html("figure", {}, html("h3", {}, title), note("There is no data for this figure: nothing of this network could be idealised."));
  const values = [original, ...drawn.map(([, performance]) => performance)].map(({ cross_entropy }) => Math.max(cross_entropy, 1e-6));
  const [low, high] = [Math.min(...values) / 1.5, Math.max(...values) * 1.1];
  const place = (value) => (100 * Math.log(Math.max(value, 1e-6) / low)) / Math.log(high / low);
  return html("figure", {}, html("h3", {}, title),
    table(title, ["", "#accuracy", "#loss", ""], [["original", original], ...drawn].map(([name, { accuracy, cross_entropy }], i) => [
      name, percentOf(accuracy), digits(cross_entropy),
      html("td", { style: { width: "30%" } }, html("div", { class: "meter", role: "img", "aria-label": `loss ${digits(cross_entropy)} nats` },
        html("span", { style: { width: place(cross_entropy) + "%", background: i ? (accuracy >= .995 * original.accuracy ? "var(--good)" : accuracy >= .5 * original.accuracy ? "var(--tier-4)" : "var(--bad)") : "var(--brute)" } })))])),
    text && html("figcaption", {}, text));
}

function interventionName(intervention) {
  if (typeof intervention === "string") return intervention.replaceAll("-", " ");
  const { mean, deviation } = intervention.noise;
  return `noise N(${mean},\u00a0${deviation})`;
}

/** The section on measures of a network. */
function measureSection(measures) {
  if (!measures) return panel("Measures", note("No measures were taken of this network."));
  const { equivariance, idealised_equivariance: ideal, fit, tensors, original } = measures;
  const parts = ["left", "right", "unembed"];
  return panel("Measures",
    html("p", {}, "What the explanation accounts for, and what becomes of the network when parts are replaced or changed. Losses are mean cross-entropies in nats over all inputs, bars on a logarithmic scale: green keeps the accuracy, red destroys it."),
    html("div", { class: "columns broad" },
      html("figure", {}, html("h3", {}, "Bi-equivariance of the logits"),
        table("Bi-equivariance", ["", "#right", "#left", "#two-sided"], [
          ["spread of the correct logit", ...["right", "left", "two_sided"].map((side) => digits(equivariance.variation[side]))],
          ["idealised network", ...["right", "left", "two_sided"].map((side) => (ideal ? digits(ideal.variation[side]) : absent))],
          ["share of variance equivariant", ...["right", "left", "two_sided"].map((side) => percentOf(equivariance[side]))]]),
        html("figcaption", {}, `A sum of a right- and a left-equivariant function accounts for ${percentOf(equivariance.sum)} of the logits.`)),
      html("figure", {}, html("h3", {}, "R² of the idealised weights"),
        fit ? table("R squared", ["", "#left", "#right", "#unembed"], [
          ["all neurons", ...parts.map((part) => fit.all[part].toFixed(5))],
          ["neurons of idealised circuits", ...parts.map((part) => (fit.members ? fit.members[part].toFixed(5) : absent))]])
          : note("There is no data for this figure: the paper's idealised network is defined for relu."),
        fit && html("figcaption", {}, `Neurons of idealised circuits have ${percentOf(fit.explained)} of the left functions' variance.`)),
      losses("Weights replaced by idealised ones", original, [...parts, "all"].map((part) => [part === "all" ? "all three" : part, tensors?.[part]]).concat([["complete circuits alone", measures.idealised]])),
      losses("Interventions", original, measures.interventions.map(({ intervention, performance }) => [interventionName(intervention), performance]),
        "Those of Stander et al. 2024. They do not tell hypotheses apart (Wu et al. 2025): cosets and rho-sets predict the same.")),
    html("details", {}, html("summary", {}, "Losses by irrep and by circuit"),
      table("Irreps", ["irrep", "#neurons", "#share left", "#share right", "#share unembed", "#logits like character", "#var a", "#loss without", "#loss with it alone", "#loss idealised"],
        measures.irreps.filter(({ neurons, similarity }) => neurons || Math.abs(similarity) > .01).map((row) => [
          row.irrep, whole(row.neurons), ...parts.map((part) => percentOf(row.share[part])), digits(row.similarity), digits(row.variance_of_a),
          ...["ablated", "restricted", "idealised"].map((what) => digits(row.losses?.[what]?.cross_entropy))])),
      table("Circuits", ["irrep", "stabilisers", "#pairs", "#neurons", "#loss without", "#loss with it alone", "#loss idealised"],
        measures.circuits.map((row) => [row.irrep, `${row.left_stabiliser}, ${row.right_stabiliser}`, `${whole(row.present)}/${whole(row.pairs)}`, whole(row.neurons),
          ...["ablated", "restricted", "idealised"].map((what) => digits(row.losses[what]?.cross_entropy))]))));
}

/** The section on what many networks over one group learned. */
function censusSection(groups) {
  const taken = groups.filter(({ census }) => census);
  if (!taken.length) return null;
  return panel("Census of circuits",
    html("p", {}, "How many networks learned each irrep, and with which rho-sets. Irreps with small rho-sets need few neurons for a full circuit."),
    taken.map(({ name, census }, index) => html("details", { open: index === 0 }, html("summary", {}, `${name}, ${plural(census.networks, "network")}`),
      table(`Census of ${name}`, ["irrep", "#dimension", "#smallest rho-set", "networks", "#with circuit", "#full", "rho-sets of circuits"],
        census.rows.filter(({ networks }) => networks).sort((p, q) => q.networks - p.networks).slice(0, 24).map((row) => [
          row.irrep, row.dimension, row.smallest_rho_set ?? absent,
          html("td", {}, html("div", { style: { display: "flex", gap: ".5rem", alignItems: "center" } },
            shares([[row.irrep, row.networks, "var(--accent)"]], census.networks), whole(row.networks))),
          whole(row.with_circuit), whole(row.with_full_circuit),
          html("td", { style: { whiteSpace: "normal", minWidth: "12rem" } }, row.stabilisers.slice(0, 4).map(({ left, right, rho_sets: sizes, circuits }) =>
            `${whole(circuits)} of ${sizes[0]}×${sizes[1]} (${left === right ? left : left + ", " + right})`).join("; ") + (row.stabilisers.length > 4 ? "…" : "") || absent)])))));
}
