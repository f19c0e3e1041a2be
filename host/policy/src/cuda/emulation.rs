//! Kernels on the CPU, for tests: the `.cu` files compiled by g++ against `emulation.h`, which says what tests on it can
//! and cannot see. Each launch runs twice, with the threads of a block in opposite orders, and both must agree in all
//! bits.

use std::{
    ffi::{CString, c_char, c_int, c_uint, c_void},
    path::Path,
    process::Command,
    sync::{Mutex, OnceLock},
};

use candle_core::{CpuStorage, DType, Device, Result, Storage, Tensor, bail};
use libloading::Library;

use super::launch::{Launch, Number};

type Emulate = unsafe extern "C" fn(*const c_char, c_uint, c_uint, c_uint, c_uint, c_int, *mut *mut c_void) -> c_int;

/// Returns true on Linux with a C++ compiler; says once if kernels are not tested.
pub(crate) fn can_emulate() -> bool {
    library().is_some()
}

/// The compiled kernels, one launch at a time: a block's shared memory is static. `None` without g++.
fn library() -> Option<&'static Mutex<Library>> {
    static LIBRARY: OnceLock<Option<Mutex<Library>>> = OnceLock::new();
    let compile = || {
        if !cfg!(target_os = "linux") || Command::new("g++").arg("--version").output().is_err() {
            eprintln!("this is not Linux, or g++ is not installed: the CUDA kernels are not tested");
            return None;
        }
        let dir = tempfile::tempdir().expect("a temporary folder");
        let object = dir.path().join("kernels.so");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cuda/emulation.cpp");
        let flags = ["-std=c++17", "-O1", "-shared", "-fPIC", "-Wall", "-Wno-unknown-pragmas"];
        let output = Command::new("g++")
            .args(flags)
            .args(["-DALFT_EMULATED", "-ffp-contract=off", "-o"])
            .args([&object, &source])
            .output()
            .expect("g++ starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        // SAFETY: the library was compiled from this crate's sources; loading it fills a table of kernels.
        Some(Mutex::new(unsafe { Library::new(&object) }.expect("the kernels load")))
    };
    LIBRARY.get_or_init(compile).as_ref()
}

/// Memory of a tensor, aligned as a device's is for every element type.
struct Memory(Vec<u128>);

impl Memory {
    /// Copies the elements of a contiguous tensor.
    fn of(tensor: &Tensor) -> Result<Self> {
        let size = tensor.elem_count() * tensor.dtype().size_in_bytes();
        let mut memory = Self::new(size);
        let (storage, layout) = tensor.storage_and_layout();
        let Storage::Cpu(storage) = &*storage else { bail!("the emulation was given a tensor on a device") };
        let start: *const u8 = match storage {
            CpuStorage::F32(values) => values[layout.start_offset()..].as_ptr().cast(),
            CpuStorage::BF16(values) => values[layout.start_offset()..].as_ptr().cast(),
            CpuStorage::U32(values) => values[layout.start_offset()..].as_ptr().cast(),
            _ => bail!("the emulation was given a tensor of {:?}", tensor.dtype()),
        };
        // SAFETY: both have at least `size` bytes, and the source is plain numbers.
        unsafe { std::ptr::copy_nonoverlapping(start, memory.0.as_mut_ptr().cast::<u8>(), size) };
        Ok(memory)
    }

    /// Returns memory in which every element is NaN.
    fn new(size: usize) -> Self {
        Self(vec![u128::MAX; size.div_ceil(16)])
    }

    fn tensor(&self, shape: &[usize], dtype: DType) -> Result<Tensor> {
        let size = shape.iter().product::<usize>() * dtype.size_in_bytes();
        let bytes: Vec<u8> = self.0.iter().flat_map(|word| word.to_ne_bytes()).take(size).collect();
        Tensor::from_raw_buffer(&bytes, dtype, shape, &Device::Cpu)
    }
}

