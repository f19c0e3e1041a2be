//! Tests that hold the whole model on the CPU kernels against the same model on composed operations.

use alft_kernels::{Activation, WeightFormat};
use std::sync::Arc;

use candle_core::{DType, Device, Tensor, Var};

use crate::{
    error::Result,
    generate::{
        blocks::Blocks,
        completion::Request,
        config::SampleConfig,
        decode::Decoder,
        row::{PromptRows, Row, RowToken},
        sample::sample,
        seed::Seed,
    },
    model::{
        batch::{Batch, Sequence},
        config::{Architecture, ModelConfig, SlidingWindow, Variant},
        decoding::DecodingModel,
        gradient::{Checkpointing, Gradients},
        init::random,
        lora::{self, LoraConfig},
        transformer::Transformer,
    },
    ops::{Packed, Places, Prediction, Tracked, attend, noise},
    policy::Policy,
    train::{
        adamw::AdamWConfig,
        schedule::Schedule,
        trainer::{OptimiserConfig, Trainer, Tuning},
    },
};

/// Returns the configuration of a small model with every feature that a configuration can switch on.
pub(crate) fn config() -> ModelConfig {
    ModelConfig {
        architecture: Architecture::Qwen2,
        vocab_size: 40,
        hidden_size: 24,
        intermediate_size: 40,
        layers: 2,
        heads: 6,
        kv_heads: 2,
        head_dim: 8,
        context_length: 64,
        rms_norm_eps: 1e-6,
        rope_theta: 1e4,
        rope_scaling: None,
        unrotated_layers: Vec::new(),
        qk_norm: false,
        variant: Variant::default(),
        tie_word_embeddings: false,
        qkv_bias: true,
        output_bias: false,
        bos_token: None,
        eos_tokens: vec![],
    }
}

/// Returns the configuration of a small model with what Gemma 3 adds, and a window that is shorter than the batch's sequences.
pub(crate) fn gemma3() -> ModelConfig {
    let window = SlidingWindow { size: 3, layers: vec![0], rope_theta: Some(100.0) };
    ModelConfig {
        architecture: Architecture::Gemma3,
        qk_norm: true,
        qkv_bias: false,
        tie_word_embeddings: true,
        variant: Variant {
            activation: Activation::GeluTanh,
            norms_from_one: true,
            output_norms: true,
            scaled_embedding: true,
            query_pre_attn_scalar: Some(11),
            window: Some(window),
        },
        ..config()
    }
}

/// Returns a model of that configuration.
pub(crate) fn model() -> Transformer {
    with_head(false)
}

/// Returns a model of [`gemma3`], whose norms differ from 1.
fn gemma3_model() -> Transformer {
    let model = random(&gemma3(), 3, &Device::Cpu).unwrap();
    let drawn = model.map(&mut |name, weight| match name.ends_with("norm.weight") {
        true => Ok((noise(weight.dims(), 9) * 0.3)?),
        false => Ok(weight.clone()),
    });
    drawn.unwrap()
}

/// Returns a model of that configuration, whose head is the embedding if it is `tied`.
fn with_head(tied: bool) -> Transformer {
    random(&ModelConfig { tie_word_embeddings: tied, ..config() }, 3, &Device::Cpu).unwrap()
}

/// Returns the model in f64, in which it runs on composed operations as it does on other devices.
fn widened(model: &Transformer) -> Transformer {
    model.map(&mut |_, weight| Ok(weight.to_dtype(DType::F64)?)).unwrap().computing_in(DType::F64)
}

fn assert_close(a: &Tensor, b: &Tensor) {
    let difference = (a.to_dtype(DType::F64).unwrap() - b.to_dtype(DType::F64).unwrap()).unwrap();
    let error = difference.abs().unwrap().max_all().unwrap().to_scalar::<f64>().unwrap();
    assert!(a.dims() == b.dims() && error < 1e-4, "off by {error:e}");
}

/// Returns a batch with a shared prompt, a completion of one token, and weights of its log-probabilities in the loss.
fn batch() -> (Batch, Vec<f32>) {
    let texts = [(vec![1, 2, 3], vec![4, 5, 6, 7]), (vec![1, 2, 3], vec![8]), (vec![9; 5], vec![10, 11])];
    let texts = texts.map(|(prompt, completion)| Sequence { prompt, completion });
    (Batch::from_sequences(&texts.iter().collect::<Vec<_>>()), vec![0.5, -1.0, 2.0, 1.0, -0.25, 1.5, 1.0])
}

/// Returns the model with all weights trained, or with trained adapters at every projection whose inputs are dropped at
/// random, in the element type.
pub(crate) fn trainable(model: &Transformer, full: bool, dtype: DType) -> Transformer {
    let adapted = if full { model.clone() } else { with_adapters(model) };
    let variable =
        |weight: &Tensor| -> Result<Tensor> { Ok(Var::from_tensor(&weight.to_dtype(dtype)?.copy()?)?.into_inner()) };
    adapted
        .map(&mut |name, weight| {
            if full || name.contains("lora") { variable(weight) } else { Ok(weight.detach().to_dtype(dtype)?) }
        })
        .and_then(|model| lora::with_dropout(&model.computing_in(dtype), [1, 2, 3]))
        .unwrap()
}

