//! The output head: from hidden states to the log-probabilities of the tokens that followed, and to the entropies.
//!
//! The logits of a real vocabulary are the largest tensor of a model, so they are computed for a few rows at a time and
//! not kept. The gradient for the hidden states is computed along with them: with p the softmax of the logits `h Wᵀ`, the
//! gradient of `log p[target]` for the logits is the slope `s = onehot(target) − p`, and that for `h` is `s W`. The gradient
//! of the entropy H for the logits is `−p (log p + H)`. It costs a second product with the head, so it is computed only for
//! a loss that depends on the entropies.

use alft_kernels::{self as kernels, TokenStats, Transpose};
use candle_core::{D, DType, Result, Tensor};

use super::{
    floats::{kernels_apply, with_floats_mut},
    in_place::{add, add_product},
    linear::{linear, matmul},
    path::{Op, Path},
};
use crate::{cuda, profile};

/// Number of logits computed at once: 128 MiB of `f32`, because a product packs the whole head for each chunk, and on a
/// device, where each chunk waits for the loss, 128 MiB of `bf16`.
const CHUNK: usize = 1 << 25;
const DEVICE_CHUNK: usize = 1 << 26;

/// The model's prediction of some tokens.
#[derive(Debug, Clone)]
pub(crate) struct Prediction {
    /// Log-probability of each token, (tokens,).
    pub(crate) log_probs: Tensor,
    /// Entropy of the distribution over the vocabulary at each token, in nats, (tokens,).
    pub(crate) entropies: Tensor,
}

/// The values of a prediction that a loss depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tracked {
    /// The log-probabilities.
    LogProbs,
    /// The log-probabilities and the entropies.
    Entropies,
}

/// The gradient of a loss for a prediction, (tokens,) each.
#[derive(Debug)]
pub(crate) struct PredictionGradient {
    pub(crate) log_probs: Tensor,
    pub(crate) entropies: Tensor,
}

/// The values of a prediction that its backward pass needs.
#[derive(Debug)]
pub(crate) struct HeadState {
    log_probs: Derivative,
    entropies: Option<Derivative>,
    /// Number of rows of a chunk.
    step: usize,
}

/// The derivative of a value of each token.
#[derive(Debug)]
struct Derivative {
    /// Gradient of each token's value for its hidden state, (tokens, width).
    for_hidden: Tensor,
    /// Gradient of each token's value for its logits, (tokens, vocabulary), if the head is trained and the tokens are one
    /// chunk. Of several chunks the backward pass computes it again, because keeping it would cost the memory that chunks
    /// save.
    slopes: Option<Tensor>,
}

/// Returns the number of rows whose logits are computed at once with the head `w` (vocabulary, width).
pub(crate) fn head_rows(w: &Tensor) -> usize {
    let chunk = if w.device().is_cpu() { CHUNK } else { DEVICE_CHUNK };
    (chunk / w.dims()[0].max(1)).max(1)
}

/// Predicts `targets` (tokens,) from `hidden` (tokens, width) with the head `w` (vocabulary, width), of one element type.
/// Nothing is tracked.
pub(crate) fn predict(hidden: &Tensor, w: &Tensor, targets: &[u32]) -> Result<Prediction> {
    in_chunks(hidden, w, targets, head_rows(w), None, |_| Ok(()))
}

/// Predicts as [`predict`], and keeps what the gradient of the hidden states needs, and that of the head if `trained`.
pub(crate) fn predict_for_gradient(
    hidden: &Tensor,
    w: &Tensor,
    targets: &[u32],
    tracked: Tracked,
    trained: bool,
) -> Result<(Prediction, HeadState)> {
    predict_in_chunks(hidden, w, targets, tracked, trained, head_rows(w))
}

fn predict_in_chunks(
    hidden: &Tensor,
    w: &Tensor,
    targets: &[u32],
    tracked: Tracked,
    trained: bool,
    step: usize,
) -> Result<(Prediction, HeadState)> {
    let _time = profile::time("head");
    let keep = trained && targets.len() <= step;
    let mut parts: [Vec<Derivative>; 2] = Default::default();
    let prediction = in_chunks(hidden, w, targets, step, Some(tracked), |chunk| {
        for (parts, slopes) in parts.iter_mut().zip(chunk.slopes) {
            let for_hidden = matmul(Transpose::Neither, &slopes, w)?;
            parts.push(Derivative { for_hidden, slopes: keep.then_some(slopes) });
        }
        Ok(())
    })?;
    let [log_probs, entropies] = parts.map(Derivative::join);
    let entropies = if tracked == Tracked::Entropies { Some(entropies?) } else { None };
    Ok((prediction, HeadState { log_probs: log_probs?, entropies, step }))
}

impl Derivative {
    /// Joins the derivatives of chunks. Those of several chunks keep no slopes.
    fn join(mut chunks: Vec<Self>) -> Result<Self> {
        match chunks.len() {
            1 => Ok(chunks.remove(0)),
            _ => {
                let for_hidden: Vec<Tensor> = chunks.into_iter().map(|chunk| chunk.for_hidden).collect();
                Ok(Self { for_hidden: Tensor::cat(&for_hidden, 0)?, slopes: None })
            }
        }
    }
}

