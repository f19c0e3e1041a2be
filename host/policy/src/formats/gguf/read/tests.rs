//! Files that are read, written and refused.

use std::path::PathBuf;

use candle_core::quantized::{
    GgmlDType, QTensor,
    gguf_file::{self, Value},
};

use super::*;
use crate::{
    formats::export::{Export, ExportType, GgufType},
    model::{
        batch::Sequence,
        config::{SlidingWindow, Variant},
        log_probs::log_probs,
        rope::RopeScaling,
    },
};

const FAMILIES: [&str; 5] = ["llama", "qwen2", "qwen3", "smollm3", "gemma3"];

fn data() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data")
}

fn fixture(family: &str) -> PathBuf {
    data().join(format!("gguf/{family}.gguf"))
}

/// Returns the log-probabilities of the two sequences of tests/data/families.py.
fn scores(policy: &Policy) -> Vec<f32> {
    let sequences = [40, 9].map(|count| {
        let tokens: Vec<u32> = (0..count).map(|i| (7 * i + 3) % 40).collect();
        Sequence { prompt: tokens[..1].to_vec(), completion: tokens[1..].to_vec() }
    });
    log_probs(&policy.transformer, &sequences, 1.0, 1 << 20).unwrap().concat()
}

fn assert_near(got: &[f32], want: &[f32], tolerance: f32, what: &str) {
    assert_eq!(got.len(), want.len());
    for (got, want) in got.iter().zip(want) {
        assert!((got - want).abs() < tolerance * (1.0 + want.abs()), "{what}: {got} is not {want}");
    }
}

#[test]
fn a_file_of_each_architecture_computes_what_transformers_does() {
    for family in FAMILIES {
        let policy = Policy::open(&fixture(family), &Device::Cpu).unwrap();
        let text = std::fs::read_to_string(data().join(format!("families/{family}/expected.json"))).unwrap();
        let expected: serde_json::Value = serde_json::from_str(&text).unwrap();
        let expected: Vec<Vec<f32>> = serde_json::from_value(expected["log_probs"].clone()).unwrap();
        assert_near(&scores(&policy), &expected.concat(), 1e-4, family);
        let folder = Policy::open(&data().join("families").join(family), &Device::Cpu).unwrap();
        // The scaling of a file names other bounds in another unit, and that of Gemma's queries is in its weights.
        let plain = |policy: &Policy| {
            let variant = Variant { query_pre_attn_scalar: None, ..policy.config.variant.clone() };
            ModelConfig { rope_scaling: None, variant, ..policy.config.clone() }
        };
        assert_eq!(plain(&policy), plain(&folder), "{family}");
        let kind = |policy: &Policy| policy.config.rope_scaling.as_ref().map(std::mem::discriminant);
        assert_eq!(kind(&policy), kind(&folder), "{family}");
        let messages = [crate::Message::new("user", "hi")];
        let template = policy.chat_template(None).unwrap().unwrap();
        assert_eq!(template.render(&messages, &serde_json::Map::new()).unwrap(), "<s>hi");
    }
}

#[test]
fn an_export_is_read_back_as_a_folder_and_as_a_file() {
    let home = tempfile::tempdir().unwrap();
    for family in FAMILIES {
        let policy = Policy::open(&fixture(family), &Device::Cpu).unwrap();
        let folder = home.path().join(family);
        let export = Export { dtype: ExportType::Bf16, gguf: Some(GgufType::F16) };
        policy.export(&folder, export).unwrap();
        let halved = Policy::open(&folder, &Device::Cpu).unwrap();
        let file = Policy::open(&folder.join("model.gguf"), &Device::Cpu).unwrap();
        policy.export(&folder, Export { gguf: Some(GgufType::F32), ..Export::default() }).unwrap();
        let whole_file = Policy::open(&folder.join("model.gguf"), &Device::Cpu).unwrap();
        policy.save(&folder).unwrap();
        let whole = Policy::open(&folder, &Device::Cpu).unwrap();
        assert!(!folder.join("model.gguf").exists(), "an export replaces the folder");
        assert_near(&scores(&whole), &scores(&policy), 1e-6, family);
        assert_near(&scores(&whole_file), &scores(&policy), 1e-6, family);
        assert_near(&scores(&file), &scores(&policy), 5e-3, family);
        assert_near(&scores(&halved), &scores(&policy), 5e-2, family);
        for other in [&halved, &file, &whole, &whole_file] {
            assert_eq!(other.config, policy.config, "{family}");
            assert_eq!(other.encode("<s>!&C</s>").unwrap(), policy.encode("<s>!&C</s>").unwrap());
            let source = |policy: &Policy| policy.chat_template(None).unwrap().unwrap().source().to_owned();
            assert_eq!(source(other), source(&policy));
            let named = |policy: &Policy| policy.companions.named_tokens();
            assert_eq!(named(other), named(&policy));
        }
    }
}

