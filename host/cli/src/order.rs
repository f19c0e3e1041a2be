//! In which order a run meets its questions and examples: a function of the seed and the step alone.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

/// The streams that orders are drawn from.
pub(crate) const WARM_START_ORDER: u64 = 0;
pub(crate) const GAME_ORDER: u64 = 1;

/// The `count` items of step `step`, of `len`: passes over all items, each in an order of its own. A function of the
/// step alone, so that a resumed run meets the same items.
pub(crate) fn chosen(seed: u64, stream: u64, step: u64, count: usize, len: usize) -> impl Iterator<Item = usize> {
    let mut pass = None;
    (step * count as u64..(step + 1) * count as u64).map(move |at| {
        let (number, position) = (at / len as u64, (at % len as u64) as usize);
        let (_, order) = match pass.take() {
            Some((current, order)) if current == number => pass.insert((current, order)),
            _ => pass.insert((number, permutation(seed, stream, number, len))),
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
        let steps: Vec<usize> = (0..6).flat_map(|step| chosen(7, GAME_ORDER, step, 4, 12)).collect();
        for pass in steps.chunks(12) {
            let mut sorted = pass.to_vec();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..12).collect::<Vec<_>>());
        }
        assert_ne!(steps[..12], steps[12..], "passes have orders of their own");
        assert_eq!(chosen(7, GAME_ORDER, 5, 4, 12).collect::<Vec<_>>(), steps[20..]);
        assert_eq!(chosen(0, GAME_ORDER, 3, 5, 2).count(), 5, "a step may be longer than a pass");
    }
}