fn with_adapters(model: &Transformer) -> Transformer {
    let targets = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"].map(String::from);
    let config = LoraConfig { rank: 2, alpha: 3.0, dropout: 0.25, targets: targets.to_vec(), ..LoraConfig::default() };
    let model = lora::attach(model, &config, 7).unwrap();
    // An untrained B is 0, and the gradient of A with it.
    model
        .map(&mut |name, weight| match name.ends_with("lora_B.weight") {
            true => Ok((noise(weight.dims(), 5) * 0.1)?),
            false => Ok(weight.detach()),
        })
        .unwrap()
}

/// The weight of a token's entropy beside its log-probability.
const ENTROPY: f64 = 0.3;

/// Returns the loss and the gradients of all variables by the backward pass by hand.
pub(crate) fn by_hand(model: &Transformer, temperature: f64, checkpointing: Checkpointing) -> Vec<Tensor> {
    let (batch, weights) = batch();
    let mut grads = Gradients::default();
    let mut loss = |_, prediction: &Prediction| {
        let weights = Tensor::new(weights.as_slice(), &Device::Cpu)?.to_dtype(prediction.log_probs.dtype())?;
        let values = (&prediction.log_probs - (&prediction.entropies * ENTROPY)?)?;
        Ok((values * weights)?.sum_all()?)
    };
    let loss = model.add_gradient(&batch, temperature, checkpointing, Tracked::Entropies, &mut grads, &mut loss);
    let grads = grads.into_inner();
    let of =
        |(name, variable): &(String, Var)| grads.get(variable).unwrap_or_else(|| panic!("{name} has none")).clone();
    let loss = Tensor::new(&[loss.unwrap()], &Device::Cpu).unwrap();
    [vec![loss], model.trainable().iter().map(of).collect()].concat()
}

/// Returns the same by candle's autograd over composed operations.
fn by_candle(model: &Transformer, temperature: f64) -> Vec<Tensor> {
    let (batch, weights) = batch();
    let packed = Arc::new(Packed::new(batch.groups.clone()));
    let normal = model
        .hidden_states(&batch.tokens, &batch.positions, |layer, q, k, v| attend(model.heads(layer), &packed, q, k, v));
    let rows = normal.unwrap().index_select(&Tensor::new(batch.predictors, &Device::Cpu).unwrap(), 0).unwrap();
    let logits = (model.logits(&rows).unwrap() / temperature).unwrap();
    let all = logits.broadcast_sub(&logits.exp().unwrap().sum_keepdim(1).unwrap().log().unwrap()).unwrap();
    let ids = Tensor::new(batch.targets, &Device::Cpu).unwrap().unsqueeze(1).unwrap();
    let log_probs = all.gather(&ids, 1).unwrap().squeeze(1).unwrap();
    let entropies = (all.exp().unwrap() * &all).unwrap().sum(1).unwrap().neg().unwrap();
    let weights = Tensor::new(weights, &Device::Cpu).unwrap().to_dtype(log_probs.dtype()).unwrap();
    let values = (log_probs - (entropies * ENTROPY).unwrap()).unwrap();
    let loss = (values * weights).unwrap().sum_all().unwrap();
    let grads = loss.backward().unwrap();
    let of = |(_, variable): (String, Var)| grads.get(&variable).unwrap().clone();
    [vec![loss.reshape(1).unwrap().detach()], model.trainable().into_iter().map(of).collect()].concat()
}

#[test]
fn gradients_by_hand_are_those_of_candle() {
    for (model, weights) in [(with_head(false), 27), (with_head(true), 26), (gemma3_model(), 28)] {
        for (full, count) in [(true, weights), (false, 2 * 7 * 2)] {
            let want = by_candle(&trainable(&model, full, DType::F64), 0.7);
            assert_eq!(want.len(), 1 + count);
            // In f32 the operations are kernels, in f64 they are composed as on other devices.
            for dtype in [DType::F32, DType::F64] {
                let got = by_hand(&trainable(&model, full, dtype), 0.7, Checkpointing::Off);
                assert_eq!(got.len(), want.len());
                got.iter().zip(&want).for_each(|(a, b)| assert_close(a, b));
            }
        }
    }
}

#[test]
fn activations_that_are_computed_again_give_the_same_bits() {
    for (model, full) in [(with_head(true), true), (with_head(true), false), (gemma3_model(), true)] {
        let model = trainable(&model, full, DType::F32);
        let bits = |checkpointing| -> Vec<Vec<u32>> {
            let numbers = |tensor: &Tensor| tensor.flatten_all()?.to_dtype(DType::F32)?.to_vec1::<f32>();
            let results = by_hand(&model, 1.0, checkpointing);
            results.iter().map(|tensor| numbers(tensor).unwrap().iter().map(|v| v.to_bits()).collect()).collect()
        };
        assert_eq!(bits(Checkpointing::Off), bits(Checkpointing::Layers));
    }
}

