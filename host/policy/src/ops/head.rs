//! The output head: from hidden states to the log-probabilities of the tokens that followed.
//!
//! The logits of a real vocabulary are the largest tensor of a model, so they are computed for a few rows at a time and
//! not kept. The gradient for the hidden states is computed along with them: with p the softmax of the logits `h Wᵀ`, the
//! gradient of `log p[target]` for the logits is the slope `s = onehot(target) − p`, and that for `h` is `s W`.

use candle_core::{D, DType, Result, Tensor};

use super::{
    floats::{kernels_apply, with_floats_mut},
    in_place::add_product,
    linear::{linear, matmul},
    path::{Op, Path},
};
use crate::{
    cuda,
    kernels::{self, TokenStats, Transpose},
    profile,
};

/// Number of logits computed at once: 128 MiB of `f32`, because a product packs the whole head for each chunk, and on a
/// device, where each chunk waits for the loss, 128 MiB of `bf16`.
const CHUNK: usize = 1 << 25;
const DEVICE_CHUNK: usize = 1 << 26;

/// The model's prediction of some tokens.
#[derive(Debug, Clone)]
pub(crate) struct Prediction {
    /// Log-probability of each token, (tokens,).
    pub(crate) log_probs: Tensor,
    /// Entropy of the distribution over the vocabulary at each token, in nats, (tokens,); not tracked.
    pub(crate) entropies: Tensor,
}

/// The values of a prediction that its backward pass needs.
#[derive(Debug)]
pub(crate) struct HeadState {
    /// Gradient of each log-probability for its hidden state, (tokens, width).
    for_hidden: Tensor,
    /// Gradient of each log-probability for its logits, (tokens, vocabulary), if the head is trained and the tokens are one
    /// chunk. Of several chunks the backward pass computes it again, because keeping it would cost the memory that chunks
    /// save.
    slopes: Option<Tensor>,
    /// Number of rows of a chunk.
    step: usize,
}

/// Returns the number of rows whose logits are computed at once with the head `w` (vocabulary, width).
pub(crate) fn head_rows(w: &Tensor) -> usize {
    let chunk = if w.device().is_cpu() { CHUNK } else { DEVICE_CHUNK };
    (chunk / w.dims()[0].max(1)).max(1)
}

/// Predicts `targets` (tokens,) from `hidden` (tokens, width) with the head `w` (vocabulary, width), of one element type.
/// Nothing is tracked.
pub(crate) fn predict(hidden: &Tensor, w: &Tensor, targets: &[u32]) -> Result<Prediction> {
    in_chunks(hidden, w, targets, head_rows(w), false, |_| Ok(()))
}

/// Predicts as [`predict`], and keeps what the gradient of the hidden states needs, and that of the head if `trained`.
pub(crate) fn predict_for_gradient(
    hidden: &Tensor,
    w: &Tensor,
    targets: &[u32],
    trained: bool,
) -> Result<(Prediction, HeadState)> {
    predict_in_chunks(hidden, w, targets, trained, head_rows(w))
}

fn predict_in_chunks(
    hidden: &Tensor,
    w: &Tensor,
    targets: &[u32],
    trained: bool,
    step: usize,
) -> Result<(Prediction, HeadState)> {
    let _time = profile::time("head");
    let keep = trained && targets.len() <= step;
    let (mut for_hidden, mut kept) = (Vec::new(), None);
    let prediction = in_chunks(hidden, w, targets, step, true, |chunk| {
        for_hidden.push(matmul(Transpose::Neither, &chunk.slopes, w)?);
        kept = keep.then_some(chunk.slopes);
        Ok(())
    })?;
    Ok((prediction, HeadState { for_hidden: join(for_hidden)?, slopes: kept, step }))
}

impl HeadState {
    /// Returns the gradient of the hidden states (tokens, width), given that of the log-probabilities (tokens,).
    pub(crate) fn for_hidden(&self, grad: &Tensor) -> Result<Tensor> {
        let _time = profile::time("head backward");
        self.for_hidden.broadcast_mul(&grad.unsqueeze(1)?.to_dtype(self.for_hidden.dtype())?)
    }

