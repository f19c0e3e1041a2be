//! The scaling of positions as metadata, and as the tensor that divides the frequencies.

use std::f64::consts::TAU;

use alft_text::Foreign;
use candle_core::quantized::gguf_file::Value;

use super::{
    architecture::{FREQUENCY_FACTORS, GgufArchitecture},
    metadata::{Metadata, float, size, string},
};
use crate::{
    error::Result,
    model::{
        config::ModelConfig,
        rope::{Llama3Scaling, RopeScaling, YarnScaling},
    },
};

/// Reads the scaling of a model with this configuration, which has none yet. `context` is the one that the file names, and
/// `factors` are the divisors of the frequencies, if the file has any.
pub(super) fn read(
    metadata: &Metadata<'_>,
    architecture: &GgufArchitecture,
    config: &ModelConfig,
    context: usize,
    factors: Option<&[f64]>,
) -> Result<Option<RopeScaling>> {
    let key = |name: &str| format!("{}.rope.{name}", architecture.name);
    let number = |name: &str| metadata.optional(&key(name), float);
    let factor = number("scaling.factor")?.or(number("scale_linear")?).filter(|factor| *factor > 0.0 && *factor != 1.0);
    // A factor without a type is linear, as in the first files of the format.
    let kind = metadata.optional(&key("scaling.type"), string)?.unwrap_or("linear");
    for (name, plain) in
        [("scaling.yarn_ext_factor", 1.0), ("scaling.yarn_log_multiplier", 0.0), ("scaling.alpha", 0.0)]
    {
        if let Some(value) = number(name)?.filter(|value| *value != plain) {
            return Err(metadata.wrong(format!("`{}` is {value}, which is not supported", key(name))));
        }
    }
    let scaling = match (kind, factor) {
        ("none", _) | ("linear" | "yarn", None) => None,
        ("linear", Some(factor)) => Some(RopeScaling::Linear { factor }),
        ("yarn", Some(factor)) => {
            let multiplier = number("scaling.attn_factor")?.map(|multiplier| multiplier * yarn_attention(factor));
            Some(RopeScaling::Yarn(YarnScaling {
                factor,
                original_max_position_embeddings: metadata
                    .optional(&key("scaling.original_context_length"), size)?
                    .unwrap_or(context),
                beta_fast: number("scaling.yarn_beta_fast")?,
                beta_slow: number("scaling.yarn_beta_slow")?,
                attention_factor: number("scaling.yarn_attn_factor")?.or(multiplier),
                mscale: None,
                mscale_all_dim: None,
                truncate: true,
            }))
        }
        (other, _) => {
            let reason = format!(
                "`{}` is `{other}`, which is not supported; supported are none, linear and yarn",
                key("scaling.type"),
                other = Foreign::new(&other)
            );
            return Err(metadata.wrong(reason));
        }
    };
    match (scaling, factors) {
        (scaling, None) => Ok(scaling),
        (None, Some(factors)) => {
            let plain = config.rope().full.angles;
            let fitted = (plain.len() == factors.len()).then(|| fit(&plain, factors)).flatten();
            let wrong = || format!("the factors in `{FREQUENCY_FACTORS}` are not those of the scaling llama3");
            fitted.map(Some).ok_or_else(|| metadata.wrong(wrong()))
        }
        (Some(_), Some(_)) => {
            Err(metadata.wrong(format!("`{}` and the tensor `{FREQUENCY_FACTORS}` both scale", key("scaling.type"))))
        }
    }
}

/// Returns the metadata of a configuration's scaling. An error is the reason why the format has no names for it.
pub(super) fn write(config: &ModelConfig, architecture: &GgufArchitecture) -> Result<Vec<(String, Value)>, String> {
    let key = |name: &str| format!("{}.rope.scaling.{name}", architecture.name);
    let named = |name: &str, value: &str| (key(name), Value::String(value.to_owned()));
    let number = |name: &str, value: f64| (key(name), Value::F32(value as f32));
    match config.rope_scaling {
        None => Ok(Vec::new()),
        Some(RopeScaling::Linear { factor }) => Ok(vec![named("type", "linear"), number("factor", factor)]),
        Some(RopeScaling::Llama3(_)) if architecture.frequency_factors => Ok(Vec::new()),
        Some(RopeScaling::Llama3(_)) => {
            Err(format!("the architecture {} has no rope scaling llama3 in the format", architecture.name))
        }
        Some(RopeScaling::Yarn(scaling)) if scaling.truncate => {
            let original =
                u32::try_from(scaling.original_max_position_embeddings).map_err(|error| error.to_string())?;
            let mut values = vec![
                named("type", "yarn"),
                number("factor", scaling.factor),
                (key("original_context_length"), Value::U32(original)),
            ];
            values.extend(scaling.beta_fast.map(|beta| number("yarn_beta_fast", beta)));
            values.extend(scaling.beta_slow.map(|beta| number("yarn_beta_slow", beta)));
            let multiplier = config.rope().full.scale / yarn_attention(scaling.factor);
            if (multiplier - 1.0).abs() > 1e-6 {
                values.push(number("attn_factor", multiplier));
            }
            Ok(values)
        }
        Some(RopeScaling::Yarn(_)) => Err("the format has no rope scaling yarn without truncation".to_owned()),
    }
}

