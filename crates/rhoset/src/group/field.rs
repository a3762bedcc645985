//! Small finite fields, by tables.

use super::family::prime_power;

/// The field with q elements, numbered so that 0 is zero and 1 is one: a polynomial over the integers modulo p with
/// coefficients c_0, c_1, ... has number c_0 + c_1 p + c_2 p^2 + ...
#[derive(Clone, Debug)]
pub(crate) struct Field {
    size: usize,
    sum: Vec<u16>,
    product: Vec<u16>,
}

impl Field {
    /// The field of this size, if it is a prime power (at most 10 000, since the tables have `size^2` entries).
    pub(crate) fn new(size: usize) -> Option<Self> {
        let (p, degree) = prime_power(size as u64).filter(|_| size <= 10_000)?;
        let (p, degree) = (p as usize, degree as usize);
        let digits = |x: usize| -> Vec<usize> { (0..degree).map(|i| x / p.pow(i as u32) % p).collect() };
        let number = |digits: &[usize]| digits.iter().rev().fold(0, |x, d| x * p + d);
        let polynomials: Vec<Vec<usize>> = (0..size).map(digits).collect();
        let add = |a: usize, b: usize| {
            let sum: Vec<usize> = (polynomials[a].iter().zip(&polynomials[b]))
                .map(|(a, b)| (a + b) % p)
                .collect();
            number(&sum)
        };
        // The first monic modulus for which x has order size - 1: then x^0, x^1, ... are all the units.
        (0..size).find_map(|lower| {
            let modulus = &polynomials[lower];
            // times_x(a) = x a reduced by x^degree = -modulus.
            let times_x = |a: &[usize]| -> Vec<usize> {
                let top = a[degree - 1];
                (0..degree)
                    .map(|i| (if i == 0 { 0 } else { a[i - 1] } + (p - top) * modulus[i]) % p)
                    .collect()
            };
            let mut powers = Vec::with_capacity(size - 1);
            let mut logarithm = vec![usize::MAX; size];
            let mut power = polynomials[1].clone();
            while logarithm[number(&power)] == usize::MAX && number(&power) != 0 {
                logarithm[number(&power)] = powers.len();
                powers.push(number(&power));
                power = times_x(&power);
            }
            if powers.len() < size - 1 {
                return None;
            }
            let product = |a: usize, b: usize| match (a, b) {
                (0, _) | (_, 0) => 0,
                _ => powers[(logarithm[a] + logarithm[b]) % (size - 1)],
            };
            let table = |f: &dyn Fn(usize, usize) -> usize| {
                (0..size * size)
                    .map(|i| f(i / size, i % size) as u16)
                    .collect::<Vec<u16>>()
            };
            Some(Self {
                size,
                sum: table(&add),
                product: table(&product),
            })
        })
    }

    pub(crate) fn size(&self) -> usize {
        self.size
    }

    #[inline]
    pub(crate) fn add(&self, a: u16, b: u16) -> u16 {
        self.sum[a as usize * self.size + b as usize]
    }

    #[inline]
    pub(crate) fn mul(&self, a: u16, b: u16) -> u16 {
        self.product[a as usize * self.size + b as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_prime_power_up_to_128_gives_a_field() {
        for q in (2..=128).filter(|&q| prime_power(q).is_some()) {
            let field = Field::new(q as usize).unwrap();
            let elements = 0..q as u16;
            for a in elements.clone() {
                assert_eq!(field.add(a, 0), a);
                assert_eq!(field.mul(a, 1), a);
                assert!(elements.clone().any(|b| field.add(a, b) == 0));
                assert!(a == 0 || elements.clone().any(|b| field.mul(a, b) == 1));
                for b in elements.clone().step_by(3) {
                    for c in elements.clone().step_by(5) {
                        assert_eq!(
                            field.mul(a, field.add(b, c)),
                            field.add(field.mul(a, b), field.mul(a, c))
                        );
                        assert_eq!(field.mul(a, field.mul(b, c)), field.mul(field.mul(a, b), c));
                    }
                }
            }
        }
    }

    #[test]
    fn sizes_that_are_no_prime_powers_have_no_field() {
        assert!([0, 1, 6, 10, 12, 15, 100].into_iter().all(|q| Field::new(q).is_none()));
    }
}
