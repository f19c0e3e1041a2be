//! Tests of training: every trainable weight learns, and a resumed run continues bit for bit.

use std::{collections::BTreeMap, fs, path::Path};

use alft_policy::{
    AdamWConfig, Aggregation, Decay, Device, Error, GrpoConfig, GrpoStats, ImportanceSampling, KlPenalty, LoraConfig,
    OptimiserConfig, Policy, Request, SampleConfig, Schedule, Seed, Sequence, Trainer, Transformer, Tuning, checkpoint,
    log_probs, sample,
};

fn optimiser(learning_rate: f64) -> OptimiserConfig {
    OptimiserConfig {
        schedule: Schedule {
            learning_rate,
            warmup_steps: 2,
            decay: Decay::Cosine,
            total_steps: 1000,
            decay_steps: None,
        },
        adamw: AdamWConfig { weight_decay: 0.01, ..AdamWConfig::default() },
    }
}

fn all_projections() -> Tuning {
    let targets = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"];
    Tuning::Lora(LoraConfig {
        rank: 8,
        alpha: 32.0,
        targets: targets.map(String::from).to_vec(),
        ..LoraConfig::default()
    })
}

/// Adapters with dropout, and the embedding and the norms trained whole.
fn with_whole_modules() -> Tuning {
    let modules_to_save = ["embed_tokens", "norm"].map(String::from).to_vec();
    Tuning::Lora(LoraConfig { dropout: 0.1, modules_to_save, ..LoraConfig::default() })
}

fn trainer(tuning: &Tuning, learning_rate: f64, token_budget: usize) -> Trainer {
    Trainer::new(Policy::tiny(7, &Device::Cpu).unwrap(), tuning, optimiser(learning_rate), token_budget, 5).unwrap()
}

fn examples(policy: &Policy) -> Vec<Sequence> {
    let texts = [("1+1=", "2"), ("1+1=", "two"), ("12+34=", "46"), ("say hello:", " hello, you"), ("x", "")];
    texts.iter().map(|(prompt, completion)| policy.example(prompt, completion).unwrap()).collect()
}

/// Returns the name and the numbers of every trainable weight.
fn weights(trainer: &Trainer) -> Vec<(String, Vec<f32>)> {
    let numbers = |v: &candle_core::Var| v.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    trainer.policy().transformer().trainable().iter().map(|(name, v)| (name.clone(), numbers(v))).collect()
}

#[test]
fn every_trainable_weight_moves() {
    for (tuning, count) in [
        (Tuning::Full, 1 + 3 * 9 + 1),
        (all_projections(), 3 * 7 * 2),
        (with_whole_modules(), 3 * 2 * 2 + 1 + 3 * 2 + 1),
    ] {
        // Without weight decay, a weight without a gradient does not move.
        let mut trainer = trainer(&tuning, 1e-2, 4096);
        let plain = AdamWConfig { weight_decay: 0.0, ..AdamWConfig::default() };
        trainer.begin_phase(OptimiserConfig { adamw: plain, ..optimiser(1e-2) }).unwrap();
        let batch = examples(trainer.policy());
        let before = weights(&trainer);
        assert_eq!(before.len(), count);
        // Two steps are needed, because the gradient of an adapter's A is 0 while its B is 0.
        trainer.supervised_step(&batch).unwrap();
        trainer.supervised_step(&batch).unwrap();
        for ((name, before), (_, after)) in before.iter().zip(&weights(&trainer)) {
            let moved = before.iter().zip(after).filter(|(a, b)| a != b).count();
            // The embedding's rows of characters that do not occur move too, because the embedding is also the head.
            assert!(moved * 10 > before.len() * 9, "{moved} of {} numbers of {name} moved", before.len());
        }
    }
}

