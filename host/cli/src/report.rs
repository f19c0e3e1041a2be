//! The summary of a run, for people.

use std::fmt::Write;

use alft_runtime::record::{RunDir, Summary, UsageLine};
use alft_runtime::stats::failure_counts;
use alft_text::Foreign;

/// The summary of a run as text.
pub(crate) fn text(summary: &Summary, dir: &RunDir) -> String {
    let mut out = String::new();
    let mut line = |text: std::fmt::Arguments<'_>| {
        let _ = out.write_fmt(text);
        out.push('\n');
    };
    line(format_args!("{} steps with seed {} in {:.0} s", summary.steps, summary.seed, summary.seconds));
    if let (Some(before), Some(after)) = (&summary.before, &summary.after) {
        let questions = match summary.trained_eval_questions {
            0 => "on questions kept out of training".to_owned(),
            count => format!("on questions, {count} of them trained on"),
        };
        line(format_args!("{questions:<38}{:>10}{:>10}{:>10}", "before", "after", "change"));
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
                "samples dropped because a plugin failed on them: {} and {}",
                before.dropped, after.dropped
            ));
        }
    }
    for (plugin, failures) in &summary.failures {
        let plugin = Foreign::new(plugin);
        line(format_args!("plugin {plugin} failed: {}", failure_counts(failures)));
    }
    line(format_args!("{:<26}{:>9}{:>10}{:>16}{:>12}{:>10}", "plugin", "calls", "items", "fuel", "an item", "seconds"));
    for (plugin, usage) in &summary.usage {
        let UsageLine { calls, items, fuel, fuel_per_item, .. } = usage;
        let seconds = summary.plugin_seconds.get(plugin).copied().unwrap_or_default();
        let plugin = Foreign::new(plugin);
        line(format_args!("{plugin:<26}{calls:>9}{items:>10}{fuel:>16}{fuel_per_item:>12.0}{seconds:>10.2}"));
    }
    line(format_args!("curves {}", Foreign::path(&dir.curves())));
    line(format_args!("model  {}", Foreign::path(&dir.model())));
    if dir.adapter().is_dir() {
        line(format_args!("adapter {}", Foreign::path(&dir.adapter())));
    }
    out
}
