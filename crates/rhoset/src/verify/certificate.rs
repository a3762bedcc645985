//! Certificates: what was proved of a network, in a file that others can check.
//!
//! A certificate names the weights by their file's hash, holds the group's table, the explanation and a basis for the spectral
//! tier, and claims counts and a loss. Nothing in it is trusted: [`Certificate::check`] proves every claim again with
//! rhoset's own verifiers, and the program `rhoset-check` does so without sharing a line with them. The format is
//! described in `docs/certificate.md`.

use std::path::{Path, PathBuf};

use ndarray::Array2;
use safetensors::tensor::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::cascade::Outcome;
use super::orbit::{OrbitError, OrbitTier};
use super::spectral::SpectralTier;
use super::{brute, cascade, loss};
use crate::explain::circuit::Circuits;
use crate::explain::file::{self, ExplanationFile, ExplanationProblem};
use crate::group::{Group, GroupError};
use crate::irrep::Irreps;
use crate::network::{Activation, Folded, Network};

/// What `format` says in a certificate.
pub const FORMAT: &str = "rhoset-certificate";

/// The version that is written, and the only one that is read.
pub const VERSION: u32 = 2;

/// What is wrong with a certificate, and which.
#[derive(Debug, thiserror::Error)]
#[error("{}: {problem}", path.display())]
pub struct CertificateFileError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub problem: Box<CertificateProblem>,
}

/// Everything that can be wrong with a certificate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateProblem {
    /// The operating system refused.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// Not a certificate, or one of another version.
    #[error("{0}")]
    Unreadable(ExplanationProblem),
    /// The explanation in it is wrong.
    #[error("explanation.{0}")]
    Explanation(ExplanationProblem),
    /// It speaks of another file.
    #[error("weights.sha256: the certificate is of a file with hash {stated}; this one has {found}")]
    Weights {
        /// The hash in the certificate.
        stated: String,
        /// The file's.
        found: String,
    },
    /// It explains by circuits what circuits cannot explain.
    #[error("explanation.circuits: circuits are for relu networks, this one has activation {}", .0.name())]
    Activation(Activation),
    /// Integers have no such function.
    #[error(
        "no certificate is written of a network with activation {}: its logits are irrational numbers, whose order no \
         integers decide; `rhoset verify` bounds its accuracy by evaluation", .0.name()
    )]
    Irrational(Activation),
    /// A checker would have to know more layouts or number formats than the one that certificates are of.
    #[error(
        "weights: {0}; a certificate is of float32 tensors in the native layout: write it to another folder, with weights \
         that are"
    )]
    Layout(String),
    /// The table is no group's.
    #[error("group.table: {0}")]
    Table(GroupError),
    /// The table has another hash.
    #[error("group.sha256: is {stated}, the table's is {found}")]
    TableHash {
        /// The hash in the certificate.
        stated: String,
        /// The table's.
        found: String,
    },
    /// The table is not that of the network's group.
    #[error(
        "group.table: is not the table of the network's group {0}; a certificate for another group proves nothing here"
    )]
    OtherGroup(String),
    /// A plan that is not one of this explanation.
    #[error("plan.circuits: has {found} entries, the explanation {expected} circuits")]
    Plan {
        /// Entries.
        found: usize,
        /// Circuits.
        expected: usize,
    },
    /// A basis that is no matrix of n rows.
    #[error("plan.basis: is no matrix of {0} rows of one length")]
    Basis(usize),
    /// A claim that was not proved.
    #[error("claims.{claim}: {claimed} claimed, {proved} proved")]
    Claim {
        /// Which.
        claim: &'static str,
        /// What is claimed.
        claimed: f64,
        /// What was proved.
        proved: f64,
    },
    /// The explanation cannot be used.
    #[error("explanation: {0}")]
    Orbit(#[from] OrbitError),
}

/// A certificate as it stands in a file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// [`FORMAT`].
    pub format: String,
    /// [`VERSION`].
    pub version: u32,
    /// The network's file.
    pub weights: WeightsEntry,
    /// The group.
    pub group: GroupEntry,
    /// The circuits; an explanation without any where the activation is not relu.
    pub explanation: ExplanationFile,
    /// Which bounds prove the claims.
    pub plan: PlanEntry,
    /// What is proved.
    pub claims: Claims,
}