#[test]
fn gradients_agree_with_differences_of_the_loss() {
    // Along the gradient g the loss falls by |g| per unit of length. The trainer reports only the norm of g; with a huge
    // epsilon and no clipping, the first step of AdamW is rate / epsilon · g.
    for tuning in [Tuning::Full, all_projections()] {
        let mut trainer = trainer(&tuning, 1e-2, 4096);
        let batch = examples(trainer.policy());
        trainer.supervised_step(&batch).unwrap();
        let straight = |learning_rate| OptimiserConfig {
            schedule: Schedule { learning_rate, ..Schedule::default() },
            adamw: AdamWConfig { epsilon: 1e6, max_grad_norm: 0.0, ..AdamWConfig::default() },
        };
        trainer.begin_phase(straight(1e6 * 2e-4)).unwrap();
        let first = trainer.supervised_step(&batch).unwrap();
        let second = trainer.supervised_step(&batch).unwrap();
        let expected = 2e-4 * (first.grad_norm.powi(2) + second.grad_norm.powi(2)) / 2.0;
        let fell = first.loss - second.loss;
        assert!((fell / expected - 1.0).abs() < 0.02, "{tuning:?}: the loss fell by {fell}, not {expected}");
    }
}

#[test]
fn the_micro_batches_of_a_step_add_up_to_the_batch() {
    for tuning in [Tuning::Full, all_projections()] {
        let run = |budget| {
            let mut trainer = trainer(&tuning, 1e-2, budget);
            let batch = examples(trainer.policy());
            let supervised = trainer.supervised_step(&batch).unwrap();
            trainer.freeze_reference().unwrap();
            trainer.supervised_step(&batch).unwrap();
            let config = GrpoConfig { beta: 0.5, ..GrpoConfig::default() };
            (supervised, trainer.grpo_step(&batch, &[1.0, -1.0, 0.5, 0.0, -0.5].map(Some), &config).unwrap())
        };
        let ((one_s, one_g), (many_s, many_g)) = (run(4096), run(8));
        for (one, many) in [
            (one_s.loss, many_s.loss),
            (one_s.grad_norm, many_s.grad_norm),
            (one_g.loss, many_g.loss),
            (one_g.grad_norm, many_g.grad_norm),
            (one_g.kl, many_g.kl),
            (one_g.entropy, many_g.entropy),
        ] {
            assert!((one - many).abs() <= 2e-4 * one.abs(), "{one} is not {many}");
        }
        assert!(one_g.kl > 0.0);
    }
}

#[test]
fn supervised_training_overfits_a_few_texts() {
    // Adapters do not change the head, and a random head of this size gives no token odds above e^5 : 1.
    for (tuning, steps, floor) in [(Tuning::Full, 60, 0.1), (all_projections(), 100, 0.7)] {
        let mut trainer = trainer(&tuning, 1e-2, 4096);
        let batch: Vec<Sequence> = [("1+1=", "2"), ("12+34=", "46"), ("say hello:", " hello, you")]
            .map(|(p, c)| trainer.policy().example(p, c).unwrap())
            .to_vec();
        let first = trainer.supervised_step(&batch).unwrap().loss;
        for _ in 0..steps {
            trainer.supervised_step(&batch).unwrap();
        }
        let last = trainer.supervised_step(&batch).unwrap().loss;
        assert!(first > 3.0 && last < floor, "{tuning:?}: the loss went from {first} to {last}");
        let prompt = trainer.policy().encode("say hello:").unwrap();
        let greedy = SampleConfig { temperature: 0.0, max_new_tokens: 30, ..SampleConfig::default() };
        let request = Request { prompt: &prompt, seed: Seed { run: 0, step: 0, sample: 0 } };
        let said = &sample(trainer.policy(), &[request], &greedy).unwrap()[0];
        assert_eq!((said.text.as_str(), said.finished), (" hello, you", true));
    }
}

