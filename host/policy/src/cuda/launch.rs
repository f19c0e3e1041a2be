//! The launch of a kernel.

use candle_core::{DType, Result, Tensor, bail};

/// A launch. The kernel's parameters are pointers to `inputs`, `updates` and `outputs`, and to tables of the addresses of
/// `lists`, followed by `numbers`.
#[cfg_attr(not(any(test, feature = "cuda")), expect(dead_code, reason = "a build without CUDA launches nothing"))]
pub(super) struct Launch<'a> {
    /// The source file, without its extension.
    pub(super) module: &'static str,
    /// The kernel's symbol.
    pub(super) kernel: String,
    /// Blocks in each direction; both at least 1.
    pub(super) grid: [usize; 2],
    /// Threads of a block, a multiple of 32.
    pub(super) threads: usize,
    /// Bytes of shared memory that a block asks for at the launch.
    pub(super) shared: usize,
    /// Contiguous tensors that the kernel reads.
    pub(super) inputs: &'a [&'a Tensor],
    /// Contiguous tensors that the kernel changes in place.
    pub(super) updates: &'a [&'a Tensor],
    /// Shapes and types of the new tensors that the kernel fills.
    pub(super) outputs: &'a [(&'a [usize], DType)],
    /// Lists of contiguous tensors that the kernel reads or changes in place.
    pub(super) lists: &'a [&'a [&'a Tensor]],
    pub(super) numbers: &'a [Number],
}

/// A parameter that is a number.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(not(any(test, feature = "cuda")), expect(dead_code, reason = "a build without CUDA launches nothing"))]
pub(super) enum Number {
    U32(u32),
    F32(f32),
}

/// Returns the threads of a block that has a row of this width: a warp for every 64 elements, up to `most` threads.
pub(super) fn row_threads(width: usize, most: usize) -> usize {
    (width.div_ceil(64) * 32).min(most)
}

/// Returns a number of elements as a parameter, or an error if the kernels' indices cannot count so far.
pub(super) fn count(elements: usize) -> Result<Number> {
    match i32::try_from(elements) {
        Ok(count) => Ok(Number::U32(count as u32)),
        Err(_) => bail!("a kernel cannot work on {elements} elements at once"),
    }
}

/// Returns the ending of the symbols of kernels for the type of these tensors, which must have the same: a kernel reads
/// another type as numbers of its own, and beyond the end of the memory.
pub(super) fn suffix(tensors: &[&Tensor]) -> Result<&'static str> {
    let dtype = tensors[0].dtype();
    require(tensors, dtype)?;
    match dtype {
        DType::F32 => Ok("f32"),
        DType::BF16 => Ok("bf16"),
        other => bail!("there is no kernel for {other:?}"),
    }
}

/// Fails unless the tensors are of this type.
pub(super) fn require(tensors: &[&Tensor], dtype: DType) -> Result<()> {
    match tensors.iter().find(|tensor| tensor.dtype() != dtype) {
        Some(other) => bail!("a kernel for {dtype:?} was given a tensor of {:?}", other.dtype()),
        None => Ok(()),
    }
}

/// Returns a fingerprint of the kernels of this build.
pub(crate) fn fingerprint() -> String {
    #[cfg(feature = "cuda")]
    let text = cuda::MODULES.map(|(_, ptx)| ptx).concat();
    #[cfg(not(feature = "cuda"))]
    let text = "";
    format!("{:016x}", crate::digest::fnv(text.as_bytes()))
}

impl Launch<'_> {
    /// Runs the kernel and returns its outputs.
    pub(super) fn run<const N: usize>(self) -> Result<[Tensor; N]> {
        for tensor in self.inputs.iter().chain(self.updates).chain(self.lists.iter().copied().flatten()) {
            if !tensor.is_contiguous() {
                bail!("{} was given a tensor that is not contiguous", self.kernel);
            }
        }
        let outputs = self.run_on_device()?;
        match outputs.try_into() {
            Ok(outputs) => Ok(outputs),
            Err(_) => bail!("a kernel has another number of outputs than its caller expects"),
        }
    }

    fn run_on_device(&self) -> Result<Vec<Tensor>> {
        let first = self.inputs.first().or(self.updates.first());
        match first.map(|tensor| tensor.device()) {
            #[cfg(feature = "cuda")]
            Some(candle_core::Device::Cuda(device)) => cuda::run(self, device),
            #[cfg(test)]
            Some(candle_core::Device::Cpu) => super::emulation::run(self),
            _ => bail!("{} of {}.cu was called for a tensor that is not on a CUDA device", self.kernel, self.module),
        }
    }
}

