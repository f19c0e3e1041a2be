//! Tests that hold a model with quantised weights against the same model with its weights dequantised.

use candle_core::{DType, Device, Tensor};

use crate::{
    error::Result,
    formats::peft,
    generate::{
        completion::Request, config::SampleConfig, memory::SampleLoad, memory::SampleMemory, sample::sample, seed::Seed,
    },
    model::{
        batch::Sequence, companions::Companions, config::ModelConfig, gradient::Checkpointing, init::random,
        log_probs::log_probs, lora::LoraConfig, quantisation::Quantisation, tiny,
    },
    policy::Policy,
    train::{
        loss::GrpoConfig,
        schedule::Schedule,
        trainer::{OptimiserConfig, Trainer, Tuning},
    },
    twins,
};

/// Returns the configuration of a small model whose rows blocks of 32 fill, or blocks of 256 if it is `wide`.
pub(crate) fn config(wide: bool) -> ModelConfig {
    let head_dim = if wide { 64 } else { 8 };
    let hidden_size = 4 * head_dim;
    let sizes = ModelConfig { heads: 4, kv_heads: 2, head_dim, ..twins::config() };
    ModelConfig { hidden_size, intermediate_size: 2 * hidden_size, ..sizes }
}

/// Returns a policy of that configuration.
fn policy(wide: bool) -> Policy {
    let tokenizer = tiny::tokenizer().unwrap();
    let config = ModelConfig { vocab_size: tiny::config(&tokenizer).vocab_size, ..config(wide) };
    let transformer = random(&config, 3, &Device::Cpu).unwrap();
    Policy { config, tokenizer, transformer, companions: Companions::default() }
}

/// Returns the policy quantised, and the same with its weights dequantised.
fn pair(quantisation: Quantisation) -> [Policy; 2] {
    let quantised = policy(quantisation == Quantisation::Q4K).quantised(Some(quantisation)).unwrap();
    let dequantised = quantised.merged().unwrap();
    assert!(dequantised.transformer.quantised_size().elements == 0);
    [quantised, dequantised]
}

fn bits(tensor: &Tensor) -> Vec<u32> {
    let numbers = tensor.flatten_all().unwrap().to_dtype(DType::F32).unwrap().to_vec1::<f32>().unwrap();
    numbers.into_iter().map(f32::to_bits).collect()
}

fn batch(policy: &Policy) -> Vec<Sequence> {
    ["1+1=", "1+1=", "2+35="].iter().zip(["2", "11", "37"]).map(|(a, b)| policy.example(a, b).unwrap()).collect()
}

fn tuning() -> Tuning {
    Tuning::Lora(LoraConfig { rank: 2, targets: vec!["all-linear".to_owned()], ..LoraConfig::default() })
}

fn trainer(policy: Policy, tuning: &Tuning) -> Result<Trainer> {
    let schedule = Schedule { learning_rate: 1e-2, ..Schedule::default() };
    Trainer::new(policy, tuning, OptimiserConfig { schedule, ..OptimiserConfig::default() }, 1024, 1)
}

#[test]
fn gradients_are_those_of_the_dequantised_weights() {
    for quantisation in [Quantisation::Q4_0, Quantisation::Q4_1, Quantisation::Q4K, Quantisation::Q8_0] {
        let [quantised, dequantised] =
            pair(quantisation).map(|policy| twins::trainable(&policy.transformer, false, DType::F32));
        for checkpointing in [Checkpointing::Off, Checkpointing::Layers] {
            let of = |model| twins::by_hand(model, 0.7, checkpointing).iter().map(bits).collect::<Vec<_>>();
            assert_eq!(of(&quantised), of(&dequantised), "{quantisation}");
        }
    }
}

#[test]
fn a_run_is_that_of_the_dequantised_weights() {
    let [quantised, dequantised] = pair(Quantisation::Q4_0).map(|policy| {
        let mut trainer = trainer(policy, &tuning()).unwrap();
        trainer.freeze_reference().unwrap();
        let config = GrpoConfig { beta: 0.1, ..GrpoConfig::default() };
        let batch = batch(trainer.policy());
        let mut stats = Vec::new();
        for _ in 0..3 {
            stats.push(trainer.grpo_step(&batch, &[Some(1.0), Some(-1.0), Some(0.5)], &config).unwrap());
        }
        assert!(stats[0].kl == 0.0 && stats[2].kl > 0.0, "the reference is the model without adapters");
        let adapters: Vec<_> = trainer.policy().transformer.trainable().iter().map(|(_, a)| bits(a)).collect();
        let reference = log_probs(trainer.reference().unwrap(), &batch, 1.0, 1024).unwrap();
        let request = Request { prompt: &batch[0].prompt, seed: Seed { run: 1, step: 1, sample: 1 } };
        let greedy = SampleConfig { max_new_tokens: 12, temperature: 0.0, ..SampleConfig::default() };
        let text = sample(trainer.policy(), &[request], &greedy).unwrap().remove(0).tokens;
        let of_reference = sample(&trainer.reference_policy().unwrap(), &[request], &greedy).unwrap().remove(0).tokens;
        (stats, adapters, reference, text, of_reference)
    });
    assert_eq!(quantised, dequantised);
}

