//! Checkpoints: everything on disk that a training run needs to continue bit for bit.
//!
//! `state.safetensors` holds the trainable weights and the optimiser's moments, and in its header the optimiser's step,
//! the name of the reference's file and a note of the caller; one rename replaces the whole. A reference that shares all
//! its weights with the policy needs no file. Any other is in a file named by its fingerprint, which is written once.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
};

use candle_core::{Device, Tensor, Var};

use crate::{
    error::{BoxError, Error, Result},
    formats::safetensors,
    train::{reference::Reference, trainer::Trainer},
};

const STATE: &str = "state.safetensors";
/// Version of the format, in the header of each file.
const FORMAT: &str = "alft-policy-state-1";
/// In the header in place of the reference's file name: no reference was frozen.
const NO_REFERENCE: &str = "none";
/// In the header in place of the reference's file name: the reference is the policy without its adapters.
const ADAPTERS_OFF: &str = "adapters-off";

/// Saves a checkpoint to the folder `dir`, with a `note` of the caller (for example its counters) in the same atomic
/// write. The frozen reference is written only once.
///
/// # Errors
/// Fails if the folder cannot be written. An earlier checkpoint in it is then unchanged.
pub fn save(trainer: &Trainer, dir: &Path, note: &str) -> Result<()> {
    let reference = match &trainer.reference {
        None => NO_REFERENCE.to_owned(),
        Some(reference) if reference.weights.is_empty() => ADAPTERS_OFF.to_owned(),
        Some(reference) => {
            let name = format!("reference-{}.safetensors", reference.fingerprint);
            let path = dir.join(&name);
            if !path.is_file() {
                let tensors: BTreeMap<String, Tensor> = reference.weights.iter().cloned().collect();
                alft_fs::file(&path, |draft| safetensors::write(&tensors, draft, &[("format", FORMAT)]))?;
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
    let step = trainer.optimiser.steps.to_string();
    let metadata = [("format", FORMAT), ("step", step.as_str()), ("reference", &reference), ("note", note)];
    alft_fs::file(&dir.join(STATE), |draft| safetensors::write(&tensors, draft, &metadata))
}

/// Restores a checkpoint into a trainer with the same model, tuning and settings, and returns the note. The trainer is
/// changed only after everything was read and checked.
///
/// # Errors
/// Fails if `dir` has no checkpoint, if a file is damaged, and for a checkpoint of another model.
pub fn restore(trainer: &mut Trainer, dir: &Path) -> Result<String> {
    let path = dir.join(STATE);
    let (mut tensors, metadata) = read(&path, trainer.policy().device())?;
    let header = |key: &str| {
        metadata.get(key).cloned().ok_or_else(|| Error::content(&path, format!("there is no `{key}` in the header")))
    };
    let step = header("step")?.parse::<u64>().map_err(Error::format(&path, "checkpoint"))?;
    let (weights, means, squares) = (
        remove_all(&mut tensors, "weight.", &trainer.variables, &path)?,
        remove_all(&mut tensors, "mean.", &trainer.variables, &path)?,
        remove_all(&mut tensors, "square.", &trainer.variables, &path)?,
    );
    if let Some(name) = tensors.keys().next() {
        return Err(Error::content(
            &path,
            format!("`{name}` is no weight of this model; the checkpoint is of another model"),
        ));
    }
    let reference = match header("reference")?.as_str() {
        NO_REFERENCE => None,
        ADAPTERS_OFF => Some(Reference::new(trainer.policy().transformer(), Vec::new())?),
        name if name.contains(['/', '\\']) => {
            return Err(Error::content(&path, "the header names a reference outside of the folder"));
        }
        name => {
            let path = dir.join(name);
            let (mut tensors, _) = read(&path, trainer.policy().device())?;
            let weights = remove_all(&mut tensors, "", &trainer.variables, &path)?;
            let names = trainer.variables.iter().map(|(name, _)| name.clone());
            Some(Reference::new(trainer.policy().transformer(), names.zip(weights).collect())?)
        }
    };
    let note = header("note")?;

    for ((_, variable), weight) in trainer.variables.iter().zip(&weights) {
        variable.set(weight)?;
    }
    trainer.optimiser.moments = means.into_iter().zip(squares).collect();
    trainer.optimiser.steps = step;
    trainer.reference = reference;
    Ok(note)
}

/// Returns true if the folder `dir` has a checkpoint.
pub fn exists(dir: &Path) -> bool {
    dir.join(STATE).exists()
}

/// Returns the note of a checkpoint without restoring it.
///
/// # Errors
/// Fails if `dir` has no checkpoint or the file is damaged.
pub fn note(dir: &Path) -> Result<String> {
    let path = dir.join(STATE);
    let (_, metadata) = read(&path, &Device::Cpu)?;
    metadata.get("note").cloned().ok_or_else(|| Error::content(&path, "there is no `note` in the header"))
}

/// Reads the tensors and the header's metadata of a file that [`save`] wrote.
fn read(path: &Path, device: &Device) -> Result<(HashMap<String, Tensor>, HashMap<String, String>)> {
    let bytes = alft_fs::read(path, u64::MAX).map_err(Error::read(path))?;
    let (_, header) = ::safetensors::SafeTensors::read_metadata(&bytes).map_err(damaged(path))?;
    let metadata = header.metadata().clone().unwrap_or_default();
    if metadata.get("format").map(String::as_str) != Some(FORMAT) {
        return Err(Error::content(path, format!("the format is not {FORMAT}; the checkpoint is of another version")));
    }
    let tensors = candle_core::safetensors::load_buffer(&bytes, device).map_err(damaged(path))?;
    Ok((tensors, metadata))
}

/// Removes one tensor for each variable from `tensors` and returns them in the order of the variables.
fn remove_all(
    tensors: &mut HashMap<String, Tensor>,
    prefix: &str,
    variables: &[(String, Var)],
    path: &Path,
) -> Result<Vec<Tensor>> {
    let mut removed = Vec::with_capacity(variables.len());
    for (name, variable) in variables {
        let name = format!("{prefix}{name}");
        let missing =
            || Error::content(path, format!("there is no `{name}`; the checkpoint is of another model or tuning"));
        let tensor = tensors.remove(&name).ok_or_else(missing)?;
        if (tensor.dims(), tensor.dtype()) != (variable.dims(), variable.dtype()) {
            let reason = format!("`{name}` has shape {:?}; that of the model is {:?}", tensor.dims(), variable.dims());
            return Err(Error::content(path, reason));
        }
        removed.push(tensor);
    }
    Ok(removed)
}

/// The error of a file that this crate wrote, and that is no longer what it was.
fn damaged<E: Into<BoxError>>(path: &Path) -> impl FnOnce(E) -> Error {
    move |source| Error::Format { path: path.to_owned(), format: "safetensors", source: source.into() }
}
