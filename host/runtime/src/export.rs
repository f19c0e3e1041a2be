//! The formats that a run exports its model in.

use alft_policy::{Error as ModelError, Export, Policy};

use crate::error::Result;

/// Finds a format that the policy cannot be exported in now, rather than at the end of the run.
pub(crate) fn check(policy: &Policy, export: Export) -> Result<()> {
    policy.check_export(export).map_err(|error| match error {
        ModelError::Setting { reason, .. } => ModelError::Setting { name: "export.gguf", reason }.into(),
        other => other.into(),
    })
}

#[cfg(test)]
mod tests {
    use alft_policy::{Device, GgufType};

    use super::*;

    #[test]
    fn a_model_that_cannot_be_exported_is_refused_by_the_key() {
        let policy = Policy::tiny(1, &Device::Cpu).unwrap();
        check(&policy, Export::default()).unwrap();
        let error = check(&policy, Export { gguf: Some(GgufType::Q8_0), ..Export::default() }).unwrap_err();
        assert!(error.to_string().starts_with("`export.gguf` asks for a GGUF file"), "{error}");
    }
}
