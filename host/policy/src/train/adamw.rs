//! AdamW, in place. With g the gradient, scaled down to the largest allowed norm, at step t = 1, 2, …:
//!
//! ```text
//! m ← β₁ m + (1 − β₁) g        v ← β₂ v + (1 − β₂) g²
//! w ← w − rate · ( (m / (1 − β₁ᵗ)) / (√(v / (1 − β₂ᵗ)) + ε) + decay · w )
//! ```
//!
//! It is an optimiser of candle-nn by its trait. candle-nn's own AdamW cannot serve: its moments are private, so no
//! checkpoint can hold them, it does not clip, and it makes a dozen passes over memory for each weight. Where there is a
//! kernel this one makes a single pass, elsewhere it is composed of tensor operations. Tests hold one against the other.
//!
//! Source: Loshchilov and Hutter, *Decoupled Weight Decay Regularization*, arXiv 1711.05101.

use alft_kernels::{self as kernels, AdamWStep};
use candle_core::{DType, Result as TensorResult, Tensor, Var, backprop::GradStore};
use candle_nn::Optimizer;
use serde::{Deserialize, Serialize};

use crate::{
    cuda,
    error::{Error, Result},
    ops::{
        kernels_apply,
        path::{Op, Path},
        with_floats, with_floats_mut,
    },
    profile,
    setting::not_negative,
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
                return Err(Error::setting(name, format!("is {beta:?}; it must be at least 0 and below 1")));
            }
        }
        not_negative("epsilon", self.epsilon)?;
        // A weight whose gradients were all 0 moves by 0 / (0 + ε).
        if self.epsilon as f32 == 0.0 {
            let reason = format!("is {:?}; it must be above 0 as a number of 32 bits, such as 1e-8", self.epsilon);
            return Err(Error::setting("epsilon", reason));
        }
        not_negative("weight_decay", self.weight_decay)?;
        not_negative("max_grad_norm", self.max_grad_norm)
    }
}

/// The optimiser of some variables.
#[derive(Debug)]
pub(crate) struct AdamW {
    config: AdamWConfig,
    variables: Vec<Var>,
    /// Number of steps made.
    pub(crate) steps: u64,
    /// Moments m and v of each variable, in the order of the variables.
    pub(crate) moments: Vec<(Tensor, Tensor)>,
    learning_rate: f64,
    /// Factor of the gradients.
    gradient_scale: f64,
}

impl AdamW {
    /// Returns the L2 norm of the gradients of all variables together.
    fn norm(&self, grads: &GradStore) -> Result<f64> {
        let grads: Vec<&Tensor> = self.variables.iter().filter_map(|variable| grads.get(variable)).collect();
        if !grads.is_empty() && grads.iter().all(|grad| has_kernel(grad)) {
            let sums = cuda::adamw::squares(&grads)?.to_vec1::<f32>()?;
            return Ok(sums.into_iter().map(f64::from).sum::<f64>().sqrt());
        }
        let (mut sum, mut squares) = (0.0, Vec::new());
        for grad in grads {
            if kernels_apply(grad) {
                // The partial sums of a few thousand squares are added in f64, so that a long gradient loses no digits.
                let chunk = |chunk: &[f32]| f64::from(kernels::sum_of_squares(chunk));
                sum += with_floats([grad], |[values]| values.chunks(4096).map(chunk).sum::<f64>())?;
            } else {
                squares.push(grad.sqr()?.sum_all()?.to_dtype(DType::F64)?);
            }
        }
        if !squares.is_empty() {
            // One transfer from the device: each would wait for all work before it.
            sum += Tensor::stack(&squares, 0)?.to_vec1::<f64>()?.iter().sum::<f64>();
        }
        Ok(sum.sqrt())
    }

    /// Makes one step at the given learning rate, with gradients scaled down to the largest allowed norm. Returns the norm
    /// before.
    ///
    /// # Errors
    /// [`Error::NonFinite`] for a norm that is not finite. Nothing is changed then.
    pub(crate) fn clipped_step(&mut self, grads: &GradStore, rate: f64) -> Result<f64> {
        let _time = profile::time("adamw");
        let (norm, most) = (self.norm(grads)?, self.config.max_grad_norm);
        if !norm.is_finite() {
            return Err(Error::NonFinite { quantity: "the norm of the gradient", value: norm, step: self.steps });
        }
        self.gradient_scale = if most > 0.0 && norm > most { most / norm } else { 1.0 };
        self.set_learning_rate(rate);
        self.step(grads)?;
        Ok(norm)
    }
}

