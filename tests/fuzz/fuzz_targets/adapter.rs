//! Fuzzes a folder of PEFT whose configuration or weights are the input. Adapters that can be read are written and read back.
#![no_main]

use std::fs;
use std::sync::OnceLock;

use alft_fuzz::{model, scratch};
use alft_policy::{Device, OptimiserConfig, Policy, Trainer, Tuning};

const TOKEN_BUDGET: usize = 64;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    static POLICY: OnceLock<Policy> = OnceLock::new();
    let policy =
        POLICY.get_or_init(|| Policy::open(&model::copied(model::LLAMA), &Device::Cpu).expect("the small model opens"));
    let names = ["adapter_config.json", "adapter_model.safetensors"];
    let Some((name, content)) = model::chosen(&names, input) else { return };
    let folder = model::copied(model::ADAPTER);
    fs::write(folder.join(name), content).expect("the scratch folder can be written to");
    let attach =
        |folder| Trainer::new(policy.clone(), &Tuning::Adapter(folder), OptimiserConfig::default(), TOKEN_BUDGET, 0);
    match attach(folder.clone()) {
        Ok(trainer) => {
            let saved = scratch::folder().join("saved");
            let written = trainer.policy().save_adapter(&folder, &saved).expect("adapters that were read can be saved");
            assert!(!written || attach(saved).is_ok(), "adapters that were saved cannot be read");
        }
        Err(error) => model::assert_names(&error, &folder),
    }
});
