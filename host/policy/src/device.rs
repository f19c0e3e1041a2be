//! Devices: tensors live on the CPU or on the first CUDA device. A device computes in a [`Precision`].

use candle_core::{DType, Device};
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

/// The number format of the policy's computations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32 bits throughout.
    #[default]
    F32,
    /// 32 bits in memory; a device rounds the factors of matrix products to TF32, which has 10 bits of mantissa.
    Tf32,
    /// Activations, frozen weights and the weights of a forward pass in bf16, which has 7 bits of mantissa. Trainable weights,
    /// their gradients' sums and the optimiser stay in 32 bits, and so do the sums in norms, softmax and losses.
    Bf16,
}

impl Precision {
    /// Returns true for the default.
    pub fn is_f32(&self) -> bool {
        *self == Precision::F32
    }

    /// Returns the type of activations.
    pub(crate) fn dtype(self) -> DType {
        match self {
            Precision::F32 | Precision::Tf32 => DType::F32,
            Precision::Bf16 => DType::BF16,
        }
    }

    /// Prepares a device for this precision. The setting for matrix products is one for the whole process.
    ///
    /// # Errors
    /// [`Error::Setting`] for a CPU, which computes in `f32` only.
    pub fn prepare(self, device: &Device) -> Result<()> {
        if device.is_cpu() && !self.is_f32() {
            let reason = "must be \"f32\" on a CPU, which would widen every weight at every use; set `model.device` to \
                          \"cuda\", or leave `dtype` out";
            return Err(Error::setting("dtype", reason));
        }
        candle_core::cuda::set_gemm_reduced_precision_f32(self == Precision::Tf32);
        Ok(())
    }
}

// `Device::cuda_if_available` does not fall back at run time if the driver is missing, so the device is opened to see.
fn open_cuda() -> Result<Device> {
    if !candle_core::utils::cuda_is_available() {
        return Err(Error::CudaNotBuilt);
    }
    // One stream for all threads of the program, so that work on a tensor never overtakes earlier work on it.
    let device = Device::new_cuda_with_stream(0).map_err(Error::NoCudaDevice)?;
    #[cfg(feature = "cuda")]
    if let Device::Cuda(device) = &device {
        prepare_cuda(device);
    }
    Ok(device)
}

/// Makes a device's memory cheap to take and to give back.
#[cfg(feature = "cuda")]
fn prepare_cuda(device: &candle_core::CudaDevice) {
    use std::ffi::c_void;

    use candle_core::cuda_backend::cudarc::driver::{result, sys};

    // SAFETY: events keep the streams of a device in step, and this one has a single stream. Recorded work may not wait for
    // events of the time before.
    unsafe { device.disable_event_tracking() };
    let stream = device.cuda_stream();
    let mut all = u64::MAX;
    let keep = sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
    // The pool would give all free memory back at each wait for the device, to take it again for the next step. If it cannot
    // be told to keep it, everything works as well and slower.
    let _ = stream.context().bind_to_thread().and_then(|()| {
        // SAFETY: the handle is that of the open device, and the attribute is a 64-bit number.
        unsafe {
            let pool = result::device::get_mem_pool(stream.context().cu_device())?;
            result::mem_pool::set_attribute(pool, keep, (&raw mut all).cast::<c_void>())
        }
    });
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

/// Returns the driver's description of itself, in one line.
pub(crate) fn driver() -> String {
    let text = std::fs::read_to_string("/proc/driver/nvidia/version").unwrap_or_default();
    text.lines().next().map_or("unknown driver", |line| line.trim_start_matches("NVRM version:").trim()).to_owned()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cpu_refuses_every_precision_but_f32() {
        assert!(Precision::F32.prepare(&Device::Cpu).is_ok());
        for precision in [Precision::Tf32, Precision::Bf16] {
            let message = precision.prepare(&Device::Cpu).unwrap_err().to_string();
            assert!(message.starts_with("`dtype` must be \"f32\" on a CPU"), "{message}");
        }
    }
}
