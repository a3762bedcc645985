//! Explanation files: circuits as JSON that others can read, edit and have verified.
//!
//! Everything in such a file is untrusted. What an explanation *is* is checked when it is read, entry by entry: subgroups,
//! cosets, lengths, invariance. How *good* it is is left to [`crate::verify`]: wrong numbers weaken a bound, never
//! falsify it. The format is described in `docs/certificate.md`.

use std::path::{Path, PathBuf};

use ndarray::Array2;
use serde::{Deserialize, Serialize};

use super::circuit::{Circuit, Circuits, Kernel, Member, PointSet, orbitals};
use crate::group::{Element, Group, Subgroup, SubgroupError};
use crate::network::file::whole::write_whole;

/// What `format` says in an explanation file.
pub const FORMAT: &str = "rhoset-explanation";

/// The version that is written, and the only one that is read.
pub const VERSION: u32 = 1;

/// Circuits with `|P| |Q| (|P| + |Q|)` beyond this are refused: their tables cost more than evaluating the network.
pub const LARGEST_CIRCUIT: usize = 4_000_000;

/// How far a subspace may be from orthonormal and invariant; what it is off is bounded, but so much is a mistake.
const TOLERANCE: f64 = 1e-6;

/// What is wrong with an explanation file, and where.
#[derive(Debug, thiserror::Error)]
#[error("{}: {problem}", path.display())]
pub struct ExplanationFileError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub problem: Box<ExplanationProblem>,
}

/// Everything that can be wrong with an explanation; `entry` is where in the JSON: `circuits[2].left.points[3]`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExplanationProblem {
    /// The operating system refused.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// The text ends early.
    #[error("ends in the middle of the JSON, at line {line}; it is truncated")]
    Truncated {
        /// Where it ends.
        line: usize,
    },
    /// Not JSON, or not of the documented shape.
    #[error("{entry}: {message}")]
    Json {
        /// Which entry; `.` is the whole file.
        entry: String,
        /// What was expected.
        message: String,
    },
    /// Some other file.
    #[error("format: is {found:?}, not {expected:?}")]
    Format {
        /// What the file says.
        found: String,
        /// What it should say.
        expected: &'static str,
    },
    /// A version that is not known.
    #[error("version: {found} is not known, only {known}; another release of rhoset may read it")]
    Version {
        /// The version of the file.
        found: u32,
        /// The version that is read.
        known: u32,
    },
    /// An explanation of another network, or over another group.
    #[error("{entry}: {found}, but the network to be explained has {expected}")]
    Size {
        /// `order` or `neurons`.
        entry: &'static str,
        /// What the file says.
        found: usize,
        /// What the network has.
        expected: usize,
    },
    /// A set of elements that is no subgroup.
    #[error("{entry}: {problem}")]
    Subgroup {
        /// Which entry.
        entry: String,
        /// Why.
        problem: SubgroupError,
    },
    /// An element that the group does not have.
    #[error("{entry}: {element} is not an element; they are 0..{order}")]
    Element {
        /// Which entry.
        entry: String,
        /// What is there.
        element: usize,
        /// The order of the group.
        order: usize,
    },
    /// The points are not the cosets of the subgroup, each once.
    #[error(
        "{entry}: the points are not the left cosets gH of the subgroup, each by one element g and H itself first; there \
         are {cosets} of them"
    )]
    Points {
        /// Which entry: the first that repeats a coset, or the list where some coset is missing.
        entry: String,
        /// The index of the subgroup.
        cosets: usize,
    },
    /// A circuit without a neuron: as many of them as a file has room for would fill the memory.
    #[error("{entry}.members: there are none; leave out what explains no neuron")]
    NoMembers {
        /// Which circuit.
        entry: String,
    },
    /// A circuit larger than anything that pays.
    #[error("{entry}: sets of {left} and {right} points make tables that cost more than evaluating the network")]
    TooLarge {
        /// Which circuit.
        entry: String,
        /// Points on the left.
        left: usize,
        /// Points on the right.
        right: usize,
    },
    /// An index beyond what it points into.
    #[error("{entry}: {index} is not one of 0..{count}")]
    Index {
        /// Which entry.
        entry: String,
        /// What is there.
        index: usize,
        /// How many there are.
        count: usize,
    },
    /// A neuron of two members.
    #[error("{entry}: neuron {neuron} is {first} already; a neuron is explained once")]
    Twice {
        /// Which entry.
        entry: String,
        /// The neuron.
        neuron: usize,
        /// The member that has it.
        first: String,
    },
    /// A list or a matrix of the wrong size.
    #[error("{entry}: has {found} entries, not {expected}")]
    Length {
        /// Which entry.
        entry: String,
        /// How many it has.
        found: usize,
        /// How many it must have.
        expected: usize,
    },
    /// A template that the group does not leave alone.
    #[error(
        "{entry}: is {value}, but {other} is {other_value} and the group takes the one place to the other; a two-sided \
         table is constant on orbits"
    )]
    NotInvariant {
        /// Which entry.
        entry: String,
        /// Its value.
        value: f64,
        /// An entry that it must equal.
        other: String,
        /// That one's value.
        other_value: f64,
    },
    /// More functions than points, which cannot be orthonormal.
    #[error("{entry}: has {columns} columns for {points} points, which cannot be orthonormal")]
    Dependent {
        /// Which entry.
        entry: String,
        /// How many functions there are.
        columns: usize,
        /// How many points.
        points: usize,
    },
    /// A basis that is not orthonormal.
    #[error("{entry}: its columns are not orthonormal (off by {defect:.1e})")]
    NotOrthonormal {
        /// Which entry.
        entry: String,
        /// By how much.
        defect: f64,
    },
    /// A subspace that the group moves.
    #[error("{entry}: element {element} moves this subspace out of itself (by {defect:.1e})")]
    NotPermuted {
        /// Which entry.
        entry: String,
        /// The element that moves it.
        element: Element,
        /// By how much.
        defect: f64,
    },
}

