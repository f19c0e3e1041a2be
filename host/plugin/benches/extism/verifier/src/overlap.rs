//! The verifier without a plugin interface: F1 of the words that two texts share, as SQuAD scores answers.

use std::collections::BTreeMap;

/// Returns 2·shared / (words of one + words of the other). Case, punctuation and articles are ignored.
pub fn overlap(answer: &str, gold: &str) -> f64 {
    let (answer, gold) = (normalized(answer), normalized(gold));
    let mut left = BTreeMap::<&str, u32>::new();
    for word in words(&gold) {
        *left.entry(word).or_default() += 1;
    }
    let (mut shared, mut count) = (0, 0);
    for word in words(&answer) {
        count += 1;
        if let Some(left) = left.get_mut(word).filter(|left| **left > 0) {
            *left -= 1;
            shared += 1;
        }
    }
    match count + words(&gold).count() {
        0 => 1.0,
        total => f64::from(2 * shared) / total as f64,
    }
}

fn normalized(text: &str) -> String {
    text.chars().filter(|c| !c.is_ascii_punctuation()).flat_map(char::to_lowercase).collect()
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split_whitespace().filter(|word| !["a", "an", "the"].contains(word))
}
