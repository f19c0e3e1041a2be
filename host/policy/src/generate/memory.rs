//! The memory of sampling, known before a run starts.

use std::fmt;

use crate::{
    error::{Error, Result},
    generate::{config::SampleConfig, decode::PROMPT_ROWS},
    model::{config::ModelConfig, decoding::DecodingModel, lora::LoraConfig, weight::QuantisedSize},
    ops::{BLOCK, Places},
    policy::Policy,
};

/// The requests of one call of [`sample()`](crate::sample()), as far as the memory depends on them.
#[derive(Debug, Clone, Copy)]
pub struct SampleLoad {
    /// Number of distinct prompts.
    pub prompts: usize,
    /// Number of tokens of the longest prompt.
    pub longest_prompt: usize,
    /// Number of completions of each prompt.
    pub group: usize,
}

/// The largest memory that sampling takes, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SampleMemory {
    /// The policy's weights, quantised ones in their blocks; and for decoding those that are packed on the CPU, and on a device
    /// copies of those that are dequantised, joined, or changed by adapters.
    pub weights: u64,
    /// The cache of keys and values.
    pub cache: u64,
    /// Logits, and probabilities made of them.
    pub logits: u64,
    /// Everything else that a pass of the model computes.
    pub activations: u64,
    /// Number of completions that are decoded together at most.
    pub batch: usize,
    /// Number of completions of full length that the cache holds.
    pub full_length: usize,
}

/// The storage of numbers while completions are drawn.
#[derive(Debug, Clone, Copy)]
struct Numbers {
    /// Bytes of a number.
    bytes: usize,
    /// True if they are not on the CPU.
    on_device: bool,
    /// The quantised weights.
    quantised: QuantisedSize,
}

impl SampleMemory {
    /// Computes the memory for a policy, which `lora` adapts, if any.
    ///
    /// # Errors
    /// [`Error::Setting`] for settings out of range, for modules to save that the policy does not have, and if the cache may
    /// not be large enough for one completion.
    pub fn new(policy: &Policy, lora: Option<&LoraConfig>, config: &SampleConfig, load: SampleLoad) -> Result<Self> {
        let transformer = policy.transformer();
        let numbers = Numbers {
            bytes: transformer.dtype().size_in_bytes(),
            on_device: !policy.device().is_cpu(),
            quantised: transformer.quantised_size(),
        };
        let whole = match lora {
            Some(lora) => lora.saved_weights(transformer)?,
            None => parameters(policy.config()),
        };
        Self::of(policy.config(), numbers, lora, whole, config, load)
    }

