//! A run of a GGUF file ends with a folder and a file in the formats that its run file asks for.

use std::path::Path;

use alft_policy::{Device, Policy};
use toml::Table;

use crate::support::{Scratch, run_to};

#[test]
fn a_run_is_exported_in_the_formats_of_its_run_file() {
    let scratch = Scratch::new();
    std::fs::write(scratch.path().join("few.jsonl"), "{\"prompt\": \"1+2=\", \"gold\": \"3\"}\n").unwrap();
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../policy/tests/data/gguf/qwen3.gguf");
    let config = scratch.config(|run| {
        let overrides: Table = r#"
            prompts = { train = "few.jsonl", eval = "few.jsonl" }
            sampling = { max_new_tokens = 4 }
            train = { steps = 1, checkpoint_every = 1 }
            export = { dtype = "bf16", gguf = "q8_0" }
        "#
        .parse()
        .unwrap();
        run.extend(overrides);
        run.insert("model".into(), Table::from_iter([("path".to_owned(), model.to_str().unwrap().into())]).into());
        run.remove("warm_start");
    });
    let mut run = scratch.start("run", config);
    run_to(&mut run, 1);
    run.finish().unwrap();
    for folder in ["run/model", "run/checkpoints/step-000001"] {
        assert!(scratch.read(&format!("{folder}/config.json")).contains("\"bfloat16\""));
        let opened = ["", "model.gguf"].map(|file| {
            let path = scratch.path().join(folder).join(file);
            Policy::open(&path, &Device::Cpu).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        });
        assert_eq!(opened[0].config(), opened[1].config());
    }
}
