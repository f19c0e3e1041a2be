//! The blocks of a cache that are free.

use crate::ops::Places;

/// The free blocks of a cache of fixed size.
#[derive(Debug)]
pub(crate) struct Blocks {
    free: Vec<u32>,
    total: usize,
}

impl Blocks {
    /// Creates the free blocks of a cache of `total` blocks.
    pub(crate) fn new(total: usize) -> Self {
        Self { free: (0..total as u32).rev().collect(), total }
    }

    /// Returns the number of blocks, free or not.
    pub(crate) fn total(&self) -> usize {
        self.total
    }

    /// Returns the number of free blocks.
    pub(crate) fn free(&self) -> usize {
        self.free.len()
    }

    /// Adds `tokens` tokens to `places`. Returns false, and adds none, if there are too few free blocks.
    pub(crate) fn extend(&mut self, places: &mut Places, tokens: usize) -> bool {
        let missing = Places::blocks_for(places.len + tokens) - places.blocks.len();
        let Some(rest) = self.free.len().checked_sub(missing) else { return false };
        places.blocks.extend(self.free.drain(rest..).rev());
        places.len += tokens;
        true
    }

    /// Takes the blocks of `places` back.
    pub(crate) fn release(&mut self, places: Places) {
        self.free.extend(places.blocks.into_iter().rev());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::BLOCK;

    #[test]
    fn blocks_are_taken_when_they_are_needed_and_given_back() {
        let mut blocks = Blocks::new(4);
        let (mut first, mut second) = (Places::default(), Places::default());
        assert!(blocks.extend(&mut first, BLOCK - 1) && blocks.extend(&mut second, BLOCK + 1));
        assert!(blocks.extend(&mut first, 1));
        assert_eq!((first.blocks.as_slice(), second.blocks.as_slice()), (&[0][..], &[1, 2][..]));
        assert!(!blocks.extend(&mut first, BLOCK + 1), "two blocks are missing, and one is free");
        assert_eq!((first.len, blocks.free()), (BLOCK, 1));
        blocks.release(second);
        assert!(blocks.extend(&mut first, 2 * BLOCK));
        assert_eq!((first.blocks.as_slice(), blocks.free(), blocks.total()), (&[0, 1, 2][..], 1, 4));
    }
}