/// Makes GRPO steps that reward completions beginning with `a`. Returns the probability of `a` before and after, and the
/// stats of the last step.
fn reward_one_token(trainer: &mut Trainer, config: &GrpoConfig, steps: u64) -> (f32, f32, GrpoStats) {
    let prompt = trainer.policy().encode("say:").unwrap();
    let wanted = Sequence { prompt: prompt.clone(), completion: trainer.policy().encode("a").unwrap() };
    let probability = |trainer: &Trainer| {
        log_probs(trainer.policy().transformer(), std::slice::from_ref(&wanted), 1.0, 4096).unwrap()[0][0].exp()
    };
    let before = probability(trainer);
    let sampling = SampleConfig { max_new_tokens: 4, ..SampleConfig::default() };
    let mut last = GrpoStats::default();
    for step in 0..steps {
        let requests: Vec<Request<'_>> =
            (0..128).map(|i| Request { prompt: &prompt, seed: Seed { run: 1, step, sample: i } }).collect();
        let drawn = sample(trainer.policy(), &requests, &sampling).unwrap();
        let rewards: Vec<f64> = drawn.iter().map(|c| f64::from(c.text.starts_with('a'))).collect();
        let mean = rewards.iter().sum::<f64>() / 128.0;
        let advantages: Vec<Option<f64>> = rewards.iter().map(|reward| Some(reward - mean)).collect();
        let batch: Vec<Sequence> =
            drawn.into_iter().map(|c| Sequence { prompt: prompt.clone(), completion: c.tokens }).collect();
        last = trainer.grpo_step(&batch, &advantages, config).unwrap();
    }
    (before, probability(trainer), last)
}

#[test]
fn grpo_raises_the_probability_of_a_rewarded_completion() {
    let plain = GrpoConfig { beta: 0.0, max_completion_tokens: 4, ..GrpoConfig::default() };
    let variants = [
        plain.clone(),
        GrpoConfig { aggregation: Aggregation::Grpo, updates_per_batch: 2, ..plain.clone() },
        GrpoConfig { aggregation: Aggregation::DrGrpo, importance_sampling: ImportanceSampling::Sequence, ..plain },
    ];
    for config in variants {
        let (before, after, _) = reward_one_token(&mut trainer(&Tuning::Full, 3e-3, 4096), &config, 25);
        assert!(before < 0.05 && after > 0.5, "{config:?}: {before} became {after}");
    }
    let config = GrpoConfig { beta: 0.0, ..GrpoConfig::default() };
    let (before, after, _) = reward_one_token(&mut trainer(&all_projections(), 3e-3, 4096), &config, 40);
    assert!(before < 0.05 && after > 0.5, "adapters: {before} became {after}");
}

#[test]
fn the_kl_penalty_keeps_the_policy_close_to_its_reference() {
    for tuning in [Tuning::Full, all_projections()] {
        let run = |beta| {
            let mut trainer = trainer(&tuning, 3e-3, 4096);
            trainer.freeze_reference().unwrap();
            reward_one_token(&mut trainer, &GrpoConfig { beta, ..GrpoConfig::default() }, 25)
        };
        let ((_, free, _), (_, held, report)) = (run(1e-6), run(3.0));
        assert!(held < free / 2.0, "{tuning:?}: {held} with, {free} without penalty");
        assert!(report.kl > 0.0 && report.kl < 0.5, "{report:?}");
    }
}

#[test]
fn the_reference_of_untrained_adapters_is_the_base_model_and_of_trained_ones_a_copy() {
    let mut trainer = trainer(&all_projections(), 1e-2, 4096);
    let batch = examples(trainer.policy());
    let base = Policy::tiny(7, &Device::Cpu).unwrap();
    let of_base = log_probs(base.transformer(), &batch, 1.0, 4096).unwrap();
    trainer.freeze_reference().unwrap();
    for _ in 0..3 {
        trainer.supervised_step(&batch).unwrap();
    }
    let reference = |trainer: &Trainer| log_probs(trainer.reference().unwrap(), &batch, 1.0, 4096).unwrap();
    let current = |trainer: &Trainer| log_probs(trainer.policy().transformer(), &batch, 1.0, 4096).unwrap();
    assert_eq!(reference(&trainer), of_base);
    assert_ne!(current(&trainer), of_base);
    // A reference frozen after a warm start keeps the adapters of that moment.
    let warm = current(&trainer);
    trainer.freeze_reference().unwrap();
    trainer.supervised_step(&batch).unwrap();
    assert_eq!(reference(&trainer), warm);
    assert_ne!(current(&trainer), warm);
}

