//! `kit.json`, beside a plugin's sources: the data that the plugin needs to be tested.

use std::path::Path;

use alft_sdk::Prompt;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The data that a plugin needs to be tested. Every key may be left out, and so may the file.
///
/// ```json
/// {
///   "configs": [{"k": 2, "verifier": "verifier"}],
///   "question": {"prompt": "What is 17 + 25?", "gold": "42", "wrong": "41"},
///   "completion": "so it is {answer}"
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Valid configurations, each a JSON object. Every test runs under each of them. `[{}]` by default.
    pub configs: Vec<Map<String, Value>>,
    /// A question that readers, graders and verifiers can answer.
    pub question: Question,
    /// A good completion, with `{answer}` in place of the answer.
    pub completion: String,
    /// Answer keys for objectives, at least two; `a` to `f` by default. Tables in `configs` should name these.
    pub answers: Vec<String>,
    /// Names of the verifiers whose scores an objective gets. The scores are between 0.05 and 1.
    pub verifiers: Vec<String>,
}

/// The settings are sent to the process of every test.
const MAX_BYTES: u64 = 1 << 20;

/// A question with a right and a wrong answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Question {
    /// Text of the prompt.
    pub prompt: String,
    /// The right answer.
    pub gold: String,
    /// A wrong answer.
    pub wrong: String,
    /// The other keys of the question's line.
    pub metadata: Map<String, Value>,
}

/// The reason why `kit.json` cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error(transparent)]
    Read(#[from] std::io::Error),
    /// The file is not JSON, or has a wrong key or type.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// The file is not a file, or is too large.
    #[error("it is not a regular file of at most 1 MiB")]
    File,
    /// A value is of no use to the tests.
    #[error("{0}")]
    Value(&'static str),
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            configs: vec![Map::new()],
            question: Question::default(),
            completion: "Let me see. The answer is: {answer}".into(),
            answers: ["a", "b", "c", "d", "e", "f"].map(Into::into).into(),
            verifiers: vec!["verifier".into()],
        }
    }
}

impl Default for Question {
    fn default() -> Self {
        Self {
            prompt: "What is 17 + 25: is it 41, or is it 42?".into(),
            gold: "42".into(),
            wrong: "41".into(),
            metadata: Map::new(),
        }
    }
}

impl Settings {
    /// Name of the file.
    pub const FILE: &str = "kit.json";

    /// Reads a settings file.
    ///
    /// # Errors
    /// The file cannot be read, is not JSON, has an unknown key, or has a value that is of no use.
    pub fn read(file: &Path) -> Result<Self, Error> {
        let metadata = std::fs::metadata(file)?;
        if !metadata.is_file() || metadata.len() > MAX_BYTES {
            return Err(Error::File);
        }
        let settings: Self = serde_json::from_str(&std::fs::read_to_string(file)?)?;
        let checks = [
            (!settings.configs.is_empty(), "`configs` is empty; leave it out to test with {}"),
            (settings.answers.len() >= 2, "`answers` has fewer than two keys; add one, or leave it out"),
            (
                settings.completion.contains("{answer}"),
                "`completion` has no {answer} in it; add it where the answer is",
            ),
        ];
        match checks.into_iter().find(|(usable, _)| !usable) {
            Some((_, reason)) => Err(Error::Value(reason)),
            None => Ok(settings),
        }
    }

    /// Reads the `kit.json` of the project in `folder`, or returns the defaults if it has none.
    ///
    /// # Errors
    /// As [`Settings::read`].
    pub fn of(folder: &Path) -> Result<Self, Error> {
        let file = folder.join(Self::FILE);
        if file.exists() { Self::read(&file) } else { Ok(Self::default()) }
    }

    /// Returns the configurations as JSON text.
    pub(crate) fn configurations(&self) -> Vec<String> {
        self.configs.iter().map(|config| Value::Object(config.clone()).to_string()).collect()
    }

    /// Returns the question as a prompt with this id.
    pub fn prompt(&self, id: &str) -> Prompt {
        Prompt {
            id: id.into(),
            text: self.question.prompt.clone(),
            gold: Some(self.question.gold.clone()),
            metadata: Value::Object(self.question.metadata.clone()).to_string(),
        }
    }

    /// Returns the completion with this answer.
    pub fn completed(&self, answer: &str) -> String {
        self.completion.replace("{answer}", answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_keys_have_defaults_and_unusable_values_are_refused() {
        let folder = std::env::temp_dir().join(format!("alft-kit-settings-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        assert_eq!(Settings::of(&folder).unwrap(), Settings::default());
        let written = |text: &str| {
            std::fs::write(folder.join(Settings::FILE), text).unwrap();
            Settings::of(&folder)
        };
        let settings = written(r#"{"configs": [{"k": 2}], "question": {"wrong": "7"}}"#).unwrap();
        assert_eq!(settings.configurations(), [r#"{"k":2}"#]);
        assert_eq!((settings.question.wrong.as_str(), settings.question.gold.as_str()), ("7", "42"));
        for (text, words) in [
            (r#"{"confgs": []}"#, "confgs"),
            (r#"{"configs": []}"#, "`configs` is empty"),
            (r#"{"completion": "42"}"#, "no {answer}"),
            (r#"{"answers": ["a"]}"#, "fewer than two"),
        ] {
            let error = written(text).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
        let large = written(&" ".repeat(MAX_BYTES as usize + 1));
        for read in [large, Settings::read(&folder), Settings::read("/dev/zero".as_ref())] {
            assert!(read.unwrap_err().to_string().contains("at most 1 MiB"));
        }
        std::fs::remove_dir_all(folder).unwrap();
    }
}
