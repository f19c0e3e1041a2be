//! A model prepared for decoding: on the CPU, weights that are packed once and read by every step; on a device, weights
//! that are joined to fewer products, and steps of fused kernels.

use alft_kernels::{PackedWeight, WeightFormat};
use candle_core::{DType, Device, Result as TensorResult, Tensor};

use crate::{
    cuda,
    error::Result,
    model::{
        config::ModelConfig,
        joined::{JoinedLayer, join},
        lora,
        rope::Angles,
        transformer::{Layer, Projection, Shape, Transformer},
    },
    ops::{
        Cache, PackedLinear, StepRows, add, kernels_apply, linear,
        path::{Op, Path},
        rms_norm,
    },
    profile,
};

/// A model with its adapters merged, and with its weights in the form that decoding reads.
#[derive(Debug)]
pub(crate) struct DecodingModel {
    transformer: Transformer,
    /// The packed weights, which are read in place of the transformer's projections; `None` where the model computes with the
    /// weights as they are, on other devices and in other element types.
    packed: Option<PackedWeights>,
    /// The joined weights of each layer; `None` where there are no kernels for a whole step.
    joined: Option<Vec<JoinedLayer>>,
}

#[derive(Debug)]
struct PackedWeights {
    layers: Vec<PackedLayer>,
    head: PackedLinear,
}

/// The packed projections of a layer; those that read the same input are one product.
#[derive(Debug)]
struct PackedLayer {
    qkv: PackedLinear,
    o: PackedLinear,
    gate_up: PackedLinear,
    down: PackedLinear,
}

impl PackedLayer {
    /// Merges the adapters of a layer, and packs its weights. Those that are merged or dequantised for it are dropped.
    fn new(layer: &Layer, format: WeightFormat) -> TensorResult<Self> {
        let merged = |projection: &Projection| projection.merged(DType::F32, &Device::Cpu);
        Ok(Self {
            qkv: PackedLinear::new([&merged(&layer.q)?, &merged(&layer.k)?, &merged(&layer.v)?], format)?,
            o: PackedLinear::new([&merged(&layer.o)?], format)?,
            gate_up: PackedLinear::new([&merged(&layer.gate)?, &merged(&layer.up)?], format)?,
            down: PackedLinear::new([&merged(&layer.down)?], format)?,
        })
    }
}

/// Returns true if there are kernels for a whole step of a model, and none of them is distrusted.
fn has_step_kernels(model: &Transformer) -> bool {
    let gate = Op::of_gate(model.shape.activation);
    let ops = [Op::Merge, Op::DecodingStep, Op::RmsNorm, Op::Rotary, gate, Op::DecodingAttention, Op::Draw];
    // The kernels add the biases of queries, keys and values, but only after heads are normalised, and rotate in every layer.
    let kernels = |layer: &Layer| {
        let biased_heads = layer.head_norms.is_some() && layer.q.bias.is_some();
        layer.o.bias.is_none() && !biased_heads && layer.rotates && cuda::decoding::supports(layer.heads)
    };
    ops.into_iter().all(|op| Path::of(op, &model.embedding) == Path::CudaKernel) && model.layers.iter().all(kernels)
}

impl DecodingModel {
    /// Merges the adapters of a model, so that their products are not computed at every step, dequantises its weights, and
    /// packs them. `format` is the storage of the packed weights. The weights that need no change are shared with `model`.
    pub(crate) fn new(model: &Transformer, format: WeightFormat) -> Result<Self> {
        if has_step_kernels(model) {
            let (transformer, joined) = join(model)?;
            return Ok(Self { transformer, packed: None, joined: Some(joined) });
        }
        let transformer = lora::drop_adapters(model)?;
        if !kernels_apply(transformer.head()) {
            return Ok(Self { transformer: lora::merge(model)?, packed: None, joined: None });
        }
        let layers = model.layers.iter().map(|layer| PackedLayer::new(layer, format));
        let layers = layers.collect::<TensorResult<_>>()?;
        let packed = PackedWeights { layers, head: PackedLinear::new([transformer.head()], format)? };
        Ok(Self { transformer, packed: Some(packed), joined: None })
    }

    /// Returns the model, of which the projections have their adapters merged unless they are packed beside it.
    pub(crate) fn transformer(&self) -> &Transformer {
        &self.transformer
    }

    /// Returns the bytes of the packed weights of a model on the CPU, which are held in addition to the model's.
    pub(crate) fn packed_bytes(config: &ModelConfig, format: WeightFormat) -> usize {
        let (hidden, inner) = (config.hidden_size, config.intermediate_size);
        let (q, kv) = (config.heads * config.head_dim, config.kv_heads * config.head_dim);
        let bytes = |outs: &[usize], width| PackedWeight::bytes_for(outs, width, format);
        let layer = bytes(&[q, kv, kv], hidden)
            + bytes(&[hidden], q)
            + bytes(&[inner, inner], hidden)
            + bytes(&[hidden], inner);
        layer * config.layers + bytes(&[config.vocab_size], hidden)
    }

