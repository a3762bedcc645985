//! The character table, exactly: the algorithm of Dixon (1967) and Schneider (1990).
//!
//! Class sums commute, and each irreducible character is a common eigenvector of multiplication by them. Over a prime
//! field that has all roots of unity needed, eigenvectors are found without rounding; the values are then lifted to sums of
//! roots of unity, since their multiplicities are at most the degree. Independent of the matrices in [`crate::irrep`].

use num_complex::Complex64;

use super::element_set::ElementSet;
use super::{ConjugacyClasses, Element, Group, Subgroup};

/// A complex irreducible character.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Character {
    degree: usize,
    frobenius_schur: i8,
    /// For each class, `(s, how often)` for the eigenvalues `exp(2 pi i s / o)`, o being the order of its elements.
    eigenvalues: Vec<Vec<(u16, u16)>>,
    /// The order of the elements of each class.
    element_orders: Vec<usize>,
}

impl Character {
    /// The dimension of the representation, the value at the identity.
    pub fn degree(&self) -> usize {
        self.degree
    }

    /// The Frobenius-Schur indicator: 1 for real, -1 for quaternionic, 0 for complex representations.
    pub fn frobenius_schur(&self) -> i8 {
        self.frobenius_schur
    }

    /// The eigenvalues of the elements of a class: `(s, m)` stands for `exp(2 pi i s / o)`, m times, o being their order; s
    /// increases.
    pub fn eigenvalues(&self, class: usize) -> &[(u16, u16)] {
        &self.eigenvalues[class]
    }

    /// The value on a class, rounded; [`Character::eigenvalues`] has it exactly.
    pub fn value(&self, class: usize) -> Complex64 {
        let angle = std::f64::consts::TAU / self.element_orders[class] as f64;
        let term = |&(s, m): &(u16, u16)| Complex64::from_polar(m.into(), angle * f64::from(s));
        let mut value: Complex64 = self.eigenvalues[class].iter().map(term).sum();
        // Sums of at most `degree` roots of unity; whole and half numbers are shown as such.
        for part in [&mut value.re, &mut value.im] {
            let doubled = (2.0 * *part).round();
            if (2.0 * *part - doubled).abs() < 1e-9 {
                *part = doubled / 2.0 + 0.0;
            }
        }
        value
    }

    /// The elements that the representation maps to the identity matrix.
    pub fn kernel(&self, group: &Group, classes: &ConjugacyClasses) -> Subgroup {
        let mut members = ElementSet::empty(group.order());
        for (class, multiplicities) in classes.iter().zip(&self.eigenvalues) {
            if multiplicities == &[(0, self.degree as u16)] {
                class.elements.iter().for_each(|&x| _ = members.insert(x));
            }
        }
        Subgroup::from_members(group, members)
    }
}

/// All irreducible characters, the trivial one first, then by degree and values.
///
/// Costs O(order * classes + classes^3).
///
/// ```
/// use rhoset::group::{character::characters, spec};
/// let s5 = spec::parse("S5")?;
/// let degrees: Vec<usize> = characters(&s5, &s5.conjugacy_classes()).iter().map(|c| c.degree()).collect();
/// assert_eq!(degrees, [1, 1, 4, 4, 5, 5, 6]);
/// # Ok::<(), spec::SpecError>(())
/// ```
pub fn characters(group: &Group, classes: &ConjugacyClasses) -> Vec<Character> {
    let field = PrimeField::with_roots(group.exponent() as u64, group.order() as u64);
    // Random central elements separate all characters but for a chance of about classes^2 / 2^30.
    (1u64..)
        .find_map(|seed| central_characters(group, classes, &field, seed))
        .map(|central| lift(group, classes, &field, &central))
        .expect("some central element separates the characters")
}

