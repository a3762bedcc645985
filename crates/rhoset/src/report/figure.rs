//! Figures as data: axes, series and a caption, before anything is drawn.
//!
//! What a figure says can be tested, and is, without looking at pixels; [`super::plot`] draws it as SVG or PNG.

/// A figure with everything that is on it.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// Stem of its files, such as `accuracy-bound`.
    pub name: String,
    /// What it shows, in a line.
    pub title: String,
    /// What to see in it, and which figure of the paper it repeats.
    pub caption: String,
    /// The horizontal axis.
    pub x: Axis,
    /// The vertical axis.
    pub y: Axis,
    /// What is drawn, in this order.
    pub series: Vec<Series>,
    /// Why there is nothing to draw, where there is nothing: said in the place of the figure.
    pub absent: Option<String>,
}

impl Figure {
    /// Whether no series has a point that can be drawn.
    pub fn is_empty(&self) -> bool {
        self.drawable().next().is_none()
    }

    /// Every point that can be drawn: finite, and positive on logarithmic axes.
    pub(super) fn drawable(&self) -> impl Iterator<Item = (f64, f64)> + '_ {
        let all = self.series.iter().flat_map(|series| series.points.iter());
        all.copied().filter(|&(x, y)| self.x.shows(x) && self.y.shows(y))
    }
}

/// An axis.
#[derive(Clone, Debug, PartialEq)]
pub struct Axis {
    /// What it measures, with its unit.
    pub label: String,
    /// How values are placed along it.
    pub scale: Scale,
    /// What it shows at the least, whatever the data is.
    pub least: Option<(f64, f64)>,
}

impl Axis {
    /// An axis with even steps.
    pub fn linear(label: &str) -> Self {
        Self {
            label: label.to_owned(),
            scale: Scale::Linear,
            least: None,
        }
    }

    /// An axis with even ratios.
    pub fn logarithmic(label: &str) -> Self {
        Self {
            label: label.to_owned(),
            scale: Scale::Logarithmic,
            least: None,
        }
    }

    /// An axis of things with names, at 0, 1, 2, ...
    pub fn categories(label: &str, names: Vec<String>) -> Self {
        Self {
            label: label.to_owned(),
            scale: Scale::Categories(names),
            least: None,
        }
    }

    /// An axis with even steps from 0 to 100 %.
    pub fn percent(label: &str) -> Self {
        Self {
            least: Some((0.0, 100.0)),
            ..Self::linear(label)
        }
    }

    /// Whether a value has a place on the axis.
    pub fn shows(&self, value: f64) -> bool {
        value.is_finite() && (self.scale != Scale::Logarithmic || value > 0.0)
    }
}

/// How values are placed along an axis.
#[derive(Clone, Debug, PartialEq)]
pub enum Scale {
    /// Even steps.
    Linear,
    /// Even ratios; values must be positive.
    Logarithmic,
    /// Things with names, at 0, 1, 2, ...
    Categories(Vec<String>),
}

/// Points that belong together.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// What the legend calls it.
    pub name: String,
    /// How it is drawn.
    pub mark: Mark,
    /// Which of the colours and shapes it has: the same things have the same in every figure.
    pub style: usize,
    /// The points (x, y).
    pub points: Vec<(f64, f64)>,
}

/// How a series is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// A mark for each point.
    Points,
    /// Points on categories, spread a little sideways, with a bar at each category's median.
    Spread,
    /// A line through the points, in their order.
    Line,
    /// Bars from the axis or from the bar below them, one series on top of the other.
    Bars,
}
