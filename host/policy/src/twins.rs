//! Tests that hold the whole model on the CPU kernels against the same model on composed operations.

use std::sync::Arc;

use candle_core::{DType, Device, Tensor, Var};

use crate::{
    generate::{
        blocks::Blocks,
        decode::{Decoder, PromptRows, Row},
    },
    kernels::WeightFormat,
    model::{
        batch::{Batch, Sequence},
        config::{Architecture, ModelConfig},
        decoding::DecodingModel,
        init::random,
        lora::{self, LoraConfig},
        transformer::Transformer,
    },
    ops::{Places, attend, noise},
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
        tie_word_embeddings: false,
        qkv_bias: true,
        output_bias: false,
        bos_token: None,
        eos_tokens: vec![],
    }
}

/// Returns a model of that configuration.
pub(crate) fn model() -> Transformer {
    random(&config(), 3, &Device::Cpu).unwrap()
}

/// Returns the model in f64, in which it runs on composed operations as it does on other devices.
fn widened(model: &Transformer) -> Transformer {
    model.map(&mut |_, weight| Ok(weight.to_dtype(DType::F64)?)).unwrap()
}

fn assert_close(a: &Tensor, b: &Tensor) {
    let difference = (a.to_dtype(DType::F64).unwrap() - b.to_dtype(DType::F64).unwrap()).unwrap();
    let error = difference.abs().unwrap().max_all().unwrap().to_scalar::<f64>().unwrap();
    assert!(a.dims() == b.dims() && error < 1e-4, "off by {error:e}");
}

#[test]
fn kernels_and_composed_operations_give_the_same_gradients() {
    let trained = |model: &Transformer| {
        let model = model.map(&mut |_, weight| Ok(Var::from_tensor(weight)?.into_inner())).unwrap();
        let texts = [(vec![1, 2, 3], vec![4, 5, 6, 7]), (vec![1, 2, 3], vec![8]), (vec![9; 5], vec![10, 11])];
        let texts = texts.map(|(prompt, completion)| Sequence { prompt, completion });
        let prediction = model.predict(&Batch::from_sequences(&texts.iter().collect::<Vec<_>>()), 1.0).unwrap();
        let grads = prediction.log_probs.sum_all().unwrap().backward().unwrap();
        let grads = model
            .trainable()
            .into_iter()
            .map(|(name, variable)| grads.get(&variable).unwrap_or_else(|| panic!("{name} has no gradient")).clone());
        [vec![prediction.log_probs.detach(), prediction.entropies], grads.collect()].concat()
    };
    let model = model();
    let (kernels, composed) = (trained(&model), trained(&widened(&model)));
    assert_eq!(kernels.len(), 2 + 3 + 2 * 12);
    kernels.iter().zip(&composed).for_each(|(a, b)| assert_close(a, b));
}

#[test]
fn packed_weights_and_composed_operations_give_the_same_logits() {
    let prompts: [&[u32]; 2] = [&[1, 2, 3, 4, 5], &[6, 7]];
    let batch = Batch::from_prompts(&prompts);
    let groups = Arc::new(batch.groups.clone());
    let logits = |model: &DecodingModel| {
        let heads = model.transformer().heads();
        let attend = |_: usize, q: &Tensor, k: &Tensor, v: &Tensor| attend(heads, &groups, q, k, v);
        model.logits(&model.hidden_states(&batch.tokens, &batch.positions, attend).unwrap()).unwrap()
    };
    let adapted = lora::attach(&model(), &LoraConfig::default(), 1).unwrap();
    let adapted = adapted.map(&mut |name, weight| match name.ends_with("lora_B.weight") {
        true => Ok((noise(weight.dims(), 7) * 0.05)?),
        false => Ok(weight.clone()),
    });
    for model in [model(), adapted.unwrap()] {
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
        let mut decoder = Decoder::new(&model, 8);
        let mut logits = vec![decoder.prompts(&prompts).unwrap()];
        let mut own = [places(1), places(1), places(1)];
        let rows = |own: &[Places; 3], tokens: [u32; 3]| -> Tensor {
            let prompts = [&second, &first, &first];
            let rows = (0..3).map(|row| Row { token: tokens[row], prompt: prompts[row], own: &own[row] });
            decoder.step(&rows.collect::<Vec<_>>()).unwrap()
        };
        logits.push(rows(&own, [7, 8, 9]));
        own.iter_mut().for_each(|own| own.len += 1);
        logits.push(rows(&own, [10, 11, 12]));
        logits
    };
    let model = model();
    for (a, b) in decoded(&model).iter().zip(&decoded(&widened(&model))) {
        assert_close(a, b);
    }
}
