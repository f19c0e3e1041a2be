//! The model's operations, each differentiable. On the CPU in `f32` an operation is one of [`crate::kernels`] with a
//! rule for its gradient; elsewhere it is composed of candle's own operations, all of them tracked. Tests hold one
//! against the other.

mod attention;
mod function;
mod head;
mod linear;
mod rms_norm;
mod rotary;
mod swiglu;

pub(crate) use self::{
    attention::{Cache, attend},
    head::{Prediction, predict},
    linear::linear,
    rms_norm::rms_norm,
    rotary::{Rotary, frequencies},
    swiglu::swiglu,
};

use candle_core::{CpuStorage, DType, Layout, Result, Storage, Tensor};

/// Whether the kernels can take these tensors.
fn kernels_apply(tensor: &Tensor) -> bool {
    tensor.device().is_cpu() && tensor.dtype() == DType::F32
}

/// The elements of a contiguous `f32` tensor on the CPU.
fn floats<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&storage.as_slice::<f32>()?[start..end]),
        None => candle_core::bail!("a kernel was given a tensor that is not contiguous"),
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
            _ => candle_core::bail!("a kernel was given a tensor that is not on the CPU"),
        }
    }
    Ok(f(slices))
}

/// Holds a kernel against its twin: values, and gradients of every argument under a random upstream gradient.
#[cfg(test)]
mod twins {
    use candle_core::{DType, Device, Result, Tensor, Var};

    /// Numbers in (−1, 1) that look random.
    pub(super) fn noise(shape: &[usize], seed: u64) -> Tensor {
        let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let values = (0..shape.iter().product::<usize>()).map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            ((state >> 40) as f32 / (1u64 << 23) as f32) - 1.0
        });
        Tensor::from_vec(values.collect::<Vec<f32>>(), shape, &Device::Cpu).unwrap()
    }

    /// `f` is given `f32` arguments (and takes the kernel), then `f64` ones (and takes the twin).
    pub(super) fn compare(arguments: &[Tensor], f: impl Fn(&[Tensor]) -> Result<Tensor>) {
        let run = |dtype| -> Result<Vec<Tensor>> {
            let variables = arguments
                .iter()
                .map(|argument| Var::from_tensor(&argument.to_dtype(dtype)?.copy()?))
                .collect::<Result<Vec<_>>>()?;
            let tensors: Vec<Tensor> = variables.iter().map(|variable| variable.as_tensor().clone()).collect();
            let value = f(&tensors)?;
            let upstream = noise(value.dims(), 99).to_dtype(dtype)?;
            let grads = (&value * upstream)?.sum_all()?.backward()?;
            let mut results = vec![value.detach()];
            results.extend(variables.iter().map(|v| grads.get(v).expect("every argument has a gradient").clone()));
            Ok(results)
        };
        let (kernel, twin) = (run(DType::F32).unwrap(), run(DType::F64).unwrap());
        for (index, (kernel, twin)) in kernel.iter().zip(&twin).enumerate() {
            assert_eq!(kernel.dims(), twin.dims());
            let error = (kernel.to_dtype(DType::F64).unwrap() - twin).unwrap().abs().unwrap();
            let error = error.max_all().unwrap().to_scalar::<f64>().unwrap();
            assert!(error < 2e-5, "result {index} (0: the value, then the gradients) is off by {error:e}");
        }
    }
}
