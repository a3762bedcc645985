//! Recovering the group from a network: the multiplication table read off its argmax, and repaired.
//!
//! The labels of a foreign network are unknown, and so is its group; all that there is to go by is which logit is the
//! largest on each of the n^2 inputs. Where the network is wrong, the other entries outvote it: in a group
//! `x y = s^-1 ((s x) y) = (x (y s)) s^-1 = (x s)(s^-1 y)` for every s, so that each entry is told 3n times over by
//! entries elsewhere. The table is replaced by the majority of these until nothing changes.

use ndarray::Array2;
use rayon::prelude::*;

use super::{Folded, evaluate};
use crate::group::isomorphism::isomorphism;
use crate::group::name::identify;
use crate::group::{Element, Group, GroupError, spec};

/// The group that a network computes, most of the time.
#[derive(Clone, Debug)]
pub struct InferredGroup {
    /// The group, its elements labelled as the network's logits. Its name is recognised from the table, and so are its
    /// elements' names, by way of `isomorphism`.
    pub group: Group,
    /// For each element, its image in the group that the name stands for ([`spec::parse`]); none where the group has no
    /// name that is a spec.
    pub isomorphism: Option<Vec<Element>>,
    /// The number of pairs (x, y) whose largest logit is not the group's x y.
    pub repaired: usize,
    /// The rounds of voting that it took; 0 where the argmax was a group's table.
    pub rounds: usize,
}

/// Why no group could be recovered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InferError {
    /// The votes settle on something that is no group, or on nothing.
    #[error(
        "no group can be read off the network's largest logits: {kept} of {pairs} are confirmed by the others, and after \
         {rounds} rounds of voting the table is still no group ({problem}). If the network is trained, give its table \
         with --table"
    )]
    NotAGroup {
        /// The entries that voting left as they were.
        kept: usize,
        /// The number of entries, n^2.
        pairs: usize,
        /// The rounds of voting.
        rounds: usize,
        /// The axiom that the voted table breaks.
        problem: GroupError,
    },
    /// Two labels could be swapped without the network telling the difference.
    #[error(
        "the network does not determine its group: it agrees with a {name} on {agreeing} of {pairs} pairs, but as well \
         if the labels {first} and {second} are swapped; give its table with --table"
    )]
    Ambiguous {
        /// The group's name.
        name: String,
        /// The pairs on which the network agrees with it.
        agreeing: usize,
        /// The number of pairs, n^2.
        pairs: usize,
        /// A label.
        first: usize,
        /// The other label.
        second: usize,
    },
    /// Too few entries agree with the group for it to be more than chance.
    #[error(
        "the network's largest logits agree with a {name} on {agreeing} of {pairs} pairs only, which could be chance; if \
         that is what it computes, give its table with --table"
    )]
    Chance {
        /// The group's name.
        name: String,
        /// The pairs on which the network agrees with it.
        agreeing: usize,
        /// The number of pairs, n^2.
        pairs: usize,
    },
    /// More logits than a group may have elements.
    #[error("the network has {order} logits; the largest order supported is {largest}")]
    TooLarge {
        /// The number of logits.
        order: usize,
        /// The largest order supported.
        largest: usize,
    },
}

/// Rounds of voting before giving up; those that succeed take a handful.
const ROUNDS: usize = 16;

/// How many s are heard of each entry and round.
const VOTERS: usize = 240;

/// No such element.
const NONE: u16 = u16::MAX;

/// Recovers the group that a network multiplies in, from the largest logit of every input.
///
/// Costs 2 m n^3 flops for the logits, and 3 n^3 table look-ups for each round of voting where the network is wrong
/// somewhere.
///
/// # Errors
/// An [`InferError`] where the votes do not lead to a group.
pub fn infer_group(folded: &Folded) -> Result<InferredGroup, InferError> {
    if folded.order() > Group::LARGEST {
        return Err(InferError::TooLarge {
            order: folded.order(),
            largest: Group::LARGEST,
        });
    }
    group_near(&evaluate::argmax(folded))
}

