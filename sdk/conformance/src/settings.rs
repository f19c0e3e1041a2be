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

/// Bytes of the file, which is sent to the process of every test.
const MAX_BYTES: u64 = 256 << 10;

// Tests repeat the settings: thousands of completions, dozens of bundles with every answer. These limits keep what they
// make of them to a few dozen megabytes.
/// Configurations; every test runs under each.
const MAX_CONFIGS: usize = 64;
/// Bytes of each text of the question, and of its metadata as JSON.
const MAX_TEXT: usize = 32 << 10;
/// Bytes of `completion`.
const MAX_COMPLETION: usize = 16 << 10;
/// Places of the answer in `completion`: an answer of a test can have 100,000 bytes.
const MAX_PLACES: usize = 8;
/// Keys in `answers`. A test values a bundle with all of them for every pair.
const MAX_ANSWERS: usize = 64;
/// Names in `verifiers`.
const MAX_VERIFIERS: usize = 16;
/// Bytes of an answer key or of a verifier's name.
const MAX_NAME: usize = 1 << 10;

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
    #[error("it is not a regular file of at most 256 KiB")]
    File,
    /// A value is of no use to the tests.
    #[error("{0}")]
    Value(&'static str),
    /// A value is larger than the tests can repeat.
    #[error("`{key}` has {value} {unit}, and at most {limit} are allowed")]
    Large {
        /// The qualified key.
        key: &'static str,
        /// The size.
        value: usize,
        /// The unit of the size.
        unit: &'static str,
        /// The largest size.
        limit: usize,
    },
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

impl Question {
    /// Returns the bytes of its texts and of its metadata as JSON.
    pub(crate) fn bytes(&self) -> usize {
        let Self { prompt, gold, wrong, metadata } = self;
        prompt.len() + gold.len() + wrong.len() + json_bytes(metadata)
    }
}

fn json_bytes(object: &Map<String, Value>) -> usize {
    serde_json::to_string(object).expect("a map is plain data").len()
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
        let text = std::fs::read_to_string(file)?;
        // To serde a list is an object without its keys.
        if text.trim_start().starts_with('[') {
            return Err(Error::Value("the file is a list: write an object"));
        }
        let settings: Self = serde_json::from_str(&text)?;
        let checks = [
            (!settings.configs.is_empty(), "`configs` is empty; leave it out to test with {}"),
            (settings.answers.len() >= 2, "`answers` has fewer than two keys; add one, or leave it out"),
            (
                settings.completion.contains("{answer}"),
                "`completion` has no {answer} in it; add it where the answer is",
            ),
        ];
        if let Some((_, reason)) = checks.into_iter().find(|(usable, _)| !usable) {
            return Err(Error::Value(reason));
        }
        settings.check_sizes()?;
        Ok(settings)
    }

    /// Fails if a value is larger than the tests can repeat.
    fn check_sizes(&self) -> Result<(), Error> {
        let Self { configs, question, completion, answers, verifiers } = self;
        let longest = |texts: &[String]| texts.iter().map(String::len).max().unwrap_or(0);
        let metadata = json_bytes(&question.metadata);
        let sizes = [
            ("configs", configs.len(), "entries", MAX_CONFIGS),
            ("question.prompt", question.prompt.len(), "bytes", MAX_TEXT),
            ("question.gold", question.gold.len(), "bytes", MAX_TEXT),
            ("question.wrong", question.wrong.len(), "bytes", MAX_TEXT),
            ("question.metadata", metadata, "bytes", MAX_TEXT),
            ("completion", completion.len(), "bytes", MAX_COMPLETION),
            ("completion", completion.matches("{answer}").count(), "places for the {answer}", MAX_PLACES),
            ("answers", answers.len(), "entries", MAX_ANSWERS),
            ("answers", longest(answers), "bytes in an entry", MAX_NAME),
            ("verifiers", verifiers.len(), "entries", MAX_VERIFIERS),
            ("verifiers", longest(verifiers), "bytes in an entry", MAX_NAME),
        ];
        match sizes.into_iter().find(|(_, value, _, limit)| value > limit) {
            Some((key, value, unit, limit)) => Err(Error::Large { key, value, unit, limit }),
            None => Ok(()),
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
    fn settings_that_tests_would_expand_to_gigabytes_are_refused_with_the_key_and_the_limit() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(Settings::FILE);
        let many = |text: &str, count: usize| vec![text; count].join(",");
        for (text, words) in [
            (format!(r#"{{"completion": "{}"}}"#, "{answer}".repeat(9)), "`completion` has 9 places for the {answer}"),
            (format!(r#"{{"completion": "{{answer}}{}"}}"#, "x".repeat(20_000)), "at most 16384"),
            (format!(r#"{{"configs": [{}]}}"#, many("{}", 65)), "`configs` has 65 entries, and at most 64"),
            (format!(r#"{{"answers": [{}]}}"#, many(r#""a""#, 65)), "`answers` has 65 entries"),
            (format!(r#"{{"answers": ["a", "{}"]}}"#, "b".repeat(1025)), "`answers` has 1025 bytes in an entry"),
            (format!(r#"{{"verifiers": [{}]}}"#, many(r#""v""#, 17)), "`verifiers` has 17 entries"),
            (format!(r#"{{"question": {{"prompt": "{}"}}}}"#, "p".repeat(32_769)), "`question.prompt` has 32769 bytes"),
            (format!(r#"{{"question": {{"metadata": {{"k": [{}]}}}}}}"#, many("0", 40_000)), "`question.metadata` has"),
        ] {
            std::fs::write(&file, text).unwrap();
            let error = Settings::read(&file).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
        std::fs::write(&file, " []").unwrap();
        assert_eq!(Settings::read(&file).unwrap_err().to_string(), "the file is a list: write an object");
    }

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
            assert!(read.unwrap_err().to_string().contains("at most 256 KiB"));
        }
        std::fs::remove_dir_all(folder).unwrap();
    }
}
