//! The reference policy: the frozen weights that a KL penalty is measured from.

use candle_core::{Device, Tensor};

use crate::{
    error::{Error, Result},
    model::{lora, transformer::Transformer},
};

/// A frozen copy of the policy.
#[derive(Debug)]
pub(crate) struct Reference {
    pub(crate) model: Transformer,
    /// The weights that are not shared with the policy: copies of its variables, by name. Empty if the reference is the
    /// policy without its adapters.
    pub(crate) weights: Vec<(String, Tensor)>,
    /// A fingerprint of `weights`, which tells the references of a run apart. It is no defence against forgery.
    pub(crate) fingerprint: String,
}

impl Reference {
    /// Creates the reference of the policy `model` from copies of the policy's variables, or for no copies from the
    /// policy without its adapters.
    pub(crate) fn new(model: &Transformer, weights: Vec<(String, Tensor)>) -> Result<Self> {
        let model = if weights.is_empty() {
            lora::drop_adapters(model)?
        } else {
            let mut copies = weights.iter().map(|(_, tensor)| tensor.clone());
            model.map(&mut |_, weight| match weight.is_variable() {
                true => copies.next().ok_or_else(|| Error::setting("reference", "has fewer weights than the policy")),
                false => Ok(weight.clone()),
            })?
        };
        Ok(Self { model, fingerprint: fingerprint(&weights)?, weights })
    }
}

/// Returns a fingerprint of the names and the bits of tensors, in hexadecimal digits.
fn fingerprint(tensors: &[(String, Tensor)]) -> Result<String> {
    let mut hash = 0xCBF2_9CE4_8422_2325u64;
    let mut mix = |word: u64| hash = (hash.rotate_left(5) ^ word).wrapping_mul(0x517C_C1B7_2722_0A95);
    for (name, tensor) in tensors {
        name.bytes().for_each(|byte| mix(byte.into()));
        let values = tensor.to_device(&Device::Cpu)?.flatten_all()?.to_vec1::<f32>()?;
        values.iter().for_each(|value| mix(value.to_bits().into()));
    }
    Ok(format!("{hash:016x}"))
}