/// The group whose table agrees with `table` but for wrong entries.
///
/// `table[[x, y]]` is a claim about x y; all entries are below n. Where entries were wrong, the group found must be
/// what the right ones determine: no swap of two labels may fit as well, and no random table is likely (1 in 100) to
/// fit any relabelling of the group as well as this one does.
///
/// # Errors
/// An [`InferError`] where the votes do not lead to a group, or do not determine it.
///
/// ```
/// use ndarray::array;
/// use rhoset::network::infer::group_near;
/// // C5 with one wrong entry, and its labels in disorder: the identity is 3.
/// let table = array![[4, 2, 3, 0, 1], [2, 0, 4, 1, 1], [3, 4, 1, 2, 0], [0, 1, 2, 3, 4], [1, 3, 0, 4, 2]];
/// let inferred = group_near(&table)?;
/// assert_eq!(inferred.repaired, 1);
/// assert_eq!(inferred.group.identity().index(), 3);
/// # Ok::<(), rhoset::network::infer::InferError>(())
/// ```
pub fn group_near(table: &Array2<u16>) -> Result<InferredGroup, InferError> {
    let order = table.nrows();
    let given: Vec<u16> = table.iter().copied().collect();
    let mut current = given.clone();
    let mut rounds = 0;
    loop {
        let problem = match Group::from_table("", order, &current) {
            Ok(group) => return determined(group, &given, rounds),
            Err(problem) => problem,
        };
        let voted = vote(order, &current, rounds);
        let settled = voted == current && order <= VOTERS;
        if settled || rounds == ROUNDS {
            return Err(InferError::NotAGroup {
                kept: voted.iter().zip(&given).filter(|(a, b)| a == b).count(),
                pairs: given.len(),
                rounds,
                problem,
            });
        }
        current = voted;
        rounds += 1;
    }
}

/// Checks that the group is the one that the given entries determine.
fn determined(mut group: Group, given: &[u16], rounds: usize) -> Result<InferredGroup, InferError> {
    let pairs = given.len();
    let agreeing = |group: &Group| group.table().iter().zip(given).filter(|(a, b)| a.0 == **b).count();
    let name = identify(&group);
    let mut agree = agreeing(&group);
    // Each swap gains at least one entry, so that this ends.
    while agree < pairs
        && let Some((first, second, gain)) = best_swap(&group, given)
    {
        if gain == 0 {
            return Err(InferError::Ambiguous {
                name,
                agreeing: agree,
                pairs,
                first,
                second,
            });
        }
        group = swapped(&group, first, second);
        agree = agreeing(&group);
    }
    if agree < pairs && chance(group.order(), agree) > 0.01 {
        return Err(InferError::Chance {
            name,
            agreeing: agree,
            pairs,
        });
    }
    let repaired = pairs - agree;
    let mut group = group.with_name(name);
    let named = spec::parse(group.name()).ok();
    let isomorphism = named.as_ref().and_then(|named| isomorphism(&group, named));
    if let (Some(named), Some(images)) = (&named, &isomorphism) {
        group = group.with_element_names(images.iter().map(|&x| named.element_name(x)).collect());
    }
    Ok(InferredGroup {
        group,
        isomorphism,
        repaired,
        rounds,
    })
}

/// Bound on the chance that a table of n^2 random entries agrees with some relabelling of a group in at least
/// `agree` of them: `n! * C(n^2, agree) * n^-agree`.
fn chance(order: usize, agree: usize) -> f64 {
    let (n, k) = (order as f64, agree as f64);
    let factorial = |n: f64| libm::lgamma(n + 1.0);
    let choices = factorial(n * n) - factorial(k) - factorial(n * n - k);
    (factorial(n) + choices - k * n.ln()).exp()
}

/// The swap of two labels that gains most agreement with `given`, and by how many entries; none where all lose.
///
/// A swap that is an automorphism changes nothing and does not count.
fn best_swap(group: &Group, given: &[u16]) -> Option<(usize, usize, i64)> {
    let order = group.order() as u16;
    let gains = (0..order).into_par_iter().filter_map(|a| {
        (a + 1..order)
            .filter_map(|b| Some((swap_gain(group, given, Element(a), Element(b))?, a, b)))
            .max_by_key(|&(gain, a, b)| (gain, std::cmp::Reverse((a, b))))
    });
    let best = gains.max_by_key(|&(gain, a, b)| (gain, std::cmp::Reverse((a, b))));
    best.filter(|&(gain, ..)| gain >= 0)
        .map(|(gain, a, b)| (a.into(), b.into(), gain))
}

/// How many more entries agree with `given` once the labels a and b are swapped; none where the table stays the same.
fn swap_gain(group: &Group, given: &[u16], a: Element, b: Element) -> Option<i64> {
    let swap = |x: Element| {
        if x == a {
            b
        } else if x == b {
            a
        } else {
            x
        }
    };
    let (mut gain, mut changed) = (0, false);
    let mut compare = |x: Element, y: Element| {
        let (old, new) = (group.mul(x, y), swap(group.mul(swap(x), swap(y))));
        let said = given[x.index() * group.order() + y.index()];
        changed |= old != new;
        gain += i64::from(new.0 == said) - i64::from(old.0 == said);
    };
    for x in group.elements() {
        if x == a || x == b {
            group.elements().for_each(|y| compare(x, y));
        } else {
            // Only the columns a and b, and the entries a and b, change.
            let inverse = group.inv(x);
            let (to_a, to_b) = (group.mul(inverse, a), group.mul(inverse, b));
            compare(x, a);
            compare(x, b);
            for y in [to_a, to_b].into_iter().filter(|&y| y != a && y != b) {
                compare(x, y);
            }
        }
    }
    changed.then_some(gain)
}

