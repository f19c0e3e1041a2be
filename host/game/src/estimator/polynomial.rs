//! Expectations over n ~ Binomial(M, p): polynomials of degree M in p, in the Bernstein basis.

use alft_sdk::math;

/// A probability p and q = 1 − p, both to full precision.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Point {
    pub(super) p: f64,
    pub(super) q: f64,
}

impl Point {
    /// Returns the point p = sin²(angle/2) for an angle from 0 to π. Polynomials oscillate evenly in the angle, so equal
    /// steps of it are dense in p where they need to be: near 0 and near 1.
    pub(super) fn at(angle: f64) -> Self {
        let (sin, cos) = (angle / 2.0).sin_cos();
        Self { p: sin * sin, q: cos * cos }
    }

    /// Returns the values of the Chebyshev polynomials T_0..T_degree at 2p − 1.
    pub(super) fn chebyshev(self, degree: u32) -> Vec<f64> {
        let x = self.p - self.q;
        let mut values = vec![1.0, x];
        for l in 2..=degree as usize {
            values.push(2.0 * x * values[l - 1] - values[l - 2]);
        }
        values.truncate(degree as usize + 1);
        values
    }

    /// Returns the binomial probability of each n = 0..=trials.
    pub(super) fn binomial(self, trials: u32) -> Vec<f64> {
        let mut choose = 1.0;
        (0..=trials)
            .map(|n| {
                let weight = choose * self.p.powi(n as i32) * self.q.powi((trials - n) as i32);
                choose *= f64::from(trials - n) / f64::from(n + 1);
                weight
            })
            .collect()
    }
}

/// Returns Σ weights·values.
fn dot(weights: &[f64], values: impl IntoIterator<Item = f64>) -> f64 {
    weights.iter().zip(values).map(|(weight, value)| weight * value).sum()
}

/// Returns E T^power.
pub(super) fn moment(table: &[f64], at: Point, power: i32) -> f64 {
    dot(&at.binomial(table.len() as u32 - 1), table.iter().map(|entry| entry.powi(power)))
}

/// Returns the bias p·|E T + log p|.
pub(super) fn surprisal_bias(table: &[f64], at: Point) -> f64 {
    (at.p * (moment(table, at, 1) + math::ln(at.p))).abs()
}

/// Returns the harmonic table, T[n] = Σ_{j=n+1}^{K−1} 1/j for n = 0..K−1.
pub(super) fn harmonic(size: u32) -> Vec<f64> {
    (0..size).map(|n| (n + 1..size).map(|j| 1.0 / f64::from(j)).sum()).collect()
}

/// Returns the bias p·(E T + log p) of the harmonic table, −p Σ_{j≥K} (1 − p)^j/j. It is computed as log p plus the first
/// K − 1 terms of the series, exact to the last bits of the larger.
pub(super) fn harmonic_bias(size: u32, at: Point) -> f64 {
    let mut power = 1.0;
    let terms = (1..size).map(|j| {
        power *= at.q;
        power / f64::from(j)
    });
    at.p * (terms.sum::<f64>() + math::ln(at.p))
}

/// Returns the Bernstein coefficients of degree M ≤ 63 of the Chebyshev polynomials T_0..T_M of 2p − 1. Row l is T_l.
///
/// Coefficient n of T_l is Σ_j (−1)^(l−j) C(2l, 2j) C(M − l, n − j)/C(M, n). The terms nearly cancel, so they are summed as
/// integers, which are below 2^(M + l).
pub(super) fn chebyshev_in_bernstein(degree: u32) -> Vec<Vec<f64>> {
    let degree = degree as usize;
    let choose = pascal(2 * degree);
    let sum = |l: usize, n: usize| -> i128 {
        let inside = n.saturating_sub(degree - l)..=n.min(l);
        inside
            .map(|j| if (l - j).is_multiple_of(2) { 1 } else { -1 } * choose[2 * l][2 * j] * choose[degree - l][n - j])
            .sum()
    };
    (0..=degree).map(|l| (0..=degree).map(|n| sum(l, n) as f64 / choose[degree][n] as f64).collect()).collect()
}

/// Returns C(n, k) for n = 0..=most.
fn pascal(most: usize) -> Vec<Vec<i128>> {
    let mut rows = vec![vec![1]];
    for n in 1..=most {
        let above: &Vec<i128> = &rows[n - 1];
        let inner = above.windows(2).map(|pair| pair[0] + pair[1]);
        let row = [1].into_iter().chain(inner).chain([1]).collect();
        rows.push(row);
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::f64::consts::PI;

    #[test]
    fn the_chebyshev_and_bernstein_bases_agree() {
        let rows = chebyshev_in_bernstein(7);
        for i in 0..=20 {
            let at = Point::at(PI * f64::from(i) / 20.0);
            let weights = at.binomial(7);
            for (row, value) in rows.iter().zip(at.chebyshev(7)) {
                assert!((dot(&weights, row.iter().copied()) - value).abs() < 1e-11, "{at:?}");
            }
        }
    }

    #[test]
    fn the_harmonic_bias_is_the_bias_of_the_harmonic_table_and_never_above_0() {
        for size in [2, 9, 64] {
            for angle in [0.01, 0.5, 1.5, 3.0, PI] {
                let at = Point::at(angle);
                assert!((surprisal_bias(&harmonic(size), at) + harmonic_bias(size, at)).abs() < 1e-14);
            }
        }
    }
}
