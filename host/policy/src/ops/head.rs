//! The output head: from hidden states to the log-probabilities of the tokens that followed.
//!
//! The logits of a real vocabulary are the largest tensor of a model, so they are computed for a few rows at a time and
//! not kept. The gradient is computed along with them: with p the softmax of the logits `h Wᵀ`, the gradient of
//! `log p[target]` for `h` is `W[target] − p W`.

use candle_core::{D, Result, Tensor};

use super::{
    floats::{kernels_apply, with_floats},
    function::{Value, function},
    linear::{linear, matmul},
};
use crate::kernels::{self, TokenStats, Transpose};

/// Number of logits computed at once: 32 MiB of `f32`.
const CHUNK: usize = 1 << 23;

/// The model's prediction of some tokens.
#[derive(Debug, Clone)]
pub(crate) struct Prediction {
    /// Log-probability of each token, (tokens,); tracked.
    pub(crate) log_probs: Tensor,
    /// Entropy of the distribution over the vocabulary at each token, in nats, (tokens,); not tracked.
    pub(crate) entropies: Tensor,
}

/// Predicts `targets` (tokens,) from `hidden` (tokens, width) with the head `w` (vocabulary, width).
pub(crate) fn predict(hidden: &Tensor, w: &Tensor, targets: &[u32]) -> Result<Prediction> {
    let _time = crate::profile::time("head");
    let (rows, _) = hidden.dims2()?;
    let step = (CHUNK / w.dim(0)?).max(1);
    let (h, weight) = (hidden.detach(), w.detach());
    let (mut log_probs, mut entropies, mut slopes) = (Vec::new(), Vec::new(), Vec::new());
    for start in (0..rows).step_by(step) {
        let len = step.min(rows - start);
        let chunk = chunk(&h.narrow(0, start, len)?, &weight, &targets[start..start + len])?;
        if hidden.track_op() {
            let target_rows = weight.index_select(&chunk.targets, 0)?;
            slopes.push((target_rows - matmul(Transpose::Neither, &chunk.probabilities, &weight)?)?);
        }
        log_probs.push(chunk.log_probs);
        entropies.push(chunk.entropies);
    }
    let join = |parts: Vec<Tensor>| if parts.len() == 1 { Ok(parts[0].clone()) } else { Tensor::cat(&parts, 0) };
    let (log_probs, entropies) = (join(log_probs)?, join(entropies)?);
    let slopes = if slopes.is_empty() { None } else { Some(join(slopes)?) };
    let targets = targets.to_vec();
    let log_probs = function([hidden, w], Value::Tensor(log_probs), move |[hidden, w], grad| {
        let _time = crate::profile::time("head backward");
        let grad = grad.unsqueeze(1)?;
        let for_hidden = slopes.as_ref().map(|slopes| slopes.broadcast_mul(&grad)).transpose()?;
        let for_w =
            w.track_op().then(|| weight_gradient(&hidden.detach(), &w.detach(), &targets, &grad)).transpose()?;
        Ok([for_hidden, for_w])
    })?;
    Ok(Prediction { log_probs, entropies })
}

/// Computes the gradient for the head, the sum over rows of `(onehot(target) − p) ⊗ (gradient · h)`. The probabilities
/// are computed again, because keeping them would cost the memory that chunks save.
fn weight_gradient(hidden: &Tensor, w: &Tensor, targets: &[u32], grad: &Tensor) -> Result<Tensor> {
    let step = (CHUNK / w.dim(0)?).max(1);
    let mut sum = w.zeros_like()?;
    for start in (0..targets.len()).step_by(step) {
        let len = step.min(targets.len() - start);
        let hidden = hidden.narrow(0, start, len)?;
        let chunk = chunk(&hidden, w, &targets[start..start + len])?;
        let scaled = hidden.broadcast_mul(&grad.narrow(0, start, len)?)?;
        sum = (sum.index_add(&chunk.targets, &scaled, 0)? - matmul(Transpose::Lhs, &chunk.probabilities, &scaled)?)?;
    }
    Ok(sum)
}

