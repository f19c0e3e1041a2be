//! The model: one decoder-only transformer for the tiny embedded policy and for real ones.
//!
//! Each of its layers adds to the residual stream `x` (rows, hidden), first `o(attention(rotary(q, k), v))` of the
//! normalised stream, then `down(silu(gate) · up)` of it. There is one forward pass: it is tracked where a weight is a
//! variable, and what attention reads (a packed batch, or a cache) is the caller's business.

use std::sync::Arc;

use candle_core::{DType, Device, Result as TensorResult, Tensor, Var};

use crate::{
    config::ModelConfig,
    error::Result,
    kernels::Heads,
    ops::{Prediction, Rotary, attend, frequencies, linear, predict, rms_norm, swiglu},
    packed::Packed,
};

/// The weights of a decoder-only transformer of the llama family (RMSNorm, rotary positions, grouped queries, SwiGLU).
///
/// Cloning shares the weights.
#[derive(Debug, Clone)]
pub struct Transformer {
    embedding: Tensor,
    layers: Vec<Layer>,
    norm: Tensor,
    /// The output head, unless it is the embedding.
    head: Option<Tensor>,
    shape: Shape,
}

/// The numbers the forward pass needs besides weights.
#[derive(Debug, Clone)]
struct Shape {
    heads: Heads,
    epsilon: f64,
    context: usize,
    frequencies: Arc<Vec<f64>>,
}

#[derive(Debug, Clone)]
struct Layer {
    input_norm: Tensor,
    q: Projection,
    k: Projection,
    v: Projection,
    o: Projection,
    post_norm: Tensor,
    gate: Projection,
    up: Projection,
    down: Projection,
}

/// `x Wᵀ + b`, and what an adapter adds to it.
#[derive(Debug, Clone)]
pub(crate) struct Projection {
    pub(crate) weight: Tensor,
    bias: Option<Tensor>,
    pub(crate) adapter: Option<Adapter>,
}

/// `scale · (x Aᵀ) Bᵀ`; see [`crate::lora`].
#[derive(Debug, Clone)]
pub(crate) struct Adapter {
    /// (rank, in).
    pub(crate) a: Tensor,
    /// (out, rank).
    pub(crate) b: Tensor,
    /// alpha / rank.
    pub(crate) scale: f64,
}

impl Projection {
    fn forward(&self, x: &Tensor) -> TensorResult<Tensor> {
        let mut y = linear(x, &self.weight)?;
        if let Some(bias) = &self.bias {
            y = y.broadcast_add(bias)?;
        }
        if let Some(Adapter { a, b, scale }) = &self.adapter {
            y = (y + linear(&(linear(x, a)? * *scale)?, b)?)?;
        }
        Ok(y)
    }
}

impl Transformer {
    /// Builds a model of the given shape from weights by Hugging Face's names; `get` is told the shape each must have.
    pub(crate) fn build(config: &ModelConfig, get: &mut dyn FnMut(&str, &[usize]) -> Result<Tensor>) -> Result<Self> {
        let (hidden, inner) = (config.hidden_size, config.intermediate_size);
        let (q_width, kv_width) = (config.heads * config.head_dim, config.kv_heads * config.head_dim);
        let embedding = get("model.embed_tokens.weight", &[config.vocab_size, hidden])?;
        let mut layers = Vec::with_capacity(config.layers);
        for index in 0..config.layers {
            let mut weight = |name: &str, shape: &[usize]| get(&format!("model.layers.{index}.{name}"), shape);
            let mut projection = |name: &str, out: usize, width: usize, bias: bool| -> Result<Projection> {
                Ok(Projection {
                    weight: weight(&format!("{name}.weight"), &[out, width])?,
                    bias: if bias { Some(weight(&format!("{name}.bias"), &[out])?) } else { None },
                    adapter: None,
                })
            };
            layers.push(Layer {
                q: projection("self_attn.q_proj", q_width, hidden, config.qkv_bias)?,
                k: projection("self_attn.k_proj", kv_width, hidden, config.qkv_bias)?,
                v: projection("self_attn.v_proj", kv_width, hidden, config.qkv_bias)?,
                o: projection("self_attn.o_proj", hidden, q_width, config.output_bias)?,
                gate: projection("mlp.gate_proj", inner, hidden, false)?,
                up: projection("mlp.up_proj", inner, hidden, false)?,
                down: projection("mlp.down_proj", hidden, inner, false)?,
                input_norm: weight("input_layernorm.weight", &[hidden])?,
                post_norm: weight("post_attention_layernorm.weight", &[hidden])?,
            });
        }
        let head =
            if config.tie_word_embeddings { None } else { Some(get("lm_head.weight", &[config.vocab_size, hidden])?) };
        Ok(Self {
            embedding,
            layers,
            norm: get("model.norm.weight", &[hidden])?,
            head,
            shape: Shape {
                heads: Heads { query: config.heads, kv: config.kv_heads, dim: config.head_dim },
                epsilon: config.rms_norm_eps,
                context: config.context,
                frequencies: Arc::new(frequencies(config)),
            },
        })
    }

