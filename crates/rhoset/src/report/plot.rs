//! Plots: figures as SVG and PNG.
//!
//! Both look the same: one font (a subset of Noto Sans) is built in, so that nothing depends on what the machine has.
//! Everything is laid out by measuring text, so that no label lies on another.

use std::collections::BTreeMap;
use std::sync::Once;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{FontStyle, register_font};

use super::figure::{Axis, Figure, Mark, Scale};

/// Why a figure could not be drawn.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlotError {
    /// The drawing library failed.
    #[error("figure {figure} cannot be drawn: {reason}")]
    Drawing {
        /// The figure.
        figure: String,
        /// What the library says.
        reason: String,
    },
    /// The image could not be encoded.
    #[error("figure {figure} cannot be written as PNG: {source}")]
    Encoding {
        /// The figure.
        figure: String,
        /// What the encoder says.
        source: png::EncodingError,
    },
}

/// Width of a figure in pixels at scale 1.
const WIDTH: u32 = 900;
/// Height of the plot with its axes at scale 1; caption and legend come on top.
const HEIGHT: u32 = 520;
/// Pixels of a PNG for each pixel of an SVG.
const PNG_SCALE: u32 = 2;

/// Colours that are told apart with any eyes (Okabe and Ito 2008).
const COLOURS: [RGBColor; 8] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(230, 159, 0),
    RGBColor(100, 100, 100),
    RGBColor(0, 0, 0),
];
const INK: RGBColor = RGBColor(34, 34, 34);
const GRID: RGBColor = RGBColor(228, 228, 228);

/// The figure as an SVG document.
///
/// # Errors
/// Where the drawing library fails.
pub fn to_svg(figure: &Figure) -> Result<String, PlotError> {
    let mut document = String::new();
    {
        let (width, height) = size(figure, 1);
        let area = SVGBackend::with_string(&mut document, (width, height)).into_drawing_area();
        Painter { area, scale: 1 }
            .paint(figure)
            .map_err(|reason| PlotError::Drawing {
                figure: figure.name.clone(),
                reason,
            })?;
    }
    Ok(document)
}

/// The figure as a PNG image, twice as fine as the SVG.
///
/// # Errors
/// Where drawing or encoding fails.
pub fn to_png(figure: &Figure) -> Result<Vec<u8>, PlotError> {
    let (width, height) = size(figure, PNG_SCALE);
    let mut pixels = vec![255; (width * height * 3) as usize];
    {
        let area = BitMapBackend::with_buffer(&mut pixels, (width, height)).into_drawing_area();
        let painter = Painter { area, scale: PNG_SCALE };
        painter.paint(figure).map_err(|reason| PlotError::Drawing {
            figure: figure.name.clone(),
            reason,
        })?;
    }
    let encoding = |source| PlotError::Encoding {
        figure: figure.name.clone(),
        source,
    };
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header().map_err(encoding)?;
    writer.write_image_data(&pixels).map_err(encoding)?;
    writer.finish().map_err(encoding)?;
    Ok(bytes)
}

/// Registers the font that both backends measure and draw with.
fn font() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let bytes = include_bytes!("font/NotoSans-Regular.subset.ttf");
        for style in [FontStyle::Normal, FontStyle::Bold] {
            // It is a font: the tests draw with it.
            let _ = register_font("sans-serif", style, bytes);
        }
    });
}

const TITLE: i32 = 17;
const TEXT: i32 = 13;
const LINE: i32 = 19;
const MARGIN: i32 = 16;
/// Lengths of a dash and of the gap after it.
const DASH: f64 = 7.0;
const GAP: f64 = 5.0;

/// Width and height in pixels: the caption may need several lines, and the legend too.
fn size(figure: &Figure, scale: u32) -> (u32, u32) {
    font();
    let caption = wrapped(&figure.caption, WIDTH as i32 - 2 * MARGIN).len() as u32;
    let legend = legend_rows(figure, WIDTH as i32 - 2 * MARGIN).len() as u32;
    (WIDTH * scale, (HEIGHT + (caption + legend) * LINE as u32) * scale)
}

