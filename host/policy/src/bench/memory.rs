//! The peak of memory of a part of a measurement.

use candle_core::Device;

/// The peak of memory since it began.
pub(super) struct Peak(Device);

impl Peak {
    /// Sets the peak to the memory in use.
    pub(super) fn begin(device: &Device) -> Self {
        #[cfg(feature = "cuda")]
        if let Device::Cuda(device) = device {
            cuda::reset(device);
        }
        // The value 5 resets the peak of resident memory: proc(5), Linux. Where the file cannot be written, the peak stays
        // that of the whole process.
        let _ = std::fs::write("/proc/self/clear_refs", "5");
        Self(device.clone())
    }

    /// Returns the peak in bytes: resident memory of the process, or on CUDA the memory allocated on the device. `None`
    /// where the system does not tell.
    pub(super) fn read(&self) -> Option<u64> {
        match &self.0 {
            #[cfg(feature = "cuda")]
            Device::Cuda(device) => cuda::read(device),
            Device::Cpu => resident(),
            _ => None,
        }
    }
}

fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

/// The high-water mark of the pool that candle's allocations come from. It leaves out the driver's context and cuBLAS's
/// workspaces, as torch's `max_memory_allocated` does.
#[cfg(feature = "cuda")]
mod cuda {
    use std::ffi::c_void;

    use candle_core::{
        CudaDevice,
        cuda_backend::cudarc::driver::{DriverError, result, sys},
    };

    const HIGH: sys::CUmemPool_attribute = sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_USED_MEM_HIGH;

    fn pool(device: &CudaDevice) -> Result<sys::CUmemoryPool, DriverError> {
        let stream = device.cuda_stream();
        stream.context().bind_to_thread()?;
        // SAFETY: the handle is that of the open device.
        unsafe { result::device::get_mem_pool(stream.context().cu_device()) }
    }

    /// Sets the mark to the memory in use.
    pub(super) fn reset(device: &CudaDevice) {
        let mut zero = 0u64;
        // SAFETY: the attribute is a 64-bit number, and 0 is its only legal new value.
        let _ = pool(device)
            .and_then(|pool| unsafe { result::mem_pool::set_attribute(pool, HIGH, (&raw mut zero).cast::<c_void>()) });
    }

    /// Returns the mark in bytes.
    pub(super) fn read(device: &CudaDevice) -> Option<u64> {
        let mut bytes = 0u64;
        // SAFETY: the attribute is a 64-bit number.
        let read = pool(device)
            .and_then(|pool| unsafe { result::mem_pool::get_attribute(pool, HIGH, (&raw mut bytes).cast::<c_void>()) });
        read.ok().map(|()| bytes)
    }
}
