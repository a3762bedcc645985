//! All subgroups of a group, up to conjugacy: the cyclic extension method of Neubueser (1960).
//!
//! Every soluble subgroup has a chain of subgroups, each normal in the next with prime index, so that all of them arise
//! from smaller ones U by elements that normalise U and have a prime power in U. In an insoluble group, any element of
//! prime-power order outside U extends it, which also reaches the perfect subgroups.

use std::collections::HashSet;

use super::element_set::ElementSet;
use super::family::prime_power;
use super::{Element, Group, Subgroup};

/// A class of conjugate subgroups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubgroupClass {
    /// One of them.
    pub representative: Subgroup,
    /// How many there are; 1 means normal.
    pub length: usize,
}

impl SubgroupClass {
    /// Whether the subgroup is its only conjugate.
    pub fn is_normal(&self) -> bool {
        self.length == 1
    }
}

/// There are more subgroups than asked for.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the group has more than {limit} subgroups")]
pub struct TooManySubgroups {
    /// How many were allowed.
    pub limit: usize,
}

/// All subgroups, class by class, in order of size, then length; the trivial one comes first, the whole group last.
///
/// # Errors
/// [`TooManySubgroups`] as soon as there are more than `limit` in all.
///
/// ```
/// use rhoset::group::{lattice::subgroup_classes, spec};
/// let classes = subgroup_classes(&spec::parse("S6")?, 10_000)?;
/// assert_eq!(classes.len(), 56);
/// assert_eq!(classes.iter().map(|class| class.length).sum::<usize>(), 1455);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn subgroup_classes(group: &Group, limit: usize) -> Result<Vec<SubgroupClass>, TooManySubgroups> {
    let soluble = group.is_soluble();
    let extenders = cyclic_extenders(group);
    let conjugation: Vec<Vec<Element>> = (group.generators().iter())
        .map(|&g| group.elements().map(|x| group.conjugate(g, x)).collect())
        .collect();
    let trivial = Subgroup::trivial(group);
    let mut known = HashSet::from([trivial.members().clone()]);
    let mut classes = vec![SubgroupClass {
        representative: trivial,
        length: 1,
    }];
    let mut next = 0;
    while next < classes.len() {
        let subgroup = classes[next].representative.clone();
        next += 1;
        let normalizer = subgroup.normalizer(group);
        // Extenders that are known to give nothing new.
        let mut done = subgroup.members().clone();
        for extender in &extenders {
            let z = extender.element;
            if done.contains(z) || (soluble && !(normalizer.contains(z) && subgroup.contains(extender.prime_power))) {
                continue;
            }
            let extension = if soluble {
                let extension = cyclic_extension(group, &subgroup, z);
                // A subgroup of prime index over U is the same for each of its elements outside U.
                extension.elements().iter().for_each(|&x| _ = done.insert(x));
                extension
            } else {
                // Elements conjugate under the normaliser give conjugate subgroups.
                normalizer
                    .elements()
                    .iter()
                    .for_each(|&g| _ = done.insert(group.conjugate(g, z)));
                subgroup.extended(group, &[z])
            };
            if known.contains(extension.members()) {
                continue;
            }
            let length = insert_conjugates(group.order(), &conjugation, extension.members(), &mut known);
            if known.len() > limit {
                return Err(TooManySubgroups { limit });
            }
            classes.push(SubgroupClass {
                representative: extension,
                length,
            });
        }
    }
    classes.sort_by(|a, b| {
        let key = |class: &SubgroupClass| (class.representative.order(), class.length);
        key(a)
            .cmp(&key(b))
            .then_with(|| a.representative.elements().cmp(b.representative.elements()))
    });
    Ok(classes)
}

/// A generator of a cyclic subgroup of prime-power order.
struct Extender {
    element: Element,
    /// Its p-th power.
    prime_power: Element,
}

/// One generator of every cyclic subgroup of prime-power order.
fn cyclic_extenders(group: &Group) -> Vec<Extender> {
    let orders = group.element_orders();
    let mut seen = ElementSet::empty(group.order());
    let mut extenders = Vec::new();
    for x in group.elements() {
        let Some((p, _)) = prime_power(orders[x.index()] as u64) else {
            continue;
        };
        if seen.contains(x) {
            continue;
        }
        let mut power = x;
        for k in 1..orders[x.index()] {
            if !k.is_multiple_of(p as usize) {
                seen.insert(power);
            }
            power = group.mul(power, x);
        }
        extenders.push(Extender {
            element: x,
            prime_power: group.pow(x, p as usize),
        });
    }
    extenders
}

/// The union of the cosets `U * z^i`, where z normalises U.
fn cyclic_extension(group: &Group, subgroup: &Subgroup, z: Element) -> Subgroup {
    let mut members = subgroup.members().clone();
    let mut power = z;
    while !subgroup.contains(power) {
        for &u in subgroup.elements() {
            members.insert(group.mul(u, power));
        }
        power = group.mul(power, z);
    }
    Subgroup::from_members(group, members)
}