/// Which file a certificate is of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WeightsEntry {
    /// Its name: for readers, nothing depends on it.
    pub file: String,
    /// SHA-256 of all its bytes, in hexadecimal.
    pub sha256: String,
}

/// The group of a certificate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupEntry {
    /// Its name: for readers, nothing depends on it.
    pub name: String,
    /// [`table_hash`].
    pub sha256: String,
    /// The multiplication table, by rows.
    pub table: Vec<Vec<u16>>,
}

/// Which bounds prove what.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanEntry {
    /// Which circuits are used; the neurons of the others count as unexplained.
    pub circuits: Vec<bool>,
    /// The matrix F of Theorem 7 by rows, one for every z, for the pairs that circuits leave; any numbers are sound.
    pub basis: Option<Vec<Vec<f64>>>,
}

/// What a certificate claims: counts are lower bounds, the loss is an upper bound.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claims {
    /// n^2.
    pub pairs: usize,
    /// Pairs (x, y) on which the logit of xy is strictly the largest.
    pub certified_pairs: usize,
    /// Those that are proved without evaluating any logit but the correct one: by circuits, or in the basis.
    pub explained_pairs: usize,
    /// Those that are proved by circuits.
    pub circuit_pairs: usize,
    /// Those that are proved by what x and y have each by themselves in the circuits, without evaluating any logit.
    pub gap_pairs: usize,
    /// Pairs that are right in float32 as well, whatever the order of operations.
    pub float32_pairs: usize,
    /// The mean cross-entropy over all pairs, in nats.
    pub cross_entropy_bound: Option<f64>,
    /// The same as far as circuits and basis prove it.
    pub explained_cross_entropy_bound: Option<f64>,
}

/// Whether there can be a certificate of this network.
///
/// # Errors
/// If its activation is one that integers cannot decide.
pub fn possible(network: &Network) -> Result<(), CertificateProblem> {
    match network.activation {
        Activation::Gelu => Err(CertificateProblem::Irrational(network.activation)),
        _ => Ok(()),
    }
}

/// What tensors are called in the weights of a certificate, all of them matrices or vectors.
const TENSORS: [&str; 9] = [
    "left",
    "right",
    "embed_left",
    "embed_right",
    "linear",
    "linear_left",
    "linear_right",
    "unembed",
    "bias",
];

/// Whether a checker can be expected to read these weights.
fn native(bytes: &[u8]) -> Result<(), CertificateProblem> {
    let file = SafeTensors::deserialize(bytes).map_err(|error| CertificateProblem::Layout(error.to_string()))?;
    for (name, tensor) in file.iter().filter(|&(name, _)| name != "table") {
        let (dtype, shape) = (tensor.dtype(), tensor.shape());
        if !TENSORS.contains(&name) || dtype != Dtype::F32 || shape.len() > 2 {
            let found = format!("there is a tensor {name:?} of type {dtype} and shape {shape:?}");
            return Err(CertificateProblem::Layout(found));
        }
    }
    Ok(())
}

/// SHA-256 of a file's bytes, in hexadecimal.
pub fn file_hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// SHA-256 of a multiplication table, row by row, each product as two bytes, the lower first; in hexadecimal.
pub fn table_hash(group: &Group) -> String {
    let bytes: Vec<u8> = group
        .table()
        .iter()
        .flat_map(|product| product.0.to_le_bytes())
        .collect();
    file_hash(&bytes)
}

/// Proved losses are claimed a little higher, so that a checker that rounds otherwise agrees.
fn claimed_loss(bound: f64) -> f64 {
    bound * (1.0 + 1e-6) + 1e-9
}

/// Rounds to nine decimals, so that a certificate is half as long: any basis is sound.
fn shortened(basis: &Array2<f64>) -> Array2<f64> {
    basis.mapv(|value| (value * 1e9).round() / 1e9)
}

/// The orbit tier, then the spectral tier in `basis`.
fn explained(
    folded: &Folded,
    group: &Group,
    circuits: &Circuits,
    basis: Option<&Array2<f64>>,
) -> Result<Outcome, OrbitError> {
    cascade::explained_by(folded, group, circuits, |k| {
        let basis = basis.filter(|_| k == 0)?;
        Some(SpectralTier::with_basis(folded, basis.clone()))
    })
}

