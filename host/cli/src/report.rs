//! What is left when a run is over: a summary for people and machines, and a picture of its curves.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use plotters::prelude::*;
use serde::Serialize;

use crate::averages::Averages;
use crate::error::{Error, Result};
use crate::folder::Folder;
use crate::metrics::per_item;
use crate::tally::{Tally, kinds};

/// `summary.json`.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    pub(crate) steps: u64,
    pub(crate) seed: u64,
    /// On questions kept out of training.
    pub(crate) before: Option<Averages>,
    pub(crate) after: Option<Averages>,
    /// Of each plugin that failed, by kind.
    pub(crate) failures: BTreeMap<String, BTreeMap<String, u64>>,
    /// What each plugin took, measurements included.
    pub(crate) bills: BTreeMap<String, BillLine>,
    /// The prices that constraints have reached.
    pub(crate) multipliers: BTreeMap<String, f64>,
    pub(crate) seconds: f64,
    /// Within each plugin, over the whole run.
    pub(crate) plugin_seconds: BTreeMap<String, f64>,
}

/// What a plugin took.
#[derive(Debug, Serialize)]
pub(crate) struct BillLine {
    pub(crate) calls: u64,
    /// Completions read, answers verified, bundles priced.
    pub(crate) items: u64,
    /// 0 for native libraries, which are not metered.
    pub(crate) fuel: u64,
    pub(crate) fuel_per_item: f64,
    /// Fuel of the dearest call.
    pub(crate) dearest_call: u64,
}

impl BillLine {
    pub(crate) fn of(tally: &Tally) -> Self {
        let Tally { calls, items, fuel, dearest, .. } = *tally;
        Self { calls, items, fuel, fuel_per_item: per_item(fuel, items), dearest_call: dearest }
    }
}

/// The summary as text.
pub(crate) fn for_people(summary: &Summary, folder: &Folder) -> String {
    let mut out = String::new();
    let mut line = |text: std::fmt::Arguments<'_>| {
        let _ = out.write_fmt(text);
        out.push('\n');
    };
    line(format_args!("{} steps with seed {} in {:.0} s", summary.steps, summary.seed, summary.seconds));
    if let (Some(before), Some(after)) = (&summary.before, &summary.after) {
        line(format_args!(
            "{:<38}{:>10}{:>10}{:>10}",
            "on questions kept out of training", "before", "after", "change"
        ));
        if let (Some(before), Some(after)) = (before.accuracy, after.accuracy) {
            line(format_args!(
                "{:<38}{:>9.1}%{:>9.1}%{:>+6.1} pts",
                "sampled accuracy",
                100.0 * before,
                100.0 * after,
                100.0 * (after - before)
            ));
        }
        for (name, before, after) in [
            ("incoherence between phrasings (JSD)", before.jsd, after.jsd),
            ("answer entropy (nats)", Some(before.entropy), Some(after.entropy)),
            ("share without an answer", Some(before.unreadable), Some(after.unreadable)),
        ] {
            if let (Some(before), Some(after)) = (before, after) {
                let change = 100.0 * (after / before - 1.0);
                let change = if before > 0.0 { format!("{change:+.0}%") } else { String::new() };
                line(format_args!("{name:<38}{before:>10.3}{after:>10.3}{change:>10}"));
            }
        }
        if before.dropped + after.dropped > 0 {
            line(format_args!(
                "samples left out, for a plugin failed on them: {} and {}",
                before.dropped, after.dropped
            ));
        }
    }
    for (plugin, failures) in &summary.failures {
        line(format_args!("plugin {plugin} failed: {}", kinds(failures)));
    }
    line(format_args!("{:<26}{:>9}{:>10}{:>16}{:>12}{:>10}", "plugin", "calls", "items", "fuel", "an item", "seconds"));
    for (plugin, bill) in &summary.bills {
        let BillLine { calls, items, fuel, fuel_per_item, .. } = bill;
        let seconds = summary.plugin_seconds.get(plugin).copied().unwrap_or_default();
        line(format_args!("{plugin:<26}{calls:>9}{items:>10}{fuel:>16}{fuel_per_item:>12.0}{seconds:>10.2}"));
    }
    line(format_args!("curves {}", folder.curves().display()));
    line(format_args!("model  {}", folder.model().display()));
    out
}

