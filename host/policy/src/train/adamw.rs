//! AdamW, in place. With g the gradient, scaled down to the largest allowed norm, at step t = 1, 2, …:
//!
//! ```text
//! m ← β₁ m + (1 − β₁) g        v ← β₂ v + (1 − β₂) g²
//! w ← w − rate · ( (m / (1 − β₁ᵗ)) / (√(v / (1 − β₂ᵗ)) + ε) + decay · w )
//! ```
//!
//! On the CPU in `f32` each update is one pass over memory; elsewhere it is composed of tensor operations. Tests hold one
//! against the other.
//!
//! Source: Loshchilov and Hutter, *Decoupled Weight Decay Regularization*, arXiv 1711.05101.

use candle_core::{CpuStorage, DType, InplaceOp2, InplaceOp3, Layout, Result as TensorResult, Tensor, Var, bail};
use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, Result},
    kernels,
    ops::{floats, kernels_apply, with_floats},
};

/// The settings of AdamW.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdamWConfig {
    /// Decay β₁ of the mean of gradients.
    pub beta1: f64,
    /// Decay β₂ of the mean of squared gradients.
    pub beta2: f64,
    /// Constant ε added to the root of the mean square.
    pub epsilon: f64,
    /// Decoupled weight decay, multiplied by the learning rate.
    pub weight_decay: f64,
    /// Largest global L2 norm of the gradient, which is scaled down to it; 0 does not clip.
    pub max_grad_norm: f64,
}

impl Default for AdamWConfig {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.0, max_grad_norm: 1.0 }
    }
}

impl AdamWConfig {
    /// Checks the settings.
    ///
    /// # Errors
    /// [`Error::Setting`] for the first setting that is out of range.
    pub fn check(&self) -> Result<()> {
        for (name, beta) in [("beta1", self.beta1), ("beta2", self.beta2)] {
            if !(0.0..1.0).contains(&beta) {
                return Err(Error::setting(name, format!("is {beta}; it must be at least 0 and below 1")));
            }
        }
        let others =
            [("epsilon", self.epsilon), ("weight_decay", self.weight_decay), ("max_grad_norm", self.max_grad_norm)];
        for (name, value) in others {
            if !(value >= 0.0 && value.is_finite()) {
                return Err(Error::setting(name, format!("is {value}; it must be at least 0")));
            }
        }
        Ok(())
    }
}

/// The state of the optimiser.
#[derive(Debug)]
pub(crate) struct AdamW {
    config: AdamWConfig,
    /// Number of steps made.
    pub(crate) step: u64,
    /// Moments m and v of each variable, in the order of the variables.
    pub(crate) moments: Vec<(Tensor, Tensor)>,
}

impl AdamW {
    pub(crate) fn new(config: AdamWConfig, variables: &[(String, Var)]) -> Result<Self> {
        config.check()?;
        let zeros = |variable: &Var| Tensor::zeros(variable.shape(), variable.dtype(), variable.device());
        let moments = variables.iter().map(|(_, variable)| Ok((zeros(variable)?, zeros(variable)?)));
        Ok(Self { config, step: 0, moments: moments.collect::<Result<_>>()? })
    }

    /// Makes one step at the given learning rate. `grads` has a gradient for each variable; `norm` is their
    /// [`global_norm`].
    pub(crate) fn step(&mut self, variables: &[(String, Var)], grads: &[Tensor], norm: f64, rate: f64) -> Result<()> {
        let _time = crate::profile::time("adamw");
        let AdamWConfig { beta1, beta2, epsilon, weight_decay, max_grad_norm } = self.config;
        self.step += 1;
        let scale = if max_grad_norm > 0.0 && norm > max_grad_norm { max_grad_norm / norm } else { 1.0 };
        let bias = |beta: f64| 1.0 - beta.powf(self.step as f64);
        let (bias1, bias2) = (bias(beta1), bias(beta2));
        let update = Update {
            kept: (1.0 - rate * weight_decay) as f32,
            rate: (rate / bias1) as f32,
            root_bias: (1.0 / bias2.sqrt()) as f32,
            epsilon: epsilon as f32,
        };
        for (((_, variable), grad), (m, v)) in variables.iter().zip(grads).zip(&self.moments) {
            let grad = grad.contiguous()?;
            average(m, &grad, &Average { kept: beta1 as f32, added: ((1.0 - beta1) * scale) as f32, square: false })?;
            let added = ((1.0 - beta2) * scale * scale) as f32;
            average(v, &grad, &Average { kept: beta2 as f32, added, square: true })?;
            apply(variable, m, v, &update)?;
        }
        Ok(())
    }
}

