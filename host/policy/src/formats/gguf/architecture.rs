//! The architectures of the format that this crate knows, and their names of weights.

use super::gemma3;
use crate::model::config::Architecture;

/// An architecture of the format.
pub(super) struct GgufArchitecture {
    /// The value of `general.architecture`, with which the keys of sizes begin.
    pub(super) name: &'static str,
    /// The families that are written as this architecture. A file that is read is of the first.
    pub(super) families: &'static [Architecture],
    /// True if the two rows of a rotary pair are neighbours in the projections of queries and keys. They are half a head
    /// apart otherwise, as in Hugging Face's layout, which this crate uses.
    pub(super) interleaved: bool,
    /// True if a tensor may divide the frequencies of positions.
    pub(super) frequency_factors: bool,
    /// The names of a layer's parts: Hugging Face's, and the format's.
    parts: &'static [(&'static str, &'static str)],
}

/// The tensor that divides the frequencies of positions.
pub(super) const FREQUENCY_FACTORS: &str = "rope_freqs.weight";

/// The list in [`crate::Error::Architecture`].
pub(super) const SUPPORTED: &str =
    "llama, qwen2, qwen3, smollm3 and gemma3 in a GGUF file; for others, load the model's Hugging Face folder";

const ALL: [GgufArchitecture; 5] = [
    GgufArchitecture {
        name: "llama",
        families: &[Architecture::Llama, Architecture::Mistral],
        interleaved: true,
        frequency_factors: true,
        parts: &PARTS,
    },
    GgufArchitecture {
        name: "qwen2",
        families: &[Architecture::Qwen2],
        interleaved: false,
        frequency_factors: false,
        parts: &PARTS,
    },
    GgufArchitecture {
        name: "qwen3",
        families: &[Architecture::Qwen3],
        interleaved: false,
        frequency_factors: false,
        parts: &PARTS,
    },
    GgufArchitecture {
        name: "smollm3",
        families: &[Architecture::SmolLm3],
        interleaved: true,
        frequency_factors: false,
        parts: &PARTS,
    },
    GgufArchitecture {
        name: gemma3::NAME,
        families: &[Architecture::Gemma3],
        interleaved: false,
        frequency_factors: false,
        parts: &GEMMA3_PARTS,
    },
];

/// The parts of a layer of Llama and of those that differ little from it.
const PARTS: [(&str, &str); 11] = [
    ("input_layernorm", "attn_norm"),
    ("post_attention_layernorm", "ffn_norm"),
    ("self_attn.q_proj", "attn_q"),
    ("self_attn.k_proj", "attn_k"),
    ("self_attn.v_proj", "attn_v"),
    ("self_attn.o_proj", "attn_output"),
    ("self_attn.q_norm", "attn_q_norm"),
    ("self_attn.k_norm", "attn_k_norm"),
    ("mlp.gate_proj", "ffn_gate"),
    ("mlp.up_proj", "ffn_up"),
    ("mlp.down_proj", "ffn_down"),
];

/// The parts of a layer of Gemma 3, in which `ffn_norm` comes before the feed-forward layer and `post_attention_norm` after
/// attention.
const GEMMA3_PARTS: [(&str, &str); 13] = [
    ("input_layernorm", "attn_norm"),
    ("post_attention_layernorm", "post_attention_norm"),
    ("pre_feedforward_layernorm", "ffn_norm"),
    ("post_feedforward_layernorm", "post_ffw_norm"),
    ("self_attn.q_proj", "attn_q"),
    ("self_attn.k_proj", "attn_k"),
    ("self_attn.v_proj", "attn_v"),
    ("self_attn.o_proj", "attn_output"),
    ("self_attn.q_norm", "attn_q_norm"),
    ("self_attn.k_norm", "attn_k_norm"),
    ("mlp.gate_proj", "ffn_gate"),
    ("mlp.up_proj", "ffn_up"),
    ("mlp.down_proj", "ffn_down"),
];

/// Returns true for the weight of a normalisation, given Hugging Face's name. The format stores its factor, also where Hugging
/// Face's layout has the difference of the factor from 1.
pub(super) fn is_norm(name: &str) -> bool {
    name.ends_with("norm.weight")
}

/// Returns the architecture of this name.
pub(super) fn named(name: &str) -> Option<&'static GgufArchitecture> {
    ALL.iter().find(|architecture| architecture.name == name)
}

/// Returns the architecture that a family is written as.
pub(super) fn of(family: Architecture) -> Option<&'static GgufArchitecture> {
    ALL.iter().find(|architecture| architecture.families.contains(&family))
}

impl GgufArchitecture {
    /// Returns the format's name of a weight: `model.layers.3.mlp.up_proj.weight` is `blk.3.ffn_up.weight`.
    pub(super) fn stored_name(&self, name: &str) -> Option<String> {
        match name {
            "model.embed_tokens.weight" => return Some("token_embd.weight".to_owned()),
            "model.norm.weight" => return Some("output_norm.weight".to_owned()),
            "lm_head.weight" => return Some("output.weight".to_owned()),
            _ => (),
        }
        let (layer, part) = name.strip_prefix("model.layers.")?.split_once('.')?;
        let (part, kind) = part.rsplit_once('.')?;
        let (_, stored) = self.parts.iter().find(|(ours, _)| *ours == part)?;
        Some(format!("blk.{layer}.{stored}.{kind}"))
    }

    /// Returns the number of heads whose rows are reordered in a weight of this name; `None` for a weight that is the same
    /// in both layouts.
    pub(super) fn reordered_heads(&self, name: &str, heads: usize, kv_heads: usize) -> Option<usize> {
        let queries = name.contains(".q_proj.").then_some(heads);
        let keys = name.contains(".k_proj.").then_some(kv_heads);
        queries.or(keys).filter(|_| self.interleaved)
    }
}
