//! The comparison of two computations.

use candle_core::{DType, Device, Result as TensorResult, Tensor};
use serde::Serialize;

use crate::{
    error::{Error, Result},
    model::init::Normal,
};

/// Largest allowed error in `f32`, relative to the largest number of the result or 1.
const BOUND_F32: f64 = 1e-4;
/// The same in `bf16`.
const BOUND_BF16: f64 = 2e-2;

/// The comparison of one computation on a device with the same one elsewhere.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Check {
    /// The operation or quantity.
    pub name: String,
    /// The number format on the device, `f32` or `bf16`.
    pub dtype: &'static str,
    /// Largest difference of an element, relative to the largest element or 1. Not a number if the device gave such.
    pub error: f64,
    /// Largest error at which the two agree.
    pub bound: f64,
    /// True if the error is within the bound.
    pub agrees: bool,
    /// The reason why the device gave no result.
    pub failure: Option<String>,
    /// Milliseconds of the kernel and of candle's operations in its place, for a training batch; `None` if not measured.
    pub times: Option<(f64, f64)>,
}

impl Check {
    pub(super) fn new(name: &str, dtype: DType, error: Result<f64>) -> Self {
        let bound = if dtype == DType::BF16 { BOUND_BF16 } else { BOUND_F32 };
        let (error, failure) = match error {
            Ok(error) => (error, None),
            Err(error) => (f64::NAN, Some(chain(&error))),
        };
        let dtype = if dtype == DType::BF16 { "bf16" } else { "f32" };
        Self { name: name.to_owned(), dtype, error, bound, agrees: error <= bound, failure, times: None }
    }
}

impl Check {
    /// Returns the check with another bound.
    pub(super) fn within(self, bound: f64) -> Self {
        Self { agrees: self.error <= bound, bound, ..self }
    }
}

/// Returns the first line of an error's text and those of its causes.
fn chain(error: &Error) -> String {
    let first_line = |error: &dyn std::error::Error| error.to_string().lines().next().unwrap_or_default().to_owned();
    let mut texts = vec![first_line(error)];
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        texts.push(first_line(error));
        source = error.source();
    }
    texts.join(": ")
}

/// Returns normal numbers.
pub(super) fn numbers(normal: &mut Normal, shape: &[usize], device: &Device) -> TensorResult<Tensor> {
    Tensor::from_vec(normal.values(shape.iter().product(), 1.0), shape, device)
}

/// Returns the largest difference of an element of any tensor, relative to the tensor's largest element or 1.
pub(super) fn largest(got: &[Tensor], want: &[Tensor]) -> Result<f64> {
    let mut largest = 0.0;
    for (got, want) in got.iter().zip(want) {
        let wide =
            |tensor: &Tensor| tensor.to_device(&Device::Cpu)?.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>();
        let (got, want) = (wide(got)?, wide(want)?);
        let scale = want.iter().fold(1.0, |most: f64, value| most.max(value.abs()));
        largest = got.iter().zip(&want).map(|(got, want)| (got - want).abs() / scale).fold(largest, larger);
    }
    Ok(largest)
}

/// Returns the larger number, or NaN if either is, which `f64::max` would drop.
pub(super) fn larger(a: f64, b: f64) -> f64 {
    if a.is_nan() || a > b { a } else { b }
}
