//! What to train: every setting of a run, the recipes of the literature, and how settings override each other.
//!
//! A configuration is a flat table of fields. A recipe fills all of them; a file and then the command line replace
//! some; [`TrainConfig::resolve`] checks the result. What is resolved is saved with the run, so that a run says all
//! that went into it.

use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::network::{Activation, Architecture};

/// The recipes by name, each a commented table of settings.
pub const RECIPES: [(&str, &str); 4] = [
    ("paper", include_str!("recipes/paper.toml")),
    ("chughtai", include_str!("recipes/chughtai.toml")),
    ("stander", include_str!("recipes/stander.toml")),
    ("morwani", include_str!("recipes/morwani.toml")),
];

/// The recipe that is used where none is named.
pub const DEFAULT_RECIPE: &str = "paper";

/// Every setting of a run; two runs with the same configuration end with the same bits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// The group's spec.
    pub group: String,
    /// The seed of the initial weights, the minibatches and, unless `split_seed` says otherwise, the split.
    #[serde(default)]
    pub seed: u64,
    /// The recipe that filled the fields which nobody set.
    pub recipe: String,
    /// How the weights are laid out.
    pub architecture: Architecture,
    /// The nonlinearity.
    pub activation: Activation,
    /// Width d of the embeddings; none in the direct architecture.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub embedding_width: Option<usize>,
    /// The number m of neurons.
    pub neurons: usize,
    /// Whether the logits have a bias, which starts at zero.
    pub bias: bool,
    /// How the embeddings start; `left` and `right` in the direct architecture.
    pub initial_embedding: Distribution,
    /// How the linear maps start; none in the direct architecture.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub initial_linear: Option<Distribution>,
    /// How the unembedding starts.
    pub initial_unembed: Distribution,
    /// The optimiser.
    pub optimiser: OptimiserKind,
    /// The learning rate after warm-up.
    pub learning_rate: f64,
    /// The number of steps over which the learning rate grows linearly from `learning_rate / warm_up`.
    pub warm_up: u64,
    /// Decay of all weights but the bias: added to the gradient (adam, sgd) or decoupled from it (adamw).
    pub weight_decay: f64,
    /// Decay of the mean of gradients (adam, adamw).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub beta1: Option<f64>,
    /// Decay of the mean of squared gradients (adam, adamw).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub beta2: Option<f64>,
    /// What is added to the root of the mean of squared gradients (adam, adamw).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epsilon: Option<f64>,
    /// Momentum (sgd).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub momentum: Option<f64>,
    /// The share of the n^2 pairs that is trained on: `floor(train_fraction * n^2)` pairs.
    pub train_fraction: f64,
    /// The seed of the split, where it is not the seed of the run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub split_seed: Option<u64>,
    /// The pairs of a step.
    pub batch: Batch,
    /// Whether minibatches are drawn with replacement.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replacement: Option<bool>,
    /// How often the training pairs are gone through.
    pub epochs: u64,
    /// The numbers that training computes with; networks are saved in float32.
    pub precision: Precision,
    /// The epochs at which metrics are taken; the first and the last always are.
    pub metrics: Cadence,
    /// The epochs at which checkpoints are kept; the last always is.
    pub checkpoints: Cadence,
}

/// What is wrong with a configuration.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// No such recipe.
    #[error("recipe: unknown recipe {name:?}; the recipes are {}", recipe_names())]
    UnknownRecipe {
        /// The name asked for.
        name: String,
    },
    /// A field that does not exist, or a value that it cannot have.
    #[error("{field}: {reason}")]
    Field {
        /// The field.
        field: String,
        /// What is wrong and what is allowed.
        reason: String,
    },
    /// Two fields that do not go together.
    #[error("{field} has no meaning with {other}; remove it")]
    Contradiction {
        /// The field that was set.
        field: &'static str,
        /// The setting that leaves it without meaning.
        other: String,
    },
    /// A value out of range.
    #[error("{field} is {value}; allowed is {allowed}")]
    OutOfRange {
        /// The field.
        field: &'static str,
        /// Its value.
        value: String,
        /// What is allowed.
        allowed: &'static str,
    },
    /// The group was not given.
    #[error("group: no group is given; for example --group S5, or group = \"S5\" in the configuration file")]
    NoGroup,
    /// The train fraction leaves nothing to train on.
    #[error("train_fraction is {fraction}, which leaves no pair of the {pairs} to train on; at least {least} does")]
    NoTrainingPair {
        /// The fraction.
        fraction: f64,
        /// The number of pairs.
        pairs: usize,
        /// The least fraction that leaves one.
        least: f64,
    },
    /// A minibatch larger than all.
    #[error("batch is {batch}, but there are only {pairs} training pairs; \"full\" trains on all of them at once")]
    BatchTooLarge {
        /// The batch size.
        batch: u64,
        /// The number of training pairs.
        pairs: usize,
    },
}

