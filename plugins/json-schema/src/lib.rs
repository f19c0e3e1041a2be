//! Reads the last JSON value of a completion. A right answer is valid by a JSON Schema, that of the configuration or of the
//! question, and equals the gold value if there is one.
//!
//! As a verifier it is correctness: U(ν) = w/m Σ_i ⟨r, ν_i⟩, where r is 1 for a right value and else 0.
//!
//! `extract` finds the value and `canonical` gives equal values one text, which is the reader's key. `compile` makes a
//! `schema` and refuses what it does not support, and `validate` applies it. `number` compares numbers.

mod canonical;
mod compile;
mod extract;
mod number;
mod schema;
mod validate;

use alft_sdk::answer::Places;
use alft_sdk::question::{gold, metadata, quoted};
use alft_sdk::serde::Deserialize;
use alft_sdk::{Manifest, Plugin, Prompt, Reader, Result, Verifier, export, manifest};
use serde_json::Value;

use crate::schema::Schema;

/// Most bytes of an answer. A longer value is none.
const LONGEST: usize = 20_000;
/// Most levels of an answer. A deeper value is none: under a recursive schema it could exceed the depth of a validation.
const DEEPEST: usize = 60;

/// The plugin's table in the run file.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(crate = "alft_sdk::serde", deny_unknown_fields, default)]
pub struct Settings {
    /// Text before the value. The value follows its last occurrence.
    pub marker: Option<String>,
    /// Opening and closing tag around the value, such as `["<answer>", "</answer>"]`.
    pub tags: Option<[String; 2]>,
    /// True to read values in fenced blocks, and completions that are a value, alone; without it, the last object or array
    /// in the text is read too.
    pub strict: bool,
    /// Schema of questions whose metadata has no `schema`: a table, or JSON as text.
    pub schema: Option<Value>,
    /// The rule for gold answers.
    pub gold: GoldRule,
}

/// The rule for gold answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(crate = "alft_sdk::serde", rename_all = "lowercase")]
pub enum GoldRule {
    /// A value must equal the gold answer, if the question has one.
    #[default]
    Equal,
    /// Gold answers are not looked at.
    Ignored,
}

/// The plugin: its settings, with the schema compiled.
#[derive(Debug, Clone, Deserialize)]
#[serde(crate = "alft_sdk::serde", try_from = "Settings")]
pub struct JsonSchema {
    settings: Settings,
    schema: Option<Schema>,
}

/// The keys of a question's metadata.
#[derive(Deserialize)]
#[serde(crate = "alft_sdk::serde")]
struct Metadata {
    schema: Option<Value>,
}

impl TryFrom<Settings> for JsonSchema {
    type Error = String;

    fn try_from(settings: Settings) -> std::result::Result<Self, String> {
        let schema = settings.schema.as_ref().map(compiled).transpose()?;
        Ok(Self { settings, schema })
    }
}

/// Returns true for a value of at most so many levels.
fn is_within(value: &Value, levels: usize) -> bool {
    let inner = |value: &Value| levels > 0 && is_within(value, levels - 1);
    match value {
        Value::Array(items) => items.iter().all(inner),
        Value::Object(map) => map.values().all(inner),
        _ => true,
    }
}

/// Compiles a schema that is a value, or a value as JSON text.
fn compiled(schema: &Value) -> std::result::Result<Schema, String> {
    match schema {
        Value::String(text) => {
            let value =
                serde_json::from_str(text).map_err(|error| format!("schema is a text that is not JSON: {error}"))?;
            compile::compile(&value)
        }
        value => compile::compile(value),
    }
}

impl Plugin for JsonSchema {
    fn manifest(&self) -> Manifest {
        Manifest { score_range: Some((0.0, 1.0)), ..manifest!("Reads a JSON value and validates it by a JSON Schema.") }
    }

    fn check(&self) -> Result<()> {
        self.places().check()
    }
}

impl Reader for JsonSchema {
    fn read(&self, _: &Prompt, completion: &str) -> Result<Option<String>> {
        let value = extract::value(completion, self.places());
        let value = value.filter(|value| is_within(value, DEEPEST));
        Ok(value.map(|value| canonical::text(&value)).filter(|key| key.len() <= LONGEST))
    }
}

impl Verifier for JsonSchema {
    fn score(&self, prompt: &Prompt, answer: &str) -> Result<f64> {
        let own = metadata::<Metadata>(prompt)?.schema;
        let own = own.as_ref().map(compiled).transpose();
        let own = own.map_err(|error| format!("the metadata of prompt {}: {error}", prompt.id))?;
        let schema = own.as_ref().or(self.schema.as_ref());
        let wanted = match self.settings.gold {
            GoldRule::Equal if prompt.gold.is_some() => Some(self.gold(prompt)?),
            _ => None,
        };
        if schema.is_none() && wanted.is_none() {
            return Err(format!(
                "prompt {} has neither a schema nor a gold answer; set `schema` in the plugin's table or in the question, or \
                 add the key `gold` to it",
                prompt.id
            )
            .into());
        }
        let value = match serde_json::from_str::<Value>(answer) {
            Ok(value) if answer.len() <= LONGEST && is_within(&value, DEEPEST) => value,
            _ => return Ok(0.0),
        };
        let valid = match schema {
            Some(schema) => validate::is_valid(schema, &value)
                .map_err(|error| format!("the answer {} to prompt {} {error}", quoted(answer), prompt.id))?,
            None => true,
        };
        Ok(if valid && wanted.is_none_or(|wanted| wanted == canonical::text(&value)) { 1.0 } else { 0.0 })
    }
}

impl JsonSchema {
    fn places(&self) -> Places<'_> {
        Places {
            marker: self.settings.marker.as_deref(),
            tags: self.settings.tags.as_ref(),
            strict: self.settings.strict,
            ..Places::default()
        }
    }

    /// Returns the canonical text of a prompt's gold value.
    fn gold(&self, prompt: &Prompt) -> Result<String> {
        let text = gold(prompt)?;
        let value: Value = serde_json::from_str(text).map_err(|error| {
            format!(
                "the gold answer of prompt {} is {}, which is not JSON: {error}; correct it, or set gold to \"ignored\"",
                prompt.id,
                quoted(text)
            )
        })?;
        Ok(canonical::text(&value))
    }
}

export!(JsonSchema: Reader + Verifier);

#[cfg(test)]
alft_conformance::conformance!(JsonSchema: Reader + Verifier);

#[cfg(test)]
mod tests;
