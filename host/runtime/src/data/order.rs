//! The order in which a run meets its questions and examples: a function of the seed and the place in the order alone.

use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// The random stream of the warm start's order.
pub(crate) const WARM_START_ORDER: u64 = 0;
/// The random stream of the game's order.
pub(crate) const GAME_ORDER: u64 = 1;

/// The random stream of the choice between asking a question and passing over it.
const SKIP: u64 = 2;

/// The order of `len` items in the stream `stream`: pass after pass over all of them, each in another order.
#[derive(Debug)]
pub(crate) struct Order {
    seed: u64,
    stream: u64,
    len: usize,
    /// The pass that was looked up last, and its order.
    current: Option<(u64, Vec<usize>)>,
}

impl Order {
    pub(crate) fn new(seed: u64, stream: u64, len: usize) -> Self {
        Self { seed, stream, len, current: None }
    }

    /// The index of the item at a place of the order, counted over all passes.
    pub(crate) fn at(&mut self, place: u64) -> usize {
        let (pass, position) = (place / self.len as u64, (place % self.len as u64) as usize);
        if self.current.as_ref().is_none_or(|(current, _)| *current != pass) {
            let mut order: Vec<usize> = (0..self.len).collect();
            order.shuffle(&mut random(self.seed, self.stream, pass));
            self.current = Some((pass, order));
        }
        self.current.as_ref().expect("the pass was just looked up").1[position]
    }
}

/// Returns true with the probability `share`: a function of the seed and the place of the game's order.
pub(crate) fn asks(seed: u64, place: u64, share: f64) -> bool {
    let uniform = (random(seed, SKIP, place).next_u64() >> 11) as f64 / (1u64 << 53) as f64;
    uniform < share
}

fn random(seed: u64, stream: u64, number: u64) -> ChaCha8Rng {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&stream.to_le_bytes());
    key[16..24].copy_from_slice(&number.to_le_bytes());
    ChaCha8Rng::from_seed(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pass_meets_every_item_once_in_another_order() {
        let mut order = Order::new(7, GAME_ORDER, 12);
        let places: Vec<usize> = (0..24).map(|place| order.at(place)).collect();
        for pass in places.chunks(12) {
            let mut sorted = pass.to_vec();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..12).collect::<Vec<_>>());
        }
        assert_ne!(places[..12], places[12..], "each pass has another order");
        assert_eq!(Order::new(7, GAME_ORDER, 12).at(20), places[20], "a place needs no place before it");
    }

    #[test]
    fn an_item_is_asked_with_its_probability() {
        let asked = |share| (0..10_000).filter(|place| asks(3, *place, share)).count();
        assert_eq!((asked(0.0), asked(1.0)), (0, 10_000));
        assert!(asked(0.2).abs_diff(2000) < 200, "{}", asked(0.2));
    }
}