/// Returns the L2 norm of all gradients together.
pub(crate) fn global_norm(grads: &[Tensor]) -> Result<f64> {
    let mut sum = 0.0;
    for grad in grads {
        sum += if kernels_apply(grad) {
            // The partial sums of a few thousand squares are added in f64, so that a long gradient loses no digits.
            with_floats([grad], |[values]| values.chunks(4096).map(|c| f64::from(kernels::sum_of_squares(c))).sum())?
        } else {
            grad.sqr()?.sum_all()?.to_dtype(DType::F64)?.to_scalar::<f64>()?
        };
    }
    Ok(sum.sqrt())
}

/// The update `x ← kept · x + added · g`, or `x ← kept · x + added · g²` if `square`.
struct Average {
    kept: f32,
    added: f32,
    square: bool,
}

fn average(x: &Tensor, grad: &Tensor, average: &Average) -> Result<()> {
    if kernels_apply(x) {
        return Ok(x.inplace_op2(grad, average)?);
    }
    let grad = if average.square { grad.sqr()? } else { grad.clone() };
    let next = (x.affine(average.kept.into(), 0.0)? + grad.affine(average.added.into(), 0.0)?)?;
    Ok(x.slice_set(&next, 0, 0)?)
}

impl InplaceOp2 for Average {
    fn name(&self) -> &'static str {
        "running average"
    }

    fn cpu_fwd(&self, x: &mut CpuStorage, x_layout: &Layout, g: &CpuStorage, g_layout: &Layout) -> TensorResult<()> {
        let (x, grad) = (floats_mut(x, x_layout)?, floats(g, g_layout)?);
        kernels::by_rows(x, 1, |first, x| {
            for (x, g) in x.iter_mut().zip(&grad[first..]) {
                let g = if self.square { g * g } else { *g };
                *x = self.kept * *x + self.added * g;
            }
        });
        Ok(())
    }
}

/// The update `w ← kept · w − rate · m / (√v · root_bias + ε)`.
struct Update {
    kept: f32,
    rate: f32,
    root_bias: f32,
    epsilon: f32,
}

fn apply(variable: &Var, m: &Tensor, v: &Tensor, update: &Update) -> Result<()> {
    if kernels_apply(variable) {
        return Ok(variable.inplace_op3(m, v, update)?);
    }
    let root = v.sqrt()?.affine(update.root_bias.into(), update.epsilon.into())?;
    let moved = (m.affine(update.rate.into(), 0.0)? / root)?;
    let kept = variable.as_detached_tensor().affine(update.kept.into(), 0.0)?;
    Ok(variable.set(&(kept - moved)?)?)
}

impl InplaceOp3 for Update {
    fn name(&self) -> &'static str {
        "adamw update"
    }

    fn cpu_fwd(
        &self,
        w: &mut CpuStorage,
        w_layout: &Layout,
        m: &CpuStorage,
        m_layout: &Layout,
        v: &CpuStorage,
        v_layout: &Layout,
    ) -> TensorResult<()> {
        let (w, m, v) = (floats_mut(w, w_layout)?, floats(m, m_layout)?, floats(v, v_layout)?);
        kernels::by_rows(w, 1, |first, w| {
            for ((w, m), v) in w.iter_mut().zip(&m[first..]).zip(&v[first..]) {
                *w = self.kept * *w - self.rate * m / (v.sqrt() * self.root_bias + self.epsilon);
            }
        });
        Ok(())
    }
}

