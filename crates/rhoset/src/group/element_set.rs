//! Sets of elements as bits: one machine word holds 64 elements, so that sets of a whole lattice fit in memory.

use super::Element;

/// A set of elements of one group. Ordered and hashed by its bits.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ElementSet(Box<[u64]>);

impl ElementSet {
    /// No elements, with room for `order` of them.
    pub(crate) fn empty(order: usize) -> Self {
        Self(vec![0; order.div_ceil(64)].into_boxed_slice())
    }

    #[inline]
    pub(crate) fn contains(&self, x: Element) -> bool {
        self.0[x.index() / 64] >> (x.index() % 64) & 1 == 1
    }

    /// Adds an element; true if it is new.
    #[inline]
    pub(crate) fn insert(&mut self, x: Element) -> bool {
        let (word, bit) = (&mut self.0[x.index() / 64], 1 << (x.index() % 64));
        let new = *word & bit == 0;
        *word |= bit;
        new
    }

    pub(crate) fn is_subset(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).all(|(a, b)| a & !b == 0)
    }

    pub(crate) fn intersection(&self, other: &Self) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(a, b)| a & b).collect())
    }

    /// The elements in increasing order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Element> + '_ {
        self.0.iter().enumerate().flat_map(|(i, &word)| {
            std::iter::successors((word != 0).then_some(word), |w| {
                let rest = w & (w - 1);
                (rest != 0).then_some(rest)
            })
            .map(move |w| Element((i * 64 + w.trailing_zeros() as usize) as u16))
        })
    }
}

impl std::fmt::Debug for ElementSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.iter().map(|x| x.0)).finish()
    }
}
