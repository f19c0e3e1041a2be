//! Hashes of texts, and the coordinates of points that they choose.

use dashu_ratio::RBig;

/// Returns FNV-1a's hash of a text, in 64 bits.
pub(crate) fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Returns a fraction from 1/4 to 5/4 that depends on a text.
pub(crate) fn coordinate(text: &str) -> RBig {
    let bits = hash(text) % (1 << 20);
    RBig::from_parts(((1u64 << 18) + bits).into(), (1u64 << 20).into())
}
