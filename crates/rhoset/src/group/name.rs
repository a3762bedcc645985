//! Names of groups that a person recognises.
//!
//! Tried in this order: abelian groups by their invariants (`C6xC2`), the families that have a recognisable shape (`D4`,
//! `Dic3`, `S4`), direct products (`A4xC2`), the other families (`SL(2,3)`, `S3wrC2`), semidirect products (`C5:C4`).
//! A name, read as a spec, gives the group again; where no name is found it says `order-96 group`, which is no spec.

use std::collections::HashMap;

use super::family::{Family, Sign, prime_power};
use super::isomorphism::{fingerprint, isomorphism};
use super::lattice::{normal_subgroups, subgroup_classes};
use super::spec::Spec;
use super::{Group, Subgroup, product};

/// The name of a subgroup as a group of its own: `S4`, `C5:C4`, `C6xC2`; `1` for the trivial one.
pub fn describe(group: &Group, subgroup: &Subgroup) -> String {
    identify(&subgroup.as_group(group))
}

/// Names of subgroups of one group, each looked for once: that takes long, and conjugate subgroups have one name.
#[derive(Clone, Debug, Default)]
pub struct SubgroupNames {
    known: HashMap<Subgroup, String>,
}

impl SubgroupNames {
    /// What [`describe`] says; `group` is the same every time.
    pub fn of(&mut self, group: &Group, subgroup: &Subgroup) -> String {
        if let Some(name) = self.known.get(subgroup) {
            return name.clone();
        }
        let name = describe(group, subgroup);
        for conjugate in subgroup.conjugates(group) {
            self.known.insert(conjugate, name.clone());
        }
        name
    }
}

/// The name of a group, from its table alone: `S4`, `C5:C4`, `C6xC2`; `1` for the trivial one.
///
/// ```
/// use rhoset::group::{name::identify, spec};
/// assert_eq!(identify(&spec::parse("perm:(1,2,3);(4,5);(1,2)")?), "D6");
/// assert_eq!(identify(&spec::parse("AGL(1,5)")?), "C5:C4");
/// # Ok::<(), spec::SpecError>(())
/// ```
pub fn identify(group: &Group) -> String {
    search(group).unwrap_or_else(|| format!("order-{} group", group.order()))
}

/// Up to this order all subgroups are searched for the parts of a semidirect product.
const LARGEST_SPLIT: usize = 720;
/// So many ways of splitting a group are tried for one that needs no number.
const MOST_SPLITS: usize = 6;
/// More subgroups than this are not searched.
const MOST_SUBGROUPS: usize = 3_000;

fn search(group: &Group) -> Option<String> {
    if let Some(name) = abelian(group).or_else(|| family(group)) {
        return Some(name);
    }
    let normal = normal_subgroups(group, MOST_SUBGROUPS).unwrap_or_default();
    direct_product(group, &normal)
        .or_else(|| other_family(group))
        .or_else(|| semidirect_product(group, &normal))
}

/// The invariants of an abelian group, each dividing the one before.
fn abelian(group: &Group) -> Option<String> {
    if !group.is_abelian() {
        return None;
    }
    let orders = group.element_orders();
    let mut invariants: Vec<usize> = Vec::new();
    for p in primes(group.order()) {
        // parts[i] is how many cyclic factors have order at least p^(i+1).
        let torsion = |power: usize| orders.iter().filter(|&&order| power.is_multiple_of(order)).count();
        let mut power = p;
        while torsion(power) > torsion(power / p) {
            let factors = (torsion(power) / torsion(power / p)).ilog(p) as usize;
            invariants.resize(invariants.len().max(factors), 1);
            invariants[..factors].iter_mut().for_each(|invariant| *invariant *= p);
            power *= p;
        }
    }
    Some(match invariants[..] {
        [] => "1".into(),
        [2, 2] => "V4".into(),
        _ => (invariants.chunk_by(|a, b| a == b))
            .map(|equal| match equal {
                [n] => format!("C{n}"),
                _ => format!("C{}^{}", equal[0], equal.len()),
            })
            .collect::<Vec<_>>()
            .join("x"),
    })
}

