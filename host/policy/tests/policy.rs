//! Tests of the policy: a log-probability is the same however it is batched, cached, saved or adapted.

mod parity;

use std::{fs, path::Path};

use alft_policy::{
    Completion, Device, Error, Export, ExportType, LoraConfig, OptimiserConfig, Policy, Request, SampleConfig,
    Schedule, Seed, Sequence, Trainer, Tuning, log_probs, sample,
};

fn policy() -> Policy {
    Policy::tiny(7, &Device::Cpu).unwrap()
}

fn lora(targets: &[&str]) -> Tuning {
    Tuning::Lora(LoraConfig {
        rank: 4,
        alpha: 8.0,
        targets: targets.iter().map(|t| t.to_string()).collect(),
        ..LoraConfig::default()
    })
}

fn fast() -> OptimiserConfig {
    OptimiserConfig { schedule: Schedule { learning_rate: 1e-2, ..Schedule::default() }, ..OptimiserConfig::default() }
}

/// Returns sequences of different lengths; the first three share a prompt.
fn sequences(policy: &Policy) -> Vec<Sequence> {
    let texts =
        [("12+34=", "46"), ("12+34=", "4"), ("12+34=", "a long answer: 46."), ("x", ""), ("a\nlonger one, ", "y z")];
    texts.iter().map(|(prompt, completion)| policy.example(prompt, completion).unwrap()).collect()
}

fn assert_close(a: &[Vec<f32>], b: &[Vec<f32>], tolerance: f32) {
    assert_eq!(a.len(), b.len());
    for (a, b) in a.iter().zip(b) {
        assert_eq!(a.len(), b.len());
        for (a, b) in a.iter().zip(b) {
            assert!((a - b).abs() <= tolerance, "{a} is not {b}");
        }
    }
}

#[test]
fn a_batch_gives_the_same_log_probabilities_as_its_sequences_alone() {
    let policy = policy();
    let batch = sequences(&policy);
    let together = log_probs(policy.transformer(), &batch, 1.0, 4096).unwrap();
    let alone: Vec<Vec<f32>> = batch
        .iter()
        .map(|sequence| log_probs(policy.transformer(), std::slice::from_ref(sequence), 1.0, 4096).unwrap().remove(0))
        .collect();
    assert_close(&together, &alone, 1e-5);
    let in_small_parts = log_probs(policy.transformer(), &batch, 1.0, 8).unwrap();
    assert_close(&together, &in_small_parts, 1e-5);
}

#[test]
fn the_probabilities_of_all_next_tokens_add_up_to_one() {
    let policy = policy();
    let prompt = policy.encode("1+1=").unwrap();
    let all: Vec<Sequence> = (0..policy.config().vocab_size as u32)
        .map(|token| Sequence { prompt: prompt.clone(), completion: vec![token] })
        .collect();
    let sum: f32 = log_probs(policy.transformer(), &all, 1.0, 4096).unwrap().iter().map(|l| l[0].exp()).sum();
    assert!((sum - 1.0).abs() < 1e-5, "{sum}");
}

#[test]
fn log_probabilities_at_a_temperature_are_those_of_the_tempered_distribution() {
    let policy = policy();
    let prompt = policy.encode("1+1=").unwrap();
    let all: Vec<Sequence> = (0..policy.config().vocab_size as u32)
        .map(|token| Sequence { prompt: prompt.clone(), completion: vec![token] })
        .collect();
    let at = |temperature: f64| -> Vec<f64> {
        let log_probs = log_probs(policy.transformer(), &all, temperature, 4096).unwrap();
        log_probs.iter().map(|l| f64::from(l[0])).collect()
    };
    let tempered: Vec<f64> = at(1.0).iter().map(|l| (l / 0.5).exp()).collect();
    let total: f64 = tempered.iter().sum();
    for (l, p) in at(0.5).iter().zip(&tempered) {
        assert!((l.exp() - p / total).abs() < 1e-6, "{} is not {}", l.exp(), p / total);
    }
}

