//! Idealised networks: what a network would be if the rho-set explanation were the whole truth.
//!
//! A circuit is tabulated once, as a template `(phi, psi, gamma)` with `phi(h x) = phi(x)` for h in H,
//! `psi(y k) = psi(y)` for k in K and `gamma(h z k) = gamma(z)`; its neurons are the translates
//! `(phi(g^-1 .), psi(. k), gamma(g^-1 . k))` for the pairs of cosets (gH, kK). The invariances hold exactly, not to
//! rounding: a template stores one number for each coset. So the idealised network is exactly bi-equivariant,
//! `F(g z h | g x, y h) = F(z | x, y)`, as a function over the real numbers, and nothing has to be known of the matrices
//! it came from (`docs/soundness-explanations.md`).

use ndarray::{Array1, Array2, ArrayView1};
use serde::{Deserialize, Serialize};

use super::irrep_sparsity::matrix_coefficient;
use crate::group::{Cosets, Element, Group, Subgroup, SubgroupError};
use crate::irrep::Irreps;
use crate::network::{Activation, Folded, evaluate};

/// What a verifier is told of a network: full circuits of rho-sets, and which neuron is which pair.
///
/// Nothing in it is trusted. Plain data, so that it can be written down beside a proof.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RhoSetExplanation {
    /// The circuits.
    pub circuits: Vec<IdealCircuit>,
    /// For each neuron its place in a circuit, or none: it is then idealised as a constant.
    pub members: Vec<Option<Member>>,
    /// For each neuron the constant nearest to what the circuit leaves of its activation.
    pub offsets: Vec<f64>,
    /// For each neuron the base-2 logarithm of its weight in the Euclidean norm of errors.
    pub weights: Vec<i16>,
}

/// A full circuit: one irrep's functions `b' rho(x) a`, `a' rho(y) c` and `b' rho(z) c`, and their orbit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IdealCircuit {
    /// Index of the irrep in [`Irreps::real`].
    pub irrep: usize,
    /// Vector of length D.
    pub a: Vec<f64>,
    /// Vector of length D, the left member of the circuit's pair at the identity.
    pub b: Vec<f64>,
    /// Vector of length D, the right member.
    pub c: Vec<f64>,
    /// Constant added to the left function.
    pub constant: f64,
    /// Factor of the unembedding.
    pub coefficient: f64,
    /// The subgroup H that fixes b: all its elements.
    pub left_stabiliser: Vec<Element>,
    /// The subgroup K that fixes c: all its elements.
    pub right_stabiliser: Vec<Element>,
}

/// A neuron as a member of a circuit: `l(x) ~ scale phi(left^-1 x)`, `r(y) ~ scale psi(y right)`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Member {
    /// Index of the circuit.
    pub circuit: usize,
    /// g, in the coset gH that stands for the vector `rho(g) b`.
    pub left: Element,
    /// k, in the coset kK that stands for the vector `rho(k) c`.
    pub right: Element,
    /// Positive factor; several neurons may share one pair.
    pub scale: f64,
}

/// What the coset verifier is told of a network: on which cosets its neurons are nearly constant. Nothing in it is trusted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CosetExplanation {
    /// For each neuron all elements of H, whose right cosets `H x` the left function is averaged over, and of K for the
    /// left cosets `y K` of the right function; none where the neuron is not concentrated.
    pub neurons: Vec<Option<(Vec<Element>, Vec<Element>)>>,
}

/// What keeps an explanation from being about a network at all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdealisedError {
    /// An irrep that the group does not have.
    #[error("circuit {circuit} is about irrep {irrep}, but the group has {irreps} real irreps")]
    NoSuchIrrep {
        /// The circuit.
        circuit: usize,
        /// The index given.
        irrep: usize,
        /// The number of irreps.
        irreps: usize,
    },
    /// A vector of the wrong length.
    #[error("circuit {circuit}: vector {vector} has length {length}, its irrep has dimension {dimension}")]
    WrongDimension {
        /// The circuit.
        circuit: usize,
        /// "a", "b" or "c".
        vector: &'static str,
        /// The length given.
        length: usize,
        /// The dimension of the irrep.
        dimension: usize,
    },
    /// A number that is infinite or none.
    #[error("circuit {circuit}: its {what} is not finite")]
    NotFinite {
        /// The circuit.
        circuit: usize,
        /// Which number.
        what: &'static str,
    },
    /// A stabiliser that is no subgroup.
    #[error("circuit {circuit}: the stabiliser of its {side} vector is wrong: {source}")]
    Stabiliser {
        /// The circuit.
        circuit: usize,
        /// "left" or "right".
        side: &'static str,
        /// What is wrong with it.
        source: SubgroupError,
    },
    /// A neuron's cosets are of no subgroup.
    #[error("neuron {neuron}: the subgroup of its {side} cosets is wrong: {source}")]
    Cosets {
        /// The neuron.
        neuron: usize,
        /// "left" or "right": which of the neuron's functions.
        side: &'static str,
        /// What is wrong with it.
        source: SubgroupError,
    },
    /// Lists that do not have one entry per neuron.
    #[error("the explanation is about {described} neurons, the network has {neurons}")]
    WrongNeurons {
        /// The length of the list at fault.
        described: usize,
        /// The number of neurons.
        neurons: usize,
    },
    /// A member of a circuit or of the group that does not exist, or a scale that is not positive.
    #[error("neuron {neuron} is said to be in a circuit, at a group element or at a scale that cannot be: {member:?}")]
    WrongMember {
        /// The neuron.
        neuron: usize,
        /// What is said of it.
        member: Member,
    },
    /// The network is not over this group, or its activation is not relu.
    #[error("{0}")]
    WrongNetwork(String),
}

