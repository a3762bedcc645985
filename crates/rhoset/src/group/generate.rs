//! Multiplication tables from anything that can be multiplied: permutations, matrices, pairs.

use std::collections::HashMap;
use std::hash::Hash;

use super::{Group, GroupError};

impl Group {
    /// The group with elements `0..order` and `product(x, y) = x * y`, checked as by [`Group::from_table`].
    ///
    /// # Errors
    /// [`GroupError`] if the products do not make a group.
    pub fn from_product(
        name: impl Into<String>,
        order: usize,
        product: impl Fn(usize, usize) -> usize,
    ) -> Result<Self, GroupError> {
        too_large(order)?;
        let mut table = Vec::with_capacity(order * order);
        for x in 0..order {
            table.extend((0..order).map(|y| u16::try_from(product(x, y)).unwrap_or(u16::MAX)));
        }
        Self::from_table(name, order, &table)
    }

    /// The group of these distinct `values` under an associative `multiply`, numbered as given.
    ///
    /// Multiplies n * generators times, not n^2: the table is filled by walking the Cayley graph.
    ///
    /// # Errors
    /// [`GroupError`] if the values are not closed or are no group.
    pub fn from_values<T: Eq + Hash>(
        name: impl Into<String>,
        values: &[T],
        multiply: impl Fn(&T, &T) -> T,
    ) -> Result<Self, GroupError> {
        let order = values.len();
        too_large(order)?;
        let number: HashMap<&T, u16> = values.iter().zip(0..).collect();
        let Some(identity) = (values.iter()).position(|e| values.first().is_some_and(|x| multiply(e, x) == *x)) else {
            return Err(if order == 0 {
                GroupError::Empty
            } else {
                GroupError::NoIdentity
            });
        };
        // Breadth first from the identity: `walk` lists (y, parent of y, generator) with y = parent * generator.
        let mut right: Vec<Vec<u16>> = Vec::new();
        let mut reached = vec![false; order];
        let mut walk: Vec<(u16, u16, usize)> = Vec::new();
        for candidate in 0..order {
            if reached[candidate] || candidate == identity {
                continue;
            }
            let times_candidate = values.iter().enumerate().map(|(x, value)| {
                let product = multiply(value, &values[candidate]);
                (number.get(&product).copied()).ok_or(GroupError::OutOfRange {
                    x,
                    y: candidate,
                    product: order,
                    order,
                })
            });
            right.push(times_candidate.collect::<Result<_, _>>()?);
            reached.fill(false);
            reached[identity] = true;
            walk.clear();
            let mut queue = vec![identity as u16];
            let mut next = 0;
            while next < queue.len() {
                for (generator, right) in right.iter().enumerate() {
                    let y = right[queue[next] as usize];
                    if !std::mem::replace(&mut reached[y as usize], true) {
                        walk.push((y, queue[next], generator));
                        queue.push(y);
                    }
                }
                next += 1;
            }
        }
        let mut table = vec![0u16; order * order];
        for (x, row) in table.chunks_exact_mut(order).enumerate() {
            row[identity] = x as u16;
            for &(y, parent, generator) in &walk {
                row[y as usize] = right[generator][row[parent as usize] as usize];
            }
        }
        Self::from_table(name, order, &table)
    }

    /// The group that `generators` generate under an associative `multiply`, its elements sorted.
    ///
    /// # Errors
    /// [`GroupError::TooLarge`] as soon as there are more elements than [`Group::LARGEST`]; its `order` is then only a
    /// lower bound.
    pub fn from_generators<T: Ord + Eq + Hash + Clone>(
        name: impl Into<String>,
        identity: T,
        generators: &[T],
        multiply: impl Fn(&T, &T) -> T,
    ) -> Result<(Self, Vec<T>), GroupError> {
        let mut seen = std::collections::HashSet::from([identity.clone()]);
        let mut values = vec![identity];
        let mut active: Vec<&T> = Vec::new();
        for g in generators {
            if seen.contains(g) {
                continue;
            }
            active.push(g);
            let closed = values.len();
            let mut next = 0;
            while next < values.len() {
                let from = if next < closed { active.len() - 1 } else { 0 };
                for &h in &active[from..] {
                    let product = multiply(&values[next], h);
                    if seen.insert(product.clone()) {
                        values.push(product);
                        too_large(values.len())?;
                    }
                }
                next += 1;
            }
        }
        values.sort_unstable();
        let group = Self::from_values(name, &values, multiply)?;
        Ok((group, values))
    }

    /// The name of every element, in order.
    pub(crate) fn names(&self) -> Vec<String> {
        self.elements().map(|x| self.element_name(x)).collect()
    }
}

/// Refuses orders beyond [`Group::LARGEST`] before any memory is taken for them.
pub(crate) fn too_large(order: usize) -> Result<(), GroupError> {
    if order > Group::LARGEST {
        let largest = Group::LARGEST;
        return Err(GroupError::TooLarge { order, largest });
    }
    Ok(())
}

/// Writes a word in named generators: `word(&[("r", 2), ("s", 1)])` is `r^2 s`, the empty word `1`.
pub(crate) fn word(letters: &[(&str, usize)]) -> String {
    let powers: Vec<String> = (letters.iter())
        .filter(|(_, power)| *power > 0)
        .map(|&(letter, power)| {
            if power == 1 {
                letter.to_string()
            } else {
                format!("{letter}^{power}")
            }
        })
        .collect();
    if powers.is_empty() {
        "1".into()
    } else {
        powers.join(" ")
    }
}
