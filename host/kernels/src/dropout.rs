//! Dropout, whose mask is a hash of the elements' indices.

use super::{parallel::new_rows, simd::vectorised};

/// The mask of a dropout: an element is kept if its random number is at least `threshold`.
#[derive(Debug, Clone, Copy)]
pub struct DropoutMask {
    /// Seed of the hash.
    pub key: [u32; 2],
    /// The smallest random number of an element that is kept, of 2³² numbers.
    pub threshold: u32,
    /// The factor of the elements that are kept.
    pub scale: f32,
}

/// Sets elements to 0, and multiplies the others by the mask's scale.
pub fn dropout(x: &[f32], mask: DropoutMask) -> Vec<f32> {
    new_rows(x.len(), 1, |first, out| dropout_block(out, &x[first..first + out.len()], first as u32, mask))
}

vectorised! {
    fn dropout_block(out: &mut [f32], x: &[f32], first: u32, mask: DropoutMask) {
        let _ = FMA;
        for ((out, x), index) in out.iter_mut().zip(x).zip(0u32..) {
            let random = hash(hash(first.wrapping_add(index) ^ mask.key[0]) ^ mask.key[1]);
            *out = if random >= mask.threshold { x * mask.scale } else { 0.0 };
        }
    }
}

/// Mixes the bits of a number so that each changes about half of the result's.
///
/// Source: Wellons, *Prospecting for Hash Functions*, 2018 (`lowbias32`).
#[inline(always)]
fn hash(mut x: u32) -> u32 {
    x = (x ^ (x >> 16)).wrapping_mul(0x7FEB_352D);
    x = (x ^ (x >> 15)).wrapping_mul(0x846C_A68B);
    x ^ (x >> 16)
}