    /// The same model with every weight, adapters included, replaced by `f(name, weight)`; Hugging Face's names, and
    /// PEFT's (`….lora_A.weight`) for adapters.
    pub(crate) fn map(&self, f: &mut dyn FnMut(&str, &Tensor) -> Result<Tensor>) -> Result<Self> {
        let mut model = self.clone();
        model.visit(&mut |name, weight| {
            *weight = f(name, weight)?;
            Ok(())
        })?;
        Ok(model)
    }

    fn visit(&mut self, f: &mut dyn FnMut(&str, &mut Tensor) -> Result<()>) -> Result<()> {
        f("model.embed_tokens.weight", &mut self.embedding)?;
        self.visit_projections(&mut |name, projection| {
            f(&format!("{name}.weight"), &mut projection.weight)?;
            if let Some(bias) = &mut projection.bias {
                f(&format!("{name}.bias"), bias)?;
            }
            if let Some(adapter) = &mut projection.adapter {
                f(&format!("{name}.lora_A.weight"), &mut adapter.a)?;
                f(&format!("{name}.lora_B.weight"), &mut adapter.b)?;
            }
            Ok(())
        })?;
        for (index, layer) in self.layers.iter_mut().enumerate() {
            f(&format!("model.layers.{index}.input_layernorm.weight"), &mut layer.input_norm)?;
            f(&format!("model.layers.{index}.post_attention_layernorm.weight"), &mut layer.post_norm)?;
        }
        f("model.norm.weight", &mut self.norm)?;
        if let Some(head) = &mut self.head {
            f("lm_head.weight", head)?;
        }
        Ok(())
    }

    /// Calls `f` with each projection and its name, such as `model.layers.0.self_attn.q_proj`.
    pub(crate) fn visit_projections(&mut self, f: &mut dyn FnMut(&str, &mut Projection) -> Result<()>) -> Result<()> {
        for (index, layer) in self.layers.iter_mut().enumerate() {
            let projections = [
                ("self_attn.q_proj", &mut layer.q),
                ("self_attn.k_proj", &mut layer.k),
                ("self_attn.v_proj", &mut layer.v),
                ("self_attn.o_proj", &mut layer.o),
                ("mlp.gate_proj", &mut layer.gate),
                ("mlp.up_proj", &mut layer.up),
                ("mlp.down_proj", &mut layer.down),
            ];
            for (name, projection) in projections {
                f(&format!("model.layers.{index}.{name}"), projection)?;
            }
        }
        Ok(())
    }

    /// Every weight with its name, in a fixed order.
    pub(crate) fn weights(&self) -> Vec<(String, Tensor)> {
        let mut weights = Vec::new();
        // Collecting cannot fail, so there is no error to lose.
        let _ = self.clone().visit(&mut |name, weight| {
            weights.push((name.to_owned(), weight.clone()));
            Ok(())
        });
        weights
    }

