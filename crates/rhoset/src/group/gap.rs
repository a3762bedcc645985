//! Answers from GAP (Groups, Algorithms, Programming), where it is installed.

use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::family::permutation_group;
use super::permutation::Permutation;
use super::{Group, GroupError};

/// Everything that can go wrong with GAP.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GapError {
    /// There is no `gap` on the path.
    #[error(
        "this needs GAP, and no program `gap` is on the PATH; install it (https://www.gap-system.org) or give the \
             group in another way"
    )]
    NotInstalled,
    /// It could not be started or spoken to.
    #[error("cannot run `gap`: {reason}")]
    Io {
        /// Why.
        reason: std::io::Error,
    },
    /// It has no library of small groups.
    #[error("the installed GAP has no library of small groups; install its package SmallGrp")]
    NoLibrary,
    /// No such group.
    #[error("GAP's library has no such group; there are {count} groups of order {order}")]
    NoSuchGroup {
        /// The order asked for.
        order: u64,
        /// The number of groups of that order.
        count: u64,
    },
    /// The library does not hold the groups of this order.
    #[error("GAP's library does not hold the groups of order {order}")]
    NotAvailable {
        /// The order asked for.
        order: u64,
    },
    /// It took too long.
    #[error("GAP did not answer within {} s", .0.as_secs())]
    TimedOut(Duration),
    /// It said something else.
    #[error("GAP answered {0:?}")]
    Unexpected(String),
    /// Its answer makes no group.
    #[error(transparent)]
    NotGroup(#[from] GroupError),
}

impl From<std::io::Error> for GapError {
    fn from(reason: std::io::Error) -> Self {
        GapError::Io { reason }
    }
}

const PATIENCE: Duration = Duration::from_secs(60);

/// Group number `number` of order `order` in GAP's library of small groups.
///
/// # Errors
/// [`GapError`] if GAP or its library is missing, or has no such group.
pub fn small_group(order: u64, number: u64) -> Result<Group, GapError> {
    let answer = ask(&format!(
        "if LoadPackage(\"smallgrp\", false) <> true then Print(\"no library\");
         elif not SmallGroupsAvailable({order}) then Print(\"not available\");
         elif {number} < 1 or {number} > NrSmallGroups({order}) then Print(\"count \", NrSmallGroups({order}));
         else
           g := Image(IsomorphismPermGroup(SmallGroup({order}, {number})));
           Print(\"generators \", List(GeneratorsOfGroup(g), x -> ListPerm(x, LargestMovedPoint(g))));
         fi;"
    ))?;
    let unexpected = || GapError::Unexpected(answer.chars().take(200).collect());
    if answer == "nolibrary" {
        return Err(GapError::NoLibrary);
    }
    if answer == "notavailable" {
        return Err(GapError::NotAvailable { order });
    }
    if let Some(count) = answer.strip_prefix("count") {
        return Err(GapError::NoSuchGroup {
            order,
            count: count.parse().map_err(|_| unexpected())?,
        });
    }
    let generators = answer.strip_prefix("generators").ok_or_else(unexpected)?;
    let images: Vec<Vec<usize>> = serde_json::from_str(generators).map_err(|_| unexpected())?;
    let generators = (images.iter())
        .map(|images| {
            let images: Option<Vec<usize>> = images.iter().map(|i| i.checked_sub(1)).collect();
            Permutation::from_images(&images.ok_or_else(unexpected)?).map_err(|_| unexpected())
        })
        .collect::<Result<Vec<_>, _>>()?;
    let degree = generators.iter().map(Permutation::degree).max().unwrap_or(0);
    let (_, elements) = Group::from_generators("", Permutation::identity(degree), &generators, Permutation::compose)?;
    if elements.len() as u64 != order {
        return Err(unexpected());
    }
    Ok(permutation_group(format!("SmallGroup({order},{number})"), &elements)?)
}

/// GAP's name for the structure of a group, without its spaces: `C11:C5`. Note that GAP writes `D8` for the symmetries of
/// the square, which are `D4` here.
///
/// # Errors
/// [`GapError`] if GAP is missing or gives no answer in time.
pub fn structure_description(group: &Group) -> Result<String, GapError> {
    // The regular representation: x acts by y -> x * y.
    let generators: Vec<String> = (group.generators().iter())
        .map(|&g| {
            format!(
                "PermList({:?})",
                group.row(g).iter().map(|y| y.0 as usize + 1).collect::<Vec<_>>()
            )
        })
        .collect();
    // Without the library of small groups the answer is the same, only later.
    ask(&format!(
        "LoadPackage(\"smallgrp\", false);;
         Print(StructureDescription(Group([{}],())));",
        generators.join(",")
    ))
}

/// What GAP prints for a program, without white space.
fn ask(program: &str) -> Result<String, GapError> {
    let mut gap = Command::new("gap")
        .args(["-q", "-r", "-A", "-T", "-x", "4096"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => GapError::NotInstalled,
            _ => GapError::Io { reason: error },
        })?;
    let mut stdin = gap.stdin.take().expect("piped above");
    let program = format!("{program}\nQUIT;\n");
    let writer = std::thread::spawn(move || stdin.write_all(program.as_bytes()));
    let mut stdout = gap.stdout.take().expect("piped above");
    let reader = std::thread::spawn(move || {
        let mut answer = String::new();
        stdout.read_to_string(&mut answer).map(|_| answer)
    });
    let start = Instant::now();
    while gap.try_wait()?.is_none() {
        if start.elapsed() > PATIENCE {
            gap.kill()?;
            gap.wait()?;
            return Err(GapError::TimedOut(PATIENCE));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    // GAP may leave before it has read everything; what it printed says more than a broken pipe.
    _ = writer.join();
    let answer = reader.join().expect("reading does not panic")?;
    Ok(answer.split_whitespace().collect::<String>())
}
