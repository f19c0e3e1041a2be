//! Softmax of a row, and the log-probability and entropy that training needs of a row of logits.

use rayon::prelude::*;

use super::{
    parallel::PARALLEL_ELEMENTS,
    simd::{exp, fold, fused, largest, sum_by, vectorised},
};

/// Statistics of one row of logits and of its target, the token that followed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TokenStats {
    /// Log-probability of the target, in nats.
    pub log_prob: f32,
    /// Entropy of the distribution, in nats.
    pub entropy: f32,
    /// Logarithm of the sum of exponentials of the logits.
    log_sum: f32,
}

vectorised! {
    /// Replaces a row by its softmax and returns the logarithm of the sum of exponentials.
    pub fn softmax_in_place(row: &mut [f32]) -> f32 {
        let top = largest(row);
        for value in row.iter_mut() {
            *value = exp::<FMA>(*value - top);
        }
        let sum = sum_by(row, |value| value);
        let inverse = 1.0 / sum;
        for value in row.iter_mut() {
            *value *= inverse;
        }
        top + sum.ln()
    }
}

/// Replaces rows of logits (targets, vocabulary) by the gradient of each target's log-probability for them, `onehot(target) −
/// softmax`, and returns the statistics of each row.
pub fn token_stats(logits: &mut [f32], vocabulary: usize, targets: &[u32]) -> Vec<TokenStats> {
    let of_row = |(row, target): (&mut [f32], &u32)| stats(row, *target as usize);
    if logits.len() < PARALLEL_ELEMENTS {
        return logits.chunks_exact_mut(vocabulary).zip(targets).map(of_row).collect();
    }
    logits.par_chunks_exact_mut(vocabulary).zip(targets).map(of_row).collect()
}

vectorised! {
    fn stats(row: &mut [f32], target: usize) -> TokenStats {
        let top = largest(row);
        let shifted_target = row[target] - top;
        let mut sums = [0f32; 16];
        let mut weighted = [0f32; 16];
        let (chunks, rest) = row.as_chunks_mut::<16>();
        for chunk in chunks {
            for lane in 0..16 {
                let shifted = chunk[lane] - top;
                let weight = exp::<FMA>(shifted);
                chunk[lane] = weight;
                sums[lane] += weight;
                weighted[lane] = fused::<FMA>(weight, shifted, weighted[lane]);
            }
        }
        for (lane, value) in rest.iter_mut().enumerate() {
            let shifted = *value - top;
            *value = exp::<FMA>(shifted);
            sums[lane] += *value;
            weighted[lane] = fused::<FMA>(*value, shifted, weighted[lane]);
        }
        let sum = fold(sums);
        let inverse = 1.0 / sum;
        for value in row.iter_mut() {
            *value *= -inverse;
        }
        row[target] += 1.0;
        let log_sum = sum.ln();
        // H = log Σ − Σ p · logit, where the largest logit is subtracted from all.
        TokenStats {
            log_prob: shifted_target - log_sum,
            entropy: log_sum - fold(weighted) * inverse,
            log_sum: top + log_sum,
        }
    }
}

/// Replaces rows of logits (rows, vocabulary) by the gradient of each row's entropy for them, `−p (log p + H)`, given the
/// statistics of each row.
pub fn entropy_slopes(logits: &mut [f32], vocabulary: usize, stats: &[TokenStats]) {
    let of_row = |(row, stats): (&mut [f32], &TokenStats)| entropy_slopes_of_row(row, stats.log_sum, stats.entropy);
    if logits.len() < PARALLEL_ELEMENTS {
        logits.chunks_exact_mut(vocabulary).zip(stats).for_each(of_row);
    } else {
        logits.par_chunks_exact_mut(vocabulary).zip(stats).for_each(of_row);
    }
}

vectorised! {
    fn entropy_slopes_of_row(row: &mut [f32], log_sum: f32, entropy: f32) {
        for value in row.iter_mut() {
            let log_p = *value - log_sum;
            let p = exp::<FMA>(log_p);
            // A logit of minus infinity has probability 0, and no slope.
            *value = if p > 0.0 { -p * (log_p + entropy) } else { 0.0 };
        }
    }
}