/// Every claim as far as it is proved, `outcome` being what the explanation alone proves.
fn prove(
    network: &Network,
    folded: &Folded,
    group: &Group,
    circuits: &Circuits,
    outcome: &Outcome,
) -> Result<Claims, OrbitError> {
    let n = group.order();
    let gap_pairs = match network.activation {
        Activation::Relu => OrbitTier::new(folded, group, circuits)?.gaps().proved(group),
        _ => 0,
    };
    let evaluated = loss::evaluate(folded, group);
    Ok(Claims {
        pairs: n * n,
        certified_pairs: brute::verify(network, folded, group).certified_pairs,
        explained_pairs: outcome.verification.certified_pairs,
        circuit_pairs: outcome.tiers.gaps + outcome.tiers.tables + outcome.tiers.correct,
        gap_pairs,
        float32_pairs: evaluated.float32_pairs,
        cross_entropy_bound: Some(evaluated.cross_entropy_bound).filter(|loss| loss.is_finite()),
        explained_cross_entropy_bound: outcome.verification.cross_entropy_bound,
    })
}

impl Certificate {
    /// Proves what there is to prove of a network, and writes it down; `file` is the name and the bytes of its weights.
    ///
    /// `circuits` are for relu networks; without any the orbit tier proves nothing. All logits are evaluated besides.
    ///
    /// # Errors
    /// If the circuits speak of neurons or points that do not exist, the activation is irrational, or the file is not one of
    /// float32 tensors in the native layout.
    pub fn new(
        (file, bytes): (&str, &[u8]),
        network: &Network,
        folded: &Folded,
        group: &Group,
        circuits: &Circuits,
        irreps: &Irreps,
    ) -> Result<Self, CertificateProblem> {
        possible(network)?;
        native(bytes)?;
        let n = group.order();
        let mut outcome = explained(folded, group, circuits, None)?;
        let mut basis = None;
        for energy in cascade::SPECTRAL_ENERGIES {
            if outcome.verification.certified_pairs == n * n {
                break;
            }
            let more = shortened(SpectralTier::new(folded, group, irreps, energy).basis());
            let better = explained(folded, group, circuits, Some(&more))?;
            if better.verification.certified_pairs > outcome.verification.certified_pairs {
                (outcome, basis) = (better, Some(more));
            }
        }
        let proved = prove(network, folded, group, circuits, &outcome)?;
        Ok(Self {
            format: FORMAT.into(),
            version: VERSION,
            weights: WeightsEntry {
                file: file.into(),
                sha256: file_hash(bytes),
            },
            group: GroupEntry {
                name: group.name().into(),
                sha256: table_hash(group),
                table: group
                    .elements()
                    .map(|x| group.row(x).iter().map(|y| y.0).collect())
                    .collect(),
            },
            explanation: ExplanationFile::new(group, network.neurons(), circuits),
            plan: PlanEntry {
                circuits: vec![true; circuits.circuits.len()],
                basis: basis.map(|basis| basis.rows().into_iter().map(|row| row.to_vec()).collect()),
            },
            claims: Claims {
                cross_entropy_bound: proved.cross_entropy_bound.map(claimed_loss),
                explained_cross_entropy_bound: proved.explained_cross_entropy_bound.map(claimed_loss),
                ..proved
            },
        })
    }

    /// Reads the JSON of a certificate, without checking what it says.
    ///
    /// # Errors
    /// If the text is no JSON, of another format or version, or not of the documented shape.
    pub fn parse(json: &[u8]) -> Result<Self, CertificateProblem> {
        file::check_version(json, FORMAT, VERSION)
            .and_then(|()| file::from_json(json))
            .map_err(CertificateProblem::Unreadable)
    }

