//! What a certificate says: its shape, checked entry by entry. Nothing in it is believed.

use anyhow::Result;
use serde::Deserialize;

use crate::ball::{Matrix, width};
use crate::group::{Group, action};

/// The version of certificates that is read.
pub const VERSION: u64 = 2;

/// Circuits with `|P| |Q| (|P| + |Q|)` beyond this are refused: their tables cost more than evaluating the network.
const LARGEST_CIRCUIT: usize = 4_000_000;

/// Structs that are read from JSON, and that refuse whatever they do not name. Some entries are for readers alone.
macro_rules! entries {
    ($($(#[$doc:meta])* $name:ident { $($entry:ident: $type:ty),+ $(,)? })+) => {$(
        $(#[$doc])*
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        #[allow(dead_code)]
        pub(crate) struct $name { $(pub(crate) $entry: $type),+ }
    )+};
}

entries! {
    /// A certificate, as `docs/certificate.md` describes it.
    Certificate {
        format: String,
        version: u64,
        weights: Weights,
        group: GroupEntry,
        explanation: Explanation,
        plan: Plan,
        claims: Claims,
    }
    Weights { file: String, sha256: String }
    GroupEntry { name: String, table: Matrix<u16>, sha256: String }
    Explanation { format: String, version: u64, group: String, order: usize, neurons: usize, circuits: Vec<Circuit> }
    /// Neurons over a pair of G-sets P and Q.
    Circuit {
        left: Points,
        right: Points,
        members: Vec<Member>,
        left_subspaces: Vec<Matrix<f64>>,
        right_subspaces: Vec<Matrix<f64>>,
        kernels: Vec<Kernel>,
    }
    /// A G-set: point i is the left coset `points[i] * subgroup`.
    Points { subgroup: Vec<usize>, points: Vec<usize> }
    Member {
        neuron: usize,
        left_point: usize,
        right_point: usize,
        left_values: Vec<f64>,
        right_values: Vec<f64>,
    }
    Kernel {
        left_subspace: usize,
        right_subspace: usize,
        coordinates: Matrix<f64>,
        two_sided: Matrix<f64>,
        right: Option<Matrix<f64>>,
        left: Option<Matrix<f64>>,
    }
    /// Which circuits are used, and a basis of functions on the group.
    Plan { circuits: Vec<bool>, basis: Option<Matrix<f64>> }
}

/// What every version of a certificate has.
#[derive(Deserialize)]
pub(crate) struct Header {
    pub(crate) format: String,
    pub(crate) version: u64,
}

/// What is claimed, or proved, of the n^2 pairs (x, y): numbers by name; null claims nothing.
pub type Claims = serde_json::Map<String, serde_json::Value>;

impl Certificate {
    /// Whether explanation and plan speak of n elements and m neurons, and of one another.
    pub(crate) fn check(&self, n: usize, m: usize) -> Result<()> {
        let (explanation, plan) = (&self.explanation, &self.plan);
        let (format, version) = (&explanation.format, explanation.version);
        ensure!(format == "rhoset-explanation", "explanation.format": "{format:?}, not \"rhoset-explanation\"");
        ensure!(version == 1, "explanation.version": "{version} is not known, only 1");
        let (order, neurons) = (explanation.order, explanation.neurons);
        ensure!(order == n, "explanation.order": "{order}; the network has {n} logits");
        ensure!(neurons == m, "explanation.neurons": "{neurons}; the network has {m}");
        let (entries, circuits) = (plan.circuits.len(), explanation.circuits.len());
        ensure!(entries == circuits, "plan.circuits": "{entries} entries for {circuits} circuits");
        let Some(basis) = &plan.basis else { return Ok(()) };
        shaped(basis, (n, width(basis)), "plan.basis")
    }
}

impl Circuit {
    /// Every index and length, that no neuron is named twice, and that two-sided tables are constant on orbits; the
    /// actions on P and Q.
    pub(crate) fn check(&self, group: &Group, named: &mut [bool], entry: &str) -> Result<[Matrix<usize>; 2]> {
        let (a, b) = (self.left.points.len(), self.right.points.len());
        let cost = a.saturating_mul(b).saturating_mul(a + b);
        ensure!(cost <= LARGEST_CIRCUIT, "{entry}": "the tables of {a} and {b} points cost more than the network");
        let left = action(group, &self.left, &format!("{entry}.left"))?;
        let right = action(group, &self.right, &format!("{entry}.right"))?;
        for (i, member) in self.members.iter().enumerate() {
            let (entry, neuron) = (format!("{entry}.members[{i}]"), member.neuron);
            let new = neuron < named.len() && !named[neuron];
            ensure!(new, "{entry}.neuron": "{neuron} does not exist or is explained twice");
            named[neuron] = true;
            let (p, q) = (member.left_point, member.right_point);
            ensure!(p < a, "{entry}.left_point": "{p} is not one of {a}");
            ensure!(q < b, "{entry}.right_point": "{q} is not one of {b}");
            let (phi, psi) = (member.left_values.len(), member.right_values.len());
            ensure!(phi == a, "{entry}.left_values": "{phi} values for {a} points");
            ensure!(psi == b, "{entry}.right_values": "{psi} values for {b} points");
        }
        for (side, bases, points) in [("left", &self.left_subspaces, a), ("right", &self.right_subspaces, b)] {
            for (s, basis) in bases.iter().enumerate() {
                let (entry, columns) = (format!("{entry}.{side}_subspaces[{s}]"), width(basis));
                ensure!(columns <= points, "{entry}": "{columns} functions on {points} points");
                shaped(basis, (points, columns), &entry)?;
            }
        }
        for (k, kernel) in self.kernels.iter().enumerate() {
            let entry = format!("{entry}.kernels[{k}]");
            let (l, r) = (kernel.left_subspace, kernel.right_subspace);
            ensure!(l < self.left_subspaces.len(), "{entry}.left_subspace": "there is no {l}");
            ensure!(r < self.right_subspaces.len(), "{entry}.right_subspace": "there is no {r}");
            let shape = (width(&self.left_subspaces[l]), width(&self.right_subspaces[r]));
            shaped(&kernel.coordinates, shape, &format!("{entry}.coordinates"))?;
            shaped(&kernel.two_sided, (a, b), &format!("{entry}.two_sided"))?;
            for (name, table) in [("right", &kernel.right), ("left", &kernel.left)] {
                let Some(table) = table else { continue };
                shaped(table, (a, b), &format!("{entry}.{name}"))?;
            }
            for (g, p, q) in (0..group.order * a * b).map(|i| (i / (a * b), i / b % a, i % b)) {
                let same = kernel.two_sided[p][q] == kernel.two_sided[left[g][p]][right[g][q]];
                ensure!(same, "{entry}.two_sided[{p}][{q}]": "not what it is where {g} moves its pair of points");
            }
        }
        Ok([left, right])
    }
}

fn shaped(table: &Matrix<f64>, (rows, columns): (usize, usize), entry: &str) -> Result<()> {
    let fits = columns > 0 && table.len() == rows && table.iter().all(|row| row.len() == columns);
    ensure!(fits, "{entry}": "not a matrix of {rows} x {columns}");
    Ok(())
}
