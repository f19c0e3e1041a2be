//! The data of a question that a verifier needs, with errors that name the question and the remedy.

use serde::de::DeserializeOwned;

use crate::{Error, Prompt, Result};

/// Returns a prompt's gold answer.
///
/// # Errors
/// The prompt has none. The error names the prompt and the remedy.
pub fn gold(prompt: &Prompt) -> Result<&str> {
    let missing = || Error::new(format!("prompt {} has no gold answer; add the key `gold` to it", prompt.id));
    prompt.gold.as_deref().ok_or_else(missing)
}

/// Deserializes the keys of a prompt's metadata that a plugin knows. Keys that `T` does not name are ignored, since
/// they may be another plugin's.
///
/// # Errors
/// A key has a value of another type. The error names the prompt.
pub fn metadata<T: DeserializeOwned>(prompt: &Prompt) -> Result<T> {
    serde_json::from_str(&prompt.metadata)
        .map_err(|error| Error::new(format!("the metadata of prompt {}: {error}", prompt.id)))
}

/// Returns the first characters of a text that an error quotes.
pub fn quoted(text: &str) -> String {
    const LONGEST: usize = 80;
    let start: String = text.chars().take(LONGEST).collect();
    if start.len() < text.len() { format!("\"{start}…\"") } else { format!("\"{start}\"") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_the_prompt() {
        let prompt = Prompt { id: "q7".into(), metadata: r#"{"level": 3}"#.into(), ..Prompt::default() };
        assert!(gold(&prompt).unwrap_err().to_string().contains("prompt q7 has no gold answer"));

        #[derive(serde::Deserialize)]
        struct Level {
            level: u32,
        }
        assert_eq!(metadata::<Level>(&prompt).unwrap().level, 3);
        let other = Prompt { metadata: r#"{"level": "high"}"#.into(), ..prompt };
        assert!(metadata::<Level>(&other).err().unwrap().to_string().contains("metadata of prompt q7: invalid type"));
    }

    #[test]
    fn long_texts_are_quoted_in_part() {
        assert_eq!(quoted("é"), "\"é\"");
        assert_eq!(quoted(&"é".repeat(100)).chars().count(), 83);
    }
}
