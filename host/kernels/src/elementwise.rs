//! RMSNorm, rotary embedding and sums, forward and backward.

use super::{
    parallel::{by_rows, new_rows},
    simd::{dot, fused, sum_by, vectorised},
};

/// The numbers of a normalisation besides its weight.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NormConstants {
    /// Added to the mean square: ε.
    pub epsilon: f64,
    /// Added to the weight: 1 for models that store a weight's difference from 1, else 0.
    pub offset: f64,
}

/// Computes `y = w · x / √(mean x² + ε)` for each row of `x` (rows, width).
pub fn rms_norm(x: &[f32], w: &[f32], epsilon: f32) -> Vec<f32> {
    new_rows(x.len(), w.len(), |first, out| rms_norm_rows(out, &x[first * w.len()..][..out.len()], w, epsilon))
}

vectorised! {
    fn rms_norm_rows(out: &mut [f32], x: &[f32], w: &[f32], epsilon: f32) {
        for (out, x) in out.chunks_exact_mut(w.len()).zip(x.chunks_exact(w.len())) {
            let inverse = inverse_rms::<FMA>(x, epsilon);
            for ((out, x), w) in out.iter_mut().zip(x).zip(w) {
                *out = x * inverse * w;
            }
        }
    }
}

#[inline(always)]
fn inverse_rms<const FMA: bool>(x: &[f32], epsilon: f32) -> f32 {
    1.0 / (dot::<FMA>(x, x) / x.len() as f32 + epsilon).sqrt()
}

/// Returns the gradient of [`rms_norm`] for `x`: with x̂ = x / rms, `dx = (w·g − x̂ · mean(w·g·x̂)) / rms`.
pub fn rms_norm_backward(x: &[f32], w: &[f32], grad: &[f32], epsilon: f32) -> Vec<f32> {
    new_rows(x.len(), w.len(), |first, out| {
        let range = first * w.len()..first * w.len() + out.len();
        rms_norm_backward_rows(out, &x[range.clone()], w, &grad[range], epsilon);
    })
}

vectorised! {
    fn rms_norm_backward_rows(out: &mut [f32], x: &[f32], w: &[f32], grad: &[f32], epsilon: f32) {
        let width = w.len();
        for ((out, x), grad) in out.chunks_exact_mut(width).zip(x.chunks_exact(width)).zip(grad.chunks_exact(width)) {
            let inverse = inverse_rms::<FMA>(x, epsilon);
            for ((out, grad), w) in out.iter_mut().zip(grad).zip(w) {
                *out = grad * w;
            }
            let mean = dot::<FMA>(out, x) * inverse * inverse / width as f32;
            for (out, x) in out.iter_mut().zip(x) {
                *out = fused::<FMA>(-mean, *x, *out) * inverse;
            }
        }
    }
}

/// Returns the gradient of a normalisation's weight: the sum over the rows of `grad · x / rms(x)`, in the order of the rows.
pub fn rms_norm_weight_gradient(x: &[f32], grad: &[f32], width: usize, epsilon: f32) -> Vec<f32> {
    let mut sums = vec![0f32; width];
    rms_norm_weight_rows(&mut sums, x, grad, epsilon);
    sums
}

vectorised! {
    fn rms_norm_weight_rows(sums: &mut [f32], x: &[f32], grad: &[f32], epsilon: f32) {
        let width = sums.len();
        for (x, grad) in x.chunks_exact(width).zip(grad.chunks_exact(width)) {
            let inverse = inverse_rms::<FMA>(x, epsilon);
            for ((sum, x), grad) in sums.iter_mut().zip(x).zip(grad) {
                *sum = fused::<FMA>(x * inverse, *grad, *sum);
            }
        }
    }
}

/// Rotates the heads of each row of `x` (rows, heads · dim) by the row's angles, `cos` and `sin` (rows, dim / 2):
/// element `i` of a head with element `i + dim / 2`. A `sign` of −1 rotates back.
pub fn rotate(x: &[f32], width: usize, cos: &[f32], sin: &[f32], half: usize, sign: f32) -> Vec<f32> {
    new_rows(x.len(), width, |first, out| {
        let angles = first * half..(first + out.len() / width) * half;
        rotate_rows(out, &x[first * width..][..out.len()], width, &cos[angles.clone()], &sin[angles], half, sign);
    })
}

vectorised! {
    fn rotate_rows(out: &mut [f32], x: &[f32], width: usize, cos: &[f32], sin: &[f32], half: usize, sign: f32) {
        let rows = out.chunks_exact_mut(width).zip(x.chunks_exact(width));
        for ((out, x), (cos, sin)) in rows.zip(cos.chunks_exact(half).zip(sin.chunks_exact(half))) {
            for (out, x) in out.chunks_exact_mut(2 * half).zip(x.chunks_exact(2 * half)) {
                let (low, high) = x.split_at(half);
                let (out_low, out_high) = out.split_at_mut(half);
                for i in 0..half {
                    let sin = sin[i] * sign;
                    out_low[i] = fused::<FMA>(-high[i], sin, low[i] * cos[i]);
                    out_high[i] = fused::<FMA>(low[i], sin, high[i] * cos[i]);
                }
            }
        }
    }
}

vectorised! {
    /// Returns Σ x².
    pub fn sum_of_squares(x: &[f32]) -> f32 {
        let _ = FMA;
        sum_by(x, |x| x * x)
    }
}

/// Adds `x` to `sum`, element by element.
pub fn add(sum: &mut [f32], x: &[f32]) {
    by_rows(sum, 1, |first, sum| {
        sum.iter_mut().zip(&x[first..]).for_each(|(sum, x)| *sum += x);
    });
}

/// Adds row `i` of `rows` (ids, width) to row `ids[i]` of `sum`. The rows with one id are added up first, in their order.
pub fn add_rows(sum: &mut [f32], ids: &[u32], rows: &[f32], width: usize) {
    let mut order: Vec<usize> = (0..ids.len()).collect();
    order.sort_by_key(|&row| ids[row]);
    let mut total = vec![0f32; width];
    for same in order.chunk_by(|&a, &b| ids[a] == ids[b]) {
        total.fill(0.0);
        for &row in same {
            total.iter_mut().zip(&rows[row * width..]).for_each(|(total, value)| *total += value);
        }
        let at = ids[same[0]] as usize * width;
        sum[at..at + width].iter_mut().zip(&total).for_each(|(sum, value)| *sum += value);
    }
}