    /// `whole` is the number of the model's weights that are trained themselves.
    fn of(
        model: &ModelConfig,
        numbers: Numbers,
        lora: Option<&LoraConfig>,
        whole: usize,
        config: &SampleConfig,
        load: SampleLoad,
    ) -> Result<Self> {
        let number = numbers.bytes as u64;
        config.check()?;
        let SampleLoad { prompts, longest_prompt, group } = load;
        let block = block_bytes(model, numbers.bytes);
        let batch = config.max_batch.min(prompts * group);
        let lengths = vec![longest_prompt; prompts];
        let blocks = cache_blocks(block, config, &lengths, prompts * group)?;
        let (prompt, own) = (Places::blocks_for(longest_prompt), Places::blocks_for(config.max_new_tokens - 1));
        let full_length = (1..=batch).rev().find(|&rows| rows * own + rows.div_ceil(group) * prompt <= blocks);

        let projections = projections(model);
        let of_layers = |named: &dyn Fn(&str) -> bool| {
            projections.iter().filter(|(name, ..)| named(name)).map(|(_, out, width)| out * width).sum::<usize>()
                * model.layers
        };
        // On a device weights with adapters are copied, those that are joined with others, and all if they are quantised.
        let quantised = numbers.quantised;
        let changed = |name: &str| quantised.elements > 0 || lora.is_some_and(|lora| lora.adapts(name));
        let joined = |name: &str| !["o_proj", "down_proj"].contains(&name);
        // Weights that are trained in another type are read from copies: those of all weights are joined at once.
        let masters = if numbers.bytes < size_of::<f32>() { whole } else { 0 };
        let copied = match numbers.on_device && masters < parameters(model) {
            true => of_layers(&|name| changed(name) || joined(name)),
            false => 0,
        };
        let packed = if numbers.on_device { 0 } else { DecodingModel::packed_bytes(model, config.weights) as u64 };
        let threads = rayon::current_num_threads();
        // A product is computed transposed, and copied. A thread that draws has the probabilities with their tokens, before
        // and after the filters.
        let rows_of_logits = 2 * batch + prompts.min(batch) + 5 * threads;
        let rows = batch.max(longest_prompt).max(PROMPT_ROWS.min(prompts * longest_prompt));
        let (q, kv) = (model.heads * model.head_dim, model.kv_heads * model.head_dim);
        let row = 4 * model.hidden_size + 3 * q + 4 * kv + 5 * model.intermediate_size;
        // Attention has the scores of a block of queries for every thread.
        let scores = threads * (model.heads / model.kv_heads) * BLOCK * longest_prompt;
        Ok(Self {
            weights: (parameters(model) - quantised.elements + copied) as u64 * number
                + quantised.bytes as u64
                + masters as u64 * 4
                + packed,
            cache: blocks as u64 * block,
            logits: (rows_of_logits * model.vocab_size) as u64 * number,
            activations: (rows * row + scores) as u64 * number,
            batch,
            full_length: full_length.unwrap_or(1),
        })
    }

    /// Returns the sum, in bytes.
    pub fn total(&self) -> u64 {
        self.weights + self.cache + self.logits + self.activations
    }
}

impl fmt::Display for SampleMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = |bytes: u64| bytes.div_ceil(1 << 20);
        write!(
            f,
            "sampling takes at most {} MiB: weights {}, cache {}, logits {}, activations {}; {} completions at once",
            mib(self.total()),
            mib(self.weights),
            mib(self.cache),
            mib(self.logits),
            mib(self.activations),
            self.batch,
        )?;
        if self.full_length < self.batch {
            write!(f, ", {} of full length", self.full_length)?;
        }
        Ok(())
    }
}

/// Returns the bytes of a block of the cache over all layers, for elements of `element` bytes.
pub(crate) fn block_bytes(model: &ModelConfig, element: usize) -> u64 {
    (model.layers * 2 * BLOCK * model.kv_heads * model.head_dim * element) as u64
}

/// Returns the number of blocks of the cache for `requests` requests of distinct prompts with these lengths: as many as
/// can be in use at once, within `cache_mib`.
///
/// # Errors
/// [`Error::Setting`] if one request may need more.
pub(crate) fn cache_blocks(
    block_bytes: u64,
    config: &SampleConfig,
    prompts: &[usize],
    requests: usize,
) -> Result<usize> {
    let slots = config.max_batch.min(requests);
    // The last token of a completion is drawn and not computed.
    let own = Places::blocks_for(config.max_new_tokens - 1);
    let mut prompts: Vec<usize> = prompts.iter().map(|tokens| Places::blocks_for(*tokens)).collect();
    prompts.sort_unstable_by(|a, b| b.cmp(a));
    let largest = prompts.first().copied().unwrap_or(0);
    let most = slots * own + prompts.iter().take(slots).sum::<usize>();
    let allowed =
        usize::try_from((config.cache_mib as u64).saturating_mul(1 << 20) / block_bytes).unwrap_or(usize::MAX);
    if allowed < own + largest {
        let needed = ((own + largest) as u64 * block_bytes).div_ceil(1 << 20);
        let reason = format!(
            "is {}; a completion of {} tokens of the longest prompt needs {needed}: raise it, or lower max_new_tokens",
            config.cache_mib, config.max_new_tokens,
        );
        return Err(Error::setting("cache_mib", reason));
    }
    Ok(most.min(allowed))
}

