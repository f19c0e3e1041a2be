//! Pictures: the curves of a run, the players' paths through an exact game, and the distance of sampled training from
//! the equilibrium.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;

use alft_game::exact::Solution;
use alft_runtime::Outcome;
use alft_runtime::data::Instance;
use plotters::coord::Shift;
use plotters::prelude::*;

use crate::error::{self, Result};

/// The result of a drawing function: plotters has an error type for each backend.
type Drawn = std::result::Result<(), Box<dyn Error>>;

/// The area of a picture.
type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Draws a picture of `size` in memory, and writes it to a file that is complete or as it was before.
fn draw(file: &Path, size: (u32, u32), fill: impl FnOnce(&Area<'_>) -> Drawn) -> Result<()> {
    let mut picture = String::new();
    let root = SVGBackend::with_string(&mut picture, size).into_drawing_area();
    let drawn = root.fill(&WHITE).map_err(Into::into).and_then(|()| fill(&root)).and_then(|()| Ok(root.present()?));
    drop(root);
    // The error of a backend is not always Send; its text is.
    let failed = |source: Box<dyn Error + Send + Sync>| error::Error::Plot { path: file.into(), source };
    drawn.map_err(|error| failed(error.to_string().into()))?;
    // A device, or a link to another place, is not replaced.
    match file.symlink_metadata() {
        Ok(metadata) if !metadata.is_file() => std::fs::write(file, picture).map_err(|error| failed(error.into())),
        _ => alft_fs::write(file, picture.as_bytes()).map_err(|error| failed(error.source.into())),
    }
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
    let text = alft_fs::read_to_string(metrics, alft_fs::MAX_DATA).map_err(error::Error::io("read", metrics))?;
    let lines: Vec<serde_json::Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let steps: Vec<&serde_json::Value> = lines.iter().filter(|line| line["phase"] == "game").collect();
    let curve = |key: &str| -> Curve {
        steps.iter().filter_map(|line| Some((line["step"].as_f64()?, line[key].as_f64()?))).collect()
    };
    let panels = PANELS.map(|(title, key, color)| (title, curve(key), color));
    draw(picture, (960, 780), |root| draw_panels(&panels, root))
}

/// Steps and values.
type Curve = Vec<(f64, f64)>;

fn draw_panels(panels: &[(&str, Curve, RGBColor)], root: &Area<'_>) -> Drawn {
    for (area, (title, points, color)) in root.split_evenly((3, 2)).iter().zip(panels) {
        let last = points.last().map_or(1.0, |point| point.0).max(2.0);
        let (low, high) = range(points);
        let mut chart = ChartBuilder::on(area)
            .caption(title, ("sans-serif", 16))
            .margin(10)
            // Room for the last label, which is centred on the edge.
            .margin_right(22)
            .x_label_area_size(28)
            .y_label_area_size(48)
            .build_cartesian_2d(1.0..last, low..high)?;
        let step = |step: &f64| format!("{step:.0}");
        let mut mesh = chart.configure_mesh();
        mesh.light_line_style(WHITE).x_labels(6).y_labels(5).x_desc("step").x_label_formatter(&step).draw()?;
        chart.draw_series(LineSeries::new(points.iter().copied(), color.mix(0.3)))?;
        chart.draw_series(LineSeries::new(smoothed(points), color.stroke_width(2)))?;
    }
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

/// Games that fit in one picture.
pub(crate) const MOST_GAMES: usize = 8;

/// Below this a gap is rounding, and a logarithm would draw noise.
const SMALLEST_GAP: f64 = 1e-16;

/// One row a game: the probabilities of the first prompt's answers, the policy's as lines and the target's as dots;
/// beside it the gap.
pub(crate) fn draw_paths(solved: &[(Instance, Solution)], file: &Path) -> Result<()> {
    draw(file, (960, 280 * solved.len() as u32), |root| draw_games(solved, root))
}

fn draw_games(solved: &[(Instance, Solution)], root: &Area<'_>) -> Drawn {
    for (row, (instance, solution)) in root.split_evenly((solved.len(), 1)).iter().zip(solved) {
        let (left, right) = row.split_horizontally(560);
        let turns = &solution.turns;
        let last = turns.last().map_or(1.0, |turn| turn.number as f64).max(1.0);
        let answers: Vec<&String> = solution.marginals[0].keys().collect();
        let title = format!("{}: answers to {} (line: policy, dots: target)", instance.name, instance.prompts[0].id);
        let mut chart = ChartBuilder::on(&left)
            .caption(title, ("sans-serif", 14))
            .margin(10)
            .x_label_area_size(28)
            .y_label_area_size(40)
            .build_cartesian_2d(0.0..last, 0.0..1.0)?;
        chart.configure_mesh().light_line_style(WHITE).x_desc("turn").draw()?;
        for (at, answer) in answers.iter().enumerate() {
            let color = Palette99::pick(at).to_rgba();
            let policy = turns.iter().map(|turn| (turn.number as f64, turn.policy[at]));
            chart
                .draw_series(LineSeries::new(policy, color.stroke_width(2)))?
                .label(answer.as_str())
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 12, y)], color));
            let target = turns.iter().map(|turn| Circle::new((turn.number as f64, turn.target[at]), 2, color.filled()));
            chart.draw_series(target)?;
        }
        chart.configure_series_labels().background_style(WHITE.mix(0.7)).label_font(("sans-serif", 12)).draw()?;

        let gaps: Vec<(f64, f64)> = turns.iter().map(|t| (t.number as f64, t.gap.max(SMALLEST_GAP))).collect();
        let (low, high) = gaps.iter().fold((1.0, SMALLEST_GAP), |(low, high), (_, gap)| (gap.min(low), gap.max(high)));
        let mut chart = ChartBuilder::on(&right)
            .caption("duality gap", ("sans-serif", 14))
            .margin(10)
            .x_label_area_size(28)
            .y_label_area_size(60)
            .build_cartesian_2d(0.0..last, (low / 2.0..high * 2.0).log_scale())?;
        let power = |gap: &f64| format!("{gap:.0e}");
        chart.configure_mesh().light_line_style(WHITE).x_desc("turn").y_label_formatter(&power).draw()?;
        chart.draw_series(LineSeries::new(gaps, BLACK.stroke_width(2)))?;
    }
    Ok(())
}

