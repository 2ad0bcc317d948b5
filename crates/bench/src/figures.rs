//! The results of measurements and their presentation: minimum, median and maximum of several rounds, beside a
//! reference measured in the same rounds.
//!
//! Ratios are computed within a round, because the machine is shared: a disturbance affects both sides of its round.

use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

/// Minimum, median and maximum of some numbers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Spread {
    pub(crate) min: f64,
    pub(crate) median: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// Of at least one number; zeroes for an empty list.
    pub(crate) fn of(values: &[f64]) -> Self {
        let mut sorted = values.to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        let at = |index: usize| sorted.get(index).copied().unwrap_or_default();
        let middle = sorted.len() / 2;
        let median = if sorted.len().is_multiple_of(2) && middle > 0 {
            f64::midpoint(at(middle - 1), at(middle))
        } else {
            at(middle)
        };
        Self {
            min: at(0),
            median,
            max: at(sorted.len().saturating_sub(1)),
        }
    }
}

/// The target for a ratio or a number.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Aim {
    AtLeast(f64),
    AtMost(f64),
}

impl Aim {
    fn is_met_by(self, value: f64) -> bool {
        match self {
            Self::AtLeast(bound) => value >= bound,
            Self::AtMost(bound) => value <= bound,
        }
    }

    fn shown(self) -> String {
        match self {
            Self::AtLeast(bound) => format!("at least {bound}"),
            Self::AtMost(bound) => format!("at most {bound}"),
        }
    }
}

/// One row of the result.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Figure {
    what: String,
    unit: &'static str,
    value: Spread,
    #[serde(skip_serializing_if = "Option::is_none")]
    reference: Option<Spread>,
    /// `value / reference`, by round.
    #[serde(skip_serializing_if = "Option::is_none")]
    ratio: Option<Spread>,
    #[serde(skip_serializing_if = "Option::is_none")]
    aim: Option<Aim>,
    #[serde(skip_serializing_if = "Option::is_none")]
    met: Option<bool>,
}

impl Figure {
    /// A number without a reference, one value per round.
    pub(crate) fn alone(what: impl Into<String>, unit: &'static str, values: &[f64]) -> Self {
        Self {
            what: what.into(),
            unit,
            value: Spread::of(values),
            reference: None,
            ratio: None,
            aim: None,
            met: None,
        }
    }

    /// A number with its reference; both lists are by round.
    pub(crate) fn against(what: impl Into<String>, unit: &'static str, values: &[f64], references: &[f64]) -> Self {
        let ratios: Vec<f64> = values
            .iter()
            .zip(references)
            .map(|(ours, theirs)| ours / theirs)
            .collect();
        Self {
            reference: Some(Spread::of(references)),
            ratio: Some(Spread::of(&ratios)),
            ..Self::alone(what, unit, values)
        }
    }

    /// Sets a target for the ratio or, without a reference, for the number itself. The median of the rounds decides.
    pub(crate) fn aim(mut self, aim: Aim) -> Self {
        self.met = Some(aim.is_met_by(self.ratio.unwrap_or(self.value).median));
        self.aim = Some(aim);
        self
    }

    /// Sets a target for the number itself, though it has a reference.
    pub(crate) fn aim_of_value(mut self, aim: Aim) -> Self {
        self.met = Some(aim.is_met_by(self.value.median));
        self.aim = Some(aim);
        self
    }
}

/// The results of one benchmark.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Section {
    pub(crate) name: &'static str,
    /// What was measured and its reference, in one or two sentences.
    pub(crate) about: String,
    pub(crate) figures: Vec<Figure>,
}

impl Section {
    /// The results as a text table.
    pub(crate) fn table(&self) -> String {
        let mut rows = vec![
            [
                "",
                "unit",
                "min",
                "median",
                "max",
                "reference",
                "ratio (min-max)",
                "aim",
            ]
            .map(str::to_owned),
        ];
        for figure in &self.figures {
            let value = figure.value;
            let reference = figure.reference.map_or_else(String::new, |r| shown(r.median));
            let ratio = figure.ratio.map_or_else(String::new, |ratio| {
                format!("{:.2} ({:.2}-{:.2})", ratio.median, ratio.min, ratio.max)
            });
            let aim = figure.aim.zip(figure.met).map_or_else(String::new, |(aim, met)| {
                format!("{}: {}", aim.shown(), if met { "met" } else { "MISSED" })
            });
            rows.push([
                figure.what.clone(),
                figure.unit.to_owned(),
                shown(value.min),
                shown(value.median),
                shown(value.max),
                reference,
                ratio,
                aim,
            ]);
        }
        let mut widths = [0_usize; 8];
        for row in &rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let mut text = format!("{}\n{}\n\n", self.name, self.about);
        for row in &rows {
            let mut line = String::from(" ");
            for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
                let _infallible = if (2..=5).contains(&column) {
                    write!(line, " {cell:>width$} ")
                } else {
                    write!(line, " {cell:<width$} ")
                };
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// Formats with three significant digits.
fn shown(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 || size <= f64::EPSILON => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

/// Durations of individual events.
#[derive(Debug, Clone, Default)]
pub(crate) struct Times(Vec<Duration>);

impl Times {
    pub(crate) fn add(&mut self, time: Duration) {
        self.0.push(time);
    }

    pub(crate) fn extend(&mut self, other: &Self) {
        self.0.extend_from_slice(&other.0);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The given percentile, in milliseconds.
    pub(crate) fn percentile(&mut self, percent: usize) -> f64 {
        self.0.sort_unstable();
        let rank = (self.0.len() * percent).div_ceil(100).max(1) - 1;
        self.0.get(rank).copied().map_or(0.0, milliseconds)
    }

    /// The maximum, in milliseconds.
    pub(crate) fn longest(&self) -> f64 {
        self.0.iter().max().copied().map_or(0.0, milliseconds)
    }
}

/// A duration in milliseconds.
pub(crate) fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// A count as a float; counts of a benchmark are far below 2^53.
#[expect(clippy::cast_precision_loss, reason = "see above")]
pub(crate) fn number(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spread_is_minimum_median_and_maximum() {
        let of = |values: &[f64]| {
            let Spread { min, median, max } = Spread::of(values);
            [min, median, max].map(|value| format!("{value}")).join(" ")
        };
        assert_eq!(of(&[3.0, 1.0, 2.0]), "1 2 3");
        assert_eq!(of(&[4.0, 1.0]), "1 2.5 4");
        assert_eq!(of(&[7.0]), "7 7 7");
    }

    #[test]
    fn percentile_is_a_measured_time() {
        let mut times = Times((1..=200).rev().map(Duration::from_millis).collect());
        assert_eq!(shown(times.percentile(50)), "100");
        assert_eq!(shown(times.percentile(99)), "198");
        assert_eq!(shown(Times::default().percentile(99)), "0.00");
    }

    #[test]
    fn median_round_decides_about_the_target() {
        let ours = [70.0, 80.0, 10.0];
        let figure = Figure::against("x", "1/s", &ours, &[100.0; 3]).aim(Aim::AtLeast(0.7));
        assert_eq!(figure.met, Some(true));
        let figure = Figure::against("x", "1/s", &ours, &[100.0; 3]).aim(Aim::AtMost(0.6));
        assert_eq!(figure.met, Some(false));
    }
}
