//! Drawing of tokens where the logits are.

use candle_core::{DType, Result, Tensor};

use super::launch::{Launch, Number, count, require, row_threads, suffix};

/// Threads of a block at most, as in `draw.cu`.
const THREADS: usize = 512;

/// The token of a row of logits that is not finite, and the end of a list of tokens.
pub(crate) const NONE: u32 = u32::MAX;

/// The way to draw; see [`SampleConfig`](crate::SampleConfig) for the meaning of each.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Filters {
    pub(crate) temperature: f64,
    pub(crate) top_k: usize,
    pub(crate) top_p: f64,
    pub(crate) min_p: f64,
    pub(crate) repetition_penalty: f64,
}

/// Draws a token from each row of `logits` (rows, vocabulary) by the bits of `uniforms` (rows,), or the most likely token
/// for the temperature 0. `seen` (rows, tokens) has the tokens that the penalty applies to, each row ended by [`NONE`] or
/// full. Writes to `drawn` (rows, 2) the token, [`NONE`] for a row that is not finite, and the bits of its log-probability
/// under the softmax of the logits divided by the temperature (by 1 for 0). All but the logits are `u32`.
pub(crate) fn draw(
    logits: &Tensor,
    uniforms: &Tensor,
    seen: Option<&Tensor>,
    filters: Filters,
    drawn: &Tensor,
) -> Result<()> {
    let (rows, width) = logits.dims2()?;
    let greedy = filters.temperature == 0.0;
    let scale = if greedy { 1.0 } else { (1.0 / filters.temperature) as f32 };
    let row_seen = seen.map_or(Ok(0), |seen| seen.dim(1))?;
    let logits = logits.contiguous()?;
    require(&[uniforms, seen.unwrap_or(uniforms), drawn], DType::U32)?;
    let [] = Launch {
        module: "draw",
        kernel: format!("draw_{}", suffix(&[&logits])?),
        grid: [rows, 1],
        threads: row_threads(width, THREADS),
        // A bit for each token.
        shared: if row_seen > 0 { width.div_ceil(32) * 4 } else { 0 },
        inputs: &[&logits, uniforms, seen.unwrap_or(uniforms)],
        updates: &[drawn],
        outputs: &[],
        lists: &[],
        numbers: &[
            count(width)?,
            Number::F32(scale),
            Number::U32(greedy.into()),
            count(filters.top_k)?,
            Number::F32(filters.top_p as f32),
            Number::F32(filters.min_p as f32),
            Number::F32(filters.repetition_penalty as f32),
            count(row_seen)?,
        ],
    }
    .run()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::{super::can_emulate, *};
    use crate::ops::noise;

    const ALL: Filters = Filters { temperature: 1.0, top_k: 0, top_p: 1.0, min_p: 0.0, repetition_penalty: 1.0 };

    fn drawn(logits: &Tensor, uniforms: &[f32], temperature: f64) -> Vec<(u32, f32)> {
        let bits: Vec<u32> = uniforms.iter().map(|uniform| uniform.to_bits()).collect();
        let bits = Tensor::new(bits, &Device::Cpu).unwrap();
        let drawn = Tensor::zeros((uniforms.len(), 2), DType::U32, &Device::Cpu).unwrap();
        draw(logits, &bits, None, Filters { temperature, ..ALL }, &drawn).unwrap();
        drawn.to_vec2::<u32>().unwrap().iter().map(|row| (row[0], f32::from_bits(row[1]))).collect()
    }

    #[test]
    fn tokens_are_drawn_by_the_inverse_of_the_running_sum() {
        if !can_emulate() {
            return;
        }
        // More and fewer tokens than threads, and a row of several runs.
        for width in [5, 300, 1000] {
            let draws = 40;
            let logits = (noise(&[1, width], 1) * 4.0).unwrap();
            let rows = logits.broadcast_as((draws, width)).unwrap().contiguous().unwrap();
            let uniforms: Vec<f32> = (0..draws).map(|i| (i as f32 + 0.5) / draws as f32).collect();
            let weights: Vec<f64> = logits
                .flatten_all()
                .unwrap()
                .to_vec1::<f32>()
                .unwrap()
                .iter()
                .map(|l| (f64::from(*l) / 0.7).exp())
                .collect();
            let total: f64 = weights.iter().sum();
            for (uniform, (token, log_prob)) in uniforms.iter().zip(drawn(&rows, &uniforms, 0.7)) {
                // The interval of the token has the number in it, up to the rounding of sums in f32.
                let before: f64 = weights[..token as usize].iter().sum::<f64>() / total;
                let p = weights[token as usize] / total;
                let uniform = f64::from(*uniform);
                assert!(before - 1e-5 <= uniform && uniform <= before + p + 1e-5, "{token} for {uniform}");
                assert!((f64::from(log_prob) - p.ln()).abs() < 1e-4);
            }
        }
    }

    #[test]
    fn the_temperature_0_gives_the_first_of_the_most_likely_tokens() {
        if !can_emulate() {
            return;
        }
        let mut row = vec![0f32; 700];
        (row[300], row[301], row[650]) = (2.0, 2.0, 2.0);
        let logits = Tensor::from_vec(row, (1, 700), &Device::Cpu).unwrap();
        let (token, log_prob) = drawn(&logits, &[0.9], 0.0)[0];
        assert_eq!(token, 300);
        assert!((log_prob - (2.0 - (697.0 + 3.0 * 2f32.exp()).ln())).abs() < 1e-5);
    }

    #[test]
    fn a_row_that_is_not_finite_gives_no_token_and_probability_0_is_never_drawn() {
        if !can_emulate() {
            return;
        }
        // After the largest number below 1 only tokens of probability 0 follow.
        let rows = [[0f32, f32::NAN, 1.0], [f32::INFINITY, 0.0, 0.0], [0.0, 1.0, -300.0]];
        let logits = Tensor::new(&rows, &Device::Cpu).unwrap();
        let tokens = drawn(&logits, &[0.5, 0.5, 1.0 - f32::EPSILON / 2.0], 1.0);
        assert_eq!(tokens.iter().map(|(token, _)| *token).collect::<Vec<_>>(), [NONE, NONE, 1]);
    }
}
