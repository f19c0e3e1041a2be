//! The comparison of a kernel with its twin of composed operations.

use candle_core::{DType, Device, Result, Tensor, Var};

use super::path::Path;
use crate::cuda;
use alft_kernels::simd::at_each_level;

/// Returns pseudo-random numbers in (−1, 1).
pub(crate) fn noise(shape: &[usize], seed: u64) -> Tensor {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let values = (0..shape.iter().product::<usize>()).map(|_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        ((state >> 40) as f32 / (1u64 << 23) as f32) - 1.0
    });
    Tensor::from_vec(values.collect::<Vec<f32>>(), shape, &Device::Cpu).unwrap()
}

/// Holds every implementation of `f` that runs on a CPU, at each instruction set of this machine, against the twin: its
/// value, and the gradient of every argument under a random upstream gradient. The twin runs in `f64`, the others in `f32`
/// and, as on a device, in `bf16`.
pub(super) fn compare(arguments: &[Tensor], f: impl Fn(&[Tensor]) -> Result<Tensor>) {
    let run = |path: Path, arguments: &[Tensor], dtype| -> Result<Vec<Tensor>> {
        path.force(|| {
            let variables = arguments
                .iter()
                .map(|argument| Var::from_tensor(&argument.to_dtype(dtype)?.copy()?))
                .collect::<Result<Vec<_>>>()?;
            let tensors: Vec<Tensor> = variables.iter().map(|variable| variable.as_tensor().clone()).collect();
            let value = f(&tensors)?;
            let upstream = noise(value.dims(), 99).to_dtype(DType::BF16)?.to_dtype(value.dtype())?;
            let grads = (&value * upstream)?.sum_all()?.backward()?;
            let mut results = vec![value.detach()];
            results.extend(variables.iter().map(|v| grads.get(v).expect("every argument has a gradient").clone()));
            results.iter().map(|result| result.to_dtype(DType::F64)).collect()
        })
    };
    let mut paths = vec![(Path::CpuKernel, DType::F32), (Path::Fused, DType::F32), (Path::Fused, DType::BF16)];
    if cuda::can_emulate() {
        paths.extend([(Path::CudaKernel, DType::F32), (Path::CudaKernel, DType::BF16)]);
    }
    for (path, dtype) in paths {
        let rounded = arguments.iter().map(|argument| argument.to_dtype(dtype)).collect::<Result<Vec<_>>>().unwrap();
        let want = run(Path::Composed, &rounded, DType::F64).unwrap();
        let bound = if dtype == DType::BF16 { 2e-2 } else { 2e-5 };
        let most = |tensor: &Tensor| tensor.abs().unwrap().max_all().unwrap().to_scalar::<f64>().unwrap();
        let check = |path: Path, set: &str| {
            let got = run(path, &rounded, dtype).unwrap();
            for (index, (got, want)) in got.iter().zip(&want).enumerate() {
                assert_eq!(got.dims(), want.dims());
                let error = most(&(got - want).unwrap()) / most(want).max(1.0);
                // 0 is the value, the others are the gradients. NaN is not below the bound.
                assert!(error < bound, "{path:?}{set} in {dtype:?}: result {index} is off by {error:e}");
            }
        };
        match path {
            Path::CpuKernel => at_each_level(|level| check(path, &format!(" ({level:?})"))),
            path => check(path, ""),
        }
    }
}
