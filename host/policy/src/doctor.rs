//! The check of a CUDA device: every kernel against its twin, and a small model against the CPU.
//!
//! The kernels are tested on CPUs, in an emulation that cannot see all that a device does. So a device is checked where it
//! is: by [`trust`] in short before its first run, and by [`examine`] at length. A kernel that disagrees is replaced by
//! candle's operations from then on.

use std::{fmt, path::Path as FilePath, time::Instant};

use candle_core::{DType, Device, Result as TensorResult, Tensor, Var};
use serde::{Deserialize, Serialize};

use crate::{
    cuda,
    device::{self, DevicePreference, Precision},
    error::{Error, Result},
    generate::sample::{Request, SampleConfig, Seed, sample},
    kernels::{AdamWStep, Group, Heads},
    model::{
        batch::{Batch, Sequence},
        gradient::{Checkpointing, Gradients},
        init::Normal,
        log_probs::log_probs,
    },
    ops::{
        Packed, Rotary, attend,
        path::{Op, Path, distrust},
        rms_norm, swiglu,
    },
    policy::Policy,
};

/// Largest allowed error in `f32`, relative to the largest number of the result or 1.
const BOUND_F32: f64 = 1e-4;
/// The same in `bf16`.
const BOUND_BF16: f64 = 2e-2;

/// The comparison of one computation on a device with the same one elsewhere.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Check {
    /// The operation or quantity.
    pub name: String,
    /// The number format on the device, `f32` or `bf16`.
    pub dtype: &'static str,
    /// Largest difference of an element, relative to the largest element or 1. Not a number if the device gave such.
    pub error: f64,
    /// Largest error at which the two agree.
    pub bound: f64,
    /// True if the error is within the bound.
    pub agrees: bool,
    /// The reason why the device gave no result.
    pub failure: Option<String>,
    /// Milliseconds of the kernel and of candle's operations in its place, for a training batch; `None` if not measured.
    pub times: Option<(f64, f64)>,
}

impl Check {
    fn new(name: &str, dtype: DType, error: Result<f64>) -> Self {
        let bound = if dtype == DType::BF16 { BOUND_BF16 } else { BOUND_F32 };
        let (error, failure) = match error {
            Ok(error) => (error, None),
            Err(error) => (f64::NAN, Some(chain(&error))),
        };
        let dtype = if dtype == DType::BF16 { "bf16" } else { "f32" };
        Self { name: name.to_owned(), dtype, error, bound, agrees: error <= bound, failure, times: None }
    }
}

/// Returns the first line of an error's text and those of its causes.
fn chain(error: &Error) -> String {
    let first_line = |error: &dyn std::error::Error| error.to_string().lines().next().unwrap_or_default().to_owned();
    let mut texts = vec![first_line(error)];
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        texts.push(first_line(error));
        source = error.source();
    }
    texts.join(": ")
}

/// The kernels that a device's check found wanting, as it is stored.
#[derive(Serialize, Deserialize)]
struct Verdict {
    card: String,
    distrusted: Vec<String>,
}

