//! The speed of sampling and training on this machine: `cargo bench -p alft-policy` prints the time of each part.
//!
//! `ALFT_MODEL=PATH`, a GGUF file or a Hugging Face folder, also measures that model. `CANDLE_NUM_THREADS=1` restricts the
//! measurement to one core.

use std::time::Instant;

use alft_policy::{
    AdamWConfig, DevicePreference, GrpoConfig, LoraConfig, OptimiserConfig, Policy, Request, SampleConfig, Schedule,
    Seed, Sequence, Trainer, Tuning, checkpoint, log_probs, sample,
};

/// A stopwatch of wall time and of this process's CPU time, in seconds. On a busy machine, CPU times are the ones to
/// compare.
struct Clock(Instant, f64);

impl Clock {
    fn start() -> Self {
        Clock(Instant::now(), cpu_seconds())
    }

    fn read(&self) -> String {
        format!("{:.2} s ({:.2} of CPU)", self.0.elapsed().as_secs_f64(), cpu_seconds() - self.1)
    }
}

fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // Counted after the name in brackets, utime and stime are fields 12 and 13, in hundredths of a second.
    let fields: Vec<f64> =
        stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11).take(2).flat_map(str::parse).collect();
    fields.iter().sum::<f64>() / 100.0
}

fn optimiser(learning_rate: f64) -> OptimiserConfig {
    OptimiserConfig {
        schedule: Schedule { learning_rate, warmup_steps: 10, ..Schedule::default() },
        adamw: AdamWConfig::default(),
    }
}

/// Returns the prompt and the completion of a two-digit addition, such as `58+27=` and `8+7=15,5+2+1=8:85`.
fn addition(a: u64, b: u64) -> (String, String) {
    let (low, carry) = (a % 10 + b % 10, (a % 10 + b % 10) / 10);
    let high = a / 10 + b / 10 + carry;
    let carried = if carry > 0 { "+1" } else { "" };
    let trace = format!("{}+{}={low},{}+{}{carried}={high}:{}", a % 10, b % 10, a / 10, b / 10, a + b);
    (format!("{a}+{b}="), trace)
}

/// Returns pseudo-random pairs of two-digit numbers.
fn pairs(seed: u64) -> impl Iterator<Item = (u64, u64)> {
    let mut state = seed | 1;
    std::iter::repeat_with(move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (10 + (state >> 33) % 90, 10 + (state >> 45) % 90)
    })
}

fn main() {
    tiny();
    match std::env::var("ALFT_MODEL") {
        Ok(path) => real(&path),
        Err(_) => println!("ALFT_MODEL is not set: only the tiny model was measured"),
    }
}

/// Measures the tiny model on two-digit additions: supervised steps, then GRPO steps.
fn tiny() {
    let device = DevicePreference::Auto.open().unwrap();
    let policy = Policy::tiny(1, &device).unwrap();
    let mut trainer = Trainer::new(policy, &Tuning::Full, optimiser(5e-3), 8192, 1).unwrap();
    let mut problems = pairs(1);
    let start = Instant::now();
    for step in 0..250 {
        let batch: Vec<Sequence> = (&mut problems)
            .take(32)
            .map(|(a, b)| {
                let (prompt, trace) = addition(a, b);
                trainer.policy().example(&prompt, &trace).unwrap()
            })
            .collect();
        let report = trainer.supervised_step(&batch).unwrap();
        if step % 50 == 49 {
            println!("supervised {step}: {report:?} at {:.2} s", start.elapsed().as_secs_f64());
        }
    }

    trainer.freeze_reference().unwrap();
    trainer.begin_phase(optimiser(3e-4)).unwrap();
    let sampling = SampleConfig { max_new_tokens: 24, ..SampleConfig::default() };
    let config = GrpoConfig { beta: 0.02, max_completion_tokens: 24, ..GrpoConfig::default() };
    let (mut sampling_time, mut training_time, mut saving_time) = (0.0, 0.0, 0.0);
    let dir = tempfile::tempdir().unwrap();
    for step in 0..150 {
        let (mut prompts, mut answers) = (Vec::new(), Vec::new());
        for (a, b) in (&mut problems).take(16) {
            prompts.push(trainer.policy().encode(&addition(a, b).0).unwrap());
            answers.push(a + b);
        }
        let requests: Vec<Request<'_>> = (0..128)
            .map(|i| Request { prompt: &prompts[i / 8], seed: Seed { run: 1, step, sample: i as u64 } })
            .collect();
        let clock = Instant::now();
        let completions = sample(trainer.policy(), &requests, &sampling).unwrap();
        sampling_time += clock.elapsed().as_secs_f64();
        let rewards: Vec<f64> = completions
            .iter()
            .zip(0..)
            .map(|(c, i)| f64::from(c.text.rsplit(':').next() == Some(answers[i / 8].to_string().as_str())))
            .collect();
        let advantages: Vec<f64> =
            (0..128).map(|i| rewards[i] - rewards[i / 8 * 8..][..8].iter().sum::<f64>() / 8.0).collect();
        let batch: Vec<Sequence> = completions
            .into_iter()
            .zip(&requests)
            .map(|(c, r)| Sequence { prompt: r.prompt.to_vec(), completion: c.tokens })
            .collect();
        let clock = Instant::now();
        let report = trainer.grpo_step(&batch, &advantages, &config).unwrap();
        training_time += clock.elapsed().as_secs_f64();
        let clock = Instant::now();
        checkpoint::save(&trainer, dir.path(), "").unwrap();
        saving_time += clock.elapsed().as_secs_f64();
        if step % 25 == 24 || step == 0 {
            let mean = rewards.iter().sum::<f64>() / 128.0;
            println!("grpo {step}: reward {mean:.2} {report:?} at {:.2} s", start.elapsed().as_secs_f64());
        }
    }
    println!(
        "a GRPO step of 16 × 8 samples: sampling {:.3} s, training {:.3} s, saving a checkpoint {:.3} s",
        sampling_time / 150.0,
        training_time / 150.0,
        saving_time / 150.0
    );
}