impl ExplanationProblem {
    fn of(self, path: &Path) -> ExplanationFileError {
        ExplanationFileError {
            path: path.to_owned(),
            problem: Box::new(self),
        }
    }
}

/// An explanation as it stands in a file: nothing in it is checked before [`ExplanationFile::circuits`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExplanationFile {
    /// [`FORMAT`].
    pub format: String,
    /// [`VERSION`].
    pub version: u32,
    /// The group's name: for readers, nothing depends on it.
    pub group: String,
    /// The order n of the group.
    pub order: usize,
    /// The number m of neurons.
    pub neurons: usize,
    /// The circuits.
    pub circuits: Vec<CircuitFile>,
}

/// A [`Circuit`] in a file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CircuitFile {
    /// P.
    pub left: PointSetFile,
    /// Q.
    pub right: PointSetFile,
    /// The neurons.
    pub members: Vec<Member>,
    /// Matrices of |P| rows, by rows.
    pub left_subspaces: Vec<Vec<Vec<f64>>>,
    /// Matrices of |Q| rows, by rows.
    pub right_subspaces: Vec<Vec<Vec<f64>>>,
    /// What the activations are expanded in.
    pub kernels: Vec<KernelFile>,
}

/// A G-set in a file: point i is the left coset `points[i] * subgroup`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PointSetFile {
    /// The elements of H.
    pub subgroup: Vec<usize>,
    /// One element of every coset, the first in H.
    pub points: Vec<usize>,
}

/// A [`Kernel`] in a file; matrices by rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KernelFile {
    /// Which left subspace.
    pub left_subspace: usize,
    /// Which right subspace.
    pub right_subspace: usize,
    /// `[d_left, d_right]`.
    pub coordinates: Vec<Vec<f64>>,
    /// `[|P|, |Q|]`, constant on the orbits of G.
    pub two_sided: Vec<Vec<f64>>,
    /// `[|P|, |Q|]`, or null.
    pub right: Option<Vec<Vec<f64>>>,
    /// `[|P|, |Q|]`, or null.
    pub left: Option<Vec<Vec<f64>>>,
}

impl ExplanationFile {
    /// The circuits of a network of `neurons` neurons, ready to be written.
    pub fn new(group: &Group, neurons: usize, circuits: &Circuits) -> Self {
        let set = |points: &PointSet| PointSetFile {
            subgroup: points.stabiliser().elements().iter().map(|g| g.index()).collect(),
            points: points.representatives().iter().map(|g| g.index()).collect(),
        };
        let kernel = |circuit: &Circuit, kernel: &Kernel| KernelFile {
            left_subspace: kernel.left_subspace,
            right_subspace: kernel.right_subspace,
            coordinates: rows(&kernel.coordinates),
            two_sided: rows(&circuit.orbitals.mapv(|orbital| kernel.two_sided[orbital as usize])),
            right: kernel.right.as_ref().map(rows),
            left: kernel.left.as_ref().map(rows),
        };
        let circuits = circuits.circuits.iter().map(|circuit| CircuitFile {
            left: set(&circuit.left),
            right: set(&circuit.right),
            members: circuit.members.clone(),
            left_subspaces: circuit.left_subspaces.iter().map(rows).collect(),
            right_subspaces: circuit.right_subspaces.iter().map(rows).collect(),
            kernels: circuit.kernels.iter().map(|k| kernel(circuit, k)).collect(),
        });
        Self {
            format: FORMAT.into(),
            version: VERSION,
            group: group.name().into(),
            order: group.order(),
            neurons,
            circuits: circuits.collect(),
        }
    }

