//! Devices: tensors live on the CPU or on the first CUDA device.

use candle_core::Device;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The device that a run asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DevicePreference {
    /// CUDA if it is compiled in and present, otherwise the CPU.
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
    /// Fails if CUDA is asked for and is not compiled in, or no device or driver is present.
    pub fn open(self) -> Result<Device> {
        match self {
            DevicePreference::Cpu => Ok(Device::Cpu),
            DevicePreference::Cuda => open_cuda(),
            DevicePreference::Auto => Ok(open_cuda().unwrap_or(Device::Cpu)),
        }
    }
}

// `Device::cuda_if_available` does not fall back at run time if the driver is missing, so the device is opened to see.
fn open_cuda() -> Result<Device> {
    if !candle_core::utils::cuda_is_available() {
        return Err(Error::CudaNotBuilt);
    }
    Device::new_cuda(0).map_err(Error::NoCudaDevice)
}

/// Describes a device in one line: `CPU, 2 threads` or `CUDA: NVIDIA H100`.
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

// The driver's listing in /proc (Linux) has the name, so that no library of the driver has to be linked.
fn cuda_name() -> Option<String> {
    let mut folders: Vec<_> =
        std::fs::read_dir("/proc/driver/nvidia/gpus").ok()?.filter_map(|entry| Some(entry.ok()?.path())).collect();
    folders.sort();
    let information = std::fs::read_to_string(folders.first()?.join("information")).ok()?;
    let model = information.lines().find_map(|line| line.strip_prefix("Model:"))?;
    Some(model.trim().to_owned())
}