fn text_width(text: &str, size: i32) -> i32 {
    font();
    let style = ("sans-serif", f64::from(size)).into_font();
    style
        .box_size(text)
        .map_or(text.len() as i32 * size / 2, |(width, _)| width as i32)
}

/// Breaks text into lines no wider than `width` pixels at scale 1.
fn wrapped(text: &str, width: i32) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if text_width(&format!("{line} {word}"), TEXT) <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// Indices of the series in each row of the legend; no legend for a single series without a name.
fn legend_rows(figure: &Figure, width: i32) -> Vec<Vec<usize>> {
    let mut rows: Vec<Vec<usize>> = Vec::new();
    let mut used = 0;
    for (i, series) in figure.series.iter().enumerate() {
        if series.name.is_empty() || figure.absent.is_some() {
            continue;
        }
        let own = 40 + text_width(&series.name, TEXT);
        match rows.last_mut() {
            Some(row) if used + own <= width => {
                row.push(i);
                used += own;
            }
            _ => {
                rows.push(vec![i]);
                used = own;
            }
        }
    }
    rows
}

struct Painter<B: DrawingBackend> {
    area: DrawingArea<B, Shift>,
    scale: u32,
}

/// Where the plot is, in pixels at scale 1.
struct Frame {
    left: i32,
    right: i32,
    top: i32,
    bottom: i32,
}

