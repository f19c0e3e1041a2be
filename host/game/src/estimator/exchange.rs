//! Constraints at every p, by constraints at some: solve, add the points where the solution breaks them worst, repeat.

use std::f64::consts::PI;

use super::polynomial::Point;

/// How far above its constraint, as a part of it, a solution may be at the worst p.
pub(super) const TOLERANCE: f64 = 3e-4;

/// Points a sample at the start, and how often they are added to: three times or so, and never yet eight.
const POINTS: u32 = 6;
const ROUNDS: u32 = 16;

/// Solves until `broken` names no point.
pub(super) fn solve<S>(
    size: u32,
    solve: impl Fn(&[Point]) -> Result<S, String>,
    broken: impl Fn(&S) -> Vec<Point>,
) -> Result<S, String> {
    let steps = POINTS * size;
    let mut points: Vec<Point> = (1..=steps).map(|i| Point::at(PI * f64::from(i) / f64::from(steps))).collect();
    for _ in 0..ROUNDS {
        let solution = solve(&points)?;
        let more = broken(&solution);
        if more.is_empty() {
            return Ok(solution);
        }
        points.extend(more);
    }
    Err("its constraints still break between the points they are set at".into())
}