/// The values of every central character on the class sums, or `None` where this seed does not separate them.
fn central_characters(
    group: &Group,
    classes: &ConjugacyClasses,
    field: &PrimeField,
    seed: u64,
) -> Option<Vec<Vec<u64>>> {
    let k = classes.count();
    let mut state = seed;
    let mut random = || {
        // splitmix64
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % field.prime
    };
    let coefficients: Vec<u64> = (0..k).map(|_| random()).collect();
    // z = sum of coefficient times class sum; z * (sum of class s) has the coefficient matrix[s][r] on class r.
    let mut matrix = vec![vec![0u64; k]; k];
    for (r, class) in classes.iter().enumerate() {
        for y in group.elements() {
            let factor = group.mul(class.representative(), group.inv(y));
            let entry = &mut matrix[classes.number(y)][r];
            *entry = field.add(*entry, coefficients[classes.number(factor)]);
        }
    }
    // The powers of the matrix on a random vector; eigenvectors are polynomials in the matrix applied to it.
    let mut powers = vec![(0..k).map(|_| random()).collect::<Vec<u64>>()];
    for i in 0..k {
        let next = matrix.iter().map(|row| field.dot(row, &powers[i])).collect();
        powers.push(next);
    }
    let minimal = field.relation(&powers)?;
    let roots = field.distinct_roots(&minimal, &mut random)?;
    (roots.iter())
        .map(|&root| {
            // The minimal polynomial divided by x - root.
            let mut quotient = vec![0u64; k];
            let mut carry = 0;
            for i in (0..k).rev() {
                carry = field.add(minimal[i + 1], field.mul(carry, root));
                quotient[i] = carry;
            }
            let vector: Vec<u64> = (0..k)
                .map(|r| {
                    (quotient.iter().zip(&powers)).fold(0, |sum, (&c, power)| field.add(sum, field.mul(c, power[r])))
                })
                .collect();
            let at_identity = vector[classes.number(group.identity())];
            if at_identity == 0 {
                return None;
            }
            let scale = field.inverse(at_identity);
            Some(vector.into_iter().map(|value| field.mul(value, scale)).collect())
        })
        .collect()
}

/// Degrees, indicators and eigenvalues from the central characters.
fn lift(group: &Group, classes: &ConjugacyClasses, field: &PrimeField, central: &[Vec<u64>]) -> Vec<Character> {
    let order = group.order() as u64;
    let class_of = |x: Element| classes.number(x);
    // powers[r][j] is the class of the j-th powers of class r.
    let powers: Vec<Vec<usize>> = (classes.iter())
        .map(|class| {
            let step = |x: &Element| Some(group.mul(*x, class.representative()));
            std::iter::successors(Some(group.identity()), step)
                .take(class.element_order)
                .map(class_of)
                .collect()
        })
        .collect();
    let element_orders: Vec<usize> = classes.iter().map(|class| class.element_order).collect();
    let mut characters: Vec<Character> = (central.iter())
        .map(|omega| {
            // n / degree^2 = sum over classes of omega(C) omega(C^-1) / |C|.
            let norm = classes.iter().enumerate().fold(0, |sum, (r, class)| {
                let inverse = powers[r][class.element_order - 1];
                let term = field.mul(field.mul(omega[r], omega[inverse]), field.inverse(class.size() as u64));
                field.add(sum, term)
            });
            let square = field.mul(order, field.inverse(norm));
            let degree = (1..).find(|d| d * d == square).expect("degrees are integers");
            let values: Vec<u64> = (classes.iter().zip(omega))
                .map(|(class, &w)| field.mul(field.mul(w, degree), field.inverse(class.size() as u64)))
                .collect();
            let squares = classes.iter().enumerate().fold(0, |sum, (r, class)| {
                let square = class_of(group.mul(class.representative(), class.representative()));
                debug_assert_eq!(square, powers[r][2 % class.element_order]);
                field.add(sum, field.mul(class.size() as u64, values[square]))
            });
            let indicator = field.mul(squares, field.inverse(order));
            let frobenius_schur = match indicator {
                0 => 0,
                1 => 1,
                _ => -1,
            };
            // A class gets the eigenvalues of its elements as powers of elements of the largest order.
            let mut eigenvalues = vec![Vec::new(); classes.count()];
            for r in (0..classes.count()).rev() {
                if !eigenvalues[r].is_empty() {
                    continue;
                }
                let o = element_orders[r];
                let multiplicities = multiplicities(field, &powers[r], &values);
                for (j, &class) in powers[r].iter().enumerate().filter(|&(_, &class)| class != r) {
                    if eigenvalues[class].is_empty() {
                        eigenvalues[class] = power_of_eigenvalues(&multiplicities, o, j, element_orders[class]);
                    }
                }
                eigenvalues[r] = multiplicities;
            }
            Character {
                degree: degree as usize,
                frobenius_schur,
                eigenvalues,
                element_orders: element_orders.clone(),
            }
        })
        .collect();
    let is_trivial = |character: &Character| character.degree == 1 && character.eigenvalues.iter().all(|m| m[0].0 == 0);
    characters.sort_by(|a, b| {
        (a.degree.cmp(&b.degree))
            .then_with(|| is_trivial(b).cmp(&is_trivial(a)))
            .then_with(|| a.eigenvalues.cmp(&b.eigenvalues))
    });
    characters
}