/// Returns the elements of a contiguous `f32` tensor on the CPU.
fn floats_mut<'a>(storage: &'a mut CpuStorage, layout: &Layout) -> TensorResult<&'a mut [f32]> {
    match (storage, layout.contiguous_offsets()) {
        (CpuStorage::F32(values), Some((start, end))) => Ok(&mut values[start..end]),
        _ => bail!("AdamW was given weights that are not contiguous f32 numbers"),
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::ops::noise;

    #[test]
    fn a_step_follows_the_formula() {
        let config = AdamWConfig { beta1: 0.8, beta2: 0.95, epsilon: 1e-6, weight_decay: 0.1, max_grad_norm: 2.0 };
        let start = [0.5f32, -1.0, 2.0];
        let variables = vec![("w".to_owned(), Var::new(&start, &Device::Cpu).unwrap())];
        let mut optimiser = AdamW::new(config.clone(), &variables).unwrap();

        // The module's formula, written out in f64.
        let (mut w, mut m, mut v) = (start.map(f64::from), [0f64; 3], [0f64; 3]);
        for (t, grad) in [[1.0f32, -2.0, 0.5], [0.1, 0.2, -0.3], [4.0, 0.0, 3.0]].iter().enumerate() {
            let rate = 0.05 / (t + 1) as f64;
            let grads = [Tensor::new(grad, &Device::Cpu).unwrap()];
            let norm = global_norm(&grads).unwrap();
            let exact = grad.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>().sqrt();
            assert!((norm - exact).abs() < 1e-6);
            optimiser.step(&variables, &grads, norm, rate).unwrap();
            for i in 0..3 {
                let g = f64::from(grad[i]) * (2.0 / exact).min(1.0);
                m[i] = 0.8 * m[i] + 0.2 * g;
                v[i] = 0.95 * v[i] + 0.05 * g * g;
                let m_hat = m[i] / (1.0 - 0.8f64.powi(t as i32 + 1));
                let v_hat = v[i] / (1.0 - 0.95f64.powi(t as i32 + 1));
                w[i] -= rate * (m_hat / (v_hat.sqrt() + 1e-6) + 0.1 * w[i]);
            }
            for (got, want) in variables[0].1.to_vec1::<f32>().unwrap().iter().zip(w) {
                assert!((f64::from(*got) - want).abs() < 1e-6, "step {t}: {got} is not {want}");
            }
        }
        assert_eq!(optimiser.step, 3);
    }

    /// Returns the weights and the moments after three steps in the element type, in f64.
    fn train(dtype: DType) -> Vec<Vec<f64>> {
        // Large enough for the kernels to split it over threads.
        let shapes = [vec![3, 5], vec![crate::kernels::PARALLEL_ELEMENTS + 7]];
        let config = AdamWConfig { weight_decay: 0.1, max_grad_norm: 0.5, ..AdamWConfig::default() };
        let tensor = |shape: &[usize], seed| noise(shape, seed).to_dtype(dtype).unwrap();
        let variable = |shape: &Vec<usize>| ("w".to_owned(), Var::from_tensor(&tensor(shape, 1)).unwrap());
        let variables: Vec<(String, Var)> = shapes.iter().map(variable).collect();
        let mut optimiser = AdamW::new(config, &variables).unwrap();
        for step in 0..3 {
            let grads: Vec<Tensor> = shapes.iter().map(|shape| tensor(shape, 10 + step)).collect();
            let norm = global_norm(&grads).unwrap();
            optimiser.step(&variables, &grads, norm, 1e-2).unwrap();
        }
        let weights = variables.iter().map(|(_, variable)| variable.as_tensor());
        let tensors = weights.chain(optimiser.moments.iter().flat_map(|(m, v)| [m, v]));
        let numbers = |tensor: &Tensor| tensor.flatten_all()?.to_dtype(DType::F64)?.to_vec1::<f64>();
        tensors.map(|tensor| numbers(tensor).unwrap()).collect()
    }

    #[test]
    fn kernel_and_twin_agree() {
        for (kernel, twin) in train(DType::F32).iter().zip(&train(DType::F64)) {
            assert_eq!(kernel.len(), twin.len());
            for (kernel, twin) in kernel.iter().zip(twin) {
                assert!((kernel - twin).abs() <= 1e-5 * twin.abs().max(1e-3), "{kernel} is not {twin}");
            }
        }
    }

    #[test]
    fn settings_out_of_range_are_errors() {
        let refused = |config: AdamWConfig| config.check().unwrap_err().to_string();
        assert!(refused(AdamWConfig { beta1: 1.0, ..Default::default() }).contains("`beta1` is 1"));
        assert!(refused(AdamWConfig { epsilon: -1.0, ..Default::default() }).contains("`epsilon` is -1"));
    }
}
