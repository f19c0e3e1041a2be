//! The weights and the forward pass of a decoder-only transformer.
//!
//! Each layer adds two terms to the residual stream `x` (rows, hidden), both computed from the normalised stream: first
//! `o(attention(rotary(q, k), v))`, then `down(activation(gate) · up)`. There is one forward pass. Its operations are tracked
//! where a weight is a variable; the caller supplies the attention, over a batch or over a cache.

use alft_kernels::{Activation, Heads, NormConstants, Transpose};
use std::sync::Arc;

use candle_core::{DType, Device, Result as TensorResult, Tensor, Var};

use crate::{
    error::Result,
    model::{
        batch::Batch,
        config::ModelConfig,
        rope::{Angles, Rope},
        weight::{QuantisedSize, Weight, WeightSource},
    },
    ops::{Dropout, Packed, Prediction, add, add_product, attend, glu, linear, predict, rms_norm},
};

/// The weights of a decoder-only transformer with RMSNorm, rotary positions, grouped queries and gated feed-forward layers.
///
/// Cloning shares the weights.
#[derive(Debug, Clone)]
pub struct Transformer {
    pub(super) embedding: Tensor,
    pub(super) layers: Vec<Layer>,
    pub(super) norm: Tensor,
    /// The output head; `None` if it is the embedding.
    head: Option<Tensor>,
    pub(super) shape: Shape,
    /// The type of activations. A weight of another type is a variable, and is read in this type.
    compute: DType,
}

/// The numbers that the forward pass needs besides the weights.
#[derive(Debug, Clone)]
pub(super) struct Shape {
    pub(super) norm: NormConstants,
    pub(super) activation: Activation,
    /// The factor of a token's embedding.
    pub(super) embedding_scale: f64,
    context_length: usize,
    rope: Arc<Rope>,
}

#[derive(Debug, Clone)]
pub(super) struct Layer {
    pub(super) heads: Heads,
    pub(super) input_norm: Tensor,
    pub(super) q: Projection,
    pub(super) k: Projection,
    pub(super) v: Projection,
    /// The normalisation of the heads of queries and keys, if there is one.
    pub(super) head_norms: Option<HeadNorms>,
    /// True if queries and keys are rotated by their positions.
    pub(super) rotates: bool,
    pub(super) o: Projection,
    pub(super) feed_forward_norm: Tensor,
    pub(super) gate: Projection,
    pub(super) up: Projection,
    pub(super) down: Projection,
    /// The normalisation of what is added to the stream, if there is one.
    pub(super) output_norms: Option<OutputNorms>,
}

/// The weights, (hidden,) each, by which the outputs of attention and of the feed-forward layer are normalised before they
/// are added to the stream.
#[derive(Debug, Clone)]
pub(super) struct OutputNorms {
    pub(super) attention: Tensor,
    pub(super) feed_forward: Tensor,
}

/// The weights, (dim,) each, by which every head of the queries and of the keys is normalised before it is rotated.
#[derive(Debug, Clone)]
pub(super) struct HeadNorms {
    pub(super) q: Tensor,
    pub(super) k: Tensor,
}

/// The activations of a layer that its backward pass needs. The others are cheap to compute from these.
#[derive(Debug)]
pub(super) struct Activations {
    /// Queries and keys before their heads are normalised; only of layers that normalise them.
    pub(super) plain: Option<(Tensor, Tensor)>,
    /// Rotated queries, (rows, query heads · dim).
    pub(super) q: Tensor,
    /// Rotated keys, (rows, kv heads · dim).
    pub(super) k: Tensor,
    /// Values, (rows, kv heads · dim).
    pub(super) v: Tensor,
    /// The output of attention, (rows, query heads · dim).
    pub(super) mixed: Tensor,
    /// The residual stream between attention and feed-forward, (rows, hidden).
    pub(super) middle: Tensor,
    /// The inputs of the gated unit, (rows, intermediate).
    pub(super) gate: Tensor,
    pub(super) up: Tensor,
    /// The outputs of attention and of the feed-forward layer before they are normalised, (rows, hidden); only of layers that
    /// normalise them.
    pub(super) outputs: Option<(Tensor, Tensor)>,
}