#[test]
fn the_reference_has_the_first_values_of_modules_that_are_trained_whole() {
    let mut trainer = trainer(&with_whole_modules(), 1e-2, 4096);
    let batch = examples(trainer.policy());
    let base = Policy::tiny(7, &Device::Cpu).unwrap();
    let of = |model: &Transformer| log_probs(model, &batch, 1.0, 4096).unwrap();
    trainer.freeze_reference().unwrap();
    trainer.supervised_step(&batch).unwrap();
    assert_eq!(of(trainer.reference().unwrap()), of(base.transformer()));
    assert_ne!(of(trainer.policy().transformer()), of(base.transformer()));
}

#[test]
fn dropout_depends_on_the_seed_and_the_step_and_is_off_in_scoring() {
    let train = |dropout: f64, seed: u64| {
        let tuning = Tuning::Lora(LoraConfig { dropout, ..LoraConfig::default() });
        let policy = Policy::tiny(7, &Device::Cpu).unwrap();
        let mut trainer = Trainer::new(policy, &tuning, optimiser(1e-2), 4096, seed).unwrap();
        let batch = examples(trainer.policy());
        trainer.supervised_step(&batch).unwrap();
        let losses = [trainer.supervised_step(&batch).unwrap().loss, trainer.supervised_step(&batch).unwrap().loss];
        let scores = log_probs(trainer.policy().transformer(), &batch, 1.0, 4096).unwrap();
        let merged = trainer.policy().merged().unwrap();
        let of_merged = log_probs(merged.transformer(), &batch, 1.0, 4096).unwrap();
        scores.iter().flatten().zip(of_merged.iter().flatten()).for_each(|(a, b)| assert!((a - b).abs() < 2e-5));
        (losses, scores)
    };
    assert_eq!(train(0.5, 5), train(0.5, 5));
    assert_ne!(train(0.5, 5).0, train(0.0, 5).0);
    assert_ne!(train(0.5, 5).0, train(0.5, 6).0);
}

#[test]
fn masked_completions_count_among_the_sequences_and_teach_nothing() {
    let config = GrpoConfig { beta: 0.0, aggregation: Aggregation::Grpo, entropy_coef: 0.1, ..GrpoConfig::default() };
    let step = |advantages: &[Option<f64>], count: usize| {
        let mut trainer = trainer(&Tuning::Full, 1e-2, 4096);
        let batch = examples(trainer.policy());
        let stats = trainer.grpo_step(&batch[..count], advantages, &config).unwrap();
        (stats, weights(&trainer))
    };
    let (masked, moved) = step(&[Some(1.0), Some(-1.0), None, None], 4);
    let (alone, _) = step(&[Some(1.0), Some(-1.0)], 2);
    // The policy's loss is a mean over sequences, of which the masked ones are two more; the entropy's is a mean over tokens.
    assert_eq!((masked.tokens, masked.entropy), (alone.tokens, alone.entropy));
    let bonus = 0.1 * alone.entropy;
    assert!((2.0 * (masked.loss + bonus) - (alone.loss + bonus)).abs() < 1e-5, "{masked:?} {alone:?}");
    assert_ne!(moved, weights(&trainer(&Tuning::Full, 1e-2, 4096)));
    let (nothing, kept) = step(&[None, None], 2);
    assert_eq!((nothing, kept), (GrpoStats::default(), weights(&trainer(&Tuning::Full, 1e-2, 4096))));
}

#[test]
fn an_entropy_bonus_raises_the_entropy() {
    let run = |entropy_coef: f64| {
        let mut trainer = trainer(&all_projections(), 1e-2, 4096);
        let config = GrpoConfig { beta: 0.0, entropy_coef, updates_per_batch: 8, ..GrpoConfig::default() };
        let batch = examples(trainer.policy());
        trainer.grpo_step(&batch, &[Some(0.0); 5], &config).unwrap();
        trainer.grpo_step(&batch, &[Some(0.0); 5], &GrpoConfig { entropy_coef: 1e-9, ..config }).unwrap().entropy
    };
    let (lower, same, higher) = (run(-1.0), run(1e-9), run(1.0));
    assert!(lower < same - 0.05 && same < higher, "{lower} {same} {higher}");
}

