//! `rhoset explain FILE...`: how networks multiply, in terms of irreps, rho-sets and cosets.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::Instant;

use comfy_table::{CellAlignment, Table, presets};
use rhoset::explain::account::{Account, SYMMETRIC, Side, Symmetry};
use rhoset::explain::circuit::{CircuitOptions, Circuits, find_circuits};
use rhoset::explain::idealised::Agreement;
use rhoset::explain::{self, Explanation, Neuron, RhoSetExplanation};
use rhoset::group::name::SubgroupNames;
use rhoset::group::{Group, Subgroup};
use rhoset::irrep::Irreps;
use rhoset::network::Activation;
use rhoset::verify::rho_set;
use serde_json::json;

use crate::network_input::{NetworkArguments, NetworkInput};

/// Explain how networks multiply: irreps, rho-sets and cosets.
///
/// Each neuron is described by one irrep rho as left l(x) = s b'rho(x)a, right r(y) = s a'rho(y)c and unembedding
/// u(z) = w b'rho(z)c. The vectors b and c run through rho-sets, orbits of the irrep; a rho-set circuit is the neurons
/// with the same two rho-sets and signs, and is full when each pair (b, c) has a neuron.
///
/// An orbit circuit is the neurons whose left and right functions live on the same points G/H and K\\G, whatever their
/// irreps: what `rhoset verify` proves with.
#[derive(clap::Args)]
pub(crate) struct ExplainArguments {
    #[command(flatten)]
    networks: NetworkArguments,
    /// Print one JSON object a network, a line each, with every vector of every neuron.
    #[arg(long)]
    json: bool,
    /// List every neuron, not only irreps, circuits and cosets.
    #[arg(long)]
    neurons: bool,
    /// Seed of the irreps' bases: another seed turns the vectors, and changes nothing else.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Write the circuits of one relu network to FILE, for `rhoset verify --explanation FILE`.
    #[arg(long, value_name = "FILE")]
    save: Option<std::path::PathBuf>,
}

pub(crate) fn run(arguments: ExplainArguments) -> anyhow::Result<ExitCode> {
    let mut bad = false;
    let mut irreps: Option<(Group, Irreps)> = None;
    let inputs = arguments.networks.load()?;
    anyhow::ensure!(
        arguments.save.is_none() || inputs.len() == 1,
        "--save writes the explanation of one network, not of {}",
        inputs.len()
    );
    for (index, input) in inputs.into_iter().enumerate() {
        let explained = input.and_then(|input| {
            if let Some(path) = &arguments.save {
                let circuits = find_circuits(&input.folded, &input.group, CircuitOptions::default())?;
                explain::file::save(path, &input.group, input.network.neurons(), &circuits)?;
            }
            let start = Instant::now();
            // Networks of one run are mostly over one group.
            if irreps.as_ref().is_none_or(|(group, _)| *group != input.group) {
                irreps = Some((input.group.clone(), Irreps::new(&input.group, arguments.seed)?));
            }
            let (_, irreps) = irreps.as_ref().expect("made above");
            Explained::new(input, irreps, start)
        });
        match explained {
            Ok(mut explained) => {
                let (_, irreps) = irreps.as_ref().expect("made for this network");
                if arguments.json {
                    explained.search(irreps);
                    println!("{}", explained.json(irreps));
                } else {
                    let gap = if index > 0 { "\n" } else { "" };
                    print!("{gap}{}", explained.text(irreps, arguments.neurons));
                }
            }
            Err(error) => {
                bad = true;
                eprintln!("error: {error:#}");
            }
        }
    }
    Ok(if bad { ExitCode::from(2) } else { ExitCode::SUCCESS })
}

