//! A network under verification: every verifier with the explanation that it needs, searched for once, and all timed alike.
//!
//! Commands, pages and studies that compare verifiers run them here, so that they show the same figures.

use std::cell::{Cell, OnceCell};
use std::time::Instant;

use super::cascade::{self, Plan, Tiers};
use super::orbit::OrbitError;
use super::{Verification, Verifier, brute, coset, loss, measure, measure_folding, measure_own, rho_set};
use crate::explain::circuit::{CircuitError, CircuitOptions, Circuits, find_circuits};
use crate::explain::{self, Explanation, IdealisedError, RhoSetExplanation};
use crate::group::Group;
use crate::irrep::Irreps;
use crate::network::{Activation, Folded, Network};

/// Why a verifier could not be run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifierError {
    /// The idealised network cannot be made, or is for relu only.
    #[error(transparent)]
    Idealised(#[from] IdealisedError),
    /// The search for circuits refused.
    #[error(transparent)]
    Circuits(#[from] CircuitError),
    /// The circuits are not this network's.
    #[error(transparent)]
    Orbit(#[from] OrbitError),
}

/// What a verifier proved, and what only those that evaluate logits know besides.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Proved {
    /// The proof and its cost, the folding of the network included.
    #[serde(flatten)]
    pub verification: Verification,
    /// Lower bound on the smallest margin over all inputs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_margin: Option<f64>,
    /// Pairs that are right in float32 as well, whatever the order of operations.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub float32_pairs: Option<usize>,
    /// How many pairs each tier decided, where the verifier has tiers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tiers: Option<Tiers>,
}

impl Proved {
    fn new(verification: Verification, seconds: f64) -> Self {
        Self {
            verification: Verification {
                seconds,
                ..verification
            },
            min_margin: None,
            float32_pairs: None,
            tiers: None,
        }
    }

    fn of(outcome: cascade::Outcome, seconds: f64) -> Self {
        Self {
            tiers: Some(outcome.tiers),
            ..Self::new(outcome.verification, seconds)
        }
    }

    fn with_loss(mut self, loss: &loss::Loss) -> Self {
        self.verification.cross_entropy_bound = Some(loss.cross_entropy_bound);
        self.min_margin = Some(loss.min_margin);
        self.float32_pairs = Some(loss.float32_pairs);
        self
    }
}

/// A network, and what has been found to explain it so far.
pub struct Subject<'a> {
    /// The network as stored.
    pub network: &'a Network,
    /// Its folded form.
    pub folded: &'a Folded,
    /// The group that it multiplies in.
    pub group: &'a Group,
    /// Folded in float32, where `folded` is not.
    single: OnceCell<Folded>,
    /// The seconds and flops of folding in float32 and in float64.
    folding: [OnceCell<(f64, u64)>; 2],
    explanation: OnceCell<Explanation>,
    rho_sets: OnceCell<RhoSetExplanation>,
    circuits: OnceCell<Circuits>,
    searching: Cell<f64>,
}

impl<'a> Subject<'a> {
    /// Nothing is known yet. `folded` must be the network's own.
    pub fn new(network: &'a Network, folded: &'a Folded, group: &'a Group) -> Self {
        Self {
            network,
            folded,
            group,
            single: OnceCell::new(),
            folding: [OnceCell::new(), OnceCell::new()],
            explanation: OnceCell::new(),
            rho_sets: OnceCell::new(),
            circuits: OnceCell::new(),
            searching: Cell::new(0.0),
        }
    }

    /// The same with circuits that are known; none will be searched for.
    #[must_use]
    pub fn with_circuits(self, circuits: Circuits) -> Self {
        Self {
            circuits: OnceCell::from(circuits),
            ..self
        }
    }

    /// Seconds that searching for explanations has taken so far.
    pub fn search_seconds(&self) -> f64 {
        self.searching.get()
    }

    fn searched<T>(&self, search: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let found = search();
        self.searching.set(self.searching.get() + start.elapsed().as_secs_f64());
        found
    }

    /// Irreps, rho-sets and cosets; searched for the first time.
    pub fn explanation(&self, irreps: &Irreps) -> &Explanation {
        self.explanation
            .get_or_init(|| self.searched(|| explain::explain(self.folded, self.group, irreps)))
    }

    /// The idealised network that proves most to the rho-set verifier; searched for the first time.
    ///
    /// # Errors
    /// As [`rho_set::search`].
    pub fn rho_sets(&self, irreps: &Irreps) -> Result<&RhoSetExplanation, IdealisedError> {
        if self.rho_sets.get().is_none() {
            let explanation = self.explanation(irreps);
            let found = self.searched(|| rho_set::search(self.folded, self.group, irreps, explanation))?;
            return Ok(self.rho_sets.get_or_init(|| found));
        }
        Ok(self.rho_sets.get().expect("found before"))
    }

