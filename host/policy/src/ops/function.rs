//! Differentiable functions, given by their value and a rule for their gradient.

use std::sync::{Arc, Mutex};

use candle_core::{
    CpuStorage, CudaStorage, CustomOp1, CustomOp2, CustomOp3, Layout, Result, Shape, Storage, Tensor,
    backend::BackendStorage, bail,
};

/// The computed value of a function.
pub(super) enum Value {
    /// The output of a kernel; it is moved into candle's storage, not copied.
    Floats(Vec<f32>, Shape),
    /// The output of tensor operations outside of the graph, on any device.
    Tensor(Tensor),
}

type Rule = Box<dyn Fn(&[&Tensor], &Tensor) -> Result<Vec<Option<Tensor>>> + Send + Sync>;

struct Function {
    // Taken by the forward pass, which candle runs once.
    value: Mutex<Option<Value>>,
    rule: Rule,
}

/// Adds a value to the autograd graph of its one to three arguments. If none of them is tracked, the value is returned
/// outside of the graph.
///
/// `rule(arguments, gradient)` returns the gradients of the arguments, `None` for an argument that needs none, given the
/// contiguous gradient of the value.
pub(super) fn function<const N: usize>(
    arguments: [&Tensor; N],
    value: Value,
    rule: impl Fn([&Tensor; N], &Tensor) -> Result<[Option<Tensor>; N]> + Send + Sync + 'static,
) -> Result<Tensor> {
    if !arguments.iter().any(|argument| argument.track_op()) {
        return match value {
            Value::Floats(values, shape) => Tensor::from_vec(values, shape, arguments[0].device()),
            Value::Tensor(tensor) => Ok(tensor),
        };
    }
    let rule: Rule = Box::new(move |arguments, grad| match arguments.try_into() {
        Ok(arguments) => Ok(Vec::from(rule(arguments, grad)?)),
        Err(_) => bail!("a function of {N} arguments was differentiated for {}", arguments.len()),
    });
    let function = Function { value: Mutex::new(Some(value)), rule };
    match arguments.as_slice() {
        [a] => a.apply_op1_arc(Arc::new(Box::new(function))),
        [a, b] => a.apply_op2_arc(b, Arc::new(Box::new(function))),
        [a, b, c] => a.apply_op3_arc(b, c, Arc::new(Box::new(function))),
        _ => bail!("a function of {N} arguments cannot join candle's graph"),
    }
}

impl Function {
    fn take(&self) -> Result<Value> {
        match self.value.lock().ok().and_then(|mut value| value.take()) {
            Some(value) => Ok(value),
            None => bail!("the value of a function was taken twice"),
        }
    }

    fn on_cpu(&self) -> Result<(CpuStorage, Shape)> {
        match self.take()? {
            Value::Floats(values, shape) => Ok((CpuStorage::F32(values), shape)),
            Value::Tensor(tensor) => match &*tensor.storage_and_layout().0 {
                Storage::Cpu(storage) => Ok((storage.try_clone(tensor.layout())?, tensor.shape().clone())),
                _ => bail!("the value of a function is not on its arguments' device"),
            },
        }
    }

    fn on_cuda(&self) -> Result<(CudaStorage, Shape)> {
        match self.take()? {
            Value::Tensor(tensor) => match &*tensor.storage_and_layout().0 {
                Storage::Cuda(storage) => Ok((storage.try_clone(tensor.layout())?, tensor.shape().clone())),
                _ => bail!("the value of a function is not on its arguments' device"),
            },
            Value::Floats(..) => bail!("a CPU kernel was called for a CUDA tensor"),
        }
    }

    fn backward(&self, arguments: &[&Tensor], grad: &Tensor) -> Result<std::vec::IntoIter<Option<Tensor>>> {
        Ok((self.rule)(arguments, &grad.contiguous()?)?.into_iter())
    }
}

impl CustomOp1 for Function {
    fn name(&self) -> &'static str {
        "function of one"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        self.on_cpu()
    }

    fn cuda_fwd(&self, _: &CudaStorage, _: &Layout) -> Result<(CudaStorage, Shape)> {
        self.on_cuda()
    }

    fn bwd(&self, a: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        Ok(self.backward(&[a], grad)?.next().flatten())
    }
}

impl CustomOp2 for Function {
    fn name(&self) -> &'static str {
        "function of two"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        self.on_cpu()
    }

    fn cuda_fwd(&self, _: &CudaStorage, _: &Layout, _: &CudaStorage, _: &Layout) -> Result<(CudaStorage, Shape)> {
        self.on_cuda()
    }

    fn bwd(&self, a: &Tensor, b: &Tensor, _: &Tensor, grad: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let mut grads = self.backward(&[a, b], grad)?;
        Ok((grads.next().flatten(), grads.next().flatten()))
    }
}

impl CustomOp3 for Function {
    fn name(&self) -> &'static str {
        "function of three"
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        self.on_cpu()
    }

    fn cuda_fwd(
        &self,
        _: &CudaStorage,
        _: &Layout,
        _: &CudaStorage,
        _: &Layout,
        _: &CudaStorage,
        _: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        self.on_cuda()
    }

    fn bwd(
        &self,
        a: &Tensor,
        b: &Tensor,
        c: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let mut grads = self.backward(&[a, b, c], grad)?;
        Ok((grads.next().flatten(), grads.next().flatten(), grads.next().flatten()))
    }
}
