//! Isomorphisms between groups: images of a few generators, guided by what an isomorphism must preserve.
//!
//! Every element gets a colour that each isomorphism preserves (its order, the size of its class, its powers and roots,
//! how its products fall into colours). Generators are then mapped to elements of the same colour, and a partial map is
//! given up as soon as it is no injective homomorphism on the subgroup generated so far.

use super::{Element, Group, Subgroup};

/// An isomorphism from the first group to the second, as the image of every element; `None` if there is none.
///
/// ```
/// use rhoset::group::{isomorphism::isomorphism, spec};
/// let (s4, pgl) = (spec::parse("S4")?, spec::parse("PGL(2,3)")?);
/// let image = isomorphism(&s4, &pgl).expect("PGL(2,3) permutes the four points of the projective line");
/// for x in s4.elements() {
///     for y in s4.elements() {
///         assert_eq!(image[s4.mul(x, y).index()], pgl.mul(image[x.index()], image[y.index()]));
///     }
/// }
/// # Ok::<(), spec::SpecError>(())
/// ```
pub fn isomorphism(from: &Group, to: &Group) -> Option<Vec<Element>> {
    if from.order() != to.order() {
        return None;
    }
    let (colours, target) = (colours(from), colours(to));
    let sorted = |colours: &[u64]| {
        let mut sorted = colours.to_vec();
        sorted.sort_unstable();
        sorted
    };
    if sorted(&colours) != sorted(&target) {
        return None;
    }
    let mut found = None;
    // An inner automorphism of the target can follow, so the first image only matters up to conjugacy.
    let mut first: Vec<Element> = to
        .conjugacy_classes()
        .iter()
        .map(|class| class.representative())
        .collect();
    first.sort_unstable();
    Search::new(from, &colours, to, &target).run(Some(&first), &mut |map| {
        found = Some(map.to_vec());
        false
    });
    found
}

/// All automorphisms, each as the image of every element, the identity first; `None` if there are more than `limit`.
pub fn automorphisms(group: &Group, limit: usize) -> Option<Vec<Vec<Element>>> {
    let colours = colours(group);
    let mut found: Vec<Vec<Element>> = Vec::new();
    Search::new(group, &colours, group, &colours).run(None, &mut |map| {
        found.push(map.to_vec());
        found.len() <= limit
    });
    if found.len() > limit {
        return None;
    }
    found.sort_unstable();
    Some(found)
}

/// A number that isomorphic groups share, and different groups nearly always do not.
pub fn fingerprint(group: &Group) -> u64 {
    colours(group)
        .into_iter()
        .fold(group.order() as u64, |sum, colour| sum.wrapping_add(mix(colour, 0)))
}

/// A colour for every element, preserved by all isomorphisms.
fn colours(group: &Group) -> Vec<u64> {
    let orders = group.element_orders();
    let classes = group.conjugacy_classes();
    let mut colours: Vec<u64> = group
        .elements()
        .map(|x| mix(orders[x.index()] as u64, classes[classes.number(x)].size() as u64))
        .collect();
    // Roots: how many elements have x as their k-th power, for the primes k that matter.
    for k in [2usize, 3, 5, 7]
        .into_iter()
        .filter(|&k| group.order().is_multiple_of(k))
    {
        let mut roots = vec![0u64; group.order()];
        for y in group.elements() {
            let power = group.pow(y, k);
            roots[power.index()] = roots[power.index()].wrapping_add(mix(colours[y.index()], k as u64));
        }
        let powers: Vec<u64> = group.elements().map(|x| colours[group.pow(x, k).index()]).collect();
        for ((colour, root), power) in colours.iter_mut().zip(roots).zip(powers) {
            *colour = mix(mix(*colour, root), power);
        }
    }
    // Products: the colours of (y, xy) for all y, one x of each class. Costs n times the number of classes, so not for
    // large groups with many classes.
    const MOST_PRODUCTS: usize = 5_000_000;
    for _ in 0..2 {
        if group.order() * classes.count() > MOST_PRODUCTS {
            break;
        }
        let refined: Vec<u64> = (classes.iter())
            .map(|class| {
                let row = group.row(class.representative());
                let pairs = row.iter().zip(&colours).map(|(xy, &y)| mix(y, colours[xy.index()]));
                mix(
                    colours[class.representative().index()],
                    pairs.fold(0, u64::wrapping_add),
                )
            })
            .collect();
        for x in group.elements() {
            colours[x.index()] = refined[classes.number(x)];
        }
    }
    colours
}

/// A fixed hash of two words (the finaliser of splitmix64).
fn mix(a: u64, b: u64) -> u64 {
    let mut z = a
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        .wrapping_add(b ^ 0x1234_5678_9abc_def1);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The subgroup that the first few generators generate, as a walk of its Cayley graph.
struct Level {
    generators: usize,
    /// `(x, parent, generator)` with `x = parent * generator`, in an order in which parents come first.
    walk: Vec<(Element, Element, usize)>,
}

struct Search<'a> {
    from: &'a Group,
    to: &'a Group,
    from_colours: &'a [u64],
    to_colours: &'a [u64],
    generators: Vec<Element>,
    levels: Vec<Level>,
    /// The elements of the target by colour.
    by_colour: std::collections::HashMap<u64, Vec<Element>>,
}

