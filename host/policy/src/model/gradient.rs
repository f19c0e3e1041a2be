//! The backward pass of the transformer.
//!
//! The gradient is computed by hand, layer by layer from the last to the first, and not by candle's autograd. So each
//! layer's activations are freed as soon as they were used, the gradients of frozen weights are never computed, those of
//! trained weights are added up in place over micro-batches, and cheap activations (normalised rows, gated products) are
//! computed again in place of being kept. Tests hold it against candle's autograd over the same operations.
//!
//! With [`Checkpointing::Layers`] only the input of each layer is kept, and its other activations are computed again, by
//! the same operations, when the backward pass comes to the layer: the gradient has the same bits.

use alft_kernels::{NormConstants, Transpose};
use std::{ops::Range, sync::Arc};

use candle_core::{DType, Device, Result as TensorResult, Tensor, Var, backprop::GradStore};

use crate::{
    error::Result,
    model::{
        batch::Batch,
        rope::Angles,
        transformer::{Activations, Adapter, Projection, Transformer},
    },
    ops::{
        Packed, Prediction, PredictionGradient, Tracked, add, add_product, add_rows, attend, attend_backward, glu,
        glu_backward, head_rows, linear, matmul, predict_for_gradient, rms_norm, rms_norm_backward,
    },
};

/// The activations that are kept from the forward pass to the backward pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Checkpointing {
    /// All that are costly to compute.
    Off,
    /// The input of each layer.
    Layers,
}

/// Sums of gradients, one for each variable that has any, in the element type of the variable.
#[derive(Debug, Default)]
pub(crate) struct Gradients(GradStore);

impl Gradients {
    pub(crate) fn into_inner(self) -> GradStore {
        self.0
    }

    /// Adds a gradient to that of a weight.
    fn add(&mut self, weight: &Tensor, grad: Tensor) -> TensorResult<()> {
        let grad = grad.to_dtype(weight.dtype())?;
        self.update(weight, |sum| match sum {
            Some(sum) => add(sum, &grad),
            None => Ok(grad),
        })
    }

    /// Adds `lhs · rhs` to the gradient of a weight.
    fn add_product(&mut self, weight: &Tensor, transpose: Transpose, lhs: &Tensor, rhs: &Tensor) -> TensorResult<()> {
        self.update(weight, |sum| match sum {
            Some(sum) => add_product(sum, transpose, lhs, rhs),
            None => matmul(transpose, lhs, rhs)?.to_dtype(weight.dtype()),
        })
    }

    /// Replaces the gradient of a weight by `next` of it.
    fn update(
        &mut self,
        weight: &Tensor,
        next: impl FnOnce(Option<Tensor>) -> TensorResult<Tensor>,
    ) -> TensorResult<()> {
        let sum = next(self.0.remove(weight))?;
        self.0.insert(weight, sum);
        Ok(())
    }
}

/// The computation of one micro-batch, between its forward and its backward pass.
struct Pass<'a> {
    model: &'a Transformer,
    /// The same weights outside of candle's graph, with which everything is computed.
    weights: Transformer,
    batch: &'a Batch,
    packed: Arc<Packed>,
    angles: Angles,
    /// The input of each layer and, unless they are computed again, its activations.
    layers: Vec<(Tensor, Option<Activations>)>,
    /// The output of the last layer.
    last: Tensor,
}