#[test]
fn log_ratios_sum_over_the_completion_and_are_zero_if_the_policy_is_its_reference() {
    let mut trainer = trainer(&Tuning::Full, 1e-2, 4096);
    let batch = examples(trainer.policy());
    assert!(trainer.log_ratios(&batch, 1.0).is_err(), "there is no reference yet");
    trainer.freeze_reference().unwrap();
    assert!(trainer.log_ratios(&batch, 1.0).unwrap().iter().all(|ratio| ratio.abs() < 1e-6));
    trainer.supervised_step(&batch).unwrap();
    let of = |model: &Transformer| log_probs(model, &batch, 0.7, 4096).unwrap();
    let (current, reference) = (of(trainer.policy().transformer()), of(trainer.reference().unwrap()));
    for ((ratio, current), reference) in trainer.log_ratios(&batch, 0.7).unwrap().iter().zip(&current).zip(&reference) {
        let wanted: f64 = current.iter().zip(reference).map(|(a, b)| f64::from(a - b)).sum();
        assert!((ratio - wanted).abs() < 1e-5 && ratio.abs() > 1e-3, "{ratio} is not {wanted}");
    }
}

#[test]
fn without_a_kl_penalty_advantages_of_zero_leave_the_weights() {
    let mut trainer = trainer(&Tuning::Full, 1e-2, 4096);
    let batch = examples(trainer.policy());
    let before = weights(&trainer);
    let config = GrpoConfig { beta: 0.0, ..GrpoConfig::default() };
    let report = trainer.grpo_step(&batch, &[Some(0.0); 5], &config).unwrap();
    assert_eq!((report, trainer.step()), (GrpoStats::default(), 0));
    assert_eq!(before, weights(&trainer));
    // A sequence that is not computed still counts in the mean.
    let only = trainer.grpo_step(&batch, &[0.0, 0.0, 2.0, 0.0, 0.0].map(Some), &config).unwrap();
    let tokens: usize = batch.iter().map(|s| s.completion.len()).sum();
    assert_eq!(only.tokens, 3);
    assert!((only.loss + 2.0 * 3.0 / tokens as f64).abs() < 1e-5, "{only:?}");
}

#[test]
fn a_failing_step_leaves_the_weights_as_they_were() {
    let mut trainer = trainer(&Tuning::Full, 1e-2, 4096);
    let batch = examples(trainer.policy());
    let before = weights(&trainer);
    let plain = GrpoConfig { beta: 0.0, ..GrpoConfig::default() };
    let mut failure =
        |advantages: &[Option<f64>], config: &GrpoConfig| trainer.grpo_step(&batch, advantages, config).unwrap_err();
    assert!(matches!(failure(&[Some(1e300); 5], &plain), Error::NonFinite { step: 0, .. }));
    assert!(matches!(failure(&[Some(f64::NAN); 5], &plain), Error::Setting { name: "advantages", .. }));
    assert!(matches!(failure(&[Some(1.0); 4], &plain), Error::Setting { name: "advantages", .. }));
    assert!(matches!(failure(&[Some(1.0); 5], &GrpoConfig { beta: 0.1, ..plain.clone() }), Error::NoReference { .. }));
    assert!(matches!(
        failure(&[Some(1.0); 5], &GrpoConfig { beta: -0.1, ..plain }),
        Error::Setting { name: "beta", .. }
    ));
    assert!(trainer.supervised_step(&[]).is_err());
    let long = Sequence { prompt: vec![5; 500], completion: vec![5; 20] };
    assert!(matches!(trainer.supervised_step(&[long]), Err(Error::ContextLength { .. })));
    assert_eq!(before, weights(&trainer));
    assert_eq!(trainer.step(), 0);
}

#[test]
fn the_learning_rate_follows_the_step_and_not_the_number_of_updates() {
    let mut trainer = trainer(&Tuning::Full, 1e-2, 4096);
    let batch = examples(trainer.policy());
    let three = GrpoConfig { beta: 0.0, updates_per_batch: 3, ..GrpoConfig::default() };
    for step in [0, 1, 2, 500] {
        trainer.set_scheduled_step(step);
        let advantages = [1.0, -1.0, 1.0, -1.0, 0.5].map(Some);
        let rate = trainer.grpo_step(&batch, &advantages, &three).unwrap().learning_rate;
        assert_eq!(rate, optimiser(1e-2).schedule.rate(step));
    }
}

