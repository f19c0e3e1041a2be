//! A game: prompts that ask the same thing, the reference's answer marginals, and the price β of leaving them.

use std::collections::BTreeMap;

use alft_sdk::bundle::{Bundle, Prompt};

use super::Error;

/// Reference probabilities may miss a sum of 1 by this much, as printed ones do; they are normalised.
const SUM_TOLERANCE: f64 = 1e-6;

/// A game without its objectives. Distributions over all answers of all prompts are flat vectors, prompts in order and
/// answers by key within each.
#[derive(Debug, Clone)]
pub struct Game {
    /// β > 0.
    pub(super) beta: f64,
    /// The bundle at the reference: what objectives see, with the numbers to be replaced.
    pub(super) bundle: Bundle,
    /// log ν₀.
    pub(super) log_reference: Vec<f64>,
    /// How many answers each prompt has.
    pub(super) sizes: Vec<usize>,
    /// For each answer of each prompt its place among the bundle's distinct answers.
    pub(super) columns: Vec<usize>,
    /// How many distinct answers the bundle has.
    pub(super) width: usize,
}

impl Game {
    /// A game from the reference's answer marginals, one for each prompt. Answers of probability 0 can never be given
    /// and are left out.
    ///
    /// # Errors
    /// β, probabilities and sums that are none.
    pub fn new(beta: f64, prompts: &[(Prompt, BTreeMap<String, f64>)]) -> Result<Self, Error> {
        if !(beta > 0.0 && beta.is_finite()) {
            return Err(Error::Beta(beta));
        }
        if prompts.is_empty() {
            return Err(Error::NoPrompts);
        }
        let normalized: Vec<BTreeMap<&str, f64>> = prompts
            .iter()
            .map(|(prompt, marginal)| {
                let wrong = marginal.iter().find(|(_, p)| !(**p >= 0.0 && p.is_finite()));
                if let Some((answer, &probability)) = wrong {
                    return Err(Error::Probability { prompt: prompt.id.clone(), answer: answer.clone(), probability });
                }
                if marginal.is_empty() {
                    return Err(Error::NoAnswers { prompt: prompt.id.clone() });
                }
                let sum: f64 = marginal.values().sum();
                if (sum - 1.0).abs() > SUM_TOLERANCE {
                    return Err(Error::Sum { prompt: prompt.id.clone(), sum });
                }
                Ok(marginal.iter().filter(|(_, p)| **p > 0.0).map(|(key, p)| (key.as_str(), p / sum)).collect())
            })
            .collect::<Result<_, _>>()?;
        let groups: Vec<(&Prompt, &BTreeMap<&str, f64>)> =
            prompts.iter().map(|(prompt, _)| prompt).zip(&normalized).collect();
        let bundle = Bundle::exact("game", &groups);
        let mut places = BTreeMap::new();
        for key in normalized.iter().flat_map(BTreeMap::keys) {
            let next = places.len();
            places.entry(*key).or_insert(next);
        }
        Ok(Self {
            beta,
            log_reference: bundle.groups.iter().flat_map(|g| &g.answers).map(|a| -a.surprisal).collect(),
            sizes: normalized.iter().map(BTreeMap::len).collect(),
            columns: normalized.iter().flat_map(BTreeMap::keys).map(|key| places[key]).collect(),
            width: places.len(),
            bundle,
        })
    }

    /// β.
    pub fn beta(&self) -> f64 {
        self.beta
    }

    /// m, as a number.
    pub(super) fn prompts(&self) -> f64 {
        self.sizes.len() as f64
    }

    /// Where each prompt's answers are in a flat vector.
    pub(super) fn ranges(&self) -> impl Iterator<Item = std::ops::Range<usize>> {
        let mut start = 0;
        self.sizes.iter().map(move |size| {
            let range = start..start + size;
            start = range.end;
            range
        })
    }

    /// ν₀, flat.
    pub fn reference(&self) -> Vec<f64> {
        self.log_reference.iter().map(|l| l.exp()).collect()
    }

    /// A flat vector as a map for each prompt, in order.
    pub fn by_answer(&self, flat: &[f64]) -> Vec<BTreeMap<String, f64>> {
        let groups = self.bundle.groups.iter().zip(self.ranges());
        let keyed = |(group, range): (&alft_sdk::Group, std::ops::Range<usize>)| {
            group.answers.iter().map(|answer| answer.key.clone()).zip(flat[range].iter().copied()).collect()
        };
        groups.map(keyed).collect()
    }

    /// The bundle at the reference, as objectives see it.
    pub fn bundle(&self) -> &Bundle {
        &self.bundle
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn game(beta: f64, marginals: &[&[(&str, f64)]]) -> Result<Game, Error> {
        let prompts: Vec<_> = marginals
            .iter()
            .enumerate()
            .map(|(i, answers)| {
                let prompt = Prompt { id: format!("x{i}"), ..Prompt::default() };
                (prompt, answers.iter().map(|(key, p)| ((*key).to_owned(), *p)).collect())
            })
            .collect();
        Game::new(beta, &prompts)
    }

    #[test]
    fn answers_are_flat_in_order_and_impossible_ones_are_left_out() {
        let game = game(0.1, &[&[("b", 0.25), ("a", 0.75)], &[("c", 0.5), ("b", 0.5), ("a", 0.0)]]).unwrap();
        assert_eq!((game.sizes.as_slice(), game.columns.as_slice(), game.width), (&[2, 2][..], &[0, 1, 1, 2][..], 3));
        assert_eq!(game.by_answer(&[1.0, 2.0, 3.0, 4.0])[1]["c"], 4.0);
    }

    #[test]
    fn what_is_no_game_is_refused() {
        assert_eq!(game(0.0, &[&[("a", 1.0)]]).unwrap_err(), Error::Beta(0.0));
        assert_eq!(game(1.0, &[]).unwrap_err(), Error::NoPrompts);
        assert!(matches!(game(1.0, &[&[("a", 0.5)]]), Err(Error::Sum { .. })));
        assert!(matches!(game(1.0, &[&[]]), Err(Error::NoAnswers { .. })));
        assert!(matches!(game(1.0, &[&[("a", -0.5), ("b", 1.5)]]), Err(Error::Probability { .. })));
        assert!(matches!(game(1.0, &[&[("a", f64::NAN)]]), Err(Error::Probability { .. })));
    }
}