impl<B: DrawingBackend> Painter<B> {
    fn paint(&self, figure: &Figure) -> Result<(), String> {
        font();
        self.area.fill(&WHITE).map_err(|error| error.to_string())?;
        self.text(&figure.title, MARGIN, MARGIN, TITLE, Pos::new(HPos::Left, VPos::Top))?;
        let mut y = MARGIN + TITLE + 10;
        for row in legend_rows(figure, WIDTH as i32 - 2 * MARGIN) {
            let mut x = MARGIN;
            for i in row {
                self.key(figure, i, x + 10, y + TEXT / 2 - 2)?;
                self.text(&figure.series[i].name, x + 24, y, TEXT, Pos::new(HPos::Left, VPos::Top))?;
                x += 40 + text_width(&figure.series[i].name, TEXT);
            }
            y += LINE;
        }
        let caption = wrapped(&figure.caption, WIDTH as i32 - 2 * MARGIN);
        let height = size(figure, 1).1 as i32;
        let mut below = height - MARGIN - LINE * caption.len() as i32;
        let end = below;
        for line in caption {
            self.text(&line, MARGIN, below, TEXT, Pos::new(HPos::Left, VPos::Top))?;
            below += LINE;
        }
        let (mut frame, absent) = (
            Frame {
                left: MARGIN,
                right: WIDTH as i32 - MARGIN,
                top: y + 12,
                bottom: end - 14,
            },
            match (&figure.absent, figure.is_empty()) {
                (Some(reason), _) => Some(reason.clone()),
                (None, true) => Some("no finite values to draw".to_owned()),
                (None, false) => None,
            },
        );
        if let Some(reason) = absent {
            return self.absence(&frame, &reason);
        }
        let (bars_from, points) = stacked(figure);
        let range = |axis: &Axis, pick: fn(&(f64, f64)) -> f64, bars: bool| {
            let values = points.iter().map(pick).filter(|&v| axis.shows(v));
            range(
                axis,
                values.chain(axis.least.into_iter().flat_map(|(low, high)| [low, high])),
                bars,
            )
        };
        let bars = bars_from.is_some();
        let (x_range, y_range) = (
            range(&figure.x, |p| p.0, false),
            range(&figure.y, |p| p.1, bars && figure.y.scale == Scale::Linear),
        );
        let y_ticks = ticks(&figure.y, y_range, 9);
        let widest = y_ticks
            .iter()
            .map(|(_, label)| text_width(label, TEXT))
            .max()
            .unwrap_or(0);
        frame.left += widest + 14 + LINE;
        frame.bottom -= 2 * LINE + 8;
        let mut x_ticks = ticks(&figure.x, x_range, 9);
        // Names that do not fit side by side are turned by a right angle.
        let room = f64::from(frame.right - frame.left) / x_ticks.len().max(1) as f64;
        let longest = x_ticks
            .iter()
            .map(|(_, label)| text_width(label, TEXT))
            .max()
            .unwrap_or(0);
        let turned = matches!(figure.x.scale, Scale::Categories(_)) && f64::from(longest + 8) > room;
        if turned {
            // Names narrower than a line of text would overlap: only some are shown.
            let step = (f64::from(TEXT + 2) / room).ceil() as usize;
            x_ticks = x_ticks.into_iter().step_by(step.max(1)).collect();
            frame.bottom -= longest.min(150) - LINE + 6;
        }
        let place = |axis: &Axis, range: (f64, f64), value: f64, from: i32, to: i32| {
            let unit = |v: f64| if axis.scale == Scale::Logarithmic { v.log10() } else { v };
            let share = (unit(value) - unit(range.0)) / (unit(range.1) - unit(range.0));
            from + (share * f64::from(to - from)).round() as i32
        };
        let at_x = |value: f64| place(&figure.x, x_range, value, frame.left, frame.right);
        let at_y = |value: f64| place(&figure.y, y_range, value, frame.bottom, frame.top);
        for (value, label) in &y_ticks {
            let y = at_y(*value);
            self.line(&[(frame.left, y), (frame.right, y)], GRID, 1)?;
            self.text(label, frame.left - 8, y, TEXT, Pos::new(HPos::Right, VPos::Center))?;
        }
        for (value, label) in &x_ticks {
            let x = at_x(*value);
            if !matches!(figure.x.scale, Scale::Categories(_)) {
                self.line(&[(x, frame.top), (x, frame.bottom)], GRID, 1)?;
            }
            if turned {
                let short: String = match text_width(label, TEXT) > 150 {
                    true => label.chars().take(18).chain(['.', '.', '.']).collect(),
                    false => label.clone(),
                };
                self.turned(&short, x, frame.bottom + 6, Pos::new(HPos::Right, VPos::Center))?;
            } else {
                self.text(label, x, frame.bottom + 6, TEXT, Pos::new(HPos::Center, VPos::Top))?;
            }
        }
        if let (Scale::Categories(names), None) = (&figure.x.scale, &bars_from) {
            let drawn: Vec<(f64, f64)> = figure.drawable().collect();
            let is_empty = |k: usize| !drawn.iter().any(|&(x, _)| x.round() == k as f64);
            for k in (0..names.len()).filter(|&k| is_empty(k)) {
                // A column without data says so in its place.
                self.text(
                    "none",
                    at_x(k as f64),
                    frame.bottom - 6,
                    TEXT,
                    Pos::new(HPos::Center, VPos::Bottom),
                )?;
            }
        }
        self.line(&[(frame.left, frame.bottom), (frame.right, frame.bottom)], INK, 1)?;
        self.line(&[(frame.left, frame.top), (frame.left, frame.bottom)], INK, 1)?;
        let (middle_x, middle_y) = ((frame.left + frame.right) / 2, (frame.top + frame.bottom) / 2);
        self.text(
            &figure.x.label,
            middle_x,
            end - 14,
            TEXT,
            Pos::new(HPos::Center, VPos::Bottom),
        )?;
        self.turned(
            &figure.y.label,
            MARGIN + TEXT / 2,
            middle_y,
            Pos::new(HPos::Center, VPos::Center),
        )?;

        let bars = figure.series.iter().filter(|series| series.mark == Mark::Bars).count();
        for (i, series) in figure.series.iter().enumerate() {
            let style = series.style;
            let colour = COLOURS[style % COLOURS.len()];
            let shown = |p: &&(f64, f64)| figure.x.shows(p.0) && figure.y.shows(p.1);
            let points = series.points.iter().filter(shown);
            match series.mark {
                Mark::Points => {
                    for &(x, y) in points {
                        self.mark(style, at_x(x), at_y(y), 4, colour.mix(0.75))?;
                    }
                }
                Mark::Spread => {
                    let mut columns = BTreeMap::<i64, Vec<f64>>::new();
                    for &(x, y) in points {
                        columns.entry(x.round() as i64).or_default().push(y);
                    }
                    let width = (0.35 * f64::from(at_x(1.0) - at_x(0.0)).abs()).clamp(2.0, 40.0);
                    for (category, mut values) in columns {
                        let centre = at_x(category as f64);
                        for (k, &value) in values.iter().enumerate() {
                            // The golden ratio spreads any number of points evenly.
                            let even = (k as f64 * 0.618_034).fract() - 0.5;
                            let aside = if values.len() == 1 { 0.0 } else { even * width };
                            self.mark(style, centre + aside.round() as i32, at_y(value), 3, colour.mix(0.6))?;
                        }
                        values.sort_by(f64::total_cmp);
                        let y = (at_y(values[(values.len() - 1) / 2]) + at_y(values[values.len() / 2])) / 2;
                        let half = (width * 0.6).round() as i32;
                        self.line(&[(centre - half, y), (centre + half, y)], INK, 2)?;
                    }
                }
                Mark::Line => {
                    let path: Vec<(i32, i32)> = points.map(|&(x, y)| (at_x(x), at_y(y))).collect();
                    self.stroke(style, &path, colour)?;
                    if (3..=60).contains(&path.len()) {
                        for &(x, y) in &path {
                            self.mark(style, x, y, 3, colour.mix(1.0))?;
                        }
                    }
                }
                Mark::Bars => {
                    let width = (0.8 * f64::from(at_x(1.0) - at_x(0.0)).abs()).clamp(1.0, 60.0) as i32;
                    for (k, &(x, y)) in series.points.iter().enumerate() {
                        let from = bars_from.as_ref().map_or(0.0, |from| from[i][k]);
                        if bars == 0 || !figure.x.shows(x) || !(from + y).is_finite() || y == 0.0 {
                            continue;
                        }
                        let base = at_y(if figure.y.scale == Scale::Linear {
                            from
                        } else {
                            from.max(y_range.0)
                        });
                        let corners = [(at_x(x) - width / 2, at_y(from + y)), (at_x(x) + (width + 1) / 2, base)];
                        self.rectangle(corners, colour)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// A frame with a reason in it.
    fn absence(&self, frame: &Frame, reason: &str) -> Result<(), String> {
        let corners = [
            (frame.left, frame.top),
            (frame.right, frame.top),
            (frame.right, frame.bottom),
            (frame.left, frame.bottom),
            (frame.left, frame.top),
        ];
        self.line(&corners, GRID, 1)?;
        let lines = wrapped(&format!("No data: {reason}"), (frame.right - frame.left) * 3 / 4);
        let mut y = (frame.top + frame.bottom - LINE * lines.len() as i32) / 2;
        for line in lines {
            self.text(
                &line,
                (frame.left + frame.right) / 2,
                y,
                TEXT,
                Pos::new(HPos::Center, VPos::Top),
            )?;
            y += LINE;
        }
        Ok(())
    }

    /// A sample of a series for the legend.
    fn key(&self, figure: &Figure, i: usize, x: i32, y: i32) -> Result<(), String> {
        let style = figure.series[i].style;
        let colour = COLOURS[style % COLOURS.len()];
        match figure.series[i].mark {
            Mark::Points | Mark::Spread => self.mark(style, x, y, 4, colour.mix(1.0)),
            Mark::Line => {
                self.stroke(style, &[(x - 9, y), (x + 9, y)], colour)?;
                match figure.series[i].points.len() {
                    0..=2 => Ok(()),
                    _ => self.mark(style, x, y, 3, colour.mix(1.0)),
                }
            }
            Mark::Bars => self.rectangle([(x - 6, y - 6), (x + 6, y + 6)], colour),
        }
    }

    /// The line of a series: every other one is dashed, so that of two that coincide both are seen.
    fn stroke(&self, style: usize, path: &[(i32, i32)], colour: RGBColor) -> Result<(), String> {
        if style.is_multiple_of(2) {
            return self.line(path, colour, 2);
        }
        // Of pieces in turn drawn and left out, going on around corners.
        let (mut drawn, mut left) = (true, DASH);
        for ends in path.windows(2) {
            let [from, to] = [ends[0], ends[1]].map(|(x, y)| (f64::from(x), f64::from(y)));
            let length = (to.0 - from.0).hypot(to.1 - from.1);
            let at = |along: f64| {
                let share = along / length;
                let between = |a: f64, b: f64| (a + share * (b - a)).round() as i32;
                (between(from.0, to.0), between(from.1, to.1))
            };
            let mut along = 0.0;
            while along < length {
                let next = (along + left).min(length);
                if drawn {
                    self.line(&[at(along), at(next)], colour, 2)?;
                }
                left -= next - along;
                // A piece too short to change a rounded sum would go on for ever.
                if left < 1e-6 {
                    (drawn, left) = (!drawn, if drawn { GAP } else { DASH });
                }
                along = next;
            }
        }
        Ok(())
    }

    /// A small shape, another one for each style.
    fn mark(&self, series: usize, x: i32, y: i32, radius: i32, colour: RGBAColor) -> Result<(), String> {
        let (s, r) = (self.scale as i32, radius);
        let at = |dx: i32, dy: i32| ((x + dx) * s, (y + dy) * s);
        let drawn = match series % 4 {
            0 => self.area.draw(&Circle::new(at(0, 0), r * s, colour.filled())),
            1 => self
                .area
                .draw(&Polygon::new(vec![at(0, -r - 1), at(r + 1, r), at(-r - 1, r)], colour)),
            2 => self
                .area
                .draw(&Rectangle::new([at(1 - r, 1 - r), at(r - 1, r - 1)], colour.filled())),
            _ => self.area.draw(&Polygon::new(
                vec![at(0, -r - 1), at(r + 1, 0), at(0, r + 1), at(-r - 1, 0)],
                colour,
            )),
        };
        drawn.map_err(|error| error.to_string())
    }

    fn line(&self, points: &[(i32, i32)], colour: RGBColor, width: u32) -> Result<(), String> {
        let s = self.scale as i32;
        let path: Vec<(i32, i32)> = points.iter().map(|&(x, y)| (x * s, y * s)).collect();
        let style = ShapeStyle {
            color: colour.mix(1.0),
            filled: false,
            stroke_width: width * self.scale,
        };
        self.area
            .draw(&PathElement::new(path, style))
            .map_err(|error| error.to_string())
    }

    fn rectangle(&self, corners: [(i32, i32); 2], colour: RGBColor) -> Result<(), String> {
        let s = self.scale as i32;
        let corners = corners.map(|(x, y)| (x * s, y * s));
        let rectangle = Rectangle::new(corners, colour.filled());
        self.area.draw(&rectangle).map_err(|error| error.to_string())
    }

    fn text(&self, text: &str, x: i32, y: i32, size: i32, position: Pos) -> Result<(), String> {
        self.write(text, x, y, size, position, FontTransform::None)
    }

    /// Text that reads from below, for narrow places.
    fn turned(&self, text: &str, x: i32, y: i32, position: Pos) -> Result<(), String> {
        self.write(text, x, y, TEXT, position, FontTransform::Rotate270)
    }

    fn write(
        &self,
        text: &str,
        x: i32,
        y: i32,
        size: i32,
        position: Pos,
        transform: FontTransform,
    ) -> Result<(), String> {
        let s = self.scale as i32;
        let font = ("sans-serif", f64::from(size * s)).into_font().transform(transform);
        let style = TextStyle::from(font).color(&INK).pos(position);
        let label = Text::new(text.to_owned(), (x * s, y * s), style);
        self.area.draw(&label).map_err(|error| error.to_string())
    }
}

/// Where each bar begins, by series, if there are bars; and every point, those of bars at their tops.
type Stacked = (Option<Vec<Vec<f64>>>, Vec<(f64, f64)>);

fn stacked(figure: &Figure) -> Stacked {
    let mut tops = BTreeMap::<i64, f64>::new();
    let mut points = Vec::new();
    let mut from = Vec::new();
    let mut any = false;
    for series in &figure.series {
        let mut own = Vec::new();
        for &(x, y) in &series.points {
            let mut base = 0.0;
            if series.mark == Mark::Bars && x.is_finite() && y.is_finite() {
                any = true;
                let top = tops.entry(x.round() as i64).or_insert(0.0);
                base = *top;
                *top += y;
                points.push((x, *top));
            } else {
                points.push((x, y));
            }
            own.push(base);
        }
        from.push(own);
    }
    (any.then_some(from), points)
}

/// The ends of an axis: the data's with a margin, 0 where bars stand on it.
fn range(axis: &Axis, values: impl Iterator<Item = f64>, from_zero: bool) -> (f64, f64) {
    let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| {
        (low.min(v), high.max(v))
    });
    match &axis.scale {
        Scale::Categories(names) => (-0.6, names.len() as f64 - 0.4),
        Scale::Logarithmic => {
            let (low, high) = (low.max(1e-300).log10(), high.max(1e-300).log10());
            let margin = 0.04 * (high - low).max(1.0) + if high - low < 0.5 { 0.1 } else { 0.0 };
            (10f64.powf(low - margin), 10f64.powf(high + margin))
        }
        Scale::Linear => {
            let low = if from_zero { low.min(0.0) } else { low };
            let span = match high - low {
                span if span > 1e-12 * high.abs().max(low.abs()) && span > 0.0 => span,
                _ => high.abs().max(1.0),
            };
            let below = if from_zero && low == 0.0 { 0.0 } else { 0.05 * span };
            (low - below, high + 0.05 * span)
        }
    }
}

/// Values at which an axis has labels, about `most` of them.
fn ticks(axis: &Axis, (low, high): (f64, f64), most: usize) -> Vec<(f64, String)> {
    match &axis.scale {
        Scale::Categories(names) => names
            .iter()
            .enumerate()
            .map(|(i, name)| (i as f64, name.clone()))
            .collect(),
        Scale::Logarithmic => {
            let (first, last) = (low.log10().floor() as i32, high.log10().ceil() as i32);
            let decades = (last - first).max(1) as usize;
            let step = decades.div_ceil(most).max(1) as i32;
            let divided = |factors: &'static [f64]| -> Vec<f64> {
                (first..=last)
                    .filter(|decade| decade.rem_euclid(step) == 0)
                    .flat_map(|decade| factors.iter().map(move |factor| factor * 10f64.powi(decade)))
                    .filter(|&v| v >= low && v <= high)
                    .collect()
            };
            // Few decades are divided; less than one has even steps.
            let choices: [&[f64]; 3] = [&[1.0], &[1.0, 2.0, 5.0], &[1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0]];
            let chosen = choices.into_iter().map(divided).find(|values| values.len() >= 4);
            match chosen {
                Some(values) => {
                    let plain = values.iter().all(|&v| is_plain(v));
                    let label = |v: f64| if plain { shortest(v) } else { scientific(v) };
                    values.into_iter().map(|v| (v, label(v))).collect()
                }
                None => ticks(&Axis::linear(""), (low, high), most),
            }
        }
        Scale::Linear => {
            let raw = (high - low) / (most as f64 - 1.0);
            let unit = 10f64.powf(raw.log10().floor());
            let step = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * unit);
            let step = step.into_iter().find(|&step| step >= raw).unwrap_or(10.0 * unit);
            let first = (low / step).ceil() as i64;
            let values = (first..).map(|k| k as f64 * step).take_while(|&v| v <= high);
            let values: Vec<f64> = values.take(4 * most).collect();
            // All of an axis are multiples of one power of ten, 1 where the largest is short when written out.
            let largest = values.iter().fold(0.0, |largest: f64, v| largest.max(v.abs()));
            let plain = is_plain(largest) || (1.0..1e6).contains(&largest);
            let exponent = if plain {
                0
            } else {
                (largest.log10() + 1e-9).floor() as i32
            };
            let decimals = (exponent - (step.log10() + 1e-9).floor() as i32).clamp(0, 12) as usize;
            let label = |v: f64| match (exponent, format!("{:.decimals$}", v / 10f64.powi(exponent))) {
                (0, text) => text,
                (_, _) if v == 0.0 => "0".to_owned(),
                (_, text) => format!("{text}×{}", power_of_ten(exponent)),
            };
            values.into_iter().map(|v| (v, label(v))).collect()
        }
    }
}

/// Whether a number is short when it is written out.
fn is_plain(value: f64) -> bool {
    value == 0.0 || (0.9e-3..1.1e5).contains(&value.abs())
}

/// A number written out.
fn shortest(value: f64) -> String {
    let text = format!("{value:.6}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// 10 to a power as it is written: 1, 10, 10⁻⁵.
fn power_of_ten(exponent: i32) -> String {
    let raised = |c: char| match c {
        '-' => '⁻',
        c => ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'][c.to_digit(10).unwrap_or(0) as usize],
    };
    match exponent {
        0 => "1".into(),
        1 => "10".into(),
        _ => format!("10{}", exponent.to_string().chars().map(raised).collect::<String>()),
    }
}

/// A number as a multiple of a power of ten: 10⁻⁵, 2×10⁻⁵.
fn scientific(value: f64) -> String {
    let exponent = (value.log10() + 1e-9).floor() as i32;
    match shortest((value / 10f64.powi(exponent) * 1e3).round() / 1e3).as_str() {
        "1" => power_of_ten(exponent),
        digits => format!("{digits}×{}", power_of_ten(exponent)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::figure::Series;
    use super::*;

    fn figure(x: Axis, y: Axis, mark: Mark, points: Vec<(f64, f64)>) -> Figure {
        Figure {
            name: "test".into(),
            title: "A test".into(),
            caption: "What it shows, at some length, so that it must be broken. ".repeat(4),
            x,
            y,
            series: vec![Series {
                name: "series".into(),
                mark,
                style: 1,
                points,
            }],
            absent: None,
        }
    }

    #[test]
    fn every_mark_on_every_axis_is_drawn_in_both_formats() {
        let points = vec![
            (0.0, 1.0),
            (1.0, 100.0),
            (2.0, f64::NAN),
            (f64::INFINITY, 1.0),
            (2.0, -3.0),
            (1.0, 0.0),
        ];
        let names = || vec!["one".to_owned(), "a name that is long".to_owned(), "three".to_owned()];
        for mark in [Mark::Points, Mark::Spread, Mark::Line, Mark::Bars] {
            for x in [
                Axis::linear("x"),
                Axis::logarithmic("x"),
                Axis::categories("x", names()),
            ] {
                for y in [Axis::linear("y"), Axis::logarithmic("y")] {
                    let figure = figure(x.clone(), y, mark, points.clone());
                    let svg = to_svg(&figure).expect("an SVG");
                    assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n"), "{svg}");
                    assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
                    assert!(to_png(&figure).expect("a PNG").starts_with(b"\x89PNG"));
                }
            }
        }
    }

    #[test]
    fn a_figure_without_data_says_why_in_its_place() {
        let mut empty = figure(Axis::linear("x"), Axis::linear("y"), Mark::Points, vec![]);
        assert!(
            to_svg(&empty)
                .expect("an SVG")
                .contains("No data: no finite values to draw")
        );
        empty.absent = Some("no network has a <circuit>".into());
        let svg = to_svg(&empty).expect("an SVG");
        assert!(svg.contains("No data: no network has a &lt;circuit&gt;"), "{svg}");
        assert!(to_png(&empty).is_ok());
    }

    #[test]
    fn a_column_without_data_says_so_and_percentages_show_0_to_100() {
        let names = vec!["full".to_owned(), "empty".to_owned()];
        let half = figure(
            Axis::categories("x", names),
            Axis::percent("y (%)"),
            Mark::Spread,
            vec![(0.0, 97.0)],
        );
        let svg = to_svg(&half).expect("an SVG");
        assert_eq!(svg.matches("none\n").count(), 1, "{svg}");
        for label in ["0", "60", "100"] {
            assert!(svg.contains(&format!(">\n{label}\n")), "{label}: {svg}");
        }
    }

    #[test]
    fn dashes_end_on_lines_of_any_length() {
        // Lengths that no number of dashes and gaps makes up exactly, and points that coincide.
        let points = (0..400)
            .map(|k| (f64::from(k / 2), (f64::from(k) * 0.37).sin().abs() + 1e-3))
            .collect();
        let line = figure(Axis::linear("x"), Axis::logarithmic("y"), Mark::Line, points);
        assert!(to_svg(&line).expect("an SVG").matches("<polyline").count() > 50);
    }

    #[test]
    fn ticks_are_few_round_and_inside() {
        for (low, high) in [(0.0, 1.0), (-3.7, 12.0), (1e-9, 2e-9), (0.999, 1.0), (-1e12, 1e12)] {
            let ticks = ticks(&Axis::linear(""), (low, high), 9);
            assert!((3..=12).contains(&ticks.len()), "{low} {high}: {ticks:?}");
            assert!(ticks.iter().all(|(v, _)| *v >= low - 1e-9 * low.abs() && *v <= high));
            let labels: std::collections::BTreeSet<_> = ticks.iter().map(|(_, label)| label).collect();
            assert_eq!(labels.len(), ticks.len(), "{ticks:?}");
        }
        let labels = |low, high| -> Vec<String> {
            ticks(&Axis::logarithmic(""), (low, high), 9)
                .into_iter()
                .map(|(_, label)| label)
                .collect()
        };
        assert_eq!(labels(1e-5, 10.0), ["10⁻⁵", "10⁻⁴", "10⁻³", "10⁻²", "10⁻¹", "1", "10"]);
        assert_eq!(labels(0.5, 20.0), ["0.5", "1", "2", "5", "10", "20"]);
        assert_eq!(labels(100.0, 125.0), ["100", "105", "110", "115", "120", "125"]);
        assert_eq!(labels(4.5, 7.6), ["4.5", "5.0", "5.5", "6.0", "6.5", "7.0", "7.5"]);
        assert!(labels(1e-30, 1e30).len() <= 10);
    }

    #[test]
    fn an_axis_has_one_style_of_numbers() {
        let labels = |axis: Axis, low, high| -> Vec<String> {
            let ticks = ticks(&axis, (low, high), 9);
            ticks.into_iter().map(|(_, label)| label).collect()
        };
        let decades = ["2×10⁻⁴", "5×10⁻⁴", "10⁻³", "2×10⁻³", "5×10⁻³", "10⁻²", "2×10⁻²"];
        assert_eq!(labels(Axis::logarithmic(""), 1.5e-4, 0.03), decades);
        let within = ["1.0×10⁻⁵", "1.2×10⁻⁵", "1.4×10⁻⁵", "1.6×10⁻⁵", "1.8×10⁻⁵", "2.0×10⁻⁵"];
        assert_eq!(labels(Axis::linear(""), 0.99e-5, 2.01e-5), within);
        let below = ["0", "2×10⁻⁴", "4×10⁻⁴", "6×10⁻⁴", "8×10⁻⁴"];
        assert_eq!(labels(Axis::linear(""), 0.0, 0.88e-3), below);
        assert_eq!(
            labels(Axis::linear(""), 0.0, 1.7e-3)[..3],
            ["0.0000", "0.0005", "0.0010"]
        );
        for (low, high) in [
            (0.8e-3, 3e-3),
            (2e-4, 20.0),
            (5e4, 2e5),
            (5e3, 3e6),
            (0.9999999, 1.0),
            (1e7, 1e7 + 1.0),
        ] {
            for axis in [Axis::linear(""), Axis::logarithmic("")] {
                let labels = labels(axis, low, high);
                let raised = |label: &&String| label.contains(|c| "⁰¹²³⁴⁵⁶⁷⁸⁹".contains(c));
                let powers = labels.iter().filter(raised).count();
                let either = labels
                    .iter()
                    .filter(|label| ["0", "1", "10"].contains(&label.as_str()))
                    .count();
                assert!(
                    powers == 0 || powers + either == labels.len(),
                    "{low} {high}: {labels:?}"
                );
                let all: std::collections::BTreeSet<_> = labels.iter().collect();
                assert_eq!(all.len(), labels.len(), "{labels:?}");
            }
        }
    }

    #[test]
    fn bars_stand_on_each_other() {
        let mut figure = figure(
            Axis::categories("x", vec!["a".into(), "b".into()]),
            Axis::linear("y"),
            Mark::Bars,
            vec![(0.0, 1.0), (1.0, 2.0)],
        );
        figure.series.push(Series {
            name: "upper".into(),
            mark: Mark::Bars,
            style: 0,
            points: vec![(0.0, 4.0), (1.0, 8.0)],
        });
        let (from, points) = stacked(&figure);
        assert_eq!(from.expect("bars"), [[0.0, 0.0], [1.0, 2.0]]);
        assert_eq!(points, [(0.0, 1.0), (1.0, 2.0), (0.0, 5.0), (1.0, 10.0)]);
    }
}
