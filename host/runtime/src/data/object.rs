//! A line as its keys with their JSON as it is written: numbers keep all of their digits, and a key that comes twice is told.

use std::fmt;

use alft_text::Foreign;
use serde::de::{DeserializeOwned, Deserializer, Error as _, MapAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;

/// The keys of a line, in its order. What is not taken is metadata.
#[derive(Debug, Clone)]
pub(super) struct Object(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keys;
        impl<'de> Visitor<'de> for Keys {
            type Value = Object;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
                let mut keys: Vec<(String, Box<RawValue>)> = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    keys.push(entry);
                }
                let mut names: Vec<&str> = keys.iter().map(|(key, _)| key.as_str()).collect();
                names.sort_unstable();
                if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
                    return Err(A::Error::custom(format!("the key `{}` comes twice", Foreign::new(twice[0]))));
                }
                Ok(Object(keys))
            }
        }
        deserializer.deserialize_map(Keys)
    }
}

impl Object {
    /// Takes a key's value out of the line; `None` for `null` and where there is no such key.
    fn take_raw(&mut self, key: &str) -> Option<Box<RawValue>> {
        let place = self.0.iter().position(|(name, _)| name == key)?;
        let (_, value) = self.0.remove(place);
        (value.get() != "null").then_some(value)
    }

    /// Takes a key's value out of the line.
    ///
    /// # Errors
    /// It is of another type.
    pub(super) fn take<T: DeserializeOwned>(&mut self, key: &str) -> Result<Option<T>, String> {
        let parse = |value: Box<RawValue>| {
            serde_json::from_str(value.get()).map_err(|error| {
                let text = error.to_string();
                format!("`{key}`: {}", text.split(" at line ").next().unwrap_or(&text))
            })
        };
        self.take_raw(key).map(parse).transpose()
    }

    /// Takes a text, or a number as it is written.
    ///
    /// # Errors
    /// It is of another type.
    pub(super) fn take_text(&mut self, key: &str) -> Result<Option<String>, String> {
        let text = |value: Box<RawValue>| match value.get().as_bytes() {
            [b'"', ..] => serde_json::from_str(value.get()).map_err(|error| format!("`{key}`: {error}")),
            [b'-' | b'0'..=b'9', ..] => Ok(value.get().to_owned()),
            other => Err(format!(
                "`{key}` must be a text or a number, and not {}",
                match other.first() {
                    Some(b'[') => "a list",
                    Some(b'{') => "an object",
                    _ => "true or false",
                }
            )),
        };
        self.take_raw(key).map(text).transpose()
    }

    /// Takes the gold answer. `reference` is its name in other tools' files.
    ///
    /// # Errors
    /// It is neither a text nor a number; it stands under both names, and differs.
    pub(super) fn take_gold(&mut self) -> Result<Option<String>, String> {
        match (self.take_text("gold")?, self.take_text("reference")?) {
            (Some(gold), Some(reference)) if gold != reference => {
                Err("`gold` and `reference`, which are two names of the same key, differ".to_owned())
            }
            (gold, reference) => Ok(gold.or(reference)),
        }
    }

    /// The keys that were not taken, for a message.
    pub(super) fn names(&self) -> String {
        let names: Vec<String> = self.0.iter().map(|(key, _)| format!("`{}`", Foreign::new(key))).collect();
        if names.is_empty() { "nothing".into() } else { names.join(", ") }
    }

    /// Adds a key, unless the line has one of its name.
    pub(super) fn add(&mut self, key: &str, value: Box<RawValue>) {
        if self.0.iter().all(|(name, _)| name != key) {
            self.0.push((key.to_owned(), value));
        }
    }

    /// The keys that were not taken, as a JSON object.
    pub(super) fn metadata(&self) -> String {
        serde_json::to_string(self).expect("raw JSON is written as it is")
    }
}

impl Serialize for Object {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(text: &str) -> Object {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn numbers_keep_their_digits() {
        let mut line = object(r#"{"gold": 123456789012345678901, "a": 3.0000000000000000001, "b": [1e3]}"#);
        assert_eq!(line.take_gold().unwrap().as_deref(), Some("123456789012345678901"));
        assert_eq!(line.metadata(), r#"{"a":3.0000000000000000001,"b":[1e3]}"#);
    }

    #[test]
    fn a_key_of_another_type_is_named() {
        for (text, words) in [
            (r#"{"gold": ["2", "two"]}"#, "`gold` must be a text or a number, and not a list"),
            (r#"{"reference": true}"#, "`reference` must be a text or a number, and not true or false"),
            (r#"{"gold": "2", "reference": "3"}"#, "differ"),
        ] {
            let error = object(text).take_gold().unwrap_err();
            assert!(error.contains(words), "{error}");
        }
        assert_eq!(object(r#"{"gold": "2", "reference": "2"}"#).take_gold(), Ok(Some("2".into())));
        assert_eq!(object(r#"{"gold": null}"#).take_gold(), Ok(None));
        let twice = serde_json::from_str::<Object>(r#"{"gold": "2", "gold": "3"}"#).unwrap_err();
        assert!(twice.to_string().contains("the key `gold` comes twice"), "{twice}");
    }
}
