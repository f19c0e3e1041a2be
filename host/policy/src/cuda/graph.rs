//! Work on a device that is recorded once and launched as a whole (CUDA graphs).
//!
//! A step of a small model is a few hundred short kernels, and to launch them one by one takes longer than they run.

use candle_core::{Device, Result};

#[cfg(feature = "cuda")]
use candle_core::cuda_backend::{
    WrapErr,
    cudarc::driver::{CudaGraph, sys},
};

/// Recorded work. It reads and writes the memory that it was recorded with, which its owner keeps.
pub(crate) struct Graph {
    #[cfg(feature = "cuda")]
    graph: CudaGraph,
    #[cfg(not(feature = "cuda"))]
    never: std::convert::Infallible,
}

impl std::fmt::Debug for Graph {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Graph")
    }
}

impl Graph {
    /// Records `work` and does not run it. Returns `None` for a device that records nothing.
    ///
    /// `work` may neither wait for the device nor copy from or to it, and what it runs must have run before, so that the
    /// kernels are loaded. Memory that it allocates it must free.
    ///
    /// # Errors
    /// As `work`, and if the driver refuses.
    #[cfg_attr(not(feature = "cuda"), expect(unused_variables, reason = "a build without CUDA records nothing"))]
    pub(crate) fn record(device: &Device, work: impl FnOnce() -> Result<()>) -> Result<Option<Self>> {
        #[cfg(feature = "cuda")]
        if let Device::Cuda(device) = device {
            let stream = device.cuda_stream();
            stream.begin_capture(sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_RELAXED).w()?;
            let recorded = work();
            // Ended in any case: a stream that records runs nothing.
            let flags = sys::CUgraphInstantiate_flags::CUDA_GRAPH_INSTANTIATE_FLAG_AUTO_FREE_ON_LAUNCH;
            let graph = stream.end_capture(flags);
            recorded?;
            return Ok(graph.w()?.map(|graph| Self { graph }));
        }
        Ok(None)
    }

    /// Runs the work after everything that was given to the device before.
    ///
    /// # Errors
    /// Fails if the driver does.
    pub(crate) fn launch(&self) -> Result<()> {
        #[cfg(feature = "cuda")]
        return self.graph.launch().w();
        #[cfg(not(feature = "cuda"))]
        match self.never {}
    }
}