    /// Adds the gradient of the head to `sum`: Σ over tokens of `slope ⊗ (gradient · hidden)`.
    pub(crate) fn add_for_weight(
        &self,
        mut sum: Tensor,
        hidden: &Tensor,
        w: &Tensor,
        targets: &[u32],
        grad: &Tensor,
    ) -> Result<Tensor> {
        let _time = profile::time("head backward");
        let scaled = hidden.broadcast_mul(&grad.unsqueeze(1)?.to_dtype(hidden.dtype())?)?;
        for start in (0..targets.len()).step_by(self.step) {
            let len = self.step.min(targets.len() - start);
            let slopes = match &self.slopes {
                Some(slopes) => slopes.clone(),
                None => chunk(&hidden.narrow(0, start, len)?, w, &targets[start..start + len], true)?.slopes,
            };
            sum = add_product(sum, Transpose::Lhs, &slopes, &scaled.narrow(0, start, len)?)?;
        }
        Ok(sum)
    }
}

/// Predicts in chunks, with the slopes of logits if `for_gradient`, and gives each to `keep`.
fn in_chunks(
    hidden: &Tensor,
    w: &Tensor,
    targets: &[u32],
    step: usize,
    for_gradient: bool,
    mut keep: impl FnMut(Chunk) -> Result<()>,
) -> Result<Prediction> {
    let (hidden, w) = (hidden.detach(), w.detach());
    let (mut log_probs, mut entropies) = (Vec::new(), Vec::new());
    for start in (0..targets.len()).step_by(step) {
        let len = step.min(targets.len() - start);
        let chunk = chunk(&hidden.narrow(0, start, len)?, &w, &targets[start..start + len], for_gradient)?;
        log_probs.push(chunk.log_probs.clone());
        entropies.push(chunk.entropies.clone());
        keep(chunk)?;
    }
    Ok(Prediction { log_probs: join(log_probs)?, entropies: join(entropies)? })
}

fn join(parts: Vec<Tensor>) -> Result<Tensor> {
    if parts.len() == 1 { Ok(parts[0].clone()) } else { Tensor::cat(&parts, 0) }
}

struct Chunk {
    log_probs: Tensor,
    entropies: Tensor,
    /// Gradient of each log-probability for its logits, (tokens, vocabulary); without meaning if it was not asked for.
    slopes: Tensor,
}

