//! Root-mean-square normalisation.

use candle_core::{D, Result, Tensor};

use super::{
    floats::{kernels_apply, with_floats},
    function::{Value, function},
};
use crate::kernels;

/// Computes `w · x / √(mean x² + ε)` over the rows of `x` (rows, width); `w` is (width,).
///
/// Source: Zhang and Sennrich, *Root Mean Square Layer Normalization*, arXiv 1910.07467.
pub(crate) fn rms_norm(x: &Tensor, w: &Tensor, epsilon: f64) -> Result<Tensor> {
    let _time = crate::profile::time("norm");
    if !kernels_apply(x) {
        return composed(x, w, epsilon);
    }
    let floor = epsilon as f32;
    let value = with_floats([x, w], |[x, w]| kernels::rms_norm(x, w, floor))?;
    function([x, w], Value::Floats(value, x.shape().clone()), move |[x, w], grad| {
        let _time = crate::profile::time("norm backward");
        let for_x = with_floats([x, w, grad], |[x, w, grad]| kernels::rms_norm_backward(x, w, grad, floor))?;
        // The weight's gradient, Σ over rows of x̂ · gradient, is needed only if all weights are trained, and is cheap enough
        // for composed operations.
        let for_w = w
            .track_op()
            .then(|| {
                let normal = rms_norm(&x.detach(), &w.ones_like()?.detach(), epsilon)?;
                (normal * grad)?.sum(0)
            })
            .transpose()?;
        Ok([Some(Tensor::from_vec(for_x, x.shape(), x.device())?), for_w])
    })
}

fn composed(x: &Tensor, w: &Tensor, epsilon: f64) -> Result<Tensor> {
    let rms = (x.sqr()?.mean_keepdim(D::Minus1)? + epsilon)?.sqrt()?;
    x.broadcast_div(&rms)?.broadcast_mul(w)
}

#[cfg(test)]
mod tests {
    use super::{
        super::twins::{compare, noise},
        *,
    };

    #[test]
    fn kernel_and_twin_agree() {
        compare(&[noise(&[7, 37], 1), noise(&[37], 2)], |args| rms_norm(&args[0], &args[1], 1e-5));
    }
}
