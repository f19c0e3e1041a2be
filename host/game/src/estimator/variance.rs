//! The table with the least worst second moment among those of little bias: minimise max_p p·E T² subject to
//! sup_p p·|E T + log p| ≤ c·0.325/K².
//!
//! Unknown are the deviations from the harmonic table and bounds s_n on the squares T[n]²: with those both constraints are
//! linear in every p.

use super::exchange::{self, TOLERANCE};
use super::maxima;
use super::polynomial::{Point, harmonic, harmonic_bias, moment, surprisal_bias};
use super::program::{Limit, Program};

/// K² times the least worst bias that any table has, from K = 8 on.
const LEAST: f64 = 0.325;

/// Weight of the second moment's mean over p beside its maximum. The maximum leaves open what happens at other p, and
/// wild tables as good as tame ones; this picks the tame for a part in three thousand of the maximum.
const MEAN: f64 = 0.01;

struct Solution {
    table: Vec<f64>,
    moment: f64,
}

/// c when nothing is said. Harmonic's second moment is 0.58 at most; up to K = 32 a c of 4 has 0.68 at most, and 2 would
/// have 100. Above, 8 costs next to nothing.
pub(super) fn default_bias_factor(size: u32) -> f64 {
    if size <= 32 { 4.0 } else { 8.0 }
}

/// The bound on the bias: never above the harmonic table's own, as a table of zeros would do at K = 2 for c = 4.
fn limit(size: u32, bias_factor: f64) -> f64 {
    let harmonic = maxima::highest(size, |at| harmonic_bias(size, at).abs());
    (bias_factor * LEAST / f64::from(size * size)).min(harmonic)
}

/// The table, or why there is none.
pub(super) fn table(size: u32, bias_factor: f64) -> Result<Vec<f64>, String> {
    let limit = limit(size, bias_factor);
    let broken = |solution: &Solution| {
        let biased = maxima::local(size, |at| surprisal_bias(&solution.table, at));
        let noisy = maxima::local(size, |at| at.p * moment(&solution.table, at, 2));
        let biased = biased.into_iter().filter(|(_, bias)| *bias > limit);
        let noisy = noisy.into_iter().filter(|(_, moment)| *moment > solution.moment * (1.0 + TOLERANCE));
        biased.chain(noisy).map(|(at, _)| at).collect()
    };
    // Aimed a little below, so that what the points miss stays within the limit.
    let solution = exchange::solve(size, |points| solve(size, limit * (1.0 - TOLERANCE), points), broken)?;
    Ok(solution.table)
}

/// At the given points. The bias is scaled by K², so that the solver sees numbers near 1.
fn solve(size: u32, limit: f64, points: &[Point]) -> Result<Solution, String> {
    let k = size as usize;
    let scale = f64::from(size * size);
    let start = harmonic(size);
    let worst = 2 * k;
    let mut program = Program::new(2 * k + 1);
    for at in points {
        let weights: Vec<f64> = at.binomial(size - 1).iter().map(|weight| at.p * weight).collect();
        let bias = weights.iter().enumerate().map(|(n, weight)| (n, scale * weight));
        program.magnitude_at_most(bias, scale * harmonic_bias(size, *at), Limit::Number(scale * limit));
        let second = weights.iter().enumerate().map(|(n, weight)| (k + n, *weight));
        program.at_most(second.chain([(worst, -1.0)]), 0.0);
    }
    for (n, start) in start.iter().enumerate() {
        program.square_at_most(n, *start, k + n);
    }
    // ∫ p·C(M, n) p^n q^(M−n) dp = (n + 1)/(K (K + 1)).
    let mean = (0..k).map(|n| (k + n, MEAN * (n + 1) as f64 / (k * (k + 1)) as f64));
    let x = program.minimize(mean.chain([(worst, 1.0)]))?;
    let table = start.iter().zip(&x).map(|(start, deviation)| start + deviation).collect();
    Ok(Solution { table, moment: x[worst] })
}