/// The multiplicity of each o-th root of unity among the eigenvalues of an element, from the values on its powers: the
/// discrete Fourier transform, exact modulo the prime since multiplicities are below it.
fn multiplicities(field: &PrimeField, powers: &[usize], values: &[u64]) -> Vec<(u16, u16)> {
    let o = powers.len() as u64;
    let unroot = field.inverse(field.root_of_unity(o));
    let scale = field.inverse(o);
    let unroots: Vec<u64> = std::iter::successors(Some(1), |&u| Some(field.mul(u, unroot)))
        .take(powers.len())
        .collect();
    let along: Vec<u64> = powers.iter().map(|&class| values[class]).collect();
    (0..powers.len())
        .filter_map(|s| {
            let twist: Vec<u64> = (0..powers.len()).map(|j| unroots[j * s % powers.len()]).collect();
            let multiplicity = field.mul(field.dot(&along, &twist), scale);
            (multiplicity > 0).then_some((s as u16, multiplicity as u16))
        })
        .collect()
}

/// The eigenvalues of the j-th power of an element of order `o`; the power has order `order`.
fn power_of_eigenvalues(multiplicities: &[(u16, u16)], o: usize, j: usize, order: usize) -> Vec<(u16, u16)> {
    let mut powers = std::collections::BTreeMap::<u16, u16>::new();
    for &(s, m) in multiplicities {
        // exp(2 pi i s j / o), where o / order divides j.
        let s = (s as usize * j) % o / (o / order);
        *powers.entry(s as u16).or_default() += m;
    }
    powers.into_iter().collect()
}

/// The integers modulo a prime below 2^30, so that eight products fit into 64 bits with room to spare.
struct PrimeField {
    prime: u64,
    /// A generator of the units.
    primitive: u64,
}

impl PrimeField {
    /// The largest suitable prime: one that is 1 modulo `exponent` and above twice `least`.
    fn with_roots(exponent: u64, least: u64) -> Self {
        let largest = (1u64 << 30) / exponent;
        let prime = (1..largest)
            .rev()
            .map(|m| m * exponent + 1)
            .find(|&p| p < 1 << 30 && is_prime(p));
        let prime = prime
            .filter(|&p| p > 2 * least)
            .expect("exponents of groups of at most 10 000 elements are small");
        let mut field = Self { prime, primitive: 0 };
        let factors: Vec<u64> = prime_factors(prime - 1);
        let primitive = (2..).find(|&g| factors.iter().all(|&f| field.pow(g, (prime - 1) / f) != 1));
        field.primitive = primitive.expect("prime fields have primitive roots");
        field
    }

    fn add(&self, a: u64, b: u64) -> u64 {
        let sum = a + b;
        if sum >= self.prime { sum - self.prime } else { sum }
    }

    fn negative(&self, a: u64) -> u64 {
        if a == 0 { 0 } else { self.prime - a }
    }

    fn mul(&self, a: u64, b: u64) -> u64 {
        a * b % self.prime
    }

    fn pow(&self, base: u64, mut exponent: u64) -> u64 {
        let (mut power, mut square) = (1, base);
        while exponent > 0 {
            if exponent % 2 == 1 {
                power = self.mul(power, square);
            }
            square = self.mul(square, square);
            exponent /= 2;
        }
        power
    }

    fn inverse(&self, a: u64) -> u64 {
        self.pow(a % self.prime, self.prime - 2)
    }

    fn root_of_unity(&self, order: u64) -> u64 {
        self.pow(self.primitive, (self.prime - 1) / order)
    }

    fn dot(&self, a: &[u64], b: &[u64]) -> u64 {
        let chunks = a.chunks(8).zip(b.chunks(8));
        chunks.fold(0, |sum, (a, b)| {
            (sum + a.iter().zip(b).map(|(a, b)| a * b).sum::<u64>()) % self.prime
        })
    }

    /// The monic polynomial of degree k that the last of k + 1 vectors satisfies over the others; `None` if those are
    /// dependent. Gaussian elimination on the vectors as columns.
    fn relation(&self, vectors: &[Vec<u64>]) -> Option<Vec<u64>> {
        let k = vectors.len() - 1;
        let mut rows: Vec<Vec<u64>> = (0..k).map(|r| vectors.iter().map(|v| v[r]).collect()).collect();
        for column in 0..k {
            let pivot = (column..k).find(|&r| rows[r][column] != 0)?;
            rows.swap(column, pivot);
            let scale = self.inverse(rows[column][column]);
            rows[column][column..]
                .iter_mut()
                .for_each(|entry| *entry = self.mul(*entry, scale));
            let pivot_row = rows[column].clone();
            for (r, row) in rows.iter_mut().enumerate() {
                let factor = self.negative(row[column]);
                if r != column && factor != 0 {
                    for (entry, &pivot) in row[column..].iter_mut().zip(&pivot_row[column..]) {
                        *entry = (*entry + factor * pivot) % self.prime;
                    }
                }
            }
        }
        Some(rows.iter().map(|row| self.negative(row[k])).chain([1]).collect())
    }