impl Optimizer for AdamW {
    type Config = AdamWConfig;

    fn new(variables: Vec<Var>, config: AdamWConfig) -> TensorResult<Self> {
        let zeros = |variable: &Var| Tensor::zeros(variable.shape(), variable.dtype(), variable.device());
        let moments = variables.iter().map(|variable| Ok((zeros(variable)?, zeros(variable)?)));
        let moments = moments.collect::<TensorResult<_>>()?;
        Ok(Self { config, variables, steps: 0, moments, learning_rate: 0.0, gradient_scale: 1.0 })
    }

    /// Makes one step. A variable without a gradient has one of 0: its moments decay.
    fn step(&mut self, grads: &GradStore) -> TensorResult<()> {
        let AdamWConfig { beta1, beta2, epsilon, weight_decay, .. } = self.config;
        let (scale, rate) = (self.gradient_scale, self.learning_rate);
        self.steps += 1;
        let bias = |beta: f64| 1.0 - beta.powf(self.steps as f64);
        let step = AdamWStep {
            mean: [beta1 as f32, ((1.0 - beta1) * scale) as f32],
            square: [beta2 as f32, ((1.0 - beta2) * scale * scale) as f32],
            decay: (1.0 - rate * weight_decay) as f32,
            rate: (rate / bias(beta1)) as f32,
            root_bias: (1.0 / bias(beta2).sqrt()) as f32,
            epsilon: epsilon as f32,
        };
        let of_variable = |variable: &Var| match grads.get(variable) {
            Some(grad) => grad.contiguous(),
            None => variable.zeros_like(),
        };
        if !self.variables.is_empty() && self.variables.iter().all(|variable| has_kernel(variable)) {
            let grads = self.variables.iter().map(of_variable).collect::<TensorResult<Vec<_>>>()?;
            let weights: Vec<&Tensor> = self.variables.iter().map(Var::as_tensor).collect();
            let (means, squares): (Vec<_>, Vec<_>) = self.moments.iter().map(|(m, v)| (m, v)).unzip();
            return cuda::adamw::apply(&weights, &means, &squares, &grads.iter().collect::<Vec<_>>(), &step);
        }
        for (variable, (m, v)) in self.variables.iter().zip(&self.moments) {
            apply(&step, variable, m, v, &of_variable(variable)?)?;
        }
        Ok(())
    }

    fn learning_rate(&self) -> f64 {
        self.learning_rate
    }

    fn set_learning_rate(&mut self, rate: f64) {
        self.learning_rate = rate;
    }
}

/// Returns true if the CUDA kernels apply to a variable or its gradient.
fn has_kernel(tensor: &Tensor) -> bool {
    Path::of(Op::AdamW, tensor) == Path::CudaKernel && tensor.dtype() == DType::F32
}