fn recipe_names() -> String {
    RECIPES.map(|(name, _)| name).join(", ")
}

impl TrainConfig {
    /// A recipe of the literature for a group, seed 0.
    ///
    /// # Errors
    /// [`ConfigError::UnknownRecipe`].
    ///
    /// ```
    /// use rhoset::train::TrainConfig;
    /// let config = TrainConfig::recipe("paper", "S5")?;
    /// assert_eq!((config.neurons, config.learning_rate), (128, 0.01));
    /// # Ok::<(), rhoset::train::ConfigError>(())
    /// ```
    pub fn recipe(name: &str, group: &str) -> Result<Self, ConfigError> {
        let mut settings = toml::Table::new();
        settings.insert("recipe".to_owned(), name.into());
        settings.insert("group".to_owned(), group.into());
        Self::resolve(&[settings])
    }

    /// Fills the settings, later tables over earlier ones over the recipe, and checks the result.
    ///
    /// # Errors
    /// A [`ConfigError`] that names the field.
    pub fn resolve(layers: &[toml::Table]) -> Result<Self, ConfigError> {
        let mut set = toml::Table::new();
        for layer in layers {
            set.extend(layer.clone());
        }
        let recipe = match set.get("recipe") {
            None => DEFAULT_RECIPE,
            Some(toml::Value::String(name)) => name,
            Some(other) => {
                return Err(ConfigError::UnknownRecipe {
                    name: other.to_string(),
                });
            }
        };
        let Some((recipe, text)) = RECIPES.into_iter().find(|(name, _)| *name == recipe) else {
            return Err(ConfigError::UnknownRecipe {
                name: recipe.to_owned(),
            });
        };
        let mut table: toml::Table = text.parse().expect("recipes are valid: a test resolves them all");
        table.insert("recipe".to_owned(), recipe.into());
        table.insert("group".to_owned(), "".into());
        // One field after the other, so that an error names its field.
        for (field, value) in &set {
            table.insert(field.clone(), value.clone());
            Self::deserialize(table.clone()).map_err(|error| ConfigError::Field {
                field: field.clone(),
                reason: error.to_string().lines().next().unwrap_or_default().to_owned(),
            })?;
        }
        if !set.contains_key("group") {
            return Err(ConfigError::NoGroup);
        }
        let mut config = Self::deserialize(table).expect("checked field by field");
        config.settle_optional(&set)?;
        config.check()?;
        Ok(config)
    }

    /// Removes what the recipe set but has no meaning here, refuses what was set without meaning, fills what is missing.
    fn settle_optional(&mut self, set: &toml::Table) -> Result<(), ConfigError> {
        let direct = self.architecture == Architecture::Direct;
        let sgd = self.optimiser == OptimiserKind::Sgd;
        let architecture = format!("architecture = {:?}", self.architecture.name());
        let optimiser = format!("optimiser = {:?}", self.optimiser.name());
        let meaningless = [
            ("embedding_width", direct, &architecture),
            ("initial_linear", direct, &architecture),
            ("beta1", sgd, &optimiser),
            ("beta2", sgd, &optimiser),
            ("epsilon", sgd, &optimiser),
            ("momentum", !sgd, &optimiser),
            ("replacement", self.batch == Batch::Full, &"batch = \"full\"".to_owned()),
        ];
        for (field, without_meaning, other) in meaningless {
            if without_meaning && set.contains_key(field) {
                return Err(ConfigError::Contradiction {
                    field,
                    other: other.clone(),
                });
            }
        }
        if direct {
            (self.embedding_width, self.initial_linear) = (None, None);
        } else {
            self.embedding_width.get_or_insert(128);
            self.initial_linear
                .get_or_insert(Distribution::uniform(Scale::FanIn { factor: 1.0 }));
        }
        if sgd {
            (self.beta1, self.beta2, self.epsilon) = (None, None, None);
            self.momentum.get_or_insert(0.0);
        } else {
            self.momentum = None;
            self.beta1.get_or_insert(0.9);
            self.beta2.get_or_insert(0.98);
            self.epsilon.get_or_insert(1e-8);
        }
        match self.batch {
            Batch::Full => self.replacement = None,
            Batch::Size(_) => _ = self.replacement.get_or_insert(false),
        }
        Ok(())
    }

