//! The step of a projected Newton method: a quadratic program over prices that stay at 0 or above.

use clarabel::algebra::CscMatrix;
use clarabel::solver::{DefaultSettings, DefaultSolver, IPSolver, SolverStatus, SupportedConeT};

/// Added to the diagonal, relative to its largest entry: constraints that say the same share their price.
const RIDGE: f64 = 1e-11;

/// Curvatures below this, in units, are noise.
const FLAT: f64 = 1e-9;

/// The step d that minimises ½ dᵀ H d − vᵀ d under prices + d ≥ 0. `None` where there is nothing to solve.
///
/// `units` are the sizes that prices are thought in; the program is solved in them.
pub(super) fn step(slopes: &[Vec<f64>], violations: &[f64], prices: &[f64], units: &[f64]) -> Option<Vec<f64>> {
    let n = prices.len();
    let entry = |i: usize, j: usize| 0.5 * (slopes[i][j] + slopes[j][i]) * units[i] * units[j];
    let largest = (0..n).map(|i| entry(i, i)).fold(0.0, f64::max);
    if !(largest.is_finite() && largest > FLAT) {
        return None;
    }
    let upper: Vec<(usize, usize)> = (0..n).flat_map(|j| (0..=j).map(move |i| (i, j))).collect();
    let value = |(i, j): &(usize, usize)| entry(*i, *j) / largest + if i == j { RIDGE } else { 0.0 };
    let (rows, columns) = upper.iter().copied().unzip();
    let curvature = CscMatrix::new_from_triplets(n, n, rows, columns, upper.iter().map(value).collect());
    let slope: Vec<f64> = (0..n).map(|i| -violations[i] * units[i] / largest).collect();
    // Near the end the slopes are tiny: scaled up, the solver's tolerances are relative to them.
    let scale = slope.iter().fold(0.0f64, |most, s| most.max(s.abs()));
    if !(scale.is_finite() && scale > 0.0) {
        return None;
    }
    let slope: Vec<f64> = slope.iter().map(|s| s / scale).collect();
    let least = CscMatrix::new_from_triplets(n, n, (0..n).collect(), (0..n).collect(), vec![-1.0; n]);
    let bounds: Vec<f64> = prices.iter().zip(units).map(|(price, unit)| price / unit / scale).collect();
    let settings = DefaultSettings { verbose: false, ..DefaultSettings::default() };
    let cones = [SupportedConeT::NonnegativeConeT(n)];
    let mut solver = DefaultSolver::new(&curvature, &slope, &least, &bounds, &cones, settings).ok()?;
    solver.solve();
    let usable = matches!(solver.solution.status, SolverStatus::Solved | SolverStatus::AlmostSolved);
    usable.then(|| solver.solution.x.iter().zip(units).map(|(x, unit)| x * unit * scale).collect())
}

#[cfg(test)]
mod tests {
    use super::step;

    #[test]
    fn prices_do_not_fall_below_zero() {
        let identity = [vec![1.0, 0.0], vec![0.0, 1.0]];
        let d = step(&identity, &[0.5, -3.0], &[0.0, 1.0], &[1.0, 1.0]).unwrap();
        assert!((d[0] - 0.5).abs() < 1e-6 && (d[1] + 1.0).abs() < 1e-6, "{d:?}");
    }
}