#[test]
fn matrices_of_a_file_are_quantised_where_blocks_fill_their_rows() {
    let mut policy = Policy::open(&data().join("gguf/qwen3.gguf"), &Device::Cpu).unwrap();
    let config = ModelConfig { hidden_size: 64, intermediate_size: 40, ..policy.config.clone() };
    policy.transformer = crate::model::init::random(&config, 3, &Device::Cpu).unwrap();
    policy.config = config;
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("model");
    policy.export(&folder, Export { gguf: Some(GgufType::Q8_0), ..Export::default() }).unwrap();
    let path = folder.join("model.gguf");
    let tensors = Tensors::open(&path).unwrap();
    let dtype = |name: &str| tensors.content.tensor_infos[name].ggml_dtype;
    assert_eq!(dtype("token_embd.weight"), GgmlDType::Q8_0);
    assert_eq!(dtype("blk.1.ffn_down.weight"), GgmlDType::F16);
    assert_eq!(dtype("blk.1.attn_q_norm.weight"), GgmlDType::F32);
    let file = Policy::open(&path, &Device::Cpu).unwrap();
    assert_near(&scores(&file), &scores(&policy), 5e-2, "Q8_0");
}

#[test]
fn weights_of_as_many_bits_or_fewer_are_kept_as_a_file_has_them() {
    // The two rows of a rotary pair are neighbours in the files of the first, and not in those of the second.
    for family in ["llama", "qwen2"] {
        let mut policy = Policy::open(&fixture(family), &Device::Cpu).unwrap();
        let heads = 32 / policy.config.head_dim;
        let config = ModelConfig { hidden_size: 64, intermediate_size: 64, heads, ..policy.config.clone() };
        policy.transformer = crate::model::init::random(&config, 3, &Device::Cpu).unwrap();
        policy.config = config;
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("model");
        policy.export(&folder, Export { gguf: Some(GgufType::Q8_0), ..Export::default() }).unwrap();
        let path = folder.join("model.gguf");
        let open = |quantisation| Policy::open_quantised(&path, &Device::Cpu, quantisation).unwrap();
        let (plain, kept, requantised) = (open(None), open(Some(Quantisation::Q8_0)), open(Some(Quantisation::Q4_0)));
        assert_eq!(scores(&kept), scores(&plain), "{family}");
        assert_eq!(scores(&requantised), scores(&plain.quantised(Some(Quantisation::Q4_0)).unwrap()), "{family}");
        let size = |policy: &Policy| policy.transformer.quantised_size();
        assert_eq!(size(&kept).elements, size(&requantised).elements);
        assert_eq!(
            (size(&kept).bytes / 34, size(&requantised).bytes / 18),
            (size(&kept).elements / 32, size(&kept).elements / 32)
        );
        // A folder is quantised as it is read.
        let read = Policy::open_quantised(&folder, &Device::Cpu, Some(Quantisation::Q4_0)).unwrap();
        assert_eq!(scores(&read), scores(&policy.quantised(Some(Quantisation::Q4_0)).unwrap()), "{family}");
    }
}