    /// Runs the layers over rows of tokens, as [`Transformer::hidden_states`] does. With packed weights, the bits of a row
    /// do not depend on the other rows.
    pub(crate) fn hidden_states(
        &self,
        tokens: &[u32],
        positions: &[usize],
        mut attend: impl FnMut(usize, &Tensor, &Tensor, &Tensor) -> TensorResult<Tensor>,
    ) -> TensorResult<Tensor> {
        let model = &self.transformer;
        let Some(packed) = &self.packed else { return model.hidden_states(tokens, positions, attend) };
        let Shape { norm, activation, .. } = model.shape;
        let angles = model.angles(positions)?;
        let mut x = model.embed(tokens)?;
        for (index, (layer, weights)) in model.layers.iter().zip(&packed.layers).enumerate() {
            let [q, k, v] = weights.qkv.forward(&rms_norm(&x, &layer.input_norm, norm)?)?;
            let (q, k) = layer.positioned(&layer.q.add_bias(q)?, &layer.k.add_bias(k)?, norm, &angles)?;
            let mixed = attend(index, &q, &k, &layer.v.add_bias(v)?)?;
            let normal = layer.output_norms.as_ref();
            x = match normal.map(|norms| &norms.attention) {
                Some(weight) => {
                    let [attended] = weights.o.forward(&mixed)?;
                    add(rms_norm(&layer.o.add_bias(attended)?, weight, norm)?, &x)?
                }
                None => layer.o.add_bias(weights.o.add_to(&x, &mixed)?)?,
            };
            let gated = weights.gate_up.glu(activation, &rms_norm(&x, &layer.feed_forward_norm, norm)?)?;
            x = match normal.map(|norms| &norms.feed_forward) {
                Some(weight) => {
                    let [fed] = weights.down.forward(&gated)?;
                    add(rms_norm(&fed, weight, norm)?, &x)?
                }
                None => weights.down.add_to(&x, &gated)?,
            };
        }
        rms_norm(&x, &model.norm, norm)
    }

    /// Returns true if [`Self::step`] can compute.
    pub(crate) fn has_step(&self) -> bool {
        self.joined.is_some()
    }

    /// Returns the device, the number format and the shapes, as a text: the steps of models with the same text run the same
    /// kernels.
    pub(crate) fn shapes(&self) -> String {
        let model = &self.transformer;
        let layers: Vec<_> = model.layers.iter().map(|layer| (layer.heads, layer.gate.weight.dims2())).collect();
        let (device, embedding) = (model.device().location(), model.embedding.dims());
        format!("{device:?} {:?} {embedding:?} {layers:?}", model.dtype())
    }

    /// Computes a step with the fused kernels of a device, which leaves the CPU out until the logits are there: (rows,
    /// vocabulary). Only for a model that [has them](Self::has_step).
    pub(crate) fn step(&self, caches: &[Cache], angles: &Angles, rows: &StepRows) -> TensorResult<Tensor> {
        self.logits(&self.step_states(caches, angles, rows)?)
    }

    /// Computes the last hidden states of a step, (rows, hidden). All keys and values of a layer are written before its
    /// attention, so rows may be tokens of one sequence. `angles` are those of all positions.
    pub(crate) fn step_states(&self, caches: &[Cache], angles: &Angles, rows: &StepRows) -> TensorResult<Tensor> {
        let model = &self.transformer;
        let Shape { norm, activation, embedding_scale, .. } = model.shape;
        let x = cuda::embed::rows(&model.embedding, &rows.tokens, &rows.drawn, embedding_scale)?;
        // Adds a layer's output to the stream, and normalises it.
        let add_and_norm = |y: Tensor, output_norm: Option<&Tensor>, weight: &Tensor| {
            let y = output_norm.map_or_else(|| Ok(y.clone()), |weight| rms_norm(&y, weight, norm))?;
            let _time = profile::time("norm");
            cuda::rms_norm::add_and_norm(&x, &y, weight, norm)
        };
        let mut later_norms = model.layers.iter().skip(1).map(|layer| &layer.input_norm).chain([&model.norm]);
        let mut normal = match model.layers.first() {
            Some(first) => rms_norm(&x, &first.input_norm, norm)?,
            None => rms_norm(&x, &model.norm, norm)?,
        };
        for ((layer, joined), cache) in model.layers.iter().zip(self.joined.iter().flatten()).zip(caches) {
            let qkv = linear(&normal, &joined.qkv)?;
            if let Some(norms) = &layer.head_norms {
                let _time = profile::time("norm");
                cuda::rms_norm::heads(layer.heads, &qkv, &norms.q, &norms.k, norm)?;
            }
            let angles = angles.of(layer.heads);
            let mixed = cache.attend_on_device(layer.heads, &qkv, joined.qkv_bias.as_ref(), angles, rows)?;
            let output_norms = layer.output_norms.as_ref();
            let output_norm = output_norms.map(|norms| &norms.attention);
            normal = add_and_norm(
                linear(&mixed, &layer.o.weight.read(mixed.dtype(), mixed.device())?)?,
                output_norm,
                &layer.feed_forward_norm,
            )?;
            let gate_up = linear(&normal, &joined.gate_up)?;
            let gated = {
                let _time = profile::time(Op::of_gate(activation).name());
                cuda::glu::joined(activation, &gate_up)?
            };
            if let Some(next) = later_norms.next() {
                let output_norm = output_norms.map(|norms| &norms.feed_forward);
                normal = add_and_norm(
                    linear(&gated, &layer.down.weight.read(gated.dtype(), gated.device())?)?,
                    output_norm,
                    next,
                )?;
            }
        }
        Ok(normal)
    }

