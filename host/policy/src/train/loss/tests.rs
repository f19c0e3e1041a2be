//! The losses and gradients of other trainers, and the derivatives of each term.

use candle_core::{Device, Tensor, Var};
use serde_json::Value;

use super::*;

fn tensor(value: &Value) -> Tensor {
    let rows: Vec<Vec<f64>> = serde_json::from_value(value.clone()).unwrap();
    Tensor::new(rows, &Device::Cpu).unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    serde_json::from_value(value.clone()).unwrap()
}

/// Returns the mask of sequences of these lengths.
fn mask(lengths: &[usize], columns: usize) -> Tensor {
    let row = |length: &usize| (0..columns).map(|place| f64::from(u8::from(place < *length))).collect();
    Tensor::new(lengths.iter().map(row).collect::<Vec<Vec<f64>>>(), &Device::Cpu).unwrap()
}

/// The losses of tests/data/grpo_loss.json.
mod of_ferrl {
    use super::*;

    const LENGTHS: [usize; 4] = [3, 2, 1, 0];

    /// Returns the batch of the golden file in f64, with weights by `config` and `norm` in place of the number of tokens.
    fn inputs(golden: &Value, config: &GrpoConfig, norm: f64) -> (Var, LossInputs) {
        let batch = &golden["batch"];
        let mut weights = config.token_weights(&LENGTHS);
        if config.aggregation == Aggregation::Dapo {
            weights.iter_mut().for_each(|weight| *weight *= 6.0 / norm);
        }
        let log_probs = Var::from_tensor(&tensor(&batch["logp"])).unwrap();
        let inputs = LossInputs {
            log_probs: log_probs.as_tensor().clone(),
            old_log_probs: tensor(&batch["logp_old"]),
            reference_log_probs: Some(tensor(&batch["logp_ref"])),
            advantages: Tensor::new(numbers(&batch["advantages"]), &Device::Cpu).unwrap(),
            mask: tensor(&batch["mask"]),
            token_weights: Tensor::new(weights, &Device::Cpu).unwrap(),
            entropy: None,
        };
        (log_probs, inputs)
    }

    fn cases() -> (Value, Vec<(GrpoConfig, f64, f64)>) {
        let golden: Value = serde_json::from_str(include_str!("../../../tests/data/grpo_loss.json")).unwrap();
        let cases = golden["cases"].as_array().unwrap().iter().map(|case| {
            let number = |name: &str| case[name].as_f64().unwrap();
            let config = GrpoConfig {
                clip_low: number("eps_low"),
                clip_high: number("eps_high"),
                beta: number("beta"),
                kl: KlPenalty::K3,
                aggregation: match case["loss_type"].as_str().unwrap() {
                    "dapo" => Aggregation::Dapo,
                    "grpo" => Aggregation::Grpo,
                    "dr_grpo" => Aggregation::DrGrpo,
                    other => panic!("{other}"),
                },
                importance_sampling: match case["importance_sampling_level"].as_str().unwrap() {
                    "token" => ImportanceSampling::Token,
                    "sequence" => ImportanceSampling::Sequence,
                    other => panic!("{other}"),
                },
                max_completion_tokens: 3,
                ..GrpoConfig::default()
            };
            (config, number("dapo_norm"), number("loss"))
        });
        let cases = cases.collect();
        (golden, cases)
    }

    #[test]
    fn the_loss_agrees() {
        let (golden, cases) = cases();
        assert_eq!(cases.len(), 32);
        for (config, norm, want) in cases {
            let (_, inputs) = inputs(&golden, &config, norm);
            let got = loss(&inputs, &config).unwrap().to_scalar::<f64>().unwrap();
            // These numbers were computed in f32.
            assert!((got - want).abs() < 1e-6, "{config:?}: {got} is not {want}");
        }
    }

    #[test]
    fn every_form_of_the_penalty_has_its_own_gradient() {
        let (golden, cases) = cases();
        for kl in [KlPenalty::Reward, KlPenalty::K1, KlPenalty::K2, KlPenalty::K3, KlPenalty::K3Ratio] {
            let config = GrpoConfig { beta: 0.3, kl, ..cases[0].0.clone() };
            let (log_probs, inputs) = inputs(&golden, &config, 6.0);
            let with = |beta: f64| {
                let value = loss(&inputs, &GrpoConfig { beta, ..config.clone() }).unwrap();
                value.backward().unwrap().get(&log_probs).unwrap().get(0).unwrap().get(0).unwrap().to_scalar::<f64>()
            };
            let at = |name: &str| golden["batch"][name][0][0].as_f64().unwrap();
            let delta = at("logp_ref") - at("logp");
            let ratio = (at("logp") - at("logp_old")).exp();
            let slope = match kl {
                KlPenalty::Reward => 0.0,
                KlPenalty::K1 => 1.0,
                KlPenalty::K2 => -delta,
                KlPenalty::K3 => 1.0 - delta.exp(),
                KlPenalty::K3Ratio => -ratio * delta,
            };
            let weight = inputs.token_weights.get(0).unwrap().to_scalar::<f64>().unwrap();
            let got = with(0.3).unwrap() - with(0.0).unwrap();
            assert!((got - 0.3 * weight * slope).abs() < 1e-12, "{kl:?}: {got}");
        }
    }