#[test]
fn a_step_that_fails_at_its_second_update_leaves_weights_and_optimiser_as_they_were() {
    let start = || {
        let mut trainer = trainer(&Tuning::Full, 1e-2, 24);
        trainer.supervised_step(&examples(trainer.policy())).unwrap();
        trainer.freeze_reference().unwrap();
        trainer
    };
    let (mut failed, mut alone) = (start(), start());
    let batch = examples(alone.policy());
    let two = GrpoConfig { beta: 0.1, kl: KlPenalty::K3, updates_per_batch: 2, ..GrpoConfig::default() };
    let advantages = [1.0, -1.0, 1.0, -1.0, 0.5].map(Some);
    // After an update at this rate the policy is sure of other tokens, and exp(log π_ref − log π) overflows.
    failed.set_schedule(optimiser(1e3).schedule).unwrap();
    let error = failed.grpo_step(&batch, &advantages, &two).unwrap_err();
    assert!(matches!(error, Error::NonFinite { step: 2, .. }), "the first update was made: {error}");
    assert_eq!((weights(&failed), failed.step()), (weights(&alone), 1));
    // As the error advises; the moments are as they were too, or the next step would go elsewhere.
    failed.set_schedule(optimiser(1e-2).schedule).unwrap();
    let stats = [&mut failed, &mut alone].map(|trainer| trainer.grpo_step(&batch, &advantages, &two).unwrap());
    assert_eq!(stats[0], stats[1]);
    assert_eq!(weights(&failed), weights(&alone));
    assert!(failed.set_schedule(optimiser(-1.0).schedule).is_err());
}

#[test]
fn settings_out_of_range_are_errors() {
    let error_of = |tuning: &Tuning, optimiser| {
        Trainer::new(Policy::tiny(7, &Device::Cpu).unwrap(), tuning, optimiser, 10, 0).unwrap_err().to_string()
    };
    let lora = |rank, targets: &[&str]| {
        Tuning::Lora(LoraConfig {
            rank,
            alpha: 1.0,
            targets: targets.iter().map(|t| t.to_string()).collect(),
            ..LoraConfig::default()
        })
    };
    assert!(error_of(&lora(0, &["q_proj"]), optimiser(1.0)).contains("lora.rank"));
    assert!(error_of(&lora(1, &[]), optimiser(1.0)).contains("lora.targets"));
    let saving = |targets: &[&str], module: &str| match lora(1, targets) {
        Tuning::Lora(config) => Tuning::Lora(LoraConfig { modules_to_save: vec![module.to_owned()], ..config }),
        other => other,
    };
    assert!(error_of(&saving(&["q_proj"], "q_proj"), optimiser(1.0)).contains("in `lora.targets` too"));
    assert!(error_of(&saving(&["q_proj"], "classifier"), optimiser(1.0)).contains("no module of the model"));
    assert!(error_of(&saving(&["q_proj"], "lm_head"), optimiser(1.0)).contains("name `embed_tokens`"));
    let all = LoraConfig { dropout: 1.0, ..LoraConfig::default() };
    assert!(error_of(&Tuning::Lora(all), optimiser(1.0)).contains("lora.dropout"));
    assert!(error_of(&lora(1, &["query"]), optimiser(1.0)).contains("has `query`, which is no projection"));
    assert!(error_of(&Tuning::Full, optimiser(f64::NAN)).contains("learning_rate"));
}

/// Makes the supervised and GRPO steps `from..to` and returns the stats of the GRPO steps.
fn advance(trainer: &mut Trainer, from: u64, to: u64) -> Vec<GrpoStats> {
    let batch = examples(trainer.policy());
    let config = GrpoConfig { beta: 0.1, updates_per_batch: 2, ..GrpoConfig::default() };
    let step = |step: u64| {
        trainer.supervised_step(&batch).unwrap();
        let advantages: Vec<Option<f64>> = (0..5).map(|i| Some(((step + i) % 3) as f64 - 1.0)).collect();
        trainer.grpo_step(&batch, &advantages, &config).unwrap()
    };
    (from..to).map(step).collect()
}