/// Decodes greedily with a full forward pass for every token, as the oracle of cached decoding.
fn greedy_by_full_passes(policy: &Policy, prompt: &[u32], steps: usize) -> Vec<u32> {
    let mut drawn: Vec<u32> = Vec::new();
    for _ in 0..steps {
        let next: Vec<Sequence> = (0..policy.config().vocab_size as u32)
            .map(|token| Sequence { prompt: [prompt, &drawn].concat(), completion: vec![token] })
            .collect();
        let scores = log_probs(policy.transformer(), &next, 1.0, 1 << 16).unwrap();
        let best = (0..scores.len()).max_by(|a, b| scores[*a][0].total_cmp(&scores[*b][0])).unwrap();
        drawn.push(best as u32);
        if policy.eos_tokens().contains(&(best as u32)) {
            break;
        }
    }
    drawn
}

#[test]
fn cached_decoding_of_prompts_of_different_lengths_equals_full_passes() {
    let policy = policy();
    let prompts: Vec<Vec<u32>> =
        ["1", "12+34=", "a\nmuch longer prompt than the others", "12+34="].map(|p| policy.encode(p).unwrap()).to_vec();
    let config = SampleConfig { temperature: 0.0, max_new_tokens: 20, ..SampleConfig::default() };
    let drawn = draw(&policy, &prompts, &config);
    for (prompt, completion) in prompts.iter().zip(&drawn) {
        assert_eq!(completion.tokens, greedy_by_full_passes(&policy, prompt, 20));
    }
}

fn draw(policy: &Policy, prompts: &[Vec<u32>], config: &SampleConfig) -> Vec<Completion> {
    let requests: Vec<Request<'_>> = prompts
        .iter()
        .zip(0..)
        .map(|(prompt, sample)| Request { prompt, seed: Seed { run: 3, step: 1, sample } })
        .collect();
    sample(policy, &requests, config).unwrap()
}

#[test]
fn a_sample_depends_on_its_seed_and_not_on_its_batch() {
    let policy = policy();
    let prompts: Vec<Vec<u32>> = ["1+1=", "1+1=", "20+5="].map(|p| policy.encode(p).unwrap()).to_vec();
    let config = SampleConfig { max_new_tokens: 100, top_p: 0.95, ..SampleConfig::default() };
    let together = draw(&policy, &prompts, &config);
    assert_eq!(together, draw(&policy, &prompts, &config), "the same seeds draw the same completions");
    assert_ne!(together[0].tokens, together[1].tokens, "another seed draws another completion");
    assert_ne!(
        together[0].tokens.len(),
        together[1].tokens.len(),
        "the test needs samples that end at different times"
    );
    for (index, completion) in together.iter().enumerate() {
        let seed = Seed { run: 3, step: 1, sample: index as u64 };
        let alone = sample(&policy, &[Request { prompt: &prompts[index], seed }], &config).unwrap();
        assert_eq!(&alone[0], completion);
    }
}

#[test]
fn the_log_probabilities_of_drawn_tokens_are_those_that_training_computes() {
    let policy = policy();
    let prompts: Vec<Vec<u32>> = ["1+1=", "20+5="].map(|p| policy.encode(p).unwrap()).to_vec();
    for temperature in [1.0, 0.7] {
        let config = SampleConfig { temperature, top_p: 0.9, max_new_tokens: 80, ..SampleConfig::default() };
        let drawn = draw(&policy, &prompts, &config);
        let sequences: Vec<Sequence> = prompts
            .iter()
            .zip(&drawn)
            .map(|(prompt, drawn)| Sequence { prompt: prompt.clone(), completion: drawn.tokens.clone() })
            .collect();
        let computed = log_probs(policy.transformer(), &sequences, temperature, 4096).unwrap();
        assert_close(&drawn.into_iter().map(|drawn| drawn.log_probs).collect::<Vec<_>>(), &computed, 2e-5);
    }
}

#[test]
fn a_repetition_penalty_makes_the_tokens_of_the_prompt_and_the_completion_rarer() {
    let policy = policy();
    let prompt = [policy.encode("aaaa").unwrap()];
    let config = SampleConfig { repetition_penalty: 1e6, max_new_tokens: 60, temperature: 0.0, ..Default::default() };
    let mut tokens = draw(&policy, &prompt, &config).remove(0).tokens;
    assert_eq!(tokens.len(), 60);
    tokens.push(prompt[0][0]);
    tokens.sort();
    tokens.dedup();
    // A large penalty takes the sign of a logit away, so a token repeats only where no new one has a positive logit.
    assert!(tokens.len() > 30, "{} distinct tokens", tokens.len());
}

