//! Anderson acceleration of a fixed-point iteration (type II): extrapolates, from the changes of the residual in the last
//! steps, the step that removes the residual. Source: Walker, Ni, *Anderson Acceleration for Fixed-Point Iterations*, SIAM
//! J. Numer. Anal. 49 (2011).

use std::collections::VecDeque;

use super::cholesky;

/// The number of steps that are kept. A game of the usual size has a few dozen unknowns.
const MEMORY: usize = 24;

/// The number added to the diagonal of the normal equations, whose entries are 1. It keeps steps that are linearly dependent
/// from cancelling each other.
const RIDGE: f64 = 1e-14;

/// The last steps x' − x, each with the change of the residual r' − r.
#[derive(Debug, Default)]
pub struct Anderson {
    steps: VecDeque<(Vec<f64>, Vec<f64>)>,
}

impl Anderson {
    /// Adds a step, in place of the oldest one if there are too many.
    pub fn push(&mut self, step: Vec<f64>, change: Vec<f64>) {
        if self.steps.len() == MEMORY {
            self.steps.pop_front();
        }
        self.steps.push_back((step, change));
    }

    /// Removes all steps.
    pub fn clear(&mut self) {
        self.steps.clear();
    }

    /// Returns the step to take at residual r in place of rate · r: rate · r − (ΔX + rate ΔR) γ, where γ is the least squares
    /// solution of ΔR γ = r under `weights`. Returns `None` if there are no steps or the equations have no solution.
    pub fn step(&self, residual: &[f64], weights: &[f64], rate: f64) -> Option<Vec<f64>> {
        let k = self.steps.len();
        if k == 0 {
            return None;
        }
        let dot =
            |a: &[f64], b: &[f64]| -> f64 { a.iter().zip(b).zip(weights).map(|((a, b), weight)| weight * a * b).sum() };
        let mut normal: Vec<Vec<f64>> =
            self.steps.iter().map(|(_, a)| self.steps.iter().map(|(_, b)| dot(a, b)).collect()).collect();
        // Steps shrink as the iteration converges. Scaled to unit length, small ones count as much as large ones.
        let scales: Vec<f64> = (0..k).map(|i| normal[i][i].sqrt()).collect();
        if !scales.iter().all(|scale| *scale > 0.0 && scale.is_finite()) {
            return None;
        }
        for (i, row) in normal.iter_mut().enumerate() {
            row.iter_mut().zip(&scales).for_each(|(entry, scale)| *entry /= scale * scales[i]);
            row[i] += RIDGE;
        }
        let right: Vec<f64> = self.steps.iter().zip(&scales).map(|((_, c), s)| dot(c, residual) / s).collect();
        let gamma = cholesky::solve(normal, right)?;
        let mut out: Vec<f64> = residual.iter().map(|r| rate * r).collect();
        for ((step, change), (gamma, scale)) in self.steps.iter().zip(gamma.iter().zip(&scales)) {
            let moved = step.iter().zip(change);
            out.iter_mut().zip(moved).for_each(|(out, (dx, dr))| *out -= (dx + rate * dr) * gamma / scale);
        }
        out.iter().all(|value| value.is_finite()).then_some(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// For r(x) = b − A x in two unknowns, two steps determine A.
    #[test]
    fn a_linear_residual_is_removed_once_the_steps_span_the_space() {
        let residual = |x: &[f64]| vec![1.0 - 3.0 * x[0] - x[1], 2.0 - x[0] - 50.0 * x[1]];
        let mut anderson = Anderson::default();
        let mut x = vec![0.0, 0.0];
        let mut r = residual(&x);
        for _ in 0..4 {
            let step = anderson.step(&r, &[1.0, 1.0], 0.01).unwrap_or_else(|| r.iter().map(|r| 0.01 * r).collect());
            x.iter_mut().zip(&step).for_each(|(x, s)| *x += s);
            let now = residual(&x);
            anderson.push(step, now.iter().zip(&r).map(|(a, b)| a - b).collect());
            r = now;
        }
        assert!(r.iter().all(|r| r.abs() < 1e-10), "{r:?}");
    }
}
