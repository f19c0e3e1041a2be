//! The state of a training run on disk: everything a bit-exact resume needs.
//!
//! `state.safetensors` holds the trainable weights and the optimiser's moments, and in its header the optimiser's step,
//! the name of the reference's file and a note of the caller's; it is replaced in one rename. A reference that is not
//! the policy itself lies in a file of its own, named by its content, written when it first appears.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::Path,
};

use candle_core::{Device, Tensor, Var};

use crate::{
    atomic,
    error::{Error, Result},
    huggingface::save_tensors,
    train::Trainer,
};

const STATE: &str = "state.safetensors";
/// Named in the header; changes when the file's meaning does.
const FORMAT: &str = "alft-policy-state-1";
/// In the place of a file's name: no reference was frozen, or it is the policy with its adapters off.
const NO_REFERENCE: &str = "none";
const ADAPTERS_OFF: &str = "adapters-off";

/// Saves the state into the folder `dir`, with a `note` of the caller's (say, its own counters) in the same atomic
/// write. The frozen reference is written once, not at each save.
///
/// # Errors
/// The folder cannot be written; what it held before is then intact.
pub fn save(trainer: &Trainer, dir: &Path, note: &str) -> Result<()> {
    let reference = match &trainer.reference {
        None => NO_REFERENCE.to_owned(),
        Some(reference) if reference.own.is_empty() => ADAPTERS_OFF.to_owned(),
        Some(reference) => {
            let name = format!("reference-{}.safetensors", reference.digest);
            let path = dir.join(&name);
            if !path.is_file() {
                let tensors: BTreeMap<String, Tensor> = reference.own.iter().cloned().collect();
                atomic::file(&path, |draft| save_tensors(&tensors, draft, &[("format", FORMAT)]))?;
            }
            name
        }
    };
    let mut tensors = BTreeMap::new();
    for ((name, variable), (m, v)) in trainer.variables.iter().zip(&trainer.optimiser.moments) {
        tensors.insert(format!("weight.{name}"), variable.as_detached_tensor());
        tensors.insert(format!("mean.{name}"), m.clone());
        tensors.insert(format!("square.{name}"), v.clone());
    }
    let step = trainer.optimiser.step.to_string();
    let metadata = [("format", FORMAT), ("step", step.as_str()), ("reference", &reference), ("note", note)];
    atomic::file(&dir.join(STATE), |draft| save_tensors(&tensors, draft, &metadata))
}

/// Restores what [`save`] saved into a trainer made with the same model, tuning and settings, and returns the note.
/// The trainer is changed only once everything has been read and found to fit.
///
/// # Errors
/// Nothing saved there, a damaged file, or a state of another model.
pub fn restore(trainer: &mut Trainer, dir: &Path) -> Result<String> {
    let path = dir.join(STATE);
    let (mut tensors, metadata) = read(&path, trainer.policy().device())?;
    let header =
        |key: &str| metadata.get(key).cloned().ok_or_else(|| Error::file(&path, format!("its header has no `{key}`")));
    let step = header("step")?.parse::<u64>().map_err(|error| Error::file(&path, format!("step: {error}")))?;
    let (weights, means, squares) = (
        take(&mut tensors, "weight.", &trainer.variables, &path)?,
        take(&mut tensors, "mean.", &trainer.variables, &path)?,
        take(&mut tensors, "square.", &trainer.variables, &path)?,
    );
    if let Some(name) = tensors.keys().next() {
        return Err(Error::file(&path, format!("`{name}` is no weight of this model; it was saved by another run")));
    }
    let reference = match header("reference")?.as_str() {
        NO_REFERENCE => None,
        ADAPTERS_OFF => Some(trainer.reference_of(Vec::new())?),
        name if name.contains(['/', '\\']) => return Err(Error::file(&path, "names a reference outside its folder")),
        name => {
            let path = dir.join(name);
            let (mut tensors, _) = read(&path, trainer.policy().device())?;
            let own = take(&mut tensors, "", &trainer.variables, &path)?;
            let names = trainer.variables.iter().map(|(name, _)| name.clone());
            Some(trainer.reference_of(names.zip(own).collect())?)
        }
    };
    let note = header("note")?;

    for ((_, variable), weight) in trainer.variables.iter().zip(&weights) {
        variable.set(weight)?;
    }
    trainer.optimiser.moments = means.into_iter().zip(squares).collect();
    trainer.optimiser.step = step;
    trainer.reference = reference;
    Ok(note)
}

/// Whether [`save`] has saved a state there.
pub fn exists(dir: &Path) -> bool {
    dir.join(STATE).exists()
}

/// The note that [`save`] saved, without restoring anything: to see what a state is of before it is taken over.
///
/// # Errors
/// Nothing saved there, or a damaged file.
pub fn note(dir: &Path) -> Result<String> {
    let path = dir.join(STATE);
    let (_, metadata) = read(&path, &Device::Cpu)?;
    metadata.get("note").cloned().ok_or_else(|| Error::file(&path, "its header has no `note`"))
}

/// The tensors and the header of a file of ours.
fn read(path: &Path, device: &Device) -> Result<(HashMap<String, Tensor>, HashMap<String, String>)> {
    let bytes = fs::read(path).map_err(|source| Error::io(path, source))?;
    let damaged = |error: &dyn std::fmt::Display| Error::file(path, format!("not a safetensors file: {error}"));
    let (_, header) = safetensors::SafeTensors::read_metadata(&bytes).map_err(|error| damaged(&error))?;
    let metadata = header.metadata().clone().unwrap_or_default();
    if metadata.get("format").map(String::as_str) != Some(FORMAT) {
        return Err(Error::file(path, format!("is not in the format {FORMAT}; was it saved by another version?")));
    }
    let tensors = candle_core::safetensors::load_buffer(&bytes, device).map_err(|error| damaged(&error))?;
    Ok((tensors, metadata))
}

/// Takes one tensor for each variable, in their order.
fn take(
    tensors: &mut HashMap<String, Tensor>,
    prefix: &str,
    variables: &[(String, Var)],
    path: &Path,
) -> Result<Vec<Tensor>> {
    let mut taken = Vec::with_capacity(variables.len());
    for (name, variable) in variables {
        let name = format!("{prefix}{name}");
        let missing =
            || Error::file(path, format!("has no `{name}`; it was saved by a run with another model or tuning"));
        let tensor = tensors.remove(&name).ok_or_else(missing)?;
        if (tensor.dims(), tensor.dtype()) != (variable.dims(), variable.dtype()) {
            let reason = format!("`{name}` has shape {:?}; the model's is {:?}", tensor.dims(), variable.dims());
            return Err(Error::file(path, reason));
        }
        taken.push(tensor);
    }
    Ok(taken)
}

/// A name for tensors by their bits. It tells references of a run apart; it is no defence against forgery.
pub(crate) fn digest(tensors: &[(String, Tensor)]) -> Result<String> {
    let mut hash = 0xCBF2_9CE4_8422_2325u64;
    let mut mix = |word: u64| hash = (hash.rotate_left(5) ^ word).wrapping_mul(0x517C_C1B7_2722_0A95);
    for (name, tensor) in tensors {
        name.bytes().for_each(|byte| mix(byte.into()));
        let values = tensor.to_device(&Device::Cpu)?.flatten_all()?.to_vec1::<f32>()?;
        values.iter().for_each(|value| mix(value.to_bits().into()));
    }
    Ok(format!("{hash:016x}"))
}
