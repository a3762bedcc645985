//! Conjugacy classes, element orders, centre and commutators.

use super::{Element, Group, Subgroup};

/// A conjugacy class: the elements `g * x * g^-1` for one x.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConjugacyClass {
    /// The elements, in increasing order; the first stands for the class.
    pub elements: Vec<Element>,
    /// The order of each of them.
    pub element_order: usize,
}

impl ConjugacyClass {
    /// The smallest element.
    pub fn representative(&self) -> Element {
        self.elements[0]
    }

    /// The number of elements.
    pub fn size(&self) -> usize {
        self.elements.len()
    }
}

/// All conjugacy classes of a group, by element order, then size, then smallest element: the identity's comes first.
#[derive(Clone, Debug)]
pub struct ConjugacyClasses {
    classes: Vec<ConjugacyClass>,
    number: Vec<u32>,
}

impl ConjugacyClasses {
    /// How many classes there are.
    pub fn count(&self) -> usize {
        self.classes.len()
    }

    /// The number of the class of `x`, `0..count()`.
    #[inline]
    pub fn number(&self, x: Element) -> usize {
        self.number[x.index()] as usize
    }

    /// The classes in order.
    pub fn iter(&self) -> std::slice::Iter<'_, ConjugacyClass> {
        self.classes.iter()
    }

    /// The usual names: element order and a letter, as `1a`, `2a`, `2b`, `3a`.
    pub fn names(&self) -> Vec<String> {
        let mut earlier = 0;
        (self.classes.iter().enumerate())
            .map(|(i, class)| {
                earlier = if i > 0 && self.classes[i - 1].element_order == class.element_order {
                    earlier + 1
                } else {
                    0
                };
                format!("{}{}", class.element_order, letters(earlier))
            })
            .collect()
    }
}

impl<'a> IntoIterator for &'a ConjugacyClasses {
    type Item = &'a ConjugacyClass;
    type IntoIter = std::slice::Iter<'a, ConjugacyClass>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl std::ops::Index<usize> for ConjugacyClasses {
    type Output = ConjugacyClass;

    fn index(&self, number: usize) -> &ConjugacyClass {
        &self.classes[number]
    }
}

/// `a`, `b` ... `z`, `aa`, `ab` ...
pub(crate) fn letters(number: usize) -> String {
    let last = char::from(b'a' + (number % 26) as u8);
    if number < 26 {
        last.into()
    } else {
        letters(number / 26 - 1) + &last.to_string()
    }
}

impl Group {
    /// The power `x^k`; `x^0` is the identity.
    pub fn pow(&self, x: Element, k: usize) -> Element {
        let (mut power, mut square, mut k) = (self.identity(), x, k);
        while k > 0 {
            if k % 2 == 1 {
                power = self.mul(power, square);
            }
            square = self.mul(square, square);
            k /= 2;
        }
        power
    }

    /// The least k > 0 with `x^k` the identity.
    pub fn element_order(&self, x: Element) -> usize {
        let mut power = x;
        let mut order = 1;
        while power != self.identity() {
            power = self.mul(power, x);
            order += 1;
        }
        order
    }

    /// The order of every element.
    pub fn element_orders(&self) -> Vec<usize> {
        let mut orders = vec![0; self.order()];
        for x in self.elements() {
            if orders[x.index()] == 0 {
                // One walk around the cycle of x gives the orders of all its powers.
                let cycle: Vec<Element> =
                    std::iter::successors(Some(x), |&power| (power != self.identity()).then(|| self.mul(power, x)))
                        .collect();
                for (i, power) in cycle.iter().enumerate() {
                    orders[power.index()] = cycle.len() / greatest_common_divisor(cycle.len(), i + 1);
                }
            }
        }
        orders
    }

    /// The least k > 0 with `x^k` the identity for every x.
    pub fn exponent(&self) -> usize {
        (self.element_orders().into_iter()).fold(1, |exponent, order| {
            exponent / greatest_common_divisor(exponent, order) * order
        })
    }

    /// Whether all elements commute.
    pub fn is_abelian(&self) -> bool {
        let generators = self.generators();
        (generators.iter()).all(|&g| generators.iter().all(|&h| self.mul(g, h) == self.mul(h, g)))
    }

    /// The conjugacy classes.
    pub fn conjugacy_classes(&self) -> ConjugacyClasses {
        let orders = self.element_orders();
        let mut seen = vec![false; self.order()];
        let mut classes = Vec::new();
        for x in self.elements() {
            if std::mem::replace(&mut seen[x.index()], true) {
                continue;
            }
            let mut elements = vec![x];
            let mut next = 0;
            while next < elements.len() {
                for &g in self.generators() {
                    let conjugate = self.conjugate(g, elements[next]);
                    if !std::mem::replace(&mut seen[conjugate.index()], true) {
                        elements.push(conjugate);
                    }
                }
                next += 1;
            }
            elements.sort_unstable();
            classes.push(ConjugacyClass {
                elements,
                element_order: orders[x.index()],
            });
        }
        classes.sort_by_key(|class| (class.element_order, class.size(), class.representative()));
        let mut number = vec![0; self.order()];
        for (i, class) in classes.iter().enumerate() {
            class.elements.iter().for_each(|x| number[x.index()] = i as u32);
        }
        ConjugacyClasses { classes, number }
    }

    /// The elements that commute with all others.
    pub fn centre(&self) -> Subgroup {
        Subgroup::whole(self).centralizer(self)
    }

    /// The commutator subgroup of a subgroup: generated by all `x * y * x^-1 * y^-1`.
    pub fn commutator_subgroup(&self, subgroup: &Subgroup) -> Subgroup {
        // Commutators of generators, closed under conjugation within the subgroup, generate the commutator subgroup.
        let generators = subgroup.generators(self);
        let mut commutators: Vec<Element> = (generators.iter())
            .flat_map(|&x| {
                generators
                    .iter()
                    .map(move |&y| self.mul(self.conjugate(x, y), self.inv(y)))
            })
            .collect();
        let mut closure = Subgroup::trivial(self);
        loop {
            closure = closure.extended(self, &commutators);
            commutators = (closure.generators(self).into_iter())
                .flat_map(|h| generators.iter().map(move |&g| self.conjugate(g, h)))
                .filter(|&conjugate| !closure.contains(conjugate))
                .collect();
            if commutators.is_empty() {
                return closure;
            }
        }
    }

    /// The group, its commutator subgroup, that one's, and so on until it stays the same.
    pub fn derived_series(&self) -> Vec<Subgroup> {
        let mut series = vec![Subgroup::whole(self)];
        loop {
            let last = series.last().expect("the series starts with the group");
            let derived = self.commutator_subgroup(last);
            if derived.order() == last.order() {
                return series;
            }
            series.push(derived);
        }
    }

    /// Whether the derived series ends in the identity.
    pub fn is_soluble(&self) -> bool {
        self.derived_series().last().is_some_and(|last| last.order() == 1)
    }
}

fn greatest_common_divisor(a: usize, b: usize) -> usize {
    super::family::greatest_common_divisor(a as u64, b as u64) as usize
}