/// The same group with two labels swapped.
fn swapped(group: &Group, a: usize, b: usize) -> Group {
    let swap = |x: usize| {
        if x == a {
            b
        } else if x == b {
            a
        } else {
            x
        }
    };
    let order = group.order();
    let mut table = vec![0; order * order];
    for x in 0..order {
        for y in 0..order {
            let product = group.mul(Element(swap(x) as u16), Element(swap(y) as u16));
            table[x * order + y] = swap(product.index()) as u16;
        }
    }
    Group::from_table("", order, &table).expect("a relabelled group is a group")
}

/// Replaces every entry by the majority of what the others say of it.
///
/// Where there are many, a sample of the s is heard, another one each round: that keeps a round at O(n^2).
fn vote(order: usize, table: &[u16], round: usize) -> Vec<u16> {
    let step = order.div_ceil(VOTERS);
    let at = |x: u16, y: u16| table[x as usize * order + y as usize];
    // left[s][w] is the z with s z = w, right[s][w] the z with z s = w, where there is just one.
    let left = divisions(order, at);
    let right = divisions(order, |s, z| at(z, s));
    let identity = identity(order, table);
    let inverses: Vec<u16> = (0..order).map(|s| left[s * order + identity]).collect();
    let rows: Vec<Vec<u16>> = (0..order as u16)
        .into_par_iter()
        .map(|x| {
            let mut row = Vec::with_capacity(order);
            let mut votes = vec![0_u32; order];
            for y in 0..order as u16 {
                votes.fill(0);
                // The entry's own vote settles ties.
                let own = at(x, y);
                votes[own as usize] = 1;
                for s in (round % step..order).step_by(step) {
                    let s = s as u16;
                    let from_left = left[s as usize * order + at(at(s, x), y) as usize];
                    let from_right = right[s as usize * order + at(x, at(y, s)) as usize];
                    let inverse = inverses[s as usize];
                    let across = if inverse == NONE {
                        NONE
                    } else {
                        at(at(x, s), at(inverse, y))
                    };
                    for vote in [from_left, from_right, across] {
                        if vote != NONE {
                            votes[vote as usize] += 2;
                        }
                    }
                }
                let mut best = own;
                for (z, &count) in votes.iter().enumerate() {
                    if count > votes[best as usize] {
                        best = z as u16;
                    }
                }
                row.push(best);
            }
            row
        })
        .collect();
    rows.concat()
}

/// For each s and w the one z with `product(s, z) = w`, [`NONE`] where there are none or several.
fn divisions(order: usize, product: impl Fn(u16, u16) -> u16) -> Vec<u16> {
    let mut quotients = vec![NONE; order * order];
    let mut counts = vec![0_u16; order];
    for s in 0..order as u16 {
        counts.fill(0);
        let row = &mut quotients[s as usize * order..][..order];
        for z in 0..order as u16 {
            let w = product(s, z) as usize;
            counts[w] += 1;
            row[w] = if counts[w] == 1 { z } else { NONE };
        }
    }
    quotients
}

