//! The group: its table, checked to be one, and its actions on cosets.

use anyhow::{Context, Result};

use crate::ball::{Matrix, matrix};
use crate::certificate::Points;

/// A multiplication table that satisfies the axioms.
pub(crate) struct Group<'a> {
    pub(crate) order: usize,
    table: &'a Matrix<u16>,
    pub(crate) inverse: Vec<usize>,
}

impl<'a> Group<'a> {
    pub(crate) fn new(table: &'a Matrix<u16>) -> Result<Self> {
        let order = table.len();
        let elements = || 0..order;
        for (x, row) in table.iter().enumerate() {
            ensure!(row.len() == order, "group.table[{x}]": "{} products, of {order} elements", row.len());
            let beyond = row.iter().position(|&z| usize::from(z) >= order);
            ensure!(beyond.is_none(), "group.table[{x}]": "an entry is not one of 0..{order}");
        }
        let mul = |x: usize, y: usize| usize::from(table[x][y]);
        let neutral = |&e: &usize| elements().all(|x| mul(e, x) == x && mul(x, e) == x);
        let identity = elements().find(neutral).context("group.table: no identity")?;
        let inverse = |x: usize| {
            let found = elements().find(|&y| mul(x, y) == identity);
            found.with_context(|| format!("group.table[{x}]: the identity is missing, so that {x} has no inverse"))
        };
        let inverse = elements().map(inverse).collect::<Result<_>>()?;
        for (x, y) in elements().flat_map(|x| elements().map(move |y| (x, y))) {
            let (xy, row) = (mul(x, y), &table[y]);
            let bad = elements().find(|&z| mul(xy, z) != mul(x, usize::from(row[z])));
            ensure!(bad.is_none(), "group.table": "not associative: ({x} {y}) z is not {x} ({y} z) for z = {bad:?}");
        }
        Ok(Self { order, table, inverse })
    }

    pub(crate) fn mul(&self, x: usize, y: usize) -> usize {
        usize::from(self.table[x][y])
    }
}

/// The action of the group on the left cosets of a subgroup: where x moves every point, by x.
pub(crate) fn action(group: &Group, set: &Points, entry: &str) -> Result<Matrix<usize>> {
    let n = group.order;
    let (mut inside, mut coset) = (vec![false; n], vec![None; n]);
    for (i, &h) in set.subgroup.iter().enumerate() {
        ensure!(h < n && !inside[h], "{entry}.subgroup[{i}]": "{h} is out of range or there twice");
        inside[h] = true;
    }
    // A finite set that is not empty and closed under products is a subgroup.
    let closed = |&h: &usize| set.subgroup.iter().all(|&k| inside[group.mul(h, k)]);
    let is_subgroup = !set.subgroup.is_empty() && set.subgroup.iter().all(closed);
    ensure!(is_subgroup, "{entry}.subgroup": "not a subgroup: empty, or not closed under products");
    for (i, &g) in set.points.iter().enumerate() {
        let new = g < n && coset[g].is_none();
        ensure!(new, "{entry}.points[{i}]": "{g} is out of range or in the coset of an earlier point");
        set.subgroup.iter().for_each(|&h| coset[group.mul(g, h)] = Some(i));
    }
    let coset: Option<Vec<usize>> = coset.into_iter().collect();
    let coset = coset.with_context(|| format!("{entry}.points: some coset is missing"))?;
    Ok(matrix(n, set.points.len(), |x, i| coset[group.mul(x, set.points[i])]))
}