#[test]
fn a_model_without_a_name_in_the_format_is_refused() {
    let export = Export { gguf: Some(GgufType::F16), ..Export::default() };
    let refused = |policy: &Policy| policy.check_export(export).unwrap_err().to_string();
    let tiny = Policy::tiny(1, &Device::Cpu).unwrap();
    assert!(refused(&tiny).contains("its tokenizer is not a BPE of bytes or of SentencePiece, but a WordLevel"));
    let mut policy = Policy::open(&fixture("smollm3"), &Device::Cpu).unwrap();
    policy.check_export(export).unwrap();
    policy.config.unrotated_layers = vec![0];
    assert!(refused(&policy).contains("other layers than every fourth of SmolLM3"));
    let mut policy = Policy::open(&fixture("llama"), &Device::Cpu).unwrap();
    policy.config.architecture = crate::Architecture::Qwen3;
    assert!(refused(&policy).contains("the architecture qwen3 has no rope scaling llama3"));
    let changed = |change: &dyn Fn(&mut ModelConfig)| {
        let mut policy = Policy::open(&fixture("gemma3"), &Device::Cpu).unwrap();
        change(&mut policy.config);
        refused(&policy)
    };
    let layers = |layers: &[usize]| {
        let layers = layers.to_vec();
        move |config: &mut ModelConfig| config.variant.window.as_mut().unwrap().layers.clone_from(&layers)
    };
    assert!(changed(&layers(&[1])).contains("do not come at regular distances"));
    assert!(changed(&|config| config.qkv_bias = true).contains("its attention has"));
    let scaled = changed(&|config| config.variant.query_pre_attn_scalar = Some(12));
    assert!(scaled.contains("its query_pre_attn_scalar is 12"));
    let qwen = changed(&|config| config.architecture = crate::Architecture::Qwen3);
    assert!(qwen.contains("a sliding window"));
}

/// Writes a file with other metadata and tensors, and returns the reason why it is refused.
fn refused(family: &str, change: impl FnOnce(&mut BTreeMap<String, Value>, &mut Vec<(String, QTensor)>)) -> String {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("changed.gguf");
    let original = fixture(family);
    let mut file = Tensors::open(&original).unwrap();
    let mut values: BTreeMap<String, Value> = file.content.metadata.clone().into_iter().collect();
    let names: Vec<String> = file.content.tensor_infos.keys().cloned().collect();
    let tensor = |name: String| (name.clone(), file.content.tensor(&mut file.reader, &name, &Device::Cpu).unwrap());
    let mut tensors: Vec<(String, QTensor)> = names.into_iter().map(tensor).collect();
    change(&mut values, &mut tensors);
    let values: Vec<(&str, &Value)> = values.iter().map(|(key, value)| (key.as_str(), value)).collect();
    let tensors: Vec<(&str, &QTensor)> = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
    gguf_file::write(&mut File::create(&path).unwrap(), &values, &tensors).unwrap();
    let message = Policy::open(&path, &Device::Cpu).unwrap_err().to_string();
    assert!(message.contains("changed.gguf"), "{message}");
    message
}

#[test]
fn a_file_that_would_be_misread_is_refused_by_name() {
    let text = |text: &str| Value::String(text.to_owned());
    let set =
        |family: &str, key: &str, value: Value| refused(family, |values, _| drop(values.insert(key.to_owned(), value)));
    assert!(set("llama", "general.architecture", text("mamba")).contains("the architecture `mamba` is not supported"));
    assert!(set("qwen2", "qwen2.rope.scaling.type", text("longrope")).contains("`longrope`"));
    assert!(set("qwen2", "qwen2.rope.scaling.yarn_log_multiplier", Value::F32(0.1)).contains("yarn_log_multiplier"));
    assert!(set("llama", "llama.rope.scaling.factor", Value::F32(2.0)).contains("both scale"));
    assert!(set("llama", "llama.rope.dimension_count", Value::U32(2)).contains("`llama.rope.dimension_count` is 2"));
    assert!(set("qwen3", "qwen3.attention.causal", Value::Bool(false)).contains("only causal"));
    assert!(set("qwen3", "qwen3.block_count", text("two")).contains("`qwen3.block_count`"));
    assert!(set("qwen3", "qwen3.block_count", Value::U32(1)).contains("reads the tensor `blk.1."));
    assert!(set("qwen3", "qwen3.block_count", Value::U32(3)).contains("there is no tensor `blk.2.attn_q.weight`"));
    assert!(set("qwen3", "qwen3.feed_forward_length", Value::U32(8)).contains("`blk.0.ffn_gate.weight` has shape"));
    assert!(set("gemma3", "gemma3.final_logit_softcapping", Value::F32(30.0)).contains("caps of logits"));
    let full = Value::Array(vec![Value::Bool(false); 2]);
    assert!(set("gemma3", "gemma3.attention.sliding_window_pattern", full).contains("2 entries for 3 layers"));
    assert!(set("qwen3", "split.count", Value::U16(3)).contains("one of 3 parts"));
    let without = |family: &str, name: &str| refused(family, |_, tensors| tensors.retain(|(other, _)| other != name));
    assert!(without("llama", "token_embd.weight").contains("there is no tensor `token_embd.weight`"));
    assert!(without("qwen2", "blk.0.attn_q.bias").contains("there is no tensor `blk.0.attn_q.bias`"));
    let add = |family: &str, name: &str, values: &[f32]| {
        let tensor = QTensor::quantize(&Tensor::new(values, &Device::Cpu).unwrap(), GgmlDType::F32).unwrap();
        refused(family, |_, tensors| {
            tensors.retain(|(other, _)| other != name);
            tensors.push((name.to_owned(), tensor));
        })
    };
    assert!(add("smollm3", FREQUENCY_FACTORS, &[1.0, 2.0]).contains("reads the tensor `rope_freqs.weight`"));
    assert!(add("llama", FREQUENCY_FACTORS, &[3.0, 2.0]).contains("not those of the scaling llama3"));
    assert!(add("llama", FREQUENCY_FACTORS, &[1.0]).contains("not those of the scaling llama3"));
    for (number, name) in
        [(4, "Q4_2"), (9, "Q8_1"), (15, "Q8_K"), (23, "IQ4_XS"), (27, "I64"), (32, "Q4_0_4_8"), (39, "MXFP4")]
    {
        let error = candle_core::Error::Msg(format!("unknown dtype for tensor {number}"));
        let message = unread_type(Path::new("f"), error).to_string();
        assert!(message.contains(&format!("f: a tensor has the type {name}")), "{message}");
        assert!(!message.contains("supported are F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q8_1"), "{message}");
    }
    let of_type = |values: &[f32], dtype| {
        let tensor = QTensor::quantize(&Tensor::new(values, &Device::Cpu).unwrap(), dtype).unwrap();
        refused("llama", |_, tensors| tensors.push(("more".to_owned(), tensor)))
    };
    assert!(of_type(&[0.0; 256], GgmlDType::Q8K).contains("a tensor has the type Q8_K, which is not supported"));
}