    #[test]
    fn a_kl_penalty_without_a_reference_is_an_error() {
        let (golden, cases) = cases();
        let config = GrpoConfig { beta: 0.1, ..cases[0].0.clone() };
        let (_, mut inputs) = inputs(&golden, &config, 6.0);
        inputs.reference_log_probs = None;
        assert!(matches!(loss(&inputs, &config), Err(Error::NoReference { .. })));
        loss(&inputs, &GrpoConfig { kl: KlPenalty::Reward, ..config }).unwrap();
    }
}

/// The losses and gradients of tests/data/losses.py.
mod of_trl {
    use super::*;

    fn config(golden: &Value, case: &Value) -> GrpoConfig {
        let (policy_loss, aggregation) = match case["loss_type"].as_str().unwrap() {
            "grpo" => (PolicyLoss::Clipped, Aggregation::Grpo),
            "dr_grpo" => (PolicyLoss::Clipped, Aggregation::DrGrpo),
            // TRL's bnpo is dapo for each of its micro-batches.
            "dapo" | "bnpo" => (PolicyLoss::Clipped, Aggregation::Dapo),
            "luspo" => (PolicyLoss::Clipped, Aggregation::Sum),
            "cispo" => (PolicyLoss::Cispo, Aggregation::Dapo),
            "sapo" => (PolicyLoss::Sapo, Aggregation::Grpo),
            "vespo" => (PolicyLoss::Vespo, Aggregation::Dapo),
            "rloo" => (PolicyLoss::Reinforce, Aggregation::Sum),
            other => panic!("{other}"),
        };
        let number = |value: &Value| value.as_f64().unwrap();
        GrpoConfig {
            clip_low: number(&case["clip"][0]),
            clip_high: number(&case["clip"][1]),
            delta: case["delta"].as_f64(),
            policy_loss,
            beta: number(&case["beta"]),
            kl: if case["corrected"] == true { KlPenalty::K3Ratio } else { KlPenalty::K3 },
            entropy_coef: number(&case["entropy_coef"]),
            aggregation,
            importance_sampling: match case["level"] == "sequence" {
                true => ImportanceSampling::Sequence,
                false => ImportanceSampling::Token,
            },
            max_completion_tokens: golden["max_completion_length"].as_u64().unwrap() as usize,
            ..GrpoConfig::default()
        }
    }

    #[test]
    fn losses_and_gradients_agree() {
        let golden: Value = serde_json::from_str(include_str!("../../../tests/data/losses.json")).unwrap();
        let batch = &golden["batch"];
        let cases = golden["cases"].as_array().unwrap();
        assert_eq!(cases.len(), 60);
        for case in cases {
            let config = config(&golden, case);
            config.check().unwrap();
            let mut lengths: Vec<usize> = serde_json::from_value(batch["lengths"].clone()).unwrap();
            if let Some(masked) = case["masked"].as_u64() {
                lengths[masked as usize] = 0;
            }
            let log_probs = Var::from_tensor(&tensor(&batch["logp"])).unwrap();
            let entropies = Var::from_tensor(&tensor(&batch["entropies"])).unwrap();
            // RLOO was computed on the policy's own samples.
            let of_itself = case["loss_type"] == "rloo";
            let inputs = LossInputs {
                log_probs: log_probs.as_tensor().clone(),
                old_log_probs: tensor(&batch[if of_itself { "logp" } else { "logp_old" }]),
                reference_log_probs: Some(tensor(&batch["logp_ref"])),
                advantages: Tensor::new(numbers(&batch["advantages"]), &Device::Cpu).unwrap(),
                mask: mask(&lengths, 4),
                token_weights: Tensor::new(config.token_weights(&lengths), &Device::Cpu).unwrap(),
                entropy: Some(EntropyBonus {
                    entropies: entropies.as_tensor().clone(),
                    weight: config.entropy_weight(&lengths),
                }),
            };
            let value = loss(&inputs, &config).unwrap();
            let near = |got: f64, want: f64| assert!((got - want).abs() < 1e-9, "{case}: {got} is not {want}");
            // The losses of REINFORCE differ by a constant from RLOO's, which takes the ratio of whole sequences.
            if !of_itself {
                near(value.to_scalar().unwrap(), case["loss"].as_f64().unwrap());
            }
            let grads = value.backward().unwrap();
            let flat = |leaf: &Var| grads.get(leaf).unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap();
            let compare = |got: Vec<f64>, want: &Value| got.iter().zip(numbers(want)).for_each(|(g, w)| near(*g, w));
            compare(flat(&log_probs), &case["gradient"]);
            if config.entropy_coef != 0.0 {
                compare(flat(&entropies), &case["entropy_gradient"]);
            }
        }
    }
}
