//! The quality of a table: its bias and second moment at the worst p.

use serde::Serialize;

use super::error::Error;
use super::kind::EstimatorKind;
use super::maxima;
use super::polynomial::moment;

/// A table and its worst bias and second moment.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// T\[n\] for n = 0..K−1.
    pub table: Vec<f64>,
    /// sup_p p·|E T − f(p)|.
    pub sup_weighted_bias: f64,
    /// max_p p·E T².
    pub max_weighted_second_moment: f64,
}

impl Report {
    /// Returns the report on an estimator's table for groups of `size`.
    pub fn of(kind: EstimatorKind, size: u32) -> Result<Self, Error> {
        let table = kind.table(size)?.to_vec();
        let sup_weighted_bias = maxima::highest(size, |at| at.p * (moment(&table, at, 1) - kind.estimand(at.p)).abs());
        let max_weighted_second_moment = maxima::highest(size, |at| at.p * moment(&table, at, 2));
        Ok(Self { table, sup_weighted_bias, max_weighted_second_moment })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::estimator::SIZES;
    use crate::estimator::polynomial::{Point, surprisal_bias};

    const VARIANCE_OPTIMAL: EstimatorKind = EstimatorKind::VarianceOptimal { bias_factor: None };

    fn bias(kind: EstimatorKind, size: u32) -> f64 {
        Report::of(kind, size).unwrap().sup_weighted_bias
    }

    /// The figures were computed by an independent program, to the digits given here.
    #[test]
    fn worst_biases_equal_known_figures() {
        let known = [
            (EstimatorKind::PlugIn, [0.21692, 0.12165, 0.06554, 0.03430, 0.01760], 5e-6),
            (EstimatorKind::Harmonic, [0.16190, 0.07553, 0.03645, 0.01791, 0.00887], 5e-6),
            (EstimatorKind::Minimax, [0.0772, 0.0200, 0.0051, 0.0013, 0.0003], 5e-5),
        ];
        for (kind, biases, half_a_unit) in known {
            for (size, known) in [2, 4, 8, 16, 32].into_iter().zip(biases) {
                let bias = bias(kind, size);
                assert!((bias - known).abs() < half_a_unit, "{kind} at {size}: {bias}");
            }
        }
    }

    /// For K = 2 a table T = (a, b) has E T = a + (b − a) p, and the best one attains its worst bias at three p.
    #[test]
    fn minimax_is_within_its_tolerance_of_the_optimum() {
        let table = EstimatorKind::Minimax.table(2).unwrap();
        let weighted = |p: f64| p * (table[0] * (1.0 - p) + table[1] * p + p.ln());
        let scan: Vec<f64> = (1..=100_000).map(|i| weighted(f64::from(i) / 1e5)).collect();
        let (low, high) = scan.iter().fold((0.0f64, 0.0f64), |(low, high), w| (low.min(*w), high.max(*w)));
        let end = weighted(1.0).abs();
        assert!((high + low).abs() < 1e-4 && (end - high).abs() < 1e-4, "{low} {high} {end}");
    }

    #[test]
    fn minimax_falls_as_the_square_of_the_size_until_its_entries_are_bounded() {
        for size in SIZES {
            let scaled = bias(EstimatorKind::Minimax, size) * f64::from(size * size);
            let most = if size <= 33 { 0.3252 } else { 0.54 };
            assert!((0.308..most).contains(&scaled), "{scaled} at {size}");
        }
    }

    #[test]
    fn variance_optimal_keeps_its_bound_between_the_points_of_its_program() {
        for size in SIZES {
            let report = Report::of(VARIANCE_OPTIMAL, size).unwrap();
            let (factor, most) = if size <= 32 { (4.0, 0.7) } else { (8.0, 0.57) };
            let limit = factor * 0.325 / f64::from(size * size);
            assert!(report.sup_weighted_bias <= limit, "{} at {size}", report.sup_weighted_bias);
            assert!(
                report.sup_weighted_bias <= bias(EstimatorKind::Harmonic, size),
                "no worse than harmonic at {size}"
            );
            assert!(report.max_weighted_second_moment < most, "{} at {size}", report.max_weighted_second_moment);
            // A scan by equal and geometric steps is independent of the search that the program and the report share.
            for p in (1..=1500).map(|i| f64::from(i) / 1500.0).chain((1..=500).map(|i| (-0.03 * f64::from(i)).exp())) {
                assert!(surprisal_bias(&report.table, Point { p, q: 1.0 - p }) <= limit, "{p} at {size}");
            }
        }
    }

    #[test]
    fn worst_second_moments_equal_known_figures() {
        for (size, known) in [(16, 0.65), (24, 0.63), (32, 0.68), (48, 0.56), (64, 0.56)] {
            let moment = Report::of(VARIANCE_OPTIMAL, size).unwrap().max_weighted_second_moment;
            assert!((moment - known).abs() < 5e-3, "{moment} at {size}");
            let harmonic = Report::of(EstimatorKind::Harmonic, size).unwrap().max_weighted_second_moment;
            assert!((0.55..0.59).contains(&harmonic), "{harmonic} at {size}");
        }
        let low_bias = EstimatorKind::VarianceOptimal { bias_factor: Some(2.0) };
        let moment = |size| Report::of(low_bias, size).unwrap().max_weighted_second_moment;
        assert!((moment(16) - 0.93).abs() < 1e-2 && moment(32) > 80.0);
    }

    #[test]
    fn unbiased_estimators_have_no_bias() {
        for size in [2, 9, 64] {
            assert!(bias(EstimatorKind::LeaveOneOut, size) < 1e-12);
            for order in [1, size / 2, size - 1] {
                assert!(bias(EstimatorKind::UStatistic { order }, size) < 1e-12, "order {order} at {size}");
            }
        }
    }
}
