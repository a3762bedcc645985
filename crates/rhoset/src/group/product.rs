//! Groups made from groups: direct, semidirect and wreath products.

use std::collections::HashMap;

use super::generate::too_large;
use super::isomorphism::{automorphisms, few_generators};
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

/// The semidirect product `N : Q` in which `action[q][x]` is the image of x in N under q in Q, with
/// `(x, q) * (y, r) = (x * action[q][y], q * r)`. The element `(x, q)` has number `q * |N| + x`.
///
/// # Errors
/// [`GroupError`] if it is too large, or if `action` is no homomorphism to the automorphisms of N.
pub fn semidirect(normal: &Group, quotient: &Group, action: &[Vec<Element>]) -> Result<Group, GroupError> {
    let n = normal.order();
    let order = n * quotient.order();
    too_large(order)?;
    let name = format!("{}:{}", normal.name(), quotient.name());
    let group = Group::from_product(name, order, |a, b| {
        let ((q, x), (r, y)) = ((element(a / n), element(a % n)), (element(b / n), element(b % n)));
        quotient.mul(q, r).index() * n + normal.mul(x, action[q.index()][y.index()]).index()
    })?;
    let names = (0..order)
        .map(|a| {
            format!(
                "({}, {})",
                normal.element_name(element(a % n)),
                quotient.element_name(element(a / n))
            )
        })
        .collect();
    Ok(group.with_element_names(names))
}

/// The wreath product: copies of `base` indexed by the points of `top`, permuted by the group `top`, which is given by the
/// images of the points under each of its elements. The vector runs fastest.
///
/// # Errors
/// [`GroupError::TooLarge`], or whatever keeps `images` from being an action of `top`.
pub fn wreath(base: &Group, top: &Group, images: &[Vec<usize>]) -> Result<Group, GroupError> {
    let degree = images.first().map_or(0, Vec::len);
    let vectors = direct(&vec![base.clone(); degree])?;
    // The vector with value v(i) at point i; a permutation q moves it to the vector with v(i) at q(i).
    let n = base.order();
    let place = |i: usize| n.pow((degree - 1 - i) as u32);
    let action: Vec<Vec<Element>> = (images.iter())
        .map(|images| {
            let moved = |v: usize| (0..degree).map(|i| v / place(i) % n * place(images[i])).sum::<usize>();
            (0..vectors.order()).map(|v| element(moved(v))).collect()
        })
        .collect();
    semidirect(&vectors, top, &action)
}

/// The holomorph: the group by all its automorphisms, `(x, a) * (y, b) = (x * a(y), a b)`. `None` if that is larger than
/// [`Group::LARGEST`].
pub fn holomorph(group: &Group) -> Option<Group> {
    let maps = automorphisms(group, Group::LARGEST / group.order())?;
    let compose = |a: &Vec<Element>, b: &Vec<Element>| b.iter().map(|y| a[y.index()]).collect();
    let outer =
        Group::from_values(format!("Aut({})", group.name()), &maps, compose).expect("automorphisms form a group");
    let outer = outer.with_element_names((0..maps.len()).map(|i| format!("a{i}")).collect());
    Some(semidirect(group, &outer, &maps).expect("automorphisms act by automorphisms"))
}

/// The homomorphisms from `quotient` to the automorphisms of `normal`, up to conjugation by automorphisms of `normal`, those
/// with the smallest kernel first: `(order of the kernel, action)` for [`semidirect`].
///
/// `None` where the search would be too long.
pub fn actions(normal: &Group, quotient: &Group) -> Option<Vec<(usize, Vec<Vec<Element>>)>> {
    const MOST_AUTOMORPHISMS: usize = 25_000;
    const MOST_TRIALS: usize = 2_000_000;
    const MOST_ACTIONS: usize = 2_000;
    const MOST_ENTRIES: usize = 400_000_000;
    let outer = Automorphisms::new(normal, MOST_AUTOMORPHISMS)?;
    let words = walk(quotient, &few_generators(quotient));
    let generators = &few_generators(quotient)[..];
    // Images of each generator: automorphisms whose order divides the generator's.
    let candidates: Vec<Vec<usize>> = (generators.iter())
        .map(|&g| {
            let order = quotient.element_order(g);
            (0..outer.maps.len())
                .filter(|&a| order.is_multiple_of(outer.orders[a]))
                .collect()
        })
        .collect();
    let trials = candidates
        .iter()
        .skip(1)
        .try_fold(1usize, |trials, c| trials.checked_mul(c.len()))?;
    let firsts = match candidates.first() {
        Some(first) => outer.up_to_conjugacy(first),
        None => {
            return Some(vec![(quotient.order(), vec![outer.maps[0].clone(); quotient.order()])]);
        }
    };
    if trials.checked_mul(firsts.len())? > MOST_TRIALS {
        return None;
    }
    let mut found = Vec::new();
    let mut images = vec![0; generators.len()];
    for &first in &firsts {
        for trial in 0..trials {
            images[0] = first;
            let mut rest = trial;
            for (image, candidates) in images.iter_mut().zip(&candidates).skip(1) {
                *image = candidates[rest % candidates.len()];
                rest /= candidates.len();
            }
            // Walk the quotient's Cayley graph: every edge must agree.
            let mut map = vec![usize::MAX; quotient.order()];
            map[quotient.identity().index()] = outer.identity;
            let consistent = words.iter().all(|&(x, from, generator)| {
                let image = outer.compose(map[from.index()], images[generator]);
                let known = map[x.index()];
                map[x.index()] = image;
                known == usize::MAX || known == image
            });
            if consistent {
                let kernel = map.iter().filter(|&&a| a == outer.identity).count();
                found.push((kernel, map));
            }
            if found.len() > MOST_ACTIONS {
                return None;
            }
        }
    }
    found.sort();
    found.dedup();
    // Actions that differ by an automorphism of the quotient give isomorphic groups.
    if let Some(relabellings) = automorphisms(quotient, MOST_ACTIONS) {
        let mut seen = std::collections::HashSet::new();
        found.retain(|(_, map)| {
            let new = !seen.contains(map);
            if new {
                seen.extend((relabellings.iter()).map(|a| a.iter().map(|q| map[q.index()]).collect::<Vec<usize>>()));
            }
            new
        });
    }
    // Every action is built as a table and compared with the others.
    let order = normal.order() * quotient.order();
    if found.len() > 1 && found.len() * order * order > MOST_ENTRIES {
        return None;
    }
    let action = |map: Vec<usize>| map.into_iter().map(|a| outer.maps[a].clone()).collect();
    Some(found.into_iter().map(|(kernel, map)| (kernel, action(map))).collect())
}

