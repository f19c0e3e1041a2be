//! Where tensors live: the CPU, or the first CUDA device.

use candle_core::Device;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Which device a run asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DevicePreference {
    /// CUDA when compiled in and present, otherwise the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// The first CUDA device, or an error.
    Cuda,
}

impl DevicePreference {
    /// Opens the device.
    ///
    /// # Errors
    /// [`Error::NoCuda`] when `cuda` is asked for and was not compiled in, or no device or driver is present.
    pub fn open(self) -> Result<Device> {
        match self {
            DevicePreference::Cpu => Ok(Device::Cpu),
            DevicePreference::Cuda => open_cuda(),
            DevicePreference::Auto => Ok(open_cuda().unwrap_or(Device::Cpu)),
        }
    }
}

// `Device::cuda_if_available` does not fall back at run time when the driver is missing, so this asks and looks.
fn open_cuda() -> Result<Device> {
    if !candle_core::utils::cuda_is_available() {
        return Err(Error::NoCuda(
            "this build has no CUDA; build with `--features cuda`, or use the device `cpu`".into(),
        ));
    }
    Device::new_cuda(0).map_err(|error| {
        // candle appends a backtrace; the cause is the first line.
        let text = error.to_string();
        let cause = text.lines().next().unwrap_or("unknown cause").to_owned();
        Error::NoCuda(format!("{cause}; check the driver with `nvidia-smi`, or use the device `cpu`"))
    })
}

/// One line for a person: `CPU, 2 threads` or `CUDA: NVIDIA H100`.
pub fn describe(device: &Device) -> String {
    match device {
        Device::Cpu => match candle_core::utils::get_num_threads() {
            1 => "CPU, 1 thread".to_owned(),
            threads => format!("CPU, {threads} threads"),
        },
        Device::Cuda(_) => format!("CUDA: {}", cuda_name().unwrap_or_else(|| "device 0".to_owned())),
        Device::Metal(_) => "Metal".to_owned(),
    }
}

// The driver's own listing (Linux) names the device without linking anything.
fn cuda_name() -> Option<String> {
    let mut folders: Vec<_> =
        std::fs::read_dir("/proc/driver/nvidia/gpus").ok()?.filter_map(|entry| Some(entry.ok()?.path())).collect();
    folders.sort();
    let information = std::fs::read_to_string(folders.first()?.join("information")).ok()?;
    let model = information.lines().find_map(|line| line.strip_prefix("Model:"))?;
    Some(model.trim().to_owned())
}
