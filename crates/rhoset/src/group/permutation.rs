//! Permutations in cycle notation, and the groups that they generate.

use std::fmt;

/// A permutation of the points `0..degree`, stored by its images; written with points from 1, as `(1,2,3)(4,5)`.
///
/// Products compose as functions: `(x * y)(i) = x(y(i))`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Permutation(Box<[u16]>);

/// What is wrong with a permutation.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum PermutationError {
    /// Not cycle notation.
    #[error("expected cycles like (1,2,3)(4,5), found {found:?} at character {position}")]
    Syntax {
        /// What stands there, or nothing at the end.
        found: String,
        /// The place, counted from 1.
        position: usize,
    },
    /// A point occurs twice.
    #[error("point {point} occurs twice in one permutation; its cycles must be disjoint")]
    Repeated {
        /// The point, counted from 1.
        point: usize,
    },
    /// A point beyond the largest supported, or 0.
    #[error("point {point} is not between 1 and {largest}", largest = Permutation::LARGEST_DEGREE)]
    OutOfRange {
        /// The point as written.
        point: String,
    },
    /// The images are not a permutation.
    #[error("the images are not a permutation of 0..{degree}")]
    NotBijective {
        /// The number of images.
        degree: usize,
    },
}

impl Permutation {
    /// The most points a permutation may move.
    pub const LARGEST_DEGREE: usize = 10_000;

    /// The identity on `degree` points.
    pub fn identity(degree: usize) -> Self {
        Self((0..degree as u16).collect())
    }

    /// From the image of every point, both counted from 0.
    ///
    /// # Errors
    /// If some image is missing, repeated or out of range.
    pub fn from_images(images: &[usize]) -> Result<Self, PermutationError> {
        let degree = images.len();
        let mut seen = vec![false; degree];
        let bijective = degree <= Self::LARGEST_DEGREE
            && (images.iter()).all(|&i| i < degree && !std::mem::replace(&mut seen[i], true));
        if !bijective {
            return Err(PermutationError::NotBijective { degree });
        }
        Ok(Self(images.iter().map(|&i| i as u16).collect()))
    }

    /// Reads disjoint cycles with points counted from 1; `()` is the identity.
    ///
    /// The degree is the largest point that occurs.
    ///
    /// # Errors
    /// If the text is no product of disjoint cycles.
    ///
    /// ```
    /// use rhoset::group::permutation::Permutation;
    /// let x = Permutation::parse("(1,2,3)(4,5)")?;
    /// assert_eq!(x.images(), [1, 2, 0, 4, 3]);
    /// assert_eq!(x.to_string(), "(1,2,3)(4,5)");
    /// # Ok::<(), rhoset::group::permutation::PermutationError>(())
    /// ```
    pub fn parse(text: &str) -> Result<Self, PermutationError> {
        let characters: Vec<char> = text.chars().collect();
        let mut next = 0;
        let skip_spaces = |next: &mut usize| {
            while characters.get(*next).is_some_and(|c| c.is_whitespace()) {
                *next += 1;
            }
        };
        let syntax = |next: usize| PermutationError::Syntax {
            found: characters.get(next).map_or_else(String::new, char::to_string),
            position: next + 1,
        };
        let mut images: Vec<u16> = Vec::new();
        let mut seen: Vec<bool> = Vec::new();
        let mut cycles = 0;
        loop {
            skip_spaces(&mut next);
            if next == characters.len() && cycles > 0 {
                return Ok(Self(images.into_boxed_slice()));
            }
            if characters.get(next) != Some(&'(') {
                return Err(syntax(next));
            }
            next += 1;
            cycles += 1;
            let mut cycle: Vec<usize> = Vec::new();
            loop {
                skip_spaces(&mut next);
                if cycle.is_empty() && characters.get(next) == Some(&')') {
                    break;
                }
                let start = next;
                while characters.get(next).is_some_and(char::is_ascii_digit) {
                    next += 1;
                }
                if start == next {
                    return Err(syntax(next));
                }
                let digits: String = characters[start..next].iter().collect();
                let point = match digits.parse::<usize>() {
                    Ok(point) if (1..=Self::LARGEST_DEGREE).contains(&point) => point - 1,
                    _ => return Err(PermutationError::OutOfRange { point: digits }),
                };
                if point >= images.len() {
                    images.extend(images.len() as u16..=point as u16);
                    seen.resize(point + 1, false);
                }
                if std::mem::replace(&mut seen[point], true) {
                    return Err(PermutationError::Repeated { point: point + 1 });
                }
                cycle.push(point);
                skip_spaces(&mut next);
                match characters.get(next) {
                    Some(',') => next += 1,
                    Some(')') => break,
                    _ => return Err(syntax(next)),
                }
            }
            next += 1;
            for (i, &point) in cycle.iter().enumerate() {
                images[point] = cycle[(i + 1) % cycle.len()] as u16;
            }
        }
    }

    /// The number of points.
    pub fn degree(&self) -> usize {
        self.0.len()
    }

    /// The image of every point, counted from 0.
    pub fn images(&self) -> &[u16] {
        &self.0
    }

    /// The product `self * other`, which first applies `other`.
    ///
    /// # Panics
    /// If the degrees differ.
    pub fn compose(&self, other: &Self) -> Self {
        assert_eq!(self.degree(), other.degree(), "permutations of the same points");
        Self(other.0.iter().map(|&i| self.0[i as usize]).collect())
    }

    /// The same permutation on more points, fixing the new ones.
    pub fn extended_to(&self, degree: usize) -> Self {
        Self(
            (self.0.iter().copied())
                .chain(self.degree() as u16..degree as u16)
                .collect(),
        )
    }

    /// Whether it is a product of an even number of transpositions.
    pub fn is_even(&self) -> bool {
        let cycles = self.cycles();
        cycles.iter().map(|cycle| cycle.len() - 1).sum::<usize>() % 2 == 0
    }

    /// The cycles of length at least two, points counted from 0.
    pub fn cycles(&self) -> Vec<Vec<u16>> {
        let mut seen = vec![false; self.degree()];
        let mut cycles = Vec::new();
        for start in 0..self.degree() as u16 {
            let mut cycle = Vec::new();
            let mut point = start;
            while !std::mem::replace(&mut seen[point as usize], true) {
                cycle.push(point);
                point = self.0[point as usize];
            }
            if cycle.len() > 1 {
                cycles.push(cycle);
            }
        }
        cycles
    }
}

impl fmt::Display for Permutation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cycles = self.cycles();
        if cycles.is_empty() {
            return f.write_str("()");
        }
        for cycle in cycles {
            let points: Vec<String> = cycle.iter().map(|point| (point + 1).to_string()).collect();
            write!(f, "({})", points.join(","))?;
        }
        Ok(())
    }
}
