//! One name for each group of a study or a report, whatever the files call it; and what is made of specs.
//!
//! A file's own name counts where it is a spec of the group in the file; else the table decides. Groups that are
//! isomorphic have one name, so that networks over them stand together; the order of their labels is their own.

use rhoset::group::Group;
use rhoset::group::isomorphism::isomorphism;
use rhoset::group::name::identify;
use rhoset::group::spec::Spec;

/// The groups met so far, each under its one name.
#[derive(Default)]
pub(crate) struct GroupNames {
    known: Vec<Group>,
}

impl GroupNames {
    /// The group, its table unchanged, under the name that it has here.
    pub(crate) fn named(&mut self, group: Group) -> Group {
        // Isomorphism is quick for groups of the same table too, but most networks share one.
        let same_table = |own: &&Group| own.table() == group.table();
        let known = self.known.iter().find(same_table);
        let known = known.or_else(|| self.known.iter().find(|own| isomorphism(own, &group).is_some()));
        let name = known.map_or_else(|| name(&group), |own| own.name().to_owned());
        let group = group.with_name(name);
        if !self.known.iter().any(|own| own.table() == group.table()) {
            self.known.push(group.clone());
        }
        group
    }
}

/// Its own name, spelled as a spec, where that gives this group; else a name found from the table.
fn name(group: &Group) -> String {
    let own = group.name().parse::<Spec>().ok().filter(|spec| is_of(spec, group));
    own.map_or_else(|| identify(group), |spec| spec.to_string())
}

fn is_of(spec: &Spec, group: &Group) -> bool {
    // A name out of a file must neither read another file nor build a group of any size.
    let harmless = !matches!(spec, Spec::Table(_)) && matches!(spec.order(), Ok(Some(n)) if n == group.order() as u64);
    harmless && (spec.build()).is_ok_and(|named| isomorphism(&named, group).is_some())
}

/// The specs of a command line, each once: two trainings of one network would write to one directory.
pub(crate) fn each_once(specs: &[String]) -> impl Iterator<Item = &String> {
    (specs.iter().enumerate())
        .filter(|(i, spec)| !specs[..*i].contains(spec))
        .map(|(_, spec)| spec)
}

/// The name of a group's directory.
pub(crate) fn directory(group: &str) -> String {
    group.replace(['/', ':', ';', '\\'], "_")
}

#[cfg(test)]
mod tests {
    use rhoset::group::{Element, spec};

    use super::*;

    /// The group with its labels turned around.
    fn turned(group: &Group, name: &str) -> Group {
        let n = group.order();
        let other = |x: usize| n - 1 - x;
        let table: Vec<u16> = (0..n * n)
            .map(|i| group.mul(Element(other(i / n) as u16), Element(other(i % n) as u16)))
            .map(|z| other(z.index()) as u16)
            .collect();
        Group::from_table(name, n, &table).unwrap()
    }

    #[test]
    fn isomorphic_groups_have_one_name_and_keep_their_labels() {
        let wreath = spec::parse("S3wrC2").unwrap();
        let mut names = GroupNames::default();
        let first = names.named(wreath.clone().with_name("S3 wr C2"));
        let second = names.named(turned(&wreath, "something else"));
        let third = names.named(wreath.clone().with_name("S5"));
        assert_eq!([first.name(), second.name(), third.name()], ["S3wrC2"; 3]);
        assert_eq!(first.table(), wreath.table());
        assert_ne!(second.table(), wreath.table());
        assert_eq!(names.named(spec::parse("S4").unwrap()).name(), "S4");
    }

    #[test]
    fn a_name_that_is_no_spec_of_the_group_gives_way_to_the_table() {
        let s4 = spec::parse("S4").unwrap();
        for name in [
            "",
            "SL(2,3)",
            "table:/dev/zero",
            "C2^60",
            "S4-order-24",
            "order-24 group",
        ] {
            let named = GroupNames::default().named(s4.clone().with_name(name));
            assert_eq!(named.name(), "S4", "{name}");
        }
        // A good name is kept although the table alone would be called otherwise.
        let affine = spec::parse("AGL(1,5)").unwrap();
        assert_eq!(GroupNames::default().named(affine).name(), "AGL(1,5)");
    }
}
