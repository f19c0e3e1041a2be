//! The estimators and their tables.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use alft_sdk::estimate::{Estimator, PlugIn};
use alft_sdk::math;
use serde::Serialize;

use super::cache::{self, Key};
use super::error::Error;
use super::program::SolveError;
use super::{minimax, polynomial, variance};

/// The group sizes K that have tables. A sample of a group of one has no others. Beyond 64 the programs gain little over
/// [`EstimatorKind::Harmonic`] for their cost.
pub const SIZES: std::ops::RangeInclusive<u32> = 2..=64;

/// An estimator, with its options.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum EstimatorKind {
    /// −log p by T\[n\] = −log((n + 1)/K), which counts the sample itself. GRPO code commonly has it.
    PlugIn,
    /// p by T\[n\] = n/(K − 1), unbiased.
    LeaveOneOut,
    /// −log p by T\[n\] = ψ(K) − ψ(n + 1) = Σ_{j=n+1}^{K−1} 1/j.
    Harmonic,
    /// p^j by T\[n\] = (n)_j/(K − 1)_j, unbiased.
    UStatistic {
        /// j, from 1 to K − 1.
        order: u32,
    },
    /// −log p by the table of least worst bias, about 0.325/K². Entries grow tenfold with every four samples; the bound of
    /// 4·10⁶ on them is reached above K = 33.
    Minimax,
    /// −log p by the table of least worst second moment whose bias is at most c·0.325/K² and at most harmonic's.
    VarianceOptimal {
        /// c; by default 4 up to K = 32, and 8 above.
        bias_factor: Option<f64>,
    },
}

impl EstimatorKind {
    /// Every estimator, with its default options. The U-statistic's default order is 2.
    pub const ALL: [Self; 6] = [
        Self::PlugIn,
        Self::LeaveOneOut,
        Self::Harmonic,
        Self::UStatistic { order: 2 },
        Self::Minimax,
        Self::VarianceOptimal { bias_factor: None },
    ];

    /// Returns the estimator with another power to estimate. Fails for estimators without this option.
    pub fn with_order(self, order: u32) -> Result<Self, Error> {
        match self {
            Self::UStatistic { .. } => Ok(Self::UStatistic { order }),
            kind => Err(Error::Option { name: kind.to_string(), option: "order" }),
        }
    }

    /// Returns the estimator with another bound on its bias. Fails for estimators without this option.
    pub fn with_bias_factor(self, bias_factor: f64) -> Result<Self, Error> {
        match self {
            Self::VarianceOptimal { .. } => Ok(Self::VarianceOptimal { bias_factor: Some(bias_factor) }),
            kind => Err(Error::Option { name: kind.to_string(), option: "bias factor" }),
        }
    }

    /// Returns f(p), the function of p that is estimated.
    pub fn estimand(self, p: f64) -> f64 {
        match self {
            Self::PlugIn | Self::Harmonic | Self::Minimax | Self::VarianceOptimal { .. } => -math::ln(p),
            Self::LeaveOneOut => p,
            Self::UStatistic { order } => math::pow(p, f64::from(order)),
        }
    }

    /// Returns the table for groups of `size`. Entry n is the estimate for a sample whose answer n of the others share.
    pub fn table(self, size: u32) -> Result<Arc<[f64]>, Error> {
        if !SIZES.contains(&size) {
            return Err(Error::Size { size, sizes: SIZES });
        }
        let unsolved =
            |hint: String| move |source: SolveError| Error::Unsolved { name: self.to_string(), size, hint, source };
        match self {
            Self::PlugIn => Ok((1..=size).map(|count| PlugIn.surprisal(count, size)).collect()),
            Self::LeaveOneOut => Self::UStatistic { order: 1 }.table(size),
            Self::Harmonic => Ok(polynomial::harmonic(size).into()),
            Self::UStatistic { order } => u_statistic(order, size),
            Self::Minimax => cache::table(Key::Minimax(size), || minimax::table(size).map_err(unsolved(String::new()))),
            Self::VarianceOptimal { bias_factor } => {
                let factor = bias_factor.unwrap_or_else(|| variance::default_bias_factor(size));
                if !(factor > 0.0 && factor.is_finite()) {
                    return Err(Error::BiasFactor(factor));
                }
                let key = Key::VarianceOptimal(size, factor.to_bits());
                let hint = format!("; the bias factor {factor} may be too small");
                cache::table(key, || variance::table(size, factor).map_err(unsolved(hint)))
            }
        }
    }
}

/// Returns the table (n)_j/(M)_j of the U-statistic of order j.
fn u_statistic(order: u32, size: u32) -> Result<Arc<[f64]>, Error> {
    let others = size - 1;
    if !(1..=others).contains(&order) {
        return Err(Error::Order { order, size });
    }
    let falling = |n: u32| (0..order).map(|i| f64::from(n.saturating_sub(i)) / f64::from(others - i)).product();
    Ok((0..size).map(falling).collect())
}

/// Writes the name, without options.
impl fmt::Display for EstimatorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::PlugIn => "plug-in",
            Self::LeaveOneOut => "leave-one-out",
            Self::Harmonic => "harmonic",
            Self::UStatistic { .. } => "u-statistic",
            Self::Minimax => "minimax",
            Self::VarianceOptimal { .. } => "variance-optimal",
        })
    }
}

