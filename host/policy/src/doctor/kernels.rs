//! Kernels that are not differentiable operations: decoding, statistics of logits, drawing, the optimiser.

use alft_kernels::{Activation, AdamWStep, Heads};
use candle_core::{DType, Device, Result as TensorResult, Tensor};

use super::check::{Check, larger, largest, numbers};
use crate::{
    cuda::{self, merge::Merge},
    error::Result,
    generate::{
        completion::{Completion, Request},
        config::SampleConfig,
        sample::sample,
        seed::Seed,
    },
    model::{
        batch::Sequence,
        config::{ModelConfig, SlidingWindow, Variant},
        init::{Normal, random},
        log_probs::log_probs,
    },
    ops::path::{Op, Path},
    policy::Policy,
};

/// Checks these kernels on a device.
pub(super) fn kernels(device: &Device) -> Vec<Check> {
    type Error = fn(&Device, DType) -> Result<f64>;
    let in_both: [(Op, Error); 6] = [
        (Op::DecodingAttention, decoding_error),
        (Op::TokenStats, token_stats_error),
        (Op::Draw, draw_error),
        (Op::DecodingStep, step_error),
        (Op::AddRows, add_rows_error),
        (Op::Merge, merge_error),
    ];
    let of = |(op, error): (Op, Error)| {
        [DType::F32, DType::BF16].map(|dtype| Check::new(op.name(), dtype, error(device, dtype)))
    };
    let adamw = Check::new(Op::AdamW.name(), DType::F32, adamw_error(device));
    in_both.into_iter().flat_map(of).chain([adamw]).collect()
}

/// Writes a cache and attends to it, with narrow heads and with wide ones that have a window.
fn decoding_error(device: &Device, dtype: DType) -> Result<f64> {
    let windowed = Heads { window: 64, ..Heads::new(6, 2, 136) };
    let of = |heads| decoding_error_of(heads, device, dtype);
    Ok(larger(of(Heads::new(6, 2, 40))?, of(windowed)?))
}

fn decoding_error_of(heads: Heads, device: &Device, dtype: DType) -> Result<f64> {
    let (places, q_width, kv_width) = (300, heads.query * heads.dim, heads.kv * heads.dim);
    // A row with one place, fewer than the kernel has warps, one with several spans, and one with an unused span between.
    let spans: [[[usize; 2]; 3]; 3] =
        [[[7, 1], [0, 0], [0, 0]], [[64, 64], [192, 3], [0, 37]], [[130, 5], [0, 0], [9, 60]]];
    let mut normal = Normal::new(9);
    let mut random = |shape: &[usize]| numbers(&mut normal, shape, &Device::Cpu)?.to_dtype(dtype);
    let q = random(&[spans.len(), q_width])?;
    let (keys, values) = (random(&[places, kv_width])?, random(&[places, kv_width])?);

    let pool = || Tensor::zeros((places, kv_width), dtype, device)?.copy();
    let (key_pool, value_pool) = (pool()?, pool()?);
    let order: Vec<u32> = (0..places as u32).map(|i| i * 7 % places as u32).collect();
    let order = Tensor::new(order.as_slice(), &Device::Cpu)?;
    let rows = |x: &Tensor| x.index_select(&order, 0)?.to_device(device);
    cuda::decoding::write(&order.to_device(device)?, &rows(&keys)?, &rows(&values)?, &key_pool, &value_pool)?;
    let table: Vec<u32> = spans.iter().flatten().flatten().map(|number| *number as u32).collect();
    let table = Tensor::from_vec(table, (spans.len(), spans[0].len(), 2), device)?;
    let got = cuda::decoding::attend(heads, &q.to_device(device)?, &key_pool, &value_pool, &table)?;

    let of_row = |(row, spans): (usize, &[[usize; 2]; 3])| {
        let ids: Vec<u32> =
            spans.iter().flat_map(|[first, count]| (*first..first + count).map(|id| id as u32)).collect();
        let ids = Tensor::new(&ids[ids.len().saturating_sub(heads.window)..], &Device::Cpu)?;
        let pick = |pool: &Tensor| {
            let rows = pool.to_dtype(DType::F64)?.index_select(&ids, 0)?;
            rows.reshape(((), heads.kv, heads.dim))?.transpose(0, 1)?.contiguous()
        };
        let q = (q.narrow(0, row, 1)?.to_dtype(DType::F64)? * heads.scale)?;
        let q = q.reshape((heads.kv, heads.repeats(), heads.dim))?;
        let weights = candle_nn::ops::softmax_last_dim(&q.matmul(&pick(&keys)?.t()?.contiguous()?)?)?;
        weights.matmul(&pick(&values)?)?.reshape((1, q_width))
    };
    let want = spans.iter().enumerate().map(of_row).collect::<TensorResult<Vec<_>>>()?;
    largest(&[got], &[Tensor::cat(&want, 0)?])
}

