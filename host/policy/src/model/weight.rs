//! The weight of a projection.

use std::sync::Arc;

use candle_core::{DType, Device, Result as TensorResult, Tensor, quantized::QTensor};

use crate::{error::Result, ops::dequantise};

/// The weight of a projection, (out, in): a tensor, or a quantised one that is dequantised for each product and dropped
/// after it.
#[derive(Debug, Clone)]
pub(crate) enum Weight {
    Plain(Tensor),
    Quantised(Arc<QTensor>),
}

impl Weight {
    /// Returns the weight for a computation. A quantised one becomes a new tensor of this type on this device; another is
    /// returned as it is.
    pub(crate) fn read(&self, dtype: DType, device: &Device) -> TensorResult<Tensor> {
        match self {
            Weight::Plain(weight) => Ok(weight.clone()),
            Weight::Quantised(weight) => dequantise(weight, dtype, device),
        }
    }

    /// Returns the weight if it is trained.
    pub(crate) fn variable(&self) -> Option<&Tensor> {
        match self {
            Weight::Plain(weight) => Some(weight).filter(|weight| weight.is_variable()),
            Weight::Quantised(_) => None,
        }
    }

    /// Returns the numbers of outputs and of inputs.
    pub(crate) fn dims2(&self) -> (usize, usize) {
        let dims = match self {
            Weight::Plain(weight) => weight.dims(),
            Weight::Quantised(weight) => weight.shape().dims(),
        };
        (dims[0], dims[1])
    }
}

/// The size of a model's quantised weights.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct QuantisedSize {
    /// Number of weights.
    pub(crate) elements: usize,
    /// Bytes that they are kept in.
    pub(crate) bytes: usize,
    /// Number of weights of the largest projection.
    pub(crate) largest: usize,
}

impl QuantisedSize {
    /// Counts a weight, if it is quantised.
    pub(crate) fn add(&mut self, weight: &Weight) {
        if let Weight::Quantised(weight) = weight {
            let elements = weight.shape().elem_count();
            self.elements += elements;
            self.bytes += weight.storage_size_in_bytes();
            self.largest = self.largest.max(elements);
        }
    }
}

/// The weights that a model is built from, by their Hugging Face names.
pub(crate) trait WeightSource {
    /// Returns a weight of the expected shape.
    fn tensor(&mut self, name: &str, shape: &[usize]) -> Result<Tensor>;

    /// Returns the weight of a projection, of the expected shape.
    fn projection(&mut self, name: &str, shape: &[usize]) -> Result<Weight>;
}

/// A function of the name and the shape is a source of weights that are not quantised.
impl<F: FnMut(&str, &[usize]) -> Result<Tensor>> WeightSource for F {
    fn tensor(&mut self, name: &str, shape: &[usize]) -> Result<Tensor> {
        self(name, shape)
    }

    fn projection(&mut self, name: &str, shape: &[usize]) -> Result<Weight> {
        Ok(Weight::Plain(self(name, shape)?))
    }
}
