//! The comparison of the key of an answer with a gold answer: the same value, or one that is accepted for it.

use dashu_int::{IBig, UBig};
use dashu_ratio::RBig;

use crate::{
    Gold, Math, PercentRule, RelationRule,
    key::{also, key},
    node::Node,
};

/// Returns true if the answer with this key is accepted for a gold answer.
pub(crate) fn accepts(settings: &Math, gold: &Gold, answer: &str) -> bool {
    if gold.key == answer {
        return true;
    }
    let mut golds = vec![gold.key.clone()];
    golds.extend(also(&gold.value).iter().filter_map(|node| Some(key(node)?.text)));
    if settings.percent == PercentRule::Either {
        golds.extend(percents(&gold.value));
    }
    let mut answers = vec![answer.to_owned()];
    if settings.percent == PercentRule::Either
        && let Some(number) = answer.strip_suffix('%')
    {
        answers.push(number.to_owned());
    }
    // An inequality and the interval of its solutions.
    let solutions = |text: &str| {
        let (name, interval) = text.split_once(':')?;
        (interval.starts_with(['(', '[']) && !name.contains([',', '[', '('])
            || name.ends_with(')') && interval.starts_with(['(', '[']))
        .then(|| interval.to_owned())
    };
    if settings.relations != RelationRule::Same {
        let intervals: Vec<String> = golds.iter().filter_map(|text| solutions(text)).collect();
        golds.extend(intervals);
    }
    if settings.relations == RelationRule::Either {
        answers.extend(solutions(answer));
    }
    golds.iter().any(|gold| answers.iter().any(|answer| gold == answer || nearly(gold, answer, settings.rounding)))
}

/// Returns the keys of the numbers that are accepted for a percentage: 28 and 7/25 for 28%.
fn percents(node: &Node) -> Vec<String> {
    let Node::Percent(value) = node else { return Vec::new() };
    let share = (**value).clone().over(Node::number(100));
    [(**value).clone(), share].iter().filter_map(|node| Some(key(node)?.text)).collect()
}

/// Returns true if two keys are the same but for numbers, and each of these is the other one rounded to all of its decimal
/// places, with at least `digits` significant digits.
fn nearly(a: &str, b: &str, digits: u32) -> bool {
    if digits == 0 {
        return false;
    }
    let (a, b) = (parts(a), parts(b));
    let same = |(a, b): (&Part<'_>, &Part<'_>)| match (a, b) {
        (Part::Sign(a), Part::Sign(b)) => a == b,
        (Part::Number(a), Part::Number(b)) => {
            a == b
                || match (number(a), number(b)) {
                    (Some(x), Some(y)) => is_rounded(&x, &y, digits) || is_rounded(&y, &x, digits),
                    _ => false,
                }
        }
        _ => false,
    };
    a.len() == b.len() && a.iter().zip(&b).all(same)
}

enum Part<'a> {
    Sign(char),
    Number(&'a str),
}

/// Splits a key at its numbers.
fn parts(text: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut at = 0;
    let of_number = |c: char| c.is_ascii_digit() || matches!(c, '/' | '.' | '~' | '-');
    while let Some(first) = text[at..].chars().next() {
        let length = text[at..].find(|c| !of_number(c)).unwrap_or(text.len() - at);
        if length > 0 {
            parts.push(Part::Number(&text[at..at + length]));
            at += length;
        } else {
            parts.push(Part::Sign(first));
            at += first.len_utf8();
        }
    }
    parts
}

/// Longest number, in digits, that may be a rounded one, or that one is rounded from.
const MOST_DIGITS: usize = 1000;

/// Returns the number of a part of a key, a fraction or digits; `None` for a long one.
fn number(text: &str) -> Option<RBig> {
    if text.len() > MOST_DIGITS {
        return None;
    }
    match text.strip_prefix('~') {
        None => text.parse().ok(),
        Some(digits) => {
            let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
            let units: IBig = format!("{whole}{fraction}").parse().ok()?;
            Some(RBig::from_parts(units, UBig::from(10u8).pow(fraction.len())))
        }
    }
}

/// Returns true if `short` has finitely many decimal places, at least `digits` significant digits, and is `long` rounded to
/// them.
fn is_rounded(short: &RBig, long: &RBig, digits: u32) -> bool {
    let Some(places) = decimal_places(short) else { return false };
    if places == 0 {
        return false;
    }
    let scale = RBig::from(UBig::from(10u8).pow(places));
    let scaled = short * &scale;
    let significant = scaled.numerator().to_string().trim_start_matches('-').len();
    significant as u32 >= digits && RBig::from((long * scale).round()) == scaled
}

/// Returns the number of decimal places of a fraction; `None` without an end.
fn decimal_places(value: &RBig) -> Option<usize> {
    let mut rest = value.denominator().clone();
    let mut count = |prime: u8| {
        let prime = UBig::from(prime);
        let mut count = 0;
        while &rest % &prime == UBig::ZERO && count < 64 {
            rest /= &prime;
            count += 1;
        }
        count
    };
    let places = count(2).max(count(5));
    (rest == UBig::ONE).then_some(places)
}
