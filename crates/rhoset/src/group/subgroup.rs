//! Subgroups, and how a group falls apart into their cosets.
//!
//! A [`Subgroup`] is closed because every way to make one closes it or checks it. It remembers the order of its group
//! but not the group, which every operation takes again: the first argument is always the group it was made in.

use super::element_set::ElementSet;
use super::{Element, Group};

/// What keeps a set of elements from being a subgroup.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum SubgroupError {
    /// There are no elements.
    #[error("a subgroup has at least one element, this set has none")]
    Empty,
    /// An element that the group does not have.
    #[error("element {element} is not in a group with elements 0..{order}")]
    OutOfRange {
        /// The element given.
        element: Element,
        /// The order of the group.
        order: usize,
    },
    /// The set is not closed under products.
    #[error("not a subgroup: {x} and {y} are in the set, but their product {product} is not")]
    NotClosed {
        /// Left factor.
        x: Element,
        /// Right factor.
        y: Element,
        /// `x * y`, outside the set.
        product: Element,
    },
}

/// A subgroup of a [`Group`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subgroup {
    elements: Vec<Element>,
    members: ElementSet,
    group_order: usize,
}

impl Subgroup {
    /// The subgroup with exactly these elements, in any order and with repetitions.
    ///
    /// # Errors
    /// [`SubgroupError`] if the set is empty, not closed, or not of this group.
    ///
    /// ```
    /// use rhoset::group::{Element, Group, Subgroup};
    /// let c4 = rhoset::group::spec::parse("C4")?;
    /// assert_eq!(Subgroup::new(&c4, [Element(0), Element(2)])?.order(), 2);
    /// assert!(Subgroup::new(&c4, [Element(0), Element(1)]).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn new(group: &Group, elements: impl IntoIterator<Item = Element>) -> Result<Self, SubgroupError> {
        let order = group.order();
        let mut members = ElementSet::empty(order);
        for element in elements {
            if element.index() >= order {
                return Err(SubgroupError::OutOfRange { element, order });
            }
            members.insert(element);
        }
        let set = Self::from_members(group, members);
        if set.elements.is_empty() {
            return Err(SubgroupError::Empty);
        }
        // A finite set that is closed under products has the identity and inverses. The closure is cheap, the search
        // for a culprit is only paid for by sets that fail.
        if Self::generated(group, &set.elements) == set {
            return Ok(set);
        }
        for &x in &set.elements {
            if let Some(&y) = set.elements.iter().find(|&&y| !set.contains(group.mul(x, y))) {
                let product = group.mul(x, y);
                return Err(SubgroupError::NotClosed { x, y, product });
            }
        }
        unreachable!("a set that differs from its closure has a product outside")
    }

    /// The smallest subgroup that contains `generators`.
    ///
    /// # Panics
    /// If a generator is not an element of the group.
    pub fn generated(group: &Group, generators: &[Element]) -> Self {
        Self::trivial(group).extended(group, generators)
    }

    /// The smallest subgroup that contains this one and `generators`.
    pub fn extended(&self, group: &Group, generators: &[Element]) -> Self {
        let mut members = self.members.clone();
        let mut elements = self.elements.clone();
        // Invariant: `elements` is a union of left cosets of `self` and closed under multiplication by `active` from
        // the right, but for the elements from `next` on. Multiplying by `self` is only needed through generators, so
        // those of `self` join the active ones.
        let mut active: Vec<Element> = Vec::new();
        for &g in generators {
            if members.contains(g) {
                continue;
            }
            if active.is_empty() {
                active = self.generators(group);
            }
            active.push(g);
            let closed = elements.len();
            let mut next = 0;
            while next < elements.len() {
                // Elements from before are already closed under the earlier generators.
                let from = if next < closed { active.len() - 1 } else { 0 };
                for &h in &active[from..] {
                    let product = group.mul(elements[next], h);
                    if members.insert(product) {
                        elements.push(product);
                    }
                }
                next += 1;
            }
        }
        elements.sort_unstable();
        Self {
            elements,
            members,
            group_order: self.group_order,
        }
    }

    /// The subgroup of the identity alone.
    pub fn trivial(group: &Group) -> Self {
        let mut members = ElementSet::empty(group.order());
        members.insert(group.identity());
        Self::from_members(group, members)
    }

    /// The whole group.
    pub fn whole(group: &Group) -> Self {
        let mut members = ElementSet::empty(group.order());
        group.elements().for_each(|x| _ = members.insert(x));
        Self::from_members(group, members)
    }

    /// The caller knows that `members` is closed.
    pub(crate) fn from_members(group: &Group, members: ElementSet) -> Self {
        Self {
            elements: members.iter().collect(),
            members,
            group_order: group.order(),
        }
    }

    pub(crate) fn members(&self) -> &ElementSet {
        &self.members
    }

    /// The elements in increasing order.
    pub fn elements(&self) -> &[Element] {
        &self.elements
    }

    /// Whether `x` lies in the subgroup.
    #[inline]
    pub fn contains(&self, x: Element) -> bool {
        self.members.contains(x)
    }

    /// The number of elements.
    #[inline]
    pub fn order(&self) -> usize {
        self.elements.len()
    }

    /// The number of its cosets in the group.
    #[inline]
    pub fn index(&self) -> usize {
        self.group_order / self.order()
    }

    /// Whether every element lies in `other`, a subgroup of the same group.
    pub fn is_subgroup_of(&self, other: &Subgroup) -> bool {
        self.members.is_subset(&other.members)
    }

    /// The elements that lie in both subgroups of one group.
    pub fn intersection(&self, other: &Subgroup) -> Subgroup {
        let members = self.members.intersection(&other.members);
        Self {
            elements: members.iter().collect(),
            members,
            group_order: self.group_order,
        }
    }

    /// A small generating set, found greedily; empty for the trivial subgroup.
    pub fn generators(&self, group: &Group) -> Vec<Element> {
        let mut generators = Vec::new();
        let mut members = ElementSet::empty(self.group_order);
        let mut reached = vec![group.identity()];
        members.insert(group.identity());
        for &g in &self.elements {
            if reached.len() == self.order() {
                break;
            }
            if members.contains(g) {
                continue;
            }
            generators.push(g);
            let closed = reached.len();
            let mut next = 0;
            while next < reached.len() {
                let from = if next < closed { generators.len() - 1 } else { 0 };
                for &h in &generators[from..] {
                    let product = group.mul(reached[next], h);
                    if members.insert(product) {
                        reached.push(product);
                    }
                }
                next += 1;
            }
        }
        generators
    }

    /// The conjugate `g * H * g^-1`.
    pub fn conjugate(&self, group: &Group, g: Element) -> Subgroup {
        let mut members = ElementSet::empty(self.group_order);
        for &h in &self.elements {
            members.insert(group.conjugate(g, h));
        }
        Self::from_members(group, members)
    }

    /// Every distinct conjugate, this subgroup first.
    pub fn conjugates(&self, group: &Group) -> Vec<Subgroup> {
        let mut seen = std::collections::HashSet::from([self.clone()]);
        let mut conjugates = vec![self.clone()];
        let mut next = 0;
        while next < conjugates.len() {
            for &g in group.generators() {
                let conjugate = conjugates[next].conjugate(group, g);
                if seen.insert(conjugate.clone()) {
                    conjugates.push(conjugate);
                }
            }
            next += 1;
        }
        conjugates
    }

    /// The elements `g` with `g * H * g^-1 = H`.
    pub fn normalizer(&self, group: &Group) -> Subgroup {
        let generators = self.generators(group);
        self.all_with(group, |g| {
            generators.iter().all(|&h| self.contains(group.conjugate(g, h)))
        })
    }

    /// The elements that commute with all of H.
    pub fn centralizer(&self, group: &Group) -> Subgroup {
        let generators = self.generators(group);
        self.all_with(group, |g| {
            generators.iter().all(|&h| group.mul(g, h) == group.mul(h, g))
        })
    }

    /// Whether `g * H * g^-1 = H` for every `g` of the group.
    pub fn is_normal(&self, group: &Group) -> bool {
        let generators = self.generators(group);
        let conjugators = group.generators();
        (conjugators.iter()).all(|&g| generators.iter().all(|&h| self.contains(group.conjugate(g, h))))
    }

    /// The smallest normal subgroup of the group that contains this one.
    pub fn normal_closure(&self, group: &Group) -> Subgroup {
        let mut closure = self.clone();
        loop {
            let outside: Vec<Element> = closure
                .generators(group)
                .into_iter()
                .flat_map(|h| group.generators().iter().map(move |&g| group.conjugate(g, h)))
                .filter(|&conjugate| !closure.contains(conjugate))
                .collect();
            if outside.is_empty() {
                return closure;
            }
            closure = closure.extended(group, &outside);
        }
    }

    /// The intersection of all conjugates: the largest normal subgroup inside, and the kernel of the action on cosets.
    pub fn core(&self, group: &Group) -> Subgroup {
        let conjugates = self.conjugates(group);
        (conjugates.iter()).fold(self.clone(), |core, conjugate| core.intersection(conjugate))
    }

    /// The right cosets `H * x`: on each of them a function with `f(h * x) = f(x)` is constant.
    pub fn right_cosets(&self, group: &Group) -> Cosets {
        Cosets::collect(group, |x| self.elements.iter().map(move |&h| group.mul(h, x)))
    }

    /// The left cosets `x * H`: on each of them a function with `f(x * h) = f(x)` is constant.
    pub fn left_cosets(&self, group: &Group) -> Cosets {
        Cosets::collect(group, |x| self.elements.iter().map(move |&h| group.mul(x, h)))
    }

    /// The double cosets `H * x * K`, where H is this subgroup; they may differ in size.
    pub fn double_cosets(&self, group: &Group, right: &Subgroup) -> Cosets {
        Cosets::collect(group, |x| {
            (self.elements.iter())
                .flat_map(move |&h| right.elements.iter().map(move |&k| group.mul(group.mul(h, x), k)))
        })
    }

    /// The subgroup as a group in its own right: its i-th element is `self.elements()[i]`.
    pub fn as_group(&self, group: &Group) -> Group {
        let mut position = vec![0u16; self.group_order];
        for (i, x) in self.elements.iter().enumerate() {
            position[x.index()] = i as u16;
        }
        let table: Vec<u16> = (self.elements.iter())
            .flat_map(|&x| {
                let row = group.row(x);
                self.elements.iter().map(move |y| row[y.index()])
            })
            .map(|product| position[product.index()])
            .collect();
        let names = self.elements.iter().map(|&x| group.element_name(x)).collect();
        Group::from_table(format!("order-{} group", self.order()), self.order(), &table)
            .expect("a closed subset of a group is a group")
            .with_element_names(names)
    }

    fn all_with(&self, group: &Group, property: impl Fn(Element) -> bool) -> Subgroup {
        let mut members = ElementSet::empty(self.group_order);
        for g in group.elements().filter(|&g| property(g)) {
            members.insert(g);
        }
        Self::from_members(group, members)
    }
}

