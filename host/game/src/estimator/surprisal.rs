//! The estimators of −log ν that a run can choose from.

use std::fmt;
use std::str::FromStr;

use alft_sdk::estimate::{Estimator, Harmonic, PlugIn};
use serde::{Deserialize, Serialize};

use super::error::Error;
use super::kind::{EstimatorKind, SIZES, names};

/// A run's estimator of −log ν: the run file's key `estimator`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", try_from = "String")]
pub enum SurprisalEstimator {
    /// −log of the answer's share.
    PlugIn,
    /// The harmonic table, with half of plug-in's bias.
    Harmonic,
    /// The least bias. For small groups only, because the second moment exceeds 2 at K = 8 and 5000 at K = 16.
    Minimax,
    /// Little bias at about harmonic's second moment, with the default bias factor. In games with known equilibria, training
    /// with this estimator ends closest to them: see `examples/estimators`.
    #[default]
    VarianceOptimal,
}

impl SurprisalEstimator {
    /// Every estimator of −log ν.
    pub const ALL: [Self; 4] = [Self::PlugIn, Self::Harmonic, Self::Minimax, Self::VarianceOptimal];

    /// Returns the estimator whose table is looked up.
    pub fn kind(self) -> EstimatorKind {
        match self {
            Self::PlugIn => EstimatorKind::PlugIn,
            Self::Harmonic => EstimatorKind::Harmonic,
            Self::Minimax => EstimatorKind::Minimax,
            Self::VarianceOptimal => EstimatorKind::VarianceOptimal { bias_factor: None },
        }
    }

    /// Solves the tables for groups of these sizes, so that a run does not wait for them, or fail, later. Sizes that have
    /// no tables are skipped.
    pub fn prepare(self, sizes: impl IntoIterator<Item = u32>) -> Result<(), Error> {
        sizes.into_iter().filter(|size| SIZES.contains(size)).try_for_each(|size| self.kind().table(size).map(drop))
    }
}

/// Looks estimates up in a table, up to the largest group size that has one. Above, as in the pooled groups of many
/// phrasings, minimax and variance-optimal give the harmonic estimate, whose bias is then below 0.005. They also do if a
/// table was not prepared and cannot be solved: more bias is better than the end of a run. The estimate for a group of one
/// is 0.
impl Estimator for SurprisalEstimator {
    fn surprisal(&self, count: u32, size: u32) -> f64 {
        match self {
            Self::PlugIn => PlugIn.surprisal(count, size),
            Self::Harmonic => Harmonic.surprisal(count, size),
            Self::Minimax | Self::VarianceOptimal => match self.kind().table(size) {
                Ok(table) => table[count as usize - 1],
                Err(_) => Harmonic.surprisal(count, size),
            },
        }
    }
}

/// Writes the name, as in a run file.
impl fmt::Display for SurprisalEstimator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind().fmt(f)
    }
}

impl FromStr for SurprisalEstimator {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        match name.parse() {
            Ok(EstimatorKind::PlugIn) => Ok(Self::PlugIn),
            Ok(EstimatorKind::Harmonic) => Ok(Self::Harmonic),
            Ok(EstimatorKind::Minimax) => Ok(Self::Minimax),
            Ok(EstimatorKind::VarianceOptimal { .. }) => Ok(Self::VarianceOptimal),
            Ok(kind @ (EstimatorKind::LeaveOneOut | EstimatorKind::UStatistic { .. })) => {
                Err(Error::NotSurprisal { name: kind.to_string(), choices: names(Self::ALL) })
            }
            Err(_) => Err(Error::Unknown { name: name.to_owned(), choices: names(Self::ALL) }),
        }
    }
}

impl TryFrom<String> for SurprisalEstimator {
    type Error = Error;

    fn try_from(name: String) -> Result<Self, Error> {
        name.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn estimates_are_looked_up_by_the_number_of_others_that_agree() {
        let table = EstimatorKind::Minimax.table(8).unwrap();
        SurprisalEstimator::Minimax.prepare([1, 8, 500]).unwrap();
        assert_eq!(SurprisalEstimator::Minimax.surprisal(1, 8), table[0]);
        assert_eq!(SurprisalEstimator::Minimax.surprisal(8, 8), table[7]);
        for estimator in SurprisalEstimator::ALL {
            assert_eq!(estimator.surprisal(1, 1), 0.0);
            for count in 1..=6 {
                let entry = estimator.kind().table(6).unwrap()[count as usize - 1];
                assert!((estimator.surprisal(count, 6) - entry).abs() < 1e-15);
            }
        }
    }

    #[test]
    fn groups_too_large_for_a_table_get_the_harmonic_estimate() {
        for estimator in [SurprisalEstimator::Minimax, SurprisalEstimator::VarianceOptimal] {
            assert_eq!(estimator.surprisal(3, 65), Harmonic.surprisal(3, 65));
        }
        let harmonic = crate::estimator::Report::of(EstimatorKind::Harmonic, *SIZES.end()).unwrap();
        assert!(harmonic.sup_weighted_bias < 0.005);
    }

    #[test]
    fn a_run_file_names_an_estimator_of_surprisal() {
        let read = |name: &str| serde_json::from_value::<SurprisalEstimator>(name.into());
        for estimator in SurprisalEstimator::ALL {
            assert_eq!(read(&estimator.to_string()).unwrap(), estimator);
            assert_eq!(serde_json::to_value(estimator).unwrap(), estimator.to_string());
        }
        assert_eq!(
            read("leave-one-out").unwrap_err().to_string(),
            "\"leave-one-out\" does not estimate -log of an answer's probability, so it cannot be chosen here, and need \
             not be: plugins always get the leave-one-out share (leave-one-out) and can compute powers of shares \
             (u-statistic); choose one of plug-in, harmonic, minimax, variance-optimal"
        );
        assert!(read("u-statistic").is_err());
        assert_eq!(
            read("median").unwrap_err().to_string(),
            "there is no estimator \"median\"; there are plug-in, harmonic, minimax, variance-optimal"
        );
    }
}
