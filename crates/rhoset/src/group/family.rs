//! The named families of finite groups: cyclic, dihedral, dicyclic, symmetric, linear and the like.

use std::fmt;

use super::field::Field;
use super::generate::word;
use super::linear;
use super::permutation::Permutation;
use super::{Group, GroupError};

/// A member of a named family, written as in [`super::spec`]. Parameters are as written and may be out of range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Family {
    /// `C6`: cyclic of order n.
    Cyclic(u64),
    /// `D4`: symmetries of the n-gon, order 2n.
    Dihedral(u64),
    /// `Dic3`: dicyclic of order 4n; `Dic2` is the quaternion group.
    Dicyclic(u64),
    /// `Q8`: generalised quaternion of order n, a power of two.
    Quaternion(u64),
    /// `SD16`: semidihedral (quasidihedral) of order n, a power of two.
    Semidihedral(u64),
    /// `M16`: the modular group of order n = 2^k, `C(n/2):C2` with `x -> x^(n/4+1)`.
    Modular(u64),
    /// `V4`: the four-group `C2xC2`.
    Klein,
    /// `S5`: all permutations of n points.
    Symmetric(u64),
    /// `A5`: the even permutations of n points.
    Alternating(u64),
    /// `AGL(1,11)`: the affine maps of n-dimensional space over the field with q elements.
    Affine(u64, u64),
    /// `GL(3,2)`: the invertible n x n matrices.
    General(u64, u64),
    /// `SL(2,5)`: the n x n matrices of determinant 1.
    Special(u64, u64),
    /// `PGL(2,5)`: `GL` by its scalars.
    ProjectiveGeneral(u64, u64),
    /// `PSL(2,7)`: `SL` by its scalars.
    ProjectiveSpecial(u64, u64),
    /// `ES(27,+)`: extraspecial of order p^(2k+1). For odd p, `+` has exponent p and `-` exponent p^2; for p = 2,
    /// `+` is a central product of `D4`s, and in `-` one `D4` is replaced by `Q8`.
    Extraspecial(u64, Sign),
}

/// Which of the two extraspecial groups of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sign {
    /// `+`.
    Plus,
    /// `-`.
    Minus,
}

impl Family {
    /// The order, or why there is no such group. `None` stands for more than fits into 64 bits.
    pub(crate) fn order(self) -> Result<Option<u64>, String> {
        let at_least = |n: u64, least: u64| {
            if n < least {
                Err(format!("the number must be at least {least}"))
            } else {
                Ok(())
            }
        };
        let power_of_two = |n: u64, least: u64| {
            if n.is_power_of_two() && n >= least {
                Ok(Some(n))
            } else {
                Err(format!("the order must be a power of two, at least {least}"))
            }
        };
        match self {
            Family::Cyclic(n) => at_least(n, 1).map(|()| Some(n)),
            Family::Dihedral(n) => at_least(n, 1).map(|()| n.checked_mul(2)),
            Family::Dicyclic(n) => at_least(n, 1).map(|()| n.checked_mul(4)),
            Family::Quaternion(n) if n % 4 == 0 && n > 8 && !n.is_power_of_two() => Err(format!(
                "Q takes powers of two; the dicyclic group of order {n} is Dic{}",
                n / 4
            )),
            Family::Quaternion(n) => power_of_two(n, 8),
            Family::Semidihedral(n) | Family::Modular(n) => power_of_two(n, 16),
            Family::Klein => Ok(Some(4)),
            Family::Symmetric(n) => at_least(n, 1).map(|()| factorial(n)),
            Family::Alternating(n) => {
                at_least(n, 1).map(|()| if n == 1 { Some(1) } else { factorial(n).map(|f| f / 2) })
            }
            Family::Affine(n, q) => Ok(general_order(n, q)?
                .zip(q.checked_pow(n as u32))
                .and_then(|(g, v)| g.checked_mul(v))),
            Family::General(n, q) => general_order(n, q),
            Family::Special(n, q) | Family::ProjectiveGeneral(n, q) => {
                Ok(general_order(n, q)?.map(|order| order / (q - 1)))
            }
            Family::ProjectiveSpecial(n, q) => {
                Ok(general_order(n, q)?.map(|order| order / (q - 1) / greatest_common_divisor(n, q - 1)))
            }
            // Too large in any case; not worth factoring.
            Family::Extraspecial(order, _) if order > Group::LARGEST as u64 => Ok(Some(order)),
            Family::Extraspecial(order, _) => match prime_power(order) {
                Some((_, k)) if k >= 3 && k % 2 == 1 => Ok(Some(order)),
                _ => Err("the order of an extraspecial group is p^3, p^5, p^7 ... for a prime p".into()),
            },
        }
    }

