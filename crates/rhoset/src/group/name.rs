//! Names of groups that a person recognises.

use super::{Group, Subgroup};

/// The name of a subgroup as a group of its own: `S4`, `C5:C4`, `C6xC2`.
pub fn describe(group: &Group, subgroup: &Subgroup) -> String {
    match subgroup.order() {
        1 => "1".into(),
        order
            if subgroup
                .elements()
                .iter()
                .any(|&x| Subgroup::generated(group, &[x]).order() == order) =>
        {
            format!("C{order}")
        }
        order => format!("order-{order} group"),
    }
}