/// The widths of a model's rows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Widths {
    /// The residual stream.
    pub(crate) hidden: usize,
    /// Queries.
    query: usize,
    /// Keys, and values.
    kv: usize,
    /// The inputs of the gated unit.
    pub(crate) intermediate: usize,
    /// True if the heads of queries and keys are normalised.
    head_norms: bool,
    /// True if the outputs of attention and of feed-forward layers are normalised.
    pub(crate) output_norms: bool,
}

impl Widths {
    /// Returns the number of elements that a layer keeps of each row for its backward pass: its input and its
    /// [`Activations`].
    pub(crate) fn kept(self) -> usize {
        let plain = if self.head_norms { self.query + self.kv } else { 0 };
        let outputs = if self.output_norms { 2 * self.hidden } else { 0 };
        2 * (self.hidden + self.query + self.kv + self.intermediate) + plain + outputs
    }
}

/// A linear layer `x Wᵀ + b`, with the adapter that adds to it if there is one.
#[derive(Debug, Clone)]
pub(crate) struct Projection {
    pub(crate) weight: Weight,
    pub(super) bias: Option<Tensor>,
    pub(crate) adapter: Option<Adapter>,
}

/// A low-rank adapter `scale · (x Aᵀ) Bᵀ`; see [`crate::model::lora`].
#[derive(Debug, Clone)]
pub(crate) struct Adapter {
    /// A, (rank, in).
    pub(crate) a: Tensor,
    /// B, (out, rank).
    pub(crate) b: Tensor,
    /// The factor alpha / rank.
    pub(crate) scale: f64,
    /// The dropout of the adapter's input.
    pub(crate) dropout: Dropout,
}

impl Projection {
    fn forward(&self, x: &Tensor) -> TensorResult<Tensor> {
        let mut y = self.add_bias(linear(x, &self.weight.read(x.dtype(), x.device())?)?)?;
        if let Some(Adapter { a, b, scale, dropout }) = &self.adapter {
            let narrow = (linear(&dropout.apply(x)?, a)? * *scale)?;
            y = if y.track_op() || b.track_op() {
                (y + linear(&narrow, b)?)?
            } else {
                add_product(y, Transpose::Rhs, &narrow, b)?
            };
        }
        Ok(y)
    }

    /// Adds the bias, if there is one, to a product with the weight.
    pub(super) fn add_bias(&self, y: Tensor) -> TensorResult<Tensor> {
        match &self.bias {
            Some(bias) => y.broadcast_add(&bias.to_dtype(y.dtype())?),
            None => Ok(y),
        }
    }
}

impl Layer {
    /// Normalises the heads of queries and keys, and rotates them by their positions, where the layer does so.
    pub(super) fn positioned(
        &self,
        q: &Tensor,
        k: &Tensor,
        norm: NormConstants,
        angles: &Angles,
    ) -> TensorResult<(Tensor, Tensor)> {
        let (q, k) = match &self.head_norms {
            Some(norms) => (norm_heads(q, &norms.q, norm)?, norm_heads(k, &norms.k, norm)?),
            None => (q.clone(), k.clone()),
        };
        let rotary = angles.of(self.heads);
        if self.rotates { Ok((rotary.rotate(&q)?, rotary.rotate(&k)?)) } else { Ok((q, k)) }
    }

    /// Runs the layer over the residual stream `x` (rows, hidden). Returns its output and its activations.
    pub(super) fn forward(
        &self,
        x: &Tensor,
        shape: &Shape,
        angles: &Angles,
        attend: impl FnOnce(&Tensor, &Tensor, &Tensor) -> TensorResult<Tensor>,
    ) -> TensorResult<(Tensor, Activations)> {
        let normal = rms_norm(x, &self.input_norm, shape.norm)?;
        let plain = (self.q.forward(&normal)?, self.k.forward(&normal)?);
        let (q, k) = self.positioned(&plain.0, &plain.1, shape.norm, angles)?;
        let plain = self.head_norms.is_some().then_some(plain);
        let v = self.v.forward(&normal)?;
        let mixed = attend(&q, &k, &v)?;
        let attended = self.o.forward(&mixed)?;
        let (middle, attended) = match &self.output_norms {
            Some(norms) => (add(rms_norm(&attended, &norms.attention, shape.norm)?, x)?, Some(attended)),
            None => (add(attended, x)?, None),
        };
        let normal = rms_norm(&middle, &self.feed_forward_norm, shape.norm)?;
        let (gate, up) = (self.gate.forward(&normal)?, self.up.forward(&normal)?);
        drop(normal);
        let fed = self.down.forward(&glu(shape.activation, &gate, &up)?)?;
        let (out, fed) = match &self.output_norms {
            Some(norms) => (add(rms_norm(&fed, &norms.feed_forward, shape.norm)?, &middle)?, Some(fed)),
            None => (add(fed, &middle)?, None),
        };
        Ok((out, Activations { plain, q, k, v, mixed, middle, gate, up, outputs: attended.zip(fed) }))
    }
}

