//! Linear layers with packed weights, for decoding: CPU and `f32` only, outside of the autograd graph.

use alft_kernels::{Activation, PackedWeight, WeightFormat};
use std::sync::Arc;

use candle_core::{Result, Tensor, bail};

use super::floats::with_floats;
use crate::profile;

/// Linear layers that read the same input, packed together. [`super::linear`] on each weight is its twin.
#[derive(Clone)]
pub(crate) struct PackedLinear(Arc<PackedWeight>);

impl PackedLinear {
    /// Packs weights (out, in) of the same width.
    pub(crate) fn new<const N: usize>(weights: [&Tensor; N], format: WeightFormat) -> Result<Self> {
        let width = weights[0].dim(1)?;
        if width == 0 || weights.iter().any(|weight| weight.dims().get(1) != Some(&width)) {
            bail!("weights that are packed together must have the same width, and not 0");
        }
        with_floats(weights, |weights| Self(Arc::new(PackedWeight::new(&weights, width, format))))
    }

    /// Computes `x (rows, in) · w (out, in)ᵀ` for each of the weights.
    pub(crate) fn forward<const N: usize>(&self, x: &Tensor) -> Result<[Tensor; N]> {
        let _time = profile::time("linear");
        let rows = self.rows(x)?;
        let products = with_floats([x], |[x]| self.0.product(x))?;
        let tensors = products.into_iter().map(|values| {
            let width = values.len() / rows.max(1);
            Tensor::from_vec(values, (rows, width), x.device())
        });
        match <[Tensor; N]>::try_from(tensors.collect::<Result<Vec<_>>>()?) {
            Ok(tensors) => Ok(tensors),
            Err(tensors) => bail!("{} weights are packed here, not {N}", tensors.len()),
        }
    }

    /// Computes `residual + x · wᵀ` for the only weight.
    pub(crate) fn add_to(&self, residual: &Tensor, x: &Tensor) -> Result<Tensor> {
        let _time = profile::time("linear");
        if residual.dims() != [self.rows(x)?, self.0.columns()] {
            bail!("a sum of {:?} and a product of {} columns", residual.dims(), self.0.columns());
        }
        let sum = with_floats([residual, x], |[residual, x]| {
            let mut sum = residual.to_vec();
            self.0.add_product(x, &mut sum);
            sum
        })?;
        Tensor::from_vec(sum, residual.shape(), x.device())
    }

    /// Computes `activation(x · gateᵀ) · (x · upᵀ)` for the two weights `gate` and `up`.
    pub(crate) fn glu(&self, activation: Activation, x: &Tensor) -> Result<Tensor> {
        let _time = profile::time("linear");
        let rows = self.rows(x)?;
        let values = with_floats([x], |[x]| self.0.glu(activation, x))?;
        let width = values.len() / rows.max(1);
        Tensor::from_vec(values, (rows, width), x.device())
    }

    /// Returns the number of bytes of the packed weights.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> usize {
        self.0.bytes()
    }

    /// Returns the number of rows of an input.
    fn rows(&self, x: &Tensor) -> Result<usize> {
        match x.dims2()? {
            (rows, width) if width == self.0.inner() => Ok(rows),
            (_, width) => bail!("the input is {width} wide, and the packed weights are {}", self.0.inner()),
        }
    }
}

impl std::fmt::Debug for PackedLinear {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("PackedLinear").field(&self.0.inner()).finish()
    }
}

#[cfg(test)]
mod tests {
    use candle_core::DType;

    use super::{
        super::{glu, linear, twins::noise},
        *,
    };

    #[test]
    fn kernel_and_twin_agree() {
        let weights = [noise(&[50, 40], 1), noise(&[50, 40], 2)];
        let [gate, up] = &weights;
        for rows in [1, 7, 100] {
            let (x, residual) = (noise(&[rows, 40], 3), noise(&[rows, 50], 4));
            let both = PackedLinear::new([gate, up], WeightFormat::F32).unwrap();
            let one = PackedLinear::new([gate], WeightFormat::F32).unwrap();
            let wide = |x: &Tensor| x.to_dtype(DType::F64).unwrap();
            let [gated, raised] = [gate, up].map(|w| linear(&wide(&x), &wide(w)).unwrap());
            let close = |got: &Tensor, want: &Tensor| {
                assert_eq!(got.dims(), want.dims());
                let error = (wide(got) - want).unwrap().abs().unwrap().max_all().unwrap();
                assert!(error.to_scalar::<f64>().unwrap() < 2e-5);
            };
            let products: [Tensor; 2] = both.forward(&x).unwrap();
            close(&products[0], &gated);
            close(&products[1], &raised);
            for activation in [Activation::Silu, Activation::GeluTanh] {
                let want = glu(activation, &gated, &raised).unwrap();
                close(&both.glu(activation, &x).unwrap(), &want);
            }
            close(&one.add_to(&residual, &x).unwrap(), &(wide(&residual) + &gated).unwrap());
        }
    }

    #[test]
    fn wrong_shapes_are_an_error() {
        let packed = PackedLinear::new([&noise(&[5, 8], 1)], WeightFormat::F32).unwrap();
        assert!(packed.forward::<1>(&noise(&[2, 9], 2)).is_err());
        assert!(packed.forward::<2>(&noise(&[2, 8], 2)).is_err());
        assert!(PackedLinear::new([&noise(&[5, 8], 1), &noise(&[5, 9], 1)], WeightFormat::F32).is_err());
    }
}