    /// Reads the JSON of an explanation, without checking what it says.
    ///
    /// # Errors
    /// If the text is no JSON, of another format or version, or not of the documented shape.
    pub fn parse(json: &[u8]) -> Result<Self, ExplanationProblem> {
        check_version(json, FORMAT, VERSION)?;
        from_json(json)
    }

    /// Checks every entry against the group, and makes circuits of what is there.
    ///
    /// # Errors
    /// The first entry that is wrong.
    pub fn circuits(&self, group: &Group, neurons: usize) -> Result<Circuits, ExplanationProblem> {
        for (entry, found, expected) in [("order", self.order, group.order()), ("neurons", self.neurons, neurons)] {
            if found != expected {
                return Err(ExplanationProblem::Size { entry, found, expected });
            }
        }
        let mut member_of: Vec<Option<String>> = vec![None; neurons];
        let mut circuits = Vec::with_capacity(self.circuits.len());
        for (c, circuit) in self.circuits.iter().enumerate() {
            circuits.push(circuit.check(group, &format!("circuits[{c}]"), &mut member_of)?);
        }
        let unexplained = (0..neurons).filter(|&i| member_of[i].is_none()).collect();
        Ok(Circuits { circuits, unexplained })
    }
}

/// Reads an explanation of a network of `neurons` neurons over `group`.
///
/// # Errors
/// [`ExplanationFileError`] naming the entry that is wrong.
pub fn load(path: impl AsRef<Path>, group: &Group, neurons: usize) -> Result<Circuits, ExplanationFileError> {
    let path = path.as_ref();
    std::fs::read(path)
        .map_err(ExplanationProblem::from)
        .and_then(|json| ExplanationFile::parse(&json)?.circuits(group, neurons))
        .map_err(|problem| problem.of(path))
}

/// Writes an explanation; the file appears whole or not at all.
///
/// # Errors
/// If the file cannot be written.
pub fn save(
    path: impl AsRef<Path>,
    group: &Group,
    neurons: usize,
    circuits: &Circuits,
) -> Result<(), ExplanationFileError> {
    let path = path.as_ref();
    write_json(path, &ExplanationFile::new(group, neurons, circuits))
        .map_err(|problem| ExplanationProblem::from(problem).of(path))
}

/// Writes `value` as JSON, a line for each of its outer fields; atomically.
pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> std::io::Result<()> {
    let value = serde_json::to_value(value)?;
    let mut text = String::from("{\n");
    let fields = value.as_object().expect("a struct");
    for (i, (name, field)) in fields.iter().enumerate() {
        let comma = if i + 1 < fields.len() { "," } else { "" };
        text += &format!("{}: {field}{comma}\n", serde_json::Value::from(name.as_str()));
    }
    text += "}\n";
    write_whole(path, text.as_bytes())
}

/// Refuses other formats and versions before anything else is said about a file.
pub(crate) fn check_version(json: &[u8], format: &'static str, known: u32) -> Result<(), ExplanationProblem> {
    #[derive(Deserialize)]
    struct Header {
        format: String,
        version: u32,
    }
    let header: Header = match from_json(json) {
        // What is wrong inside some other entry is said more exactly by who reads that entry.
        Err(ExplanationProblem::Json { entry, .. }) if entry != "format" && entry != "version" && entry != "." => {
            return Ok(());
        }
        header => header?,
    };
    check_names(&header.format, header.version, format, known)
}

/// The same for an explanation inside another file.
pub(crate) fn check_header(file: &ExplanationFile) -> Result<(), ExplanationProblem> {
    check_names(&file.format, file.version, FORMAT, VERSION)
}

fn check_names(format: &str, version: u32, expected: &'static str, known: u32) -> Result<(), ExplanationProblem> {
    if format != expected {
        return Err(ExplanationProblem::Format {
            found: format.chars().take(60).collect(),
            expected,
        });
    }
    if version != known {
        return Err(ExplanationProblem::Version { found: version, known });
    }
    Ok(())
}

