//! The exchange method for programs with constraints at every p: solve with the constraints at some points, add the points
//! where the solution violates them most, and repeat.

use std::f64::consts::PI;

use super::polynomial::Point;
use super::program::SolveError;

/// The largest violation of a constraint, relative to it, at the worst p.
pub(super) const TOLERANCE: f64 = 3e-4;

/// The number of points at the start, for each sample of the group.
const POINTS: u32 = 6;

/// The number of rounds after which to give up. All group sizes take fewer than eight, and most three.
const ROUNDS: u32 = 16;

/// Calls `solve` until `violated` returns no point for its solution.
pub(super) fn solve<S>(
    size: u32,
    solve: impl Fn(&[Point]) -> Result<S, SolveError>,
    violated: impl Fn(&S) -> Vec<Point>,
) -> Result<S, SolveError> {
    let steps = POINTS * size;
    let mut points: Vec<Point> = (1..=steps).map(|i| Point::at(PI * f64::from(i) / f64::from(steps))).collect();
    for _ in 0..ROUNDS {
        let solution = solve(&points)?;
        let more = violated(&solution);
        if more.is_empty() {
            return Ok(solution);
        }
        points.extend(more);
    }
    Err(SolveError::NotConverged)
}