/// A circuit's three functions, exactly invariant, and the cosets that index its neurons.
#[derive(Clone, Debug)]
pub struct Template {
    /// phi: `[n]`, constant on the right cosets `H x`.
    pub left: Array1<f64>,
    /// psi: `[n]`, constant on the left cosets `y K`.
    pub right: Array1<f64>,
    /// gamma: `[n]`, constant on the double cosets `H z K`; the coefficient is in it.
    pub unembed: Array1<f64>,
    /// The left cosets `g H`.
    pub left_cosets: Cosets,
    /// The left cosets `k K`.
    pub right_cosets: Cosets,
}

impl Template {
    /// The number of pairs of cosets: neurons of the full circuit.
    pub fn pairs(&self) -> usize {
        self.left_cosets.count() * self.right_cosets.count()
    }

    /// The number of the pair (gH, kK).
    pub fn pair(&self, g: Element, k: Element) -> usize {
        self.left_cosets.number(g) * self.right_cosets.count() + self.right_cosets.number(k)
    }

    /// Representatives (g, k) of every pair, in order.
    pub fn representatives(&self) -> impl Iterator<Item = (Element, Element)> + '_ {
        let right = self.right_cosets.representatives();
        (self.left_cosets.representatives().iter()).flat_map(move |&g| right.iter().map(move |&k| (g, k)))
    }
}

impl IdealCircuit {
    /// Tabulates the circuit, averaging over cosets what should be constant on them.
    ///
    /// # Errors
    /// Where a number, a length, the irrep or a stabiliser cannot be. `index` is the circuit's, for the message.
    pub fn tabulate(&self, index: usize, group: &Group, irreps: &Irreps) -> Result<Template, IdealisedError> {
        let circuit = index;
        let irrep = irreps.real().get(self.irrep).ok_or(IdealisedError::NoSuchIrrep {
            circuit,
            irrep: self.irrep,
            irreps: irreps.real().len(),
        })?;
        let dimension = irrep.dimension();
        for (vector, entries) in [("a", &self.a), ("b", &self.b), ("c", &self.c)] {
            if entries.len() != dimension {
                let length = entries.len();
                return Err(IdealisedError::WrongDimension {
                    circuit,
                    vector,
                    length,
                    dimension,
                });
            }
            if entries.iter().any(|t| !t.is_finite()) {
                return Err(IdealisedError::NotFinite { circuit, what: vector });
            }
        }
        for (what, number) in [("constant", self.constant), ("coefficient", self.coefficient)] {
            if !number.is_finite() {
                return Err(IdealisedError::NotFinite { circuit, what });
            }
        }
        let subgroup = |elements: &[Element], side| {
            Subgroup::new(group, elements.iter().copied()).map_err(|source| IdealisedError::Stabiliser {
                circuit,
                side,
                source,
            })
        };
        let h = subgroup(&self.left_stabiliser, "left")?;
        let k = subgroup(&self.right_stabiliser, "right")?;
        let (a, b, c) = (
            ArrayView1::from(&self.a),
            ArrayView1::from(&self.b),
            ArrayView1::from(&self.c),
        );
        let left = matrix_coefficient(irrep.matrices(), b, a) + self.constant;
        let right = matrix_coefficient(irrep.matrices(), a, c);
        let unembed = matrix_coefficient(irrep.matrices(), b, c) * self.coefficient;
        let template = Template {
            left: averaged(&left, &h.right_cosets(group)),
            right: averaged(&right, &k.left_cosets(group)),
            unembed: averaged(&unembed, &h.double_cosets(group, &k)),
            left_cosets: h.left_cosets(group),
            right_cosets: k.left_cosets(group),
        };
        // Finite vectors may still have products that are not.
        let finite = |f: &Array1<f64>| f.iter().all(|t| t.is_finite());
        if finite(&template.left) && finite(&template.right) && finite(&template.unembed) {
            Ok(template)
        } else {
            Err(IdealisedError::NotFinite {
                circuit,
                what: "template",
            })
        }
    }
}