    /// Builds the group. Only for members whose [`Family::order`] is at most [`Group::LARGEST`].
    pub(crate) fn build(self) -> Result<Group, GroupError> {
        let name = self.to_string();
        match self {
            Family::Cyclic(n) => Group::from_product(name, n as usize, |x, y| (x + y) % n as usize),
            Family::Klein => Ok(Group::from_product(name, 4, |x, y| x ^ y)?
                .with_element_names(["1", "a", "b", "ab"].map(String::from).into())),
            // r^a s^i * r^b s^j = r^(a + t^i b) s^(i + j), where s r s^-1 = r^t and s^2 = r^c.
            Family::Dihedral(n) => metacyclic(name, n as usize, n as usize - 1, 0),
            Family::Dicyclic(n) => metacyclic(name, 2 * n as usize, 2 * n as usize - 1, n as usize),
            Family::Quaternion(n) => metacyclic(name, n as usize / 2, n as usize / 2 - 1, n as usize / 4),
            Family::Semidihedral(n) => metacyclic(name, n as usize / 2, n as usize / 4 - 1, 0),
            Family::Modular(n) => metacyclic(name, n as usize / 2, n as usize / 4 + 1, 0),
            Family::Symmetric(n) => permutation_group(name, &permutations(n as usize)),
            Family::Alternating(n) => {
                let mut even = permutations(n as usize);
                even.retain(Permutation::is_even);
                permutation_group(name, &even)
            }
            Family::Affine(n, q) => linear::affine(name, n as usize, &field(q)),
            Family::General(n, q) => linear::matrices(name, n as usize, &field(q), linear::Determinant::Unit, false),
            Family::Special(n, q) => linear::matrices(name, n as usize, &field(q), linear::Determinant::One, false),
            Family::ProjectiveGeneral(n, q) => {
                linear::matrices(name, n as usize, &field(q), linear::Determinant::Unit, true)
            }
            Family::ProjectiveSpecial(n, q) => {
                linear::matrices(name, n as usize, &field(q), linear::Determinant::One, true)
            }
            Family::Extraspecial(order, sign) => extraspecial(name, order, sign),
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Family::Cyclic(n) => write!(f, "C{n}"),
            Family::Dihedral(n) => write!(f, "D{n}"),
            Family::Dicyclic(n) => write!(f, "Dic{n}"),
            Family::Quaternion(n) => write!(f, "Q{n}"),
            Family::Semidihedral(n) => write!(f, "SD{n}"),
            Family::Modular(n) => write!(f, "M{n}"),
            Family::Klein => f.write_str("V4"),
            Family::Symmetric(n) => write!(f, "S{n}"),
            Family::Alternating(n) => write!(f, "A{n}"),
            Family::Affine(n, q) => write!(f, "AGL({n},{q})"),
            Family::General(n, q) => write!(f, "GL({n},{q})"),
            Family::Special(n, q) => write!(f, "SL({n},{q})"),
            Family::ProjectiveGeneral(n, q) => write!(f, "PGL({n},{q})"),
            Family::ProjectiveSpecial(n, q) => write!(f, "PSL({n},{q})"),
            Family::Extraspecial(n, Sign::Plus) => write!(f, "ES({n},+)"),
            Family::Extraspecial(n, Sign::Minus) => write!(f, "ES({n},-)"),
        }
    }
}

/// `<r, s | r^n, s^2 = r^c, s r s^-1 = r^t>` of order 2n; the element `r^a s^i` has number `i * n + a`.
fn metacyclic(name: String, n: usize, t: usize, c: usize) -> Result<Group, GroupError> {
    let group = Group::from_product(name, 2 * n, |x, y| {
        let ((i, a), (j, b)) = ((x / n, x % n), (y / n, y % n));
        let carry = if i + j == 2 { c } else { 0 };
        (i + j) % 2 * n + (a + if i == 1 { t * b } else { b } + carry) % n
    })?;
    Ok(group.with_element_names((0..2 * n).map(|x| word(&[("r", x % n), ("s", x / n)])).collect()))
}

