//! G-sets: groups acting on points.

use super::{Element, Group, Subgroup};

/// A group acting on the points `0..degree` from the left: `(x * y)(i) = x(y(i))`.
#[derive(Clone, Debug)]
pub struct Action {
    degree: usize,
    /// `images[x * degree + i]` is `x(i)`.
    images: Vec<u32>,
}

/// What keeps a table of images from being an action.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ActionError {
    /// The identity moves a point.
    #[error("not an action: the identity moves point {point} to {image}")]
    Identity {
        /// The point.
        point: usize,
        /// Where it goes.
        image: usize,
    },
    /// The action does not respect products.
    #[error("not an action: ({x} * {y}) moves {point} to {together}, but {x} after {y} moves it to {apart}")]
    NotHomomorphism {
        /// Left factor.
        x: Element,
        /// Right factor.
        y: Element,
        /// The point.
        point: usize,
        /// Its image under the product.
        together: usize,
        /// Its image under y, then x.
        apart: usize,
    },
    /// An image is not one of the points.
    #[error("not an action: {x} moves {point} to {image}, but the points are 0..{degree}")]
    OutOfRange {
        /// The element.
        x: Element,
        /// The point.
        point: usize,
        /// Where it goes.
        image: usize,
        /// The number of points.
        degree: usize,
    },
}

impl Action {
    /// The action in which `x` moves point `i` to `image(x, i)`, checked on generators.
    ///
    /// # Errors
    /// [`ActionError`] naming what fails.
    pub fn new(group: &Group, degree: usize, image: impl Fn(Element, usize) -> usize) -> Result<Self, ActionError> {
        let mut images = Vec::with_capacity(group.order() * degree);
        for x in group.elements() {
            for point in 0..degree {
                let image = image(x, point);
                if image >= degree {
                    return Err(ActionError::OutOfRange {
                        x,
                        point,
                        image,
                        degree,
                    });
                }
                images.push(image as u32);
            }
        }
        let action = Self { degree, images };
        if let Some(point) = (0..degree).find(|&i| action.image(group.identity(), i) != i) {
            let image = action.image(group.identity(), point);
            return Err(ActionError::Identity { point, image });
        }
        // Enough for generators y: the y that satisfy it for all x are closed under products.
        for &y in group.generators() {
            for x in group.elements() {
                for point in 0..degree {
                    let together = action.image(group.mul(x, y), point);
                    let apart = action.image(x, action.image(y, point));
                    if together != apart {
                        return Err(ActionError::NotHomomorphism {
                            x,
                            y,
                            point,
                            together,
                            apart,
                        });
                    }
                }
            }
        }
        Ok(action)
    }

    /// The transitive action on the left cosets of a subgroup: `x(gH) = (x * g)H`. Point i is coset i of
    /// [`Subgroup::left_cosets`]; the stabiliser of the coset H is H itself.
    pub fn on_cosets(group: &Group, subgroup: &Subgroup) -> Self {
        let cosets = subgroup.left_cosets(group);
        let mut images = Vec::with_capacity(group.order() * cosets.count());
        for x in group.elements() {
            images.extend(
                cosets
                    .representatives()
                    .iter()
                    .map(|&g| cosets.number(group.mul(x, g)) as u32),
            );
        }
        Self {
            degree: cosets.count(),
            images,
        }
    }

    /// The number of points.
    pub fn degree(&self) -> usize {
        self.degree
    }

    /// Where `x` moves `point`.
    #[inline]
    pub fn image(&self, x: Element, point: usize) -> usize {
        self.images[x.index() * self.degree + point] as usize
    }

    /// The orbits, each in increasing order.
    pub fn orbits(&self, group: &Group) -> Vec<Vec<usize>> {
        let mut seen = vec![false; self.degree];
        let mut orbits = Vec::new();
        for start in 0..self.degree {
            if std::mem::replace(&mut seen[start], true) {
                continue;
            }
            let mut orbit = vec![start];
            let mut next = 0;
            while next < orbit.len() {
                for &g in group.generators() {
                    let image = self.image(g, orbit[next]);
                    if !std::mem::replace(&mut seen[image], true) {
                        orbit.push(image);
                    }
                }
                next += 1;
            }
            orbit.sort_unstable();
            orbits.push(orbit);
        }
        orbits
    }

    /// The elements that fix `point`.
    pub fn stabilizer(&self, group: &Group, point: usize) -> Subgroup {
        let fixing: Vec<Element> = group.elements().filter(|&x| self.image(x, point) == point).collect();
        Subgroup::new(group, fixing).expect("stabilisers are subgroups")
    }

    /// The elements that fix every point.
    pub fn kernel(&self, group: &Group) -> Subgroup {
        let fixing: Vec<Element> = group
            .elements()
            .filter(|&x| (0..self.degree).all(|i| self.image(x, i) == i))
            .collect();
        Subgroup::new(group, fixing).expect("kernels are subgroups")
    }

    /// The number of points that `x` fixes: the permutation character.
    pub fn fixed_points(&self, x: Element) -> usize {
        (0..self.degree).filter(|&i| self.image(x, i) == i).count()
    }
}