impl Transformer {
    /// Adds the gradient of a loss on a batch's predictions to `grads`, and returns the loss. The batch's sequences are
    /// predicted in ranges, one after the other. `loss(range, prediction)` returns the contribution of a range to the loss, a
    /// tracked scalar; the whole loss is their sum. It may depend on what is `tracked` of the prediction.
    pub(crate) fn add_gradient(
        &self,
        batch: &Batch,
        temperature: f64,
        checkpointing: Checkpointing,
        tracked: Tracked,
        grads: &mut Gradients,
        loss: &mut dyn FnMut(Range<usize>, &Prediction) -> Result<Tensor>,
    ) -> Result<f64> {
        let pass = Pass::forward(self, batch, checkpointing)?;
        let normal = rms_norm(&pass.last, &pass.weights.norm, self.shape.norm)?;
        let hidden = pass.weights.predictor_rows(&normal, batch, temperature)?;
        drop(normal);

        let (head, own_head, mut total) = (pass.weights.head(), self.head(), 0.0);
        let mut for_hidden = Vec::new();
        for (sequences, tokens) in batch.head_ranges(head_rows(head)) {
            let rows = hidden.narrow(0, tokens.start, tokens.len())?;
            let targets = &batch.targets[tokens];
            let (prediction, state) = predict_for_gradient(&rows, head, targets, tracked, own_head.is_variable())?;
            // The loss is a few operations on a number for each token: a CPU has done them before a device has launched them.
            let leaf = |values: &Tensor| Var::from_tensor(&values.to_device(&Device::Cpu)?);
            let (log_probs, entropies) = (leaf(&prediction.log_probs)?, leaf(&prediction.entropies)?);
            let prediction = Prediction {
                log_probs: log_probs.as_tensor().clone(),
                entropies: match tracked {
                    Tracked::LogProbs => entropies.as_detached_tensor(),
                    Tracked::Entropies => entropies.as_tensor().clone(),
                },
            };
            let contribution = loss(sequences, &prediction)?;
            total += contribution.to_dtype(DType::F64)?.to_scalar::<f64>()?;
            let mut found = contribution.backward()?;
            // Without a gradient the loss does not depend on them, for example if every ratio is clipped.
            let mut of = |leaf: &Var| {
                let grad = found.remove(leaf).map_or_else(|| leaf.zeros_like(), Ok)?;
                grad.to_device(hidden.device())
            };
            let for_predictions = PredictionGradient { log_probs: of(&log_probs)?, entropies: of(&entropies)? };
            for_hidden.push(state.for_hidden(&for_predictions)?);
            if own_head.is_variable() {
                grads.update(own_head, |sum| {
                    state.add_for_weight(sum, own_head.dtype(), &rows, head, targets, &for_predictions)
                })?;
            }
        }
        drop(hidden);
        pass.backward(Tensor::cat(&for_hidden, 0)?, temperature, grads)?;
        Ok(total)
    }
}

impl<'a> Pass<'a> {
    fn forward(model: &'a Transformer, batch: &'a Batch, checkpointing: Checkpointing) -> Result<Self> {
        let weights = model.detached()?;
        let packed = Arc::new(Packed::new(batch.groups.clone()));
        let angles = weights.angles(&batch.positions)?;
        let mut layers = Vec::with_capacity(weights.layers.len());
        let mut x = weights.embed(&batch.tokens)?;
        for layer in &weights.layers {
            let attend = |q: &Tensor, k: &Tensor, v: &Tensor| attend(layer.heads, &packed, q, k, v);
            let (next, activations) = layer.forward(&x, &weights.shape, &angles, attend)?;
            layers.push((x, (checkpointing == Checkpointing::Off).then_some(activations)));
            x = next;
        }
        Ok(Self { model, weights, batch, packed, angles, layers, last: x })
    }

    /// Adds the gradients of all weights but the head, given that of the predictors' normalised rows.
    fn backward(mut self, for_predictors: Tensor, temperature: f64, grads: &mut Gradients) -> Result<()> {
        let for_predictors = if temperature == 1.0 { for_predictors } else { (for_predictors * (1.0 / temperature))? };
        let for_normal = add_rows(self.last.zeros_like()?, &self.batch.predictors, &for_predictors)?;
        drop(for_predictors);
        let mut grad = norm_backward(&self.last, &self.model.norm, &for_normal, self.weights.shape.norm, grads)?;
        drop(for_normal);
        while let Some((x, activations)) = self.layers.pop() {
            let index = self.layers.len();
            let activations = match activations {
                Some(activations) => activations,
                None => {
                    let layer = &self.weights.layers[index];
                    let attend = |q: &Tensor, k: &Tensor, v: &Tensor| attend(layer.heads, &self.packed, q, k, v);
                    layer.forward(&x, &self.weights.shape, &self.angles, attend)?.1
                }
            };
            grad = self.layer_backward(index, &x, activations, grad, grads)?;
        }
        if self.model.embedding.is_variable() {
            let embedding = &self.model.embedding;
            let scale = self.weights.shape.embedding_scale;
            let grad = if scale == 1.0 { grad } else { (grad * scale)? };
            grads.update(embedding, |sum| {
                let sum = sum.map_or_else(|| embedding.zeros_like(), Ok)?;
                add_rows(sum, &self.batch.tokens, &grad)
            })?;
        }
        Ok(())
    }