/// Replaces every value by the mean over its coset: the same number, bit for bit, all over a coset.
pub(crate) fn averaged(f: &Array1<f64>, cosets: &Cosets) -> Array1<f64> {
    let mut sums = vec![0.0; cosets.count()];
    let mut sizes = vec![0.0; cosets.count()];
    for (x, &value) in f.iter().enumerate() {
        let coset = cosets.number(Element(x as u16));
        sums[coset] += value;
        sizes[coset] += 1.0;
    }
    Array1::from_shape_fn(f.len(), |x| {
        let coset = cosets.number(Element(x as u16));
        sums[coset] / sizes[coset]
    })
}

/// The idealised network: all pairs of all circuits, a neuron each, without bias.
///
/// # Errors
/// If a circuit cannot be: see [`IdealisedError`].
pub fn idealise(explanation: &RhoSetExplanation, group: &Group, irreps: &Irreps) -> Result<Folded, IdealisedError> {
    let order = group.order();
    let templates = (explanation.circuits.iter().enumerate())
        .map(|(index, circuit)| circuit.tabulate(index, group, irreps))
        .collect::<Result<Vec<_>, _>>()?;
    let neurons = templates.iter().map(Template::pairs).sum();
    let mut network = Folded {
        left: Array2::zeros((order, neurons)),
        right: Array2::zeros((order, neurons)),
        unembed: Array2::zeros((neurons, order)),
        bias: Array1::zeros(order),
        left_error: Array1::zeros(neurons),
        right_error: Array1::zeros(neurons),
        activation: Activation::Relu,
    };
    let pairs = templates
        .iter()
        .flat_map(|t| t.representatives().map(move |pair| (t, pair)));
    for (neuron, (template, (g, k))) in pairs.enumerate() {
        let inverse = group.inv(g);
        for x in group.elements() {
            let moved = group.mul(inverse, x);
            network.left[[x.index(), neuron]] = template.left[moved.index()];
            network.right[[x.index(), neuron]] = template.right[group.mul(x, k).index()];
            network.unembed[[neuron, x.index()]] = template.unembed[group.mul(moved, k).index()];
        }
    }
    Ok(network)
}

/// How well an idealised network agrees with the network, measured on a sample of the inputs. A description, no proof.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Agreement {
    /// Inputs (x, y) looked at: all y for some x.
    pub pairs: usize,
    /// Those on which the network itself is right.
    pub right: usize,
    /// Share of the variance of the network's logits, over z for each input, that the idealised network accounts for:
    /// at most 1, negative where it is worse than nothing; none where the activation is not relu.
    pub r_squared: Option<f64>,
}

impl Agreement {
    /// Rows x that are sampled.
    const ROWS: usize = 8;

    /// Compares the networks. The idealised one is a table of n numbers, so this costs no more than the few rows.
    ///
    /// # Errors
    /// If a circuit cannot be: see [`IdealisedError`].
    pub fn of(
        network: &Folded,
        group: &Group,
        irreps: &Irreps,
        explanation: &RhoSetExplanation,
    ) -> Result<Self, IdealisedError> {
        let ideal = table(explanation, group, irreps)?;
        let ideal_mean = ideal.sum() / ideal.len() as f64;
        let mut answer = Self {
            pairs: 0,
            right: 0,
            r_squared: None,
        };
        let (mut unexplained, mut total) = (0.0, 0.0);
        for x in group.elements().step_by(group.order().div_ceil(Self::ROWS)) {
            let logits = evaluate::logits_of_row(network, x);
            for (y, row) in group.elements().zip(logits.rows()) {
                answer.pairs += 1;
                answer.right += usize::from(evaluate::margin(row, group.mul(x, y)) > 0.0);
                let mean = row.sum() / row.len() as f64;
                let (x_inverse, y_inverse) = (group.inv(x), group.inv(y));
                for (z, logit) in group.elements().zip(row) {
                    let at = group.mul(group.mul(x_inverse, z), y_inverse);
                    let difference = (logit - mean) - (ideal[at.index()] - ideal_mean);
                    unexplained += difference * difference;
                    total += (logit - mean) * (logit - mean);
                }
            }
        }
        if network.activation == Activation::Relu {
            answer.r_squared = Some(if total > 0.0 { 1.0 - unexplained / total } else { 0.0 });
        }
        Ok(answer)
    }
}

/// F with `f^(z | x, y) = F(x^-1 z y^-1)`: all that there is to know of the idealised network, `[n]`.
///
/// # Errors
/// If a circuit cannot be: see [`IdealisedError`].
pub fn table(explanation: &RhoSetExplanation, group: &Group, irreps: &Irreps) -> Result<Array1<f64>, IdealisedError> {
    let mut table = Array1::zeros(group.order());
    for (index, circuit) in explanation.circuits.iter().enumerate() {
        let template = circuit.tabulate(index, group, irreps)?;
        for (g, k) in template.representatives() {
            let inverse = group.inv(g);
            let activation = (template.left[inverse.index()] + template.right[k.index()]).max(0.0);
            if activation > 0.0 {
                for z in group.elements() {
                    table[z.index()] += activation * template.unembed[group.mul(group.mul(inverse, z), k).index()];
                }
            }
        }
    }
    Ok(table)
}