/// Checks the kernels on a device, unless `folder` holds the verdict of an earlier check of the same card, driver and
/// kernels, and keeps those that disagree from being used by this process. Returns their names. A verdict that cannot be
/// stored is found again by the next process.
pub fn trust(device: &Device, folder: Option<&FilePath>) -> Vec<String> {
    if device.is_cpu() {
        return Vec::new();
    }
    let card = format!("{}, {}, kernels {}", device::describe(device), device::driver(), cuda::fingerprint());
    let path = folder.map(|folder| folder.join(format!("{:016x}.json", fnv(card.as_bytes()))));
    let stored = path.as_ref().and_then(|path| std::fs::read(path).ok());
    let stored = stored.and_then(|text| serde_json::from_slice::<Verdict>(&text).ok());
    let verdict = stored.filter(|verdict| verdict.card == card).unwrap_or_else(|| {
        let failed: Vec<Check> = kernels(device).into_iter().filter(|check| !check.agrees).collect();
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

/// Returns the FNV-1a hash of bytes.
pub(crate) fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xCBF2_9CE4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3))
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
/// [`Error::CudaNotBuilt`] and [`Error::NoCudaDevice`].
pub fn examine() -> Result<Examination> {
    let device = DevicePreference::Cuda.open()?;
    let mut checks = kernels(&device);
    for check in &mut checks {
        check.times = times(check, &device).ok();
    }
    checks.extend(model(&device));
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

/// The processor and memory that runs without a CUDA device use.
#[derive(Debug, Clone, Serialize)]
pub struct Machine {
    /// Threads that run at the same time.
    pub threads: usize,
    /// Instruction sets that the CPU kernels choose between, from the narrowest.
    pub instruction_sets: Vec<&'static str>,
    /// Memory in bytes; `None` where the system does not tell.
    pub memory: Option<u64>,
    /// The device of `model.device = "auto"`.
    pub device: String,
}

impl Machine {
    /// Reads the facts of this machine.
    ///
    /// # Errors
    /// Fails if the device cannot be opened.
    pub fn read() -> Result<Self> {
        Ok(Self {
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            instruction_sets: instruction_sets(),
            memory: memory(),
            device: device::describe(&DevicePreference::Auto.open()?),
        })
    }
}

fn instruction_sets() -> Vec<&'static str> {
    let mut sets = Vec::new();
    #[cfg(target_arch = "x86_64")]
    {
        let known = [
            ("avx2", is_x86_feature_detected!("avx2")),
            ("fma", is_x86_feature_detected!("fma")),
            ("avx512f", is_x86_feature_detected!("avx512f")),
            ("avx512bf16", is_x86_feature_detected!("avx512bf16")),
        ];
        sets.extend(known.into_iter().filter_map(|(name, there)| there.then_some(name)));
    }
    #[cfg(target_arch = "aarch64")]
    sets.push("neon");
    sets
}

/// Returns the memory that Linux tells in `/proc/meminfo`, in bytes.
fn memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    Some(total.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "threads           {}", self.threads)?;
        writeln!(f, "instruction sets  {}", self.instruction_sets.join(", "))?;
        if let Some(memory) = self.memory {
            writeln!(f, "memory            {:.1} GiB", memory as f64 / (1u64 << 30) as f64)?;
        }
        write!(f, "device            {}", self.device)
    }
}

/// Checks every kernel on a device.
fn kernels(device: &Device) -> Vec<Check> {
    let types = [DType::F32, DType::BF16];
    let mut checks: Vec<Check> = Case::small()
        .into_iter()
        .flat_map(|case| types.map(|dtype| Check::new(case.op.name(), dtype, case.error(device, dtype))))
        .collect();
    type Error = fn(&Device, DType) -> Result<f64>;
    let others: [(Op, Error); 3] =
        [(Op::DecodingAttention, decoding_error), (Op::TokenStats, token_stats_error), (Op::Draw, draw_error)];
    for (op, error) in others {
        checks.extend(types.map(|dtype| Check::new(op.name(), dtype, error(device, dtype))));
    }
    checks.push(Check::new(Op::AdamW.name(), DType::F32, adamw_error(device)));
    checks
}

type Function = Box<dyn Fn(&[Tensor]) -> TensorResult<Tensor>>;

/// A differentiable operation with the shapes of its arguments.
struct Case {
    op: Op,
    shapes: Vec<Vec<usize>>,
    function: Function,
}

impl Case {
    /// Returns each operation with shapes that no tile or block divides.
    fn small() -> Vec<Self> {
        let groups = vec![
            Group { start: 0, prompt: 5, completions: vec![3, 0, 1, 70] },
            Group { start: 79, prompt: 45, completions: vec![] },
        ];
        Self::with_rows(124, 77, Heads { query: 6, kv: 2, dim: 40 }, groups)
    }

    /// Returns each operation as in a training batch of a model of 135 million weights: 8 prompts of 64 tokens, with 8
    /// completions of 128 tokens each.
    fn large() -> Vec<Self> {
        let rows = 64 + 8 * 128;
        let group = |index| Group { start: index * rows, prompt: 64, completions: vec![128; 8] };
        Self::with_rows(8 * rows, 1536, Heads { query: 9, kv: 3, dim: 64 }, (0..8).map(group).collect())
    }