/// Measures sampling, scoring and LoRA training of the model at `path`.
fn real(path: &str) {
    let device = DevicePreference::Auto.open().unwrap();
    println!("{}", alft_policy::device::describe(&device));
    let clock = Instant::now();
    let policy = Policy::open(path.as_ref(), &device).unwrap();
    let weights = policy.transformer().parameter_count();
    println!("{weights} weights loaded in {:.2} s", clock.elapsed().as_secs_f64());

    let chat =
        |text: &str| policy.encode(&format!("<|im_start|>user\n{text}<|im_end|>\n<|im_start|>assistant\n")).unwrap();
    let greedy = SampleConfig { temperature: 0.0, max_new_tokens: 48, ..SampleConfig::default() };
    for text in ["What is the capital of France?", "What is 17 + 25?"] {
        let prompt = chat(text);
        let seed = Seed { run: 0, step: 0, sample: 0 };
        let clock = Instant::now();
        let drawn = &sample(&policy, &[Request { prompt: &prompt, seed }], &greedy).unwrap()[0];
        let rate = drawn.tokens.len() as f64 / clock.elapsed().as_secs_f64();
        println!("{text} -> {:?} ({rate:.1} tokens/s alone)", drawn.text);
    }

    // Four prompts of about 80 tokens, eight samples of 60 tokens each.
    let filler = "A shop sells apples and pears. Each apple costs three coins and each pear costs two coins. ";
    let prompts: Vec<Vec<u32>> = (4..8)
        .map(|n| {
            chat(&format!("{}How many coins do {n} apples and {n} pears cost? Think step by step.", filler.repeat(2)))
        })
        .collect();
    let requests: Vec<Request<'_>> = (0..32)
        .map(|i| Request { prompt: &prompts[i / 8], seed: Seed { run: 1, step: 0, sample: i as u64 } })
        .collect();
    let sampling = SampleConfig { max_new_tokens: 60, ..SampleConfig::default() };
    let tuning = Tuning::Lora(LoraConfig::default());
    let mut trainer = Trainer::new(policy.clone(), &tuning, optimiser(1e-4), 4096, 1).unwrap();
    trainer.freeze_reference().unwrap();
    for step in 0..3 {
        let clock = Clock::start();
        let completions = sample(trainer.policy(), &requests, &sampling).unwrap();
        let sampling_time = clock.read();
        let tokens: usize = completions.iter().map(|c| c.tokens.len()).sum();
        let batch: Vec<Sequence> = completions
            .into_iter()
            .zip(&requests)
            .map(|(c, r)| Sequence { prompt: r.prompt.to_vec(), completion: c.tokens })
            .collect();
        let advantages: Vec<f64> = (0..32).map(|i| if i % 2 == 0 { 1.0 } else { -1.0 }).collect();
        let clock = Clock::start();
        log_probs(trainer.policy().transformer(), &batch, 1.0, 4096).unwrap();
        let scoring_time = clock.read();
        let clock = Clock::start();
        let config = GrpoConfig { beta: 0.04, ..GrpoConfig::default() };
        let report = trainer.grpo_step(&batch, &advantages, &config).unwrap();
        println!(
            "step {step}: 4 prompts of {} tokens; sampling {tokens} tokens {sampling_time}, log-probabilities \
             {scoring_time}, step {}, {report:?}",
            prompts[0].len(),
            clock.read(),
        );
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    println!("{}", status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or("peak memory: unknown"));
}
