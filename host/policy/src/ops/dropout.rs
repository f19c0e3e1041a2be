//! Dropout: sets random elements to 0, and divides the others by the probability of being kept, so that the mean stays.
//!
//! The mask is a function of a key and of the element's index, so the backward pass has it again without keeping it, and it is
//! the same on every device.
//!
//! Source: Srivastava et al., *Dropout: A Simple Way to Prevent Neural Networks from Overfitting*, JMLR 2014.

use alft_kernels::{self as kernels, DropoutMask};
use candle_core::{Result, Tensor};

use super::{
    floats::with_floats,
    function::{Value, function},
    path::{Op, Path},
};
use crate::{cuda, profile};

/// The dropout of a layer's input.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Dropout {
    /// Probability that an element is set to 0 in training, from 0 to below 1.
    pub(crate) rate: f64,
    /// The key of the mask in one pass of training. Without it nothing is dropped, as in sampling and scoring.
    pub(crate) key: Option<u64>,
}

impl Dropout {
    /// Returns true if elements are dropped.
    pub(crate) fn is_active(&self) -> bool {
        self.rate > 0.0 && self.key.is_some()
    }

    /// Returns `x` with its elements dropped. The operation is linear, so the gradient of `x` is this of the gradient.
    pub(crate) fn apply(&self, x: &Tensor) -> Result<Tensor> {
        let Some(key) = self.key.filter(|_| self.is_active()) else { return Ok(x.clone()) };
        let mask = DropoutMask {
            key: [key as u32, (key >> 32) as u32],
            threshold: (self.rate * f64::from(u32::MAX)) as u32,
            scale: (1.0 / (1.0 - self.rate)) as f32,
        };
        masked(x, mask)
    }
}

fn masked(x: &Tensor, mask: DropoutMask) -> Result<Tensor> {
    let _time = profile::time("dropout");
    let value = match Path::of(Op::Dropout, x) {
        Path::CpuKernel => Value::Floats(with_floats([x], |[x]| kernels::dropout(x, mask))?, x.shape().clone()),
        Path::CudaKernel => Value::Tensor(cuda::dropout::apply(x, mask)?),
        Path::Fused | Path::Composed => {
            let factors = kernels::dropout(&vec![1.0; x.elem_count()], mask);
            let factors = Tensor::from_vec(factors, x.shape(), x.device())?.to_dtype(x.dtype())?;
            return x * factors;
        }
    };
    function([x], value, move |_, grad| Ok([Some(masked(&grad.detach(), mask)?)]))
}

#[cfg(test)]
mod tests {
    use super::{
        super::twins::{compare, noise},
        *,
    };

    const HALF: Dropout = Dropout { rate: 0.25, key: Some(0x1234_5678_9ABC_DEF1) };

    #[test]
    fn every_implementation_agrees_with_the_twin() {
        compare(&[noise(&[9, 33], 1)], |args| HALF.apply(&args[0]));
    }

    #[test]
    fn elements_are_dropped_at_the_rate_by_the_key_and_the_mean_stays() {
        let ones = Tensor::ones((300, 500), candle_core::DType::F32, &candle_core::Device::Cpu).unwrap();
        let of = |dropout: Dropout| dropout.apply(&ones).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let first = of(HALF);
        let kept = first.iter().filter(|x| **x != 0.0).count() as f64 / 150_000.0;
        assert!((kept - 0.75).abs() < 0.005, "{kept}");
        assert!(first.iter().all(|x| *x == 0.0 || (x - 4.0 / 3.0).abs() < 1e-6));
        assert_eq!(first, of(HALF));
        // Masks of different keys, and neighbours in a mask, agree as often as independent ones do: 0.75² + 0.25².
        let share = |pairs: &mut dyn Iterator<Item = (f32, f32)>| {
            let agree: Vec<bool> = pairs.map(|(a, b)| (a == 0.0) == (b == 0.0)).collect();
            agree.iter().filter(|agree| **agree).count() as f64 / agree.len() as f64
        };
        for key in [1, 2, 1 << 40] {
            let other = of(Dropout { key: Some(key), ..HALF });
            let between = share(&mut first.iter().copied().zip(other.iter().copied()));
            let beside = share(&mut other.iter().copied().zip(other[1..].iter().copied()));
            let below = share(&mut other.iter().copied().zip(other[500..].iter().copied()));
            assert!([between, beside, below].iter().all(|share| (share - 0.625).abs() < 0.008), "{between} {beside}");
        }
        for off in [Dropout { key: None, ..HALF }, Dropout { rate: 0.0, ..HALF }] {
            assert!(of(off).iter().all(|x| *x == 1.0));
        }
    }
}