/// Normalises every head of `x` (rows, heads · dim) by `weight` (dim,).
fn norm_heads(x: &Tensor, weight: &Tensor, norm: NormConstants) -> TensorResult<Tensor> {
    rms_norm(&x.reshape(((), weight.elem_count()))?, weight, norm)?.reshape(x.shape())
}

/// The names of a layer's normalisations of outputs.
const ATTENTION_OUTPUT_NORM: &str = "post_attention_layernorm.weight";
const FEED_FORWARD_OUTPUT_NORM: &str = "post_feedforward_layernorm.weight";

/// Returns the name of the normalisation before the feed-forward layer. Where there is none after attention, it has that name.
fn feed_forward_norm(output_norms: bool) -> &'static str {
    if output_norms { "pre_feedforward_layernorm.weight" } else { ATTENTION_OUTPUT_NORM }
}

/// Returns the root of a width as the Python library transformers stores it, in 32 bits.
fn root_of(width: usize) -> f64 {
    f64::from((width as f64).sqrt() as f32)
}

impl Transformer {
    /// Builds a model from weights.
    pub(crate) fn build(config: &ModelConfig, source: &mut dyn WeightSource) -> Result<Self> {
        let (hidden, inner) = (config.hidden_size, config.intermediate_size);
        let (q_width, kv_width) = (config.heads * config.head_dim, config.kv_heads * config.head_dim);
        let embedding = source.tensor("model.embed_tokens.weight", &[config.vocab_size, hidden])?;
        let mut layers = Vec::with_capacity(config.layers);
        for index in 0..config.layers {
            let mut projection = |name: &str, out: usize, width: usize, bias: bool| -> Result<Projection> {
                let name = format!("model.layers.{index}.{name}");
                Ok(Projection {
                    weight: source.projection(&format!("{name}.weight"), &[out, width])?,
                    bias: if bias { Some(source.tensor(&format!("{name}.bias"), &[out])?) } else { None },
                    adapter: None,
                })
            };
            let q = projection("self_attn.q_proj", q_width, hidden, config.qkv_bias)?;
            let k = projection("self_attn.k_proj", kv_width, hidden, config.qkv_bias)?;
            let v = projection("self_attn.v_proj", kv_width, hidden, config.qkv_bias)?;
            let o = projection("self_attn.o_proj", hidden, q_width, config.output_bias)?;
            let gate = projection("mlp.gate_proj", inner, hidden, false)?;
            let up = projection("mlp.up_proj", inner, hidden, false)?;
            let down = projection("mlp.down_proj", hidden, inner, false)?;
            let mut weight =
                |name: &str, shape: &[usize]| source.tensor(&format!("model.layers.{index}.{name}"), shape);
            layers.push(Layer {
                heads: config.attention(index),
                q,
                k,
                v,
                head_norms: None,
                rotates: !config.unrotated_layers.contains(&index),
                o,
                gate,
                up,
                down,
                input_norm: weight("input_layernorm.weight", &[hidden])?,
                feed_forward_norm: weight(feed_forward_norm(config.variant.output_norms), &[hidden])?,
                output_norms: None,
            });
            if let (true, Some(layer)) = (config.qk_norm, layers.last_mut()) {
                let mut weight = |name: &str| {
                    source.tensor(&format!("model.layers.{index}.self_attn.{name}.weight"), &[config.head_dim])
                };
                layer.head_norms = Some(HeadNorms { q: weight("q_norm")?, k: weight("k_norm")? });
            }
            if let (true, Some(layer)) = (config.variant.output_norms, layers.last_mut()) {
                let mut weight = |name: &str| source.tensor(&format!("model.layers.{index}.{name}"), &[hidden]);
                let (attention, feed_forward) = (weight(ATTENTION_OUTPUT_NORM)?, weight(FEED_FORWARD_OUTPUT_NORM)?);
                layer.output_norms = Some(OutputNorms { attention, feed_forward });
            }
        }
        let head = match config.tie_word_embeddings {
            true => None,
            false => Some(source.tensor("lm_head.weight", &[config.vocab_size, hidden])?),
        };
        Ok(Self {
            compute: embedding.dtype(),
            embedding,
            layers,
            norm: source.tensor("model.norm.weight", &[hidden])?,
            head,
            shape: Shape {
                norm: config.norm_constants(),
                activation: config.variant.activation,
                embedding_scale: if config.variant.scaled_embedding { root_of(hidden) } else { 1.0 },
                context_length: config.context_length,
                rope: Arc::new(config.rope()),
            },
        })
    }

