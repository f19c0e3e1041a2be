//! The files that came with a model, as text. An export has them as they came.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::Value;

pub(crate) const CONFIG: &str = "config.json";
pub(crate) const TOKENIZER: &str = "tokenizer.json";
pub(crate) const TOKENIZER_CONFIG: &str = "tokenizer_config.json";
pub(crate) const GENERATION_CONFIG: &str = "generation_config.json";
pub(crate) const CHAT_TEMPLATE: &str = "chat_template.jinja";

/// The files of a folder that are kept.
pub(crate) const NAMES: [&str; 7] = [
    CONFIG,
    TOKENIZER,
    TOKENIZER_CONFIG,
    GENERATION_CONFIG,
    CHAT_TEMPLATE,
    "special_tokens_map.json",
    "added_tokens.json",
];

/// Files by their names. Empty for a model that came from nowhere.
#[derive(Debug, Clone, Default)]
pub(crate) struct Companions(Arc<BTreeMap<&'static str, String>>);

impl Companions {
    pub(crate) fn new(files: BTreeMap<&'static str, String>) -> Self {
        Self(files.into())
    }

    /// Returns the text of a file.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Returns every file with its name.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, text)| (*name, text.as_str()))
    }

    /// Returns the chat template, in Jinja; the default one of several.
    pub(crate) fn chat_template(&self) -> Option<String> {
        if let Some(template) = self.get(CHAT_TEMPLATE) {
            return Some(template.to_owned());
        }
        match &self.tokenizer_config()["chat_template"] {
            Value::String(template) => Some(template.clone()),
            Value::Array(templates) => {
                let default = templates.iter().find(|template| template["name"] == "default")?;
                Some(default["template"].as_str()?.to_owned())
            }
            _ => None,
        }
    }

    /// Returns the place of the chat template, for errors.
    pub(crate) fn chat_template_place(&self) -> &'static str {
        match (self.get(CHAT_TEMPLATE), self.get(CONFIG)) {
            (Some(_), _) => CHAT_TEMPLATE,
            (None, Some(_)) => TOKENIZER_CONFIG,
            // A GGUF file has no configuration in JSON.
            (None, None) => "the metadata of the GGUF file",
        }
    }

    /// Returns the tokens that the tokenizer's configuration names, such as `bos_token`.
    pub(crate) fn named_tokens(&self) -> BTreeMap<String, String> {
        let config = self.tokenizer_config();
        let named = config.as_object().into_iter().flatten().filter(|(name, _)| name.ends_with("_token"));
        // A token is a text, or an object with the text and how it is matched.
        let token = |(name, value): (&String, &Value)| {
            Some((name.clone(), value.as_str().or(value["content"].as_str())?.to_owned()))
        };
        named.filter_map(token).collect()
    }

    /// Returns true if the tokenizer's configuration has texts begin with the beginning-of-sequence token, and false if it
    /// forbids that. `None` leaves it to `tokenizer.json`.
    pub(crate) fn adds_bos(&self) -> Option<bool> {
        self.tokenizer_config()["add_bos_token"].as_bool()
    }

    fn tokenizer_config(&self) -> Value {
        self.get(TOKENIZER_CONFIG).and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
    }
}