    fn check(&self) -> Result<(), ConfigError> {
        let check = |field, value: f64, holds: bool, allowed| {
            if holds {
                Ok(())
            } else {
                Err(ConfigError::OutOfRange {
                    field,
                    value: value.to_string(),
                    allowed,
                })
            }
        };
        const WIDTH: &str = "1 to 65536";
        const DECAY: &str = "at least 0 and below 1";
        if let Some(width) = self.embedding_width {
            check("embedding_width", width as f64, (1..=65_536).contains(&width), WIDTH)?;
        }
        check(
            "neurons",
            self.neurons as f64,
            (1..=65_536).contains(&self.neurons),
            WIDTH,
        )?;
        let rate = self.learning_rate;
        check(
            "learning_rate",
            rate,
            rate > 0.0 && rate.is_finite(),
            "any number above 0",
        )?;
        let decay = self.weight_decay;
        check(
            "weight_decay",
            decay,
            decay >= 0.0 && decay.is_finite(),
            "0 or any number above",
        )?;
        for (field, value) in [
            ("beta1", self.beta1),
            ("beta2", self.beta2),
            ("momentum", self.momentum),
        ] {
            if let Some(value) = value {
                check(field, value, (0.0..1.0).contains(&value), DECAY)?;
            }
        }
        if let Some(epsilon) = self.epsilon {
            check(
                "epsilon",
                epsilon,
                epsilon >= 0.0 && epsilon.is_finite(),
                "0 or any number above",
            )?;
        }
        let fraction = self.train_fraction;
        check(
            "train_fraction",
            fraction,
            fraction > 0.0 && fraction <= 1.0,
            "above 0 and at most 1",
        )?;
        // Seeds travel through TOML, whose integers are signed.
        for (field, seed) in [("seed", Some(self.seed)), ("split_seed", self.split_seed)] {
            if let Some(seed) = seed {
                check(field, seed as f64, i64::try_from(seed).is_ok(), "0 to 2^63 - 1")?;
            }
        }
        check(
            "epochs",
            self.epochs as f64,
            (1..=1 << 40).contains(&self.epochs),
            "1 to 2^40",
        )
    }

    /// The settings as a table, for saving and comparing.
    pub fn to_table(&self) -> toml::Table {
        toml::Table::try_from(self).expect("flat and checked")
    }

    /// Every field in which two configurations differ: its name and both values ("-" where there is none).
    pub fn differences(&self, other: &Self) -> Vec<(String, String, String)> {
        let (this, other) = (self.to_table(), other.to_table());
        let mut fields: Vec<_> = this.keys().chain(other.keys()).collect();
        fields.sort();
        fields.dedup();
        let show = |value: Option<&toml::Value>| value.map_or_else(|| "-".to_owned(), ToString::to_string);
        fields
            .into_iter()
            .filter(|&field| this.get(field) != other.get(field))
            .map(|field| (field.clone(), show(this.get(field)), show(other.get(field))))
            .collect()
    }
}

/// The update rule; each as PyTorch's optimiser of that name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OptimiserKind {
    /// Adam, Kingma and Ba 2015; weight decay is added to the gradient (L2).
    Adam,
    /// Adam with decoupled weight decay, Loshchilov and Hutter 2019.
    AdamW,
    /// Gradient descent with momentum; weight decay is added to the gradient (L2).
    Sgd,
}

impl OptimiserKind {
    /// Its name in files and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Adam => "adam",
            Self::AdamW => "adamw",
            Self::Sgd => "sgd",
        }
    }
}

/// The numbers that training computes with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32 bits, as in the literature.
    Float32,
    /// 64 bits.
    Float64,
}

/// A setting that is written as a piece of text.
macro_rules! textual {
    ($type:ty) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?
                    .parse()
                    .map_err(serde::de::Error::custom)
            }
        }
    };
}

/// A distribution of initial weights: `normal:SCALE` (standard deviation) or `uniform:SCALE` (bound), where SCALE is a
/// number, `1/sqrt(fan_in)` or `1/sqrt(K*fan_in)`; fan_in is the number of rows of the matrix.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Distribution {
    /// Its shape.
    pub shape: DistributionShape,
    /// Standard deviation or bound.
    pub scale: Scale,
}

/// The shape of a [`Distribution`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DistributionShape {
    /// Normal with mean 0.
    Normal,
    /// Uniform between minus the bound and the bound.
    Uniform,
}

/// The scale of a [`Distribution`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scale {
    /// This number.
    Fixed(f64),
    /// `1 / sqrt(factor * fan_in)`.
    FanIn {
        /// The factor.
        factor: f64,
    },
}

