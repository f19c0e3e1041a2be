//! The memory of an update, known before a run starts.

use std::fmt;

use crate::{
    model::{gradient::Checkpointing, transformer::Transformer},
    ops::head_rows,
};

/// The largest memory that an update of the policy takes, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UpdateMemory {
    /// The policy's weights, adapters included.
    pub weights: u64,
    /// Copies of the trained weights for the reference policy.
    pub reference: u64,
    /// The optimiser's two moments of each trained weight.
    pub optimiser: u64,
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
    /// Computes the memory of an update on `tokens` tokens at once.
    pub(crate) fn new(model: &Transformer, trained: usize, checkpointing: Checkpointing, tokens: usize) -> Self {
        const FLOAT: usize = size_of::<f32>();
        let bytes = |floats: usize| (floats * FLOAT) as u64;
        let width = model.widths();
        let (layer, again) = match checkpointing {
            Checkpointing::Off => (width.kept(), 0),
            Checkpointing::Layers => (width.hidden, width.kept()),
        };
        // In the backward pass of a layer: the stream's gradient and two more of its width, the recomputed input of a product,
        // and the gradients of SwiGLU's arguments and value. The head has its rows, their slopes and their gradients.
        let rows = again + 5 * width.hidden + 4 * width.intermediate;
        // A chunk of logits exists with a copy while it is computed.
        let logits = 2 * head_rows(model.head()).min(tokens) * model.vocab_size();
        Self {
            weights: bytes(model.parameter_count()),
            reference: bytes(trained),
            optimiser: bytes(2 * trained),
            gradients: bytes(trained),
            activations: bytes(tokens * (layer * model.layer_count() + width.hidden)),
            temporaries: bytes(tokens * rows + logits),
            tokens,
        }
    }

    /// Returns the sum, in bytes.
    pub fn total(&self) -> u64 {
        self.weights + self.reference + self.optimiser + self.gradients + self.activations + self.temporaries
    }
}

impl fmt::Display for UpdateMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = |bytes: u64| bytes.div_ceil(1 << 20);
        write!(
            f,
            "an update takes at most {} MiB: weights {}, reference {}, optimiser {}, gradients {}, activations {}, \
             temporaries {}; {} tokens at once",
            mib(self.total()),
            mib(self.weights),
            mib(self.reference),
            mib(self.optimiser),
            mib(self.gradients),
            mib(self.activations),
            mib(self.temporaries),
            self.tokens,
        )
    }
}