#[test]
fn completions_end_at_eos_at_a_stop_text_or_at_the_limit() {
    let policy = policy();
    let prompt = vec![policy.encode("1+1=").unwrap(); 64];
    let config = SampleConfig {
        max_new_tokens: 150,
        stop: vec!["7".to_owned(), "no such".to_owned()],
        ..SampleConfig::default()
    };
    let (mut eos, mut stopped, mut limit) = (0, 0, 0);
    for completion in draw(&policy, &prompt, &config) {
        assert!(!completion.text.contains('7'));
        let last = *completion.tokens.last().unwrap();
        if policy.eos_tokens().contains(&last) {
            eos += 1;
            assert!(completion.finished);
        } else if policy.decode(&[last]).unwrap() == "7" {
            stopped += 1;
            assert!(completion.finished);
            assert_eq!(policy.decode(&completion.tokens).unwrap(), completion.text + "7");
        } else {
            limit += 1;
            assert!(!completion.finished);
            assert_eq!(completion.tokens.len(), 150);
        }
    }
    assert!(eos > 0 && stopped > 0 && limit > 0, "{eos} {stopped} {limit}");
}

#[test]
fn a_saved_model_gives_the_same_bits() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model");
    let policy = policy();
    let batch = sequences(&policy);
    policy.save(&path).unwrap();
    policy.save(&path).unwrap();
    let reopened = Policy::open(&path, &Device::Cpu).unwrap();
    assert_eq!(policy.config(), reopened.config());
    assert_eq!(reopened.example("12+34=", "46").unwrap(), batch[0]);
    let of = |policy: &Policy| log_probs(policy.transformer(), &batch, 1.0, 4096).unwrap();
    assert_eq!(of(&policy), of(&reopened));
    let mut files: Vec<_> =
        fs::read_dir(&path).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    files.sort();
    let expected =
        ["config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"];
    assert_eq!(files, expected);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no draft is left beside the folder");
}