/// Returns by how much a drawn token's interval of the running sum misses its uniform number, or its log-probability is
/// wrong.
fn draw_error(device: &Device, dtype: DType) -> Result<f64> {
    let (rows, width, temperature) = (10, 1237, 0.7);
    let logits = (numbers(&mut Normal::new(10), &[rows, width], &Device::Cpu)? * 2.0)?.to_dtype(dtype)?;
    let uniforms: Vec<f32> = (0..rows).map(|row| (row as f32 + 0.5) / rows as f32).collect();
    let bits = Tensor::from_iter(uniforms.iter().map(|uniform| uniform.to_bits()), device)?;
    let drawn = Tensor::zeros((rows, 2), DType::U32, device)?;
    let filters = SampleConfig { temperature, ..SampleConfig::default() }.filters();
    cuda::draw::draw(&logits.to_device(device)?, &bits, None, filters, &drawn)?;
    let drawn = drawn.to_vec2::<u32>()?;
    let mut largest = 0.0;
    for (row, logits) in logits.to_dtype(DType::F64)?.to_vec2::<f64>()?.iter().enumerate() {
        let (token, uniform) = (drawn[row][0] as usize, f64::from(uniforms[row]));
        // The token for a row that is not finite is none of the vocabulary.
        if token >= width {
            return Ok(f64::INFINITY);
        }
        let weights: Vec<f64> = logits.iter().map(|logit| (logit / temperature).exp()).collect();
        let total: f64 = weights.iter().sum();
        let before = weights[..token].iter().sum::<f64>() / total;
        let p = weights[token] / total;
        let errors =
            [before - uniform, uniform - before - p, (f64::from(f32::from_bits(drawn[row][1])) - p.ln()).abs()];
        largest = errors.into_iter().fold(largest, larger);
    }
    Ok(largest)
}

/// Draws completions of two models by recorded steps, and returns by how much their log-probabilities miss those of the CPU.
fn step_error(device: &Device, dtype: DType) -> Result<f64> {
    let plain = Policy::tiny(1, device)?.config;
    // The differences of Gemma 3.
    let window = SlidingWindow { size: 4, layers: vec![0, 2], rope_theta: Some(100.0) };
    let variant = Variant {
        activation: Activation::GeluTanh,
        norms_from_one: true,
        output_norms: true,
        scaled_embedding: true,
        query_pre_attn_scalar: Some(20),
        window: Some(window),
    };
    let gemma3 = ModelConfig { qk_norm: true, variant, ..plain.clone() };
    Ok(larger(step_error_of(&plain, 5, device, dtype)?, step_error_of(&gemma3, 2, device, dtype)?))
}