/// A network with everything that is said of it.
pub(crate) struct Explained {
    input: NetworkInput,
    explanation: Explanation,
    /// What the rho-set verifier would be told, and the seconds that its search took.
    rho_sets: Option<(Option<RhoSetExplanation>, f64)>,
    agreement: Agreement,
    /// The circuits as orbits and what they account for; none where the activation is not relu.
    orbits: Option<(Circuits, Account)>,
    names: RefCell<SubgroupNames>,
    seconds: f64,
}

/// Share of sampled pairs below which a network counts as one that never learned to multiply.
const LEARNED: f64 = 0.5;

impl Explained {
    pub(crate) fn new(input: NetworkInput, irreps: &Irreps, start: Instant) -> anyhow::Result<Self> {
        let explanation = explain::explain(&input.folded, &input.group, irreps);
        let rho_sets = explanation.rho_set_explanation(&input.folded, &input.group, irreps, 0.0);
        let agreement = Agreement::of(&input.folded, &input.group, irreps, &rho_sets)?;
        let orbits = match input.network.activation {
            Activation::Relu => {
                let circuits = find_circuits(&input.folded, &input.group, CircuitOptions::default())?;
                let account = Account::of(&input.folded, &input.group, &explanation, &circuits);
                Some((circuits, account))
            }
            _ => None,
        };
        Ok(Self {
            input,
            explanation,
            rho_sets: None,
            agreement,
            orbits,
            names: RefCell::default(),
            seconds: start.elapsed().as_secs_f64(),
        })
    }

    /// Searches for the explanation that makes the rho-set verifier prove most: part of the JSON alone.
    fn search(&mut self, irreps: &Irreps) {
        let start = Instant::now();
        let found = rho_set::search(&self.input.folded, &self.input.group, irreps, &self.explanation).ok();
        self.rho_sets = Some((found, start.elapsed().as_secs_f64()));
    }

    fn name(&self, subgroup: &Subgroup) -> String {
        self.names.borrow_mut().of(&self.input.group, subgroup)
    }
}

/// Rows that a table shows before it refers to `--json`.
const MOST_ROWS: usize = 12;

impl Explained {
    pub(crate) fn text(&self, irreps: &Irreps, list_neurons: bool) -> String {
        let mut text = self.headline();
        let _ = writeln!(text);
        self.irrep_table(irreps, &mut text);
        self.rho_set_table(irreps, &mut text);
        self.circuit_table(&mut text);
        self.orbit_table(irreps, &mut text);
        self.coset_table(&mut text);
        if list_neurons {
            self.neuron_table(irreps, &mut text);
        }
        let _ = writeln!(text, "{} in {:.0} ms", self.unexplained(), 1e3 * self.seconds);
        text
    }

    fn has_learned(&self) -> bool {
        self.agreement.right as f64 >= LEARNED * self.agreement.pairs as f64
    }

    fn headline(&self) -> String {
        let (name, group) = (&self.input.name, self.input.group.name());
        let right = 100.0 * self.agreement.right as f64 / self.agreement.pairs as f64;
        let pairs = self.agreement.pairs;
        if !self.has_learned() {
            return format!(
                "{name}: never learned to multiply in {group}: right on {right:.1} % of {pairs} pairs;\nwhat structure its \
                 neurons have explains nothing.\n"
            );
        }
        let circuits = &self.explanation.circuits;
        let full = circuits.iter().filter(|circuit| circuit.is_full()).count();
        let used: std::collections::BTreeSet<usize> = circuits.iter().map(|circuit| circuit.irrep).collect();
        let share = match self.agreement.r_squared {
            Some(r) if r > 0.0 => format!("account for {:.1} % of its logits", 100.0 * r),
            Some(_) => "account for nothing of its logits".into(),
            None => format!("describe its neurons ({:?} network)", self.input.folded.activation),
        };
        format!(
            "{name}: multiplies in {group} (right on {right:.1} % of {pairs} pairs)\nby {}.\nMade full and uniform, they {share}.\n",
            match (circuits.len(), used.len()) {
                (0, _) => "no circuit that rho-sets describe".into(),
                (count, used) => format!(
                    "{} of {used} irrep{}, {full} of them full",
                    counted(count, "rho-set circuit"),
                    if used == 1 { "" } else { "s" }
                ),
            }
        )
    }

