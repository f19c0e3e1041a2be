//! The comparison of a kernel with its twin of composed operations.

use candle_core::{DType, Device, Result, Tensor, Var};

use crate::kernels::simd::at_each_level;

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

/// Runs `f` with `f32` arguments, which choose the kernel of each instruction set of this machine, and with `f64` ones, which
/// choose the twin, and compares the value and the gradient of every argument under a random upstream gradient.
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
    let twin = run(DType::F64).unwrap();
    at_each_level(|level| {
        for (index, (kernel, twin)) in run(DType::F32).unwrap().iter().zip(&twin).enumerate() {
            assert_eq!(kernel.dims(), twin.dims());
            let error = (kernel.to_dtype(DType::F64).unwrap() - twin).unwrap().abs().unwrap();
            let error = error.max_all().unwrap().to_scalar::<f64>().unwrap();
            assert!(error < 2e-5, "{level:?}: result {index} (0: the value, then the gradients) is off by {error:e}");
        }
    });
}