/// Adds all conjugates to the known subgroups and counts them.
fn insert_conjugates(
    order: usize,
    conjugation: &[Vec<Element>],
    members: &ElementSet,
    known: &mut HashSet<ElementSet>,
) -> usize {
    let mut orbit = vec![members.clone()];
    known.insert(members.clone());
    let mut next = 0;
    while next < orbit.len() {
        for conjugate in conjugation {
            let mut image = ElementSet::empty(order);
            orbit[next].iter().for_each(|x| _ = image.insert(conjugate[x.index()]));
            if !known.contains(&image) {
                known.insert(image.clone());
                orbit.push(image);
            }
        }
        next += 1;
    }
    orbit.len()
}

/// All normal subgroups, in order of size.
///
/// # Errors
/// [`TooManySubgroups`] as soon as there are more than `limit`.
pub fn normal_subgroups(group: &Group, limit: usize) -> Result<Vec<Subgroup>, TooManySubgroups> {
    // Every normal subgroup is the join of the normal closures of its elements.
    let mut closures: Vec<Subgroup> = (group.conjugacy_classes().iter().skip(1))
        .filter(|class| prime_power(class.element_order as u64).is_some())
        .map(|class| Subgroup::generated(group, &class.elements))
        .collect();
    closures.sort_unstable_by(|a, b| (a.order(), a.elements()).cmp(&(b.order(), b.elements())));
    closures.dedup();
    let trivial = Subgroup::trivial(group);
    let mut known = HashSet::from([trivial.members().clone()]);
    let mut normal = vec![trivial];
    let mut next = 0;
    while next < normal.len() {
        for closure in &closures {
            if closure.is_subgroup_of(&normal[next]) {
                continue;
            }
            let join = normal[next].extended(group, &closure.generators(group));
            if known.insert(join.members().clone()) {
                normal.push(join);
            }
            if normal.len() > limit {
                return Err(TooManySubgroups { limit });
            }
        }
        next += 1;
    }
    normal.sort_by(|a, b| (a.order(), a.elements()).cmp(&(b.order(), b.elements())));
    Ok(normal)
}

/// The number of subgroups of an abelian group, without listing them; `None` where it does not fit, or the group is not
/// abelian.
///
/// A p-group of type lambda has, of type mu, the product over i >= 1 of p^(mu'_(i+1) (lambda'_i - mu'_i)) times the
/// Gaussian binomial of lambda'_i - mu'_(i+1) over mu'_i - mu'_(i+1), where ' conjugates partitions (Birkhoff 1935).
pub fn abelian_subgroup_count(group: &Group) -> Option<u128> {
    if !group.is_abelian() {
        return None;
    }
    let orders = group.element_orders();
    let mut count = 1u128;
    for p in
        (2..=group.order()).filter(|&p| group.order().is_multiple_of(p) && prime_power(p as u64) == Some((p as u64, 1)))
    {
        // lambda'_i is the dimension of the elements of order dividing p^i over those of order dividing p^(i-1).
        let mut lambda = Vec::new();
        let mut before = 1;
        let mut power = p;
        loop {
            let torsion = orders.iter().filter(|&&order| power.is_multiple_of(order)).count();
            if torsion == before {
                break;
            }
            lambda.push((torsion / before).ilog(p) as usize);
            before = torsion;
            power *= p;
        }
        let mut mu = vec![0; lambda.len() + 1];
        count = count.checked_mul(count_types(p as u128, &lambda, &mut mu, 0)?)?;
    }
    Some(count)
}

/// Sums over the conjugate partitions mu with mu_i <= lambda_i, from place i on.
fn count_types(p: u128, lambda: &[usize], mu: &mut Vec<usize>, i: usize) -> Option<u128> {
    if i == lambda.len() {
        return (0..lambda.len()).try_fold(1u128, |product, i| {
            let twist = p.checked_pow((mu[i + 1] * (lambda[i] - mu[i])) as u32)?;
            product
                .checked_mul(twist)?
                .checked_mul(gaussian_binomial(p, lambda[i] - mu[i + 1], mu[i] - mu[i + 1])?)
        });
    }
    let largest = if i == 0 { lambda[0] } else { lambda[i].min(mu[i - 1]) };
    (0..=largest).try_fold(0u128, |sum, part| {
        mu[i] = part;
        sum.checked_add(count_types(p, lambda, mu, i + 1)?)
    })
}

/// The number of k-dimensional subspaces of an n-dimensional space over the field with q elements.
fn gaussian_binomial(q: u128, n: usize, k: usize) -> Option<u128> {
    (0..k).try_fold(1u128, |product, i| {
        let numerator = q.checked_pow((n - i) as u32)?.checked_sub(1)?;
        Some(product.checked_mul(numerator)? / (q.checked_pow(i as u32 + 1)? - 1))
    })
}