    fn irrep_table(&self, irreps: &Irreps, text: &mut String) {
        let mut table = table(&[
            "irrep", "dim", "type", "neurons", "share %", "fit l", "fit r", "fit u", "var a",
        ]);
        for family in &self.explanation.families {
            let irrep = &irreps.real()[family.irrep];
            let neurons: Vec<&Neuron> = family.neurons.iter().map(|&i| &self.explanation.neurons[i]).collect();
            let mean = |of: &dyn Fn(&Neuron) -> f64| neurons.iter().map(|n| of(n)).sum::<f64>() / neurons.len() as f64;
            let fit = |of: &dyn Fn(&explain::RankOne) -> f64| {
                format!("{:.3}", mean(&|n| n.rank_one.as_ref().map_or(0.0, of)))
            };
            table.add_row([
                irrep.name().to_owned(),
                irrep.dimension().to_string(),
                format!("{:?}", irrep.kind()).to_lowercase(),
                neurons.len().to_string(),
                format!("{:.1}", 100.0 * mean(&|n| n.share.mean())),
                fit(&|d| d.fit.left),
                fit(&|d| d.fit.right),
                fit(&|d| d.fit.unembed),
                format!("{:.4}", family.variance),
            ]);
        }
        finish(
            &table,
            "Irreps: shares of variance, R^2 of rank one, spread of a.",
            text,
        );
    }

    fn rho_set_table(&self, irreps: &Irreps, text: &mut String) {
        let mut table = table(&[
            "rho-set",
            "irrep",
            "size",
            "stabiliser",
            "antipodal",
            "vectors",
            "cosine",
        ]);
        for (index, set) in self.explanation.rho_sets.iter().enumerate() {
            table.add_row([
                rho_set_name(index),
                irreps.real()[set.irrep].name().to_owned(),
                set.size().to_string(),
                self.name(&set.stabiliser),
                if set.antipodal { "yes" } else { "no" }.into(),
                set.members.to_string(),
                format!("{:.4}", set.cosine),
            ]);
        }
        finish(
            &table,
            "rho-sets: orbits of the irreps that the vectors b and c run through.",
            text,
        );
    }

    fn circuit_table(&self, text: &mut String) {
        let mut table = table(&["b in", "c in", "neurons", "pairs", "of", "missing", "weight", "spread"]);
        let member = |(set, sign): (usize, i8)| format!("{}{}", if sign < 0 { "-" } else { "" }, rho_set_name(set));
        for circuit in &self.explanation.circuits {
            table.add_row([
                member(circuit.left),
                member(circuit.right),
                circuit.neurons.len().to_string(),
                circuit.present.to_string(),
                circuit.pairs.to_string(),
                (circuit.pairs - circuit.present).to_string(),
                format!("{:.3}", circuit.coefficient),
                format!("{:.3}", circuit.spread),
            ]);
        }
        finish(
            &table,
            "rho-set circuits: pairs (b, c) that have a neuron, and how even their weights are.",
            text,
        );
    }