/// Updates a variable and its moments in place, without the CUDA kernel, which updates all at once.
fn apply(step: &AdamWStep, variable: &Var, m: &Tensor, v: &Tensor, grad: &Tensor) -> TensorResult<()> {
    if kernels_apply(variable) {
        return with_floats([grad], |[grad]| {
            with_floats_mut(variable, |w| {
                with_floats_mut(m, |m| {
                    with_floats_mut(v, |v| {
                        kernels::adamw(step, w, m, v, grad);
                        Ok(())
                    })
                })
            })
        })?;
    }
    let average = |x: &Tensor, [kept, added]: [f32; 2], y: &Tensor| {
        x.slice_set(&(x.affine(kept.into(), 0.0)? + y.affine(added.into(), 0.0)?)?, 0, 0)
    };
    average(m, step.mean, grad)?;
    average(v, step.square, &grad.sqr()?)?;
    let root = v.sqrt()?.affine(step.root_bias.into(), step.epsilon.into())?;
    let moved = (m.affine(step.rate.into(), 0.0)? / root)?;
    variable.set(&(variable.as_detached_tensor().affine(step.decay.into(), 0.0)? - moved)?)
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
        let variable = Var::new(&start, &Device::Cpu).unwrap();
        let mut optimiser = AdamW::new(vec![variable.clone()], config).unwrap();

        // The module's formula, written out in f64.
        let (mut w, mut m, mut v) = (start.map(f64::from), [0f64; 3], [0f64; 3]);
        for (t, grad) in [[1.0f32, -2.0, 0.5], [0.1, 0.2, -0.3], [4.0, 0.0, 3.0]].iter().enumerate() {
            let rate = 0.05 / (t + 1) as f64;
            let mut grads = GradStore::default();
            grads.insert(&variable, Tensor::new(grad, &Device::Cpu).unwrap());
            let norm = optimiser.clipped_step(&grads, rate).unwrap();
            let exact = grad.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>().sqrt();
            assert!((norm - exact).abs() < 1e-6);
            for i in 0..3 {
                let g = f64::from(grad[i]) * (2.0 / exact).min(1.0);
                m[i] = 0.8 * m[i] + 0.2 * g;
                v[i] = 0.95 * v[i] + 0.05 * g * g;
                let m_hat = m[i] / (1.0 - 0.8f64.powi(t as i32 + 1));
                let v_hat = v[i] / (1.0 - 0.95f64.powi(t as i32 + 1));
                w[i] -= rate * (m_hat / (v_hat.sqrt() + 1e-6) + 0.1 * w[i]);
            }
            for (got, want) in variable.to_vec1::<f32>().unwrap().iter().zip(w) {
                assert!((f64::from(*got) - want).abs() < 1e-6, "step {t}: {got} is not {want}");
            }
        }
        assert_eq!(optimiser.steps, 3);
    }

    /// Returns the weights and the moments after three steps in the element type, in f64.
    fn train(dtype: DType) -> Vec<Vec<f64>> {
        // Large enough for the kernels to split it over threads.
        let shapes = [vec![3, 5], vec![alft_kernels::PARALLEL_ELEMENTS + 7]];
        let config = AdamWConfig { weight_decay: 0.1, max_grad_norm: 0.5, ..AdamWConfig::default() };
        let tensor = |shape: &[usize], seed| noise(shape, seed).to_dtype(dtype).unwrap();
        let variables: Vec<Var> = shapes.iter().map(|shape| Var::from_tensor(&tensor(shape, 1)).unwrap()).collect();
        let mut optimiser = AdamW::new(variables.clone(), config).unwrap();
        for step in 0..3 {
            let mut grads = GradStore::default();
            for (variable, shape) in variables.iter().zip(&shapes) {
                grads.insert(variable, tensor(shape, 10 + step));
            }
            optimiser.clipped_step(&grads, 1e-2).unwrap();
        }
        let weights = variables.iter().map(|variable| variable.as_tensor());
        let tensors = weights.chain(optimiser.moments.iter().flat_map(|(m, v)| [m, v]));
        let numbers = |tensor: &Tensor| tensor.flatten_all()?.to_dtype(DType::F64)?.to_vec1::<f64>();
        tensors.map(|tensor| numbers(tensor).unwrap()).collect()
    }

    #[test]
    fn every_implementation_agrees_with_the_twin() {
        let mut paths = vec![Path::CpuKernel, Path::Composed];
        if cuda::can_emulate() {
            paths.push(Path::CudaKernel);
        }
        for path in paths {
            for (kernel, twin) in path.force(|| train(DType::F32)).iter().zip(&train(DType::F64)) {
                assert_eq!(kernel.len(), twin.len());
                for (kernel, twin) in kernel.iter().zip(twin) {
                    assert!((kernel - twin).abs() <= 1e-5 * twin.abs().max(1e-3), "{path:?}: {kernel} is not {twin}");
                }
            }
        }
    }

    #[test]
    fn settings_out_of_range_are_errors() {
        let refused = |config: AdamWConfig| config.check().unwrap_err().to_string();
        assert!(refused(AdamWConfig { beta1: 1.0, ..Default::default() }).contains("`beta1` is 1"));
        assert!(refused(AdamWConfig { epsilon: -1.0, ..Default::default() }).contains("`epsilon` is -1"));
        let none = refused(AdamWConfig { epsilon: 1e-60, ..Default::default() });
        assert!(none.contains("`epsilon` is 1e-60; it must be above 0"), "{none}");
        let infinite = refused(AdamWConfig { weight_decay: 1e308, ..Default::default() });
        assert!(infinite.contains("`weight_decay` is 1e308; it must be a number from 0.0 to 3.4"), "{infinite}");
    }
}