#[cfg(feature = "cuda")]
pub(super) use self::cuda::with_address;

#[cfg(feature = "cuda")]
mod cuda {
    use std::{cell::RefCell, collections::HashMap};

    use candle_core::{
        CudaDevice, CudaStorage, DType, Result, Shape, Storage, Tensor, bail,
        cuda_backend::{
            CudaStorageSlice, WrapErr,
            cudarc::driver::{
                CudaFunction, CudaStream, DevicePtr, DeviceRepr, LaunchConfig, PushKernelArg, SyncOnDrop,
                sys::CUfunction_attribute_enum::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES,
            },
        },
        op::BackpropOp,
    };

    use super::{Launch, Number};

    /// The kernels' PTX, which the build script compiled.
    #[expect(unreachable_pub, reason = "cudaforge writes this file")]
    mod ptx {
        include!(concat!(env!("OUT_DIR"), "/ptx.rs"));
    }

    /// Shared memory of a block that needs no permission.
    const SHARED: usize = 48 << 10;

    pub(super) const MODULES: [(&str, &str); 13] = [
        ("adamw", ptx::ADAMW),
        ("add_rows", ptx::ADD_ROWS),
        ("attention", ptx::ATTENTION),
        ("decoding", ptx::DECODING),
        ("draw", ptx::DRAW),
        ("dropout", ptx::DROPOUT),
        ("embed", ptx::EMBED),
        ("glu", ptx::GLU),
        ("merge", ptx::MERGE),
        ("rms_norm", ptx::RMS_NORM),
        ("rotary", ptx::ROTARY),
        ("tensor_attention", ptx::TENSOR_ATTENTION),
        ("token_stats", ptx::TOKEN_STATS),
    ];

