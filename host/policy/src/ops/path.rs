//! The implementation that an operation runs on.

use std::{
    cell::Cell,
    sync::atomic::{AtomicU32, Ordering},
};

use candle_core::{DType, Tensor};

use alft_kernels::Activation;

/// An operation with more than one implementation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Op {
    RmsNorm,
    Rotary,
    SwiGlu,
    GeGlu,
    Attention,
    DecodingAttention,
    /// A whole step of decoding by fused kernels, recorded on a device.
    DecodingStep,
    TokenStats,
    Draw,
    Dropout,
    AddRows,
    AdamW,
    /// The weights of a model in the form that a step of fused kernels reads.
    Merge,
}

impl Op {
    pub(crate) const ALL: [Op; 13] = [
        Op::RmsNorm,
        Op::Rotary,
        Op::SwiGlu,
        Op::GeGlu,
        Op::Attention,
        Op::DecodingAttention,
        Op::DecodingStep,
        Op::TokenStats,
        Op::Draw,
        Op::Dropout,
        Op::AddRows,
        Op::AdamW,
        Op::Merge,
    ];

    /// Returns the gated linear unit of an activation.
    pub(crate) fn of_gate(activation: Activation) -> Op {
        match activation {
            Activation::Silu => Op::SwiGlu,
            Activation::GeluTanh => Op::GeGlu,
        }
    }

    /// Returns the name for messages.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Op::RmsNorm => "rms_norm",
            Op::Rotary => "rotary",
            Op::SwiGlu => "swiglu",
            Op::GeGlu => "geglu",
            Op::Attention => "attention",
            Op::DecodingAttention => "decoding_attention",
            Op::DecodingStep => "decoding_step",
            Op::TokenStats => "token_stats",
            Op::Draw => "draw",
            Op::Dropout => "dropout",
            Op::AddRows => "add_rows",
            Op::AdamW => "adamw",
            Op::Merge => "merge",
        }
    }
}

/// An implementation of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Path {
    /// The loops of [`alft_kernels`]: CPU, `f32`.
    CpuKernel,
    /// The kernels of [`crate::cuda`]: CUDA, `f32` and `bf16`. Tests run them on the CPU, in an emulation.
    CudaKernel,
    /// candle's fused operations with a gradient by hand: any device, all float types.
    Fused,
    /// candle's tracked operations, the twin of the others: any device, all float types.
    Composed,
}

thread_local! {
    static FORCED: Cell<Option<Path>> = const { Cell::new(None) };
}

/// The CUDA kernels that disagreed with their twins on the card at hand, one bit for each [`Op`].
static DISTRUSTED: AtomicU32 = AtomicU32::new(0);

impl Path {
    /// Returns the implementation of `op` for a tensor of this device and type.
    pub(crate) fn of(op: Op, tensor: &Tensor) -> Path {
        if let Some(path) = FORCED.get() {
            return path;
        }
        match (tensor.device().is_cpu(), tensor.dtype()) {
            (true, DType::F32) => Path::CpuKernel,
            (false, DType::F32 | DType::BF16) if trusted(op) => Path::CudaKernel,
            (_, DType::F32 | DType::BF16 | DType::F16) => Path::Fused,
            _ => Path::Composed,
        }
    }

    /// Runs `f` with this implementation of every operation on this thread, the backward pass included.
    pub(crate) fn force<R>(self, f: impl FnOnce() -> R) -> R {
        struct Restore(Option<Path>);
        impl Drop for Restore {
            fn drop(&mut self) {
                FORCED.set(self.0);
            }
        }
        let _restore = Restore(FORCED.replace(Some(self)));
        f()
    }

    /// Returns true if this thread may use the CPU kernels.
    pub(crate) fn allows_cpu_kernels() -> bool {
        FORCED.get().is_none_or(|path| path == Path::CpuKernel)
    }
}

fn trusted(op: Op) -> bool {
    cfg!(feature = "cuda") && DISTRUSTED.load(Ordering::Relaxed) & (1 << op as u32) == 0
}

/// Keeps the CUDA kernel of `op` from being used by this process from now on.
pub(crate) fn distrust(op: Op) {
    DISTRUSTED.fetch_or(1 << op as u32, Ordering::Relaxed);
}
