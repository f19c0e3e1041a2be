//! The weights of a model for steps of fused kernels: adapters are merged, every weight has the type of activations, and
//! the projections of one input are joined to one product.
//!
//! One launch writes them all. A step of training changes them all, and operations for each weight would keep a device
//! waiting at the start of every sampling. A model with quantised weights has a launch for each layer, so that one layer at a
//! time is dequantised.

use candle_core::{DType, Device, Result as TensorResult, Tensor};

use crate::{
    cuda::{self, merge::Merge},
    error::Result,
    model::{
        transformer::{Adapter, Layer, Projection, Transformer},
        weight::Weight,
    },
};

/// The weights of a layer's projections of the same input, as one product.
#[derive(Debug)]
pub(super) struct JoinedLayer {
    /// (query + 2 · kv, hidden).
    pub(super) qkv: Tensor,
    /// (query + 2 · kv,); the kernels add no other bias.
    pub(super) qkv_bias: Option<Tensor>,
    /// (2 · intermediate, hidden).
    pub(super) gate_up: Tensor,
}

/// Returns the model without adapters and in the type of activations, and its joined layers, whose parts its weights are.
/// The weights that need no change are shared with `model`.
pub(super) fn join(model: &Transformer) -> Result<(Transformer, Vec<JoinedLayer>)> {
    let mut merged = model.clone();
    let mut merges = Vec::new();
    let quantised = model.quantised_size().elements > 0;
    let mut layers = Vec::with_capacity(merged.layers.len());
    for layer in &mut merged.layers {
        layers.push(JoinedLayer::of(layer, model.dtype(), model.device(), &mut merges)?);
        if quantised {
            cuda::merge::merge(&std::mem::take(&mut merges))?;
        }
    }
    cuda::merge::merge(&merges)?;
    Ok((merged.detached()?, layers))
}

impl JoinedLayer {
    /// Adds to `merges` the weights of a layer that are to be written, and replaces those of the layer.
    fn of(layer: &mut Layer, dtype: DType, device: &Device, merges: &mut Vec<Merge>) -> TensorResult<Self> {
        // The weights of a launch have one type.
        let read = layer.q.bias.as_ref().map_or(dtype, Tensor::dtype);
        let qkv = join_rows(&mut [&mut layer.q, &mut layer.k, &mut layer.v], (read, dtype), device, merges)?;
        let qkv_bias = join_biases(&mut [&mut layer.q, &mut layer.k, &mut layer.v], dtype, merges)?;
        let gate_up = join_rows(&mut [&mut layer.gate, &mut layer.up], (read, dtype), device, merges)?;
        for alone in [&mut layer.o, &mut layer.down] {
            let as_it_is = matches!(&alone.weight, Weight::Plain(weight) if weight.dtype() == dtype);
            if alone.adapter.is_some() || !as_it_is {
                join_rows(&mut [alone], (read, dtype), device, merges)?;
            }
        }
        Ok(Self { qkv, qkv_bias, gate_up })
    }
}

/// Returns memory for the weights of projections, one under the other, of which the projections' become parts. Quantised ones
/// are read in the first type.
fn join_rows(
    projections: &mut [&mut Projection],
    (read, dtype): (DType, DType),
    device: &Device,
    merges: &mut Vec<Merge>,
) -> TensorResult<Tensor> {
    let rows = projections.iter().map(|projection| projection.weight.dims2().0).sum::<usize>();
    let joined = Tensor::zeros((rows, projections[0].weight.dims2().1), dtype, device)?;
    let mut row = 0;
    for projection in projections {
        let weight = projection.weight.read(read, device)?.detach();
        let merged = joined.narrow(0, row, weight.dim(0)?)?;
        row += weight.dim(0)?;
        projection.weight = Weight::Plain(merged.clone());
        let adapter =
            projection.adapter.take().map(|Adapter { a, b, scale, .. }| (a.detach(), b.detach(), scale as f32));
        merges.push(Merge { weight, adapter, merged });
    }
    Ok(joined)
}