#[test]
fn in_bf16_the_weights_stay_quantised_and_adapters_learn() {
    let [policy, _] = pair(Quantisation::Q4_0);
    let size = policy.transformer.quantised_size();
    let policy = Policy { transformer: policy.transformer.clone().computing_in(DType::BF16), ..policy };
    let mut trainer = trainer(policy, &tuning()).unwrap();
    let batch = batch(trainer.policy());
    let losses: Vec<f64> = (0..8).map(|_| trainer.supervised_step(&batch).unwrap().loss).collect();
    assert!(losses[7] < losses[0] - 0.1, "{losses:?}");
    assert_eq!(trainer.policy().transformer.detached().unwrap().quantised_size(), size);
    let request = Request { prompt: &batch[0].prompt, seed: Seed { run: 1, step: 1, sample: 1 } };
    let config = SampleConfig { max_new_tokens: 4, ..SampleConfig::default() };
    assert!(!sample(trainer.policy(), &[request], &config).unwrap()[0].tokens.is_empty());
}

#[test]
fn an_export_is_dequantised_and_the_adapter_goes_on_from_the_same_base() {
    let [policy, _] = pair(Quantisation::Q4_0);
    let mut trained = trainer(policy.clone(), &tuning()).unwrap();
    let batch = batch(&policy);
    trained.supervised_step(&batch).unwrap();
    let scores = |policy: &Policy| log_probs(&policy.transformer, &batch, 1.0, 1024).unwrap().concat();
    let want = scores(trained.policy());
    let home = tempfile::tempdir().unwrap();
    let (export, adapter) = (home.path().join("export"), home.path().join("adapter"));
    trained.policy().save(&export).unwrap();
    for (got, want) in scores(&Policy::open(&export, &Device::Cpu).unwrap()).iter().zip(&want) {
        assert!((got - want).abs() < 2e-5, "{got} {want}");
    }
    assert!(trained.policy().save_adapter("base".as_ref(), &adapter).unwrap());
    assert_eq!(peft::config(&adapter).unwrap().targets.len(), 7);
    assert_eq!(scores(trainer(policy, &Tuning::Adapter(adapter)).unwrap().policy()), want);
}

#[test]
fn the_memory_that_is_told_has_the_blocks() {
    let plain = trainer(policy(false), &tuning()).unwrap();
    let quantised = trainer(policy(false).quantised(Some(Quantisation::Q4_1)).unwrap(), &tuning()).unwrap();
    let of = |trainer: &Trainer| trainer.update_memory(64, 32, 1);
    // 2 layers of projections of 32 × 32, half of it for keys and for values, and of 32 × 64. 20 bytes hold 32 weights.
    let weights = 2 * (3 * 32 * 32 + 3 * 32 * 64);
    assert_eq!(quantised.policy().transformer.parameter_count(), plain.policy().transformer.parameter_count());
    assert_eq!(of(&plain).weights - of(&quantised).weights, weights * 4 - weights * 20 / 32);
    assert_eq!(of(&quantised).temporaries - of(&plain).temporaries, 32 * 64 * 4);
    let load = SampleLoad { prompts: 1, longest_prompt: 8, group: 2 };
    let of = |policy| SampleMemory::new(policy, None, &SampleConfig::default(), load).unwrap().weights;
    assert_eq!(of(plain.policy()) - of(quantised.policy()), weights * 4 - weights * 20 / 32);
}

#[test]
fn what_cannot_be_quantised_or_trained_is_refused_with_the_remedy() {
    let message = |policy: Result<Policy>| policy.unwrap_err().to_string();
    assert_eq!(
        message(policy(false).quantised(Some(Quantisation::Q4K))),
        "`quantisation` cannot be `q4_k`: `model.layers.0.self_attn.q_proj.weight` has rows of 32 weights, which blocks of 256 do \
         not fill; take `q4_0`, `q4_1` or `q8_0`, whose blocks have 32"
    );
    let tiny = Policy::tiny(1, &Device::Cpu).unwrap();
    let refused = message(tiny.quantised(Some(Quantisation::Q4_0)));
    assert!(
        refused.contains("down_proj.weight` has rows of 176 weights") && refused.ends_with("leave `quantisation` out")
    );
    let [policy, _] = pair(Quantisation::Q4_0);
    let refused = |tuning: &Tuning| trainer(policy.clone(), tuning).unwrap_err().to_string();
    assert!(
        refused(&Tuning::Full).starts_with("`quantisation` keeps frozen weights in few bits, and those are trained")
    );
    let saves = |module: &str| LoraConfig { modules_to_save: vec![module.to_owned()], ..LoraConfig::default() };
    assert!(refused(&Tuning::Lora(saves("up_proj"))).contains("whose weight is quantised and cannot be trained"));
    trainer(policy.clone(), &Tuning::Lora(saves("lm_head"))).unwrap();
}