    /// Returns the model with every weight, adapters included, replaced by `f(name, weight)`, except those that are
    /// quantised. The names are those of Hugging Face, and for adapters those of PEFT (`….lora_A.weight`).
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
            if let Weight::Plain(weight) = &mut projection.weight {
                f(&format!("{name}.weight"), weight)?;
            }
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
            let name = feed_forward_norm(layer.output_norms.is_some());
            f(&format!("model.layers.{index}.{name}"), &mut layer.feed_forward_norm)?;
            if let Some(norms) = &mut layer.output_norms {
                f(&format!("model.layers.{index}.{ATTENTION_OUTPUT_NORM}"), &mut norms.attention)?;
                f(&format!("model.layers.{index}.{FEED_FORWARD_OUTPUT_NORM}"), &mut norms.feed_forward)?;
            }
            if let Some(norms) = &mut layer.head_norms {
                f(&format!("model.layers.{index}.self_attn.q_norm.weight"), &mut norms.q)?;
                f(&format!("model.layers.{index}.self_attn.k_norm.weight"), &mut norms.k)?;
            }
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

    /// Returns every weight that is not quantised with its name, in a fixed order.
    pub(crate) fn weights(&self) -> Vec<(String, Tensor)> {
        let mut weights = Vec::new();
        // The closure never fails, so there is no error to lose.
        let _ = self.clone().visit(&mut |name, weight| {
            weights.push((name.to_owned(), weight.clone()));
            Ok(())
        });
        weights
    }

    /// Returns the trainable weights with their names, in a fixed order.
    pub fn trainable(&self) -> Vec<(String, Var)> {
        let variables = self.weights().into_iter().filter(|(_, weight)| weight.is_variable());
        // The new variable shares the storage of the tensor, so it is the same variable.
        variables.filter_map(|(name, weight)| Some((name, Var::from_tensor(&weight).ok()?))).collect()
    }

    /// Returns the model with activations of this type. Weights are converted by [`Self::detached`].
    pub(crate) fn computing_in(mut self, compute: DType) -> Self {
        self.compute = compute;
        self
    }

    /// Returns the same weights outside of the autograd graph and in the type of activations, for sampling and scoring.
    /// Weights of that type are not copied, and quantised ones stay so.
    pub(crate) fn detached(&self) -> Result<Self> {
        self.map(&mut |_, weight| Ok(weight.detach().to_dtype(self.compute)?))
    }

    /// Returns true if the model has adapters and every B is still 0, so that none of them changes the output.
    pub(crate) fn has_untrained_adapters(&self) -> Result<bool> {
        let (mut adapters, mut untrained) = (0, 0);
        self.clone().visit_projections(&mut |_, projection| {
            if let Some(adapter) = &projection.adapter {
                adapters += 1;
                untrained += usize::from(adapter.b.abs()?.max_all()?.to_scalar::<f32>()? == 0.0);
            }
            Ok(())
        })?;
        Ok(adapters > 0 && adapters == untrained)
    }

    /// Returns the number of tokens the model can attend to.
    pub fn context_length(&self) -> usize {
        self.shape.context_length
    }

    /// Returns the number of rows of the embedding.
    pub fn vocab_size(&self) -> usize {
        self.embedding.dims()[0]
    }

    /// Returns the number of parameters, adapters included.
    pub fn parameter_count(&self) -> usize {
        self.weights().iter().map(|(_, weight)| weight.elem_count()).sum::<usize>() + self.quantised_size().elements
    }

    /// Returns the size of the quantised weights.
    pub(crate) fn quantised_size(&self) -> QuantisedSize {
        let mut size = QuantisedSize::default();
        for layer in &self.layers {
            for projection in [&layer.q, &layer.k, &layer.v, &layer.o, &layer.gate, &layer.up, &layer.down] {
                size.add(&projection.weight);
            }
        }
        size
    }