/// Returns memory for the biases of projections; none if they have none.
fn join_biases(
    projections: &mut [&mut Projection],
    dtype: DType,
    merges: &mut Vec<Merge>,
) -> TensorResult<Option<Tensor>> {
    let biases: Vec<&mut Tensor> = projections.iter_mut().filter_map(|projection| projection.bias.as_mut()).collect();
    let Some(first) = biases.first() else { return Ok(None) };
    let joined = Tensor::zeros(biases.iter().map(|bias| bias.elem_count()).sum::<usize>(), dtype, first.device())?;
    let mut row = 0;
    for bias in biases {
        let weight = bias.detach();
        let merged = joined.narrow(0, row, weight.elem_count())?;
        row += weight.elem_count();
        *bias = merged.clone();
        merges.push(Merge { weight, adapter: None, merged });
    }
    Ok(Some(joined))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::{
            init::random,
            lora::{self, LoraConfig},
            quantisation::Quantisation,
        },
        ops::noise,
        twins,
    };

    fn assert_same(got: &Tensor, want: &Tensor) {
        let wide = |tensor: &Tensor| tensor.to_dtype(DType::F64).unwrap();
        let error = (wide(got) - wide(want)).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f64>().unwrap();
        let bound = if want.dtype() == DType::BF16 { 2e-3 } else { 1e-6 };
        assert!(got.dtype() == want.dtype() && got.dims() == want.dims() && error < bound, "off by {error:e}");
    }

    #[test]
    fn projections_that_are_trained_whole_are_joined_with_frozen_ones_of_fewer_bits() {
        if !cuda::can_emulate() {
            return;
        }
        let model = twins::model().computing_in(DType::BF16).detached().unwrap();
        let model = model.map(&mut |name, weight| {
            let whole = ["k_proj", "gate_proj", "o_proj"].iter().any(|module| name.contains(module));
            Ok(if whole { weight.to_dtype(DType::F32)? } else { weight.clone() })
        });
        let model = model.unwrap();
        let (got, want) = (join(&model).unwrap().0, lora::merge(&model).unwrap().detached().unwrap());
        for ((name, got), (_, want)) in got.weights().into_iter().zip(want.weights()) {
            assert_eq!((got.dtype(), got.dims()), (want.dtype(), want.dims()), "{name}");
            assert_same(&got, &want);
        }
    }

    #[test]
    fn a_joined_model_is_the_merged_one() {
        if !cuda::can_emulate() {
            return;
        }
        let plain = twins::model();
        let targets = ["q_proj", "up_proj", "o_proj"].map(str::to_owned).to_vec();
        let adapted = lora::attach(&plain, &LoraConfig { rank: 3, targets, ..LoraConfig::default() }, 1).unwrap();
        // The adapters of a new model change nothing.
        let adapted = adapted.map(&mut |name, weight| {
            Ok(if name.ends_with("lora_B.weight") { noise(weight.dims(), 5) } else { weight.clone() })
        });
        let adapted = adapted.unwrap();
        let mut quantised = random(&crate::quantised::config(false), 3, &Device::Cpu).unwrap();
        Quantisation::Q4_0.quantise_projections(&mut quantised).unwrap();
        let cases = [
            (&plain, DType::F32),
            (&plain, DType::BF16),
            (&adapted, DType::F32),
            (&quantised, DType::F32),
            (&quantised, DType::BF16),
        ];
        for (model, dtype) in cases {
            let model = model.clone().computing_in(dtype);
            let want = lora::merge(&model).unwrap();
            let (got, layers) = join(&model).unwrap();
            let weight = |projection: &Projection| projection.weight.read(dtype, &Device::Cpu).unwrap();
            for ((got, want), joined) in got.layers.iter().zip(&want.layers).zip(&layers) {
                let rows = |projections: &[&Projection]| {
                    Tensor::cat(&projections.iter().map(|projection| weight(projection)).collect::<Vec<_>>(), 0)
                        .unwrap()
                };
                let biases = [&want.q, &want.k, &want.v].map(|projection| projection.bias.as_ref().unwrap());
                assert_same(&joined.qkv, &rows(&[&want.q, &want.k, &want.v]));
                assert_same(joined.qkv_bias.as_ref().unwrap(), &Tensor::cat(&biases, 0).unwrap());
                assert_same(&joined.gate_up, &rows(&[&want.gate, &want.up]));
                for (got, want) in [(&got.q, &want.q), (&got.v, &want.v), (&got.up, &want.up), (&got.o, &want.o)] {
                    assert_same(&weight(got), &weight(want));
                    assert!(got.adapter.is_none());
                }
                assert_same(&weight(&got.down), &weight(&want.down));
                assert_same(&got.feed_forward_norm, &want.feed_forward_norm);
            }
        }
    }
}