/// Returns the projections of a layer: name, outputs and inputs.
fn projections(model: &ModelConfig) -> [(&'static str, usize, usize); 7] {
    let (hidden, inner) = (model.hidden_size, model.intermediate_size);
    let (q, kv) = (model.heads * model.head_dim, model.kv_heads * model.head_dim);
    [
        ("q_proj", q, hidden),
        ("k_proj", kv, hidden),
        ("v_proj", kv, hidden),
        ("o_proj", hidden, q),
        ("gate_proj", inner, hidden),
        ("up_proj", inner, hidden),
        ("down_proj", hidden, inner),
    ]
}

/// Returns the number of weights of a model without adapters.
fn parameters(model: &ModelConfig) -> usize {
    let biases = |(name, out, _): &(&str, usize, usize)| match *name {
        "q_proj" | "k_proj" | "v_proj" if model.qkv_bias => *out,
        "o_proj" if model.output_bias => *out,
        _ => 0,
    };
    let projections = projections(model);
    let norms = if model.variant.output_norms { 4 } else { 2 } * model.hidden_size
        + if model.qk_norm { 2 * model.head_dim } else { 0 };
    let layer: usize = projections.iter().map(|p| p.1 * p.2 + biases(p)).sum::<usize>() + norms;
    let heads = if model.tie_word_embeddings { 1 } else { 2 };
    model.layers * layer + heads * model.vocab_size * model.hidden_size + model.hidden_size
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::{model::init::random, twins};

    fn tiny() -> ModelConfig {
        Policy::tiny(1, &Device::Cpu).unwrap().config().clone()
    }

    const ON_CPU: Numbers =
        Numbers { bytes: 4, on_device: false, quantised: QuantisedSize { elements: 0, bytes: 0, largest: 0 } };
    const LOAD: SampleLoad = SampleLoad { prompts: 4, longest_prompt: 65, group: 8 };

    #[test]
    fn the_number_of_weights_is_that_of_the_model() {
        let untied = ModelConfig {
            tie_word_embeddings: false,
            qkv_bias: true,
            output_bias: true,
            qk_norm: true,
            kv_heads: 2,
            ..tiny()
        };
        for config in [tiny(), untied, twins::gemma3()] {
            assert_eq!(parameters(&config), random(&config, 1, &Device::Cpu).unwrap().parameter_count());
        }
    }

    #[test]
    fn the_cache_grows_with_the_batch_up_to_its_limit() {
        let blocks = |max_batch, cache_mib, max_new_tokens| {
            let config = SampleConfig { max_batch, cache_mib, max_new_tokens, ..SampleConfig::default() };
            let memory = SampleMemory::of(&tiny(), ON_CPU, None, 0, &config, LOAD).unwrap();
            (memory.cache / block_bytes(&tiny(), 4), memory.batch, memory.full_length)
        };
        // Two blocks for each prompt, and two for each completion of up to 129 tokens.
        assert_eq!(blocks(64, 2048, 129), (4 * 2 + 32 * 2, 32, 32));
        assert_eq!(blocks(2, 2048, 129), (2 * 2 + 2 * 2, 2, 2));
        assert_eq!(blocks(64, 2048, 1), (4 * 2, 32, 32));
        // A block of the tiny model has 3 · 2 · 64 · 64 numbers, so there are ten in a MiB: one prompt, four completions.
        assert_eq!(blocks(64, 1, 129), (10, 32, 4));
        assert_eq!(blocks(64, usize::MAX, 129), blocks(64, 2048, 129), "a limit of more bytes than there are numbers");
    }

    #[test]
    fn a_cache_that_one_completion_does_not_fit_is_an_error() {
        let model = ModelConfig { layers: 300, ..tiny() };
        let config = SampleConfig { cache_mib: 4, max_new_tokens: 400, ..SampleConfig::default() };
        let message = SampleMemory::of(&model, ON_CPU, None, 0, &config, LOAD).unwrap_err().to_string();
        assert!(message.starts_with("`cache_mib` is 4; a completion of 400 tokens"), "{message}");
    }

    #[test]
    fn merged_adapters_are_copies_of_their_weights_on_a_device_and_packed_on_the_cpu() {
        let lora = LoraConfig { targets: vec!["q_proj".to_owned(), "down_proj".to_owned()], ..LoraConfig::default() };
        let of = |numbers, lora| {
            SampleMemory::of(&tiny(), numbers, lora, 0, &SampleConfig::default(), LOAD).unwrap().weights
        };
        assert_eq!(of(ON_CPU, Some(&lora)), of(ON_CPU, None));
        // Queries are joined with others anyway.
        let on_device = Numbers { on_device: true, ..ON_CPU };
        assert_eq!(of(on_device, Some(&lora)) - of(on_device, None), 4 * 3 * 64 * 176);
    }

    #[test]
    fn quantised_weights_are_copied_for_sampling() {
        let projections = 3 * (4 * 64 * 64 + 3 * 64 * 176);
        let quantised = QuantisedSize { elements: projections, bytes: 1000, largest: 64 * 176 };
        let of = |numbers| SampleMemory::of(&tiny(), numbers, None, 0, &SampleConfig::default(), LOAD).unwrap().weights;
        let packed = DecodingModel::packed_bytes(&tiny(), SampleConfig::default().weights);
        let others = parameters(&tiny()) - projections;
        assert_eq!(of(Numbers { quantised, ..ON_CPU }), (4 * others + 1000 + packed) as u64);
        let on_device = Numbers { bytes: 2, on_device: true, quantised };
        let lora = LoraConfig::default();
        let memory = SampleMemory::of(&tiny(), on_device, Some(&lora), 0, &SampleConfig::default(), LOAD).unwrap();
        assert_eq!(memory.weights, (2 * (others + projections) + 1000) as u64);
    }

    #[test]
    fn in_bf16_a_policy_in_training_has_masters_and_a_copy() {
        let in_bf16 = Numbers { bytes: 2, on_device: true, ..ON_CPU };
        let lora = LoraConfig { targets: vec!["q_proj".to_owned(), "o_proj".to_owned()], ..LoraConfig::default() };
        let of = |lora, whole| SampleMemory::of(&tiny(), in_bf16, lora, whole, &SampleConfig::default(), LOAD).unwrap();
        assert_eq!(of(None, parameters(&tiny())).weights, 6 * parameters(&tiny()) as u64);
        // Queries, keys and values are joined, gates and ups too; the merged outputs are a copy.
        let joined = 3 * (3 * 64 * 64 + 2 * 64 * 176);
        let adapted = of(Some(&lora), 0).weights;
        assert_eq!(adapted, 2 * (parameters(&tiny()) + joined + 3 * 64 * 64) as u64);
        // Modules that are trained whole beside the adapters have masters.
        assert_eq!(of(Some(&lora), 100).weights, adapted + 4 * 100);
    }

    #[test]
    fn modules_to_save_are_counted_by_their_weights() {
        let policy = Policy::tiny(1, &Device::Cpu).unwrap();
        let saved = |modules: &[&str]| {
            let modules_to_save = modules.iter().map(|module| (*module).to_owned()).collect();
            LoraConfig { modules_to_save, ..LoraConfig::default() }.saved_weights(policy.transformer()).unwrap()
        };
        let vocabulary = policy.config().vocab_size;
        assert_eq!(saved(&[]), 0);
        assert_eq!(saved(&["embed_tokens", "layers.0.mlp.up_proj"]), vocabulary * 64 + 64 * 176);
    }
}
