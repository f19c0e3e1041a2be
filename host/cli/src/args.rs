//! The command line as a whole, and values that several commands parse.

use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Parser, Subcommand};

use crate::commands::estimator::EstimatorArgs;
use crate::commands::plugin::PluginCommand;
use crate::commands::replay::ReplayArgs;
use crate::commands::rescore::RescoreArgs;
use crate::commands::score::ScoreArgs;
use crate::commands::simulate::SimulateArgs;
use crate::commands::solve::SolveArgs;
use crate::commands::train::TrainArgs;
use crate::error::EXIT_CODES;

/// Fine-tunes language models on what their final answers are worth.
#[derive(Debug, Parser)]
#[command(version, after_help = EXIT_CODES, arg_required_else_help = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Train(TrainArgs),
    Score(ScoreArgs),
    Rescore(RescoreArgs),
    Replay(ReplayArgs),
    Solve(SolveArgs),
    Simulate(SimulateArgs),
    Estimator(EstimatorArgs),
    #[command(subcommand)]
    Plugin(PluginCommand),
    /// Be a child process that compiles a component or runs a native library
    #[command(name = crate::engine::WORKER, hide = true)]
    PluginWorker {
        job: OsString,
    },
}

/// A plugin given on the command line: FILE, FILE,weight=W or FILE,weight=W,config=JSON.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct PluginArg {
    pub(crate) path: PathBuf,
    pub(crate) weight: f64,
    pub(crate) config: String,
}

impl FromStr for PluginArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // The configuration comes last: JSON has commas inside.
        let (rest, config) = text.split_once(",config=").unwrap_or((text, "{}"));
        let (path, weight) = rest.split_once(",weight=").unwrap_or((rest, "1"));
        let weight = weight.parse().ok().filter(|weight: &f64| *weight >= 0.0 && weight.is_finite());
        let weight = weight.ok_or("weight: write a number, 0 or more")?;
        match serde_json::from_str::<serde_json::Value>(config) {
            Ok(serde_json::Value::Object(_)) => Ok(Self { path: path.into(), weight, config: config.into() }),
            _ => Err("config: write a JSON object".into()),
        }
    }
}

/// Parses a group size.
pub(crate) fn group(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|k| (2..=1024).contains(k)).ok_or_else(|| "write a number from 2 to 1024".into())
}

/// Parses a share above 0.
pub(crate) fn share(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|x: &f64| *x > 0.0 && *x <= 1.0).ok_or_else(|| "write a number above 0, at most 1".into())
}

/// Parses a positive number.
pub(crate) fn positive(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|x: &f64| *x > 0.0 && x.is_finite()).ok_or_else(|| "write a number above 0".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plugin_comes_with_its_weight_and_configuration() {
        let plain: PluginArg = "a/b.wasm".parse().unwrap();
        assert_eq!(plain, PluginArg { path: "a/b.wasm".into(), weight: 1.0, config: "{}".into() });
        let full: PluginArg = r#"b.so,weight=0.5,config={"k": 2, "l": [1,2]}"#.parse().unwrap();
        assert_eq!((full.weight, full.config.as_str()), (0.5, r#"{"k": 2, "l": [1,2]}"#));
        assert!("b.so,weight=-1".parse::<PluginArg>().is_err());
        assert!("b.so,config=[1]".parse::<PluginArg>().is_err());
    }
}