#[test]
fn activation_checkpointing_changes_no_bit() {
    for tuning in [Tuning::Full, all_projections()] {
        let run = |checkpointing| {
            let mut trainer = trainer(&tuning, 1e-2, 24).with_activation_checkpointing(checkpointing);
            trainer.freeze_reference().unwrap();
            (advance(&mut trainer, 0, 3), weights(&trainer))
        };
        assert_eq!(run(true), run(false));
    }
}

#[test]
fn a_resumed_run_equals_an_uninterrupted_one_bit_for_bit() {
    for tuning in [Tuning::Full, all_projections(), with_whole_modules()] {
        for warm in [0, 2] {
            let dir = tempfile::tempdir().unwrap();
            let start = || {
                let mut trainer = trainer(&tuning, 1e-2, 24);
                let batch = examples(trainer.policy());
                for _ in 0..warm {
                    trainer.supervised_step(&batch).unwrap();
                }
                trainer.freeze_reference().unwrap();
                trainer
            };
            let mut whole = start();
            let mut reports = advance(&mut whole, 0, 6);

            let mut first = start();
            let mut parts = advance(&mut first, 0, 2);
            checkpoint::save(&first, dir.path(), "early").unwrap();
            parts.extend(advance(&mut first, 2, 3));
            checkpoint::save(&first, dir.path(), "step 3, and \"more\"").unwrap();
            drop(first);

            let mut second = trainer(&tuning, 1e-2, 24);
            assert_eq!(checkpoint::restore(&mut second, dir.path()).unwrap(), "step 3, and \"more\"");
            assert_eq!(second.step(), whole.step() - 9);
            parts.extend(advance(&mut second, 3, 6));
            assert_eq!(reports, parts);
            assert_eq!(weights(&whole), weights(&second));
            reports.clear();

            let mut files: Vec<_> =
                fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
            files.sort();
            let has_reference_file = tuning != all_projections() || warm > 0;
            assert_eq!(files.len(), 1 + usize::from(has_reference_file), "{files:?}");
            assert_eq!(files.last().unwrap(), "state.safetensors");
        }
    }
}

#[test]
fn a_checkpoint_that_does_not_fit_is_an_error_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.safetensors");
    let mut full = trainer(&Tuning::Full, 1e-2, 4096);
    let message = |trainer: &mut Trainer| checkpoint::restore(trainer, dir.path()).unwrap_err().to_string();
    assert!(message(&mut full).contains("state.safetensors"));
    full.freeze_reference().unwrap();
    checkpoint::save(&full, dir.path(), "").unwrap();

    let mut adapters = trainer(&all_projections(), 1e-2, 4096);
    let before = weights(&adapters);
    assert!(message(&mut adapters).contains("another model or tuning"));
    assert_eq!(before, weights(&adapters));

    let saved = fs::read(&path).unwrap();
    for damaged in [&saved[..saved.len() / 2], &saved[..4], b""] {
        fs::write(&path, damaged).unwrap();
        assert!(message(&mut full).contains("state.safetensors is not a valid safetensors file"));
    }
    fs::write(&path, &saved).unwrap();
    let reference = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().path()).find(|p| *p != path).unwrap();
    fs::remove_file(&reference).unwrap();
    assert!(message(&mut full).contains("reference-"));
}