impl HeadState {
    /// Returns the gradient of the hidden states (tokens, width), given that of the prediction.
    pub(crate) fn for_hidden(&self, grad: &PredictionGradient) -> Result<Tensor> {
        let _time = profile::time("head backward");
        let for_hidden = scale_rows(&self.log_probs.for_hidden, &grad.log_probs)?;
        match &self.entropies {
            Some(entropies) => add(for_hidden, &scale_rows(&entropies.for_hidden, &grad.entropies)?),
            None => Ok(for_hidden),
        }
    }

    /// Adds the gradient of the head to `sum`, or begins it in an element type: Σ over tokens and their values of
    /// `slope ⊗ (gradient · hidden)`.
    pub(crate) fn add_for_weight(
        &self,
        mut sum: Option<Tensor>,
        dtype: DType,
        hidden: &Tensor,
        w: &Tensor,
        targets: &[u32],
        grad: &PredictionGradient,
    ) -> Result<Tensor> {
        let _time = profile::time("head backward");
        let mut scaled = vec![scale_rows(hidden, &grad.log_probs)?];
        let mut kept: Vec<Option<&Tensor>> = vec![self.log_probs.slopes.as_ref()];
        if let Some(entropies) = &self.entropies {
            scaled.push(scale_rows(hidden, &grad.entropies)?);
            kept.push(entropies.slopes.as_ref());
        }
        let kept: Option<Vec<Tensor>> = kept.into_iter().map(|slopes| slopes.cloned()).collect();
        let tracked = if self.entropies.is_some() { Tracked::Entropies } else { Tracked::LogProbs };
        for start in (0..targets.len()).step_by(self.step) {
            let len = self.step.min(targets.len() - start);
            let slopes = match &kept {
                Some(slopes) => slopes.clone(),
                None => chunk(&hidden.narrow(0, start, len)?, w, &targets[start..start + len], Some(tracked))?.slopes,
            };
            for (slopes, scaled) in slopes.iter().zip(&scaled) {
                let scaled = scaled.narrow(0, start, len)?;
                sum = Some(match sum {
                    Some(sum) => add_product(sum, Transpose::Lhs, slopes, &scaled)?,
                    None => matmul(Transpose::Lhs, slopes, &scaled)?.to_dtype(dtype)?,
                });
            }
        }
        sum.map_or_else(|| Tensor::zeros(w.shape(), dtype, w.device()), Ok)
    }
}

/// Multiplies each row by its number.
fn scale_rows(rows: &Tensor, numbers: &Tensor) -> Result<Tensor> {
    rows.broadcast_mul(&numbers.unsqueeze(1)?.to_dtype(rows.dtype())?)
}

