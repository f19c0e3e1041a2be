//! The memory of an update, known before a run starts.

use std::fmt;

use candle_core::DType;

use crate::{
    model::{gradient::Checkpointing, transformer::Transformer},
    ops::head_rows,
};

/// The largest memory that an update of the policy takes, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UpdateMemory {
    /// The policy's weights, adapters included; quantised ones in their blocks.
    pub weights: u64,
    /// Copies of the trained weights for the reference policy.
    pub reference: u64,
    /// The optimiser's two moments of each trained weight.
    pub optimiser: u64,
    /// Copies of the trained weights and their moments, which a step of several updates goes back to when one of them fails.
    pub snapshot: u64,
    /// The gradients of the trained weights.
    pub gradients: u64,
    /// The activations that are kept from the forward to the backward pass.
    pub activations: u64,
    /// Everything that is computed for one layer, or for a chunk of logits, and not kept.
    pub temporaries: u64,
    /// Number of tokens that are computed at once.
    pub tokens: usize,
}

impl UpdateMemory {
    /// Computes the memory of an update of `trained` weights on `tokens` tokens at once, in a step of `updates` updates.
    pub(crate) fn new(
        model: &Transformer,
        trained: usize,
        checkpointing: Checkpointing,
        tokens: usize,
        updates: usize,
    ) -> Self {
        let floats = |count: usize| (count * size_of::<f32>()) as u64;
        // Numbers in the type of activations. Of weights trained in another type each pass has a copy in this one.
        let numbers = |count: usize| (count * model.dtype().size_in_bytes()) as u64;
        let masters = if model.dtype() == DType::F32 { 0 } else { trained };
        let width = model.widths();
        let (layer, again) = match checkpointing {
            Checkpointing::Off => (width.kept(), 0),
            Checkpointing::Layers => (width.hidden, width.kept()),
        };
        // In the backward pass of a layer: the stream's gradient and two more of its width, the recomputed input of a product,
        // and the gradients of the gated unit's arguments and value. The head has its rows, their slopes and their gradients.
        // Where outputs are normalised, the gradient of one is there beside that of the stream.
        let rows = again + (5 + usize::from(width.output_norms)) * width.hidden + 4 * width.intermediate;
        // A quantised weight is dequantised to f32 for its product, and converted to the type of activations.
        let quantised = model.quantised_size();
        let converted = if model.dtype() == DType::F32 { 0 } else { numbers(quantised.largest) };
        // A chunk of logits exists with a copy while it is computed.
        let logits = 2 * head_rows(model.head()).min(tokens) * model.vocab_size();
        Self {
            weights: floats(masters) + numbers(model.parameter_count() - quantised.elements) + quantised.bytes as u64,
            reference: floats(trained),
            optimiser: floats(2 * trained),
            snapshot: if updates > 1 { floats(3 * trained) } else { 0 },
            gradients: floats(trained),
            activations: numbers(tokens * (layer * model.layer_count() + width.hidden)),
            temporaries: numbers(tokens * rows + logits) + floats(quantised.largest) + converted,
            tokens,
        }
    }

    /// Returns the advice for an update that found too little memory, and the saving of each remedy.
    pub(crate) fn remedy(model: &Transformer, trained: usize, checkpointing: Checkpointing, tokens: usize) -> String {
        let total = |checkpointing, tokens| Self::new(model, trained, checkpointing, tokens, 1).total();
        let now = total(checkpointing, tokens);
        let saved = |total: u64| now.saturating_sub(total) >> 20;
        let half = saved(total(checkpointing, tokens / 2));
        let lower = format!("lower `token_budget` to {}, which saves about {half} MiB", tokens / 2);
        match checkpointing {
            Checkpointing::Layers => lower,
            Checkpointing::Off => {
                let again = saved(total(Checkpointing::Layers, tokens));
                format!("{lower}, or set `activation_checkpointing = true`, which saves about {again} MiB")
            }
        }
    }

    /// Returns the sum, in bytes.
    pub fn total(&self) -> u64 {
        self.weights
            + self.reference
            + self.optimiser
            + self.snapshot
            + self.gradients
            + self.activations
            + self.temporaries
    }
}

impl fmt::Display for UpdateMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = |bytes: u64| bytes.div_ceil(1 << 20);
        write!(
            f,
            "an update takes at most {} MiB: weights {}, reference {}, optimiser {}, ",
            mib(self.total()),
            mib(self.weights),
            mib(self.reference),
            mib(self.optimiser),
        )?;
        if self.snapshot > 0 {
            write!(f, "snapshot {}, ", mib(self.snapshot))?;
        }
        write!(
            f,
            "gradients {}, activations {}, temporaries {}; {} tokens at once",
            mib(self.gradients),
            mib(self.activations),
            mib(self.temporaries),
            self.tokens,
        )
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use crate::{
        policy::Policy,
        train::{
            snapshot::Snapshot,
            trainer::{OptimiserConfig, Trainer, Tuning},
        },
    };

    #[test]
    fn the_snapshot_of_several_updates_is_a_copy_of_the_weights_and_their_moments() {
        let policy = Policy::tiny(1, &Device::Cpu).unwrap();
        let trainer = Trainer::new(policy, &Tuning::Full, OptimiserConfig::default(), 64, 0).unwrap();
        let (one, two) = (trainer.update_memory(64, 8, 1), trainer.update_memory(64, 8, 2));
        let snapshot = Snapshot::new(&trainer.variables, &trainer.optimiser).unwrap().bytes();
        assert_eq!((one.snapshot, two.snapshot, two.total() - one.total()), (0, snapshot, snapshot));
        assert!(!one.to_string().contains("snapshot") && two.to_string().contains(", snapshot 2, "), "{two}");
    }
}