impl<'a> Search<'a> {
    fn new(from: &'a Group, from_colours: &'a [u64], to: &'a Group, to_colours: &'a [u64]) -> Self {
        let mut by_colour = std::collections::HashMap::<u64, Vec<Element>>::new();
        for x in to.elements() {
            by_colour.entry(to_colours[x.index()]).or_default().push(x);
        }
        let generators = few_images(from, from_colours, &by_colour);
        let levels = (1..=generators.len())
            .map(|count| walk(from, &generators[..count]))
            .collect();
        Self {
            from,
            to,
            from_colours,
            to_colours,
            generators,
            levels,
            by_colour,
        }
    }

    /// Calls `found` with every isomorphism until it answers false.
    fn run(&self, first: Option<&[Element]>, found: &mut dyn FnMut(&[Element]) -> bool) {
        let mut map = vec![self.to.identity(); self.from.order()];
        self.extend(&mut Vec::new(), first, &mut map, found);
    }

    fn extend(
        &self,
        images: &mut Vec<Element>,
        first: Option<&[Element]>,
        map: &mut Vec<Element>,
        found: &mut dyn FnMut(&[Element]) -> bool,
    ) -> bool {
        let depth = images.len();
        if depth == self.generators.len() {
            return found(map);
        }
        let colour = self.from_colours[self.generators[depth].index()];
        let candidates = match (depth, first) {
            (0, Some(first)) => first,
            _ => self.by_colour.get(&colour).map_or(&[][..], Vec::as_slice),
        };
        for &candidate in candidates {
            if self.to_colours[candidate.index()] != colour {
                continue;
            }
            images.push(candidate);
            let going_on = !self.is_injective_homomorphism(images, map) || self.extend(images, first, map, found);
            images.pop();
            if !going_on {
                return false;
            }
        }
        true
    }

    /// Maps the subgroup of the first generators along its walk and checks every edge of its Cayley graph.
    fn is_injective_homomorphism(&self, images: &[Element], map: &mut [Element]) -> bool {
        let level = &self.levels[images.len() - 1];
        let mut used = vec![false; self.to.order()];
        map[self.from.identity().index()] = self.to.identity();
        used[self.to.identity().index()] = true;
        for &(x, parent, generator) in &level.walk {
            let image = self.to.mul(map[parent.index()], images[generator]);
            if self.to_colours[image.index()] != self.from_colours[x.index()]
                || std::mem::replace(&mut used[image.index()], true)
            {
                return false;
            }
            map[x.index()] = image;
        }
        let elements = level.walk.iter().map(|&(x, ..)| x).chain([self.from.identity()]);
        elements.into_iter().all(|x| {
            (0..level.generators)
                .all(|g| map[self.from.mul(x, self.generators[g]).index()] == self.to.mul(map[x.index()], images[g]))
        })
    }
}

fn walk(group: &Group, generators: &[Element]) -> Level {
    let mut reached = vec![false; group.order()];
    reached[group.identity().index()] = true;
    let mut walk = Vec::new();
    let mut queue = vec![group.identity()];
    let mut next = 0;
    while next < queue.len() {
        let parent = queue[next];
        next += 1;
        for (i, &g) in generators.iter().enumerate() {
            let x = group.mul(parent, g);
            if !std::mem::replace(&mut reached[x.index()], true) {
                walk.push((x, parent, i));
                queue.push(x);
            }
        }
    }
    Level {
        generators: generators.len(),
        walk,
    }
}

/// A small generating set, usually smaller than [`Group::generators`].
pub(crate) fn few_generators(group: &Group) -> Vec<Element> {
    let colours = colours(group);
    let mut by_colour = std::collections::HashMap::<u64, Vec<Element>>::new();
    for x in group.elements() {
        by_colour.entry(colours[x.index()]).or_default().push(x);
    }
    few_images(group, &colours, &by_colour)
}

/// Generators with few possible images: each next one is the best of a sample, growing the subgroup much for the
/// logarithm of the number of elements with its colour.
fn few_images(
    group: &Group,
    colours: &[u64],
    by_colour: &std::collections::HashMap<u64, Vec<Element>>,
) -> Vec<Element> {
    const SAMPLE: usize = 64;
    let mut generated = Subgroup::trivial(group);
    let mut generators = Vec::new();
    while generated.order() < group.order() {
        let outside: Vec<Element> = group.elements().filter(|&x| !generated.contains(x)).collect();
        let step = outside.len().div_ceil(SAMPLE);
        let best = (outside.iter().step_by(step))
            .map(|&x| {
                let larger = generated.extended(group, &[x]);
                let images = by_colour.get(&colours[x.index()]).map_or(1, Vec::len);
                let cost = (1.0 + images as f64).ln() / (larger.order() as f64 / generated.order() as f64).ln();
                (cost, x, larger)
            })
            .min_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)))
            .expect("some element lies outside");
        generators.push(best.1);
        generated = best.2;
    }
    generators
}