/// The families that people prefer to a decomposition: cyclic, dihedral, dicyclic and their relatives, `Sn` and `An`.
pub(crate) fn family(group: &Group) -> Option<String> {
    let n = group.order() as u64;
    if group.is_abelian() {
        return abelian(group);
    }
    if n == 6 {
        return Some("S3".into());
    }
    let mut candidates = vec![Family::Dihedral(n / 2)];
    if n.is_power_of_two() {
        candidates.push(Family::Quaternion(n));
        if n >= 16 {
            candidates.extend([Family::Semidihedral(n), Family::Modular(n)]);
        }
    } else {
        candidates.push(Family::Dicyclic(n / 4));
    }
    let has_cyclic_half = group.element_orders().iter().any(|&order| 2 * order == group.order());
    if !has_cyclic_half {
        candidates.clear();
    }
    for k in 3..8 {
        candidates.extend([Family::Symmetric(k), Family::Alternating(k)]);
    }
    first_isomorphic(group, candidates.into_iter().map(Spec::Family))
}

/// Families that are only tried on groups that are no direct product.
fn other_family(group: &Group) -> Option<String> {
    let n = group.order() as u64;
    let mut candidates: Vec<Spec> = Vec::new();
    let mut families = vec![Family::General(3, 2), Family::Special(3, 3), Family::Affine(3, 2)];
    for q in (2..100).filter(|&q| prime_power(q).is_some()) {
        if q >= 7 {
            families.push(Family::Affine(1, q));
        }
        if q < 30 {
            families.extend([Family::Special(2, q), Family::General(2, q), Family::Affine(2, q)]);
            families.extend([Family::ProjectiveSpecial(2, q), Family::ProjectiveGeneral(2, q)]);
        }
    }
    families.extend([
        Family::Extraspecial(n, Sign::Plus),
        Family::Extraspecial(n, Sign::Minus),
    ]);
    candidates.extend(families.into_iter().map(Spec::Family));
    let cyclic = |n: u64| Box::new(Spec::Family(Family::Cyclic(n)));
    let small = [
        Family::Cyclic(2),
        Family::Cyclic(3),
        Family::Cyclic(4),
        Family::Klein,
        Family::Cyclic(5),
        Family::Cyclic(6),
        Family::Symmetric(3),
        Family::Cyclic(7),
        Family::Dihedral(4),
        Family::Quaternion(8),
        Family::Dihedral(5),
        Family::Alternating(4),
        Family::Symmetric(4),
        Family::Alternating(5),
    ];
    for base in small {
        for top in [
            Family::Cyclic(2),
            Family::Cyclic(3),
            Family::Symmetric(3),
            Family::Cyclic(4),
            Family::Klein,
            Family::Cyclic(5),
            Family::Dihedral(4),
            Family::Alternating(4),
            Family::Symmetric(4),
        ] {
            candidates.push(Spec::Wreath(Box::new(Spec::Family(base)), Box::new(Spec::Family(top))));
        }
    }
    candidates.extend(
        (8..100)
            .filter(|&m| n.is_multiple_of(m))
            .map(|m| Spec::Holomorph(cyclic(m))),
    );
    let fits = |spec: &Spec| match spec {
        Spec::Holomorph(base) => base.order().ok().flatten().is_some_and(|m| m * euler_phi(m) == n),
        spec => matches!(spec.order(), Ok(Some(order)) if order == n),
    };
    first_isomorphic(group, candidates.into_iter().filter(fits))
}

fn first_isomorphic(group: &Group, candidates: impl Iterator<Item = Spec>) -> Option<String> {
    let mut print = None;
    for spec in candidates {
        if !matches!(spec.order(), Ok(Some(order)) if order == group.order() as u64)
            && !matches!(spec, Spec::Holomorph(_))
        {
            continue;
        }
        let Ok(candidate) = spec.build() else { continue };
        let print = *print.get_or_insert_with(|| fingerprint(group));
        if candidate.order() == group.order()
            && fingerprint(&candidate) == print
            && isomorphism(group, &candidate).is_some()
        {
            return Some(spec.to_string());
        }
    }
    None
}