/// All edges of the Cayley graph, `(x, from, generator)` with `x = from * generator`, each `from` reached before.
fn walk(group: &Group, generators: &[Element]) -> Vec<(Element, Element, usize)> {
    let mut reached = vec![false; group.order()];
    reached[group.identity().index()] = true;
    let mut queue = vec![group.identity()];
    let mut edges = Vec::new();
    let mut next = 0;
    while next < queue.len() {
        let from = queue[next];
        next += 1;
        for (i, &g) in generators.iter().enumerate() {
            let x = group.mul(from, g);
            edges.push((x, from, i));
            if !std::mem::replace(&mut reached[x.index()], true) {
                queue.push(x);
            }
        }
    }
    edges
}

/// The automorphisms of a group, told apart by the images of its generators.
struct Automorphisms {
    generators: Vec<Element>,
    maps: Vec<Vec<Element>>,
    number: HashMap<Vec<Element>, usize>,
    orders: Vec<usize>,
    identity: usize,
}

impl Automorphisms {
    fn new(group: &Group, limit: usize) -> Option<Self> {
        let maps = automorphisms(group, limit)?;
        let generators = group.generators().to_vec();
        let key = |map: &Vec<Element>| generators.iter().map(|g| map[g.index()]).collect::<Vec<_>>();
        let number = maps
            .iter()
            .enumerate()
            .map(|(i, map)| (key(map), i))
            .collect::<HashMap<_, _>>();
        let identity = number[&generators];
        let mut automorphisms = Self {
            generators,
            maps,
            number,
            orders: Vec::new(),
            identity,
        };
        automorphisms.orders = (0..automorphisms.maps.len())
            .map(|a| {
                let powers = std::iter::successors(Some(a), |&power| {
                    (power != identity).then(|| automorphisms.compose(power, a))
                });
                powers.count()
            })
            .collect();
        Some(automorphisms)
    }

    /// First b, then a.
    fn compose(&self, a: usize, b: usize) -> usize {
        let key: Vec<Element> = (self.generators.iter())
            .map(|g| self.maps[a][self.maps[b][g.index()].index()])
            .collect();
        self.number[&key]
    }

    /// One of `members`, a union of conjugacy classes, for every class.
    fn up_to_conjugacy(&self, members: &[usize]) -> Vec<usize> {
        let generators = self.generating_set();
        let inverses: Vec<usize> = (generators.iter())
            .map(|&g| (0..self.orders[g] - 1).fold(self.identity, |power, _| self.compose(power, g)))
            .collect();
        let mut seen = vec![false; self.maps.len()];
        let mut representatives = Vec::new();
        for &member in members {
            if std::mem::replace(&mut seen[member], true) {
                continue;
            }
            representatives.push(member);
            let mut orbit = vec![member];
            while let Some(a) = orbit.pop() {
                for (&g, &inverse) in generators.iter().zip(&inverses) {
                    let conjugate = self.compose(g, self.compose(a, inverse));
                    if !std::mem::replace(&mut seen[conjugate], true) {
                        orbit.push(conjugate);
                    }
                }
            }
        }
        representatives
    }

    fn generating_set(&self) -> Vec<usize> {
        let mut reached = vec![false; self.maps.len()];
        reached[self.identity] = true;
        let mut elements = vec![self.identity];
        let mut generators = Vec::new();
        for candidate in 0..self.maps.len() {
            if reached[candidate] {
                continue;
            }
            generators.push(candidate);
            let closed = elements.len();
            let mut next = 0;
            while next < elements.len() {
                let from = if next < closed { generators.len() - 1 } else { 0 };
                for &g in &generators[from..] {
                    let product = self.compose(elements[next], g);
                    if !std::mem::replace(&mut reached[product], true) {
                        elements.push(product);
                    }
                }
                next += 1;
            }
        }
        generators
    }
}

fn element(index: usize) -> Element {
    Element(index as u16)
}