/// Regret and distance by group size, a line for each estimator, and KL penalty if there are several: means over the games.
pub(crate) fn draw_outcomes(outcomes: &[Outcome], file: &Path) -> Result<()> {
    draw(file, (960, 360), |root| draw_lines(outcomes, root))
}

/// By group size: the sum and number of the games' values.
type Sums = BTreeMap<usize, (f64, f64)>;

fn draw_lines(outcomes: &[Outcome], root: &Area<'_>) -> Drawn {
    type Of = fn(&Outcome) -> f64;
    let panels: [(&str, Of); 2] = [
        ("regret: value of the equilibrium less value reached", |outcome| outcome.regret),
        ("distance: total variation of answer marginals", |outcome| outcome.distance),
    ];
    for (area, (title, of)) in root.split_evenly((1, 2)).iter().zip(panels) {
        let mut lines: Vec<(String, Sums)> = Vec::new();
        for outcome in outcomes {
            let several = outcomes.iter().any(|other| other.kl != outcome.kl);
            let name =
                outcome.estimator.to_string() + &if several { format!(", {}", outcome.kl) } else { String::new() };
            let at = lines.iter().position(|(line, _)| *line == name).unwrap_or_else(|| {
                lines.push((name, BTreeMap::new()));
                lines.len() - 1
            });
            let sum = lines[at].1.entry(outcome.group).or_insert((0.0, 0.0));
            *sum = (sum.0 + of(outcome), sum.1 + 1.0);
        }
        let points = |line: &Sums| -> Vec<(f64, f64)> {
            line.iter().map(|(group, (sum, count))| (*group as f64, (sum / count).max(SMALLEST_GAP))).collect()
        };
        let all: Vec<(f64, f64)> = lines.iter().flat_map(|(_, line)| points(line)).collect();
        let range = |of: fn(&(f64, f64)) -> f64| {
            all.iter().map(of).fold((f64::INFINITY, 0.0f64), |(low, high), value| (low.min(value), high.max(value)))
        };
        let ((left, right), (low, high)) = (range(|point| point.0), range(|point| point.1));
        let mut chart = ChartBuilder::on(area)
            .caption(title, ("sans-serif", 14))
            .margin(10)
            .x_label_area_size(28)
            .y_label_area_size(60)
            .build_cartesian_2d((left * 0.9..right * 1.1).log_scale(), (low / 1.5..high * 1.5).log_scale())?;
        let (size, power) = (|group: &f64| format!("{group:.0}"), |value: &f64| format!("{value:.0e}"));
        chart
            .configure_mesh()
            .light_line_style(WHITE)
            .x_desc("group size K")
            .x_label_formatter(&size)
            .y_label_formatter(&power)
            .draw()?;
        for (at, (name, line)) in lines.iter().enumerate() {
            let color = Palette99::pick(at).to_rgba();
            chart
                .draw_series(LineSeries::new(points(line), color.stroke_width(2)).point_size(3))?
                .label(name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 12, y)], color));
        }
        // The lines fall from left to right: this corner is free.
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::LowerLeft)
            .background_style(WHITE.mix(0.7))
            .label_font(("sans-serif", 12))
            .draw()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A kill while a picture is drawn leaves the old one: the new one has another file, and the name last.
    #[test]
    fn a_picture_is_replaced_as_a_whole() {
        let dir = tempfile::tempdir().unwrap();
        let [metrics, picture, old] = ["metrics.jsonl", "curves.svg", "old"].map(|name| dir.path().join(name));
        std::fs::write(&metrics, "{\"phase\": \"game\", \"step\": 1, \"reward\": 0.5}\n").unwrap();
        draw_curves(&metrics, &picture).unwrap();
        let before = std::fs::read_to_string(&picture).unwrap();
        assert!(before.trim_end().ends_with("</svg>"));
        std::fs::hard_link(&picture, &old).unwrap();
        std::fs::write(&metrics, "{\"phase\": \"game\", \"step\": 1, \"reward\": 7.5}\n").unwrap();
        draw_curves(&metrics, &picture).unwrap();
        assert_eq!(std::fs::read_to_string(&old).unwrap(), before, "the old picture was written to");
        assert_ne!(std::fs::read_to_string(&picture).unwrap(), before);
    }

    #[test]
    #[cfg(unix)]
    fn a_link_is_not_replaced_by_a_picture() {
        let dir = tempfile::tempdir().unwrap();
        let [metrics, link, target] = ["metrics.jsonl", "link.svg", "target.svg"].map(|name| dir.path().join(name));
        std::fs::write(&metrics, "").unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        draw_curves(&metrics, &link).unwrap();
        assert!(link.is_symlink() && std::fs::read_to_string(&target).unwrap().contains("</svg>"));
    }
}
