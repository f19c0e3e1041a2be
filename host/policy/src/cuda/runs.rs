//! The division of a list of tensors into runs of numbers, one for each block of a launch; see `runs.cuh`.

use candle_core::{Device, Result, Tensor};

use super::launch::count;

/// Threads of a block.
pub(super) const THREADS: usize = 256;
/// Numbers that a block computes at most.
pub(super) const RUN: usize = 1 << 14;

pub(super) struct Runs {
    pub(super) blocks: usize,
    /// Tensor and first number of each run, (runs, 2).
    pub(super) runs: Tensor,
    /// Numbers of each tensor, (tensors,).
    pub(super) counts: Tensor,
}

impl Runs {
    /// Divides tensors, of which at least one has a number.
    pub(super) fn of(tensors: &[&Tensor], device: &Device) -> Result<Self> {
        let (mut runs, mut counts) = (Vec::new(), Vec::new());
        for (index, tensor) in tensors.iter().enumerate() {
            // Fails for a number of elements that the kernel cannot count.
            count(tensor.elem_count())?;
            counts.push(tensor.elem_count() as u32);
            runs.extend((0..tensor.elem_count()).step_by(RUN).flat_map(|first| [index as u32, first as u32]));
        }
        let blocks = runs.len() / 2;
        Ok(Self { blocks, runs: Tensor::from_vec(runs, (blocks, 2), device)?, counts: Tensor::new(counts, device)? })
    }
}
