//! A game: phrasings of one question, the reference policy's answer marginals for each, and the weight β of the KL divergence
//! from them.

use std::collections::BTreeMap;

use alft_sdk::bundle::{Bundle, Prompt};

use super::error::InvalidGame;

/// The largest deviation of a sum of probabilities from 1. Printed probabilities deviate by rounding; they are normalised.
const SUM_TOLERANCE: f64 = 1e-6;

/// A game without its objectives. Distributions over all answers of all prompts are flat vectors: the prompts in order, and
/// the answers of each by key.
#[derive(Debug, Clone)]
pub struct Game {
    /// β, above 0.
    pub(super) beta: f64,
    /// The bundle that objectives see, at the reference. The probabilities are replaced for other points.
    pub(super) bundle: Bundle,
    /// log ν₀.
    pub(super) log_reference: Vec<f64>,
    /// The number of answers of each prompt.
    pub(super) sizes: Vec<usize>,
    /// The index of each prompt's answers among the distinct answers of all prompts.
    pub(super) columns: Vec<usize>,
    /// The number of distinct answers of all prompts.
    pub(super) width: usize,
}

impl Game {
    /// Returns the game with a reference marginal for each prompt. Answers of probability 0, which no policy can give, are
    /// left out.
    ///
    /// # Errors
    /// Fails if there is no prompt, a prompt has no answer, β is not above 0, or probabilities are negative or do not sum to
    /// 1.
    pub fn new(beta: f64, prompts: &[(Prompt, BTreeMap<String, f64>)]) -> Result<Self, InvalidGame> {
        if !(beta > 0.0 && beta.is_finite()) {
            return Err(InvalidGame::Beta(beta));
        }
        if prompts.is_empty() {
            return Err(InvalidGame::NoPrompts);
        }
        let normalized: Vec<BTreeMap<&str, f64>> = prompts
            .iter()
            .map(|(prompt, marginal)| {
                let wrong = marginal.iter().find(|(_, p)| !(**p >= 0.0 && p.is_finite()));
                if let Some((answer, &probability)) = wrong {
                    return Err(InvalidGame::Probability {
                        prompt: prompt.id.clone(),
                        answer: answer.clone(),
                        probability,
                    });
                }
                if marginal.is_empty() {
                    return Err(InvalidGame::NoAnswers { prompt: prompt.id.clone() });
                }
                let sum: f64 = marginal.values().sum();
                if (sum - 1.0).abs() > SUM_TOLERANCE {
                    return Err(InvalidGame::Sum { prompt: prompt.id.clone(), sum });
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

    /// Returns β.
    pub fn beta(&self) -> f64 {
        self.beta
    }

    /// Returns m, the number of prompts.
    pub(super) fn prompts(&self) -> f64 {
        self.sizes.len() as f64
    }

    /// Iterates over the ranges of the prompts' answers in a flat vector.
    pub(super) fn ranges(&self) -> impl Iterator<Item = std::ops::Range<usize>> {
        let mut start = 0;
        self.sizes.iter().map(move |size| {
            let range = start..start + size;
            start = range.end;
            range
        })
    }

    /// Returns ν₀ as a flat vector.
    pub fn reference(&self) -> Vec<f64> {
        self.log_reference.iter().map(|l| l.exp()).collect()
    }

    /// Returns a flat vector as a map from answer to number for each prompt.
    pub fn by_answer(&self, flat: &[f64]) -> Vec<BTreeMap<String, f64>> {
        let groups = self.bundle.groups.iter().zip(self.ranges());
        let keyed = |(group, range): (&alft_sdk::Group, std::ops::Range<usize>)| {
            group.answers.iter().map(|answer| answer.key.clone()).zip(flat[range].iter().copied()).collect()
        };
        groups.map(keyed).collect()
    }

    /// Returns the bundle that objectives see, at the reference.
    pub fn bundle(&self) -> &Bundle {
        &self.bundle
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn game(beta: f64, marginals: &[&[(&str, f64)]]) -> Result<Game, InvalidGame> {
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
    fn flat_vectors_are_ordered_by_prompt_and_key_without_impossible_answers() {
        let game = game(0.1, &[&[("b", 0.25), ("a", 0.75)], &[("c", 0.5), ("b", 0.5), ("a", 0.0)]]).unwrap();
        assert_eq!((game.sizes.as_slice(), game.columns.as_slice(), game.width), (&[2, 2][..], &[0, 1, 1, 2][..], 3));
        assert_eq!(game.by_answer(&[1.0, 2.0, 3.0, 4.0])[1]["c"], 4.0);
    }

    #[test]
    fn invalid_games_are_errors() {
        assert_eq!(game(0.0, &[&[("a", 1.0)]]).unwrap_err(), InvalidGame::Beta(0.0));
        assert_eq!(game(1.0, &[]).unwrap_err(), InvalidGame::NoPrompts);
        assert!(matches!(game(1.0, &[&[("a", 0.5)]]), Err(InvalidGame::Sum { .. })));
        assert!(matches!(game(1.0, &[&[]]), Err(InvalidGame::NoAnswers { .. })));
        assert!(matches!(game(1.0, &[&[("a", -0.5), ("b", 1.5)]]), Err(InvalidGame::Probability { .. })));
        assert!(matches!(game(1.0, &[&[("a", f64::NAN)]]), Err(InvalidGame::Probability { .. })));
    }
}
