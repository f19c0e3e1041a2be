//! The weights of a model for steps of fused kernels: adapters are merged, every weight has the type of activations, and
//! the projections of one input are joined to one product.
//!
//! One launch writes them all. A step of training changes them all, and operations for each weight would keep a device
//! waiting at the start of every sampling.

use candle_core::{DType, Result as TensorResult, Tensor};

use crate::{
    cuda::{self, merge::Merge},
    error::Result,
    model::transformer::{Adapter, Layer, Projection, Transformer},
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
    let layers = merged.layers.iter_mut().map(|layer| JoinedLayer::of(layer, model.dtype(), &mut merges));
    let layers = layers.collect::<TensorResult<Vec<_>>>()?;
    cuda::merge::merge(&merges)?;
    Ok((merged.detached()?, layers))
}

impl JoinedLayer {
    /// Adds to `merges` the weights of a layer that are to be written, and replaces those of the layer.
    fn of(layer: &mut Layer, dtype: DType, merges: &mut Vec<Merge>) -> TensorResult<Self> {
        let qkv = join_rows(&mut [&mut layer.q, &mut layer.k, &mut layer.v], dtype, merges)?;
        let qkv_bias = join_biases(&mut [&mut layer.q, &mut layer.k, &mut layer.v], dtype, merges)?;
        let gate_up = join_rows(&mut [&mut layer.gate, &mut layer.up], dtype, merges)?;
        for alone in [&mut layer.o, &mut layer.down] {
            if alone.adapter.is_some() || alone.weight.dtype() != dtype {
                join_rows(&mut [alone], dtype, merges)?;
            }
        }
        Ok(Self { qkv, qkv_bias, gate_up })
    }
}

/// Returns memory for the weights of projections, one under the other, of which the projections' become parts.
fn join_rows(projections: &mut [&mut Projection], dtype: DType, merges: &mut Vec<Merge>) -> TensorResult<Tensor> {
    let rows = projections.iter().map(|projection| projection.weight.dim(0)).sum::<TensorResult<usize>>()?;
    let first = &projections[0].weight;
    let joined = Tensor::zeros((rows, first.dim(1)?), dtype, first.device())?;
    let mut row = 0;
    for projection in projections {
        let weight = projection.weight.detach();
        let merged = joined.narrow(0, row, weight.dim(0)?)?;
        row += weight.dim(0)?;
        projection.weight = merged.clone();
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
        model::lora::{self, LoraConfig},
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
        for (model, dtype) in [(&plain, DType::F32), (&plain, DType::BF16), (&adapted.unwrap(), DType::F32)] {
            let model = model.clone().computing_in(dtype);
            let want = lora::merge(&model).unwrap();
            let (got, layers) = join(&model).unwrap();
            for ((got, want), joined) in got.layers.iter().zip(&want.layers).zip(&layers) {
                let rows = |projections: &[&Projection]| {
                    Tensor::cat(&projections.iter().map(|projection| &projection.weight).collect::<Vec<_>>(), 0)
                        .unwrap()
                };
                let biases = [&want.q, &want.k, &want.v].map(|projection| projection.bias.as_ref().unwrap());
                assert_same(&joined.qkv, &rows(&[&want.q, &want.k, &want.v]));
                assert_same(joined.qkv_bias.as_ref().unwrap(), &Tensor::cat(&biases, 0).unwrap());
                assert_same(&joined.gate_up, &rows(&[&want.gate, &want.up]));
                for (got, want) in [(&got.q, &want.q), (&got.v, &want.v), (&got.up, &want.up), (&got.o, &want.o)] {
                    assert_same(&got.weight, &want.weight);
                    assert!(got.adapter.is_none());
                }
                assert_same(&got.down.weight, &want.down.weight);
                assert_same(&got.feed_forward_norm, &want.feed_forward_norm);
            }
        }
    }
}
