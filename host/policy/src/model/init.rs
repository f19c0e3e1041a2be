//! Random weights, and the normal numbers that they are drawn from.

use candle_core::{Device, Tensor};
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};

use crate::{
    error::Result,
    model::{config::ModelConfig, transformer::Transformer},
};

/// Standard deviation of the initial weights.
const DEVIATION: f64 = 0.08;

/// Returns a model with random weights: the factors of norms are 1, biases 0, the rest normal. The projections back into the residual
/// stream are smaller by √(2 · layers), as in GPT-2, so that the stream does not grow with depth.
pub(crate) fn random(config: &ModelConfig, seed: u64, device: &Device) -> Result<Transformer> {
    let mut normal = Normal::new(seed);
    let norm = 1.0 - config.norm_constants().offset as f32;
    let residual_scale = 1.0 / (2.0 * config.layers as f64).sqrt();
    Transformer::build(config, &mut |name: &str, shape: &[usize]| {
        let count = shape.iter().product();
        let values = match name {
            _ if name.ends_with("norm.weight") => vec![norm; count],
            _ if name.ends_with(".bias") => vec![0f32; count],
            _ if name.contains("o_proj") || name.contains("down_proj") => {
                normal.values(count, DEVIATION * residual_scale)
            }
            _ => normal.values(count, DEVIATION),
        };
        Ok(Tensor::from_vec(values, shape, device)?)
    })
}

/// Normal numbers from a seed. They are the same on every device, which those of candle's generator are not.
pub(crate) struct Normal(ChaCha8Rng);

impl Normal {
    pub(crate) fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// Returns `count` numbers of mean 0 and the given standard deviation, by the method of Box and Muller.
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
    fn normal_numbers_have_their_mean_and_variance_and_repeat_with_the_seed() {
        let values = Normal::new(7).values(20_001, 2.0);
        let mean = values.iter().sum::<f32>() / 20_001.0;
        let variance = values.iter().map(|v| v * v).sum::<f32>() / 20_001.0;
        assert!(mean.abs() < 0.05 && (variance - 4.0).abs() < 0.15, "{mean} {variance}");
        assert_eq!(values, Normal::new(7).values(20_001, 2.0));
        assert_ne!(values, Normal::new(8).values(20_001, 2.0));
    }
}
