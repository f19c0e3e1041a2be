//! The random numbers of a sample: a counter-based generator.

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};

/// The seed of one sample. The same seed draws the same completion, whatever else is in the batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Seed {
    /// Seed of the run.
    pub run: u64,
    /// Training step, or another number that tells the batches of a run apart.
    pub step: u64,
    /// Index of the sample within the step.
    pub sample: u64,
}

impl Seed {
    /// Returns the number of token `token` from a uniform distribution over [0, 1): words 2 · `token` and 2 · `token` + 1
    /// of ChaCha8 under a key made of the three parts. It is a pure function, so a token can be drawn again, and in any
    /// order.
    pub(crate) fn uniform(self, token: usize) -> f64 {
        let mut key = [0u8; 32];
        for (bytes, number) in key.chunks_exact_mut(8).zip([self.run, self.step, self.sample]) {
            bytes.copy_from_slice(&number.to_le_bytes());
        }
        let mut rng = ChaCha8Rng::from_seed(key);
        rng.set_word_pos(2 * token as u128);
        (rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: Seed = Seed { run: 1, step: 2, sample: 3 };

    #[test]
    fn the_numbers_of_a_sample_are_one_stream_of_chacha8() {
        let mut key = [0u8; 32];
        (key[0], key[8], key[16]) = (1, 2, 3);
        let mut rng = ChaCha8Rng::from_seed(key);
        let stream: Vec<f64> = (0..300).map(|_| (rng.next_u64() >> 11) as f64 * 2f64.powi(-53)).collect();
        let backwards: Vec<f64> = (0..300).rev().map(|token| SEED.uniform(token)).collect();
        assert!(stream.iter().eq(backwards.iter().rev()));
        assert!((stream.iter().sum::<f64>() / 300.0 - 0.5).abs() < 0.05);
    }

    #[test]
    fn every_part_of_a_seed_changes_its_numbers() {
        let others = [Seed { run: 2, ..SEED }, Seed { step: 3, ..SEED }, Seed { sample: 4, ..SEED }];
        assert!(others.iter().all(|other| other.uniform(0) != SEED.uniform(0)));
        assert_ne!(SEED.uniform(0), SEED.uniform(1));
    }
}