    fn with_rows(rows: usize, width: usize, heads: Heads, groups: Vec<Group>) -> Vec<Self> {
        let (q_width, kv_width) = (heads.query * heads.dim, heads.kv * heads.dim);
        let case = |op, shapes, function| Self { op, shapes, function };
        let frequencies: Vec<f64> = (0..heads.dim / 2).map(|i| 0.8f64.powi(i as i32)).collect();
        let positions: Vec<usize> = (0..rows).map(|row| row * 7 % 500).collect();
        vec![
            case(
                Op::RmsNorm,
                vec![vec![rows, q_width], vec![q_width]],
                Box::new(|args| rms_norm(&args[0], &args[1], 1e-5)),
            ),
            case(
                Op::Rotary,
                vec![vec![rows, q_width]],
                Box::new(move |args| {
                    Rotary::at(&positions, &frequencies, args[0].dtype(), args[0].device())?.rotate(&args[0])
                }),
            ),
            case(Op::SwiGlu, vec![vec![rows, width]; 2], Box::new(|args| swiglu(&args[0], &args[1]))),
            case(
                Op::Attention,
                vec![vec![rows, q_width], vec![rows, kv_width], vec![rows, kv_width]],
                Box::new(move |args| {
                    let packed = std::sync::Arc::new(Packed::new(groups.clone()));
                    attend(heads, &packed, &args[0], &args[1], &args[2])
                }),
            ),
        ]
    }

    /// Returns the error of the kernel's value and gradients on a device against the twin in `f64` on the CPU.
    fn error(&self, device: &Device, dtype: DType) -> Result<f64> {
        let arguments = self.arguments(dtype)?;
        let got = Path::CudaKernel.force(|| self.run(&arguments, device, dtype))?;
        let want = Path::Composed.force(|| self.run(&arguments, &Device::Cpu, DType::F64))?;
        largest(&got, &want)
    }

    /// Returns random arguments, rounded to `dtype`.
    fn arguments(&self, dtype: DType) -> Result<Vec<Tensor>> {
        let mut normal = Normal::new(5);
        let mut random = |shape: &Vec<usize>| Ok(numbers(&mut normal, shape, &Device::Cpu)?.to_dtype(dtype)?);
        self.shapes.iter().map(&mut random).collect()
    }

    /// Returns the value and the gradients of all arguments under a random upstream gradient.
    fn run(&self, arguments: &[Tensor], device: &Device, dtype: DType) -> Result<Vec<Tensor>> {
        let variable = |argument: &Tensor| Var::from_tensor(&argument.to_dtype(dtype)?.to_device(device)?.copy()?);
        let variables = arguments.iter().map(variable).collect::<TensorResult<Vec<_>>>()?;
        let tensors: Vec<Tensor> = variables.iter().map(|variable| variable.as_tensor().clone()).collect();
        let value = (self.function)(&tensors)?;
        let upstream = numbers(&mut Normal::new(6), value.dims(), &Device::Cpu)?;
        let upstream = upstream.to_dtype(DType::BF16)?.to_dtype(value.dtype())?.to_device(device)?;
        let grads = (&value * upstream)?.sum_all()?.backward()?;
        let mut results = vec![value.detach()];
        for variable in &variables {
            results.push(grads.get(variable).cloned().map_or_else(|| variable.zeros_like(), Ok)?);
        }
        Ok(results)
    }
}

fn numbers(normal: &mut Normal, shape: &[usize], device: &Device) -> TensorResult<Tensor> {
    Tensor::from_vec(normal.values(shape.iter().product(), 1.0), shape, device)
}

/// Returns the largest difference of an element of any tensor, relative to the tensor's largest element or 1.
fn largest(got: &[Tensor], want: &[Tensor]) -> Result<f64> {
    let mut largest = 0.0;
    for (got, want) in got.iter().zip(want) {
        let wide =
            |tensor: &Tensor| tensor.to_device(&Device::Cpu)?.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>();
        let (got, want) = (wide(got)?, wide(want)?);
        let scale = want.iter().fold(1.0, |most: f64, value| most.max(value.abs()));
        let error = got.iter().zip(&want).map(|(got, want)| (got - want).abs() / scale);
        // A NaN is kept, which `max` would drop.
        largest = error.fold(largest, |most, error| if error <= most { most } else { error });
    }
    Ok(largest)
}