/// Returns the divisors of the frequencies that a configuration needs a tensor for.
pub(super) fn frequency_factors(config: &ModelConfig) -> Option<Vec<f32>> {
    let Some(RopeScaling::Llama3(_)) = config.rope_scaling else { return None };
    let plain = ModelConfig { rope_scaling: None, ..config.clone() }.rope().full.angles;
    Some(plain.iter().zip(config.rope().full.angles).map(|(plain, scaled)| (plain / scaled) as f32).collect())
}

/// The factor of queries and keys of yarn with this factor, unless another is named.
fn yarn_attention(factor: f64) -> f64 {
    if factor <= 1.0 { 1.0 } else { 0.1 * factor.ln() + 1.0 }
}

/// The context of pre-training that a fitted scaling names: that of Llama 3. It is only the unit of the two bounds.
const ORIGINAL: usize = 8192;

/// The largest difference between a divisor and the one of the fitted scaling, relative.
const TOLERANCE: f64 = 1e-4;

/// Finds the scaling llama3 that divides the frequencies `plain` by `factors`. `None` if there is none.
///
/// A part of each frequency is kept, and the rest is divided by the scaling's factor. The part kept is a straight line in
/// the turns that the frequency makes in the original context, from the lower bound to the upper one.
fn fit(plain: &[f64], factors: &[f64]) -> Option<RopeScaling> {
    let factor = factors.iter().copied().fold(1.0, f64::max);
    let part = |divisor: f64| (1.0 / divisor - 1.0 / factor) / (1.0 - 1.0 / factor);
    let points: Vec<(f64, f64)> =
        plain.iter().zip(factors).map(|(angle, divisor)| (ORIGINAL as f64 * angle / TAU, part(*divisor))).collect();
    let between = |(_, part): &&(f64, f64)| *part > TOLERANCE && *part < 1.0 - TOLERANCE;
    let last_kept = points.iter().rfind(|(_, part)| *part >= 1.0 - TOLERANCE);
    let first_divided = points.iter().find(|(_, part)| *part <= TOLERANCE);
    let (first, last) = match (points.iter().find(between), points.iter().rfind(between)) {
        (Some(first), Some(last)) if first != last => (first, last),
        (Some(only), _) => first_divided.map(|divided| (only, divided)).or(last_kept.map(|kept| (kept, only)))?,
        (None, _) => (last_kept?, first_divided?),
    };
    let slope = (first.1 - last.1) / (first.0 - last.0);
    let low = first.0 - first.1 / slope;
    let bounds = (low, low + 1.0 / slope);
    let rounded = |bound: f64| (bound * 1e3).round() / 1e3;
    if bounds.1.partial_cmp(&bounds.0) != Some(std::cmp::Ordering::Greater) {
        return None;
    }
    [(rounded(bounds.0), rounded(bounds.1)), bounds].into_iter().find_map(|(low, high)| {
        let scaling = Llama3Scaling {
            factor,
            low_freq_factor: low,
            high_freq_factor: high,
            original_max_position_embeddings: ORIGINAL,
        };
        let fits = |(angle, divisor): (&f64, &f64)| (angle / scaling.scaled(*angle) / divisor - 1.0).abs() < TOLERANCE;
        plain.iter().zip(factors).all(fits).then_some(RopeScaling::Llama3(scaling))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bounds_of_a_scaling_are_found_from_its_divisors() {
        let plain = |theta: f64, pairs: usize| -> Vec<f64> {
            (0..pairs).map(|pair| theta.powf(-(pair as f64) / pairs as f64)).collect()
        };
        let scaling = |factor, low_freq_factor, high_freq_factor, original_max_position_embeddings| Llama3Scaling {
            factor,
            low_freq_factor,
            high_freq_factor,
            original_max_position_embeddings,
        };
        for (theta, pairs, wanted) in [
            (500_000.0, 64, scaling(8.0, 1.0, 4.0, 8192)),
            (500_000.0, 32, scaling(32.0, 1.0, 4.0, 8192)),
            (500.0, 8, scaling(8.0, 1.0, 4.0, 16)),
            (500.0, 2, scaling(8.0, 1.0, 4.0, 16)),
            (1e6, 3, scaling(4.0, 1.0, 2.0, 100)),
        ] {
            let plain = plain(theta, pairs);
            let divisor = |angle: &f64| f64::from((angle / wanted.scaled(*angle)) as f32);
            let factors: Vec<f64> = plain.iter().map(divisor).collect();
            let Some(RopeScaling::Llama3(found)) = fit(&plain, &factors) else { panic!("{wanted:?}: {factors:?}") };
            for angle in &plain {
                assert!((found.scaled(*angle) / wanted.scaled(*angle) - 1.0).abs() < 2e-4, "{found:?}");
            }
            if wanted.original_max_position_embeddings == ORIGINAL {
                assert_eq!(found, wanted);
            }
        }
        assert_eq!(fit(&plain(500.0, 4), &[1.0, 3.0, 2.0, 8.0]), None);
        assert_eq!(fit(&plain(500.0, 4), &[1.0, 1.0, 1.0, 1.0]), None);
    }
}
