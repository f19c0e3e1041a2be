//! Copies of numbers between the CPU and a device that the CPU does not wait for.

use candle_core::{DType, Device, Result, Tensor, bail};

use super::launch::require;

#[cfg(feature = "cuda")]
use std::sync::{Mutex, PoisonError};

#[cfg(feature = "cuda")]
use candle_core::cuda_backend::{
    CudaDevice, WrapErr,
    cudarc::driver::{CudaEvent, PinnedHostSlice, result},
};

/// Numbers in memory of the CPU that a device reads and writes by itself, one copy at a time.
pub(crate) struct Transfer {
    /// The numbers, where there is no device.
    numbers: Vec<u32>,
    #[cfg(feature = "cuda")]
    pinned: Option<Pinned>,
}

#[cfg(feature = "cuda")]
struct Pinned {
    /// The end of the last copy.
    copied: Option<CudaEvent>,
    numbers: PinnedHostSlice<u32>,
}

/// Memory that transfers gave back. A driver takes as long to provide it as for a step of decoding.
#[cfg(feature = "cuda")]
static SPARE: Mutex<Vec<PinnedHostSlice<u32>>> = Mutex::new(Vec::new());

impl std::fmt::Debug for Transfer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Transfer")
    }
}

impl Transfer {
    /// Allocates memory for this many numbers.
    ///
    /// # Errors
    /// Fails if there is no such memory.
    pub(crate) fn new(count: usize, device: &Device) -> Result<Self> {
        #[cfg(feature = "cuda")]
        if let Device::Cuda(device) = device {
            let numbers = match take_spare(count) {
                Some(spare) => spare,
                None => allocate(count, device)?,
            };
            return Ok(Self { numbers: Vec::new(), pinned: Some(Pinned { copied: None, numbers }) });
        }
        debug_assert!(device.is_cpu());
        Ok(Self {
            numbers: vec![0; count],
            #[cfg(feature = "cuda")]
            pinned: None,
        })
    }

    /// Begins a copy of `numbers` to the start of `target`, after everything that was given to the device before. Waits for
    /// the last copy.
    ///
    /// # Errors
    /// Fails for a target without room, and if the driver does.
    pub(crate) fn send(&mut self, numbers: &[u32], target: &Tensor) -> Result<()> {
        require_room(target, numbers.len())?;
        self.wait()?[..numbers.len()].copy_from_slice(numbers);
        #[cfg(feature = "cuda")]
        if let Some(pinned) = &mut self.pinned {
            let source = &pinned.numbers.as_slice().w()?[..numbers.len()];
            let copied = super::launch::with_address(target, |address, stream| {
                // SAFETY: the target has room; the source is pinned, and is not written before the event.
                unsafe { result::memcpy_htod_async(address, source, stream.cu_stream()) }.w()?;
                stream.record_event(None).w()
            })?;
            pinned.copied = Some(copied);
            return Ok(());
        }
        target.slice_set(&Tensor::from_slice(numbers, numbers.len(), &Device::Cpu)?, 0, 0)
    }

    /// Begins a copy of the first `count` numbers of `source`, after everything that was given to the device before. Waits
    /// for the last copy.
    ///
    /// # Errors
    /// Fails for a source with fewer numbers, and if the driver does.
    pub(crate) fn fetch(&mut self, source: &Tensor, count: usize) -> Result<()> {
        require_room(source, count)?;
        self.wait()?;
        #[cfg(feature = "cuda")]
        if let Some(pinned) = &mut self.pinned {
            let target = &mut pinned.numbers.as_mut_slice().w()?[..count];
            let copied = super::launch::with_address(source, |address, stream| {
                // SAFETY: the source has as many; the target is pinned, and is not read before the event.
                unsafe { result::memcpy_dtoh_async(target, address, stream.cu_stream()) }.w()?;
                stream.record_event(None).w()
            })?;
            pinned.copied = Some(copied);
            return Ok(());
        }
        let numbers = source.flatten_all()?.narrow(0, 0, count)?.to_vec1()?;
        self.numbers[..count].copy_from_slice(&numbers);
        Ok(())
    }

    /// Waits for the last copy and returns the numbers.
    ///
    /// # Errors
    /// Fails if the driver does, or if the device failed.
    pub(crate) fn wait(&mut self) -> Result<&mut [u32]> {
        #[cfg(feature = "cuda")]
        if let Some(pinned) = &mut self.pinned {
            if let Some(copied) = pinned.copied.take() {
                copied.synchronize().w()?;
            }
            return pinned.numbers.as_mut_slice().w();
        }
        Ok(&mut self.numbers)
    }
}

/// Fails unless a contiguous tensor has this many numbers.
fn require_room(tensor: &Tensor, count: usize) -> Result<()> {
    require(&[tensor], DType::U32)?;
    if !tensor.is_contiguous() || tensor.elem_count() < count {
        bail!("a copy of {count} numbers was given {tensor:?}");
    }
    Ok(())
}

/// Returns spare memory for this many numbers. If there is only smaller, some of it is freed.
#[cfg(feature = "cuda")]
fn take_spare(count: usize) -> Option<PinnedHostSlice<u32>> {
    let mut spare = SPARE.lock().unwrap_or_else(PoisonError::into_inner);
    let large = spare.iter().position(|numbers| numbers.len() >= count);
    if large.is_none() {
        spare.pop();
    }
    large.map(|index| spare.swap_remove(index))
}

#[cfg(feature = "cuda")]
fn allocate(count: usize, device: &CudaDevice) -> Result<PinnedHostSlice<u32>> {
    // SAFETY: the numbers are written below, before anything reads them. The flags ask for memory that the CPU reads fast.
    let mut numbers = unsafe { device.cuda_stream().context().alloc_pinned_with_flags::<u32>(count, 0) }.w()?;
    numbers.as_mut_slice().w()?.fill(0);
    Ok(numbers)
}

#[cfg(feature = "cuda")]
impl Drop for Transfer {
    fn drop(&mut self) {
        let Some(Pinned { copied, numbers }) = self.pinned.take() else { return };
        // The memory is free after the copy. After an error of the device there is none, and it is not used again.
        if copied.is_none_or(|copied| copied.synchronize().is_ok()) {
            SPARE.lock().unwrap_or_else(PoisonError::into_inner).push(numbers);
        }
    }
}
