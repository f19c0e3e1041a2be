//! Differentiable operations: the kernels' values and gradients against the twins.

use alft_kernels::{Activation, Group, Heads, NormConstants};
use std::{sync::Arc, time::Instant};

use candle_core::{DType, Device, Result as TensorResult, Tensor, Var};

use super::check::{Check, largest, numbers};
use crate::{
    error::{Error, Result},
    model::init::Normal,
    ops::{
        Dropout, Packed, Rotary, attend, glu,
        path::{Op, Path},
        rms_norm,
    },
};

/// Checks every differentiable operation on a device.
pub(super) fn operations(device: &Device) -> Vec<Check> {
    let of = |case: Case| {
        [DType::F32, DType::BF16].map(|dtype| Check::new(case.op.name(), dtype, case.error(device, dtype)))
    };
    Case::small().into_iter().flat_map(of).collect()
}

type Function = Box<dyn Fn(&[Tensor]) -> TensorResult<Tensor>>;

/// A differentiable operation with the shapes of its arguments.
struct Case {
    op: Op,
    shapes: Vec<Vec<usize>>,
    function: Function,
}

impl Case {
    /// Returns each operation with shapes that no tile or block divides, a window that ends within one, and wide heads.
    fn small() -> Vec<Self> {
        let groups = vec![
            Group { start: 0, prompt: 5, completions: vec![3, 0, 1, 70] },
            Group { start: 79, prompt: 45, completions: vec![] },
        ];
        let mut cases = Self::with_rows(124, 77, Heads { window: 40, ..Heads::new(6, 2, 40) }, groups);
        let wide = vec![Group { start: 0, prompt: 5, completions: vec![40, 3] }];
        cases.push(Self::attention(48, Heads::new(2, 1, 136), wide));
        cases
    }

    /// Returns attention over a batch of this many rows.
    fn attention(rows: usize, heads: Heads, groups: Vec<Group>) -> Self {
        let (q_width, kv_width) = (heads.query * heads.dim, heads.kv * heads.dim);
        let function: Function = Box::new(move |args| {
            let packed = Arc::new(Packed::new(groups.clone()));
            attend(heads, &packed, &args[0], &args[1], &args[2])
        });
        let shapes = vec![vec![rows, q_width], vec![rows, kv_width], vec![rows, kv_width]];
        Self { op: Op::Attention, shapes, function }
    }

    /// Returns each operation as in a training batch of a model of 135 million weights: 8 prompts of 64 tokens, with 8
    /// completions of 128 tokens each.
    fn large() -> Vec<Self> {
        let rows = 64 + 8 * 128;
        let group = |index| Group { start: index * rows, prompt: 64, completions: vec![128; 8] };
        Self::with_rows(8 * rows, 1536, Heads::new(9, 3, 64), (0..8).map(group).collect())
    }

    fn with_rows(rows: usize, width: usize, heads: Heads, groups: Vec<Group>) -> Vec<Self> {
        let q_width = heads.query * heads.dim;
        let case = |op, shapes, function: Function| Self { op, shapes, function };
        let frequencies: Vec<f64> = (0..heads.dim / 2).map(|i| 0.8f64.powi(i as i32)).collect();
        let positions: Vec<usize> = (0..rows).map(|row| row * 7 % 500).collect();
        let gated = |op, activation| {
            case(op, vec![vec![rows, width]; 2], Box::new(move |args| glu(activation, &args[0], &args[1])))
        };
        vec![
            case(
                Op::RmsNorm,
                vec![vec![rows, q_width], vec![q_width]],
                Box::new(|args| rms_norm(&args[0], &args[1], NormConstants { epsilon: 1e-5, offset: 1.0 })),
            ),
            case(
                Op::Rotary,
                vec![vec![rows, q_width]],
                Box::new(move |args| {
                    Rotary::at(&positions, &frequencies, 1.2, args[0].dtype(), args[0].device())?.rotate(&args[0])
                }),
            ),
            gated(Op::SwiGlu, Activation::Silu),
            gated(Op::GeGlu, Activation::GeluTanh),
            case(
                Op::Dropout,
                vec![vec![rows, width]],
                Box::new(|args| Dropout { rate: 0.1, key: Some(1) }.apply(&args[0])),
            ),
            Self::attention(rows, heads, groups),
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

/// Returns the milliseconds of an operation's value and gradients by the kernel, and by candle's operations.
pub(super) fn times(check: &Check, device: &Device) -> Result<(f64, f64)> {
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