#[test]
fn a_file_of_another_byte_order_or_version_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.gguf");
    let message = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        crate::Policy::open(&path, &Device::Cpu).unwrap_err().to_string()
    };
    let big = message(b"GGUF\0\0\0\x03\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
    assert!(big.contains("the numbers of the file are big-endian"), "{big}");
    let version = message(b"GGUF\x63\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
    assert!(version.contains("version 99 of GGUF; versions 1 to 3 are read"), "{version}");
    let short = message(b"GGU");
    assert!(short.contains("the file is cut short or damaged"), "{short}");
}

#[test]
fn a_factor_without_a_type_is_linear_and_a_window_ends_the_context() {
    let metadata = BTreeMap::from([
        ("smollm3.rope.scale_linear".to_owned(), Value::F32(4.0)),
        ("smollm3.attention.sliding_window".to_owned(), Value::U32(8)),
    ]);
    let path = fixture("smollm3");
    let mut file = Tensors::open(&path).unwrap();
    let mut values = file.content.metadata.clone();
    values.retain(|key, _| !key.contains("rope.scaling"));
    values.extend(metadata);
    let metadata = Metadata { path: &path, values: &values };
    let architecture = architecture(&metadata).unwrap();
    let config = config::read(&metadata, architecture, &file.present(architecture).unwrap()).unwrap();
    assert_eq!(config.rope_scaling, Some(RopeScaling::Linear { factor: 4.0 }));
    assert_eq!((config.context_length, config.unrotated_layers), (8, vec![3]));
}

#[test]
fn the_windows_of_gemma_3_are_those_of_llama_cpp() {
    let path = fixture("gemma3");
    let mut file = Tensors::open(&path).unwrap();
    let given = file.content.metadata.clone();
    let mut of = |layers: u32, change: &[(&str, Option<Value>)]| {
        let mut values = given.clone();
        values.insert("gemma3.block_count".to_owned(), Value::U32(layers));
        for (key, value) in change {
            match value {
                Some(value) => drop(values.insert((*key).to_owned(), value.clone())),
                None => drop(values.remove(*key)),
            }
        }
        let metadata = Metadata { path: &path, values: &values };
        let architecture = architecture(&metadata).unwrap();
        config::read(&metadata, architecture, &file.present(architecture).unwrap()).unwrap()
    };
    let (pattern, base) = ("gemma3.attention.sliding_window_pattern", "gemma3.rope.freq_base_swa");
    let usual = of(8, &[(pattern, None), (base, None)]);
    let window = SlidingWindow { size: 6, layers: vec![0, 1, 2, 3, 4, 6, 7], rope_theta: Some(1e4) };
    assert_eq!((usual.variant.window, usual.context_length), (Some(window), 64));
    let layers = |config: ModelConfig| config.variant.window.map(|window| window.layers);
    assert_eq!(layers(of(4, &[])), Some(vec![0, 2]));
    let listed = Value::Array([true, false, false].map(Value::Bool).to_vec());
    assert_eq!(layers(of(3, &[(pattern, Some(listed))])), Some(vec![0]));
    assert_eq!(layers(of(3, &[(pattern, Some(Value::U32(1)))])), None);
    assert_eq!(layers(of(3, &[(pattern, Some(Value::U32(0)))])), Some(vec![0, 1, 2]));
    assert_eq!(layers(of(3, &[("gemma3.attention.sliding_window", None)])), None);
    // The largest model's queries alone are scaled by another width than that of a head.
    assert_eq!([8, 62].map(|layers| of(layers, &[]).variant.query_pre_attn_scalar), [Some(8), Some(5)]);
}

#[test]
fn gemma_3_ends_where_its_template_ends_turns() {
    let path = fixture("gemma3");
    let mut file = Tensors::open(&path).unwrap();
    let mut values = file.content.metadata.clone();
    let Some(Value::Array(tokens)) = values.get_mut("tokenizer.ggml.tokens") else { panic!() };
    tokens[5] = Value::String("<end_of_turn>".to_owned());
    let mut ends = |template: &str| {
        values.insert("tokenizer.chat_template".to_owned(), Value::String(template.to_owned()));
        let metadata = Metadata { path: &path, values: &values };
        let architecture = architecture(&metadata).unwrap();
        config::read(&metadata, architecture, &file.present(architecture).unwrap()).unwrap().eos_tokens
    };
    assert_eq!(ends("{{ messages[0].content }}"), [1]);
    assert_eq!(ends("{{ messages[0].content }}<end_of_turn>"), [1, 5]);
}

/// Writes a file with these entries of metadata, of lists within a list too, and a tensor `x` of this shape without bytes.
fn header(metadata: &[(&str, u32, &[u8])], shape: [u64; 2]) -> tempfile::NamedTempFile {
    let text = |text: &str| [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat();
    let mut bytes = [&b"GGUF"[..], &3u32.to_le_bytes(), &1u64.to_le_bytes()].concat();
    bytes.extend((metadata.len() as u64).to_le_bytes());
    for (key, kind, value) in metadata {
        bytes.extend([&text(key), &kind.to_le_bytes()[..], value].concat());
    }
    bytes.extend([&text("x")[..], &2u32.to_le_bytes(), &shape[0].to_le_bytes(), &shape[1].to_le_bytes()].concat());
    bytes.extend([0; 4 + 8 + 64]);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    file
}

#[test]
fn a_tensor_of_a_shape_that_none_can_have_is_refused() {
    for shape in [[0, 4], [1 << 32, 1 << 32], [u64::MAX, 3], [1 << 62, 2], [1 << 61, 2], [1 << 62, 1]] {
        let file = header(&[], shape);
        let error = Tensors::open(file.path()).unwrap().get("x").unwrap_err().to_string();
        assert!(error.contains("which no tensor can have"), "{shape:?}: {error}");
    }
    let file = header(&[], [2, 2]);
    Tensors::open(file.path()).unwrap().get("x").unwrap();
}

#[test]
fn an_alignment_of_0_is_refused() {
    // A list of two lists, of a text and of no numbers.
    let mut lists = [&9u32.to_le_bytes()[..], &2u64.to_le_bytes(), &8u32.to_le_bytes(), &1u64.to_le_bytes()].concat();
    lists.extend([&1u64.to_le_bytes()[..], b"a", &4u32.to_le_bytes(), &0u64.to_le_bytes()].concat());
    let with = |alignment: u32| {
        let alignment = alignment.to_le_bytes();
        header(&[("lists", 9, &lists), ("general.alignment", 4, &alignment), ("a", 7, &[1])], [2, 2])
    };
    let (zero, usual) = (with(0), with(32));
    let error = Tensors::open(zero.path()).err().unwrap().to_string();
    assert!(error.contains("`general.alignment` in the metadata is 0"), "{error}");
    Tensors::open(usual.path()).unwrap().get("x").unwrap();
}