/// Runs a kernel and returns its outputs.
pub(super) fn run(launch: &Launch<'_>) -> Result<Vec<Tensor>> {
    let (results, backwards) = (run_once(launch, false)?, run_once(launch, true)?);
    for (a, b) in results.iter().zip(&backwards) {
        assert_eq!(a.0, b.0, "the result of {} depends on the order of threads", launch.kernel);
    }
    let (updated, rest) = results.split_at(launch.updates.len());
    let (outputs, listed) = rest.split_at(launch.outputs.len());
    let lists = launch.lists.iter().copied().flatten();
    for (tensor, memory) in launch.updates.iter().zip(updated).chain(lists.zip(listed)) {
        tensor.slice_set(&memory.tensor(tensor.dims(), tensor.dtype())?, 0, 0)?;
    }
    outputs.iter().zip(launch.outputs).map(|(memory, (shape, dtype))| memory.tensor(shape, *dtype)).collect()
}

/// Returns the memory of the updates, the outputs and the listed tensors after one run.
fn run_once(launch: &Launch<'_>, backwards: bool) -> Result<Vec<Memory>> {
    let Some(library) = library() else { bail!("g++ is not installed") };
    let mut inputs = launch.inputs.iter().map(|tensor| Memory::of(tensor)).collect::<Result<Vec<_>>>()?;
    let mut changed = launch.updates.iter().map(|tensor| Memory::of(tensor)).collect::<Result<Vec<_>>>()?;
    let size = |(shape, dtype): &(&[usize], DType)| shape.iter().product::<usize>() * dtype.size_in_bytes();
    changed.extend(launch.outputs.iter().map(|output| Memory::new(size(output))));
    let mut listed = Vec::new();
    for list in launch.lists {
        listed.push(list.iter().map(|tensor| Memory::of(tensor)).collect::<Result<Vec<_>>>()?);
    }
    let mut tables: Vec<Vec<*mut c_void>> =
        listed.iter_mut().map(|list| list.iter_mut().map(|memory| memory.0.as_mut_ptr().cast()).collect()).collect();
    let mut pointers: Vec<*mut c_void> =
        inputs.iter_mut().chain(&mut changed).map(|memory| memory.0.as_mut_ptr().cast()).collect();
    pointers.extend(tables.iter_mut().map(|table| table.as_mut_ptr().cast::<c_void>()));
    let mut arguments: Vec<*mut c_void> =
        pointers.iter_mut().map(|pointer| std::ptr::from_mut(pointer).cast()).collect();
    let mut numbers: Vec<u32> = launch
        .numbers
        .iter()
        .map(|number| match number {
            Number::U32(number) => *number,
            Number::F32(number) => number.to_bits(),
        })
        .collect();
    arguments.extend(numbers.iter_mut().map(|number| std::ptr::from_mut(number).cast::<c_void>()));
    let name = CString::new(launch.kernel.as_str()).expect("a symbol");
    let library = library.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    // SAFETY: the function has this type in emulation.cpp; the arguments live until it returns.
    let code = unsafe {
        let emulate = library.get::<Emulate>(b"emulate").expect("the symbol is there");
        emulate(
            name.as_ptr(),
            launch.grid[0] as c_uint,
            launch.grid[1] as c_uint,
            launch.threads as c_uint,
            launch.shared as c_uint,
            backwards.into(),
            arguments.as_mut_ptr(),
        )
    };
    match code {
        0 => {
            changed.extend(listed.into_iter().flatten());
            Ok(changed)
        }
        1 => bail!("there is no kernel {}", launch.kernel),
        2 => bail!("no device accepts this launch of {}", launch.kernel),
        _ => bail!("the threads of {} wait at different barriers", launch.kernel),
    }
}

fn faulty(kernel: &str) -> Result<Vec<Tensor>> {
    let x = crate::ops::noise(&[64], 1);
    run(&Launch {
        module: "emulation",
        kernel: kernel.to_owned(),
        grid: [1, 1],
        threads: 64,
        shared: 0,
        inputs: &[&x],
        updates: &[],
        outputs: &[(&[64], DType::F32)],
        lists: &[],
        numbers: &[],
    })
}

#[test]
#[should_panic(expected = "depends on the order of threads")]
fn a_missing_barrier_is_found() {
    assert!(can_emulate(), "depends on the order of threads");
    let _ = faulty("faulty_race");
}

#[test]
fn a_barrier_that_some_threads_miss_is_found() {
    if can_emulate() {
        assert!(faulty("faulty_barrier").unwrap_err().to_string().contains("different barriers"));
    }
}
