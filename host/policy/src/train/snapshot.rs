//! A copy of the trained weights and their optimiser, which a step of several updates goes back to when one of them fails.

use candle_core::{Tensor, Var};

use crate::{error::Result, train::adamw::AdamW};

/// The trained weights and the optimiser of a moment.
pub(crate) struct Snapshot {
    weights: Vec<Tensor>,
    /// The moments of each weight.
    moments: Vec<(Tensor, Tensor)>,
    /// Number of steps that the optimiser had made.
    steps: u64,
}

impl Snapshot {
    /// Copies weights and moments. Steps change them in place, so the copies share no storage with them.
    pub(crate) fn new(variables: &[(String, Var)], optimiser: &AdamW) -> Result<Self> {
        let weights = variables.iter().map(|(_, variable)| variable.as_detached_tensor().copy());
        let moments = optimiser.moments.iter().map(|(mean, square)| Ok((mean.copy()?, square.copy()?)));
        Ok(Self {
            weights: weights.collect::<Result<_, _>>()?,
            moments: moments.collect::<Result<_>>()?,
            steps: optimiser.steps,
        })
    }

    /// Puts the weights and the optimiser back.
    pub(crate) fn restore(self, variables: &[(String, Var)], optimiser: &mut AdamW) -> Result<()> {
        for ((_, variable), weight) in variables.iter().zip(&self.weights) {
            variable.set(weight)?;
        }
        optimiser.moments = self.moments;
        optimiser.steps = self.steps;
        Ok(())
    }

    /// Returns the bytes of the copies.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> u64 {
        let tensors = self.weights.iter().chain(self.moments.iter().flat_map(|(mean, square)| [mean, square]));
        tensors.map(|tensor| (tensor.elem_count() * tensor.dtype().size_in_bytes()) as u64).sum()
    }
}