    /// Adds the gradients of the weights of layer `index`, and returns that of its input `x`, given that of its output.
    fn layer_backward(
        &self,
        index: usize,
        x: &Tensor,
        activations: Activations,
        grad: Tensor,
        grads: &mut Gradients,
    ) -> TensorResult<Tensor> {
        let (layer, own) = (&self.weights.layers[index], &self.model.layers[index]);
        let (norm, activation) = (self.weights.shape.norm, self.weights.shape.activation);
        let Activations { plain, q, k, v, mixed, middle, gate, up, outputs } = activations;
        let (attended, fed) = outputs.unzip();

        let for_fed = match (&fed, &own.output_norms) {
            (Some(fed), Some(own)) => norm_backward(fed, &own.feed_forward, &grad, norm, grads)?,
            _ => grad.clone(),
        };
        let gated = own.down.is_trained().then(|| glu(activation, &gate, &up)).transpose()?;
        let for_gated = layer.down.backward(&own.down, gated.as_ref(), &for_fed, None, grads)?;
        drop((gated, fed, for_fed));
        let (for_gate, for_up) = glu_backward(activation, &gate, &up, &for_gated)?;
        drop((gate, up, for_gated));
        let trained = own.gate.is_trained() || own.up.is_trained();
        let normal = trained.then(|| rms_norm(&middle, &layer.feed_forward_norm, norm)).transpose()?;
        let for_normal = layer.gate.backward(&own.gate, normal.as_ref(), &for_gate, None, grads)?;
        let for_normal = layer.up.backward(&own.up, normal.as_ref(), &for_up, Some(for_normal), grads)?;
        drop((for_gate, for_up, normal));
        let for_middle = norm_backward(&middle, &own.feed_forward_norm, &for_normal, norm, grads)?;
        let grad = add(for_middle, &grad)?;
        drop((middle, for_normal));

        let for_attended = match (&attended, &own.output_norms) {
            (Some(attended), Some(own)) => norm_backward(attended, &own.attention, &grad, norm, grads)?,
            _ => grad.clone(),
        };
        let for_mixed = layer.o.backward(&own.o, Some(&mixed), &for_attended, None, grads)?;
        drop((attended, for_attended));
        let [for_q, for_k, for_v] = attend_backward(layer.heads, &self.packed, &q, &k, &v, &mixed, &for_mixed)?;
        drop((q, k, v, mixed, for_mixed));
        let (mut for_q, mut for_k) = (for_q, for_k);
        if layer.rotates {
            let rotary = self.angles.of(layer.heads);
            (for_q, for_k) = (rotary.rotate_back(&for_q)?, rotary.rotate_back(&for_k)?);
        }
        if let (Some((q, k)), Some(own)) = (plain, &own.head_norms) {
            for_q = head_norm_backward(&q, &own.q, &for_q, norm, grads)?;
            for_k = head_norm_backward(&k, &own.k, &for_k, norm, grads)?;
        }
        let trained = own.q.is_trained() || own.k.is_trained() || own.v.is_trained();
        let normal = trained.then(|| rms_norm(x, &layer.input_norm, norm)).transpose()?;
        let for_normal = layer.v.backward(&own.v, normal.as_ref(), &for_v, None, grads)?;
        let for_normal = layer.k.backward(&own.k, normal.as_ref(), &for_k, Some(for_normal), grads)?;
        let for_normal = layer.q.backward(&own.q, normal.as_ref(), &for_q, Some(for_normal), grads)?;
        drop((for_q, for_k, for_v, normal));
        let for_x = norm_backward(x, &own.input_norm, &for_normal, norm, grads)?;
        add(for_x, &grad)
    }
}

/// Returns the gradient of a normalisation's input, and adds that of its weight.
fn norm_backward(
    x: &Tensor,
    weight: &Tensor,
    grad: &Tensor,
    norm: NormConstants,
    grads: &mut Gradients,
) -> TensorResult<Tensor> {
    let (for_x, for_weight) = rms_norm_backward(x, &weight.detach(), grad, norm, weight.is_variable())?;
    if let Some(for_weight) = for_weight {
        grads.add(weight, for_weight)?;
    }
    Ok(for_x)
}

