//! The maxima of a function of p over (0, 1].

use std::f64::consts::PI;

use super::polynomial::Point;

/// The number of steps of the scan for each sample of the group. The functions here have about one maximum for each sample.
const STEPS: u32 = 32;

/// Returns the local maxima of `f`, which is 0 at p = 0, with their values. They are bracketed by equal steps of the angle and
/// then refined.
pub(super) fn local(size: u32, f: impl Fn(Point) -> f64) -> Vec<(Point, f64)> {
    let step = PI / f64::from(STEPS * size);
    let values: Vec<f64> =
        (0..=STEPS * size).map(|i| if i == 0 { 0.0 } else { f(Point::at(f64::from(i) * step)) }).collect();
    (1..values.len())
        .filter(|&i| values[i] > values[i - 1] && values.get(i + 1).is_none_or(|next| values[i] >= *next))
        .map(|i| {
            let angle = refined(i as f64 * step - step, (i as f64 * step + step).min(PI), |angle| f(Point::at(angle)));
            let inner = (Point::at(angle), f(Point::at(angle)));
            // The search approaches the end of the interval, p = 1, but never evaluates it.
            if inner.1 >= values[i] { inner } else { (Point::at(i as f64 * step), values[i]) }
        })
        .collect()
}

/// Returns the largest value of `f` over all p.
pub(super) fn highest(size: u32, f: impl Fn(Point) -> f64) -> f64 {
    local(size, f).into_iter().map(|(_, value)| value).fold(0.0, f64::max)
}

/// Returns the maximum within a bracket, by golden-section search. Thirty sections leave 10⁻⁶ of the bracket, and so an error
/// of 10⁻¹² in the value.
fn refined(mut low: f64, mut high: f64, f: impl Fn(f64) -> f64) -> f64 {
    let ratio = (5f64.sqrt() - 1.0) / 2.0;
    let (mut left, mut right) = (high - ratio * (high - low), low + ratio * (high - low));
    let (mut at_left, mut at_right) = (f(left), f(right));
    for _ in 0..30 {
        if at_left > at_right {
            (high, right, at_right) = (right, left, at_left);
            left = high - ratio * (high - low);
            at_left = f(left);
        } else {
            (low, left, at_left) = (left, right, at_right);
            right = low + ratio * (high - low);
            at_right = f(right);
        }
    }
    (low + high) / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maxima_are_found_inside_and_at_the_end() {
        let inside = local(2, |at| at.p * at.q);
        assert!(inside.len() == 1 && (inside[0].0.p - 0.5).abs() < 1e-6 && (inside[0].1 - 0.25).abs() < 1e-12);
        assert_eq!(highest(2, |at| at.p), 1.0);
        assert!(local(2, |_| 0.0).is_empty());
    }
}