fn chunk(hidden: &Tensor, w: &Tensor, targets: &[u32], for_gradient: bool) -> Result<Chunk> {
    let logits = linear(hidden, w)?;
    let device = hidden.device();
    if kernels_apply(&logits) {
        let vocabulary = logits.dim(1)?;
        let mut stats = Vec::new();
        // The logits are nobody else's, so they become the slopes in place.
        with_floats_mut(&logits, |logits| {
            stats = kernels::token_stats(logits, vocabulary, targets);
            Ok(())
        })?;
        let column = |of: fn(&TokenStats) -> f32| {
            Tensor::from_vec(stats.iter().map(of).collect::<Vec<f32>>(), stats.len(), device)
        };
        return Ok(Chunk {
            log_probs: column(|stats| stats.log_prob)?,
            entropies: column(|stats| stats.entropy)?,
            slopes: logits,
        });
    }
    let ids = Tensor::from_slice(targets, targets.len(), device)?;
    if Path::of(Op::TokenStats, &logits) == Path::CudaKernel {
        let (log_probs, entropies) = cuda::token_stats::in_place(&logits, &ids, for_gradient)?;
        return Ok(Chunk { log_probs, entropies, slopes: logits });
    }
    // Sums over a vocabulary are at least f32.
    let logits = if logits.dtype() == DType::BF16 { logits.to_dtype(DType::F32)? } else { logits };
    let ids = ids.unsqueeze(1)?;
    let shifted = logits.broadcast_sub(&logits.max_keepdim(D::Minus1)?)?;
    let log_all = shifted.broadcast_sub(&shifted.exp()?.sum_keepdim(D::Minus1)?.log()?)?;
    let probabilities = log_all.exp()?;
    let ones = Tensor::ones(ids.shape(), probabilities.dtype(), device)?;
    Ok(Chunk {
        log_probs: log_all.gather(&ids, 1)?.squeeze(1)?,
        entropies: (&probabilities * &log_all)?.sum(D::Minus1)?.neg()?,
        slopes: probabilities.neg()?.scatter_add(&ids, &ones, 1)?.to_dtype(hidden.dtype())?,
    })
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Var};

    use super::{super::twins::noise, *};

    /// Returns the log-probabilities and the entropies by candle's tracked operations.
    fn twin(hidden: &Tensor, w: &Tensor, targets: &[u32]) -> [Tensor; 2] {
        let logits = hidden.matmul(&w.t().unwrap()).unwrap();
        let all = logits.broadcast_sub(&logits.exp().unwrap().sum_keepdim(1).unwrap().log().unwrap()).unwrap();
        let ids = Tensor::new(targets, hidden.device()).unwrap().unsqueeze(1).unwrap();
        let entropies = (all.exp().unwrap() * &all).unwrap().sum(1).unwrap().neg().unwrap();
        [all.gather(&ids, 1).unwrap().squeeze(1).unwrap(), entropies]
    }

    fn arguments(dtype: DType) -> [Tensor; 3] {
        [noise(&[70, 6], 1), noise(&[37, 6], 2), noise(&[70], 3)].map(|tensor| tensor.to_dtype(dtype).unwrap())
    }

    /// Returns log-probabilities, entropies, and the gradients of the hidden states and of the head, in f64.
    fn by_hand(targets: &[u32], dtype: DType, step: usize) -> Vec<Tensor> {
        let [hidden, w, grad] = arguments(dtype);
        let (prediction, state) = predict_in_chunks(&hidden, &w, targets, true, step).unwrap();
        assert_eq!(state.slopes.is_some(), step >= 70);
        let for_w = state.add_for_weight(w.zeros_like().unwrap(), &hidden, &w, targets, &grad).unwrap();
        let results = [prediction.log_probs, prediction.entropies, state.for_hidden(&grad).unwrap(), for_w];
        results.iter().map(|tensor| tensor.to_dtype(DType::F64).unwrap()).collect()
    }

    fn by_candle(targets: &[u32]) -> Vec<Tensor> {
        let [hidden, w, grad] = arguments(DType::F64);
        let (hidden, w) = (Var::from_tensor(&hidden).unwrap(), Var::from_tensor(&w).unwrap());
        let [log_probs, entropies] = twin(&hidden, &w, targets);
        let grads = (&log_probs * grad).unwrap().sum_all().unwrap().backward().unwrap();
        vec![log_probs, entropies, grads.get(&hidden).unwrap().clone(), grads.get(&w).unwrap().clone()]
    }

    #[test]
    fn values_and_gradients_agree_with_those_of_candle() {
        let targets: Vec<u32> = (0..70).map(|i| i * 7 % 37).collect();
        let want = by_candle(&targets);
        let mut runs = vec![
            (Path::CpuKernel, DType::F32),
            (Path::Fused, DType::F32),
            (Path::Fused, DType::BF16),
            (Path::Composed, DType::F64),
        ];
        if cuda::can_emulate() {
            runs.extend([(Path::CudaKernel, DType::F32), (Path::CudaKernel, DType::BF16)]);
        }
        // One chunk, and several of which the last is smaller.
        for ((path, dtype), step) in runs.into_iter().flat_map(|run| [(run, 70), (run, 16)]) {
            let bound = if dtype == DType::BF16 { 2e-2 } else { 2e-5 };
            let got = path.force(|| by_hand(&targets, dtype, step));
            for (index, (got, want)) in got.iter().zip(&want).enumerate() {
                let most = |tensor: &Tensor| tensor.abs().unwrap().max_all().unwrap().to_scalar::<f64>().unwrap();
                let error = most(&(got - want).unwrap()) / most(want).max(1.0);
                // NaN is not below the bound.
                let place = format!("{path:?} in {dtype:?}, chunks of {step}, result {index}");
                assert!(got.dims() == want.dims() && error < bound, "{place}: off by {error:e}");
            }
        }
    }

    #[test]
    fn the_element_type_is_kept() {
        let [h, w] = [noise(&[2, 6], 1), noise(&[7, 6], 2)].map(|t| t.to_dtype(DType::F64).unwrap());
        assert_eq!(predict(&h, &w, &[1, 2]).unwrap().log_probs.dtype(), DType::F64);
    }
}