/// The adapters of tests/data/adapters.py.
#[test]
fn adapters_of_peft_are_read_and_written_with_their_whole_modules() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    for (name, dropped) in [("llama", 0.1), ("qwen2", 0.1)] {
        let policy = Policy::open(&data.join("families").join(name), &Device::Cpu).unwrap();
        let folder = data.join("adapters").join(name);
        let tuning = Tuning::Adapter(folder.clone());
        assert_eq!(tuning.lora().unwrap().unwrap().dropout, dropped);
        let trainer = Trainer::new(policy, &tuning, optimiser(1e-2), 4096, 1).unwrap();
        let text = fs::read_to_string(folder.join("expected.json")).unwrap();
        let expected: serde_json::Value = serde_json::from_str(&text).unwrap();
        let want: Vec<Vec<f64>> = serde_json::from_value(expected["log_probs"].clone()).unwrap();
        let sequences = [40, 9].map(|count| {
            let tokens: Vec<u32> = (0..count).map(|i| (7 * i + 3) % 40).collect();
            Sequence { prompt: tokens[..1].to_vec(), completion: tokens[1..].to_vec() }
        });
        for policy in [trainer.policy(), &trainer.policy().merged().unwrap()] {
            let got = log_probs(policy.transformer(), &sequences, 1.0, 4096).unwrap();
            for (got, want) in got.iter().flatten().zip(want.iter().flatten()) {
                assert!((f64::from(*got) - want).abs() < 1e-4 * (1.0 + want.abs()), "{name}: {got} is not {want}");
            }
        }

        let written = tempfile::tempdir().unwrap();
        let written = written.path().join("adapter");
        trainer.policy().save_adapter(Path::new(name), &written).unwrap();
        let load = |folder: &Path| {
            let tensors =
                candle_core::safetensors::load(folder.join("adapter_model.safetensors"), &Device::Cpu).unwrap();
            let numbers = |tensor: candle_core::Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            tensors.into_iter().map(|(name, tensor)| (name, numbers(tensor))).collect::<BTreeMap<_, _>>()
        };
        assert_eq!(load(&written), load(&folder), "{name}");
        let own = Tuning::Adapter(written).lora().unwrap().unwrap();
        assert!((own.scale() - tuning.lora().unwrap().unwrap().scale()).abs() < 1e-12);
        assert_eq!(own.dropout, dropped);
    }
}

#[test]
fn an_adapter_is_written_for_peft_and_trained_further() {
    let policy = Policy::tiny(3, &Device::Cpu).unwrap();
    let sequences = [policy.example("1+2=", "3").unwrap(), policy.example("2+2=", "4").unwrap()];
    let targets = ["q_proj", "down_proj"].map(String::from).to_vec();
    let lora = Tuning::Lora(LoraConfig { rank: 8, targets, ..LoraConfig::default() });
    let open = |tuning: &Tuning| Trainer::new(policy.clone(), tuning, optimiser(1e-2), 4096, 1);
    let mut trainer = open(&lora).unwrap();
    trainer.supervised_step(&sequences).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let adapter = folder.path().join("adapter");
    assert!(trainer.policy().save_adapter(Path::new("base"), &adapter).unwrap());
    assert!(!policy.save_adapter(Path::new("base"), &folder.path().join("none")).unwrap());

    let scores = |policy: &Policy| log_probs(policy.transformer(), &sequences, 1.0, 4096).unwrap();
    let tuning = Tuning::Adapter(adapter.clone());
    assert_eq!(tuning.lora().unwrap().unwrap().rank, 8);
    let mut resumed = open(&tuning).unwrap();
    assert_eq!(scores(resumed.policy()), scores(trainer.policy()));
    assert_ne!(scores(resumed.policy()), scores(&policy));
    resumed.supervised_step(&sequences).unwrap();
    assert_ne!(scores(resumed.policy()), scores(trainer.policy()));

    let config = fs::read_to_string(adapter.join("adapter_config.json")).unwrap();
    let refused = |from: &str, to: &str| {
        fs::write(adapter.join("adapter_config.json"), config.replace(from, to)).unwrap();
        open(&tuning).unwrap_err().to_string()
    };
    assert!(refused("\"LORA\"", "\"IA3\"").contains("IA3"));
    assert!(refused("\"use_dora\": false", "\"use_dora\": true").contains("use_dora"));
    assert!(refused("\"r\": 8", "\"r\": 8, \"init_lora_weights\": \"pissa\"").contains("pissa"));
    assert!(refused("\"r\": 8", "\"r\": 4").contains("has shape [8, 64]"));
    assert!(refused("\"q_proj\"", "\"k_proj\"").contains("k_proj"));
    assert!(refused("\"q_proj\"", "\"down_proj\"").contains("q_proj"));
}
