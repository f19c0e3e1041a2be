//! The table of least worst second moment among those of little bias: minimises max_p p·E T² subject to
//! sup_p p·|E T + log p| ≤ c·0.325/K².
//!
//! The variables are the deviations from the harmonic table and bounds s_n on the squares T[n]². With these, the bias and
//! the second moment are linear at every p.

use super::exchange::{self, TOLERANCE};
use super::maxima;
use super::polynomial::{Point, harmonic, harmonic_bias, moment, surprisal_bias};
use super::program::{Limit, Program, SolveError};

/// K² times the least worst bias of any table, for K of 8 and above.
const LEAST: f64 = 0.325;

/// The weight of the second moment's mean over p in the cost, beside its maximum. The maximum alone does not determine the
/// moment at other p, and so admits tables with needlessly large entries. The mean excludes those, and raises the maximum
/// by a part in three thousand.
const MEAN: f64 = 0.01;

struct Solution {
    table: Vec<f64>,
    moment: f64,
}

/// Returns the default of c. The harmonic table's second moment is 0.58 at most. Up to K = 32 the one for c = 4 is 0.68 at
/// most, where that for c = 2 would be 100. Above K = 32, c = 8 costs next to nothing.
pub(super) fn default_bias_factor(size: u32) -> f64 {
    if size <= 32 { 4.0 } else { 8.0 }
}

/// Returns the bound on the bias. It is never above the harmonic table's bias: otherwise a table of zeros would do at K = 2
/// for c = 4.
fn limit(size: u32, bias_factor: f64) -> f64 {
    let harmonic = maxima::highest(size, |at| harmonic_bias(size, at).abs());
    (bias_factor * LEAST / f64::from(size * size)).min(harmonic)
}

/// Returns the table for groups of `size`.
pub(super) fn table(size: u32, bias_factor: f64) -> Result<Vec<f64>, SolveError> {
    let limit = limit(size, bias_factor);
    let violated = |solution: &Solution| {
        let biased = maxima::local(size, |at| surprisal_bias(&solution.table, at));
        let noisy = maxima::local(size, |at| at.p * moment(&solution.table, at, 2));
        let biased = biased.into_iter().filter(|(_, bias)| *bias > limit);
        let noisy = noisy.into_iter().filter(|(_, moment)| *moment > solution.moment * (1.0 + TOLERANCE));
        biased.chain(noisy).map(|(at, _)| at).collect()
    };
    // The program's limit is a little lower, so that the bias between the points is within the limit.
    let solution = exchange::solve(size, |points| solve(size, limit * (1.0 - TOLERANCE), points), violated)?;
    Ok(solution.table)
}

/// Solves the program with constraints at the given points. The bias is scaled by K², so that the solver sees numbers near 1.
fn solve(size: u32, limit: f64, points: &[Point]) -> Result<Solution, SolveError> {
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