/// Parses a name, and sets the default options.
impl FromStr for EstimatorKind {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        let named = Self::ALL.into_iter().find(|kind| kind.to_string() == name);
        named.ok_or_else(|| Error::Unknown { name: name.to_owned(), choices: names(Self::ALL) })
    }
}

/// Returns the names of estimators, separated by commas.
pub(super) fn names(estimators: impl IntoIterator<Item: ToString>) -> String {
    estimators.into_iter().map(|estimator| estimator.to_string()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::estimator::polynomial::{Point, moment};
    use proptest::prelude::*;

    #[test]
    fn small_tables_equal_their_formulas() {
        let table = |kind: EstimatorKind| kind.table(4).unwrap().to_vec();
        assert_eq!(table(EstimatorKind::LeaveOneOut), [0.0, 1.0 / 3.0, 2.0 / 3.0, 1.0]);
        assert_eq!(table(EstimatorKind::UStatistic { order: 2 }), [0.0, 0.0, 1.0 / 3.0, 1.0]);
        let harmonic = table(EstimatorKind::Harmonic);
        assert!(harmonic.iter().zip([11.0 / 6.0, 5.0 / 6.0, 1.0 / 3.0, 0.0]).all(|(a, b)| (a - b).abs() < 1e-15));
        assert_eq!(table(EstimatorKind::PlugIn)[3], 0.0);
    }

    #[test]
    fn tables_are_finite_and_those_with_a_formula_monotone() {
        for size in [2, 5, 16, 33, 64] {
            for kind in EstimatorKind::ALL {
                let Ok(table) = kind.table(size) else {
                    assert_eq!((kind, size), (EstimatorKind::UStatistic { order: 2 }, 2), "its order is above 1");
                    continue;
                };
                assert_eq!(table.len(), size as usize);
                assert!(table.iter().all(|entry| entry.abs() <= 1.001 * minimax::LARGEST), "{kind} at {size}");
                match kind {
                    EstimatorKind::PlugIn | EstimatorKind::Harmonic => assert!(table.is_sorted_by(|a, b| a > b)),
                    EstimatorKind::LeaveOneOut | EstimatorKind::UStatistic { .. } => assert!(table.is_sorted()),
                    EstimatorKind::Minimax | EstimatorKind::VarianceOptimal { .. } => {}
                }
            }
        }
    }

    #[test]
    fn solving_again_gives_the_same_bits() {
        for size in [2, 7, 24, 40] {
            assert_eq!(minimax::table(size), minimax::table(size));
            assert_eq!(variance::table(size, 4.0), variance::table(size, 4.0));
        }
    }

    #[test]
    fn threads_share_one_table() {
        let tables: Vec<Arc<[f64]>> = std::thread::scope(|scope| {
            let ask = || EstimatorKind::Minimax.table(13).unwrap();
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(ask)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(tables.iter().all(|table| Arc::ptr_eq(table, &tables[0])));
    }

    #[test]
    fn arguments_without_a_table_are_errors() {
        let error = |kind: EstimatorKind, size| kind.table(size).unwrap_err();
        for kind in EstimatorKind::ALL {
            for size in [0, 1, 65] {
                assert_eq!(error(kind, size), Error::Size { size, sizes: SIZES });
            }
        }
        for order in [0, 8] {
            assert_eq!(error(EstimatorKind::UStatistic { order }, 8), Error::Order { order, size: 8 });
        }
        let bound = |factor| EstimatorKind::VarianceOptimal { bias_factor: Some(factor) };
        assert_eq!(error(bound(0.0), 8), Error::BiasFactor(0.0));
        assert!(matches!(error(bound(f64::NAN), 8), Error::BiasFactor(_)));
        for size in [2, 8, 64] {
            let message = error(bound(0.5), size).to_string();
            assert!(message.ends_with("; the bias factor 0.5 may be too small"), "{message}");
        }
    }

    #[test]
    fn estimators_are_parsed_by_name_and_have_their_own_options() {
        for kind in EstimatorKind::ALL {
            assert_eq!(kind.to_string().parse(), Ok(kind));
            assert_eq!(serde_json::to_value(kind).unwrap()["kind"], kind.to_string());
        }
        assert_eq!(
            "median".parse::<EstimatorKind>().unwrap_err().to_string(),
            "there is no estimator \"median\"; there are plug-in, leave-one-out, harmonic, u-statistic, minimax, \
             variance-optimal"
        );
        let kind = |name: &str| name.parse::<EstimatorKind>().unwrap();
        assert_eq!(kind("u-statistic").with_order(3), Ok(EstimatorKind::UStatistic { order: 3 }));
        assert_eq!(kind("minimax").with_order(3).unwrap_err().to_string(), "\"minimax\" has no order");
        assert_eq!(
            kind("variance-optimal").with_bias_factor(6.0),
            Ok(EstimatorKind::VarianceOptimal { bias_factor: Some(6.0) })
        );
        assert_eq!(kind("harmonic").with_bias_factor(6.0).unwrap_err().to_string(), "\"harmonic\" has no bias factor");
    }

    proptest! {
        #[test]
        fn u_statistics_are_unbiased(size in SIZES, order in 1..64u32, p in 0.0..=1.0f64) {
            let order = order.min(size - 1);
            let kind = EstimatorKind::UStatistic { order };
            let at = Point { p, q: 1.0 - p };
            prop_assert!((moment(&kind.table(size).unwrap(), at, 1) - kind.estimand(p)).abs() < 1e-12);
        }
    }
}