    fn orbit_table(&self, irreps: &Irreps, text: &mut String) {
        let Some((circuits, account)) = &self.orbits else {
            let _ = writeln!(
                text,
                "Orbit circuits: only of relu networks; this one has {}.\n",
                self.input.network.activation.name()
            );
            return;
        };
        if circuits.circuits.is_empty() {
            let _ = writeln!(
                text,
                "Orbit circuits: none. The neurons' functions are nearly constant on the cosets of no subgroup\n\
                 that would leave few enough points, as is usual in cyclic and dihedral groups.\n"
            );
            return;
        }
        let mut table = table(&[
            "points", "irrep", "H, K", "rho-sets", "pairs", "neurons", "symmetry", "own %", "share %",
        ]);
        let mut rows: Vec<_> = circuits.circuits.iter().zip(&account.circuits).collect();
        rows.sort_by(|(_, a), (_, b)| b.share.total_cmp(&a.share));
        for (circuit, account) in rows {
            // An irrep that hardly any neuron lives in is noise.
            let names = account.irreps.iter().filter(|(_, share)| *share >= 0.1);
            let irrep: Vec<&str> = names.map(|&(irrep, _)| irreps.real()[irrep].name()).collect();
            let stabiliser = |side: &Side| match &side.twisted {
                Some(up_to_sign) => format!("{}*", self.name(up_to_sign)),
                None => self.name(&side.stabiliser),
            };
            let rho_set = |side: &Side| side.rho_set.map_or("-".into(), rho_set_name);
            let (left, right) = (circuit.left.len(), circuit.right.len());
            table.add_row([
                format!("{left} x {right}"),
                if irrep.is_empty() { "-".into() } else { irrep.join("+") },
                format!("{}, {}", stabiliser(&account.left), stabiliser(&account.right)),
                format!("{}, {}", rho_set(&account.left), rho_set(&account.right)),
                format!("{}/{}", account.present, account.pairs),
                circuit.members.len().to_string(),
                match account.symmetry {
                    Symmetry::TwoSided => "two-sided",
                    Symmetry::RightComplete => "right",
                    Symmetry::LeftComplete => "left",
                    Symmetry::Partial => "partial",
                }
                .into(),
                format!("{:.1}", 100.0 * account.equivariant.max(0.0)),
                format!("{:.1}", 100.0 * account.share.max(0.0)),
            ]);
        }
        let twisted = account
            .circuits
            .iter()
            .any(|c| c.left.twisted.is_some() || c.right.twisted.is_some());
        finish(
            &table,
            &format!(
                "Orbit circuits: functions on the points of G/H and K\\G make {:.1} % of the logits' variance.\n\
                 symmetry: of what makes {:.0} % of a circuit; own: made by all symmetric parts; share: of all logits.{}",
                100.0 * account.explained.max(0.0),
                100.0 * SYMMETRIC,
                if twisted {
                    "\n*: twisted, the stabiliser acts by a sign; pairs are counted up to signs."
                } else {
                    ""
                },
            ),
            text,
        );
    }

    fn coset_table(&self, text: &mut String) {
        let mut classes: BTreeMap<(String, usize, String, usize), (usize, f64)> = BTreeMap::new();
        let name = |subgroup: &Subgroup| match subgroup.order() {
            1 => ("-".to_owned(), 1),
            order => (self.name(subgroup), order),
        };
        for neuron in self.explanation.neurons.iter().filter(|neuron| !neuron.is_dormant()) {
            let (left, left_order) = name(&neuron.left_cosets.subgroup);
            let (right, right_order) = name(&neuron.right_cosets.subgroup);
            let class = classes.entry((left, left_order, right, right_order)).or_default();
            class.0 += 1;
            class.1 += (neuron.left_cosets.share + neuron.right_cosets.share) / 2.0;
        }
        let mut classes: Vec<_> = classes.into_iter().collect();
        classes.sort_by_key(|(_, (count, _))| std::cmp::Reverse(*count));
        let mut table = table(&["left: H x", "right: y K", "neurons", "share %"]);
        for ((left, _, right, _), (count, share)) in classes {
            table.add_row([
                left,
                right,
                count.to_string(),
                format!("{:.1}", 100.0 * share / count as f64),
            ]);
        }
        finish(
            &table,
            "Cosets: subgroups on whose cosets neurons are nearly constant.",
            text,
        );
    }