    /// All roots of a monic polynomial that splits into different linear factors; `None` if it does not. Cantor and
    /// Zassenhaus (1981): half of the field's units are squares, and a random shift separates roots.
    fn distinct_roots(&self, polynomial: &[u64], random: &mut impl FnMut() -> u64) -> Option<Vec<u64>> {
        let mut roots = Vec::new();
        let mut pending = vec![polynomial.to_vec()];
        let mut trials = 0;
        while let Some(f) = pending.pop() {
            match f.len() - 1 {
                0 => continue,
                1 => {
                    roots.push(self.negative(f[0]));
                    continue;
                }
                _ => {}
            }
            trials += 1;
            if trials > 64 * polynomial.len() {
                return None;
            }
            let mut power = self.power_of_shift(random(), (self.prime - 1) / 2, &f);
            power[0] = self.add(power[0], self.prime - 1);
            let divisor = self.common_divisor(f.clone(), power);
            if divisor.len() > 1 && divisor.len() < f.len() {
                pending.push(self.divide(f, &divisor).0);
                pending.push(divisor);
            } else {
                pending.push(f);
            }
        }
        roots.sort_unstable();
        roots.dedup();
        let is_root = |&r: &u64| {
            polynomial
                .iter()
                .rev()
                .fold(0, |value, &c| self.add(self.mul(value, r), c))
                == 0
        };
        (roots.len() + 1 == polynomial.len() && roots.iter().all(is_root)).then_some(roots)
    }

    /// (x + shift)^exponent modulo f, of degree at least 2.
    fn power_of_shift(&self, shift: u64, exponent: u64, f: &[u64]) -> Vec<u64> {
        let mut power = vec![1u64];
        for bit in (0..64 - exponent.leading_zeros()).rev() {
            power = self.divide(self.multiply(&power, &power), f).1;
            if exponent >> bit & 1 == 1 {
                power = self.divide(self.multiply(&power, &[shift, 1]), f).1;
            }
        }
        power.resize(power.len().max(1), 0);
        power
    }

    fn multiply(&self, a: &[u64], b: &[u64]) -> Vec<u64> {
        let mut product = vec![0u64; (a.len() + b.len()).saturating_sub(1)];
        for (i, &x) in a.iter().enumerate() {
            for (entry, &y) in product[i..].iter_mut().zip(b) {
                *entry = (*entry + x * y) % self.prime;
            }
        }
        product
    }

    /// Quotient and remainder by a polynomial that is not zero; no leading zeros in the remainder.
    fn divide(&self, mut a: Vec<u64>, b: &[u64]) -> (Vec<u64>, Vec<u64>) {
        let degree = b.len() - 1;
        let mut quotient = vec![0u64; a.len().saturating_sub(degree)];
        let scale = self.inverse(b[degree]);
        for i in (degree..a.len()).rev() {
            let factor = self.mul(a[i], scale);
            quotient[i - degree] = factor;
            let factor = self.negative(factor);
            for (entry, &c) in a[i - degree..=i].iter_mut().zip(b) {
                *entry = (*entry + factor * c) % self.prime;
            }
        }
        a.truncate(degree);
        trim(&mut a);
        (quotient, a)
    }

    /// The monic greatest common divisor.
    fn common_divisor(&self, mut a: Vec<u64>, mut b: Vec<u64>) -> Vec<u64> {
        trim(&mut b);
        while !b.is_empty() {
            let remainder = self.divide(a, &b).1;
            a = std::mem::replace(&mut b, remainder);
        }
        let scale = self.inverse(*a.last().expect("the first polynomial is not zero"));
        a.into_iter().map(|c| self.mul(c, scale)).collect()
    }
}

/// Drops leading zeros.
fn trim(polynomial: &mut Vec<u64>) {
    while polynomial.last() == Some(&0) {
        polynomial.pop();
    }
}

fn is_prime(n: u64) -> bool {
    n > 1 && (2..).take_while(|d| d * d <= n).all(|d| !n.is_multiple_of(d))
}

fn prime_factors(mut n: u64) -> Vec<u64> {
    let mut factors = Vec::new();
    let mut d = 2;
    while d * d <= n {
        if n.is_multiple_of(d) {
            factors.push(d);
            while n.is_multiple_of(d) {
                n /= d;
            }
        }
        d += 1;
    }
    if n > 1 {
        factors.push(n);
    }
    factors
}