    fn ptx(module: &str) -> Result<&'static str> {
        match MODULES.iter().find(|(name, _)| *name == module) {
            Some((_, ptx)) => Ok(ptx),
            None => bail!("there are no kernels of the name {module}"),
        }
    }

    thread_local! {
        /// The kernels that were launched before, by symbol. There is one device, and to ask the driver for a kernel takes as
        /// long as to launch it.
        static KERNELS: RefCell<HashMap<String, CudaFunction>> = RefCell::default();
    }

    fn kernel(launch: &Launch<'_>, device: &CudaDevice) -> Result<CudaFunction> {
        if let Some(known) = KERNELS.with_borrow(|kernels| kernels.get(&launch.kernel).cloned()) {
            return Ok(known);
        }
        // The names of candle's own modules are kept apart from these.
        let module = format!("alft_{}", launch.module);
        let function = device.get_or_load_custom_func(&launch.kernel, &module, ptx(launch.module)?)?;
        let function = function.into_cuda_function();
        KERNELS.with_borrow_mut(|kernels| kernels.insert(launch.kernel.clone(), function.clone()));
        Ok(function)
    }

    pub(super) fn run(launch: &Launch<'_>, device: &CudaDevice) -> Result<Vec<Tensor>> {
        let function = kernel(launch, device)?;
        if launch.shared > SHARED {
            function.set_attribute(CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, launch.shared as i32).w()?;
        }
        let stream = device.cuda_stream();
        let given: Vec<_> =
            launch.inputs.iter().chain(launch.updates).map(|tensor| tensor.storage_and_layout()).collect();
        let tables = launch.lists.iter().map(|list| addresses(list, device)).collect::<Result<Vec<_>>>()?;
        let listed: Vec<_> = tables.iter().map(|table| table.storage_and_layout()).collect();
        let outputs = launch.outputs.iter().map(|(shape, dtype)| allocate(device, shape.iter().product(), *dtype));
        let outputs = outputs.collect::<Result<Vec<_>>>()?;
        {
            // The guards record on the stream that the memory is in use; they are dropped after the launch.
            let mut pointers = Vec::new();
            for (storage, layout) in &given {
                match &**storage {
                    Storage::Cuda(storage) => pointers.push(pointer(storage, layout.start_offset(), &stream)?),
                    _ => bail!("{} was given tensors on several devices", launch.kernel),
                }
            }
            for storage in &outputs {
                pointers.push(pointer(storage, 0, &stream)?);
            }
            for (storage, layout) in &listed {
                match &**storage {
                    Storage::Cuda(storage) => pointers.push(pointer(storage, layout.start_offset(), &stream)?),
                    _ => bail!("{} was given tensors on several devices", launch.kernel),
                }
            }
            let mut arguments = stream.launch_builder(&function);
            for (pointer, _) in &pointers {
                arguments.arg(pointer);
            }
            for number in launch.numbers {
                match number {
                    Number::U32(number) => arguments.arg(number),
                    Number::F32(number) => arguments.arg(number),
                };
            }
            let config = LaunchConfig {
                grid_dim: (launch.grid[0] as u32, launch.grid[1] as u32, 1),
                block_dim: (launch.threads as u32, 1, 1),
                shared_mem_bytes: launch.shared as u32,
            };
            // SAFETY: the parameters are those of the kernel, which stays within the shapes that its caller gave; tests run the
            // same sources and callers in an emulation. All work of a device is on one stream, so nothing reads an update early.
            unsafe { arguments.launch(config) }.w()?;
        }
        let tensor = |(storage, (shape, _)): (CudaStorage, &(&[usize], DType))| {
            Tensor::from_storage(Storage::Cuda(storage), Shape::from_dims(shape), BackpropOp::none(), false)
        };
        Ok(outputs.into_iter().zip(launch.outputs).map(tensor).collect())
    }

    /// Returns the addresses of tensors, on the device. An address is two numbers, of which the lower half is first.
    fn addresses(tensors: &[&Tensor], device: &CudaDevice) -> Result<Tensor> {
        let stream = device.cuda_stream();
        let mut addresses = Vec::with_capacity(2 * tensors.len());
        for tensor in tensors {
            let (storage, layout) = tensor.storage_and_layout();
            let Storage::Cuda(storage) = &*storage else { bail!("a kernel was given tensors on several devices") };
            let (address, _) = pointer(storage, layout.start_offset(), &stream)?;
            addresses.extend([address as u32, (address >> 32) as u32]);
        }
        Tensor::new(addresses, &candle_core::Device::Cuda(device.clone()))
    }

    fn allocate(device: &CudaDevice, elements: usize, dtype: DType) -> Result<CudaStorage> {
        // SAFETY: the memory is not read before the kernel has filled it.
        let slice = unsafe {
            match dtype {
                DType::F32 => CudaStorageSlice::F32(device.alloc(elements)?),
                DType::BF16 => CudaStorageSlice::BF16(device.alloc(elements)?),
                DType::U32 => CudaStorageSlice::U32(device.alloc(elements)?),
                other => bail!("a kernel cannot fill a tensor of {other:?}"),
            }
        };
        Ok(CudaStorage { slice, device: device.clone() })
    }

    /// Calls `use_address` with the address of a tensor of a CUDA device, and with the stream of the device's work.
    pub(in crate::cuda) fn with_address<T>(
        tensor: &Tensor,
        use_address: impl FnOnce(u64, &CudaStream) -> Result<T>,
    ) -> Result<T> {
        let (storage, layout) = tensor.storage_and_layout();
        let Storage::Cuda(storage) = &*storage else { bail!("a tensor that is not on a CUDA device has no address") };
        let stream = storage.device.cuda_stream();
        let (address, _guard) = pointer(storage, layout.start_offset(), &stream)?;
        use_address(address, &stream)
    }

    /// Returns the address of an element on the device.
    fn pointer<'a>(storage: &'a CudaStorage, offset: usize, stream: &'a CudaStream) -> Result<(u64, SyncOnDrop<'a>)> {
        fn of<'a, T: DeviceRepr>(
            slice: &'a impl DevicePtr<T>,
            offset: usize,
            stream: &'a CudaStream,
        ) -> (u64, SyncOnDrop<'a>) {
            let (pointer, guard) = slice.device_ptr(stream);
            (pointer + (offset * size_of::<T>()) as u64, guard)
        }
        Ok(match &storage.slice {
            CudaStorageSlice::F32(slice) => of(slice, offset, stream),
            CudaStorageSlice::BF16(slice) => of(slice, offset, stream),
            CudaStorageSlice::U32(slice) => of(slice, offset, stream),
            _ => bail!("a kernel was given a tensor of a type that it cannot read"),
        })
    }
}