/// The element whose row and column are most nearly the identity permutation.
fn identity(order: usize, table: &[u16]) -> usize {
    let fixed = |e: &usize| {
        let row = (0..order).filter(|&y| table[e * order + y] as usize == y).count();
        let column = (0..order).filter(|&x| table[x * order + e] as usize == x).count();
        row + column
    };
    (0..order).max_by_key(fixed).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;
    use rand::seq::SliceRandom;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::group::spec;
    use crate::network::file;

    /// The group's table with its labels in disorder, `wrong` of the entries replaced by random ones.
    fn disturbed(group: &Group, wrong: f64, seed: u64) -> (Array2<u16>, Group) {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let order = group.order();
        let mut labels: Vec<u16> = (0..order as u16).collect();
        labels.shuffle(&mut random);
        let mut table = Array2::zeros((order, order));
        for x in group.elements() {
            for y in group.elements() {
                let at = [labels[x.index()] as usize, labels[y.index()] as usize];
                table[at] = labels[group.mul(x, y).index()];
            }
        }
        let exact = Group::from_table("", order, table.as_slice().expect("contiguous")).expect("a group");
        for entry in &mut table {
            if random.random_bool(wrong) {
                *entry = random.random_range(0..order as u16);
            }
        }
        (table, exact)
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(40) })]

        #[test]
        fn group_is_recovered_from_a_table_with_a_quarter_of_it_random(
            spec in prop::sample::select(vec!["S4", "A5", "D30", "C41", "C2^5", "C11:C5", "Q8xC3", "SL(2,3)", "AGL(1,7)"]),
            seed: u64,
        ) {
            let (table, exact) = disturbed(&spec::parse(spec).unwrap(), 0.25, seed);
            let inferred = group_near(&table).unwrap();
            prop_assert_eq!(&inferred.group, &exact);
            let wrong = table.iter().zip(exact.table()).filter(|(a, b)| **a != b.0).count();
            prop_assert_eq!(inferred.repaired, wrong);
            let named = spec::parse(inferred.group.name()).unwrap();
            let images = inferred.isomorphism.unwrap();
            for x in exact.elements() {
                for y in exact.elements() {
                    let product = named.mul(images[x.index()], images[y.index()]);
                    prop_assert_eq!(images[exact.mul(x, y).index()], product);
                }
            }
        }

        #[test]
        fn random_table_is_no_group(order in 2_usize..40, seed: u64) {
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            let table = Array2::from_shape_fn((order, order), |_| random.random_range(0..order as u16));
            let exact = Group::from_table("", order, table.as_slice().unwrap()).is_ok();
            prop_assert!(exact || group_near(&table).is_err());
        }
    }

    #[test]
    fn group_of_120_elements_is_recovered_from_two_fifths_of_its_table() {
        let (table, exact) = disturbed(&spec::parse("S5").unwrap(), 0.6, 1);
        let inferred = group_near(&table).unwrap();
        assert_eq!(inferred.group, exact);
        assert!(inferred.rounds < ROUNDS / 2, "{} rounds", inferred.rounds);
    }

    #[test]
    fn two_labels_that_the_network_never_tells_apart_are_reported() {
        // Where 3 and 4 are involved, the table says nothing.
        let (mut table, exact) = disturbed(&spec::parse("S4").unwrap(), 0.0, 5);
        for x in 0..24 {
            for y in 0..24 {
                if [x, y, table[[x, y]] as usize].iter().any(|z| [3, 4].contains(z)) {
                    table[[x, y]] = 20;
                }
            }
        }
        assert_ne!(exact.identity().index(), 20);
        let problem = group_near(&table).unwrap_err();
        assert!(
            matches!(problem, InferError::Ambiguous { .. } | InferError::NotAGroup { .. }),
            "{problem}"
        );
    }

    #[test]
    fn constant_network_is_no_group() {
        let problem = group_near(&Array2::from_elem((6, 6), 2)).unwrap_err();
        assert!(matches!(problem, InferError::NotAGroup { .. }), "{problem}");
    }

    #[test]
    fn trivial_group_is_a_group() {
        assert_eq!(group_near(&Array2::zeros((1, 1))).unwrap().group.order(), 1);
    }

    #[test]
    fn released_networks_give_their_groups_however_wrong_they_are() {
        let released = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/networks/released");
        let Ok(expected) = std::fs::read_to_string(released.join("expected.json")) else {
            eprintln!("skipped: the released networks are not beside the checkout");
            return;
        };
        let expected: serde_json::Value = serde_json::from_str(&expected).unwrap();
        let mut networks = 0;
        for (name, facts) in expected.as_object().unwrap() {
            let (group, table) = match facts["group"].as_str().unwrap() {
                "S6" => continue, // four seconds of its own; the command line's tests read it
                group => {
                    let table = released.join(format!("table-{group}.safetensors"));
                    (group, spec::Spec::Table(table).build())
                }
            };
            let [loaded] = file::load(released.join(format!("{name}.pt")))
                .unwrap()
                .try_into()
                .unwrap();
            let folded = loaded.network.fold();
            let inferred = infer_group(&folded).unwrap_or_else(|problem| panic!("{name}: {problem}"));
            eprintln!("{name}: {} wrong, {} rounds", inferred.repaired, inferred.rounds);
            let evaluation = evaluate::Evaluation::of(&folded, &inferred.group);
            assert_eq!(evaluation.correct as u64, facts["correct"].as_u64().unwrap(), "{name}");
            assert!(
                (evaluation.min_margin - facts["min_margin"].as_f64().unwrap()).abs() < 1e-5,
                "{name}"
            );
            let loss = facts["cross_entropy"].as_f64().unwrap();
            assert!((evaluation.cross_entropy - loss).abs() < 1e-5 * loss, "{name}");
            assert_eq!(inferred.group.name(), group, "{name}");
            if let Ok(table) = table {
                assert_eq!(inferred.group, table, "{name}");
            }
            networks += 1;
        }
        assert!(networks >= 20);
    }
}