/// Splits off the smallest direct factors one by one; the abelian ones are named together, at the end.
fn direct_product(group: &Group, normal: &[Subgroup]) -> Option<String> {
    let (factor, complement) = normal
        .iter()
        .filter(|a| a.order() > 1 && a.order() < group.order())
        .find_map(|a| {
            let complement = normal
                .iter()
                .find(|b| a.order() * b.order() == group.order() && a.intersection(b).order() == 1)?;
            Some((a, complement))
        })?;
    // A smallest direct factor does not split again.
    let mut names: Vec<(usize, String)> = Vec::new();
    let mut commuting = vec![factor.as_group(group)];
    let mut rest = complement.as_group(group);
    if !commuting[0].is_abelian() {
        names.push((factor.order(), search(&commuting.remove(0))?));
    }
    loop {
        if rest.is_abelian() {
            commuting.push(rest);
            break;
        }
        let normal = normal_subgroups(&rest, MOST_SUBGROUPS).ok()?;
        let split = normal
            .iter()
            .filter(|a| a.order() > 1 && a.order() < rest.order())
            .find_map(|a| {
                let mut complements = normal.iter().filter(|b| a.order() * b.order() == rest.order());
                Some((a, complements.find(|b| a.intersection(b).order() == 1)?))
            });
        let Some((factor, complement)) = split else {
            names.push((rest.order(), search(&rest)?));
            break;
        };
        let factor = factor.as_group(&rest);
        if factor.is_abelian() {
            commuting.push(factor);
        } else {
            names.push((factor.order(), search(&factor)?));
        }
        rest = complement.as_group(&rest);
    }
    names.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    let mut names: Vec<String> = (names.chunk_by(|a, b| a == b))
        .map(|equal| match equal {
            [(_, name)] => operand(name),
            [(_, name), _] => format!("{0}x{0}", operand(name)),
            _ => format!("{}^{}", operand(&equal[0].1), equal.len()),
        })
        .collect();
    let commuting = product::direct(&commuting).ok()?;
    match abelian(&commuting)? {
        name if name == "1" => {}
        name if name == "V4" => names.push("C2^2".into()),
        name => names.push(name),
    }
    Some(names.join("x"))
}

/// `N:Q` with the smallest kernel of the action, and among those with abelian and large N; best without a number.
fn semidirect_product(group: &Group, normal: &[Subgroup]) -> Option<String> {
    if group.order() > LARGEST_SPLIT {
        return None;
    }
    let classes = subgroup_classes(group, MOST_SUBGROUPS).ok()?;
    let mut splits: Vec<(usize, usize, &Subgroup, &Subgroup)> = Vec::new();
    for n in normal.iter().filter(|n| n.order() > 1 && n.order() < group.order()) {
        let centralizer = n.centralizer(group);
        for class in &classes {
            let q = &class.representative;
            if n.order() * q.order() == group.order() && n.intersection(q).order() == 1 {
                let kernel = centralizer.intersection(q).order();
                splits.push((kernel, group.order() / n.order(), n, q));
            }
        }
    }
    splits.sort_by_key(|&(kernel, index, n, _)| (kernel, !n.is_subgroup_of(&n.centralizer(group)), index));
    let mut numbered_name = None;
    for (_, _, n, q) in splits.into_iter().take(MOST_SPLITS) {
        let (normal, quotient) = (n.as_group(group), q.as_group(group));
        let (Some(left), Some(right)) = (search(&normal), search(&quotient)) else {
            continue;
        };
        match numbered(&format!("{}:{}", operand(&left), operand(&right)), group) {
            Some(name) if !name.contains('#') => return Some(name),
            name => numbered_name = numbered_name.or(name),
        }
    }
    numbered_name
}

/// The spec `N:Q`, or `N:Q#k` where several actions are as faithful, that gives this group.
fn numbered(name: &str, group: &Group) -> Option<String> {
    let Ok(Spec::Semidirect(normal, quotient, _)) = name.parse() else {
        return None;
    };
    let groups = super::spec::semidirect_products(&normal.build().ok()?, &quotient.build().ok()?).ok()?;
    let index = groups
        .iter()
        .position(|(_, candidate)| isomorphism(group, candidate).is_some())?;
    let faithful = groups.iter().filter(|(kernel, _)| *kernel == groups[0].0).count();
    Some(if index == 0 && faithful == 1 {
        name.into()
    } else {
        format!("{name}#{}", index + 1)
    })
}

/// A name beside an operator.
fn operand(name: &str) -> String {
    if name.contains(['x', ':']) || name.contains("wr") {
        format!("({name})")
    } else {
        name.into()
    }
}

fn primes(n: usize) -> impl Iterator<Item = usize> {
    (2..=n).filter(move |&p| n.is_multiple_of(p) && prime_power(p as u64).is_some_and(|(_, k)| k == 1))
}

fn euler_phi(n: u64) -> u64 {
    (1..=n)
        .filter(|&k| super::family::greatest_common_divisor(k, n) == 1)
        .count() as u64
}