/// All permutations of n points, sorted by their images.
fn permutations(n: usize) -> Vec<Permutation> {
    let mut partial: Vec<Vec<usize>> = vec![Vec::new()];
    for _ in 0..n {
        partial = (partial.iter())
            .flat_map(|images| {
                let rest = (0..n).filter(|i| !images.contains(i));
                rest.map(|i| images.iter().copied().chain([i]).collect())
            })
            .collect();
    }
    (partial.iter())
        .map(|images| Permutation::from_images(images).expect("each point is used once"))
        .collect()
}

/// The group of these permutations, numbered as given, its elements named by their cycles.
pub(crate) fn permutation_group(name: String, permutations: &[Permutation]) -> Result<Group, GroupError> {
    let group = Group::from_values(name, permutations, Permutation::compose)?;
    Ok(group.with_element_names(permutations.iter().map(Permutation::to_string).collect()))
}

/// Pairs (v, z) with v in F_p^(2k) and z in F_p, multiplied as (v, z)(w, y) = (v + w, z + y + form(v, w)).
///
/// For p = 2 the square of (v, z) is the quadratic form form(v, v): hyperbolic for `+`, elliptic for `-`. For odd p a
/// bilinear form gives exponent p, and `-` adds the carry of the first coordinate, whose p-th power is then central.
fn extraspecial(name: String, order: u64, sign: Sign) -> Result<Group, GroupError> {
    let (p, exponent) = prime_power(order).expect("checked by order()");
    let (p, dimensions) = (p as usize, exponent as usize - 1);
    let coordinates = |x: usize| -> Vec<usize> { (0..dimensions).map(|i| x / p.pow(i as u32 + 1) % p).collect() };
    let vectors: Vec<Vec<usize>> = (0..order as usize).map(coordinates).collect();
    Group::from_product(name, order as usize, |x, y| {
        let (v, w) = (&vectors[x], &vectors[y]);
        let mut centre = x % p + y % p + (0..dimensions).step_by(2).map(|i| v[i] * w[i + 1]).sum::<usize>();
        if sign == Sign::Minus {
            centre += if p == 2 {
                v[0] * w[0] + v[1] * w[1]
            } else {
                (v[0] + w[0]) / p
            };
        }
        let vector = (0..dimensions)
            .map(|i| (v[i] + w[i]) % p * p.pow(i as u32 + 1))
            .sum::<usize>();
        vector + centre % p
    })
}

fn field(q: u64) -> Field {
    Field::new(q as usize).expect("checked by order()")
}

/// No matrix group over a larger field, but those of dimension 1, has at most [`Group::LARGEST`] elements.
const LARGEST_FIELD: u64 = 1000;

/// |GL(n, q)|, where it fits into 64 bits.
fn general_order(n: u64, q: u64) -> Result<Option<u64>, String> {
    if n == 0 {
        return Err("the dimension must be at least 1".into());
    }
    if n > 16 {
        return Ok(None);
    }
    if q > LARGEST_FIELD {
        return Err(format!("fields have at most {LARGEST_FIELD} elements here"));
    }
    if prime_power(q).is_none() {
        return Err(format!("there is no field with {q} elements, only with a prime power"));
    }
    let Some(size) = q.checked_pow(n as u32) else {
        return Ok(None);
    };
    Ok((0..n).try_fold(1u64, |order, i| order.checked_mul(size - q.pow(i as u32))))
}

fn factorial(n: u64) -> Option<u64> {
    if n > 20 { None } else { Some((1..=n).product()) }
}

/// `(p, k)` where `n = p^k` for a prime p and k at least 1.
pub(crate) fn prime_power(n: u64) -> Option<(u64, u32)> {
    let (mut rest, mut exponent) = (n, 0);
    let p = (2..)
        .take_while(|p| p * p <= n)
        .find(|&p| n.is_multiple_of(p))
        .unwrap_or(n);
    while rest > 1 && rest.is_multiple_of(p) {
        rest /= p;
        exponent += 1;
    }
    (n > 1 && rest == 1).then_some((p, exponent))
}

pub(crate) fn greatest_common_divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}