/// Reads JSON, and says which entry is at fault.
pub(crate) fn from_json<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T, ExplanationProblem> {
    let mut reader = serde_json::Deserializer::from_slice(json);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let entry = error.path().to_string();
        match error.into_inner() {
            problem if problem.is_eof() => ExplanationProblem::Truncated { line: problem.line() },
            problem => ExplanationProblem::Json {
                entry,
                message: problem.to_string(),
            },
        }
    })?;
    reader.end().map_err(|problem| ExplanationProblem::Json {
        entry: ".".into(),
        message: problem.to_string(),
    })?;
    Ok(value)
}

impl CircuitFile {
    fn check(
        &self,
        group: &Group,
        entry: &str,
        member_of: &mut [Option<String>],
    ) -> Result<Circuit, ExplanationProblem> {
        let (a, b) = (self.left.points.len(), self.right.points.len());
        if a.saturating_mul(b).saturating_mul(a + b) > LARGEST_CIRCUIT {
            return Err(ExplanationProblem::TooLarge {
                entry: entry.into(),
                left: a,
                right: b,
            });
        }
        if self.members.is_empty() {
            return Err(ExplanationProblem::NoMembers { entry: entry.into() });
        }
        let left = self.left.check(group, &format!("{entry}.left"))?;
        let right = self.right.check(group, &format!("{entry}.right"))?;
        for (i, member) in self.members.iter().enumerate() {
            let entry = format!("{entry}.members[{i}]");
            let indices = [
                ("neuron", member.neuron, member_of.len()),
                ("left_point", member.left_point.into(), a),
                ("right_point", member.right_point.into(), b),
            ];
            for (name, index, count) in indices {
                check_index(index, count, || format!("{entry}.{name}"))?;
            }
            if let Some(first) = &member_of[member.neuron] {
                return Err(ExplanationProblem::Twice {
                    entry: format!("{entry}.neuron"),
                    neuron: member.neuron,
                    first: first.clone(),
                });
            }
            check_length(&member.left_values, a, || format!("{entry}.left_values"))?;
            check_length(&member.right_values, b, || format!("{entry}.right_values"))?;
            member_of[member.neuron] = Some(entry);
        }
        let orbitals = orbitals(group, &left, &right);
        let left_subspaces = subspaces(&self.left_subspaces, group, &left, &format!("{entry}.left_subspaces"))?;
        let right_subspaces = subspaces(
            &self.right_subspaces,
            group,
            &right,
            &format!("{entry}.right_subspaces"),
        )?;
        let mut kernels = Vec::with_capacity(self.kernels.len());
        for (k, kernel) in self.kernels.iter().enumerate() {
            let entry = format!("{entry}.kernels[{k}]");
            check_index(kernel.left_subspace, left_subspaces.len(), || {
                format!("{entry}.left_subspace")
            })?;
            check_index(kernel.right_subspace, right_subspaces.len(), || {
                format!("{entry}.right_subspace")
            })?;
            let shape = (
                left_subspaces[kernel.left_subspace].ncols(),
                right_subspaces[kernel.right_subspace].ncols(),
            );
            let table = |name: &str, rows: &Option<Vec<Vec<f64>>>| {
                let read = |rows: &Vec<Vec<f64>>| matrix(rows, (a, b), &format!("{entry}.{name}"));
                rows.as_ref().map(read).transpose()
            };
            let two_sided = matrix(&kernel.two_sided, (a, b), &format!("{entry}.two_sided"))?;
            kernels.push(Kernel {
                left_subspace: kernel.left_subspace,
                right_subspace: kernel.right_subspace,
                coordinates: matrix(&kernel.coordinates, shape, &format!("{entry}.coordinates"))?,
                two_sided: by_orbital(&two_sided, &orbitals, &format!("{entry}.two_sided"))?,
                right: table("right", &kernel.right)?,
                left: table("left", &kernel.left)?,
            });
        }
        Ok(Circuit {
            left,
            right,
            members: self.members.clone(),
            orbitals,
            left_subspaces,
            right_subspaces,
            kernels,
        })
    }
}

