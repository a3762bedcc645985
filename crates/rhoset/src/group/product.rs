//! Groups made from groups: direct, semidirect and wreath products.

use super::generate::too_large;
use super::{Element, Group, GroupError};

/// The direct product. The last factor's coordinate runs fastest; names are written `(a, b)`.
///
/// # Errors
/// [`GroupError::TooLarge`].
pub fn direct(factors: &[Group]) -> Result<Group, GroupError> {
    let order = factors.iter().try_fold(1usize, |order, factor| {
        let order = order * factor.order();
        too_large(order).map(|()| order)
    })?;
    let coordinates: Vec<Vec<Element>> = (0..order)
        .map(|mut x| {
            let mut coordinates: Vec<Element> = (factors.iter().rev())
                .map(|factor| {
                    let coordinate = Element((x % factor.order()) as u16);
                    x /= factor.order();
                    coordinate
                })
                .collect();
            coordinates.reverse();
            coordinates
        })
        .collect();
    let name = factors.iter().map(Group::name).collect::<Vec<_>>().join("x");
    let group = Group::from_product(name, order, |x, y| {
        let pairs = coordinates[x].iter().zip(&coordinates[y]);
        factors.iter().zip(pairs).fold(0, |number, (factor, (&a, &b))| {
            number * factor.order() + factor.mul(a, b).index()
        })
    })?;
    if factors.len() == 1 {
        return Ok(group.with_element_names(factors[0].names()));
    }
    let element_name = |x: &Vec<Element>| {
        let parts: Vec<String> = x
            .iter()
            .zip(factors)
            .map(|(&a, factor)| factor.element_name(a))
            .collect();
        format!("({})", parts.join(", "))
    };
    let names = coordinates.iter().map(element_name).collect();
    Ok(group.with_element_names(names))
}
