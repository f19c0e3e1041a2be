//! The table of least worst bias: minimises sup_p p·|E T + log p|.
//!
//! The variables are the Chebyshev coefficients of the polynomial E T − E H, where H is the harmonic table. They are of the
//! order of the bias at every K, so the program is well conditioned. The entries of T are not: they grow tenfold with every
//! four samples, to 10² at K = 16 and 10⁶ at K = 32. Hence the bound [`LARGEST`] on them.

use super::exchange::{self, TOLERANCE};
use super::maxima;
use super::polynomial::{Point, chebyshev_in_bernstein, harmonic, harmonic_bias, surprisal_bias};
use super::program::{Limit, Program, SolveError};

/// The bound on |T[n]|. It keeps E T, a sum whose terms cancel, exact to 10⁻⁸. No entry reaches it up to K = 33. Above, it
/// costs some bias: 0.37/K² at K = 40 and 0.53/K² at K = 64, where 0.325/K² would be possible without it.
pub(super) const LARGEST: f64 = 4e6;

struct Solution {
    table: Vec<f64>,
    bias: f64,
}

/// Returns the table for groups of `size`.
pub(super) fn table(size: u32) -> Result<Vec<f64>, SolveError> {
    let rows = chebyshev_in_bernstein(size - 1);
    let solution = exchange::solve(
        size,
        |points| solve(size, &rows, points),
        |solution| {
            let maxima = maxima::local(size, |at| surprisal_bias(&solution.table, at));
            let limit = solution.bias * (1.0 + TOLERANCE);
            maxima.into_iter().filter(|(_, bias)| *bias > limit).map(|(at, _)| at).collect()
        },
    )?;
    Ok(solution.table)
}

/// Solves the program with constraints at the given points. Quantities of the order of the bias are scaled by K², so that the
/// solver sees numbers near 1.
fn solve(size: u32, rows: &[Vec<f64>], points: &[Point]) -> Result<Solution, SolveError> {
    let k = size as usize;
    let scale = f64::from(size * size);
    let start = harmonic(size);
    let worst = k;
    let mut program = Program::new(k + 1);
    for at in points {
        let terms: Vec<f64> = at.chebyshev(size - 1).iter().map(|value| at.p * value).collect();
        let bias = terms.iter().copied().enumerate();
        program.magnitude_at_most(bias, scale * harmonic_bias(size, *at), Limit::Variable(worst));
    }
    for (n, start) in start.iter().enumerate() {
        let entry = rows.iter().map(|row| row[n] / scale / LARGEST).enumerate();
        program.magnitude_at_most(entry, start / LARGEST, Limit::Number(1.0));
    }
    let x = program.minimize([(worst, 1.0)])?;
    let deviation = |n: usize| rows.iter().zip(&x).map(|(row, x)| row[n] * x).sum::<f64>() / scale;
    let table = start.iter().enumerate().map(|(n, start)| start + deviation(n)).collect();
    Ok(Solution { table, bias: x[worst] / scale })
}
