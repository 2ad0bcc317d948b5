//! Charts as SVG that the server draws. The figures stand in a table beside each, so a chart is a picture of it.

use std::fmt::Write as _;

/// Size of a chart, in units of its own.
const WIDTH: i64 = 720;
const HEIGHT: i64 = 200;
/// Room below for the labels of the axis, and above for the largest value.
const BELOW: i64 = 24;
const ABOVE: i64 = 16;

/// A chart of bars.
pub(crate) struct Bars {
    /// What it shows, for screen readers.
    pub(crate) title: String,
    /// Label, value in cents, and the value in words, of each bar.
    pub(crate) bars: Vec<(String, i64, String)>,
}

/// A bar as it is drawn.
pub(crate) struct Bar {
    pub(crate) x: i64,
    pub(crate) y: i64,
    pub(crate) width: i64,
    pub(crate) height: i64,
    /// Below the zero line.
    pub(crate) is_negative: bool,
    pub(crate) title: String,
}

impl Bars {
    /// The `viewBox`.
    #[expect(clippy::unused_self, reason = "templates ask the chart for everything")]
    pub(crate) fn view(&self) -> String {
        format!("0 0 {WIDTH} {HEIGHT}")
    }

    /// Largest and smallest value; the range has zero in it.
    fn range(&self) -> (i64, i64) {
        let values = || self.bars.iter().map(|(_, value, _)| *value);
        (values().max().unwrap_or(0).max(0), values().min().unwrap_or(0).min(0))
    }

    /// Height of a value above the bottom of the plot.
    fn place(&self, value: i64) -> i64 {
        let (most, least) = self.range();
        let room = i128::from(HEIGHT - BELOW - ABOVE);
        let range = (i128::from(most) - i128::from(least)).max(1);
        i64::try_from((i128::from(value) - i128::from(least)) * room / range).unwrap_or(0)
    }

    /// Where the zero line is, from above.
    pub(crate) fn zero(&self) -> i64 {
        HEIGHT - BELOW - self.place(0)
    }

    /// The bars.
    pub(crate) fn drawn(&self) -> Vec<Bar> {
        let count = i64::try_from(self.bars.len()).unwrap_or(1).max(1);
        let zero = self.zero();
        let drawn = (0_i64..).zip(&self.bars).map(|(at, (label, value, words))| {
            let (left, right) = (WIDTH * at / count, WIDTH * (at + 1) / count);
            // A value that is not zero is seen.
            let top = match (HEIGHT - BELOW - self.place(*value), value.signum()) {
                (top, sign) if top == zero => zero - sign,
                (top, _) => top,
            };
            let mut title = label.clone();
            // Writing to a text cannot fail.
            let _written = write!(title, ": {words}");
            Bar {
                x: left + 2,
                y: top.min(zero),
                width: (right - left - 4).max(2),
                height: (top - zero).abs(),
                is_negative: *value < 0,
                title,
            }
        });
        drawn.collect()
    }

    /// First and last label of the axis.
    pub(crate) fn ends(&self) -> Option<(&str, &str)> {
        let first = self.bars.first()?;
        Some((first.0.as_str(), self.bars.last().map_or("", |last| last.0.as_str())))
    }

    /// Width of the chart.
    #[expect(clippy::unused_self, reason = "templates ask the chart for everything")]
    pub(crate) fn width(&self) -> i64 {
        WIDTH
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bars(values: &[i64]) -> Bars {
        Bars {
            title: "Sales".into(),
            bars: values
                .iter()
                .map(|value| ("day".into(), *value, String::new()))
                .collect(),
        }
    }

    #[test]
    fn bars_stand_on_the_zero_line_and_stay_in_the_chart() {
        for values in [&[0, 0][..], &[5, -5], &[i64::MAX, i64::MIN], &[1], &[], &[3, 0, 9]] {
            let chart = bars(values);
            let zero = chart.zero();
            for (bar, value) in chart.drawn().iter().zip(values) {
                assert!(bar.y >= 0 && bar.y + bar.height <= HEIGHT, "{values:?}");
                assert!(bar.x >= 0 && bar.x + bar.width <= WIDTH, "{values:?}");
                assert_eq!(bar.height == 0, *value == 0, "{values:?}");
                assert_eq!(if *value < 0 { bar.y } else { bar.y + bar.height }, zero, "{values:?}");
            }
        }
    }
}