    fn neuron_table(&self, irreps: &Irreps, text: &mut String) {
        let mut table = table(&[
            "neuron", "irrep", "share %", "fit", "b", "c", "scale", "weight", "H", "K",
        ]);
        for (index, neuron) in self.explanation.neurons.iter().enumerate() {
            let place = |of: fn(&explain::PairOfPlaces) -> explain::Place| {
                neuron.place.as_ref().map_or("-".into(), |pair| {
                    let place = of(pair);
                    let sign = if place.sign < 0 { "-" } else { "" };
                    format!("{sign}{}@{}", rho_set_name(place.rho_set), place.element)
                })
            };
            let of = |value: &dyn Fn(&explain::RankOne) -> String| neuron.rank_one.as_ref().map_or("-".into(), value);
            table.add_row([
                index.to_string(),
                if neuron.is_dormant() {
                    "dormant".into()
                } else {
                    of(&|d| irreps.real()[d.irrep].name().into())
                },
                format!("{:.1}", 100.0 * neuron.share.mean()),
                of(&|d| format!("{:.3}", d.fit.mean())),
                place(|pair| pair.left),
                place(|pair| pair.right),
                of(&|d| format!("{:.3}", d.scale)),
                of(&|d| format!("{:.3}", d.weight)),
                self.name(&neuron.left_cosets.subgroup),
                self.name(&neuron.right_cosets.subgroup),
            ]);
        }
        let _ = writeln!(
            text,
            "Neurons: b and c as rho-set@element that takes its first member there.\n{table}\n"
        );
    }

    fn unexplained(&self) -> String {
        let neurons = &self.explanation.neurons;
        let dormant = neurons.iter().filter(|neuron| neuron.is_dormant()).count();
        let outside = neurons
            .iter()
            .filter(|neuron| !neuron.is_dormant() && neuron.circuit.is_none())
            .count();
        format!(
            "{} of {} in circuits, {outside} in none, {dormant} dormant; explained",
            neurons.len() - dormant - outside,
            counted(neurons.len(), "neuron")
        )
    }

    pub(crate) fn json(&self, irreps: &Irreps) -> serde_json::Value {
        let group = &self.input.group;
        let subgroup = |subgroup: &Subgroup| json!({ "name": self.name(subgroup), "order": subgroup.order(), "elements": subgroup.elements() });
        let explanation = &self.explanation;
        let families = explanation.families.iter().map(|family| {
            let irrep = &irreps.real()[family.irrep];
            json!({
                "irrep": irrep.name(),
                "dimension": irrep.dimension(),
                "degree": irrep.degree(),
                "frobenius_schur": format!("{:?}", irrep.kind()).to_lowercase(),
                "neurons": family.neurons,
                "a": family.a,
                "variance_of_a": family.variance,
            })
        });
        let rho_sets = explanation.rho_sets.iter().map(|set| {
            json!({
                "irrep": irreps.real()[set.irrep].name(),
                "size": set.size(),
                "stabiliser": subgroup(&set.stabiliser),
                "antipodal": set.antipodal,
                "vectors": set.members,
                "mean_cosine": set.cosine,
                "vector": set.vector,
            })
        });
        let neurons = explanation.neurons.iter().map(|neuron| {
            let cosets = |cosets: &explain::CosetConcentration| {
                json!({
                    "subgroup": self.name(&cosets.subgroup),
                    "order": cosets.subgroup.order(),
                    "share": cosets.share,
                })
            };
            json!({
                "dormant": neuron.is_dormant(),
                "reach": neuron.reach,
                "irrep": neuron.rank_one.as_ref().map(|d| irreps.real()[d.irrep].name()),
                "share": neuron.share,
                "rank_one": neuron.rank_one,
                "place": neuron.place,
                "circuit": neuron.circuit,
                "left_cosets": cosets(&neuron.left_cosets),
                "right_cosets": cosets(&neuron.right_cosets),
            })
        });
        json!({
            "network": self.input.name,
            "group": group.name(),
            "order": group.order(),
            "neurons": explanation.neurons.len(),
            "learned": self.has_learned(),
            "agreement": self.agreement,
            "explain_seconds": self.seconds,
            "families": families.collect::<Vec<_>>(),
            "rho_sets": rho_sets.collect::<Vec<_>>(),
            "circuits": explanation.circuits,
            "orbit_circuits": self.orbit_json(irreps),
            "neuron": neurons.collect::<Vec<_>>(),
            "rho_set_explanation": self.rho_sets.as_ref().map(|(found, _)| found),
            "rho_set_search_seconds": self.rho_sets.as_ref().map(|(_, seconds)| seconds),
        })
    }

