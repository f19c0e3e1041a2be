//! The answers to requests with an `Idempotency-Key`: the same request gets the same answer again, and moves nothing.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// An answer that is remembered.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Answer {
    /// The request's `Idempotency-Key`.
    pub(crate) key: String,
    /// BLAKE3 of the request's body, in hexadecimal.
    pub(crate) request: String,
    /// The body of the answer.
    #[serde(with = "shared_text")]
    pub(crate) body: Arc<str>,
}

mod shared_text {
    use super::{Arc, Deserialize};

    pub(super) fn serialize<S: serde::Serializer>(text: &Arc<str>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(text)
    }

    pub(super) fn deserialize<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Arc<str>, D::Error> {
        String::deserialize(deserializer).map(Arc::from)
    }
}

/// The latest answers, as many as have a number of bytes.
#[derive(Debug, Default)]
pub(crate) struct Remembered {
    answers: BTreeMap<String, Answer>,
    /// The keys, oldest first.
    order: VecDeque<String>,
    bytes: usize,
}

impl Remembered {
    /// Remembers an answer, and forgets the oldest ones beyond `limit` bytes.
    pub(crate) fn add(&mut self, answer: Answer, limit: usize) {
        self.bytes += size(&answer);
        self.order.push_back(answer.key.clone());
        self.answers.insert(answer.key.clone(), answer);
        while self.bytes > limit && self.order.len() > 1 {
            let oldest = self.order.pop_front().and_then(|key| self.answers.remove(&key));
            self.bytes -= oldest.as_ref().map_or(0, size);
        }
    }

    /// The answer to the request with this key.
    pub(crate) fn get(&self, key: &str) -> Option<&Answer> {
        self.answers.get(key)
    }

    /// The answers, oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Answer> {
        self.order.iter().filter_map(|key| self.answers.get(key))
    }
}

fn size(answer: &Answer) -> usize {
    2 * answer.key.len() + answer.request.len() + answer.body.len() + 128
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_answers_are_forgotten() {
        let mut remembered = Remembered::default();
        let answer = |key: &str| Answer { key: key.into(), request: String::new(), body: "x".repeat(1000).into() };
        ["a", "b", "c"].iter().for_each(|key| remembered.add(answer(key), 2500));
        assert!(remembered.get("a").is_none() && remembered.get("c").is_some());
        assert!(remembered.iter().map(|answer| answer.key.as_str()).eq(["b", "c"]));
        remembered.add(answer("d"), 1);
        assert!(remembered.iter().map(|answer| answer.key.as_str()).eq(["d"]), "the latest one is kept");
    }
}