    pub(crate) fn layer_count(&self) -> usize {
        self.layers.len()
    }

    pub(crate) fn widths(&self) -> Widths {
        let width = |of: fn(&Layer) -> &Projection| self.layers.first().map_or(0, |layer| of(layer).weight.dims2().0);
        Widths {
            hidden: self.embedding.dims()[1],
            query: width(|layer| &layer.q),
            kv: width(|layer| &layer.k),
            intermediate: width(|layer| &layer.up),
            head_norms: self.layers.iter().any(|layer| layer.head_norms.is_some()),
            output_norms: self.layers.iter().any(|layer| layer.output_norms.is_some()),
        }
    }

    /// Returns the attention of a layer.
    pub(crate) fn heads(&self, layer: usize) -> Heads {
        self.layers[layer].heads
    }

    /// Returns the size of the sliding window, if a layer has one.
    pub(crate) fn window(&self) -> Option<usize> {
        self.layers.iter().map(|layer| layer.heads).find(|heads| heads.slide()).map(|heads| heads.window)
    }

    pub(crate) fn device(&self) -> &Device {
        self.embedding.device()
    }

    /// Returns the type of activations.
    pub(crate) fn dtype(&self) -> DType {
        self.compute
    }

    /// Runs the layers over rows of tokens at `positions` and returns the normalised stream, (rows, hidden).
    /// `attend(layer, q, k, v)` returns the output of attention for each query, in the shape of `q`.
    pub(crate) fn hidden_states(
        &self,
        tokens: &[u32],
        positions: &[usize],
        mut attend: impl FnMut(usize, &Tensor, &Tensor, &Tensor) -> TensorResult<Tensor>,
    ) -> TensorResult<Tensor> {
        let angles = self.angles(positions)?;
        let mut x = self.embed(tokens)?;
        for (index, layer) in self.layers.iter().enumerate() {
            (x, _) = layer.forward(&x, &self.shape, &angles, |q, k, v| attend(index, q, k, v))?;
        }
        rms_norm(&x, &self.norm, self.shape.norm)
    }

    /// Returns the rows of the embedding for tokens, scaled, (tokens, hidden).
    pub(super) fn embed(&self, tokens: &[u32]) -> TensorResult<Tensor> {
        let rows = self.embedding.index_select(&Tensor::new(tokens, self.device())?, 0)?.to_dtype(self.compute)?;
        if self.shape.embedding_scale == 1.0 { Ok(rows) } else { rows * self.shape.embedding_scale }
    }

    /// Returns the rotary angles of rows at `positions`.
    pub(crate) fn angles(&self, positions: &[usize]) -> TensorResult<Angles> {
        self.shape.rope.angles(positions, self.compute, self.device())
    }

    /// Selects from a batch's normalised stream the rows that predict its targets, scaled for `temperature`.
    pub(super) fn predictor_rows(&self, normal: &Tensor, batch: &Batch, temperature: f64) -> TensorResult<Tensor> {
        let rows = normal.index_select(&Tensor::new(batch.predictors.as_slice(), self.device())?, 0)?;
        // The head is linear, so scaling its input scales the logits.
        if temperature == 1.0 { Ok(rows) } else { rows * (1.0 / temperature) }
    }

    /// Predicts the targets of a batch, in the batch's order, under the distribution at `temperature`.
    pub(crate) fn predict(&self, batch: &Batch, temperature: f64) -> Result<Prediction> {
        let packed = Arc::new(Packed::new(batch.groups.clone()));
        let normal = self.hidden_states(&batch.tokens, &batch.positions, |layer, q, k, v| {
            attend(self.heads(layer), &packed, q, k, v)
        })?;
        Ok(predict(&self.predictor_rows(&normal, batch, temperature)?, self.head(), &batch.targets)?)
    }

    /// Returns the logits of hidden states, (rows, vocabulary).
    pub(crate) fn logits(&self, hidden: &Tensor) -> TensorResult<Tensor> {
        linear(hidden, self.head())
    }

    /// Returns true if the output head is the embedding.
    pub(crate) fn head_is_embedding(&self) -> bool {
        self.head.is_none()
    }

    /// Returns the weight of the output head, (vocabulary, hidden).
    pub(crate) fn head(&self) -> &Tensor {
        self.head.as_ref().unwrap_or(&self.embedding)
    }
}
