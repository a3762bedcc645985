//! Groups against GAP's tables, and by the theorems that they must satisfy.

use std::collections::HashSet;

use proptest::prelude::*;
use rhoset::group::character::characters;
use rhoset::group::isomorphism::{automorphisms, fingerprint, isomorphism};
use rhoset::group::lattice::{abelian_subgroup_count, normal_subgroups, subgroup_classes};
use rhoset::group::permutation::{Permutation, PermutationError};
use rhoset::group::{
    Action, ActionError, Element, Group, GroupError, Spec, SpecError, Subgroup, SubgroupError, name, spec,
};

/// A line of `tests/data/gap-order-2-to-48.jsonl`, computed by GAP 4.12.
#[derive(serde::Deserialize)]
struct GapGroup {
    order: usize,
    id: usize,
    generators: Vec<Vec<usize>>,
    class_sizes: Vec<usize>,
    element_orders: Vec<usize>,
    irrep_degrees: Vec<usize>,
    frobenius_schur: Vec<i8>,
    subgroups: usize,
    subgroup_classes: usize,
}

impl GapGroup {
    fn all() -> Vec<Self> {
        let text = include_str!("../../../tests/data/gap-order-2-to-48.jsonl");
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn group(&self) -> Group {
        let generators: Vec<String> = (self.generators.iter())
            .map(|images| Permutation::from_images(images).unwrap().to_string())
            .collect();
        parse(&format!("perm:{}", generators.join(";")))
    }
}

fn sorted<T: Ord>(items: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut items: Vec<T> = items.into_iter().collect();
    items.sort();
    items
}

fn parse(text: &str) -> Group {
    spec::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn gap_agrees_on_classes_and_subgroups_of_205_groups() {
    let records = GapGroup::all();
    assert_eq!(records.len(), 205);
    for record in records {
        let (group, what) = (record.group(), format!("group {}/{}", record.order, record.id));
        assert_eq!(group.order(), record.order, "{what}");
        let classes = group.conjugacy_classes();
        assert_eq!(
            sorted(classes.iter().map(|class| (class.size(), class.element_order))),
            sorted(
                record
                    .class_sizes
                    .iter()
                    .copied()
                    .zip(record.element_orders.iter().copied())
            ),
            "{what}"
        );
        let subgroups = subgroup_classes(&group, 100_000).unwrap();
        assert_eq!(subgroups.len(), record.subgroup_classes, "{what}");
        assert_eq!(
            subgroups.iter().map(|class| class.length).sum::<usize>(),
            record.subgroups,
            "{what}"
        );
        let normal = subgroups.iter().filter(|class| class.is_normal()).count();
        assert_eq!(normal_subgroups(&group, 100_000).unwrap().len(), normal, "{what}");
        if let Some(count) = abelian_subgroup_count(&group) {
            assert_eq!(count, record.subgroups as u128, "{what}");
        }
    }
}

#[test]
fn gap_agrees_on_degrees_and_indicators_of_exact_characters() {
    for record in GapGroup::all() {
        let group = record.group();
        let classes = group.conjugacy_classes();
        let characters = characters(&group, &classes);
        assert_eq!(
            sorted(characters.iter().map(|c| (c.degree(), c.frobenius_schur()))),
            sorted(
                record
                    .irrep_degrees
                    .iter()
                    .copied()
                    .zip(record.frobenius_schur.iter().copied())
            ),
            "group {}/{}",
            record.order,
            record.id
        );
    }
}

#[test]
fn exact_characters_are_orthonormal_with_normal_kernels() {
    for text in [
        "1",
        "C12",
        "S5",
        "SL(2,5)",
        "AGL(1,11)",
        "ES(27,-)",
        "GL(2,4)",
        "S3wrC2",
        "PSL(2,11)",
        "D30",
    ] {
        let group = parse(text);
        let classes = group.conjugacy_classes();
        let characters = characters(&group, &classes);
        assert_eq!(characters.len(), classes.count(), "{text}");
        for (i, a) in characters.iter().enumerate() {
            assert!(a.kernel(&group, &classes).is_normal(&group), "{text}");
            for (j, b) in characters.iter().enumerate() {
                let terms = classes
                    .iter()
                    .enumerate()
                    .map(|(r, class)| a.value(r) * b.value(r).conj() * class.size() as f64);
                let product = terms.sum::<num_complex::Complex64>() / group.order() as f64;
                assert!((product - f64::from(u8::from(i == j))).norm() < 1e-9, "{text}: {i} {j}");
            }
        }
        // The trivial character comes first; a faithful family of characters has trivial common kernel.
        assert_eq!(characters[0].kernel(&group, &classes).order(), group.order(), "{text}");
        let kernels = characters.iter().map(|character| character.kernel(&group, &classes));
        assert_eq!(kernels.reduce(|a, b| a.intersection(&b)).unwrap().order(), 1, "{text}");
    }
}

/// Totals and classes from GAP 4.12, `ConjugacyClassesSubgroups`.
#[test]
fn gap_agrees_on_the_subgroups_of_larger_and_insoluble_groups() {
    for (text, total, count) in [
        ("S6", 1455, 56),
        ("GL(3,2)", 179, 15),
        ("SL(2,5)", 76, 12),
        ("D4xD4", 389, 214),
        ("S4wrC2", 4586, 221),
        ("A5xC2^2", 601, 71),
        ("PSL(2,11)", 620, 16),
        ("S4xS4", 2976, 274),
        ("ES(32,-)", 78, 73),
        ("ES(32,+)", 110, 83),
        ("ES(125,-)", 14, 10),
        ("A4wrC2", 442, 46),
        ("A5xA4", 1166, 63),
    ] {
        let classes = subgroup_classes(&parse(text), 100_000).unwrap();
        let found = (classes.iter().map(|class| class.length).sum::<usize>(), classes.len());
        assert_eq!(found, (total, count), "{text}");
    }
}

#[test]
fn abelian_subgroups_are_counted_as_they_are_listed() {
    for text in [
        "C2^6",
        "C3^4",
        "C4^2xC2^2",
        "C8xC4xC2",
        "C9xC3^2",
        "C6^3",
        "C720",
        "C12xC6",
        "C1",
    ] {
        let group = parse(text);
        let listed = subgroup_classes(&group, 100_000).unwrap();
        assert!(listed.iter().all(|class| class.is_normal()), "{text}");
        assert_eq!(abelian_subgroup_count(&group), Some(listed.len() as u128), "{text}");
    }
    // The Galois number of dimension 9 over two elements.
    assert_eq!(abelian_subgroup_count(&parse("C2^9")), Some(8_283_458));
    assert_eq!(abelian_subgroup_count(&parse("S3")), None);
}

#[test]
fn the_search_for_subgroups_stops_where_asked() {
    assert!(subgroup_classes(&parse("C2^6"), 100).is_err());
    assert!(normal_subgroups(&parse("C2^6"), 100).is_err());
}

#[test]
fn names_read_as_specs_give_the_group_again() {
    let mut named = 0;
    for record in GapGroup::all() {
        let group = record.group();
        let name = name::identify(&group);
        if !name.ends_with("group") {
            named += 1;
            assert!(
                isomorphism(&group, &parse(&name)).is_some(),
                "{}/{} is not {name}",
                record.order,
                record.id
            );
        }
    }
    // All but C2.S4, number 28 of order 48, which is no product of any kind.
    assert_eq!(named, 204);
}

#[test]
fn different_groups_have_different_names() {
    let names: HashSet<String> = GapGroup::all()
        .iter()
        .map(|record| name::identify(&record.group()))
        .collect();
    assert_eq!(names.len(), 205);
}

#[test]
fn people_recognise_the_names_of_subgroups() {
    let s5 = parse("S5");
    let names: Vec<String> = (subgroup_classes(&s5, 1000).unwrap().iter())
        .map(|class| name::describe(&s5, &class.representative))
        .collect();
    let expected = "1 C2 C2 C3 V4 V4 C4 C5 S3 C6 S3 D4 D5 A4 D6 C5:C4 S4 A5 S5";
    assert_eq!(sorted(names), sorted(expected.split(' ').map(String::from)));
    for (text, expected) in [
        ("perm:(1,2,3,4);(1,3)", "D4"),
        ("C11:C10", "AGL(1,11)"),
        ("PSL(2,7)", "GL(3,2)"),
        ("S3wrC2", "S3wrC2"),
        ("PGL(2,5)", "S5"),
        ("PSL(2,9)", "A6"),
        ("C2xA4", "A4xC2"),
        ("C2xC3", "C6"),
        ("C15xD2", "C30xC2"),
        ("A5xC2", "A5xC2"),
        ("C11:C5", "C11:C5"),
        ("SL(2,2)", "S3"),
        ("Dic2", "Q8"),
        ("C3^2:C4", "C3^2:C4"),
        ("D30", "D30"),
    ] {
        assert_eq!(name::identify(&parse(text)), expected, "{text}");
    }
}

#[test]
fn specs_build_groups_of_the_right_order() {
    let specs = "1=1 C113=113 D30=60 Dic5=20 Q8=8 Q16=16 SD16=16 M16=16 S5=120 A5=60 V4=4 C2^4=16 A5xC2=120 S3wrC2=72 \
         C2wrS3=48 C3wrA4=972 C2wrD4=128 AGL(1,11)=110 AGL(1,8)=56 AGL(1,9)=72 AGL(2,3)=432 Hol(C9)=54 Hol(C2^3)=1344 \
         GL(3,2)=168 GL(2,4)=180 GL(1,9)=8 SL(2,5)=120 SL(2,8)=504 SL(2,9)=720 PSL(2,7)=168 PSL(2,9)=360 PGL(2,7)=336 \
         ES(27,+)=27 ES(27,-)=27 ES(32,+)=32 ES(32,-)=32 ES(125,-)=125 C11:C5=55 (C3xC3):C4=36 C3^2:C4=36 (S3xC3)^2=324 \
         C8:C2#3=16 C2^4:A5#1=960 C2^4:C15=240 ((((S3))))=6 perm:()=1 perm:(1,2,3)(4,5);(1,2)=12 S1=1 A1=1 A2=1 D1=2";
    for (text, order) in specs.split_whitespace().map(|spec| spec.rsplit_once('=').unwrap()) {
        assert_eq!(parse(text).order().to_string(), order, "{text}");
    }
    assert_eq!(parse(" A5 x C2 ").order(), 120);
    assert_eq!(parse("perm: (1, 2) ; (2, 3)").order(), 6);
}

#[test]
fn families_have_their_defining_shapes() {
    let count = |text: &str, order: usize| parse(text).element_orders().iter().filter(|&&o| o == order).count();
    // Involutions and exponents tell these apart.
    assert_eq!(["D8", "SD16", "Q16", "M16"].map(|text| count(text, 2)), [9, 5, 1, 3]);
    assert_eq!(["ES(32,+)", "ES(32,-)"].map(|text| count(text, 2)), [19, 11]);
    assert_eq!(
        ["ES(27,+)", "ES(27,-)", "S7"].map(|text| parse(text).exponent()),
        [3, 9, 420]
    );
    for (text, p) in [
        ("ES(27,+)", 3),
        ("ES(27,-)", 3),
        ("ES(32,+)", 2),
        ("ES(32,-)", 2),
        ("ES(125,+)", 5),
    ] {
        let group = parse(text);
        let derived = group.commutator_subgroup(&Subgroup::whole(&group));
        assert_eq!(derived, group.centre(), "{text}");
        assert_eq!(derived.order(), p, "{text}");
    }
    let derived: Vec<usize> = parse("S4").derived_series().iter().map(Subgroup::order).collect();
    assert_eq!(derived, [24, 12, 4, 1]);
    assert!(!parse("A5").is_soluble());
    assert_eq!(
        ["SL(2,5)", "GL(2,5)", "D30", "S5"].map(|text| parse(text).centre().order()),
        [2, 4, 2, 1]
    );
    for (text, expected) in [("C2^3", 168), ("Q8", 24), ("S6", 1440), ("D4", 8), ("C15", 8)] {
        assert_eq!(automorphisms(&parse(text), 5000).unwrap().len(), expected, "{text}");
    }
    assert_eq!(automorphisms(&parse("C2^3"), 100), None);
}

#[test]
fn exceptional_isomorphisms_are_found() {
    for (a, b) in [
        ("PSL(2,7)", "GL(3,2)"),
        ("SL(2,4)", "A5"),
        ("PSL(2,5)", "A5"),
        ("PGL(2,5)", "S5"),
        ("PSL(2,9)", "A6"),
        ("AGL(2,2)", "S4"),
        ("PGL(2,3)", "S4"),
        ("PSL(2,3)", "A4"),
        ("D3", "S3"),
        ("Dic2", "Q8"),
        ("C2wrS3", "S4xC2"),
        ("AGL(1,5)", "C5:C4"),
        ("C3xC5", "C15"),
        ("Hol(C2^2)", "S4"),
        ("Hol(C2^3)", "AGL(3,2)"),
    ] {
        assert!(isomorphism(&parse(a), &parse(b)).is_some(), "{a} and {b}");
    }
    let semidirect: Vec<String> = (1..=4).map(|k| name::identify(&parse(&format!("C8:C2#{k}")))).collect();
    assert_eq!(sorted(semidirect), ["C8xC2", "D8", "M16", "SD16"]);
}

#[test]
fn different_groups_of_one_order_are_not_isomorphic() {
    let groups: Vec<(usize, usize, Group)> = GapGroup::all()
        .iter()
        .map(|record| (record.order, record.id, record.group()))
        .collect();
    for (order, id, group) in &groups {
        for (other_order, other_id, other) in &groups {
            if order == other_order && id < other_id {
                assert_eq!(isomorphism(group, other), None, "{order}/{id} and {other_id}");
            }
        }
    }
}

#[test]
fn each_broken_axiom_is_named_with_its_elements() {
    let order_3 = |table: [u16; 9]| Group::from_table("", 3, &table).unwrap_err();
    assert_eq!(Group::from_table("", 0, &[]).unwrap_err(), GroupError::Empty);
    assert_eq!(
        Group::from_table("", 2, &[0, 1, 1]).unwrap_err(),
        GroupError::NotSquare { order: 2, entries: 3 }
    );
    assert!(matches!(
        Group::from_table("", 10_001, &[]).unwrap_err(),
        GroupError::TooLarge { order: 10_001, .. }
    ));
    assert_eq!(
        order_3([0, 1, 2, 1, 2, 3, 2, 0, 1]),
        GroupError::OutOfRange {
            x: 1,
            y: 2,
            product: 3,
            order: 3
        }
    );
    assert_eq!(order_3([1, 2, 0, 0, 1, 2, 2, 0, 1]), GroupError::NoIdentity);
    assert_eq!(
        order_3([0, 1, 2, 1, 2, 2, 2, 0, 1]),
        GroupError::NotLatin {
            fixed: 1,
            side: "left",
            first: 1,
            second: 2,
            product: 2
        }
    );
    // A loop of order 5 that is no group: the smallest there is.
    let table: Vec<u16> = [
        [0, 1, 2, 3, 4],
        [1, 0, 3, 4, 2],
        [2, 4, 0, 1, 3],
        [3, 2, 4, 0, 1],
        [4, 3, 1, 2, 0],
    ]
    .concat();
    let Err(GroupError::NotAssociative { x, y, z, left, right }) = Group::from_table("", 5, &table) else {
        panic!("this loop is not associative")
    };
    let product = |a: usize, b: usize| table[a * 5 + b] as usize;
    assert_eq!((product(product(x, y), z), product(x, product(y, z))), (left, right));
    assert_ne!(left, right);
}

#[test]
fn sets_that_are_no_subgroups_are_refused_with_a_culprit() {
    let s4 = parse("S4");
    assert_eq!(Subgroup::new(&s4, []).unwrap_err(), SubgroupError::Empty);
    assert_eq!(
        Subgroup::new(&s4, [Element(24)]).unwrap_err(),
        SubgroupError::OutOfRange {
            element: Element(24),
            order: 24
        }
    );
    let set = [s4.identity(), Element(1), Element(2)];
    let Err(SubgroupError::NotClosed { x, y, product }) = Subgroup::new(&s4, set) else {
        panic!("not closed")
    };
    assert!(set.contains(&x) && set.contains(&y) && !set.contains(&product) && s4.mul(x, y) == product);
}

#[test]
fn maps_that_are_no_actions_are_refused() {
    let c4 = parse("C4");
    assert!(Action::new(&c4, 4, |x, i| (x.index() + i) % 4).is_ok());
    assert!(matches!(
        Action::new(&c4, 4, |x, i| (x.index() + i + 1) % 4),
        Err(ActionError::Identity { .. })
    ));
    assert!(matches!(
        Action::new(&c4, 3, |x, i| (x.index() + i) % 3),
        Err(ActionError::NotHomomorphism { .. })
    ));
    assert!(matches!(
        Action::new(&c4, 3, |x, i| x.index() + i),
        Err(ActionError::OutOfRange { .. })
    ));
}

#[test]
fn unknown_specs_are_answered_with_the_nearest_valid_one() {
    for (text, expected) in [
        ("Z12", "C12"),
        ("s5", "S5"),
        ("DIC5", "Dic5"),
        ("Sym(5)", "S5"),
        ("GL3,2", "GL(3,2)"),
        ("PSl(2,7)", "PSL(2,7)"),
        ("Klein", "V4"),
        ("Alt(5)xC2", "A5"),
        ("DihedralGroup(7)", "D7"),
        ("Foo", "C5"),
    ] {
        match text.parse::<Spec>() {
            Err(SpecError::Unknown { nearest, .. }) => assert_eq!(nearest, expected, "{text}"),
            other => panic!("{text}: {other:?}"),
        }
    }
}

#[test]
fn hostile_specs_are_answered_at_once() {
    let short = "( (((( S S5x xS5 S5x( S5) C0 D0 S0 A0 C-1 C1.5 S99 C100000 C2^99 C2^0 C2^2^2 C2^ Hol( Hol(C2^99) GL( GL(3 GL(3, \
         GL(3,6) GL(0,2) GL(99,2) GL(2,1000003) AGL(1,18446744073709551557) ES(28,+) ES(27,*) ES(9,+) \
         ES(18446744073709551557,-) Q12 Q4 SD8 C3xC3:C4 C2:C2:C2 C8:C2 C8:C2#0 C8:C2#9 C8:C2#99999999999999999999 C2^8:C3 \
         S5wrS5 C2wrS99 perm: perm:(1,2 perm:1,2 perm:(1,1) perm:(0,1) perm:(1,2)(2,3) perm:(1,99999999999) perm:(1,2);; \
         perm:(1,2,3,4,5,6,7,8,9,10);(1,2) table: table:/no/such/file.csv table:. \0 S5\0 é S５ # ^ : SmallGroup(99999999,1)";
    let nines = "9".repeat(1000);
    let long = [
        "(".repeat(100_000),
        format!("{}S3{}", "(".repeat(100_000), ")".repeat(100_000)),
        "C1x".repeat(100_000),
        format!("C{nines}"),
        format!("S3^{nines}"),
        format!("perm:(1,{nines})"),
        format!("{}C1{}", "Hol(".repeat(1000), ")".repeat(1000)),
        "é".repeat(100_000),
        String::new(),
        " ".into(),
    ];
    for text in short.split_whitespace().map(String::from).chain(long) {
        let start = std::time::Instant::now();
        let shown: String = text.chars().take(40).collect();
        let Err(error) = spec::parse(&text) else {
            panic!("{shown:?} is no group")
        };
        let message = error.to_string();
        assert!(!message.is_empty() && message.len() < 2000, "{shown:?}: {message}");
        assert!(
            start.elapsed().as_secs_f64() < 5.0,
            "{shown:?} took {:?}",
            start.elapsed()
        );
    }
}

#[test]
fn ambiguous_specs_say_what_to_write() {
    let message = |text: &str| spec::parse(text).unwrap_err().to_string();
    assert_eq!(
        message("C3xC3:C4"),
        "\"C3xC3:C4\" can mean several groups: write (C3xC3):C4 or C3x(C3:C4)"
    );
    let choices = message("C8:C2");
    assert!(
        ["SD16", "D8", "M16"].iter().all(|name| choices.contains(name)),
        "{choices}"
    );
}

#[test]
fn permutations_are_read_and_written() {
    let parse = |text: &str| Permutation::parse(text);
    assert_eq!(parse("(1,2,3)(4,5)").unwrap().images(), [1, 2, 0, 4, 3]);
    assert_eq!(parse("()").unwrap().degree(), 0);
    assert_eq!(parse("(1,1)").unwrap_err(), PermutationError::Repeated { point: 1 });
    assert!(matches!(
        parse("(1 2)"),
        Err(PermutationError::Syntax { position: 4, .. })
    ));
    let (x, y) = (parse("(1,2,3)").unwrap(), parse("(1,2)").unwrap().extended_to(3));
    // First y, then x: 1 -> 2 -> 3, 2 -> 1 -> 2, 3 -> 3 -> 1.
    assert_eq!(x.compose(&y).to_string(), "(1,3)");
    assert!(x.is_even() && !y.is_even());
}

#[test]
fn tables_are_read_from_csv_npy_and_safetensors() {
    let folder = tempfile::tempdir().unwrap();
    let group = parse("S3");
    let entries: Vec<u16> = group.table().iter().map(|x| x.0).collect();
    let line = |row: &[u16]| row.iter().map(u16::to_string).collect::<Vec<_>>().join(",") + "\n";
    let csv: String = entries.chunks(6).map(line).collect();
    let mut npy = b"\x93NUMPY\x01\x00".to_vec();
    let header = "{'descr': '<i8', 'fortran_order': False, 'shape': (6, 6), }\n";
    npy.extend((header.len() as u16).to_le_bytes());
    npy.extend(header.as_bytes());
    npy.extend(entries.iter().flat_map(|&x| (x as i64).to_le_bytes()));
    let bytes: Vec<u8> = entries.iter().flat_map(|&x| (x as i32).to_le_bytes()).collect();
    let view = safetensors::tensor::TensorView::new(safetensors::Dtype::I32, vec![6, 6], &bytes).unwrap();
    let tensors = safetensors::serialize([("table", view)], None).unwrap();
    let path = |name: &str| folder.path().join(name);
    for (name, content) in [
        ("t.csv", csv.clone().into_bytes()),
        ("t.npy", npy.clone()),
        ("t.safetensors", tensors),
    ] {
        std::fs::write(path(name), content).unwrap();
        assert_eq!(parse(&format!("table:{}", path(name).display())), group, "{name}");
    }
    for (name, content) in [
        ("empty.csv", Vec::new()),
        ("words.csv", b"a,b\nc,d\n".to_vec()),
        ("ragged.csv", b"0,1\n1\n".to_vec()),
        ("long.csv", b"0,1\n1,0\n0,1\n".to_vec()),
        ("negative.csv", b"0,1\n1,-1\n".to_vec()),
        ("huge.csv", b"0,1\n1,70000\n".to_vec()),
        ("binary.csv", vec![0xff; 100]),
        ("loop.csv", csv.replacen("0,1", "1,0", 1).into_bytes()),
        ("cut.npy", npy[..npy.len() - 3].to_vec()),
        ("short.npy", npy[..9].to_vec()),
        ("no.npy", b"NUMPY".to_vec()),
        ("no.safetensors", b"\xff\xff\xff\xff\xff\xff\xff\x7f{".to_vec()),
        ("t.txt", csv.into_bytes()),
    ] {
        std::fs::write(path(name), content).unwrap();
        let message = spec::parse(&format!("table:{}", path(name).display()))
            .expect_err(name)
            .to_string();
        assert!(message.contains(name), "{message}");
    }
}

#[test]
fn gap_gives_small_groups_and_names_where_it_is_installed() {
    use rhoset::group::gap;
    match gap::small_group(96, 227) {
        Ok(group) => {
            assert_eq!(group.order(), 96);
            assert_eq!(gap::structure_description(&parse("C11:C5")).unwrap(), "C11:C5");
            assert!(matches!(
                gap::small_group(96, 232),
                Err(gap::GapError::NoSuchGroup { count: 231, .. })
            ));
            assert!(matches!(
                gap::small_group(1024, 1),
                Err(gap::GapError::NotAvailable { .. })
            ));
        }
        Err(gap::GapError::NotInstalled | gap::GapError::NoLibrary) => {
            eprintln!("skipped: no GAP with its library here");
        }
        Err(error) => panic!("{error}"),
    }
}

/// Groups of many kinds, up to order 120.
fn some_group() -> impl Strategy<Value = Group> {
    let specs =
        "1 C12 C2^4 D6 Q8 Dic3 S4 A4xC2 SL(2,3) C11:C5 A5 S5 ES(27,+) ES(32,-) S3wrC2 C3^2:C4 AGL(1,8) M16 C4^2xC2";
    prop::sample::select(specs.split(' ').collect::<Vec<_>>()).prop_map(parse)
}

fn group_with_subgroups() -> impl Strategy<Value = (Group, Subgroup, Subgroup)> {
    (
        some_group(),
        prop::collection::vec(any::<prop::sample::Index>(), 4),
        any::<[bool; 2]>(),
    )
        .prop_map(|(group, picks, both)| {
            let picks: Vec<Element> = picks
                .iter()
                .map(|pick| Element(pick.index(group.order()) as u16))
                .collect();
            let subgroup = |picks: &[Element], both: bool| Subgroup::generated(&group, &picks[..1 + usize::from(both)]);
            let (h, k) = (subgroup(&picks[..2], both[0]), subgroup(&picks[2..], both[1]));
            (group, h, k)
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn cosets_partition_the_group_evenly((group, h, _) in group_with_subgroups()) {
        prop_assert_eq!(h.order() * h.index(), group.order());
        for (cosets, is_left) in [(h.left_cosets(&group), true), (h.right_cosets(&group), false)] {
            prop_assert_eq!(cosets.count(), h.index());
            for coset in cosets.members() {
                prop_assert_eq!(coset.len(), h.order());
                for &x in &coset {
                    let inverse = group.inv(coset[0]);
                    let quotient = if is_left { group.mul(inverse, x) } else { group.mul(x, inverse) };
                    prop_assert!(h.contains(quotient));
                }
            }
        }
    }

    #[test]
    fn double_cosets_have_the_size_that_the_product_formula_says((group, h, k) in group_with_subgroups()) {
        let cosets = h.double_cosets(&group, &k);
        let mut total = 0;
        for (coset, &g) in cosets.members().iter().zip(cosets.representatives()) {
            // |HgK| = |H| |K| / |H n gKg^-1|
            prop_assert_eq!(coset.len() * h.intersection(&k.conjugate(&group, g)).order(), h.order() * k.order());
            prop_assert!(coset.iter().all(|&x| cosets.number(x) == cosets.number(g)));
            total += coset.len();
        }
        prop_assert_eq!(total, group.order());
        // Double cosets H\G/K are the orbits of H on G/K.
        let action = Action::on_cosets(&group, &k);
        let orbits: HashSet<Vec<usize>> = (0..action.degree())
            .map(|i| sorted(h.elements().iter().map(|&x| action.image(x, i)).collect::<HashSet<_>>()))
            .collect();
        prop_assert_eq!(orbits.len(), cosets.count());
    }

    #[test]
    fn subgroups_are_closed_and_least((group, h, k) in group_with_subgroups()) {
        prop_assert_eq!(&Subgroup::new(&group, h.elements().iter().copied()).unwrap(), &h);
        prop_assert_eq!(&Subgroup::generated(&group, &h.generators(&group)), &h);
        let meet = h.intersection(&k);
        prop_assert_eq!(&Subgroup::new(&group, meet.elements().iter().copied()).unwrap(), &meet);
        let join = h.extended(&group, k.elements());
        prop_assert_eq!(&join, &Subgroup::generated(&group, &[h.elements(), k.elements()].concat()));
        prop_assert!(h.is_subgroup_of(&join) && k.is_subgroup_of(&join) && meet.is_subgroup_of(&h));
        let abstractly = h.as_group(&group);
        prop_assert_eq!(abstractly.order(), h.order());
        for (i, &x) in h.elements().iter().enumerate() {
            for (j, &y) in h.elements().iter().enumerate() {
                let product = abstractly.mul(Element(i as u16), Element(j as u16));
                prop_assert_eq!(h.elements()[product.index()], group.mul(x, y));
            }
        }
    }

    #[test]
    fn normalisers_cores_and_closures_are_what_they_say((group, h, _) in group_with_subgroups()) {
        let conjugates = h.conjugates(&group);
        let normalizer = h.normalizer(&group);
        prop_assert_eq!(conjugates.len(), normalizer.index());
        prop_assert_eq!(h.is_normal(&group), conjugates.len() == 1);
        let (core, closure) = (h.core(&group), h.normal_closure(&group));
        prop_assert!(core.is_normal(&group) && closure.is_normal(&group));
        prop_assert!(core.is_subgroup_of(&h) && h.is_subgroup_of(&closure) && h.is_subgroup_of(&normalizer));
        let centralizer = h.centralizer(&group);
        let commute = |x: Element, y: Element| group.mul(x, y) == group.mul(y, x);
        prop_assert!(centralizer.elements().iter().all(|&x| h.elements().iter().all(|&y| commute(x, y))));
        prop_assert!(centralizer.is_subgroup_of(&normalizer));
    }

    #[test]
    fn the_action_on_cosets_is_transitive_with_the_core_as_kernel((group, h, _) in group_with_subgroups()) {
        let action = Action::on_cosets(&group, &h);
        prop_assert!(Action::new(&group, action.degree(), |x, i| action.image(x, i)).is_ok());
        prop_assert_eq!(action.orbits(&group).len(), 1);
        let point = h.left_cosets(&group).number(group.identity());
        prop_assert_eq!(&action.stabilizer(&group, point), &h);
        prop_assert_eq!(&action.kernel(&group), &h.core(&group));
        // Burnside: the average number of fixed points is the number of orbits.
        prop_assert_eq!(group.elements().map(|x| action.fixed_points(x)).sum::<usize>(), group.order());
    }

    #[test]
    fn relabelled_groups_are_isomorphic(group in some_group(), seed in any::<u64>()) {
        let n = group.order();
        // A shuffle by a linear congruential generator.
        let mut labels: Vec<usize> = (0..n).collect();
        let mut state = seed;
        for i in (1..n).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            labels.swap(i, (state >> 33) as usize % (i + 1));
        }
        let mut old = vec![Element(0); n];
        labels.iter().enumerate().for_each(|(x, &label)| old[label] = Element(x as u16));
        let relabelled = Group::from_product("", n, |a, b| labels[group.mul(old[a], old[b]).index()]).unwrap();
        prop_assert_eq!(fingerprint(&group), fingerprint(&relabelled));
        let image = isomorphism(&group, &relabelled).unwrap();
        prop_assert_eq!(image.iter().collect::<HashSet<_>>().len(), n);
        for x in group.elements() {
            for y in group.elements() {
                let product = relabelled.mul(image[x.index()], image[y.index()]);
                prop_assert_eq!(image[group.mul(x, y).index()], product);
            }
        }
        prop_assert_eq!(name::identify(&relabelled), name::identify(&group));
    }

    #[test]
    fn one_changed_entry_makes_a_table_no_group(
        group in some_group(),
        at in any::<prop::sample::Index>(),
        by in any::<prop::sample::Index>(),
    ) {
        let n = group.order();
        prop_assume!(n > 2);
        let mut table: Vec<u16> = group.table().iter().map(|x| x.0).collect();
        let at = at.index(n * n);
        table[at] = ((table[at] as usize + 1 + by.index(n - 1)) % n) as u16;
        prop_assert!(Group::from_table("", n, &table).is_err());
    }

    #[test]
    fn specs_are_read_as_they_are_written(spec in some_spec()) {
        let text = spec.to_string();
        prop_assert_eq!(text.parse::<Spec>().map_err(|error| error.to_string()), Ok(spec));
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "[SACDQVMxwr:^#()0-9,+ -]{0,24}|\\PC{0,16}") {
        _ = text.parse::<Spec>();
    }
}

/// Specs of every kind, in the form in which the parser leaves them.
fn some_spec() -> impl Strategy<Value = Spec> {
    let atoms = "C6 D4 Dic3 Q8 SD16 M16 V4 S5 A5 AGL(1,11) GL(3,2) SL(2,5) PGL(2,5) PSL(2,7) ES(27,+) ES(32,-) SmallGroup(96,227)";
    let atom = prop_oneof![
        prop::sample::select(atoms.split(' ').collect::<Vec<_>>()).prop_map(|text| text.parse::<Spec>().unwrap()),
        (1u64..1000).prop_map(|n| format!("C{n}").parse::<Spec>().unwrap()),
    ];
    atom.prop_recursive(3, 12, 3, |inner| {
        let boxed = || inner.clone().prop_map(Box::new);
        prop_oneof![
            prop::collection::vec(inner.clone(), 2..4).prop_map(Spec::Product),
            (boxed(), 1u64..9).prop_map(|(base, exponent)| Spec::Power(base, exponent)),
            (boxed(), boxed(), prop::option::of(1u64..9)).prop_map(|(n, q, choice)| Spec::Semidirect(n, q, choice)),
            (boxed(), boxed()).prop_map(|(base, top)| Spec::Wreath(base, top)),
            boxed().prop_map(Spec::Holomorph),
        ]
    })
}