#[test]
fn an_export_has_the_files_of_its_model_as_they_came() {
    let home = tempfile::tempdir().unwrap();
    let (source, export) = (home.path().join("source"), home.path().join("export"));
    policy().save(&source).unwrap();
    let edit = |name: &str, edit: &dyn Fn(String) -> String| {
        let text = fs::read_to_string(source.join(name)).unwrap();
        fs::write(source.join(name), edit(text)).unwrap();
    };
    edit("config.json", &|text| text.replacen('{', "{\"unknown\": {\"key\": [1, null]}, \"dtype\": \"float16\",", 1));
    edit("tokenizer.json", &|text| text.replacen('{', "{ ", 1));
    let files = [
        ("generation_config.json", r#"{"eos_token_id": [1, 0], "temperature": 0.6}"#),
        ("special_tokens_map.json", r#"{"eos_token": "<eos>"}"#),
        ("chat_template.jinja", "{{ messages[0].content }}"),
    ];
    for (name, text) in files {
        fs::write(source.join(name), text).unwrap();
    }
    let policy = Policy::open(&source, &Device::Cpu).unwrap();
    assert_eq!(policy.eos_tokens(), [1, 0]);
    policy.export(&export, Export { dtype: ExportType::Bf16, ..Export::default() }).unwrap();
    for name in ["tokenizer.json", "tokenizer_config.json"].into_iter().chain(files.map(|(name, _)| name)) {
        assert_eq!(fs::read(export.join(name)).unwrap(), fs::read(source.join(name)).unwrap(), "{name}");
    }
    let config = |folder: &Path| -> serde_json::Value {
        serde_json::from_str(&fs::read_to_string(folder.join("config.json")).unwrap()).unwrap()
    };
    let mut expected = config(&source);
    expected["dtype"] = "bfloat16".into();
    expected["torch_dtype"] = "bfloat16".into();
    assert_eq!(config(&export), expected);
    let weights = candle_core::safetensors::load(export.join("model.safetensors"), &Device::Cpu).unwrap();
    assert!(weights.values().all(|weight| weight.dtype() == candle_core::DType::BF16));
    let reopened = Policy::open(&export, &Device::Cpu).unwrap();
    assert_eq!(reopened.config(), policy.config());
    let batch = sequences(&policy);
    let of = |policy: &Policy| log_probs(policy.transformer(), &batch, 1.0, 4096).unwrap();
    assert_close(&of(&policy), &of(&reopened), 0.2);
}

#[test]
fn the_configuration_of_a_tokenizer_decides_about_the_beginning_of_a_prompt() {
    let home = tempfile::tempdir().unwrap();
    policy().save(home.path()).unwrap();
    let path = home.path().join("tokenizer_config.json");
    let begins = |config: &str| {
        fs::write(&path, config).unwrap();
        let policy = Policy::open(home.path(), &Device::Cpu).unwrap();
        let example = policy.example("1+1=", "2").unwrap();
        assert_eq!(example.completion.len(), 2, "a completion begins with nothing");
        example.prompt.len() == 5
    };
    assert!(begins(r#"{"add_bos_token": true, "bos_token": {"content": "<pad>"}}"#));
    assert!(!begins(r#"{"add_bos_token": true, "bos_token": null}"#));
    assert!(!begins(r#"{"add_bos_token": false, "bos_token": "<pad>"}"#));
    assert!(!begins(r#"{"bos_token": "<pad>"}"#));
    let tokenizer = home.path().join("tokenizer.json");
    let mut json: serde_json::Value = serde_json::from_str(&fs::read_to_string(&tokenizer).unwrap()).unwrap();
    json["post_processor"] = serde_json::json!({
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": "<pad>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
        "special_tokens": {"<pad>": {"id": "<pad>", "ids": [0], "tokens": ["<pad>"]}},
    });
    fs::write(&tokenizer, json.to_string()).unwrap();
    assert!(begins(r#"{"bos_token": "<pad>"}"#));
    assert!(!begins(r#"{"add_bos_token": false, "bos_token": "<pad>"}"#));
}

#[test]
fn an_export_has_the_adapters_merged() {
    let dir = tempfile::tempdir().unwrap();
    let tuning = lora(&["q_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj", "k_proj"]);
    let mut trainer = Trainer::new(policy(), &tuning, fast(), 4096, 1).unwrap();
    let batch = sequences(trainer.policy());
    let of = |policy: &Policy| log_probs(policy.transformer(), &batch, 1.0, 4096).unwrap();
    let before = of(trainer.policy());
    assert_close(&before, &of(&policy()), 0.0);
    for _ in 0..5 {
        trainer.supervised_step(&batch).unwrap();
    }
    let trained = of(trainer.policy());
    assert!((trained[0][0] - before[0][0]).abs() > 1e-2, "the adapters were trained");
    assert_close(&trained, &of(&trainer.policy().merged().unwrap()), 2e-5);
    trainer.policy().save(&dir.path().join("export")).unwrap();
    assert_close(&trained, &of(&Policy::open(&dir.path().join("export"), &Device::Cpu).unwrap()), 2e-5);
}

#[test]
fn shards_and_half_precision_weights_are_read() {
    use candle_core::{DType, Tensor};
    let dir = tempfile::tempdir().unwrap();
    let policy = policy();
    let batch = sequences(&policy);
    policy.save(dir.path()).unwrap();
    let whole = dir.path().join("model.safetensors");
    let tensors = candle_core::safetensors::load(&whole, &Device::Cpu).unwrap();
    fs::remove_file(&whole).unwrap();
    let (mut shards, mut index) = (vec![Vec::<(String, Tensor)>::new(); 2], serde_json::Map::new());
    for (position, (name, tensor)) in tensors.into_iter().enumerate() {
        let (shard, dtype) = (position % 2, [DType::BF16, DType::F16][position / 2 % 2]);
        index.insert(name.clone(), format!("shard-{shard}.safetensors").into());
        shards[shard].push((name, tensor.to_dtype(dtype).unwrap()));
    }
    for (position, shard) in shards.into_iter().enumerate() {
        let path = dir.path().join(format!("shard-{position}.safetensors"));
        candle_core::safetensors::save(&shard.into_iter().collect(), path).unwrap();
    }
    let index = serde_json::json!({"metadata": {}, "weight_map": index}).to_string();
    fs::write(dir.path().join("model.safetensors.index.json"), index).unwrap();
    let reopened = Policy::open(dir.path(), &Device::Cpu).unwrap();
    let of = |policy: &Policy| log_probs(policy.transformer(), &batch, 1.0, 4096).unwrap();
    assert_close(&of(&policy), &of(&reopened), 0.2);
}

#[test]
fn a_damaged_model_is_an_error_that_names_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path();
    let open = |path: &Path| Policy::open(path, &Device::Cpu).unwrap_err().to_string();
    assert!(open(&path.join("nowhere")).contains("nowhere"));
    assert!(open(path).contains("config.json"));

    policy().save(path).unwrap();
    let damage = |file: &str, text: &[u8]| {
        let kept = fs::read(path.join(file)).unwrap();
        fs::write(path.join(file), text).unwrap();
        let message = open(path);
        fs::write(path.join(file), kept).unwrap();
        assert!(message.contains(file) || file == "config.json", "{message}");
        message
    };
    damage("config.json", b"{");
    damage("tokenizer.json", b"{}");
    damage("generation_config.json", b"[");
    damage("tokenizer_config.json", b"{");
    let kept = fs::read(path.join("generation_config.json")).unwrap();
    fs::write(path.join("generation_config.json"), b"[1]").unwrap();
    Policy::open(path, &Device::Cpu).unwrap();
    fs::write(path.join("generation_config.json"), kept).unwrap();
    damage("model.safetensors", b"\x05\0\0\0\0\0\0\0{}");
    damage("model.safetensors", b"");
    let whole = fs::read(path.join("model.safetensors")).unwrap();
    damage("model.safetensors", &whole[..whole.len() - 4]);
    let config = fs::read_to_string(path.join("config.json")).unwrap();
    let changed = |from: &str, to: &str| damage("config.json", config.replace(from, to).as_bytes());
    assert!(changed("LlamaForCausalLM", "MambaForCausalLM").contains("`MambaForCausalLM` is not supported"));
    assert!(changed("\"vocab_size\": 99", "\"vocab_size\": 98").contains("the tokenizer has 99 tokens"));
    assert!(changed("\"vocab_size\": 99", "\"vocab_size\": 100").contains("has shape [99, 64]"));
    assert!(changed("\"num_hidden_layers\": 3", "\"num_hidden_layers\": 4").contains("model.layers.3"));
    assert!(changed("\"num_hidden_layers\": 3", "\"num_hidden_layers\": 2").contains("model.layers.2.input_layernorm"));
    assert!(changed("\"tie_word_embeddings\": true", "\"tie_word_embeddings\": false").contains("lm_head"));

    let gguf = path.join("model.gguf");
    fs::write(&gguf, b"GGUF\x03\0\0\0").unwrap();
    assert!(open(&gguf).contains("model.gguf: the file is cut short or damaged"));
}

#[test]
fn requests_that_cannot_be_computed_are_errors() {
    let policy = policy();
    let ask = |prompt: &[u32], max_new_tokens| {
        let request = Request { prompt, seed: Seed { run: 0, step: 0, sample: 0 } };
        sample(&policy, &[request], &SampleConfig { max_new_tokens, ..SampleConfig::default() }).unwrap_err()
    };
    assert!(matches!(ask(&[], 5), Error::Sequence { .. }));
    assert!(matches!(ask(&[99], 5), Error::Sequence { .. }));
    assert!(matches!(ask(&[5; 500], 13), Error::ContextLength { needed: 513, context: 512, .. }));
    assert!(matches!(ask(&[5], usize::MAX), Error::ContextLength { .. }));
    assert!(matches!(policy.encode("naïve").unwrap_err(), Error::NoToken { character, .. } if character == "ï"));
    assert!(sample(&policy, &[], &SampleConfig::default()).unwrap().is_empty());
    assert!(log_probs(policy.transformer(), &[], 1.0, 10).unwrap().is_empty());
}
