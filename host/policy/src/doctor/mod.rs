//! The check of a CUDA device: every kernel against its twin, and a small model against the CPU.
//!
//! The kernels are tested on CPUs, in an emulation that cannot see all that a device does. So a device is checked where it
//! is: by [`trust`] in short before its first run, and by [`examine`] at length. A kernel that disagrees is replaced by
//! candle's operations from then on.
//!
//! | module | holds |
//! | --- | --- |
//! | `check` | a comparison |
//! | `operations`, `kernels`, `model` | the comparisons of differentiable operations, of other kernels, of a model |
//! | `machine` | the facts of a machine, with or without a device |

mod check;
mod kernels;
mod machine;
mod model;
mod operations;

use std::{fmt, path::Path};

use candle_core::Device;
use serde::{Deserialize, Serialize};

pub use self::{check::Check, machine::Machine};
use crate::{
    cuda,
    device::{self, DevicePreference},
    digest,
    error::Result,
    ops::path::{Op, distrust},
};

/// The kernels that a device's check found wanting, as it is stored.
#[derive(Serialize, Deserialize)]
struct Verdict {
    card: String,
    distrusted: Vec<String>,
}

/// Checks the kernels on a device, unless `folder` holds the verdict of an earlier check of the same card, driver and
/// kernels, and keeps those that disagree from being used by this process. Returns their names. A verdict that cannot be
/// stored is found again by the next process.
pub fn trust(device: &Device, folder: Option<&Path>) -> Vec<String> {
    if device.is_cpu() {
        return Vec::new();
    }
    let card = format!("{}, {}, kernels {}", device::describe(device), device::driver(), cuda::fingerprint());
    let path = folder.map(|folder| folder.join(format!("{:016x}.json", digest::fnv(card.as_bytes()))));
    let stored = path.as_ref().and_then(|path| std::fs::read(path).ok());
    let stored = stored.and_then(|text| serde_json::from_slice::<Verdict>(&text).ok());
    let verdict = stored.filter(|verdict| verdict.card == card).unwrap_or_else(|| {
        let failed: Vec<Check> = short(device).into_iter().filter(|check| !check.agrees).collect();
        let names = Op::ALL.iter().map(|op| op.name()).filter(|name| failed.iter().any(|check| check.name == *name));
        let verdict = Verdict { card, distrusted: names.map(str::to_owned).collect() };
        if let (Some(path), Ok(text)) = (path, serde_json::to_vec(&verdict)) {
            let _ = alft_fs::write(&path, &text);
        }
        verdict
    });
    for op in Op::ALL.into_iter().filter(|op| verdict.distrusted.iter().any(|name| name == op.name())) {
        distrust(op);
    }
    verdict.distrusted
}

/// The check of a device at length.
#[derive(Debug, Clone, Serialize)]
pub struct Examination {
    /// Name of the card.
    pub gpu: String,
    /// The driver's description of itself.
    pub driver: String,
    /// True if every check agrees.
    pub agree: bool,
    /// The checks: every kernel in `f32` and `bf16`, and a small model's log-probabilities, gradients and greedy text.
    pub checks: Vec<Check>,
}

/// Checks the first CUDA device at length, in less than a minute.
///
/// # Errors
/// [`Error::CudaNotBuilt`](crate::Error::CudaNotBuilt) and [`Error::NoCudaDevice`](crate::Error::NoCudaDevice).
pub fn examine() -> Result<Examination> {
    let device = DevicePreference::Cuda.open()?;
    let mut checks = short(&device);
    for check in &mut checks {
        check.times = operations::times(check, &device).ok();
    }
    checks.extend(model::model(&device));
    checks.extend(model::batch(&device));
    let agree = checks.iter().all(|check| check.agrees);
    Ok(Examination { gpu: device::describe(&device), driver: device::driver(), agree, checks })
}

impl fmt::Display for Examination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n{}\n", self.gpu, self.driver)?;
        writeln!(
            f,
            "{:<26} {:<5} {:>9} {:>9}  {:>9} {:>9}",
            "check", "type", "error", "bound", "kernel ms", "candle ms"
        )?;
        for Check { name, dtype, error, bound, agrees, failure, times } in &self.checks {
            write!(f, "{name:<26} {dtype:<5} {error:>9.1e} {bound:>9.1e}")?;
            if let Some((kernel, candle)) = times {
                write!(f, "  {kernel:>9.3} {candle:>9.3}")?;
            }
            match (agrees, failure) {
                (true, _) => writeln!(f)?,
                (false, None) => writeln!(f, "  DISAGREES")?,
                (false, Some(failure)) => writeln!(f, "  FAILED: {failure}")?,
            }
        }
        Ok(())
    }
}

/// Checks every kernel on a device.
fn short(device: &Device) -> Vec<Check> {
    [operations::operations(device), kernels::kernels(device)].concat()
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Tensor};

    use super::{check::largest, *};
    use crate::ops::path::Path as Implementation;

    #[test]
    fn the_checks_of_kernels_pass_in_the_emulation() {
        if !cuda::can_emulate() {
            return;
        }
        let checks = short(&Device::Cpu);
        assert_eq!(checks.len(), 2 * 7 + 2 * 6 + 1);
        for check in checks {
            assert!(check.agrees, "{check:?}");
        }
    }

    #[test]
    fn the_checks_of_a_model_pass_on_the_implementations_for_devices() {
        for path in [Implementation::Fused, Implementation::CudaKernel] {
            if path == Implementation::Fused || cuda::can_emulate() {
                for check in path.force(|| model::model(&Device::Cpu)) {
                    assert!(check.agrees, "{path:?}: {check:?}");
                }
            }
        }
    }

    #[test]
    fn a_number_that_is_none_is_not_within_any_bound() {
        let tensor = |value: f64| Tensor::new(&[1.0, value, 0.0], &Device::Cpu).unwrap();
        let error = largest(&[tensor(f64::NAN)], &[tensor(0.0)]);
        assert!(!Check::new("x", DType::F32, error).agrees);
        assert!(Check::new("x", DType::F32, largest(&[tensor(1e-5)], &[tensor(0.0)])).agrees);
        assert!(!Check::new("x", DType::F32, largest(&[tensor(1e-3)], &[tensor(0.0)])).agrees);
    }
}
