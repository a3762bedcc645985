// The view of one network.

const verifierText = {
  brute: "all inputs, one by one",
  "rho-set": "the paper's: equivariance of the idealised network",
  coset: "the paper's: neurons averaged over cosets",
  explained: "circuits and irreps, no logit but the correct one",
  cascade: "circuits, cells of one input, then exact evaluation of what is left",
};
const tierText = {
  gaps: ["circuits: x and y alone", "var(--tier-1)"],
  tables: ["circuits: every z", "var(--tier-2)"],
  correct: ["circuits, correct logit evaluated", "var(--tier-7)"],
  spectral: ["irreps", "var(--tier-3)"],
  partitions: ["one input known by cosets", "var(--tier-8)"],
  exact: ["evaluated exactly", "var(--tier-4)"],
  undecided: ["not decided", "var(--tier-5)"],
};

const tierParts = (tiers) => Object.entries(tiers).map(([name, count]) => [(tierText[name] ?? [name])[0], count, (tierText[name] ?? ["", "var(--tier-6)"])[1]]);
const tierBar = (tiers, pairs) => shares(tierParts(tiers), pairs);

function proofSection(network) {
  const brute = network.verifiers.find(({ verifier }) => verifier === "brute");
  const rows = network.verifiers.map((row) => [
    html("td", {}, html("span", { class: "key round", style: { background: `var(--${row.verifier})`, marginRight: ".45rem" } }), row.verifier, html("span", { class: "quiet wide" }, " " + (verifierText[row.verifier] ?? ""))),
    row.refusal ? html("td", { class: "quiet", colspan: "5" }, row.refusal) : share(row.certified_pairs, network.pairs),
    ...(row.refusal ? [] : [
      html("td", { class: "wide" }, shares([[row.verifier, row.certified_pairs, `var(--${row.verifier})`]], network.pairs)),
      upper(row.cross_entropy_bound), html("td", { class: "number wide" }, seconds(row.seconds)), share(row.flops, brute?.flops ?? 0)]),
  ]);
  const tiered = network.verifiers.filter(({ tiers }) => tiers);
  return panel("What is proved",
    html("p", {}, "Lower bounds on the share of the inputs (x, y) whose largest logit is that of xy: in real arithmetic, for the weights as stored, whether or not the explanation is right. Cost is in flops, of brute force."),
    table("Verifiers", ["verifier", "#accuracy ≥", html("span", { class: "wide" }), html("span", { class: "number" }, "loss ≤", html("span", { class: "wide" }, " (nats)")), html("span", { class: "number wide" }, "time"), "#cost"], rows, "proofs"),
    html("h3", { style: { marginTop: "1.2rem" } }, "Which tier decided"),
    tiered.length ? tiered.map((row) => {
      const parts = tierParts(row.tiers);
      return html("div", {}, html("div", { class: "quiet" }, row.verifier), shares(parts, network.pairs, true),
        html("p", { class: "quiet" }, parts.filter(([, count]) => count).map(([name, count]) => `${name} ${share(count, network.pairs)}`).join(" · ")));
    }) : note(`There are no tiers: a network with activation ${network.activation} was verified by no tier.`),
    tiered.length > 0 && legend(Object.values(tierText)));
}

function inputSection(inputs, network) {
  return panel("Inputs",
    html("div", { class: "columns" },
      histogram({
        name: "Margins", label: "correct logit less the largest other",
        series: [
          { name: "true margin", data: inputs.margins, fill: "var(--brute)" },
          { name: "proved by circuits", data: inputs.proved_margins, fill: "var(--explained)" },
        ],
        line: { at: 0, name: "right →" },
      }),
      histogram({
        name: "Errors of the idealised network", label: "how far it may misjudge the margin",
        series: [{ name: "error", data: inputs.errors, fill: "var(--rho-set)" }],
        line: inputs.ideal_margin !== null && { at: inputs.ideal_margin, name: `its margin ${digits(inputs.ideal_margin)}` },
        note: inputs.errors
          ? `${share(inputs.explained, network.pairs)} of inputs have an error below the idealised network's margin, the same ${digits(inputs.ideal_margin)} everywhere.`
          : "There is no idealised network to compare with: no circuit was found.",
      })));
}

function networkView(report, index, go) {
  const network = report.networks[index];
  const group = report.groups[network.group];
  const details = embedded("network-" + index);
  const training = network.run ? embedded("training-" + index) : null;
  const { structure, inputs } = details;
  const explained = network.verifiers.find(({ verifier }) => verifier === "explained");
  const fact = (name, value, more) => html("div", {}, html("dt", {}, name), html("dd", {}, value, more && html("small", {}, " " + more)));
  const step = (by, name, text) => html("button", { type: "button", "aria-label": name, onclick: () => go((index + by + report.networks.length) % report.networks.length) }, text);
  const learned = network.correct * 2 >= network.pairs;
  return html("article", { "aria-labelledby": "network-name" },
    html("div", { class: "title" },
      html("div", {}, html("h1", { id: "network-name" }, network.name),
        html("p", { class: "lead" }, learned ? "Multiplies in " : "Did not learn to multiply in ", html("b", {}, group.name), `, order ${whole(group.order)}: right on `, html("b", {}, share(network.correct, network.pairs)),
          ` of ${whole(network.pairs)} inputs`, learned && network.irreps.length ? [", by ", html("b", {}, plural(network.circuits, "circuit")), ` of ${network.irreps.slice(0, 6).join(", ")}${network.irreps.length > 6 ? ` and ${network.irreps.length - 6} more` : ""}`] : "", ".")),
      report.networks.length > 1 && html("div", { class: "steps" }, step(-1, "Previous network", "← Previous"), step(1, "Next network", "Next →"))),
    html("dl", { class: "facts" },
      fact("Accuracy", share(network.correct, network.pairs), `${whole(network.pairs - network.correct)} wrong`),
      fact("Proved by explanation", explained && !explained.refusal ? share(explained.certified_pairs, network.pairs) : absent),
      fact("Smallest margin ≥", lower(network.min_margin)),
      fact("Cross-entropy ≤", upper(network.cross_entropy), "nats"),
      fact("Neurons in circuits", `${whole(network.in_circuits)} of ${whole(network.neurons)}`, network.dormant ? `${whole(network.dormant)} dormant` : ""),
      fact("Logits explained", network.r_squared === null ? absent : (100 * network.r_squared).toFixed(2) + " %", "R²"),
      fact("Right in float32", share(network.float32_pairs, network.pairs)),
      fact("Architecture", network.architecture, network.activation)),
    network.repaired !== undefined && note(`The group was read off the network's largest logits${network.repaired ? `, which disagree with it on ${plural(network.repaired, "input")}` : ""}.`),
    !learned && note("A network that did not learn has neurons that fit an irrep by chance: circuits of few pairs in it mean nothing."),
    circuitSection(structure),
    proofSection(network),
    inputSection(inputs, network),
    neuronSection(structure, group),
    measureSection(embedded("measures-" + index)),
    trainingSection(training));
}