/// Writes a cache and attends to it.
fn decoding_error(device: &Device, dtype: DType) -> Result<f64> {
    let heads = Heads { query: 6, kv: 2, dim: 40 };
    let (places, q_width, kv_width) = (300, heads.query * heads.dim, heads.kv * heads.dim);
    // A row with one place, fewer than the kernel has warps, one with several spans, and one with an unused span between.
    let spans: [[[usize; 2]; 3]; 3] =
        [[[7, 1], [0, 0], [0, 0]], [[64, 64], [192, 3], [0, 37]], [[130, 5], [0, 0], [9, 60]]];
    let mut normal = Normal::new(9);
    let mut random = |shape: &[usize]| numbers(&mut normal, shape, &Device::Cpu)?.to_dtype(dtype);
    let q = random(&[spans.len(), q_width])?;
    let (keys, values) = (random(&[places, kv_width])?, random(&[places, kv_width])?);

    let pool = || Tensor::zeros((places, kv_width), dtype, device)?.copy();
    let (key_pool, value_pool) = (pool()?, pool()?);
    let order: Vec<u32> = (0..places as u32).map(|i| i * 7 % places as u32).collect();
    let order = Tensor::new(order.as_slice(), &Device::Cpu)?;
    let rows = |x: &Tensor| x.index_select(&order, 0)?.to_device(device);
    cuda::decoding::write(&order.to_device(device)?, &rows(&keys)?, &rows(&values)?, &key_pool, &value_pool)?;
    let table: Vec<u32> = spans.iter().flatten().flatten().map(|number| *number as u32).collect();
    let table = Tensor::from_vec(table, (spans.len(), spans[0].len(), 2), device)?;
    let got = cuda::decoding::attend(heads, &q.to_device(device)?, &key_pool, &value_pool, &table)?;

    let of_row = |(row, spans): (usize, &[[usize; 2]; 3])| {
        let ids: Vec<u32> =
            spans.iter().flat_map(|[first, count]| (*first..first + count).map(|id| id as u32)).collect();
        let ids = Tensor::new(ids, &Device::Cpu)?;
        let pick = |pool: &Tensor| {
            let rows = pool.to_dtype(DType::F64)?.index_select(&ids, 0)?;
            rows.reshape(((), heads.kv, heads.dim))?.transpose(0, 1)?.contiguous()
        };
        let q = (q.narrow(0, row, 1)?.to_dtype(DType::F64)? * heads.scale())?;
        let q = q.reshape((heads.kv, heads.repeats(), heads.dim))?;
        let weights = candle_nn::ops::softmax_last_dim(&q.matmul(&pick(&keys)?.t()?.contiguous()?)?)?;
        weights.matmul(&pick(&values)?)?.reshape((1, q_width))
    };
    let want = spans.iter().enumerate().map(of_row).collect::<TensorResult<Vec<_>>>()?;
    largest(&[got], &[Tensor::cat(&want, 0)?])
}

/// Returns by how much a drawn token's interval of the running sum misses its uniform number, or its log-probability is
/// wrong.
fn draw_error(device: &Device, dtype: DType) -> Result<f64> {
    let (rows, width, temperature) = (40, 1237, 0.7);
    let logits = (numbers(&mut Normal::new(10), &[rows, width], &Device::Cpu)? * 2.0)?.to_dtype(dtype)?;
    let uniforms: Vec<f32> = (0..rows).map(|row| (row as f32 + 0.5) / rows as f32).collect();
    let on_device = Tensor::new(uniforms.as_slice(), device)?;
    let (tokens, log_probs) = cuda::draw::draw(&logits.to_device(device)?, &on_device, temperature)?;
    let (tokens, log_probs) = (tokens.to_vec1::<u32>()?, log_probs.to_vec1::<f32>()?);
    let mut largest = 0.0;
    for (row, logits) in logits.to_dtype(DType::F64)?.to_vec2::<f64>()?.iter().enumerate() {
        let (token, uniform) = (tokens[row] as usize, f64::from(uniforms[row]));
        if tokens[row] == cuda::draw::NONE || token >= width {
            return Ok(f64::INFINITY);
        }
        let weights: Vec<f64> = logits.iter().map(|logit| (logit / temperature).exp()).collect();
        let total: f64 = weights.iter().sum();
        let before = weights[..token].iter().sum::<f64>() / total;
        let p = weights[token] / total;
        let errors = [before - uniform, uniform - before - p, (f64::from(log_probs[row]) - p.ln()).abs()];
        // A NaN is kept, which `max` would drop.
        largest = errors.into_iter().fold(largest, |most, error| if error <= most { most } else { error });
    }
    Ok(largest)
}

