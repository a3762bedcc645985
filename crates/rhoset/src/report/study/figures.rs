//! The figures of a study: the paper's, and ours.
//!
//! All networks of one group are in one set of figures. The caption says what of Wu et al. 2025 it repeats, and what to
//! see.

use std::collections::{BTreeMap, BTreeSet};

use super::tables::measured;
use super::{CheckpointMeasures, Record, VERIFIERS};
use crate::measure::{Census, CensusRow, Performance};
use crate::report::figure::{Axis, Figure, Mark, Series};

/// Neurons that an irrep must have for its variance of a to be drawn.
const LEAST_NEURONS: usize = 5;

/// Every figure about the networks of one group, those without data included.
pub fn all(group: &str, records: &[Record], census: &Census) -> Vec<Figure> {
    let of = Figures { group, records };
    vec![
        of.accuracy_bound(),
        of.accuracy_bound_flops(),
        of.cross_entropy_bound(),
        of.margin_error(),
        of.equivariance(),
        of.equivariance_shares(),
        of.r_squared(),
        of.loss_by_tensor(),
        of.loss_by_irrep(),
        of.variance_of_a("variance-of-a-loss", "cross-entropy (nats)", |record| {
            record.studied.measures.original.cross_entropy
        }),
        of.variance_of_a("variance-of-a-norm", "norm of the weights", |record| {
            record.studied.measures.norm
        }),
        of.interventions(),
        of.cosets(),
        of.tiers(),
        of.cost_explained(),
        of.learning(),
        of.learning_loss(),
        of.learning_measures(),
        of.census(census),
    ]
}

struct Figures<'a> {
    group: &'a str,
    records: &'a [Record],
}

fn series(name: impl Into<String>, mark: Mark, points: Vec<(f64, f64)>) -> Series {
    Series {
        name: name.into(),
        mark,
        style: 0,
        points,
    }
}

/// An axis that shows these values whatever the data is.
fn least_of(axis: Axis, values: (f64, f64)) -> Axis {
    Axis {
        least: Some(values),
        ..axis
    }
}

/// Each in the style of its place.
fn styled(all: impl IntoIterator<Item = Series>) -> Vec<Series> {
    let each = all.into_iter().enumerate();
    each.map(|(style, series)| Series { style, ..series }).collect()
}

/// Verifiers look the same in every figure, whichever others are in it.
fn of_verifiers(all: impl IntoIterator<Item = Series>) -> Vec<Series> {
    let style = |name: &str| VERIFIERS.iter().position(|own| *own == name).unwrap_or_default();
    (all.into_iter())
        .filter(|series| !series.points.is_empty())
        .map(|series| Series {
            style: style(&series.name),
            ..series
        })
        .collect()
}

/// A column of points for each category that any network has a value for.
struct Columns {
    names: Vec<String>,
    points: Vec<(f64, f64)>,
}

impl Columns {
    fn new() -> Self {
        Self {
            names: Vec::new(),
            points: Vec::new(),
        }
    }

    fn add(&mut self, name: impl Into<String>, values: impl Iterator<Item = Option<f64>>) {
        let at = self.names.len() as f64;
        self.names.push(name.into());
        self.points.extend(values.flatten().map(|value| (at, value)));
    }
}

