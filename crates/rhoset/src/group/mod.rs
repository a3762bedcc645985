//! Finite groups, given by their multiplication tables.
//!
//! A [`Group`] is checked to be one when it is made, so that no later function has to doubt it. Elements are
//! `0..n`; `table[x][y]` is the product `x * y`; permutations compose as `(x * y)(i) = x(y(i))`.

pub mod action;
pub mod character;
pub(crate) mod classes;
mod element_set;
pub mod family;
mod field;
pub mod gap;
mod generate;
pub mod isomorphism;
pub mod lattice;
mod linear;
pub mod name;
pub mod permutation;
pub mod product;
pub mod spec;
mod subgroup;
pub mod table;

pub use action::{Action, ActionError};
pub use classes::{ConjugacyClass, ConjugacyClasses};
pub use spec::{Spec, SpecError};
pub use subgroup::{Cosets, Subgroup, SubgroupError};

use std::fmt;

/// An element of a group: its index in `0..order`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[repr(transparent)]
pub struct Element(pub u16);

impl Element {
    /// The index of the element, for looking into arrays.
    #[inline]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Which axiom a table breaks, and where.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum GroupError {
    /// There are no elements.
    #[error("a group has at least one element, this table has none")]
    Empty,
    /// More elements than an [`Element`] can name.
    #[error("the group has order {order}; the largest order supported is {largest}")]
    TooLarge {
        /// The order asked for.
        order: usize,
        /// The largest order supported.
        largest: usize,
    },
    /// The table is not square.
    #[error("the table has {entries} entries, which is not {order} x {order}")]
    NotSquare {
        /// The number of rows.
        order: usize,
        /// The number of entries found.
        entries: usize,
    },
    /// A product lies outside the group.
    #[error("not closed: {x} * {y} = {product}, but the elements are 0..{order}")]
    OutOfRange {
        /// Left factor.
        x: usize,
        /// Right factor.
        y: usize,
        /// The entry of the table.
        product: usize,
        /// The number of elements.
        order: usize,
    },
    /// No element is a two-sided identity.
    #[error("no identity: no element e has e * x = x = x * e for every x")]
    NoIdentity,
    /// A row or a column repeats an element, so that inverses do not exist.
    #[error("no cancellation: {first} and {second} give the same product {product} with {fixed} on the {side}")]
    NotLatin {
        /// The factor that is kept.
        fixed: usize,
        /// The side on which it stands: "left" or "right".
        side: &'static str,
        /// One other factor.
        first: usize,
        /// The other factor with the same product.
        second: usize,
        /// The product of both.
        product: usize,
    },
    /// Three elements do not associate.
    #[error("not associative: ({x} * {y}) * {z} = {left}, but {x} * ({y} * {z}) = {right}")]
    NotAssociative {
        /// First factor.
        x: usize,
        /// Second factor.
        y: usize,
        /// Third factor.
        z: usize,
        /// `(x * y) * z`.
        left: usize,
        /// `x * (y * z)`.
        right: usize,
    },
}

/// A finite group of order up to [`Group::LARGEST`], with its whole multiplication table.
#[derive(Clone, Debug)]
pub struct Group {
    name: String,
    order: usize,
    table: Vec<Element>,
    inverses: Vec<Element>,
    identity: Element,
    generators: Vec<Element>,
    element_names: Option<Vec<String>>,
}

impl PartialEq for Group {
    /// Equal as tables: same elements, same products. Names do not count.
    fn eq(&self, other: &Self) -> bool {
        self.order == other.order && self.table == other.table
    }
}

impl Group {
    /// The largest order supported: an [`Element`] is 16 bits wide, and a table of this order takes 200 MB.
    pub const LARGEST: usize = 10_000;

