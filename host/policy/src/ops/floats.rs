//! Access to the elements of CPU tensors, for the kernels.

use std::cell::RefCell;

use candle_core::{CpuStorage, DType, InplaceOp1, Layout, Result, Storage, Tensor, bail};

use super::path::Path;

/// Returns true if the CPU kernels can compute with this tensor; otherwise composed operations must.
pub(crate) fn kernels_apply(tensor: &Tensor) -> bool {
    tensor.device().is_cpu() && tensor.dtype() == DType::F32 && Path::allows_cpu_kernels()
}

/// Returns the elements of a contiguous `f32` tensor on the CPU.
pub(crate) fn floats<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&storage.as_slice::<f32>()?[start..end]),
        None => bail!("a kernel was given a tensor that is not contiguous"),
    }
}

/// Calls `f` with the elements of `f32` tensors on the CPU, in row-major order.
pub(crate) fn with_floats<const N: usize, R>(tensors: [&Tensor; N], f: impl FnOnce([&[f32]; N]) -> R) -> Result<R> {
    let contiguous = tensors.iter().map(|tensor| tensor.contiguous()).collect::<Result<Vec<_>>>()?;
    let guards: Vec<_> = contiguous.iter().map(|tensor| tensor.storage_and_layout()).collect();
    let mut slices = [&[][..]; N];
    for (slice, (storage, layout)) in slices.iter_mut().zip(&guards) {
        match &**storage {
            Storage::Cpu(storage) => *slice = floats(storage, layout)?,
            _ => bail!("a kernel was given a tensor that is not on the CPU"),
        }
    }
    Ok(f(slices))
}

/// Calls `f` with the elements of a contiguous `f32` tensor on the CPU, to be changed in place. All tensors that share
/// the storage change with it.
pub(crate) fn with_floats_mut(tensor: &Tensor, f: impl FnMut(&mut [f32]) -> Result<()>) -> Result<()> {
    struct Edit<F>(RefCell<F>);
    impl<F: FnMut(&mut [f32]) -> Result<()>> InplaceOp1 for Edit<F> {
        fn name(&self) -> &'static str {
            "edit"
        }

        fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
            match (storage, layout.contiguous_offsets()) {
                (CpuStorage::F32(values), Some((start, end))) => (self.0.borrow_mut())(&mut values[start..end]),
                _ => bail!("a kernel was given a tensor to change that is not contiguous f32 numbers"),
            }
        }
    }
    tensor.inplace_op1(&Edit(RefCell::new(f)))
}