    /// The weights that training moves, with their names, in a fixed order.
    pub fn trainable(&self) -> Vec<(String, Var)> {
        let variables = self.weights().into_iter().filter(|(_, weight)| weight.is_variable());
        // A variable's tensor becomes the same variable again: the storage is shared.
        variables.filter_map(|(name, weight)| Some((name, Var::from_tensor(&weight).ok()?))).collect()
    }

    /// The same weights without a graph: what sampling and scoring run on. Nothing is copied.
    pub(crate) fn detached(&self) -> Result<Self> {
        self.map(&mut |_, weight| Ok(weight.detach()))
    }

    /// Whether the model has adapters and none of them changes anything yet.
    pub(crate) fn has_idle_adapters(&self) -> Result<bool> {
        let (mut adapters, mut idle) = (0, 0);
        self.clone().visit_projections(&mut |_, projection| {
            if let Some(adapter) = &projection.adapter {
                adapters += 1;
                idle += usize::from(adapter.b.abs()?.max_all()?.to_scalar::<f32>()? == 0.0);
            }
            Ok(())
        })?;
        Ok(adapters > 0 && adapters == idle)
    }

    /// Tokens the model can attend to.
    pub fn context(&self) -> usize {
        self.shape.context
    }

    /// Tokens the model knows: rows of its embedding.
    pub fn vocabulary(&self) -> usize {
        self.embedding.dims()[0]
    }

    /// Numbers in all weights, adapters included.
    pub fn parameter_count(&self) -> usize {
        self.weights().iter().map(|(_, weight)| weight.elem_count()).sum()
    }

    pub(crate) fn heads(&self) -> Heads {
        self.shape.heads
    }

    pub(crate) fn device(&self) -> &Device {
        self.embedding.device()
    }

    fn dtype(&self) -> DType {
        self.embedding.dtype()
    }

    /// Runs the layers over rows of tokens at `positions`. `attend(layer, q, k, v)` returns what each query reads, in
    /// the shape of `q`. Returns the normalised stream, (rows, hidden).
    pub(crate) fn hidden_states(
        &self,
        tokens: &[u32],
        positions: &[usize],
        mut attend: impl FnMut(usize, &Tensor, &Tensor, &Tensor) -> TensorResult<Tensor>,
    ) -> TensorResult<Tensor> {
        let epsilon = self.shape.epsilon;
        let rotary = Rotary::at(positions, &self.shape.frequencies, self.dtype(), self.device())?;
        let mut x = self.embedding.index_select(&Tensor::new(tokens, self.device())?, 0)?;
        for (index, layer) in self.layers.iter().enumerate() {
            let normal = rms_norm(&x, &layer.input_norm, epsilon)?;
            let q = rotary.rotate(&layer.q.forward(&normal)?)?;
            let k = rotary.rotate(&layer.k.forward(&normal)?)?;
            let v = layer.v.forward(&normal)?;
            x = (x + layer.o.forward(&attend(index, &q, &k, &v)?)?)?;
            let normal = rms_norm(&x, &layer.post_norm, epsilon)?;
            let gated = swiglu(&layer.gate.forward(&normal)?, &layer.up.forward(&normal)?)?;
            x = (x + layer.down.forward(&gated)?)?;
        }
        rms_norm(&x, &self.norm, epsilon)
    }

    /// Predicts the targets of a packed batch, in its order, as it would sample them at `temperature`.
    pub(crate) fn predict(&self, packed: &Packed, temperature: f64) -> Result<Prediction> {
        let groups = Arc::new(packed.groups.clone());
        let hidden = self.hidden_states(&packed.tokens, &packed.positions, |_, q, k, v| {
            attend(self.shape.heads, &groups, q, k, v)
        })?;
        let predictors = Tensor::new(packed.predictors.as_slice(), self.device())?;
        let mut hidden = hidden.index_select(&predictors, 0)?;
        if temperature != 1.0 {
            // The head is linear: this divides the logits.
            hidden = (hidden * (1.0 / temperature))?;
        }
        Ok(predict(&hidden, self.head(), &packed.targets)?)
    }