/// Predicts in chunks, with the slopes of what is tracked, and gives each to `keep`.
fn in_chunks(
    hidden: &Tensor,
    w: &Tensor,
    targets: &[u32],
    step: usize,
    tracked: Option<Tracked>,
    mut keep: impl FnMut(Chunk) -> Result<()>,
) -> Result<Prediction> {
    let (hidden, w) = (hidden.detach(), w.detach());
    let (mut log_probs, mut entropies) = (Vec::new(), Vec::new());
    for start in (0..targets.len()).step_by(step) {
        let len = step.min(targets.len() - start);
        let chunk = chunk(&hidden.narrow(0, start, len)?, &w, &targets[start..start + len], tracked)?;
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
    /// Gradient of each log-probability, and of each entropy if it is tracked, for its logits, (tokens, vocabulary); none if
    /// nothing is tracked.
    slopes: Vec<Tensor>,
}

fn chunk(hidden: &Tensor, w: &Tensor, targets: &[u32], tracked: Option<Tracked>) -> Result<Chunk> {
    let logits = linear(hidden, w)?;
    let device = hidden.device();
    let with_entropies = tracked == Some(Tracked::Entropies);
    if kernels_apply(&logits) {
        let vocabulary = logits.dim(1)?;
        let copy = with_entropies.then(|| logits.copy()).transpose()?;
        let mut stats = Vec::new();
        // The logits are nobody else's, so they become the slopes in place.
        with_floats_mut(&logits, |logits| {
            stats = kernels::token_stats(logits, vocabulary, targets);
            Ok(())
        })?;
        if let Some(copy) = &copy {
            with_floats_mut(copy, |logits| {
                kernels::entropy_slopes(logits, vocabulary, &stats);
                Ok(())
            })?;
        }
        let column = |of: fn(&TokenStats) -> f32| {
            Tensor::from_vec(stats.iter().map(of).collect::<Vec<f32>>(), stats.len(), device)
        };
        return Ok(Chunk {
            log_probs: column(|stats| stats.log_prob)?,
            entropies: column(|stats| stats.entropy)?,
            slopes: tracked.map(|_| logits).into_iter().chain(copy).collect(),
        });
    }
    let ids = Tensor::from_slice(targets, targets.len(), device)?;
    if Path::of(Op::TokenStats, &logits) == Path::CudaKernel {
        // The kernel of the statistics overwrites the logits.
        let for_entropies = with_entropies.then(|| cuda::token_stats::entropy_slopes(&logits)).transpose()?;
        let (log_probs, entropies) = cuda::token_stats::in_place(&logits, &ids, tracked.is_some())?;
        let slopes = tracked.map(|_| logits).into_iter().chain(for_entropies).collect();
        return Ok(Chunk { log_probs, entropies, slopes });
    }
    // Sums over a vocabulary are at least f32.
    let logits = if logits.dtype() == DType::BF16 { logits.to_dtype(DType::F32)? } else { logits };
    let ids = ids.unsqueeze(1)?;
    let shifted = logits.broadcast_sub(&logits.max_keepdim(D::Minus1)?)?;
    let log_all = shifted.broadcast_sub(&shifted.exp()?.sum_keepdim(D::Minus1)?.log()?)?;
    let probabilities = log_all.exp()?;
    let entropies = (&probabilities * &log_all)?.sum(D::Minus1)?.neg()?;
    let mut slopes = Vec::new();
    if tracked.is_some() {
        let ones = Tensor::ones(ids.shape(), probabilities.dtype(), device)?;
        slopes.push(probabilities.neg()?.scatter_add(&ids, &ones, 1)?.to_dtype(hidden.dtype())?);
    }
    if with_entropies {
        let surplus = log_all.broadcast_add(&entropies.unsqueeze(1)?)?;
        slopes.push((probabilities.neg()? * surplus)?.to_dtype(hidden.dtype())?);
    }
    Ok(Chunk { log_probs: log_all.gather(&ids, 1)?.squeeze(1)?, entropies, slopes })
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

    fn arguments(dtype: DType) -> [Tensor; 4] {
        let arguments = [noise(&[70, 6], 1), noise(&[37, 6], 2), noise(&[70], 3), noise(&[70], 4)];
        arguments.map(|tensor| tensor.to_dtype(dtype).unwrap())
    }

    /// Returns log-probabilities, entropies, and the gradients of the hidden states and of the head, in f64.
    fn by_hand(targets: &[u32], dtype: DType, tracked: Tracked, step: usize) -> Vec<Tensor> {
        let [hidden, w, log_probs, entropies] = arguments(dtype);
        let (prediction, state) = predict_in_chunks(&hidden, &w, targets, tracked, true, step).unwrap();
        assert_eq!(state.log_probs.slopes.is_some(), step >= 70);
        let grad = PredictionGradient { log_probs, entropies };
        let for_w = state.add_for_weight(None, dtype, &hidden, &w, targets, &grad).unwrap();
        let results = [prediction.log_probs, prediction.entropies, state.for_hidden(&grad).unwrap(), for_w];
        results.iter().map(|tensor| tensor.to_dtype(DType::F64).unwrap()).collect()
    }

    fn by_candle(targets: &[u32], tracked: Tracked) -> Vec<Tensor> {
        let [hidden, w, for_log_probs, for_entropies] = arguments(DType::F64);
        let (hidden, w) = (Var::from_tensor(&hidden).unwrap(), Var::from_tensor(&w).unwrap());
        let [log_probs, entropies] = twin(&hidden, &w, targets);
        let mut loss = (&log_probs * for_log_probs).unwrap().sum_all().unwrap();
        if tracked == Tracked::Entropies {
            loss = (loss + (&entropies * for_entropies).unwrap().sum_all().unwrap()).unwrap();
        }
        let grads = loss.backward().unwrap();
        vec![log_probs, entropies, grads.get(&hidden).unwrap().clone(), grads.get(&w).unwrap().clone()]
    }

    #[test]
    fn values_and_gradients_agree_with_those_of_candle() {
        let targets: Vec<u32> = (0..70).map(|i| i * 7 % 37).collect();
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
        for tracked in [Tracked::LogProbs, Tracked::Entropies] {
            let want = by_candle(&targets, tracked);
            for ((path, dtype), step) in runs.iter().flat_map(|run| [(*run, 70), (*run, 16)]) {
                let bound = if dtype == DType::BF16 { 2e-2 } else { 2e-5 };
                let got = path.force(|| by_hand(&targets, dtype, tracked, step));
                for (index, (got, want)) in got.iter().zip(&want).enumerate() {
                    let most = |tensor: &Tensor| tensor.abs().unwrap().max_all().unwrap().to_scalar::<f64>().unwrap();
                    let error = most(&(got - want).unwrap()) / most(want).max(1.0);
                    // NaN is not below the bound.
                    let place = format!("{path:?} in {dtype:?}, {tracked:?}, chunks of {step}, result {index}");
                    assert!(got.dims() == want.dims() && error < bound, "{place}: off by {error:e}");
                }
            }
        }
    }

    #[test]
    fn the_element_type_is_kept() {
        let [h, w] = [noise(&[2, 6], 1), noise(&[7, 6], 2)].map(|t| t.to_dtype(DType::F64).unwrap());
        assert_eq!(predict(&h, &w, &[1, 2]).unwrap().log_probs.dtype(), DType::F64);
    }
}