    /// Returns the logits of hidden states, (rows, vocabulary).
    pub(crate) fn logits(&self, hidden: &Tensor) -> TensorResult<Tensor> {
        let Some(packed) = &self.packed else { return self.transformer.logits(hidden) };
        let [logits] = packed.head.forward(hidden)?;
        Ok(logits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{model::init::random, twins};

    /// Returns the logits of tokens, where each query stands for its own attention.
    fn logits(model: &DecodingModel, tokens: &[u32]) -> Vec<Vec<f32>> {
        let positions: Vec<usize> = (0..tokens.len()).collect();
        let hidden = model.hidden_states(tokens, &positions, |_, q, _, _| Ok(q.clone())).unwrap();
        model.logits(&hidden).unwrap().to_vec2().unwrap()
    }

    #[test]
    fn in_bf16_the_factor_of_the_embedding_is_rounded_as_in_transformers() {
        let model = random(&twins::gemma3(), 1, &Device::Cpu).unwrap().computing_in(DType::BF16).detached().unwrap();
        let tokens = [3u32, 7];
        let index = Tensor::new(&tokens, &Device::Cpu).unwrap();
        // The root of 24 is 4.899, and the nearest number of 16 bits this one.
        let wide = model.embedding.index_select(&index, 0).unwrap().to_dtype(DType::F32).unwrap();
        let want = (wide * 4.90625).unwrap().to_dtype(DType::BF16).unwrap();
        let bits = |x: &Tensor| x.to_dtype(DType::F32).unwrap().to_vec2::<f32>().unwrap();
        assert_eq!(bits(&model.embed(&tokens).unwrap()), bits(&want));
        if cuda::can_emulate() {
            let drawn = Tensor::zeros((1, 2), DType::U32, &Device::Cpu).unwrap();
            let rows = cuda::embed::rows(&model.embedding, &index, &drawn, model.shape.embedding_scale).unwrap();
            assert_eq!(bits(&rows), bits(&want));
        }
    }

    #[test]
    fn the_bits_of_a_row_do_not_depend_on_the_other_rows() {
        for format in [WeightFormat::F32, WeightFormat::F16] {
            let model = DecodingModel::new(&twins::model(), format).unwrap();
            let tokens: Vec<u32> = (0..130).map(|i| i * 7 % 40).collect();
            let all = logits(&model, &tokens);
            assert_eq!(all[0], logits(&model, &tokens[..1])[0]);
            assert_eq!(all[..70], logits(&model, &tokens[..70]));
        }
    }

    /// The bound of docs/decisions/0023 for a model of random weights, whose logits are small.
    #[test]
    fn weights_of_16_bits_keep_the_distribution() {
        let tokens: Vec<u32> = (0..40).collect();
        let model = twins::model();
        let log_probs = |format| {
            let logits = logits(&DecodingModel::new(&model, format).unwrap(), &tokens);
            logits
                .into_iter()
                .map(|row| {
                    let sum: f64 = row.iter().map(|value| f64::from(*value).exp()).sum();
                    row.iter().map(|value| f64::from(*value) - sum.ln()).collect::<Vec<f64>>()
                })
                .collect::<Vec<_>>()
        };
        for (full, half) in log_probs(WeightFormat::F32).iter().zip(&log_probs(WeightFormat::F16)) {
            let divergence: f64 = full.iter().zip(half).map(|(p, q)| p.exp() * (p - q)).sum();
            assert!(full != half && divergence < 1e-6, "KL(f32 ‖ f16) is {divergence:e}");
        }
    }

    #[test]
    fn the_bytes_that_are_told_are_those_that_are_held() {
        let model = twins::model();
        for format in [WeightFormat::F32, WeightFormat::F16] {
            let packed = DecodingModel::new(&model, format).unwrap().packed.unwrap();
            let layer = |layer: &PackedLayer| {
                [&layer.qkv, &layer.o, &layer.gate_up, &layer.down].iter().map(|packed| packed.bytes()).sum::<usize>()
            };
            let held = packed.layers.iter().map(layer).sum::<usize>() + packed.head.bytes();
            assert_eq!(held, DecodingModel::packed_bytes(&twins::config(), format));
        }
    }
}