    /// The logits of hidden states, (rows, vocabulary).
    pub(crate) fn logits(&self, hidden: &Tensor) -> TensorResult<Tensor> {
        linear(hidden, self.head())
    }

    fn head(&self) -> &Tensor {
        self.head.as_ref().unwrap_or(&self.embedding)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::DType;

    use super::*;
    use crate::{config::Architecture, decode::Decoder, logprob::Sequence, tiny::random};

    /// A small model with everything that a configuration can switch on.
    fn model() -> Transformer {
        let config = ModelConfig {
            architecture: Architecture::Qwen2,
            vocab_size: 40,
            hidden_size: 24,
            intermediate_size: 40,
            layers: 2,
            heads: 6,
            kv_heads: 2,
            head_dim: 8,
            context: 64,
            rms_norm_eps: 1e-6,
            rope_theta: 1e4,
            rope_scaling: None,
            tie_word_embeddings: false,
            qkv_bias: true,
            output_bias: false,
            bos_token: None,
            eos_tokens: vec![],
        };
        random(&config, 3, &Device::Cpu).unwrap()
    }

    /// In f64 the model runs on composed operations, as it does on other devices.
    fn widened(model: &Transformer) -> Transformer {
        model.map(&mut |_, weight| Ok(weight.to_dtype(DType::F64)?)).unwrap()
    }

    fn assert_close(a: &Tensor, b: &Tensor) {
        let difference = (a.to_dtype(DType::F64).unwrap() - b.to_dtype(DType::F64).unwrap()).unwrap();
        let error = difference.abs().unwrap().max_all().unwrap().to_scalar::<f64>().unwrap();
        assert!(a.dims() == b.dims() && error < 1e-4, "off by {error:e}");
    }

    #[test]
    fn kernels_and_composed_operations_train_alike() {
        let trained = |model: &Transformer| {
            let model = model.map(&mut |_, weight| Ok(Var::from_tensor(weight)?.into_inner())).unwrap();
            let texts = [(vec![1, 2, 3], vec![4, 5, 6, 7]), (vec![1, 2, 3], vec![8]), (vec![9; 5], vec![10, 11])];
            let texts = texts.map(|(prompt, completion)| Sequence { prompt, completion });
            let prediction = model.predict(&Packed::of_sequences(&texts.iter().collect::<Vec<_>>()), 1.0).unwrap();
            let grads = prediction.log_probs.sum_all().unwrap().backward().unwrap();
            let grads = model.trainable().into_iter().map(|(name, variable)| {
                grads.get(&variable).unwrap_or_else(|| panic!("{name} has no gradient")).clone()
            });
            [vec![prediction.log_probs.detach(), prediction.entropies], grads.collect()].concat()
        };
        let model = model();
        let (kernels, composed) = (trained(&model), trained(&widened(&model)));
        assert_eq!(kernels.len(), 2 + 3 + 2 * 12);
        kernels.iter().zip(&composed).for_each(|(a, b)| assert_close(a, b));
    }

    #[test]
    fn kernels_and_composed_operations_decode_alike() {
        let decoded = |model: &Transformer| {
            let prompts: [&[u32]; 2] = [&[1, 2, 3, 4, 5], &[6]];
            let (mut decoder, first) = Decoder::begin(model, &prompts, &[1, 0, 0], 1).unwrap();
            let second = decoder.step(&[7, 8, 9]).unwrap();
            decoder.keep(&[2, 0]).unwrap();
            [first, second, decoder.step(&[10, 11]).unwrap(), decoder.step(&[12, 13]).unwrap()]
        };
        let model = model();
        for (a, b) in decoded(&model).iter().zip(&decoded(&widened(&model))) {
            assert_close(a, b);
        }
    }
}