    /// Makes a group from its table, row by row (`table[x * order + y] = x * y`), checking every axiom.
    ///
    /// Costs O(n^2 * generators): closure, identity, cancellation, then Light's test of associativity on generators
    /// (Clifford and Preston 1961, section 1.2).
    ///
    /// # Errors
    /// A [`GroupError`] naming the axiom and the elements that break it.
    ///
    /// ```
    /// use rhoset::group::{Element, Group};
    /// let c2 = Group::from_table("C2", 2, &[0, 1, 1, 0])?;
    /// assert_eq!(c2.mul(Element(1), Element(1)), c2.identity());
    /// assert!(Group::from_table("no group", 2, &[0, 1, 1, 1]).is_err());
    /// # Ok::<(), rhoset::group::GroupError>(())
    /// ```
    pub fn from_table(name: impl Into<String>, order: usize, table: &[u16]) -> Result<Self, GroupError> {
        if order == 0 {
            return Err(GroupError::Empty);
        }
        if order > Self::LARGEST {
            return Err(GroupError::TooLarge {
                order,
                largest: Self::LARGEST,
            });
        }
        if table.len() != order * order {
            return Err(GroupError::NotSquare {
                order,
                entries: table.len(),
            });
        }
        let at = |x: usize, y: usize| table[x * order + y] as usize;
        if let Some(i) = table.iter().position(|&p| p as usize >= order) {
            return Err(GroupError::OutOfRange {
                x: i / order,
                y: i % order,
                product: table[i] as usize,
                order,
            });
        }
        let identity = (0..order)
            .find(|&e| (0..order).all(|x| at(e, x) == x && at(x, e) == x))
            .ok_or(GroupError::NoIdentity)?;
        check_cancellation(order, "left", at)?;
        check_cancellation(order, "right", |fixed, other| at(other, fixed))?;
        let generators = generating_set(order, identity, &at);
        // Light's test: (x * g) * y = x * (g * y) for generators g suffices, since the g that satisfy it are closed
        // under products.
        for &g in &generators {
            for x in 0..order {
                let xg = at(x, g);
                if let Some(y) = (0..order).find(|&y| at(xg, y) != at(x, at(g, y))) {
                    return Err(GroupError::NotAssociative {
                        x,
                        y: g,
                        z: y,
                        left: at(xg, y),
                        right: at(x, at(g, y)),
                    });
                }
            }
        }
        let mut inverses = vec![Element(0); order];
        for (x, inverse) in inverses.iter_mut().enumerate() {
            let row = &table[x * order..(x + 1) * order];
            *inverse = Element(
                row.iter()
                    .position(|&p| p as usize == identity)
                    .expect("rows are permutations") as u16,
            );
        }
        Ok(Self {
            name: name.into(),
            order,
            table: table.iter().map(|&p| Element(p)).collect(),
            inverses,
            identity: Element(identity as u16),
            generators: generators.into_iter().map(|g| Element(g as u16)).collect(),
            element_names: None,
        })
    }

    /// The group's name, as given or recognised: `S5`, `C11:C5`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The same group under another name.
    pub fn with_name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Gives every element a name, such as its cycles.
    ///
    /// # Panics
    /// If there are not as many names as elements.
    pub fn with_element_names(mut self, names: Vec<String>) -> Self {
        assert_eq!(names.len(), self.order, "one name per element");
        self.element_names = Some(names);
        self
    }

    /// The name of an element: its cycles or coordinates where the construction knows them, else its index.
    pub fn element_name(&self, x: Element) -> String {
        self.element_names
            .as_ref()
            .map_or_else(|| x.to_string(), |names| names[x.index()].clone())
    }

    /// The number of elements, `n`.
    #[inline]
    pub fn order(&self) -> usize {
        self.order
    }

    /// The product `x * y`.
    #[inline]
    pub fn mul(&self, x: Element, y: Element) -> Element {
        self.table[x.index() * self.order + y.index()]
    }

    /// The products `x * y` for every y, in order.
    #[inline]
    pub fn row(&self, x: Element) -> &[Element] {
        &self.table[x.index() * self.order..(x.index() + 1) * self.order]
    }

    /// The whole table, row by row.
    pub fn table(&self) -> &[Element] {
        &self.table
    }

    /// The inverse of `x`.
    #[inline]
    pub fn inv(&self, x: Element) -> Element {
        self.inverses[x.index()]
    }

    /// The identity.
    #[inline]
    pub fn identity(&self) -> Element {
        self.identity
    }

    /// Every element, in order.
    pub fn elements(&self) -> impl DoubleEndedIterator<Item = Element> + ExactSizeIterator + use<> {
        (0..self.order as u16).map(Element)
    }

    /// A generating set without redundant members, found greedily; empty for the trivial group.
    pub fn generators(&self) -> &[Element] {
        &self.generators
    }

    /// The conjugate `g * x * g^-1`.
    #[inline]
    pub fn conjugate(&self, g: Element, x: Element) -> Element {
        self.mul(self.mul(g, x), self.inv(g))
    }
}

/// Checks that `product(fixed, .)` is injective for every `fixed`.
fn check_cancellation(
    order: usize,
    side: &'static str,
    product: impl Fn(usize, usize) -> usize,
) -> Result<(), GroupError> {
    const UNSEEN: usize = usize::MAX;
    let mut seen_with = vec![UNSEEN; order];
    for fixed in 0..order {
        seen_with.fill(UNSEEN);
        for second in 0..order {
            let product = product(fixed, second);
            if seen_with[product] != UNSEEN {
                return Err(GroupError::NotLatin {
                    fixed,
                    side,
                    first: seen_with[product],
                    second,
                    product,
                });
            }
            seen_with[product] = second;
        }
    }
    Ok(())
}

/// Greedy generating set of a loop with two-sided identity: each next element lies outside what the earlier ones reach
/// by multiplying from the right.
fn generating_set(order: usize, identity: usize, at: &impl Fn(usize, usize) -> usize) -> Vec<usize> {
    let mut generators = Vec::new();
    let mut reached = vec![false; order];
    reached[identity] = true;
    let mut elements = vec![identity];
    for candidate in 0..order {
        if reached[candidate] {
            continue;
        }
        generators.push(candidate);
        // Start over from the identity: old elements times the new generator, then everything times everything.
        reached.fill(false);
        reached[identity] = true;
        elements.clear();
        elements.push(identity);
        let mut next = 0;
        while next < elements.len() {
            for &g in &generators {
                let product = at(elements[next], g);
                if !reached[product] {
                    reached[product] = true;
                    elements.push(product);
                }
            }
            next += 1;
        }
    }
    generators
}
