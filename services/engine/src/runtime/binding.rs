//! Memory that a session reads and writes without a copy.

use atelier_package::{Dtype, GraphSpec};
use ort::memory::{AllocationDevice, Allocator, AllocatorType, MemoryInfo, MemoryType};
use ort::session::{IoBinding, Session};

use super::Device;
use super::frame::{Cells, Frame, Memory, Number, Numbers, Side};
use crate::EngineError;

/// A tensor that ONNX Runtime can be bound to, with defined elements from the start.
fn zeros<T: Number>(allocator: &Allocator, shape: &[usize]) -> Result<Cells<T>, ort::Error> {
    let mut tensor = ort::value::Tensor::<T>::new(allocator, shape.to_vec())?;
    tensor.try_extract_tensor_mut()?.1.fill(T::default());
    Ok(Cells::Bound(tensor))
}

/// Tells a session where a frame's inputs lie; on a GPU this is what copies them there.
pub(super) fn bind_inputs(
    binding: &mut IoBinding,
    spec: &GraphSpec,
    frame: &Frame,
) -> Result<(), ort::Error> {
    spec.inputs.iter().zip(&frame.inputs).try_for_each(|(spec, input)| bind_input(binding, &spec.name, input))
}

pub(super) fn bind_input(binding: &mut IoBinding, name: &str, input: &Numbers) -> Result<(), ort::Error> {
    match &input.memory {
        Memory::F32(Cells::Bound(tensor)) => binding.bind_input(name, tensor),
        Memory::I64(Cells::Bound(tensor)) => binding.bind_input(name, tensor),
        Memory::F32(Cells::Ours(_)) | Memory::I64(Cells::Ours(_)) => Ok(()),
    }
}

/// Tells a session where an output is to be written.
pub(super) fn bind_output(
    binding: &mut IoBinding,
    name: &str,
    output: &mut Numbers,
) -> Result<(), ort::Error> {
    match &mut output.memory {
        Memory::F32(Cells::Bound(tensor)) => binding.bind_output(name, tensor),
        Memory::I64(Cells::Bound(tensor)) => binding.bind_output(name, tensor),
        Memory::F32(Cells::Ours(_)) | Memory::I64(Cells::Ours(_)) => Ok(()),
    }
}

/// Where a session's frames get their memory.
pub(super) struct Allocators {
    input: Allocator,
    output: Allocator,
}

impl Allocators {
    /// Ordinary memory; for a GPU such as it can read and write by itself, where that is to be had.
    pub(super) fn of(session: &Session, device: Device) -> Self {
        let pinned = |id, kind| {
            MemoryInfo::new(AllocationDevice::CUDA_PINNED, id, AllocatorType::Device, kind)
                .and_then(|info| Allocator::new(session, info))
                // Whether we can write there too is seen by doing so.
                .and_then(|allocator| zeros::<f32>(&allocator, &[1]).map(|_| allocator))
                .inspect_err(|error| tracing::warn!(%error, "no pinned memory: copies to the GPU are slower"))
        };
        let of = |kind| match device {
            Device::Cpu => Allocator::default(),
            Device::Cuda(id) => pinned(id, kind).unwrap_or_default(),
        };
        Self { input: of(MemoryType::CPUInput), output: of(MemoryType::CPUOutput) }
    }

    /// A frame that is bound to the session of these allocators.
    pub(super) fn frame(
        &self,
        session: &Session,
        spec: &GraphSpec,
        rows: usize,
    ) -> Result<Frame, EngineError> {
        let failed = |e: ort::Error| EngineError::Runtime(format!("{}: {e}", spec.file));
        let mut frame = Frame::of(spec, rows, |dtype, shape, side| {
            let allocator = match side {
                Side::Input => &self.input,
                Side::Output => &self.output,
            };
            let memory = match dtype {
                Dtype::F32 => zeros(allocator, shape).map(Memory::F32),
                Dtype::I64 => zeros(allocator, shape).map(Memory::I64),
            };
            memory.map_err(failed)
        })?;
        let mut binding = session.create_binding().map_err(failed)?;
        bind_inputs(&mut binding, spec, &frame).map_err(failed)?;
        for (spec, output) in spec.outputs.iter().zip(&mut frame.outputs) {
            bind_output(&mut binding, &spec.name, output).map_err(failed)?;
        }
        frame.binding = Some(binding);
        Ok(frame)
    }
}
