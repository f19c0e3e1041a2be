//! Values that several commands parse.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{ArgMatches, Command, Error, FromArgMatches, error::ErrorKind};
use serde_json::{Map, Value};

/// The plugins of a command line: each `--plugin FILE[,weight=W]` with the `--config JSON` that follows it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct PluginArgs(pub(crate) Vec<PluginArg>);

/// A plugin given on the command line.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct PluginArg {
    pub(crate) path: PathBuf,
    pub(crate) weight: f64,
    pub(crate) config: Map<String, Value>,
}

/// The options as clap knows them. Clap has no relation between one option and the one before it, so their places on the
/// command line are compared.
#[derive(Debug, clap::Args)]
struct Options {
    /// A plugin: FILE or FILE,weight=W, where FILE is a component, a native library or the folder of a project, which is
    /// built (may be repeated)
    #[arg(long = "plugin", value_name = "FILE")]
    plugin: Vec<Weighted>,
    /// The configuration of the --plugin before it, as in --config '{"strict": true}'
    #[arg(long, value_name = "JSON", requires = "plugin")]
    config: Vec<Object>,
}

impl clap::Args for PluginArgs {
    fn augment_args(command: Command) -> Command {
        Options::augment_args(command)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Options::augment_args_for_update(command)
    }
}

impl FromArgMatches for PluginArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let Options { plugin, config } = Options::from_arg_matches(matches)?;
        let places = |name| matches.indices_of(name).into_iter().flatten();
        let plugins = plugin.into_iter().map(|Weighted(path, weight)| PluginArg { path, weight, config: Map::new() });
        let mut plugins: Vec<PluginArg> = plugins.collect();
        let starts: Vec<usize> = places("plugin").collect();
        let mut configured = vec![false; plugins.len()];
        for (place, Object(config)) in places("config").zip(config) {
            let owner = starts.partition_point(|start| *start < place).checked_sub(1);
            let owner = owner.filter(|owner| !std::mem::replace(&mut configured[*owner], true));
            let owner = owner.ok_or_else(|| {
                Error::raw(ErrorKind::ArgumentConflict, "each --config follows the --plugin that it is for\n")
            })?;
            plugins[owner].config = config;
        }
        Ok(Self(plugins))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// FILE or FILE,weight=W.
#[derive(Debug, Clone)]
struct Weighted(PathBuf, f64);

impl FromStr for Weighted {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (path, weight) = text.split_once(",weight=").unwrap_or((text, "1"));
        let weight = weight.parse().ok().filter(|weight: &f64| *weight >= 0.0 && weight.is_finite());
        Ok(Self(path.into(), weight.ok_or("weight: write a number, 0 or more")?))
    }
}

/// A JSON object.
#[derive(Debug, Clone)]
struct Object(Map<String, Value>);

impl FromStr for Object {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match serde_json::from_str(text) {
            Ok(Value::Object(object)) => Ok(Self(object)),
            Ok(_) => Err("write a JSON object, such as {\"strict\": true}".into()),
            Err(error) => Err(format!("write a JSON object, such as {{\"strict\": true}}: {error}")),
        }
    }
}

/// Parses a whole number that a run file can hold too.
pub(crate) fn whole(text: &str) -> Result<u64, String> {
    let number = text.parse().ok().filter(|number| *number <= i64::MAX as u64);
    number.ok_or_else(|| format!("write a whole number from 0 to {}", i64::MAX))
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
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        plugins: PluginArgs,
    }

    fn parse(line: &[&str]) -> Result<Vec<PluginArg>, String> {
        let parsed = Line::try_parse_from([&["alft"], line].concat());
        parsed.map(|line| line.plugins.0).map_err(|error| error.to_string())
    }

    #[test]
    fn a_plugin_comes_with_its_weight_and_configuration() {
        let line = [
            "--plugin",
            "a/b.wasm",
            "--plugin",
            "b.so,weight=0.5",
            "--config",
            r#"{"k": [1,2]}"#,
            "--plugin",
            "c.wasm",
        ];
        let plugins = parse(&line).unwrap();
        let plain = |path: &str| PluginArg { path: path.into(), weight: 1.0, config: Map::new() };
        assert_eq!((&plugins[0], &plugins[2]), (&plain("a/b.wasm"), &plain("c.wasm")));
        assert_eq!((plugins[1].weight, &plugins[1].config["k"]), (0.5, &serde_json::json!([1, 2])));
        assert_eq!(parse(&[]).unwrap(), []);
    }

    #[test]
    fn mistakes_are_named() {
        for (line, words) in [
            (&["--plugin", "b.so,weight=-1"][..], "weight: write a number"),
            (&["--plugin", "b.so", "--config", "[1]"], "write a JSON object"),
            (&["--plugin", "b.so", "--config", "{"], "EOF while parsing"),
            (&["--plugin", "b.so", "--config", "{\"a\": NaN}"], "expected value"),
            (&["--plugin", "b.so", "--config", "{\"a\": 1e999}"], "number out of range"),
            (&["--config", "{}", "--plugin", "b.so"], "follows the --plugin"),
            (&["--plugin", "b.so", "--config", "{}", "--config", "{}"], "follows the --plugin"),
            (&["--config", "{}"], "--plugin"),
        ] {
            let error = parse(line).unwrap_err();
            assert!(error.contains(words), "{line:?}: {error}");
        }
    }
}
