//! AdamW, in place. With g the gradient, scaled down to the largest norm allowed, at step t = 1, 2, …:
//!
//! ```text
//! m ← β₁ m + (1 − β₁) g        v ← β₂ v + (1 − β₂) g²
//! w ← w − rate · ( (m / (1 − β₁ᵗ)) / (√(v / (1 − β₂ᵗ)) + ε) + decay · w )
//! ```
//!
//! Source: Loshchilov and Hutter, *Decoupled Weight Decay Regularization*, arXiv 1711.05101.

use candle_core::{CpuStorage, DType, InplaceOp2, InplaceOp3, Layout, Result as TensorResult, Tensor, Var, bail};
use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, Result},
    kernels,
    ops::with_floats,
};

/// The settings of AdamW.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdamWConfig {
    /// β₁, the decay of the mean of gradients.
    pub beta1: f64,
    /// β₂, the decay of the mean of squared gradients.
    pub beta2: f64,
    /// ε, added to the root of the mean square.
    pub epsilon: f64,
    /// Decoupled weight decay, times the learning rate.
    pub weight_decay: f64,
    /// Gradients are scaled down to this global L2 norm; 0 does not clip.
    pub max_grad_norm: f64,
}

impl Default for AdamWConfig {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.0, max_grad_norm: 1.0 }
    }
}

impl AdamWConfig {
    /// Refuses settings that cannot work.
    ///
    /// # Errors
    /// Names the setting, its value and what it takes.
    pub fn check(&self) -> Result<()> {
        for (name, beta) in [("beta1", self.beta1), ("beta2", self.beta2)] {
            if !(0.0..1.0).contains(&beta) {
                return Err(Error::setting(name, format!("is {beta}; it must be 0 or more and below 1")));
            }
        }
        let others =
            [("epsilon", self.epsilon), ("weight_decay", self.weight_decay), ("max_grad_norm", self.max_grad_norm)];
        for (name, value) in others {
            if !(value >= 0.0 && value.is_finite()) {
                return Err(Error::setting(name, format!("is {value}; it must be 0 or more")));
            }
        }
        Ok(())
    }
}

/// The moments of each variable, and how many steps were made.
#[derive(Debug)]
pub(crate) struct AdamW {
    config: AdamWConfig,
    /// Steps made.
    pub(crate) step: u64,
    /// m and v of each variable, in the order of the variables.
    pub(crate) moments: Vec<(Tensor, Tensor)>,
}

impl AdamW {
    pub(crate) fn new(config: AdamWConfig, variables: &[(String, Var)]) -> Result<Self> {
        config.check()?;
        let zeros = |variable: &Var| Tensor::zeros(variable.shape(), variable.dtype(), variable.device());
        let moments = variables.iter().map(|(_, variable)| Ok((zeros(variable)?, zeros(variable)?)));
        Ok(Self { config, step: 0, moments: moments.collect::<Result<_>>()? })
    }

    /// One step at the given rate; `grads` has one for each variable, and `norm` is their [`global_norm`].
    pub(crate) fn step(&mut self, variables: &[(String, Var)], grads: &[Tensor], norm: f64, rate: f64) -> Result<()> {
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

/// The L2 norm of all gradients together.
pub(crate) fn global_norm(grads: &[Tensor]) -> Result<f64> {
    let mut sum = 0.0;
    for grad in grads {
        sum += if grad.device().is_cpu() && grad.dtype() == DType::F32 {
            // Partial sums of a few thousand squares, added up in f64: neither order nor length costs digits.
            with_floats([grad], |[values]| values.chunks(4096).map(|c| f64::from(kernels::sum_of_squares(c))).sum())?
        } else {
            f64::from(grad.sqr()?.sum_all()?.to_dtype(DType::F32)?.to_scalar::<f32>()?)
        };
    }
    Ok(sum.sqrt())
}

/// `x ← kept · x + added · g` or, for `square`, `+ added · g²`.
struct Average {
    kept: f32,
    added: f32,
    square: bool,
}

fn average(x: &Tensor, grad: &Tensor, average: &Average) -> Result<()> {
    if x.device().is_cpu() {
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
        let (x, grad) = (numbers_mut(x, x_layout)?, numbers(g, g_layout)?);
        kernels::by_rows(x, 1, |first, x| {
            for (x, g) in x.iter_mut().zip(&grad[first..]) {
                let g = if self.square { g * g } else { *g };
                *x = self.kept * *x + self.added * g;
            }
        });
        Ok(())
    }
}

/// `w ← kept · w − rate · m / (√v · root_bias + ε)`.
struct Update {
    kept: f32,
    rate: f32,
    root_bias: f32,
    epsilon: f32,
}

fn apply(variable: &Var, m: &Tensor, v: &Tensor, update: &Update) -> Result<()> {
    if variable.device().is_cpu() {
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
        let (w, m, v) = (numbers_mut(w, w_layout)?, numbers(m, m_layout)?, numbers(v, v_layout)?);
        kernels::by_rows(w, 1, |first, w| {
            for ((w, m), v) in w.iter_mut().zip(&m[first..]).zip(&v[first..]) {
                *w = self.kept * *w - self.rate * m / (v.sqrt() * self.root_bias + self.epsilon);
            }
        });
        Ok(())
    }
}

fn numbers_mut<'a>(storage: &'a mut CpuStorage, layout: &Layout) -> TensorResult<&'a mut [f32]> {
    match (storage, layout.contiguous_offsets()) {
        (CpuStorage::F32(values), Some((start, end))) => Ok(&mut values[start..end]),
        _ => bail!("AdamW updates contiguous f32 weights"),
    }
}

fn numbers<'a>(storage: &'a CpuStorage, layout: &Layout) -> TensorResult<&'a [f32]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&storage.as_slice::<f32>()?[start..end]),
        None => bail!("AdamW reads contiguous gradients"),
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn follows_the_formula() {
        let config = AdamWConfig { beta1: 0.8, beta2: 0.95, epsilon: 1e-6, weight_decay: 0.1, max_grad_norm: 2.0 };
        let start = [0.5f32, -1.0, 2.0];
        let variables = vec![("w".to_owned(), Var::new(&start, &Device::Cpu).unwrap())];
        let mut optimiser = AdamW::new(config.clone(), &variables).unwrap();

        // The formula of the module, in f64, written out again.
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

    #[test]
    fn refuses_settings_out_of_range() {
        let refused = |config: AdamWConfig| config.check().unwrap_err().to_string();
        assert!(refused(AdamWConfig { beta1: 1.0, ..Default::default() }).contains("beta1: is 1"));
        assert!(refused(AdamWConfig { epsilon: -1.0, ..Default::default() }).contains("epsilon: is -1"));
    }
}