fn token_stats_error(device: &Device, dtype: DType) -> Result<f64> {
    let (rows, width) = (67, 1237);
    let logits = (numbers(&mut Normal::new(7), &[rows, width], &Device::Cpu)? * 4.0)?.to_dtype(dtype)?;
    let targets: Vec<u32> = (0..rows as u32).map(|row| row * 97 % width as u32).collect();
    let on_device = logits.to_device(device)?.copy()?;
    let (log_probs, entropies) =
        cuda::token_stats::in_place(&on_device, &Tensor::new(targets.as_slice(), device)?, true)?;

    let rows = logits.to_dtype(DType::F64)?.to_vec2::<f64>()?;
    let (mut want_log_probs, mut want_entropies, mut want_softmax) = (Vec::new(), Vec::new(), Vec::new());
    for (row, target) in rows.iter().zip(&targets) {
        let log_sum = row.iter().map(|logit| logit.exp()).sum::<f64>().ln();
        want_log_probs.push(row[*target as usize] - log_sum);
        want_entropies.push(-row.iter().map(|logit| (logit - log_sum).exp() * (logit - log_sum)).sum::<f64>());
        want_softmax.extend(row.iter().map(|logit| (logit - log_sum).exp()));
    }
    let tensor = |values: Vec<f64>| Tensor::new(values, &Device::Cpu);
    let want = [tensor(want_log_probs)?, tensor(want_entropies)?, tensor(want_softmax)?];
    largest(&[log_probs, entropies, on_device], &want)
}

fn adamw_error(device: &Device) -> Result<f64> {
    let mut normal = Normal::new(8);
    let mut random = || numbers(&mut normal, &[1237], &Device::Cpu);
    let (w, m, v, grad) = (random()?, random()?, random()?.abs()?, random()?);
    let step =
        AdamWStep { mean: [0.9, 0.1], square: [0.999, 0.001], decay: 0.99, rate: 0.01, root_bias: 1.5, epsilon: 1e-8 };
    let on_device = |tensor: &Tensor| tensor.to_device(device)?.copy();
    let (got_w, got_m, got_v) = (on_device(&w)?, on_device(&m)?, on_device(&v)?);
    cuda::adamw::apply(&got_w, &got_m, &got_v, &grad.to_device(device)?, &step)?;

    let wide = |tensor: &Tensor| tensor.to_dtype(DType::F64);
    let (w, m, v, grad) = (wide(&w)?, wide(&m)?, wide(&v)?, wide(&grad)?);
    let m = ((m * f64::from(step.mean[0]))? + (&grad * f64::from(step.mean[1]))?)?;
    let v = ((v * f64::from(step.square[0]))? + (grad.sqr()? * f64::from(step.square[1]))?)?;
    let root = ((v.sqrt()? * f64::from(step.root_bias))? + f64::from(step.epsilon))?;
    let w = ((w * f64::from(step.decay))? - ((&m * f64::from(step.rate))? / root)?)?;
    largest(&[got_w, got_m, got_v], &[w, m, v])
}

/// Returns the milliseconds of an operation's value and gradients by the kernel, and by candle's operations.
fn times(check: &Check, device: &Device) -> Result<(f64, f64)> {
    let dtype = if check.dtype == "bf16" { DType::BF16 } else { DType::F32 };
    let Some(case) = Case::large().into_iter().find(|case| case.op.name() == check.name) else {
        return Err(Error::setting("times", "are measured for differentiable operations only"));
    };
    let arguments = case.arguments(dtype)?;
    let time = |path: Path| {
        path.force(|| -> Result<f64> {
            // The first run compiles and warms up.
            case.run(&arguments, device, dtype)?;
            device.synchronize()?;
            let start = Instant::now();
            let rounds = 3;
            for _ in 0..rounds {
                case.run(&arguments, device, dtype)?;
            }
            device.synchronize()?;
            Ok(start.elapsed().as_secs_f64() * 1e3 / f64::from(rounds))
        })
    };
    Ok((time(Path::CudaKernel)?, time(Path::Fused)?))
}