/// Returns the gradient of queries or keys (rows, heads · dim) before their heads were normalised, and adds that of the
/// weight, (dim,).
fn head_norm_backward(
    x: &Tensor,
    weight: &Tensor,
    grad: &Tensor,
    norm: NormConstants,
    grads: &mut Gradients,
) -> TensorResult<Tensor> {
    let heads = |x: &Tensor| x.reshape(((), weight.elem_count()));
    norm_backward(&heads(x)?, weight, &heads(grad)?, norm, grads)?.reshape(x.shape())
}

impl Projection {
    /// Returns true if the gradient of some weight needs the projection's input.
    fn is_trained(&self) -> bool {
        self.weight.variable().is_some() || self.adapter.is_some()
    }

    /// Adds the gradients of the weights, and returns `sum` plus the gradient of the input, given that of the output. `own`
    /// is the same projection with its variables. `input` is needed if that [`Self::is_trained`].
    fn backward(
        &self,
        own: &Self,
        input: Option<&Tensor>,
        grad: &Tensor,
        sum: Option<Tensor>,
        grads: &mut Gradients,
    ) -> TensorResult<Tensor> {
        if let (Some(input), Some(weight)) = (input, own.weight.variable()) {
            grads.add_product(weight, Transpose::Lhs, grad, input)?;
        }
        if let Some(bias) = own.bias.as_ref().filter(|bias| bias.is_variable()) {
            // Sums of bf16 numbers are rounded to bf16 at every step.
            let wide = if grad.dtype() == DType::BF16 { grad.to_dtype(DType::F32)? } else { grad.clone() };
            grads.add(bias, wide.sum(0)?)?;
        }
        let mut for_input = sum;
        if let (Some(input), Some(Adapter { a, b, scale, dropout }), Some(own)) = (input, &self.adapter, &own.adapter) {
            let dropped = dropout.apply(input)?;
            let narrow = (linear(&dropped, a)? * *scale)?;
            grads.add_product(&own.b, Transpose::Lhs, grad, &narrow)?;
            let for_narrow = (matmul(Transpose::Neither, grad, b)? * *scale)?;
            grads.add_product(&own.a, Transpose::Lhs, &for_narrow, &dropped)?;
            for_input = Some(match (dropout.is_active(), for_input) {
                (false, sum) => product_or_sum(sum, &for_narrow, a)?,
                (true, None) => dropout.apply(&product_or_sum(None, &for_narrow, a)?)?,
                (true, Some(sum)) => add(sum, &dropout.apply(&product_or_sum(None, &for_narrow, a)?)?)?,
            });
        }
        product_or_sum(for_input, grad, &self.weight.read(grad.dtype(), grad.device())?)
    }
}

/// Computes `grad · weight`, or adds it to `sum`.
fn product_or_sum(sum: Option<Tensor>, grad: &Tensor, weight: &Tensor) -> TensorResult<Tensor> {
    match sum {
        Some(sum) => add_product(sum, Transpose::Neither, grad, weight),
        None => matmul(Transpose::Neither, grad, weight),
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::{
        model::{batch::Sequence, config::ModelConfig, init::random},
        twins,
    };

    #[test]
    fn a_layer_keeps_as_many_elements_as_are_told_beforehand() {
        let sequence = Sequence { prompt: vec![5; 7], completion: vec![6; 5] };
        let batch = Batch::from_sequences(&[&sequence]);
        let [plain, qwen3, gemma3] =
            [twins::config(), ModelConfig { qk_norm: true, ..twins::config() }, twins::gemma3()]
                .map(|config| random(&config, 1, &Device::Cpu).unwrap());
        for (model, checkpointing, width) in [
            (&plain, Checkpointing::Off, plain.widths().kept()),
            (&qwen3, Checkpointing::Off, qwen3.widths().kept()),
            (&gemma3, Checkpointing::Off, gemma3.widths().kept()),
            (&plain, Checkpointing::Layers, plain.widths().hidden),
        ] {
            let pass = Pass::forward(model, &batch, checkpointing).unwrap();
            for (x, activations) in &pass.layers {
                let mut kept = x.elem_count();
                if let Some(Activations { plain, q, k, v, mixed, middle, gate, up, outputs }) = activations {
                    kept += [q, k, v, mixed, middle, gate, up].map(Tensor::elem_count).iter().sum::<usize>();
                    let pairs = [plain, outputs].into_iter().flatten();
                    kept += pairs.map(|(a, b)| a.elem_count() + b.elem_count()).sum::<usize>();
                }
                assert_eq!(kept, width * batch.tokens.len());
            }
        }
    }
}
