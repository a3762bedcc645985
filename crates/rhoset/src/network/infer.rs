//! Recovering the group from a network: the multiplication table read off its argmax, and repaired.
//!
//! The labels of a foreign network are unknown, and so is its group; all that there is to go by is which logit is the
//! largest on each of the n^2 inputs. Where the network is wrong, the other entries outvote it: in a group
//! `x y = s^-1 ((s x) y) = (x (y s)) s^-1 = (x s)(s^-1 y)` for every s, so that each entry is told 3n times over by
//! entries elsewhere. The table is replaced by the majority of these until nothing changes.

use ndarray::Array2;
use rayon::prelude::*;

use super::{Folded, evaluate};
use crate::group::name::describe;
use crate::group::{Element, Group, GroupError, Subgroup};

/// The group that a network computes, most of the time.
#[derive(Clone, Debug)]
pub struct InferredGroup {
    /// The group, its elements labelled as the network's logits.
    pub group: Group,
    /// The number of pairs (x, y) whose largest logit is not the group's x y.
    pub repaired: usize,
    /// The rounds of voting that it took; 0 where the argmax was a group's table.
    pub rounds: usize,
}

/// Why no group could be recovered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InferError {
    /// The argmax is right nearly everywhere, for something that is no group.
    #[error(
        "no group can be read off the network's largest logits: {agreement:.1} % of the table is confirmed by the rest \
         of it, and what the rest says is no group ({problem}). Is the network trained? If so, give the table with --table"
    )]
    NotAGroup {
        /// The share of entries, in percent, that voting left unchanged.
        agreement: f64,
        /// The axiom that the voted table breaks.
        problem: GroupError,
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
const ROUNDS: usize = 30;

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
/// `table[[x, y]]` is a claim about x y; all entries are below n.
///
/// # Errors
/// An [`InferError`] where the votes do not lead to a group.
pub fn group_near(table: &Array2<u16>) -> Result<InferredGroup, InferError> {
    let order = table.nrows();
    let name = format!("group of order {order}");
    let given: Vec<u16> = table.iter().copied().collect();
    let mut current = given.clone();
    let mut rounds = 0;
    loop {
        let problem = match Group::from_table(name.as_str(), order, &current) {
            Ok(group) => {
                let name = describe(&group, &Subgroup::whole(&group));
                let group = group.with_name(name);
                let pairs = group.table().iter().zip(&given);
                let repaired = pairs.filter(|&(&Element(right), &said)| right != said).count();
                return Ok(InferredGroup {
                    group,
                    repaired,
                    rounds,
                });
            }
            Err(problem) => problem,
        };
        let voted = vote(order, &current);
        if voted == current || rounds == ROUNDS {
            let kept = voted.iter().zip(&given).filter(|(a, b)| a == b).count();
            return Err(InferError::NotAGroup {
                agreement: 100.0 * kept as f64 / given.len() as f64,
                problem,
            });
        }
        current = voted;
        rounds += 1;
    }
}

/// Replaces every entry by the majority of what the others say of it.
fn vote(order: usize, table: &[u16]) -> Vec<u16> {
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
                for s in 0..order as u16 {
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