fn step_error_of(model: &ModelConfig, requests: u64, device: &Device, dtype: DType) -> Result<f64> {
    let transformer = random(model, 1, device)?.computing_in(dtype);
    let policy = Policy { transformer, config: model.clone(), ..Policy::tiny(1, device)? };
    let prompts: [Vec<u32>; 2] = [5, 66].map(|tokens| (0..tokens).map(|i| i * 7 % 90 + 3).collect());
    let request =
        |sample: u64| Request { prompt: &prompts[sample as usize / 3], seed: Seed { run: 1, step: 1, sample } };
    let requests: Vec<Request<'_>> = (0..requests).map(request).collect();
    let config = SampleConfig { max_new_tokens: 5, ..SampleConfig::default() };
    let completions = Path::CudaKernel.force(|| sample(&policy, &requests, &config))?;
    let sequence = |(request, completion): (&Request<'_>, &Completion)| Sequence {
        prompt: request.prompt.to_vec(),
        completion: completion.tokens.clone(),
    };
    let sequences: Vec<Sequence> = requests.iter().zip(&completions).map(sequence).collect();
    let want = log_probs(&random(model, 1, &Device::Cpu)?, &sequences, 1.0, 1 << 20)?.concat();
    let got: Vec<f32> = completions.into_iter().flat_map(|completion| completion.log_probs).collect();
    largest(&[Tensor::new(got, &Device::Cpu)?], &[Tensor::new(want, &Device::Cpu)?])
}

fn add_rows_error(device: &Device, dtype: DType) -> Result<f64> {
    let mut normal = Normal::new(11);
    let mut random = |rows| numbers(&mut normal, &[rows, 77], &Device::Cpu)?.to_dtype(dtype);
    let (sum, rows) = (random(9)?, random(30)?);
    let ids: Vec<u32> = (0..30).map(|row| row * row % 9).collect();
    let on_device = sum.to_device(device)?.copy()?;
    cuda::add_rows::add(&on_device, &ids, &rows.to_device(device)?)?;
    let wide = |tensor: &Tensor| tensor.to_dtype(DType::F64);
    let want = wide(&sum)?.index_add(&Tensor::new(ids, &Device::Cpu)?, &wide(&rows)?, 0)?;
    largest(&[on_device], &[want])
}

/// Merges an adapter into a weight that is longer than a block's run, and converts one without an adapter.
fn merge_error(device: &Device, dtype: DType) -> Result<f64> {
    let mut normal = Normal::new(12);
    let mut random = |shape: &[usize]| numbers(&mut normal, shape, &Device::Cpu);
    let (weight, alone) = (random(&[130, 200])?, random(&[7, 30])?);
    let (a, b) = (random(&[5, 200])?, random(&[130, 5])?);
    let merge = |weight: &Tensor, adapter| -> TensorResult<Merge> {
        let merged = Tensor::zeros(weight.shape(), dtype, device)?;
        Ok(Merge { weight: weight.to_device(device)?, adapter, merged })
    };
    let adapter = (a.to_device(device)?, b.to_device(device)?, 0.5);
    let merges = [merge(&weight, Some(adapter))?, merge(&alone, None)?];
    cuda::merge::merge(&merges)?;
    let in_type = |tensor: &Tensor| tensor.to_dtype(dtype)?.to_dtype(DType::F64);
    let change = (in_type(&b)?.matmul(&in_type(&a)?)? * 0.5)?;
    let want = [(weight.to_dtype(DType::F64)? + change)?, alone];
    largest(&merges.map(|merge| merge.merged), &want)
}