    /// Circuits as orbits; searched for the first time. None for other activations than relu: the tiers that need none are
    /// sound for any activation.
    ///
    /// # Errors
    /// As [`find_circuits`].
    pub fn circuits(&self) -> Result<&Circuits, CircuitError> {
        if self.circuits.get().is_none() {
            let found = match self.network.activation {
                Activation::Relu => {
                    self.searched(|| find_circuits(self.folded, self.group, CircuitOptions::default()))?
                }
                _ => Circuits::none(self.folded),
            };
            return Ok(self.circuits.get_or_init(|| found));
        }
        Ok(self.circuits.get().expect("found before"))
    }

    /// Runs a verifier on the whole thread pool. `irreps` is asked for only where the verifier needs them, and counts as
    /// searching.
    ///
    /// # Errors
    /// That of `irreps`, and [`VerifierError`].
    pub fn run<'i, E: From<VerifierError>>(
        &self,
        verifier: Verifier,
        irreps: impl FnOnce() -> Result<&'i Irreps, E>,
    ) -> Result<Proved, E> {
        let irreps = || self.searched(irreps);
        let proved = match verifier {
            Verifier::Brute => Ok(self.brute()),
            Verifier::RhoSet => self.rho_set(irreps()?).map_err(Into::into),
            Verifier::Coset => self.coset(irreps()?).map_err(Into::into),
            Verifier::Explained => self.explained(irreps()?),
            Verifier::Cascade => self.cascade(),
        };
        let mut proved = proved?;
        // What evaluates logits exactly in the end can do with less to begin with.
        let (seconds, flops) = *match verifier {
            Verifier::Brute | Verifier::Cascade => {
                self.folding[0].get_or_init(|| measure_folding(self.network, Network::fold_single))
            }
            _ => self.folding[1].get_or_init(|| measure_folding(self.network, Network::fold)),
        };
        proved.verification.seconds += seconds;
        proved.verification.flops += flops;
        Ok(proved)
    }

    fn single(&self) -> &Folded {
        self.single.get_or_init(|| self.network.fold_single())
    }

    fn brute(&self) -> Proved {
        let (network, folded, group) = (self.network, self.single(), self.group);
        let (verification, seconds) = measure(|| brute::verify(network, folded, group));
        Proved::new(verification, seconds).with_loss(&loss::evaluate(self.folded, group))
    }

    fn rho_set(&self, irreps: &Irreps) -> Result<Proved, IdealisedError> {
        let (folded, group, explanation) = (self.folded, self.group, self.rho_sets(irreps)?);
        own_time(|| rho_set::verify(folded, group, irreps, explanation))
    }

    fn coset(&self, irreps: &Irreps) -> Result<Proved, IdealisedError> {
        let explanation = self.explanation(irreps);
        let explanation = self.searched(|| explanation.coset_explanation());
        let (folded, group) = (self.folded, self.group);
        own_time(|| coset::verify(folded, group, &explanation))
    }

    fn explained(&self, irreps: &Irreps) -> Result<Proved, VerifierError> {
        let (folded, group, circuits) = (self.folded, self.group, self.circuits()?);
        let (outcome, seconds) = measure(|| cascade::explained(folded, group, circuits, irreps));
        Ok(Proved::of(outcome?, seconds))
    }

    fn cascade(&self) -> Result<Proved, VerifierError> {
        let (network, folded, group, circuits) = (self.network, self.folded, self.group, self.circuits()?);
        let plan = self.searched(|| Plan::new(folded, group, circuits))?;
        let single = self.single();
        let (outcome, seconds) = measure(|| cascade::cascade(network, single, group, circuits, &plan));
        let margins = (network.activation == Activation::Relu)
            .then(|| cascade::orbit_margins(folded, group, circuits))
            .transpose()?;
        let loss = loss::evaluate_beyond(folded, group, margins.as_ref());
        Ok(Proved::of(outcome?, seconds).with_loss(&loss))
    }
}

/// Measures a verifier by the time that it reports, which leaves out the loss bound as brute force's does.
fn own_time<E: Send>(mut verify: impl FnMut() -> Result<Verification, E> + Send) -> Result<Proved, E> {
    let (verification, seconds) = measure_own(|| {
        let verification = verify();
        let seconds = verification.as_ref().map_or(0.0, |verification| verification.seconds);
        (verification, seconds)
    });
    Ok(Proved::new(verification?, seconds))
}