/// A partition of a group into cosets, numbered by their smallest elements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cosets {
    number: Vec<u32>,
    representatives: Vec<Element>,
}

impl Cosets {
    fn collect<I: Iterator<Item = Element>>(group: &Group, coset: impl Fn(Element) -> I) -> Self {
        const NONE: u32 = u32::MAX;
        let mut number = vec![NONE; group.order()];
        let mut representatives = Vec::new();
        for x in group.elements() {
            if number[x.index()] == NONE {
                coset(x).for_each(|y| number[y.index()] = representatives.len() as u32);
                representatives.push(x);
            }
        }
        Self {
            number,
            representatives,
        }
    }

    /// How many cosets there are.
    pub fn count(&self) -> usize {
        self.representatives.len()
    }

    /// The number of the coset that `x` lies in, `0..count()`.
    #[inline]
    pub fn number(&self, x: Element) -> usize {
        self.number[x.index()] as usize
    }

    /// The smallest element of every coset.
    pub fn representatives(&self) -> &[Element] {
        &self.representatives
    }

    /// The elements of every coset, in increasing order.
    pub fn members(&self) -> Vec<Vec<Element>> {
        let mut members = vec![Vec::new(); self.count()];
        for (x, &number) in self.number.iter().enumerate() {
            members[number as usize].push(Element(x as u16));
        }
        members
    }
}