    fn orbit_json(&self, irreps: &Irreps) -> Option<serde_json::Value> {
        let (circuits, account) = self.orbits.as_ref()?;
        let subgroup = |subgroup: &Subgroup| json!({ "name": self.name(subgroup), "order": subgroup.order(), "elements": subgroup.elements() });
        let side = |side: &Side, points: usize| {
            json!({
                "points": points,
                "stabiliser": subgroup(&side.stabiliser),
                "twisted": side.twisted.is_some(),
                "line": side.line,
                "stabiliser_up_to_sign": side.twisted.as_ref().map(subgroup),
                "rho_set": side.rho_set,
            })
        };
        let each = circuits
            .circuits
            .iter()
            .zip(&account.circuits)
            .map(|(circuit, account)| {
                let members = circuit.members.iter().map(|member| {
                    json!({
                        "neuron": member.neuron,
                        "left_point": member.left_point,
                        "right_point": member.right_point,
                    })
                });
                let irreps = account
                    .irreps
                    .iter()
                    .map(|&(irrep, share)| json!({ "irrep": irreps.real()[irrep].name(), "share": share }));
                json!({
                    "irreps": irreps.collect::<Vec<_>>(),
                    "left": side(&account.left, circuit.left.len()),
                    "right": side(&account.right, circuit.right.len()),
                    "pairs": account.pairs,
                    "present": account.present,
                    "symmetry": account.symmetry,
                    "own_share": {
                        "two_sided": account.two_sided,
                        "right_equivariant": account.right_equivariant,
                        "left_equivariant": account.left_equivariant,
                        "all": account.equivariant,
                    },
                    "share": account.share,
                    "members": members.collect::<Vec<_>>(),
                })
            });
        Some(json!({
            "circuits": each.collect::<Vec<_>>(),
            "explained": account.explained,
            "unexplained_neurons": circuits.unexplained,
        }))
    }
}

/// `B1`, `B2`, ...
fn rho_set_name(index: usize) -> String {
    format!("B{}", index + 1)
}

fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// An empty table: first column to the left, figures to the right.
fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(header);
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        if index > 0
            && matches!(
                header[index],
                "irrep"
                    | "stabiliser"
                    | "type"
                    | "b"
                    | "c"
                    | "c in"
                    | "right: y K"
                    | "H"
                    | "K"
                    | "antipodal"
                    | "H, K"
                    | "rho-sets"
                    | "symmetry"
            )
        {
            continue;
        }
        column.set_cell_alignment(if index == 0 {
            CellAlignment::Left
        } else {
            CellAlignment::Right
        });
    }
    table
}

/// Appends the first rows of a table under a title; nothing where there are none.
fn finish(table: &Table, title: &str, text: &mut String) {
    if table.is_empty() {
        return;
    }
    let lines = table.to_string();
    let _ = writeln!(text, "{title}");
    for line in lines.lines().take(MOST_ROWS + 1) {
        let _ = writeln!(text, "  {}", line.trim_end());
    }
    if let Some(more) = lines
        .lines()
        .count()
        .checked_sub(MOST_ROWS + 1)
        .filter(|&more| more > 0)
    {
        let _ = writeln!(text, "  and {more} more (--json has all)");
    }
    let _ = writeln!(text);
}
