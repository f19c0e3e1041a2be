//! `kit.json`, beside a plugin's sources: what it needs in order to be tested.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::bundle::Prompt;

/// What a plugin needs in order to be tested. Every key may be left out, and so may the file.
///
/// ```json
/// {
///   "configs": [{"k": 2, "verifier": "verifier"}],
///   "question": {"prompt": "What is 17 + 25?", "reference": "42", "wrong": "41"},
///   "completion": "so it is {answer}"
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Configurations that work, each a JSON object; every test runs under every one. `[{}]` by default.
    pub configs: Vec<Map<String, Value>>,
    /// A question that the plugin can judge. Readers and verifiers.
    pub question: Question,
    /// A completion that the reader can read, with `{answer}` in place of the answer.
    pub completion: String,
    /// Keys of the answers that objectives are shown, two or more; `a` to `f` by default. Let tables in `configs` name
    /// these.
    pub answers: Vec<String>,
    /// The names of the verifiers whose scores (0.05 to 1) an objective is shown.
    pub verifiers: Vec<String>,
}

/// Every test takes the settings along.
const MOST_BYTES: u64 = 1 << 20;

/// A question with a right and a wrong answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Question {
    /// As the prompts file has it.
    pub prompt: String,
    /// The right answer.
    pub gold: String,
    /// A wrong one.
    pub wrong: String,
    /// Whatever else the prompts file would say of it.
    pub metadata: Map<String, Value>,
}

/// Why `kit.json` cannot be used.
#[derive(Debug)]
pub enum Error {
    /// It cannot be read.
    Read(std::io::Error),
    /// It is not what it should be.
    Json(serde_json::Error),
    /// A value says nothing that a test could use.
    Value(&'static str),
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Read(error) => error.fmt(f),
            Self::Json(error) => error.fmt(f),
            Self::Value(reason) => f.write_str(reason),
        }
    }
}

impl std::error::Error for Error {}

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
    /// The file's name.
    pub const FILE: &str = "kit.json";

    /// The settings of a file.
    ///
    /// # Errors
    /// The file cannot be read, is no JSON, or has an unknown key or a value that is of no use.
    pub fn read(file: &Path) -> Result<Self, Error> {
        let metadata = std::fs::metadata(file).map_err(Error::Read)?;
        if !metadata.is_file() || metadata.len() > MOST_BYTES {
            return Err(Error::Value("it is no file of at most 1 MiB"));
        }
        let text = std::fs::read_to_string(file).map_err(Error::Read)?;
        let settings: Self = serde_json::from_str(&text).map_err(Error::Json)?;
        let usable = [
            (!settings.configs.is_empty(), "configs is empty; leave it out to test with {}"),
            (settings.answers.len() >= 2, "answers has fewer than two keys"),
            (settings.completion.contains("{answer}"), "completion has no {answer} in it"),
        ];
        match usable.iter().find(|(usable, _)| !usable) {
            Some((_, reason)) => Err(Error::Value(reason)),
            None => Ok(settings),
        }
    }

    /// The settings of the project in `folder`: its `kit.json`, or the defaults if it has none.
    ///
    /// # Errors
    /// As [`Settings::read`].
    pub fn of(folder: &Path) -> Result<Self, Error> {
        let file = folder.join(Self::FILE);
        if file.exists() { Self::read(&file) } else { Ok(Self::default()) }
    }

    pub(super) fn configurations(&self) -> Vec<String> {
        self.configs.iter().map(|config| Value::Object(config.clone()).to_string()).collect()
    }

    /// The question, as a phrasing of this id.
    pub fn prompt(&self, id: &str) -> Prompt {
        Prompt {
            id: id.into(),
            text: self.question.prompt.clone(),
            gold: Some(self.question.gold.clone()),
            metadata: Value::Object(self.question.metadata.clone()).to_string(),
        }
    }

    /// A completion that ends in `answer`.
    pub fn completed(&self, answer: &str) -> String {
        self.completion.replace("{answer}", answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_the_default_and_what_is_unknown_is_refused() {
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
            (r#"{"configs": []}"#, "configs is empty"),
            (r#"{"completion": "42"}"#, "no {answer}"),
            (r#"{"answers": ["a"]}"#, "fewer than two"),
        ] {
            let error = written(text).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
        let large = written(&" ".repeat(MOST_BYTES as usize + 1));
        for read in [large, Settings::read(&folder), Settings::read("/dev/zero".as_ref())] {
            assert!(read.unwrap_err().to_string().contains("at most 1 MiB"));
        }
        std::fs::remove_dir_all(folder).unwrap();
    }
}
