//! The embedded tiny policy: a character model with random weights, small enough to learn arithmetic in seconds on a
//! laptop's CPU. A real model in all but size: it exports as a Hugging Face folder.

use candle_core::{Device, Tensor};
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};

use crate::{
    config::{Architecture, ModelConfig},
    error::Result,
    policy::Policy,
    tokenizer::Tokenizer,
    transformer::Transformer,
};

/// Standard deviation of the first weights.
const SPREAD: f64 = 0.08;

/// Printable ASCII and the newline, a token each.
pub(crate) fn tiny(seed: u64, device: &Device) -> Result<Policy> {
    let characters: String = std::iter::once('\n').chain(' '..='~').collect();
    let tokenizer = Tokenizer::of_characters(&["<pad>", "<eos>", "<unk>"], "<unk>", &characters)?;
    let config = ModelConfig {
        architecture: Architecture::Llama,
        vocab_size: tokenizer.vocabulary(),
        hidden_size: 64,
        intermediate_size: 176,
        layers: 3,
        heads: 4,
        kv_heads: 4,
        head_dim: 16,
        context: 512,
        rms_norm_eps: 1e-5,
        rope_theta: 10_000.0,
        rope_scaling: None,
        tie_word_embeddings: true,
        qkv_bias: false,
        output_bias: false,
        bos_token: None,
        eos_tokens: tokenizer.token_id("<eos>").into_iter().collect(),
    };
    let transformer = random(&config, seed, device)?;
    Ok(Policy { config, tokenizer, transformer, companions: Vec::new() })
}

/// A model of any shape with random weights: norms 1, biases 0, the rest normal; the projections back into the residual
/// stream are smaller by √(2 · layers), as in GPT-2, so that the stream does not grow with depth.
pub(crate) fn random(config: &ModelConfig, seed: u64, device: &Device) -> Result<Transformer> {
    let mut noise = Normal::new(seed);
    let back = 1.0 / (2.0 * config.layers as f64).sqrt();
    Transformer::build(config, &mut |name, shape| {
        let count = shape.iter().product();
        let values = match name {
            _ if name.ends_with("norm.weight") => vec![1f32; count],
            _ if name.ends_with(".bias") => vec![0f32; count],
            _ if name.contains("o_proj") || name.contains("down_proj") => noise.values(count, SPREAD * back),
            _ => noise.values(count, SPREAD),
        };
        Ok(Tensor::from_vec(values, shape, device)?)
    })
}

/// Normal numbers from a seed: the same on every device, which candle's own generator is not.
pub(crate) struct Normal(ChaCha8Rng);

impl Normal {
    pub(crate) fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// `count` numbers of mean 0 and the given standard deviation (Box and Muller).
    pub(crate) fn values(&mut self, count: usize, deviation: f64) -> Vec<f32> {
        let mut uniform = || (self.0.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
        let mut values = Vec::with_capacity(count + 1);
        while values.len() < count {
            let radius = (-2.0 * (1.0 - uniform()).ln()).sqrt() * deviation;
            let (sin, cos) = (std::f64::consts::TAU * uniform()).sin_cos();
            values.extend([(radius * cos) as f32, (radius * sin) as f32]);
        }
        values.truncate(count);
        values
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normal_numbers_are_normal_and_repeatable() {
        let values = Normal::new(7).values(20_001, 2.0);
        let mean = values.iter().sum::<f32>() / 20_001.0;
        let variance = values.iter().map(|v| v * v).sum::<f32>() / 20_001.0;
        assert!(mean.abs() < 0.05 && (variance - 4.0).abs() < 0.15, "{mean} {variance}");
        assert_eq!(values, Normal::new(7).values(20_001, 2.0));
        assert_ne!(values, Normal::new(8).values(20_001, 2.0));
    }
}