    /// Proves every claim again with rhoset's own verifiers; `file_hash` is that of the network's file.
    ///
    /// # Errors
    /// The first thing that is not so.
    pub fn check(
        &self,
        file_hash: &str,
        network: &Network,
        folded: &Folded,
        group: &Group,
    ) -> Result<(), CertificateProblem> {
        let n = group.order();
        if self.weights.sha256 != file_hash {
            return Err(CertificateProblem::Weights {
                stated: self.weights.sha256.clone(),
                found: file_hash.into(),
            });
        }
        let order = self.group.table.len();
        let entries = self.group.table.concat();
        let own = match self.group.table.iter().all(|row| row.len() == order) {
            true => Group::from_table(self.group.name.clone(), order, &entries),
            false => Err(GroupError::NotSquare {
                order,
                entries: entries.len(),
            }),
        };
        let own = own.map_err(CertificateProblem::Table)?;
        let found = table_hash(&own);
        if self.group.sha256 != found {
            let stated = self.group.sha256.clone();
            return Err(CertificateProblem::TableHash { stated, found });
        }
        if own != *group {
            return Err(CertificateProblem::OtherGroup(group.name().into()));
        }
        if network.activation != Activation::Relu && !self.explanation.circuits.is_empty() {
            return Err(CertificateProblem::Activation(network.activation));
        }
        file::check_header(&self.explanation).map_err(CertificateProblem::Explanation)?;
        let circuits = self.explanation.circuits(group, network.neurons());
        let mut circuits = circuits.map_err(CertificateProblem::Explanation)?;
        if self.plan.circuits.len() != circuits.circuits.len() {
            return Err(CertificateProblem::Plan {
                found: self.plan.circuits.len(),
                expected: circuits.circuits.len(),
            });
        }
        let mut used = self.plan.circuits.iter();
        circuits.circuits.retain(|_| used.next() == Some(&true));
        let basis = match &self.plan.basis {
            None => None,
            Some(rows) => {
                let width = rows.first().map_or(0, Vec::len);
                if rows.len() != n || rows.iter().any(|row| row.len() != width) {
                    return Err(CertificateProblem::Basis(n));
                }
                Some(Array2::from_shape_fn((n, width), |(z, k)| rows[z][k]))
            }
        };
        let outcome = explained(folded, group, &circuits, basis.as_ref())?;
        let proved = prove(network, folded, group, &circuits, &outcome)?;
        let claims = &self.claims;
        let claim = |claim: &'static str, claimed: f64, proved: f64, holds: bool| match holds {
            true => Ok(()),
            false => Err(CertificateProblem::Claim { claim, claimed, proved }),
        };
        let (claimed, there_are) = (claims.pairs as f64, proved.pairs as f64);
        claim("pairs", claimed, there_are, claims.pairs == proved.pairs)?;
        let counts = [
            ("gap_pairs", claims.gap_pairs, proved.gap_pairs),
            ("circuit_pairs", claims.circuit_pairs, proved.circuit_pairs),
            ("explained_pairs", claims.explained_pairs, proved.explained_pairs),
            ("certified_pairs", claims.certified_pairs, proved.certified_pairs),
            ("float32_pairs", claims.float32_pairs, proved.float32_pairs),
        ];
        for (name, claimed, proved) in counts {
            claim(name, claimed as f64, proved as f64, claimed <= proved)?;
        }
        let bounds = [
            (
                "cross_entropy_bound",
                claims.cross_entropy_bound,
                proved.cross_entropy_bound,
            ),
            (
                "explained_cross_entropy_bound",
                claims.explained_cross_entropy_bound,
                proved.explained_cross_entropy_bound,
            ),
        ];
        for (name, claimed, proved) in bounds {
            let proved = proved.unwrap_or(f64::INFINITY);
            if let Some(claimed) = claimed {
                claim(name, claimed, proved, claimed >= proved)?;
            }
        }
        Ok(())
    }
}

/// Reads a certificate, without checking what it says.
///
/// # Errors
/// As [`Certificate::parse`], or if the file cannot be read.
pub fn load(path: impl AsRef<Path>) -> Result<Certificate, CertificateFileError> {
    let path = path.as_ref();
    let read = || Certificate::parse(&std::fs::read(path)?);
    read().map_err(|problem| problem.of(path))
}

/// Writes a certificate; the file appears whole or not at all.
///
/// # Errors
/// If the file cannot be written.
pub fn save(path: impl AsRef<Path>, certificate: &Certificate) -> Result<(), CertificateFileError> {
    let path = path.as_ref();
    file::write_json(path, certificate).map_err(|problem| CertificateProblem::from(problem).of(path))
}

impl CertificateProblem {
    /// The same, of this file.
    pub fn of(self, path: &Path) -> CertificateFileError {
        CertificateFileError {
            path: path.to_owned(),
            problem: Box::new(self),
        }
    }
}
