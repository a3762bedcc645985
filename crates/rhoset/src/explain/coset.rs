//! Coset concentration: the largest subgroups on whose cosets a neuron is nearly constant.
//!
//! A function f is constant on the right cosets `H x` exactly when H lies in `{h : f(h x) = f(x) for all x}`. So the
//! subgroup is read off the function's own approximate stabiliser, by its autocorrelation; subgroups are never
//! enumerated. Stander et al. 2024; Wu et al. 2025, section 5.

use ndarray::{Array1, ArrayView1};

use crate::group::{Element, Group, Subgroup};

/// The share of a function's variance that averaging over a stabiliser may cost.
pub const TOLERANCE: f64 = 0.1;

/// A subgroup on whose cosets a function is nearly constant.
#[derive(Clone, Debug)]
pub struct CosetConcentration {
    /// The subgroup; the trivial one where the function is concentrated on no cosets.
    pub subgroup: Subgroup,
    /// Share of the variance that is left after averaging over the cosets: 1 is exactly constant on each.
    pub share: f64,
}

/// The largest subgroup that nearly fixes a vector, from `similarity[g] = <g v, v> / <v, v>`.
///
/// For a subgroup H the mean of `similarity` over H is `|P v|^2 / |v|^2`, where P projects onto the vectors that H fixes.
/// Hence, if that is at least `1 - tolerance`, every h in H has similarity at least `1 - 2 tolerance`: only such elements
/// are tried, the most similar first, each added with all that it generates as long as the projection stays good.
pub fn approximate_stabiliser(group: &Group, similarity: &[f64], tolerance: f64) -> Subgroup {
    let least = 1.0 - 2.0 * tolerance;
    let mut candidates: Vec<Element> = group.elements().filter(|g| similarity[g.index()] >= least).collect();
    candidates.sort_by(|g, h| similarity[h.index()].total_cmp(&similarity[g.index()]));
    let mut stabiliser = Subgroup::trivial(group);
    for g in candidates {
        if stabiliser.contains(g) {
            continue;
        }
        // A cheap refusal first: the powers of g must be similar too.
        let mut power = g;
        while power != group.identity() && similarity[power.index()] >= least {
            power = group.mul(power, g);
        }
        if power != group.identity() {
            continue;
        }
        let extended = stabiliser.extended(group, &[g]);
        if projection(&extended, similarity) >= 1.0 - tolerance {
            stabiliser = extended;
        }
    }
    stabiliser
}

/// `|P v|^2 / |v|^2` for the projection P onto what `subgroup` fixes.
pub(crate) fn projection(subgroup: &Subgroup, similarity: &[f64]) -> f64 {
    let sum: f64 = subgroup.elements().iter().map(|h| similarity[h.index()]).sum();
    sum / subgroup.order() as f64
}

/// The right cosets `H x` on which `f` (one value per element) is nearly constant.
pub fn right_cosets(group: &Group, f: ArrayView1<f64>) -> CosetConcentration {
    concentration(group, f, |h, x| group.mul(h, x))
}

/// The left cosets `x K` on which `f` (one value per element) is nearly constant.
pub fn left_cosets(group: &Group, f: ArrayView1<f64>) -> CosetConcentration {
    concentration(group, f, |k, x| group.mul(x, k))
}

fn concentration(group: &Group, f: ArrayView1<f64>, act: impl Fn(Element, Element) -> Element) -> CosetConcentration {
    let centred: Array1<f64> = &f - f.sum() / f.len().max(1) as f64;
    let size = centred.dot(&centred);
    if size.is_nan() || size <= 1e-20 * f.dot(&f) {
        // A constant is constant on the one coset of everything.
        let subgroup = Subgroup::whole(group);
        return CosetConcentration { subgroup, share: 1.0 };
    }
    let similarity: Vec<f64> = (group.elements())
        .map(|h| {
            let product = group
                .elements()
                .map(|x| centred[act(h, x).index()] * centred[x.index()]);
            product.sum::<f64>() / size
        })
        .collect();
    let subgroup = approximate_stabiliser(group, &similarity, TOLERANCE);
    let share = projection(&subgroup, &similarity);
    CosetConcentration { subgroup, share }
}