#[test]
fn packed_weights_and_composed_operations_give_the_same_logits() {
    let prompts: [&[u32]; 2] = [&[1, 2, 3, 4, 5], &[6, 7]];
    let batch = Batch::from_prompts(&prompts);
    let packed = Arc::new(Packed::new(batch.groups.clone()));
    let logits = |model: &DecodingModel| {
        let attend = |layer: usize, q: &Tensor, k: &Tensor, v: &Tensor| {
            attend(model.transformer().heads(layer), &packed, q, k, v)
        };
        model.logits(&model.hidden_states(&batch.tokens, &batch.positions, attend).unwrap()).unwrap()
    };
    let adapted = lora::attach(&model(), &LoraConfig::default(), 1).unwrap();
    let adapted = adapted.map(&mut |name, weight| match name.ends_with("lora_B.weight") {
        true => Ok((noise(weight.dims(), 7) * 0.05)?),
        false => Ok(weight.clone()),
    });
    for model in [model(), adapted.unwrap(), gemma3_model()] {
        let packed = DecodingModel::new(&model, WeightFormat::F32).unwrap();
        // Outside of `f32` nothing is packed.
        let composed = DecodingModel::new(&widened(&model), WeightFormat::F32).unwrap();
        assert_close(&logits(&packed), &logits(&composed));
    }
}

#[test]
fn kernels_and_composed_operations_decode_the_same_logits() {
    let decoded = |model: &Transformer| {
        let model = DecodingModel::new(model, WeightFormat::F32).unwrap();
        let mut blocks = Blocks::new(8);
        let mut places = |tokens| {
            let mut places = Places::default();
            assert!(blocks.extend(&mut places, tokens));
            places
        };
        let (first, second) = (places(5), places(1));
        let prompts =
            [PromptRows { tokens: &[1, 2, 3, 4, 5], places: &first }, PromptRows { tokens: &[6], places: &second }];
        let config = SampleConfig::default();
        let decoder = Decoder::new(&model, 8, 3, 5, &config).unwrap();
        let mut logits = vec![decoder.prompts(&prompts).unwrap()];
        let mut own = [places(1), places(1), places(1)];
        let rows = |own: &[Places; 3], tokens: [u32; 3]| -> Tensor {
            let prompts = [&second, &first, &first];
            let rows =
                (0..3).map(|row| Row { token: RowToken::Known(tokens[row]), prompt: prompts[row], own: &own[row] });
            decoder.logits(&rows.collect::<Vec<_>>()).unwrap()
        };
        logits.push(rows(&own, [7, 8, 9]));
        own.iter_mut().for_each(|own| own.len += 1);
        logits.push(rows(&own, [10, 11, 12]));
        logits
    };
    for model in [with_head(false), gemma3_model()] {
        for (a, b) in decoded(&model).iter().zip(&decoded(&widened(&model))) {
            assert_close(a, b);
        }
    }
}

#[test]
fn in_bf16_the_trained_weights_are_masters_of_32_bits() {
    let policy = Policy::tiny(3, &Device::Cpu).unwrap();
    let policy = Policy { transformer: policy.transformer.clone().computing_in(DType::BF16), ..policy };
    let batch: Vec<Sequence> = ["1+1=", "2+1="].map(|prompt| policy.example(prompt, "3").unwrap()).to_vec();
    for tuning in [Tuning::Full, Tuning::Lora(LoraConfig::default())] {
        let optimiser = OptimiserConfig {
            schedule: Schedule { learning_rate: 1e-2, ..Schedule::default() },
            adamw: AdamWConfig::default(),
        };
        let mut trainer = Trainer::new(policy.clone(), &tuning, optimiser, 1024, 1).unwrap();
        let losses: Vec<f64> = (0..8).map(|_| trainer.supervised_step(&batch).unwrap().loss).collect();
        assert!(losses[7] < losses[0] - 0.1, "{losses:?}");
        let transformer = trainer.policy().transformer();
        assert!(transformer.trainable().iter().all(|(_, variable)| variable.dtype() == DType::F32));
        let frozen = transformer.weights().into_iter().filter(|(_, weight)| !weight.is_variable());
        assert!(frozen.into_iter().all(|(_, weight)| weight.dtype() == DType::BF16));
        assert!(transformer.detached().unwrap().weights().iter().all(|(_, weight)| weight.dtype() == DType::BF16));
        let request = Request { prompt: &batch[0].prompt, seed: Seed { run: 1, step: 1, sample: 1 } };
        let config = SampleConfig { max_new_tokens: 4, ..SampleConfig::default() };
        assert!(!sample(trainer.policy(), &[request], &config).unwrap()[0].tokens.is_empty());
    }
}
