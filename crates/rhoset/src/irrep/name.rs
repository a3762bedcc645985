//! Names for irreps that a person recognises.

use super::Irrep;
use crate::group::{Element, Group, classes::letters};

/// Names all irreps: `trivial`; `sign` where one character takes the values 1 and -1 alone and there is no other such;
/// `standard` and `standard x sign` where a symmetric group acts on its points less one; else dimension and letter.
pub(super) fn name_all(group: &Group, irreps: &mut [Irrep]) {
    let is_sign = |irrep: &Irrep| irrep.dimension() == 1 && irrep.kernel().order() < group.order();
    let signs: Vec<usize> = (0..irreps.len()).filter(|&i| is_sign(&irreps[i])).collect();
    let sign = (signs.len() == 1).then(|| signs[0]);
    let standard = symmetric_degree(group).and_then(|points| standard(group, irreps, points));
    let twisted = sign.zip(standard).and_then(|(sign, standard)| {
        let product = |g: Element| irreps[sign].character(g) * irreps[standard].character(g);
        (0..irreps.len()).find(|&i| i != standard && group.elements().all(|g| same(irreps[i].character(g), product(g))))
    });
    let dimensions: Vec<usize> = irreps.iter().map(Irrep::dimension).collect();
    for i in 0..irreps.len() {
        irreps[i].name = if i == 0 {
            "trivial".into()
        } else if Some(i) == sign {
            "sign".into()
        } else if Some(i) == standard {
            "standard".into()
        } else if Some(i) == twisted {
            "standard x sign".into()
        } else {
            let d = dimensions[i];
            let before = dimensions[..i].iter().filter(|&&other| other == d).count() - usize::from(d == 1);
            let alone = dimensions.iter().filter(|&&other| other == d).count() == 1 + usize::from(d == 1);
            if alone {
                d.to_string()
            } else {
                format!("{d}{}", letters(before))
            }
        };
    }
}

fn same(a: f64, b: f64) -> bool {
    (a - b).abs() < 1e-6
}

/// k where the group's order is k! and its name says that it is symmetric.
fn symmetric_degree(group: &Group) -> Option<usize> {
    let degree: usize = group.name().strip_prefix('S')?.parse().ok()?;
    ((1..=degree).product::<usize>() == group.order() && degree >= 3).then_some(degree)
}

/// The irrep of dimension k - 1 whose character at a transposition is k - 3.
///
/// Where elements have no names, S6 does not know its transpositions from their images under its outer automorphism, and
/// either irrep may be called standard.
fn standard(group: &Group, irreps: &[Irrep], points: usize) -> Option<usize> {
    let classes = group.conjugacy_classes();
    let involutions = || {
        let of_size = |size: usize| size == points * (points - 1) / 2;
        classes
            .iter()
            .filter(move |class| of_size(class.size()))
            .map(|class| class.representative())
            .filter(|&g| group.element_order(g) == 2)
    };
    let named = involutions().find(|&g| group.element_name(g).matches('(').count() == 1);
    let transposition = named.or_else(|| involutions().next())?;
    (0..irreps.len())
        .find(|&i| irreps[i].dimension() == points - 1 && same(irreps[i].character(transposition), points as f64 - 3.0))
}