/// A panel of the picture: its title, the key in `metrics.jsonl`, and the colour of its line.
const PANELS: [(&str, &str, RGBColor); 6] = [
    ("accuracy", "accuracy", RGBColor(34, 139, 84)),
    ("reward", "reward", RGBColor(31, 119, 180)),
    ("incoherence between phrasings (JSD, nats)", "jsd", RGBColor(200, 60, 60)),
    ("answer entropy (nats)", "entropy", RGBColor(128, 90, 170)),
    ("KL to the reference (nats a token)", "kl", RGBColor(190, 120, 20)),
    ("share without an answer", "unreadable", RGBColor(110, 110, 110)),
];

/// Draws the game's curves from `metrics.jsonl`: each step as a pale line, a moving average as a strong one.
pub(crate) fn draw_curves(metrics: &Path, picture: &Path) -> Result<()> {
    let text = std::fs::read_to_string(metrics).map_err(Error::io("read", metrics))?;
    let lines: Vec<serde_json::Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let steps: Vec<&serde_json::Value> = lines.iter().filter(|line| line["phase"] == "game").collect();
    let curve = |key: &str| -> Curve {
        steps.iter().filter_map(|line| Some((line["step"].as_f64()?, line[key].as_f64()?))).collect()
    };
    draw(&PANELS.map(|(title, key, color)| (title, curve(key), color)), picture)
        .map_err(|error| Error::Plot { path: picture.into(), reason: error.to_string() })
}

/// Steps and values.
type Curve = Vec<(f64, f64)>;

type Drawn = std::result::Result<(), Box<dyn std::error::Error>>;

fn draw(panels: &[(&str, Curve, RGBColor)], picture: &Path) -> Drawn {
    let root = SVGBackend::new(picture, (960, 780)).into_drawing_area();
    root.fill(&WHITE)?;
    for (area, (title, points, color)) in root.split_evenly((3, 2)).iter().zip(panels) {
        let last = points.last().map_or(1.0, |point| point.0).max(2.0);
        let (low, high) = range(points);
        let mut chart = ChartBuilder::on(area)
            .caption(title, ("sans-serif", 16))
            .margin(10)
            .x_label_area_size(28)
            .y_label_area_size(48)
            .build_cartesian_2d(1.0..last, low..high)?;
        chart.configure_mesh().light_line_style(WHITE).x_labels(6).y_labels(5).x_desc("step").draw()?;
        chart.draw_series(LineSeries::new(points.iter().copied(), color.mix(0.3)))?;
        chart.draw_series(LineSeries::new(smoothed(points), color.stroke_width(2)))?;
    }
    root.present()?;
    Ok(())
}

/// From zero, or below it, to a little above the highest point.
fn range(points: &[(f64, f64)]) -> (f64, f64) {
    let low = points.iter().map(|point| point.1).fold(0.0, f64::min);
    let high = points.iter().map(|point| point.1).fold(low + 1e-3, f64::max);
    (low, high + 0.05 * (high - low))
}

/// The mean of the steps around each step, a twentieth of the run to either side.
fn smoothed(points: &[(f64, f64)]) -> Curve {
    let reach = points.len() / 20;
    let mean = |at: usize| {
        let window = &points[at.saturating_sub(reach)..(at + reach + 1).min(points.len())];
        window.iter().map(|point| point.1).sum::<f64>() / window.len() as f64
    };
    points.iter().enumerate().map(|(at, point)| (point.0, mean(at))).collect()
}
