//! Drawing of tokens where the logits are.

use candle_core::{DType, Result, Tensor};

use super::launch::{Launch, Number, count, suffix};

/// Threads of a block, as in `draw.cu`.
const THREADS: usize = 256;

/// The token of a row of logits that is not finite.
pub(crate) const NONE: u32 = u32::MAX;

/// Draws a token from each row of `logits` (rows, vocabulary) by `uniforms` (rows,), `f32`, or the most likely token for the
/// temperature 0. Returns the tokens, (rows,), `u32`, with [`NONE`] for a row that is not finite, and their log-probabilities under
/// the softmax of the logits divided by the temperature (by 1 for 0), (rows,), `f32`.
pub(crate) fn draw(logits: &Tensor, uniforms: &Tensor, temperature: f64) -> Result<(Tensor, Tensor)> {
    let (rows, width) = logits.dims2()?;
    let greedy = temperature == 0.0;
    let scale = if greedy { 1.0 } else { (1.0 / temperature) as f32 };
    let logits = logits.contiguous()?;
    let [tokens, log_probs] = Launch {
        module: "draw",
        kernel: format!("draw_{}", suffix(logits.dtype())?),
        grid: [rows, 1],
        threads: THREADS,
        shared: 0,
        inputs: &[&logits, uniforms],
        updates: &[],
        outputs: &[(&[rows], DType::U32), (&[rows], DType::F32)],
        numbers: &[count(width)?, Number::F32(scale), Number::U32(greedy.into())],
    }
    .run()?;
    Ok((tokens, log_probs))
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::{super::can_emulate, *};
    use crate::ops::noise;

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
            let uniforms_tensor = Tensor::new(uniforms.as_slice(), &Device::Cpu).unwrap();
            let (tokens, log_probs) = draw(&rows, &uniforms_tensor, 0.7).unwrap();
            let weights: Vec<f64> = logits
                .flatten_all()
                .unwrap()
                .to_vec1::<f32>()
                .unwrap()
                .iter()
                .map(|l| (f64::from(*l) / 0.7).exp())
                .collect();
            let total: f64 = weights.iter().sum();
            let (tokens, log_probs) = (tokens.to_vec1::<u32>().unwrap(), log_probs.to_vec1::<f32>().unwrap());
            for ((uniform, token), log_prob) in uniforms.iter().zip(tokens).zip(log_probs) {
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
        let (tokens, log_probs) = draw(&logits, &Tensor::new(&[0.9f32], &Device::Cpu).unwrap(), 0.0).unwrap();
        assert_eq!(tokens.to_vec1::<u32>().unwrap(), [300]);
        let want = 2.0 - (697.0 + 3.0 * 2f32.exp()).ln();
        assert!((log_probs.to_vec1::<f32>().unwrap()[0] - want).abs() < 1e-5);
    }

    #[test]
    fn a_row_that_is_not_finite_gives_no_token_and_probability_0_is_never_drawn() {
        if !can_emulate() {
            return;
        }
        // After the largest number below 1 only tokens of probability 0 follow.
        let rows = [[0f32, f32::NAN, 1.0], [f32::INFINITY, 0.0, 0.0], [0.0, 1.0, -300.0]];
        let logits = Tensor::new(&rows, &Device::Cpu).unwrap();
        let uniforms = Tensor::new(&[0.5f32, 0.5, 1.0 - f32::EPSILON / 2.0], &Device::Cpu).unwrap();
        assert_eq!(draw(&logits, &uniforms, 1.0).unwrap().0.to_vec1::<u32>().unwrap(), [NONE, NONE, 1]);
    }
}
