//! The numbers that a model of any size gives, for the scripts `benches/parity_*.py` to compare with those of other programs.

use std::{fs, path::PathBuf};

use alft_policy::{
    Device, Export, GgufType, Message, OptimiserConfig, Policy, Request, SampleConfig, Schedule, Seed, Sequence,
    Trainer, Tuning, log_probs, sample,
};
use serde::Deserialize;
use serde_json::{Map, json};

/// The variable that names the file with the [`Questions`].
const QUESTIONS: &str = "ALFT_PARITY";

/// Tokens that are computed at once.
const TOKEN_BUDGET: usize = 4096;

/// The requests of the script.
#[derive(Deserialize)]
struct Questions {
    /// The model's folder or GGUF file.
    model: PathBuf,
    /// A folder of PEFT for the model, if its gradient is wanted.
    adapter: Option<PathBuf>,
    /// Conversations for the model's chat template.
    conversations: Vec<Vec<Message>>,
    /// Texts for the tokenizer.
    texts: Vec<String>,
    /// Tokens to decode.
    decoded: Vec<Vec<u32>>,
    /// Tokens whose log-probabilities are wanted, from the second one of each sequence on.
    sequences: Vec<Vec<u32>>,
    /// Tokens that greedy decoding goes on from.
    prompts: Vec<Vec<u32>>,
    max_new_tokens: usize,
    /// The type of a GGUF file that the model is exported to, if one is wanted.
    gguf: Option<GgufType>,
    /// The number that gradients are multiplied by; `None` for no gradients.
    gradient_scale: Option<f64>,
    /// The folder for the results.
    out: PathBuf,
}

#[test]
#[ignore = "a real model's numbers, for the scripts benches/parity_*.py, which run this test"]
fn a_model_answers_the_questions_of_a_parity_script() {
    let path = std::env::var_os(QUESTIONS).expect("ALFT_PARITY names the file of questions");
    let questions: Questions = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let policy = Policy::open(&questions.model, &Device::Cpu).unwrap();
    let template = policy.chat_template(None).unwrap();
    let conversation = |messages: &Vec<Message>| {
        let text = template.as_ref().expect("a chat template").render(messages, &Map::new()).unwrap();
        policy.encode(&text).unwrap()
    };
    let sequences: Vec<Sequence> = questions.sequences.iter().map(|tokens| after_the_first(tokens)).collect();
    let requests: Vec<Request<'_>> = questions
        .prompts
        .iter()
        .zip(0..)
        .map(|(prompt, sample)| Request { prompt, seed: Seed { run: 0, step: 0, sample } })
        .collect();
    let greedy = SampleConfig { temperature: 0.0, max_new_tokens: questions.max_new_tokens, ..SampleConfig::default() };
    let completions = sample(&policy, &requests, &greedy).unwrap();
    let results = json!({
        "conversations": questions.conversations.iter().map(conversation).collect::<Vec<_>>(),
        "texts": questions.texts.iter().map(|text| policy.tokenizer().encode_whole(text).unwrap()).collect::<Vec<_>>(),
        "decoded": questions.decoded.iter().map(|tokens| policy.decode(tokens).unwrap()).collect::<Vec<_>>(),
        "log_probs": log_probs(policy.transformer(), &sequences, 1.0, TOKEN_BUDGET).unwrap(),
        "greedy": completions.into_iter().map(|completion| completion.tokens).collect::<Vec<_>>(),
    });
    fs::write(questions.out.join("results.json"), results.to_string()).unwrap();
    if questions.gguf.is_some() {
        let export = Export { gguf: questions.gguf, ..Export::default() };
        policy.export(&questions.out.join("exported"), export).unwrap();
    }
    let Some(scale) = questions.gradient_scale else { return };
    step(policy.clone(), &Tuning::Full, &sequences, scale).policy().save(&questions.out.join("full")).unwrap();
    if let Some(adapter) = questions.adapter {
        let trainer = step(policy, &Tuning::Adapter(adapter), &sequences, scale);
        assert!(trainer.policy().save_adapter(&questions.model, &questions.out.join("lora")).unwrap());
    }
}

fn after_the_first(tokens: &[u32]) -> Sequence {
    Sequence { prompt: tokens[..1].to_vec(), completion: tokens[1..].to_vec() }
}

/// Makes a step that takes `scale` times the gradient of the mean cross-entropy off the weights: AdamW's, with an epsilon
/// beside which its root of squared gradients vanishes.
fn step(policy: Policy, tuning: &Tuning, batch: &[Sequence], scale: f64) -> Trainer {
    const EPSILON: f64 = 1e6;
    let schedule = Schedule { learning_rate: scale * EPSILON, ..Schedule::default() };
    let mut optimiser = OptimiserConfig { schedule, ..OptimiserConfig::default() };
    (optimiser.adamw.epsilon, optimiser.adamw.max_grad_norm) = (EPSILON, 0.0);
    let mut trainer = Trainer::new(policy, tuning, optimiser, TOKEN_BUDGET, 0).unwrap();
    trainer.supervised_step(batch).unwrap();
    trainer
}
