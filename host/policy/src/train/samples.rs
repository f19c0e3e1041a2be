//! The samples of a GRPO step, and the inputs of the loss that are made of them.

use candle_core::Tensor;

use crate::{
    error::Result,
    model::batch::Sequence,
    ops::Prediction,
    train::loss::{self, EntropyBonus, GrpoConfig, LossInputs},
};

/// The data of a batch of samples that the loss needs besides the policy's log-probabilities.
pub(crate) struct Samples<'a> {
    /// Advantage of each sequence; 0 for a masked one, which is not computed.
    pub(crate) advantages: &'a [f64],
    /// Weight in the loss of each token of each sequence.
    pub(crate) weights: Vec<f64>,
    /// Weight in the loss of the entropy at each token; 0 without an entropy bonus.
    pub(crate) entropy_weight: f64,
    /// Log-probabilities of each sequence under the reference, in nats; `None` without a KL penalty in the loss.
    pub(crate) reference: Option<Vec<Vec<f32>>>,
    /// Log-probabilities of each sequence under the policy that drew it, in nats; `None` if that is the current one.
    pub(crate) old: Option<Vec<Vec<f32>>>,
}

/// Sums over the tokens of a batch, for the step stats.
#[derive(Default)]
pub(crate) struct TokenSums {
    /// Number of tokens.
    pub(crate) tokens: usize,
    /// Sum of the k3 estimates of the KL divergence, in nats.
    pub(crate) kl: f64,
    /// Number of tokens whose ratio is clipped.
    pub(crate) clipped: usize,
    /// Sum of the entropies, in nats.
    pub(crate) entropy: f64,
}

impl Samples<'_> {
    /// Returns the contribution of a micro-batch to the loss of the batch, and adds its tokens to `sums`. `indices` are
    /// the sequences of the micro-batch, and `prediction` is of their completions.
    pub(crate) fn loss(
        &self,
        batch: &[Sequence],
        indices: &[usize],
        prediction: &Prediction,
        config: &GrpoConfig,
        sums: &mut TokenSums,
    ) -> Result<Tensor> {
        let device = prediction.log_probs.device();
        let lengths: Vec<usize> = indices.iter().map(|&index| batch[index].completion.len()).collect();
        let (rows, columns) = (indices.len(), lengths.iter().copied().max().unwrap_or(0));
        let current = prediction.log_probs.detach().to_vec1::<f32>()?;

        // The token at each place of the padded matrix. Padding reads token 0, and the mask hides it.
        let mut places = vec![0u32; rows * columns];
        let mut mask = vec![0f32; rows * columns];
        let (mut old, mut reference) = (vec![0f32; rows * columns], vec![0f32; rows * columns]);
        let mut token = 0;
        for (row, (&index, &length)) in indices.iter().zip(&lengths).enumerate() {
            for column in 0..length {
                let at = row * columns + column;
                (places[at], mask[at]) = (token as u32, 1.0);
                old[at] = self.old.as_ref().map_or(current[token], |old| old[index][column]);
                let now = f64::from(current[token]);
                if let Some(log_probs) = &self.reference {
                    reference[at] = log_probs[index][column];
                    let delta = f64::from(reference[at]) - now;
                    sums.kl += delta.exp_m1() - delta;
                }
                let ratio = (now - f64::from(old[at])).exp();
                sums.clipped += usize::from(config.clips(ratio, self.advantages[index]));
                token += 1;
            }
        }
        sums.tokens += token;
        sums.entropy += prediction.entropies.detach().to_vec1::<f32>()?.iter().map(|h| f64::from(*h)).sum::<f64>();

        let matrix = |values: Vec<f32>| Tensor::from_vec(values, (rows, columns), device);
        let column = |values: &[f64]| {
            Tensor::from_vec(indices.iter().map(|&i| values[i] as f32).collect::<Vec<_>>(), rows, device)
        };
        let places = Tensor::from_vec(places, rows * columns, device)?;
        let padded = |values: &Tensor| values.index_select(&places, 0)?.reshape((rows, columns));
        let bonus = |weight: f64| -> Result<EntropyBonus> {
            Ok(EntropyBonus { entropies: padded(&prediction.entropies)?, weight })
        };
        let inputs = LossInputs {
            log_probs: padded(&prediction.log_probs)?,
            old_log_probs: matrix(old)?,
            reference_log_probs: self.reference.is_some().then(|| matrix(reference)).transpose()?,
            advantages: column(self.advantages)?,
            mask: matrix(mask)?,
            token_weights: column(&self.weights)?,
            entropy: Some(self.entropy_weight).filter(|weight| *weight != 0.0).map(bonus).transpose()?,
        };
        loss::loss(&inputs, config)
    }
}