impl Figures<'_> {
    fn figure(&self, name: &str, title: &str, caption: String, axes: (Axis, Axis), series: Vec<Series>) -> Figure {
        let mut figure = Figure {
            name: name.to_owned(),
            title: self.title(title, self.records.len(), "network"),
            caption,
            x: axes.0,
            y: axes.1,
            series,
            absent: None,
        };
        if self.records.is_empty() {
            figure.absent = Some(format!("there are no networks of {}", self.group));
        } else if figure.is_empty() {
            figure.absent = Some("no network has such values".into());
        }
        figure
    }

    fn title(&self, title: &str, count: usize, noun: &str) -> String {
        let plural = if count == 1 { "" } else { "s" };
        format!("{title} ({}, {count} {noun}{plural})", self.group)
    }

    /// A figure along checkpoints, which counts the runs that have some.
    fn along_runs(&self, mut figure: Figure, title: &str) -> Figure {
        let runs = self
            .records
            .iter()
            .filter(|record| !record.checkpoints().is_empty())
            .count();
        if runs > 0 {
            figure.title = self.title(title, runs, "run");
        }
        Self::absent_because(figure, NO_CHECKPOINTS)
    }

    /// A figure without lines of its own to say why it is empty.
    fn absent_because(mut figure: Figure, reason: &str) -> Figure {
        if figure.is_empty() && figure.absent.is_some() {
            figure.absent = Some(reason.to_owned());
        }
        figure
    }

    fn by_verifier(&self, x: impl Fn(&Record, &str) -> Option<f64>) -> Vec<Series> {
        let one = |verifier: &&str| {
            let points = self
                .records
                .iter()
                .filter_map(|record| Some((x(record, verifier)?, 100.0 * record.bound(verifier)?)));
            series(*verifier, Mark::Points, points.collect())
        };
        of_verifiers(VERIFIERS.iter().map(one))
    }

    fn accuracy_bound(&self) -> Figure {
        let paper = match self.group {
            "S4" => "Fig. 10 of Wu et al. 2025",
            "A5" => "Fig. 11 of Wu et al. 2025",
            _ => "the comparison of verifiers in section 6 of Wu et al. 2025 (Fig. 10 is theirs of S4, Fig. 11 of A5)",
        };
        self.figure(
            "accuracy-bound",
            "Accuracy bound against verification time",
            format!(
                "One mark for each network and verifier; repeats {paper}. Time is the verification's alone, without the \
                 search for the explanation, all verifiers with the same threads. Brute force, rho-set (V_irrep) and coset \
                 (V_coset) are the paper's; explained and cascade are ours. Top left is best."
            ),
            (
                Axis::logarithmic("verification time (seconds)"),
                Axis::percent("proved accuracy (%)"),
            ),
            self.by_verifier(|record, verifier| Some(record.verifier(verifier)?.seconds)),
        )
    }

    fn accuracy_bound_flops(&self) -> Figure {
        self.figure(
            "accuracy-bound-flops",
            "Accuracy bound against arithmetic",
            "The same with floating-point operations in the place of seconds, relative to brute force: the comparison \
             that does not depend on the machine."
                .into(),
            (
                Axis::logarithmic("flops (% of brute force)"),
                Axis::percent("proved accuracy (%)"),
            ),
            self.by_verifier(|record, verifier| Some(100.0 * record.relative_flops(verifier)?)),
        )
    }

    fn cross_entropy_bound(&self) -> Figure {
        let one = |verifier: &&str| {
            let points = self.records.iter().filter_map(|record| {
                let loss = record.studied.measures.original.cross_entropy;
                Some((loss, record.verifier(verifier)?.cross_entropy_bound?))
            });
            series(*verifier, Mark::Points, points.collect())
        };
        self.figure(
            "cross-entropy-bound",
            "Cross-entropy bound against cross-entropy",
            "Upper bounds on the mean loss over all inputs, where the verifier proves one; after the cross-entropy bound of \
             Wu et al. 2025. Brute force evaluates the loss, so its marks are the truth."
                .into(),
            (
                Axis::logarithmic("cross-entropy (nats)"),
                Axis::logarithmic("proved bound (nats)"),
            ),
            of_verifiers(VERIFIERS.iter().map(one)),
        )
    }

    fn margin_error(&self) -> Figure {
        let errors: Vec<_> = self
            .records
            .iter()
            .filter_map(|record| record.studied.margin_error)
            .collect();
        let all = [
            series(
                "largest error",
                Mark::Points,
                errors.iter().map(|own| (own.margin, own.largest)).collect(),
            ),
            series(
                "mean error",
                Mark::Points,
                errors.iter().map(|own| (own.margin, own.mean)).collect(),
            ),
        ];
        let most = errors.iter().map(|own| own.margin).fold(0.0, f64::max);
        let line = series("error = margin", Mark::Line, vec![(0.0, 0.0), (most, most)]);
        // Where no idealised network has a margin, errors have nothing to be set against.
        let all = if most > 0.0 {
            styled(all.into_iter().chain([line]))
        } else {
            Vec::new()
        };
        let figure = self.figure(
            "margin-error",
            "Error bound against margin of the idealised network",
            "What the rho-set verifier weighs, V_irrep of section 6 of Wu et al. 2025: an input is proved right where the \
             bound on its error is below the idealised network's margin, which is the same for all inputs. A network whose \
             largest error is below the line is proved perfect; one without a nearly full circuit stands at margin 0."
                .into(),
            (
                Axis::linear("margin of the idealised network (logits)"),
                least_of(Axis::linear("bound on the error (logits)"), (0.0, 0.0)),
            ),
            all,
        );
        let reason = match errors.is_empty() {
            true => "margins and errors are defined for relu networks",
            false => "no network has a circuit with at least 90 % of its pairs, so no idealised network has a margin",
        };
        Self::absent_because(figure, reason)
    }

    fn equivariance(&self) -> Figure {
        let mut columns = Columns::new();
        let both = |e: &crate::measure::BiEquivariance| (e.variation.right + e.variation.left) / 2.0;
        let records = || self.records.iter().map(|record| &record.studied);
        columns.add("random", records().map(|own| Some(both(&own.random))));
        columns.add("original", records().map(|own| Some(both(&own.measures.equivariance))));
        columns.add(
            "idealised",
            records().map(|own| own.measures.idealised_equivariance.as_ref().map(both)),
        );
        self.figure(
            "equivariance",
            "Bi-equivariance of the logits",
            "Spread of the correct logit along the orbits on which bi-equivariance makes it constant, relative to its size: \
             0 is exactly bi-equivariant. After Wu et al. 2025, who report about 15 for random networks, 0.03 for trained \
             ones and less than 10⁻⁵ for idealised ones (S5). Bars are medians."
                .into(),
            (
                Axis::categories("networks", columns.names),
                Axis::logarithmic("relative spread of the correct logit"),
            ),
            vec![series("", Mark::Spread, columns.points)],
        )
    }

    fn equivariance_shares(&self) -> Figure {
        let mut columns = Columns::new();
        let records = || self.records.iter().map(|record| &record.studied.measures.equivariance);
        columns.add("right", records().map(|e| Some(100.0 * e.right)));
        columns.add("left", records().map(|e| Some(100.0 * e.left)));
        columns.add("both", records().map(|e| Some(100.0 * e.two_sided)));
        columns.add("right + left", records().map(|e| Some(100.0 * e.sum)));
        self.figure(
            "equivariance-shares",
            "Equivariant shares of the logits",
            "Exact projections: the share of the logits' variance in right-equivariant, left-equivariant and bi-equivariant \
             functions, and in sums of a right- and a left-equivariant one. Ours. Networks that are not bi-equivariant are \
             often nearly such a sum. Bars are medians."
                .into(),
            (
                Axis::categories("functions", columns.names),
                Axis::linear("share of the logits' variance (%)"),
            ),
            vec![series("", Mark::Spread, columns.points)],
        )
    }

    fn r_squared(&self) -> Figure {
        let mut columns = Columns::new();
        let fits = || self.records.iter().map(|record| record.studied.measures.fit);
        let floor = |r_squared: f64| (1.0 - r_squared).max(1e-16);
        columns.add("left", fits().map(|fit| Some(floor(fit?.all.left))));
        columns.add("right", fits().map(|fit| Some(floor(fit?.all.right))));
        columns.add("unembed", fits().map(|fit| Some(floor(fit?.all.unembed))));
        columns.add("left, in circuits", fits().map(|fit| Some(floor(fit?.members?.left))));
        columns.add("right, in circuits", fits().map(|fit| Some(floor(fit?.members?.right))));
        columns.add(
            "unembed, in circuits",
            fits().map(|fit| Some(floor(fit?.members?.unembed))),
        );
        let figure = self.figure(
            "r-squared",
            "Unexplained share of each tensor, 1 − R²",
            "How far the idealised functions of the neurons are from the network's, tensor by tensor, over all neurons and \
             over those in idealised circuits alone; after the R² of Wu et al. 2025, here about each neuron's mean. Lower is \
             better; networks near 1 are not explained by rho-sets. Bars are medians."
                .into(),
            (Axis::categories("tensors", columns.names), least_of(Axis::logarithmic("1 − R²"), (0.1, 1.0))),
            vec![series("", Mark::Spread, columns.points)],
        );
        Self::absent_because(figure, "idealised tensors are defined for relu networks")
    }

    fn loss_by_tensor(&self) -> Figure {
        let mut columns = Columns::new();
        let records = || self.records.iter().map(|record| &record.studied.measures);
        let loss = |performance: Performance| Some(performance.cross_entropy);
        columns.add("original", records().map(|own| loss(own.original)));
        columns.add("left", records().map(|own| loss(own.tensors?.left)));
        columns.add("right", records().map(|own| loss(own.tensors?.right)));
        columns.add("unembed", records().map(|own| loss(own.tensors?.unembed)));
        columns.add("all three", records().map(|own| loss(own.tensors?.all)));
        columns.add("all pairs", records().map(|own| loss(own.idealised?)));
        self.figure(
            "loss-by-tensor",
            "Loss with idealised tensors",
            "Mean cross-entropy over all inputs with one tensor, or all three, replaced by its idealised values, and of the \
             idealised network with a neuron for every pair; after the original against idealised loss of Wu et al. \
             2025. Bars are medians."
                .into(),
            (
                Axis::categories("replaced", columns.names),
                Axis::logarithmic("cross-entropy (nats)"),
            ),
            vec![series("", Mark::Spread, columns.points)],
        )
    }

    fn loss_by_irrep(&self) -> Figure {
        let mut columns = Columns::new();
        columns.add(
            "original",
            self.records
                .iter()
                .map(|record| Some(record.studied.measures.original.cross_entropy)),
        );
        type Pick = fn(&crate::measure::BlockLosses) -> Option<f64>;
        let picks: [(&str, Pick); 3] = [
            ("idealised", |losses| Some(losses.idealised?.cross_entropy)),
            ("without", |losses| Some(losses.ablated.cross_entropy)),
            ("alone", |losses| Some(losses.restricted.cross_entropy)),
        ];
        let mut kinds = vec![series("original", Mark::Spread, std::mem::take(&mut columns.points))];
        kinds.extend(picks.map(|(name, _)| series(name, Mark::Spread, Vec::new())));
        for irrep in self.learned() {
            for (kind, (name, pick)) in picks.into_iter().enumerate() {
                let losses = self.records.iter().map(|record| {
                    let own = record.studied.measures.irreps.iter().find(|own| own.irrep == irrep)?;
                    pick(own.losses.as_ref()?)
                });
                columns.add(format!("{irrep}: {name}"), losses);
                kinds[kind + 1].points.append(&mut columns.points);
            }
        }
        self.figure(
            "loss-by-irrep",
            "Loss by irrep: idealised, without, alone",
            "Mean cross-entropy over all inputs with the neurons of one irrep idealised (after Wu et al. 2025), without \
             them, and with nothing but them (after the ablated and restricted loss of Chughtai et al. 2023). Bars are \
             medians."
                .into(),
            (
                Axis::categories("irrep", columns.names),
                Axis::logarithmic("cross-entropy (nats)"),
            ),
            styled(kinds.into_iter().filter(|kind| !kind.points.is_empty())),
        )
    }

    /// The irreps that any network has neurons in, the most frequent first, at most six.
    fn learned(&self) -> Vec<String> {
        let mut counts = BTreeMap::<&str, usize>::new();
        for record in self.records {
            for own in record.studied.measures.irreps.iter().filter(|own| own.neurons > 0) {
                *counts.entry(&own.irrep).or_default() += 1;
            }
        }
        let mut irreps: Vec<(&str, usize)> = counts.into_iter().collect();
        irreps.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        irreps.into_iter().take(6).map(|(irrep, _)| irrep.to_owned()).collect()
    }

    fn variance_of_a(&self, name: &str, against: &str, value: fn(&Record) -> f64) -> Figure {
        let mut by_irrep = BTreeMap::<&str, Vec<(f64, f64)>>::new();
        for record in self.records {
            for own in &record.studied.measures.irreps {
                // One-dimensional irreps have only one direction.
                if let (Some(variance), true) = (own.variance_of_a, own.neurons >= LEAST_NEURONS && own.dimension > 1) {
                    let point = (variance.max(1e-9), value(record));
                    by_irrep.entry(&own.irrep).or_default().push(point);
                }
            }
        }
        // More than eight could not be told apart.
        let mut by_irrep: Vec<_> = by_irrep.into_iter().collect();
        by_irrep.sort_by_key(|(_, points)| std::cmp::Reverse(points.len()));
        let rest = by_irrep.split_off(by_irrep.len().min(if by_irrep.len() > 8 { 7 } else { 8 }));
        let others = (!rest.is_empty()).then(|| {
            let points = rest.iter().flat_map(|(_, points)| points.iter().copied());
            series(format!("{} other irreps", rest.len()), Mark::Points, points.collect())
        });
        let all = by_irrep
            .into_iter()
            .map(|(irrep, points)| series(irrep, Mark::Points, points))
            .chain(others);
        let figure = self.figure(
            name,
            &format!("Variance of a against {}", against.split(" (").next().unwrap_or(against)),
            format!(
                "How far the neurons of an irrep are from sharing their vector a (0 is one vector for all), one mark for each \
                 network and irrep with at least {LEAST_NEURONS} neurons; after Wu et al. 2025, who set it against loss and \
                 norm: do networks whose a varies have learned less well? Values below 10⁻⁹ stand there."
            ),
            (
                least_of(Axis::logarithmic("variance of a"), (1e-9, 1.0)),
                Axis::logarithmic(against),
            ),
            styled(all),
        );
        Self::absent_because(
            figure,
            &format!("no irrep of dimension 2 or more has {LEAST_NEURONS} neurons in any network"),
        )
    }

    fn interventions(&self) -> Figure {
        let mut columns = Columns::new();
        let records = || self.records.iter().map(|record| &record.studied.measures);
        columns.add("original", records().map(|own| Some(own.original.cross_entropy)));
        let names = self
            .records
            .first()
            .map_or(&[][..], |record| &record.studied.measures.interventions);
        for (k, own) in names.iter().enumerate() {
            let losses = records().map(|own| Some(own.interventions.get(k)?.performance.cross_entropy));
            columns.add(own.intervention.name(), losses);
        }
        self.figure(
            "interventions",
            "Causal interventions",
            "Loss after the interventions of Stander et al. 2024, as Wu et al. 2025 run them again. Their point: \
             the outcome is the same for groups without any cosets to speak of, so it does not tell explanations apart. \
             Bars are medians."
                .into(),
            (
                Axis::categories("intervention", columns.names),
                Axis::logarithmic("cross-entropy (nats)"),
            ),
            vec![series("", Mark::Spread, columns.points)],
        )
    }

    fn cosets(&self) -> Figure {
        let mut by_subgroup = BTreeMap::<&str, Vec<f64>>::new();
        for own in self.records.iter().flat_map(|record| &record.studied.measures.cosets) {
            by_subgroup.entry(&own.left_subgroup).or_default().push(own.left);
            by_subgroup.entry(&own.right_subgroup).or_default().push(own.right);
        }
        // The trivial subgroup's cosets say nothing.
        by_subgroup.remove("1");
        let mut subgroups: Vec<(&str, Vec<f64>)> = by_subgroup.into_iter().collect();
        subgroups.sort_by_key(|(_, values)| std::cmp::Reverse(values.len()));
        subgroups.truncate(12);
        let mut columns = Columns::new();
        for (name, mut values) in subgroups {
            let label = format!("{name} ({})", values.len());
            values.sort_by(f64::total_cmp);
            // A few hundred marks show a distribution as well as thousands.
            let step = values.len().div_ceil(200);
            columns.add(
                label,
                values.into_iter().step_by(step).map(|value| Some(value.max(1e-9))),
            );
        }
        let figure = self.figure(
            "coset-concentration",
            "Coset concentration of neurons",
            "E[var | cosets] / var of left functions on right cosets and right functions on left cosets, for the subgroup \
             that fits each neuron best (how many neurons in brackets, both functions counted); after Wu et al. 2025 \
             and Stander et al. 2024. 0 is exactly constant on every coset."
                .into(),
            (
                Axis::categories("subgroup", columns.names),
                Axis::logarithmic("E[var | cosets] / var"),
            ),
            vec![series("", Mark::Spread, columns.points)],
        );
        Self::absent_because(
            figure,
            "no neuron is concentrated on the cosets of a subgroup other than the trivial one",
        )
    }

    fn tiers(&self) -> Figure {
        let known = [
            "gaps",
            "tables",
            "correct",
            "spectral",
            "partitions",
            "exact",
            "undecided",
        ];
        let mut found: Vec<String> = Vec::new();
        let tiers = |record: &Record| record.verifier("cascade").and_then(|row| row.tiers.clone());
        for record in self.records {
            for (name, value) in tiers(record).unwrap_or_default() {
                if !found.contains(&name) && value.is_u64() {
                    found.push(name);
                }
            }
        }
        found.sort_by_key(|name| known.iter().position(|own| own == name).unwrap_or(known.len()));
        let all = found.iter().map(|name| {
            let points = self.records.iter().enumerate().map(|(i, record)| {
                let pairs = tiers(record).and_then(|tiers| tiers.get(name).and_then(serde_json::Value::as_u64));
                (
                    i as f64,
                    100.0 * pairs.unwrap_or(0) as f64 / record.summary.pairs as f64,
                )
            });
            series(name.clone(), Mark::Bars, points.collect())
        });
        let all = all.filter(|tier| tier.points.iter().any(|&(_, share)| share > 0.0));
        let figure = self.figure(
            "tiers",
            "Which tier of the cascade decides how many pairs",
            "Ours. The cheapest first: what x and y have each by themselves (gaps), the tables at every z (tables), the \
             same with the correct logit evaluated (correct), a few irreps (spectral), every logit with one input known to each \
             neuron by a cell (partitions), and every logit (exact)."
                .into(),
            (
                Axis::categories("network", self.records.iter().map(|record| shown(&record.network)).collect()),
                Axis::linear("share of the pairs (%)"),
            ),
            styled(all),
        );
        Self::absent_because(figure, "the cascade could not be run on any network")
    }

    fn cost_explained(&self) -> Figure {
        let one = |verifier: &str| {
            let points = self.records.iter().filter_map(|record| {
                let explained = record.studied.measures.fit?.explained;
                Some((100.0 * explained, 100.0 * record.relative_flops(verifier)?))
            });
            series(verifier, Mark::Points, points.collect())
        };
        let figure = self.figure(
            "cost-explained",
            "Cost of the proof against share explained",
            "Ours. The more of a network the paper's circuits (with at least 90 % of their pairs) account for, the cheaper \
             its proof should be: flops relative to brute force against the share of the left functions' variance that \
             neurons of such circuits have."
                .into(),
            (
                Axis::percent("variance in rho-set circuits (%)"),
                Axis::logarithmic("flops (% of brute force)"),
            ),
            of_verifiers(["rho-set", "explained", "cascade"].map(one)),
        );
        Self::absent_because(figure, "circuits and their verifiers are for relu networks")
    }

    /// Means over all runs that have a checkpoint at the epoch.
    fn over_epochs(&self, value: impl Fn(&Record, usize) -> Option<f64>) -> Vec<(f64, f64)> {
        let mut sums = BTreeMap::<u64, (f64, f64)>::new();
        for record in self.records {
            for (k, own) in record.checkpoints().iter().enumerate() {
                if let Some(value) = value(record, k) {
                    let sum = sums.entry(own.epoch).or_default();
                    *sum = (sum.0 + value, sum.1 + 1.0);
                }
            }
        }
        // Epoch 0 has no place on a logarithmic axis: it stands at 1/2.
        sums.into_iter()
            .map(|(epoch, (sum, count))| ((epoch as f64).max(0.5), sum / count))
            .collect()
    }

    fn learning(&self) -> Figure {
        let at = |pick: fn(&super::CheckpointRow) -> Option<f64>| {
            self.over_epochs(|record, k| Some(100.0 * pick(&record.checkpoints()[k])?))
        };
        let neurons = self.over_epochs(|record, k| {
            let own = &record.checkpoints()[k];
            Some(100.0 * own.in_circuits as f64 / record.summary.neurons as f64)
        });
        let figure = self.figure(
            "learning",
            "When circuits form",
            "Ours. Along the checkpoints of the runs, mean over runs: accuracy, the accuracy that the explanation alone \
             proves, and the share of neurons in rho-set circuits. Epoch 0 stands at 0.5."
                .into(),
            (Axis::logarithmic("epoch"), Axis::percent("share (%)")),
            styled(vec![
                series("accuracy", Mark::Line, at(|own| Some(own.correct as f64 / own.pairs as f64))),
                series(
                    "proved by explanation",
                    Mark::Line,
                    at(|own| Some(own.explained? as f64 / own.pairs as f64)),
                ),
                series("neurons in circuits", Mark::Line, neurons),
            ]),
        );
        self.along_runs(figure, "When circuits form")
    }

    fn learning_loss(&self) -> Figure {
        let curve = |name: &'static str| {
            self.over_epochs(move |record, k| measured(record, name, record.checkpoints()[k].epoch))
        };
        let figure = self.figure(
            "learning-loss",
            "Train and test loss",
            "Mean over runs at the same checkpoints. Epoch 0 stands at 0.5.".into(),
            (Axis::logarithmic("epoch"), Axis::logarithmic("cross-entropy (nats)")),
            styled(vec![
                series("train", Mark::Line, curve("train_loss")),
                series("test", Mark::Line, curve("test_loss")),
            ]),
        );
        self.along_runs(figure, "Train and test loss")
    }

    fn learning_measures(&self) -> Figure {
        let at = |pick: fn(&CheckpointMeasures) -> Option<f64>| {
            self.over_epochs(|record, k| {
                let epoch = record.checkpoints()[k].epoch;
                let measured = record.learning.iter().find(|own| own.epoch == epoch)?;
                Some(100.0 * pick(measured)?)
            })
        };
        let figure = self.figure(
            "learning-measures",
            "When logits become equivariant",
            "Ours. At the same checkpoints, mean over runs: the shares of the logits' variance in bi-equivariant functions and \
             in sums of a right- and a left-equivariant one, and R² of the left embeddings idealised by rho-sets. Epoch 0 \
             stands at 0.5."
                .into(),
            (Axis::logarithmic("epoch"), Axis::percent("share (%)")),
            styled(vec![
                series("bi-equivariant", Mark::Line, at(|own| Some(own.equivariance.two_sided))),
                series("right + left", Mark::Line, at(|own| Some(own.equivariance.sum))),
                series("R² of left", Mark::Line, at(|own| Some(own.fit?.all.left))),
            ]),
        );
        self.along_runs(figure, "When logits become equivariant")
    }

    fn census(&self, census: &Census) -> Figure {
        let share = |count: usize| 100.0 * count as f64 / census.networks.max(1) as f64;
        let rows = || census.rows.iter().filter(|row| row.smallest_rho_set.is_some());
        let point = |row: &CensusRow| (row.smallest_rho_set.unwrap_or_default() as f64, share(row.with_circuit));
        let all: Vec<Series> = match rows().count() {
            // More could not be told apart.
            13.. => {
                let dimensions: BTreeSet<usize> = rows().map(|row| row.dimension).collect();
                let one = |dimension: usize| {
                    let points: Vec<_> = rows().filter(|row| row.dimension == dimension).map(point).collect();
                    let plural = if points.len() == 1 { "" } else { "s" };
                    let name = format!("{} irrep{plural} of dimension {dimension}", points.len());
                    series(name, Mark::Points, points)
                };
                dimensions.into_iter().map(one).collect()
            }
            _ => rows()
                .map(|row| {
                    let name = format!("{} (dimension {})", row.irrep, row.dimension);
                    series(name, Mark::Points, vec![point(row)])
                })
                .collect(),
        };
        let figure = self.figure(
            "census",
            "Irreps learned against the size of their smallest rho-set",
            "The share of networks with a circuit of the irrep. Ours: the reviewers' question to Wu et al. 2025, whether \
             irreps with small rho-sets are learned more often. Their Table 2 (appendix G, as reviewed) lists the smallest \
             rho-sets of S5."
                .into(),
            (
                Axis::logarithmic("size of the smallest rho-set"),
                Axis::percent("networks with a circuit (%)"),
            ),
            styled(all),
        );
        Self::absent_because(figure, "the group has too many subgroups to find the smallest rho-sets")
    }
}

/// A network's name without what all of them share.
fn shown(name: &str) -> String {
    let stem = [".safetensors", ".pth", ".pt"]
        .iter()
        .find_map(|ending| name.strip_suffix(ending));
    stem.unwrap_or(name).to_owned()
}

const NO_CHECKPOINTS: &str = "only runs have checkpoints; train some, or give the directories of runs";