struct Chunk {
    log_probs: Tensor,
    entropies: Tensor,
    probabilities: Tensor,
    targets: Tensor,
}

fn chunk(hidden: &Tensor, w: &Tensor, targets: &[u32]) -> Result<Chunk> {
    let logits = linear(hidden, w)?;
    let device = hidden.device();
    let ids = Tensor::from_slice(targets, targets.len(), device)?;
    if kernels_apply(&logits) {
        let vocabulary = logits.dim(1)?;
        let (probabilities, stats) = with_floats([&logits], |[logits]| {
            let mut rows = logits.to_vec();
            let stats = kernels::token_stats(&mut rows, vocabulary, targets);
            (rows, stats)
        })?;
        let column = |of: fn(&TokenStats) -> f32| {
            Tensor::from_vec(stats.iter().map(of).collect::<Vec<f32>>(), stats.len(), device)
        };
        return Ok(Chunk {
            log_probs: column(|stats| stats.log_prob)?,
            entropies: column(|stats| stats.entropy)?,
            probabilities: Tensor::from_vec(probabilities, logits.shape(), device)?,
            targets: ids,
        });
    }
    let shifted = logits.broadcast_sub(&logits.max_keepdim(D::Minus1)?)?;
    let log_all = shifted.broadcast_sub(&shifted.exp()?.sum_keepdim(D::Minus1)?.log()?)?;
    let probabilities = log_all.exp()?;
    Ok(Chunk {
        log_probs: log_all.gather(&ids.unsqueeze(1)?, 1)?.squeeze(1)?,
        entropies: (&probabilities * &log_all)?.sum(D::Minus1)?.neg()?,
        probabilities,
        targets: ids,
    })
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Var};

    use super::{
        super::twins::{compare, noise},
        *,
    };

    #[test]
    fn the_gradient_agrees_with_that_of_candle() {
        let targets = [3u32, 0, 10, 3];
        let variables = [noise(&[4, 6], 1), noise(&[11, 6], 2)].map(|t| Var::from_tensor(&t).unwrap());
        let grads = |loss: Tensor| {
            let grads = loss.backward().unwrap();
            variables.each_ref().map(|v| grads.get(v).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap())
        };
        let [hidden, w] = &variables;
        let weights = noise(&[4], 3);
        let prediction = predict(hidden, w, &targets).unwrap();
        let got = grads((prediction.log_probs * &weights).unwrap().sum_all().unwrap());

        let all = candle_log_softmax(&hidden.matmul(&w.t().unwrap()).unwrap());
        let ids = Tensor::new(&targets, hidden.device()).unwrap().unsqueeze(1).unwrap();
        let picked = all.gather(&ids, 1).unwrap().squeeze(1).unwrap();
        let want = grads((picked * &weights).unwrap().sum_all().unwrap());
        for (got, want) in got.iter().flatten().zip(want.iter().flatten()) {
            assert!((got - want).abs() < 1e-5);
        }
        let entropy = (all.exp().unwrap() * &all).unwrap().sum(1).unwrap().neg().unwrap();
        let error = (entropy - prediction.entropies).unwrap().abs().unwrap().max_all().unwrap();
        assert!(error.to_scalar::<f32>().unwrap() < 1e-5);
    }

    fn candle_log_softmax(logits: &Tensor) -> Tensor {
        logits.broadcast_sub(&logits.exp().unwrap().sum_keepdim(1).unwrap().log().unwrap()).unwrap()
    }

    #[test]
    fn kernel_and_twin_agree() {
        compare(&[noise(&[70, 6], 1), noise(&[37, 6], 2)], |args| {
            let targets: Vec<u32> = (0..70).map(|i| i * 7 % 37).collect();
            Ok(predict(&args[0], &args[1], &targets)?.log_probs)
        });
    }

    #[test]
    fn the_element_type_is_kept() {
        let of = |dtype| {
            let [h, w] = [noise(&[2, 6], 1), noise(&[7, 6], 2)].map(|t| t.to_dtype(dtype).unwrap());
            predict(&h, &w, &[1, 2]).unwrap().log_probs.dtype()
        };
        assert_eq!(of(DType::F64), DType::F64);
    }
}