impl Distribution {
    const fn uniform(scale: Scale) -> Self {
        Self {
            shape: DistributionShape::Uniform,
            scale,
        }
    }
}

impl Scale {
    /// The standard deviation or bound for a matrix with so many rows.
    pub fn of(self, fan_in: usize) -> f64 {
        match self {
            Self::Fixed(scale) => scale,
            Self::FanIn { factor } => 1.0 / (factor * fan_in as f64).sqrt(),
        }
    }
}

impl fmt::Display for Distribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shape = match self.shape {
            DistributionShape::Normal => "normal",
            DistributionShape::Uniform => "uniform",
        };
        match self.scale {
            Scale::Fixed(scale) => write!(f, "{shape}:{scale}"),
            Scale::FanIn { factor: 1.0 } => write!(f, "{shape}:1/sqrt(fan_in)"),
            Scale::FanIn { factor } => write!(f, "{shape}:1/sqrt({factor}*fan_in)"),
        }
    }
}

impl FromStr for Distribution {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = || {
            let (shape, scale) = text.split_once(':')?;
            let shape = match shape.trim() {
                "normal" => DistributionShape::Normal,
                "uniform" => DistributionShape::Uniform,
                _ => return None,
            };
            let scale = scale.trim();
            let scale = match scale.strip_prefix("1/sqrt(").and_then(|rest| rest.strip_suffix(')')) {
                Some("fan_in") => Scale::FanIn { factor: 1.0 },
                Some(product) => Scale::FanIn {
                    factor: product.strip_suffix("*fan_in")?.parse().ok()?,
                },
                None => Scale::Fixed(scale.parse().ok()?),
            };
            let (Scale::Fixed(number) | Scale::FanIn { factor: number }) = scale;
            let in_range = number.is_finite() && (number > 0.0 || (number == 0.0 && scale == Scale::Fixed(0.0)));
            in_range.then_some(Self { shape, scale })
        };
        parse().ok_or_else(|| {
            format!(
                "{text:?} is no distribution; allowed are normal:SCALE and uniform:SCALE, with SCALE a number, \
                 1/sqrt(fan_in) or 1/sqrt(K*fan_in)"
            )
        })
    }
}

textual!(Distribution);

/// The pairs of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Batch {
    /// All training pairs.
    Full,
    /// So many of them.
    Size(NonZeroU64),
}

const BATCH: &str = "allowed are \"full\" and whole numbers from 1";

impl Serialize for Batch {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Full => serializer.serialize_str("full"),
            Self::Size(size) => serializer.serialize_u64(size.get()),
        }
    }
}

impl<'de> Deserialize<'de> for Batch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = toml::Value::deserialize(deserializer)?;
        match &value {
            toml::Value::String(text) if text == "full" => Some(Self::Full),
            toml::Value::Integer(size) => u64::try_from(*size).ok().and_then(NonZeroU64::new).map(Self::Size),
            _ => None,
        }
        .ok_or_else(|| serde::de::Error::custom(format!("{value} is no batch; {BATCH}")))
    }
}

/// Which epochs: `log:K` (K to a factor of ten, equally spaced by their logarithm), `every:K`, or `none`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cadence {
    /// So many to every factor of ten.
    Logarithmic(NonZeroU64),
    /// Every so many epochs.
    Every(NonZeroU64),
    /// No epoch.
    Never,
}

impl Cadence {
    /// Whether this epoch is one of them.
    pub fn contains(self, epoch: u64) -> bool {
        match self {
            // Epoch e is chosen where [e, e + 1) holds a power 10^(k / points): k grows between them.
            Self::Logarithmic(points) => {
                let position = |epoch: u64| (libm::log10(epoch as f64) * points.get() as f64 - 1e-9).ceil();
                epoch > 0 && position(epoch) < position(epoch + 1)
            }
            Self::Every(period) => epoch.is_multiple_of(period.get()),
            Self::Never => false,
        }
    }
}

impl fmt::Display for Cadence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Logarithmic(points) => write!(f, "log:{points}"),
            Self::Every(period) => write!(f, "every:{period}"),
            Self::Never => f.write_str("none"),
        }
    }
}

impl FromStr for Cadence {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "none" => Some(Self::Never),
            Some(("log", points)) => points.parse().ok().map(Self::Logarithmic),
            Some(("every", period)) => period.parse().ok().map(Self::Every),
            _ => None,
        }
        .ok_or_else(|| format!("{text:?} is no cadence; allowed are log:K, every:K and none, with K from 1"))
    }
}

textual!(Cadence);
