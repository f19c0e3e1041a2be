//! What the reference policy answers, for objectives that compare with it.

use alft_policy::Trainer;

use crate::deeds::Deeds;
use crate::error::Result;
use crate::evaluate::draw;
use crate::panel::Panel;
use crate::play::{Memory, marginals};
use crate::questions::Asked;
use crate::runfile::RunFile;

/// Samples the reference policy once for each bundle, where a plugin compares with it. It never changes, so its answers
/// are drawn when the bundle first comes, and kept. Returns what the reader did, in the panel's order.
pub(crate) fn ask(
    panel: &Panel,
    trainer: &Trainer,
    asked: &[&Asked],
    run: &RunFile,
    memory: &mut Memory,
) -> Result<Vec<Deeds>> {
    let mut deeds = vec![Deeds::default(); panel.seats.len()];
    if !panel.seats.iter().any(|seat| seat.prices && seat.plugin.manifest().needs_reference) {
        return Ok(deeds);
    }
    let Some(reference) = trainer.reference_policy() else { return Ok(deeds) };
    for asked in asked {
        if !memory.references.contains_key(&asked.id) {
            let (template, samples) = (&run.prompts.template, run.game.reference_samples);
            let seed = (run.seed, seed_step(&asked.id));
            let (answered, _) = draw(&reference, &[asked], template, samples, &run.sampling, seed)?;
            memory.references.insert(asked.id.clone(), marginals(panel, &answered[0], &mut deeds));
        }
    }
    Ok(deeds)
}

/// A number for a bundle's name in the place of a step's: its answers must not depend on the step at which it comes.
fn seed_step(id: &str) -> u64 {
    let hash = blake3::hash(format!("reference {id}").as_bytes());
    u64::from_le_bytes(hash.as_bytes()[..8].try_into().expect("a hash has 32 bytes"))
}