impl PointSetFile {
    fn check(&self, group: &Group, entry: &str) -> Result<PointSet, ExplanationProblem> {
        let elements = |list: &[usize], name: &str| -> Result<Vec<Element>, ExplanationProblem> {
            let order = group.order();
            let element = |(i, &g): (usize, &usize)| {
                if g < order {
                    return Ok(Element(g as u16));
                }
                Err(ExplanationProblem::Element {
                    entry: format!("{entry}.{name}[{i}]"),
                    element: g,
                    order,
                })
            };
            list.iter().enumerate().map(element).collect()
        };
        let subgroup = Subgroup::new(group, elements(&self.subgroup, "subgroup")?).map_err(|problem| {
            ExplanationProblem::Subgroup {
                entry: format!("{entry}.subgroup"),
                problem,
            }
        })?;
        let cosets = group.order() / subgroup.order();
        let points = elements(&self.points, "points")?;
        PointSet::with_points(group, subgroup, points).map_err(|at| ExplanationProblem::Points {
            entry: match at < self.points.len() {
                true => format!("{entry}.points[{at}]"),
                false => format!("{entry}.points"),
            },
            cosets,
        })
    }
}

fn rows(matrix: &Array2<f64>) -> Vec<Vec<f64>> {
    matrix.rows().into_iter().map(|row| row.to_vec()).collect()
}

fn check_index(index: usize, count: usize, entry: impl Fn() -> String) -> Result<(), ExplanationProblem> {
    if index < count {
        return Ok(());
    }
    Err(ExplanationProblem::Index {
        entry: entry(),
        index,
        count,
    })
}

fn check_length<T>(list: &[T], expected: usize, entry: impl Fn() -> String) -> Result<(), ExplanationProblem> {
    if list.len() == expected {
        return Ok(());
    }
    Err(ExplanationProblem::Length {
        entry: entry(),
        found: list.len(),
        expected,
    })
}

/// Rows of equal length as a matrix. JSON has no NaN and no infinity, so entries are finite.
fn matrix(rows: &[Vec<f64>], shape: (usize, usize), entry: &str) -> Result<Array2<f64>, ExplanationProblem> {
    check_length(rows, shape.0, || entry.to_owned())?;
    for (i, row) in rows.iter().enumerate() {
        check_length(row, shape.1, || format!("{entry}[{i}]"))?;
    }
    Ok(Array2::from_shape_fn(shape, |(i, j)| rows[i][j]))
}

/// One number per orbit, of a table that must be constant on them.
fn by_orbital(table: &Array2<f64>, orbitals: &Array2<u16>, entry: &str) -> Result<Vec<f64>, ExplanationProblem> {
    let count = orbitals.iter().max().map_or(0, |&last| last as usize + 1);
    let mut first: Vec<Option<(usize, usize)>> = vec![None; count];
    for (at, &orbital) in orbitals.indexed_iter() {
        let other = *first[orbital as usize].get_or_insert(at);
        if table[at] != table[other] {
            return Err(ExplanationProblem::NotInvariant {
                entry: format!("{entry}[{}][{}]", at.0, at.1),
                value: table[at],
                other: format!("[{}][{}]", other.0, other.1),
                other_value: table[other],
            });
        }
    }
    Ok(first
        .into_iter()
        .map(|at| table[at.expect("every orbit has a place")])
        .collect())
}

fn subspaces(
    bases: &[Vec<Vec<f64>>],
    group: &Group,
    points: &PointSet,
    entry: &str,
) -> Result<Vec<Array2<f64>>, ExplanationProblem> {
    let mut checked = Vec::with_capacity(bases.len());
    for (s, basis) in bases.iter().enumerate() {
        let entry = format!("{entry}[{s}]");
        let columns = basis.first().map_or(0, Vec::len);
        // Before anything of columns x columns is made of it.
        if columns > points.len() {
            let points = points.len();
            return Err(ExplanationProblem::Dependent { entry, columns, points });
        }
        let basis = matrix(basis, (points.len(), columns), &entry)?;
        let norm = |matrix: Array2<f64>| matrix.iter().map(|v| v * v).sum::<f64>().sqrt();
        let defect = norm(basis.t().dot(&basis) - Array2::<f64>::eye(basis.ncols()));
        if defect.is_nan() || defect > TOLERANCE {
            return Err(ExplanationProblem::NotOrthonormal { entry, defect });
        }
        for &element in group.generators() {
            let moved = points.moved(element);
            let permuted = Array2::from_shape_fn(basis.dim(), |(p, k)| basis[[moved[p] as usize, k]]);
            let defect = norm(&permuted - &basis.dot(&basis.t().dot(&permuted)));
            if defect.is_nan() || defect > TOLERANCE {
                return Err(ExplanationProblem::NotPermuted { entry, element, defect });
            }
        }
        checked.push(basis);
    }
    Ok(checked)
}
