//! Values that several commands parse.

use std::path::PathBuf;
use std::str::FromStr;

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
