//! The measurement on questions kept out of training.

use alft_game::TargetConfig;
use alft_policy::{Policy, Request, SampleConfig, Seed, sample};

use crate::averages::Averages;
use crate::deeds::Deeds;
use crate::error::Result;
use crate::panel::Panel;
use crate::play::{Answered, Memory, Rules, play};
use crate::progress::Progress;
use crate::questions::Asked;
use crate::runfile::RunFile;

/// Sampled together: bounds the memory, and lets progress show.
const BUNDLES_AT_ONCE: usize = 16;

/// Draws `group` completions of each prompt. `seed_step` names the random numbers. The completions' tokens come in the
/// order of bundles, prompts, samples.
pub(crate) fn draw<'a>(
    policy: &Policy,
    asked: &[&'a Asked],
    template: &str,
    group: usize,
    sampling: &SampleConfig,
    (seed, seed_step): (u64, u64),
) -> Result<(Vec<Answered<'a>>, Drawn)> {
    let prompts = asked.iter().flat_map(|bundle| &bundle.prompts);
    let tokens: Vec<Vec<u32>> =
        prompts.map(|prompt| policy.encode(&template.replace("{prompt}", &prompt.text))).collect::<Result<_, _>>()?;
    let requests: Vec<Request<'_>> = tokens
        .iter()
        .flat_map(|prompt| std::iter::repeat_n(prompt, group))
        .enumerate()
        .map(|(at, prompt)| Request { prompt, seed: Seed { run: seed, step: seed_step, sample: at as u64 } })
        .collect();
    let completions = sample(policy, &requests, sampling)?;
    let mut texts = completions.iter().map(|completion| completion.text.clone());
    let answered = asked
        .iter()
        .map(|asked| Answered {
            asked,
            completions: asked.prompts.iter().map(|_| texts.by_ref().take(group).collect()).collect(),
        })
        .collect();
    let drawn = Drawn {
        sequences: requests
            .iter()
            .zip(&completions)
            .map(|(request, completion)| alft_policy::Sequence {
                prompt: request.prompt.to_vec(),
                completion: completion.tokens.clone(),
            })
            .collect(),
        truncated: completions.iter().filter(|completion| !completion.finished).count(),
    };
    Ok((answered, drawn))
}

/// The tokens of what was drawn.
#[derive(Debug)]
pub(crate) struct Drawn {
    pub(crate) sequences: Vec<alft_policy::Sequence>,
    /// How many were ended by the limit on tokens.
    pub(crate) truncated: usize,
}

/// Measures the policy on the first `eval.bundles` of `asked`. The same seeds each time, so that before and after
/// differ by the policy alone. Weights are those of `step`. `memory` has the prices of constraints and the reference's answers to these questions; it
/// is left as it is. Also what the plugins did, a list for each call.
pub(crate) fn evaluate(
    name: &'static str,
    policy: &Policy,
    panel: &Panel,
    asked: &[Asked],
    run: &RunFile,
    step: u64,
    memory: &Memory,
) -> Result<(Averages, Vec<Vec<Deeds>>)> {
    let asked: Vec<&Asked> = asked.iter().take(run.eval.bundles).collect();
    let mut progress = Progress::begin(name, 0, asked.len() as u64);
    let mut all = Vec::new();
    let mut all_deeds = Vec::new();
    for chunk in asked.chunks(BUNDLES_AT_ONCE) {
        // Counted down from the top: training counts its steps up from 0.
        let seed_step = u64::MAX - all.len() as u64;
        let seed = (run.seed, seed_step);
        let (answered, _) = draw(policy, chunk, &run.prompts.template, run.eval.group, &run.sampling, seed)?;
        // What the target remembers plays no part in what is measured here, and nothing here is remembered.
        let rules = Rules { target: TargetConfig::default(), ..run.rules(step) };
        let (played, deeds) = play(panel, &answered, rules, None, &mut memory.clone());
        all.extend(played);
        all_deeds.push(deeds);
        progress.at(all.len() as u64, &measured(&Averages::over(&all)));
    }
    progress.end();
    Ok((Averages::over(&all), all_deeds))
}

/// One line of what matters most.
pub(crate) fn measured(averages: &Averages) -> String {
    let mut parts = Vec::new();
    parts.extend(averages.accuracy.map(|accuracy| format!("accuracy {:.1}%", 100.0 * accuracy)));
    parts.push(format!("entropy {:.3}", averages.entropy));
    parts.extend(averages.jsd.map(|jsd| format!("JSD {jsd:.3}")));
    parts.join("  ")
}
