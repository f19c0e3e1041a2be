//! The order in which a run meets its questions and examples: a function of the seed and the step alone.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

/// The random stream of the warm start's order.
pub(crate) const WARM_START_ORDER: u64 = 0;
/// The random stream of the game's order.
pub(crate) const GAME_ORDER: u64 = 1;

/// Returns the indices of the `count` items, out of `len`, that step `step` meets. The steps pass over all items again
/// and again, each time in another order. A resumed run meets the same items, for they depend on the step alone.
pub(crate) fn batch_indices(
    seed: u64,
    stream: u64,
    step: u64,
    count: usize,
    len: usize,
) -> impl Iterator<Item = usize> {
    let mut current = None;
    (step * count as u64..(step + 1) * count as u64).map(move |item| {
        let (pass, position) = (item / len as u64, (item % len as u64) as usize);
        let (_, order) = match current.take() {
            Some((number, order)) if number == pass => current.insert((number, order)),
            _ => current.insert((pass, permutation(seed, stream, pass, len))),
        };
        order[position]
    })
}

fn permutation(seed: u64, stream: u64, pass: u64, len: usize) -> Vec<usize> {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&stream.to_le_bytes());
    key[16..24].copy_from_slice(&pass.to_le_bytes());
    let mut order: Vec<usize> = (0..len).collect();
    order.shuffle(&mut ChaCha8Rng::from_seed(key));
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pass_meets_every_item_once_and_depends_on_the_step_alone() {
        let steps: Vec<usize> = (0..6).flat_map(|step| batch_indices(7, GAME_ORDER, step, 4, 12)).collect();
        for pass in steps.chunks(12) {
            let mut sorted = pass.to_vec();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..12).collect::<Vec<_>>());
        }
        assert_ne!(steps[..12], steps[12..], "each pass has another order");
        assert_eq!(batch_indices(7, GAME_ORDER, 5, 4, 12).collect::<Vec<_>>(), steps[20..]);
        assert_eq!(batch_indices(0, GAME_ORDER, 3, 5, 2).count(), 5, "a step may be longer than a pass");
    }
}