/// Compares the embedded model on a device with the same on the CPU.
fn model(device: &Device) -> Vec<Check> {
    let mut checks = Vec::new();
    for precision in [Precision::F32, Precision::Bf16] {
        let dtype = precision.dtype();
        checks.push(Check::new("model: log-probabilities", dtype, log_probs_error(device, dtype)));
        checks.push(Check::new("model: gradients", dtype, gradients_error(device, dtype)));
    }
    checks.push(Check::new("model: greedy text", DType::F32, greedy_error(device)));
    checks
}

fn policy(device: &Device, dtype: DType) -> Result<Policy> {
    let policy = Policy::tiny(1, device)?;
    Ok(Policy { transformer: policy.transformer.computing_in(dtype), ..policy })
}

fn sequences() -> Vec<Sequence> {
    let tokens = |seed: usize, count: usize| (0..count).map(|i| ((seed * 31 + i * 17) % 90 + 3) as u32).collect();
    (0..6).map(|i| Sequence { prompt: tokens(i / 3, 9 + i / 3 * 30), completion: tokens(i + 10, 5 + 9 * i) }).collect()
}

fn log_probs_error(device: &Device, dtype: DType) -> Result<f64> {
    let of = |device: &Device, dtype| -> Result<Tensor> {
        let values = log_probs(&policy(device, dtype)?.transformer, &sequences(), 1.0, 1 << 20)?;
        Ok(Tensor::new(values.concat(), &Device::Cpu)?)
    };
    largest(&[of(device, dtype)?], &[of(&Device::Cpu, DType::F32)?])
}

fn gradients_error(device: &Device, dtype: DType) -> Result<f64> {
    let of = |device: &Device, dtype| -> Result<Vec<Tensor>> {
        let model = policy(device, dtype)?.transformer;
        let model = model.map(&mut |_, weight| Ok(Var::from_tensor(&weight.copy()?)?.into_inner()))?;
        let sequences = sequences();
        let batch = Batch::from_sequences(&sequences.iter().collect::<Vec<_>>());
        let tokens = batch.targets.len() as f64;
        let mut grads = Gradients::default();
        model.add_gradient(&batch, 1.0, Checkpointing::Off, &mut grads, &mut |_, prediction| {
            Ok((prediction.log_probs.sum_all()? / tokens)?)
        })?;
        let grads = grads.into_inner();
        let of_variable = |(_, variable): (String, Var)| match grads.get(&variable) {
            Some(grad) => Ok(grad.clone()),
            None => Ok(variable.zeros_like()?),
        };
        model.trainable().into_iter().map(of_variable).collect()
    };
    largest(&of(device, dtype)?, &of(&Device::Cpu, DType::F32)?)
}

/// Returns the share of greedy completions that differ.
fn greedy_error(device: &Device) -> Result<f64> {
    let prompts = sequences();
    let of = |device: &Device| {
        let requests: Vec<Request<'_>> = prompts
            .iter()
            .map(|sequence| Request { prompt: &sequence.prompt, seed: Seed { run: 0, step: 0, sample: 0 } })
            .collect();
        let config = SampleConfig { temperature: 0.0, max_new_tokens: 12, ..SampleConfig::default() };
        sample(&policy(device, DType::F32)?, &requests, &config)
    };
    let (got, want) = (of(device)?, of(&Device::Cpu)?);
    let different = got.iter().zip(&want).filter(|(got, want)| got.tokens != want.tokens).count();
    Ok(different as f64 / want.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checks_of_kernels_pass_in_the_emulation() {
        if !cuda::can_emulate() {
            return;
        }
        let checks = kernels(&Device::Cpu);
        assert_eq!(checks.len(), 2 * 4 + 2 * 3 + 1);
        for check in checks {
            assert!(check.agrees, "{check:?}");
        }
    }

    #[test]
    fn the_checks_of_a_model_pass_on_the_implementations_for_devices() {
        for path in [Path::Fused, Path::CudaKernel] {
            if path == Path::Fused || cuda::can_emulate() {
                for check in path.force(|| model(&Device::Cpu)) {
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