fn token_stats_error(device: &Device, dtype: DType) -> Result<f64> {
    let (rows, width) = (67, 1237);
    let logits = (numbers(&mut Normal::new(7), &[rows, width], &Device::Cpu)? * 4.0)?.to_dtype(dtype)?;
    let targets: Vec<u32> = (0..rows as u32).map(|row| row * 97 % width as u32).collect();
    let on_device = logits.to_device(device)?.copy()?;
    let entropy_slopes = cuda::token_stats::entropy_slopes(&on_device)?;
    let (log_probs, entropies) =
        cuda::token_stats::in_place(&on_device, &Tensor::new(targets.as_slice(), device)?, true)?;

    let rows = logits.to_dtype(DType::F64)?.to_vec2::<f64>()?;
    let (mut want_log_probs, mut want_entropies, mut want_slopes) = (Vec::new(), Vec::new(), Vec::new());
    let mut want_entropy_slopes = Vec::new();
    for (row, target) in rows.iter().zip(&targets) {
        let log_sum = row.iter().map(|logit| logit.exp()).sum::<f64>().ln();
        want_log_probs.push(row[*target as usize] - log_sum);
        let entropy = -row.iter().map(|logit| (logit - log_sum).exp() * (logit - log_sum)).sum::<f64>();
        want_entropies.push(entropy);
        want_entropy_slopes.extend(row.iter().map(|l| -(l - log_sum).exp() * (l - log_sum + entropy)));
        let slope =
            |(token, logit): (usize, &f64)| f64::from(u8::from(token == *target as usize)) - (logit - log_sum).exp();
        want_slopes.extend(row.iter().enumerate().map(slope));
    }
    let tensor = |values: Vec<f64>| Tensor::new(values, &Device::Cpu);
    let want = [tensor(want_log_probs)?, tensor(want_entropies)?, tensor(want_slopes)?, tensor(want_entropy_slopes)?];
    largest(&[log_probs, entropies, on_device, entropy_slopes], &want)
}

/// Makes a step on two weights, of which one is longer than a block's run.
fn adamw_error(device: &Device) -> Result<f64> {
    let mut normal = Normal::new(8);
    let mut random = || -> TensorResult<Vec<Tensor>> {
        [1237, 20_000].iter().map(|count| numbers(&mut normal, &[*count], &Device::Cpu)).collect()
    };
    let (w, m, v, grad) = (random()?, random()?, random()?, random()?);
    let v = v.iter().map(Tensor::abs).collect::<TensorResult<Vec<_>>>()?;
    let step =
        AdamWStep { mean: [0.9, 0.1], square: [0.999, 0.001], decay: 0.99, rate: 0.01, root_bias: 1.5, epsilon: 1e-8 };
    let on_device = |tensors: &[Tensor]| {
        tensors.iter().map(|tensor| tensor.to_device(device)?.copy()).collect::<TensorResult<Vec<_>>>()
    };
    let (got_w, got_m, got_v, got_grad) = (on_device(&w)?, on_device(&m)?, on_device(&v)?, on_device(&grad)?);
    let [list_w, list_m, list_v, list_grad] =
        [&got_w, &got_m, &got_v, &got_grad].map(|tensors| tensors.iter().collect::<Vec<_>>());
    let got_squares = cuda::adamw::squares(&list_grad)?.sum_keepdim(0)?;
    cuda::adamw::apply(&list_w, &list_m, &list_v, &list_grad, &step)?;

    let wide = |tensor: &Tensor| tensor.to_dtype(DType::F64);
    let (mut got, mut want, mut squares) = (Vec::new(), Vec::new(), 0.0);
    for i in 0..w.len() {
        let (w, m, v, grad) = (wide(&w[i])?, wide(&m[i])?, wide(&v[i])?, wide(&grad[i])?);
        let m = ((m * f64::from(step.mean[0]))? + (&grad * f64::from(step.mean[1]))?)?;
        let v = ((v * f64::from(step.square[0]))? + (grad.sqr()? * f64::from(step.square[1]))?)?;
        let root = ((v.sqrt()? * f64::from(step.root_bias))? + f64::from(step.epsilon))?;
        let w = ((w * f64::from(step.decay))? - ((&m * f64::from(step.rate))? / root)?)?;
        squares += grad.sqr()?.sum_all()?.to_scalar::<f64>()?;
        got.extend([&got_w, &got_m, &got_v].map(|tensors| tensors[i].clone()));
        want.extend([w, m, v]);
    }
    got.push(got_squares);
    want.push(Tensor::new(&[squares], &Device::Cpu)?);
    largest(&got, &want)
}
