//! Tests that hold the whole model on the CPU kernels against the same model on composed operations.

use candle_core::{DType, Device, Tensor, Var};

use crate::{
    generate::{
        decode::Decoder,
        sample::{Request, SampleConfig, Seed, sample},
    },
    model::{
        batch::{Batch, Sequence},
        config::{Architecture, ModelConfig},
        init::random,
        lora::LoraConfig,
        transformer::Transformer,
    },
    policy::Policy,
    train::{
        adamw::AdamWConfig,
        schedule::Schedule,
        trainer::{OptimiserConfig, Trainer, Tuning},
    },
};

/// Returns a small model with every feature that a configuration can switch on.
fn model() -> Transformer {
    let config = ModelConfig {
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
    };
    random(&config, 3, &Device::Cpu).unwrap()
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
fn kernels_and_composed_operations_decode_the_same_logits() {
    let decoded = |model: &Transformer| {
        let prompts: [&[u32]; 2] = [&[1, 2, 3, 4, 5], &[6]];
        let (mut decoder, first) = Decoder::begin(model, &prompts, &[1, 0, 0], 1).unwrap();
        let second = decoder.step(&[7, 8, 9]).unwrap();
        decoder.keep(&[2, 0]).unwrap();
        [first, second, decoder.step(&[10, 11]).unwrap(), decoder.step(&[12, 13]).unwrap()]
    };
    let model = model();
    for (a, b) in decoded(&model).iter().zip(&decoded(&widened(&model))) {
        assert_close(a, b);
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
