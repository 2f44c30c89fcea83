//! Memory that a session reads and writes without a copy, and for CUDA graphs memory of the device.

use atelier_package::{Dtype, GraphSpec};
use ort::memory::{AllocationDevice, Allocator, AllocatorType, MemoryInfo, MemoryType};
use ort::session::{IoBinding, Session};

use super::Device;
use super::frame::{Cells, Frame, Memory, Number, Side};
use crate::EngineError;

/// A tensor that ONNX Runtime can be bound to, with defined elements from the start.
fn zeros<T: Number>(allocator: &Allocator, shape: &[usize]) -> Result<Cells<T>, ort::Error> {
    let mut tensor = ort::value::Tensor::<T>::new(allocator, shape.to_vec())?;
    tensor.try_extract_tensor_mut()?.1.fill(T::default());
    Ok(Cells::Bound(tensor))
}

/// Memory of the device at an address that stays the same, and such as we can read and write to be copied to and from it.
fn staged<T: Number>(host: &Allocator, device: &Allocator, shape: &[usize]) -> Result<Cells<T>, ort::Error> {
    let Cells::Bound(host) = zeros(host, shape)? else {
        return Err(ort::Error::new("memory that cannot be bound"));
    };
    Ok(Cells::Staged { host, device: ort::value::Tensor::new(device, shape.to_vec())? })
}

/// Copies a frame's inputs to the device, whose addresses a session is bound to.
pub(super) fn stage(frame: &mut Frame) -> Result<(), ort::Error> {
    for numbers in &mut frame.inputs {
        match &mut numbers.memory {
            Memory::F32(Cells::Staged { host, device }) => host.copy_into(device)?,
            Memory::I64(Cells::Staged { host, device }) => host.copy_into(device)?,
            _ => {}
        }
    }
    Ok(())
}

/// Copies a frame's outputs back.
pub(super) fn fetch(frame: &mut Frame) -> Result<(), ort::Error> {
    for numbers in &mut frame.outputs {
        match &mut numbers.memory {
            Memory::F32(Cells::Staged { host, device }) => device.copy_into(host)?,
            Memory::I64(Cells::Staged { host, device }) => device.copy_into(host)?,
            _ => {}
        }
    }
    Ok(())
}

/// Tells a session where a frame's inputs lie; on a GPU this is what copies them there.
pub(super) fn bind_inputs(
    binding: &mut IoBinding,
    spec: &GraphSpec,
    frame: &Frame,
) -> Result<(), ort::Error> {
    for (spec, numbers) in spec.inputs.iter().zip(&frame.inputs) {
        let name = spec.name.as_str();
        match &numbers.memory {
            Memory::F32(Cells::Bound(at) | Cells::Staged { device: at, .. }) => {
                binding.bind_input(name, at)?
            }
            Memory::I64(Cells::Bound(at) | Cells::Staged { device: at, .. }) => {
                binding.bind_input(name, at)?
            }
            Memory::F32(Cells::Ours(_)) | Memory::I64(Cells::Ours(_)) => {}
        }
    }
    Ok(())
}

/// Where a session's frames get their memory.
pub(super) struct Allocators {
    input: Allocator,
    output: Allocator,
    /// The device's own, where runs are replayed.
    device: Option<Allocator>,
}

impl Allocators {
    /// Ordinary memory; for a GPU such as it can read and write by itself, where that is to be had. For runs that are
    /// `replayed` as CUDA graphs the GPU's own beside it.
    pub(super) fn of(session: &Session, device: Device, replayed: bool) -> Result<Self, ort::Error> {
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
        let own = || match device {
            Device::Cpu => Ok(Allocator::default()),
            Device::Cuda(id) => {
                let (at, kind) = (AllocationDevice::CUDA, AllocatorType::Device);
                Allocator::new(session, MemoryInfo::new(at, id, kind, MemoryType::Default)?)
            }
        };
        let device = replayed.then(own).transpose()?;
        Ok(Self { input: of(MemoryType::CPUInput), output: of(MemoryType::CPUOutput), device })
    }

    /// A frame that is bound to the session of these allocators; `replayed` in memory of the device.
    pub(super) fn frame(
        &self,
        session: &Session,
        spec: &GraphSpec,
        rows: usize,
        replayed: bool,
    ) -> Result<Frame, EngineError> {
        let device = self.device.as_ref().filter(|_| replayed);
        let failed = |e: ort::Error| EngineError::Runtime(format!("{}: {e}", spec.file));
        let mut frame = Frame::of(spec, rows, |dtype, shape, side| {
            let allocator = match side {
                Side::Input => &self.input,
                Side::Output => &self.output,
            };
            let memory = match (dtype, device) {
                (Dtype::F32, None) => zeros(allocator, shape).map(Memory::F32),
                (Dtype::I64, None) => zeros(allocator, shape).map(Memory::I64),
                (Dtype::F32, Some(device)) => staged(allocator, device, shape).map(Memory::F32),
                (Dtype::I64, Some(device)) => staged(allocator, device, shape).map(Memory::I64),
            };
            memory.map_err(failed)
        })?;
        let mut binding = session.create_binding().map_err(failed)?;
        bind_inputs(&mut binding, spec, &frame).map_err(failed)?;
        for (spec, numbers) in spec.outputs.iter().zip(&mut frame.outputs) {
            let name = spec.name.as_str();
            match &mut numbers.memory {
                Memory::F32(Cells::Bound(at) | Cells::Staged { device: at, .. }) => {
                    binding.bind_output(name, at)
                }
                Memory::I64(Cells::Bound(at) | Cells::Staged { device: at, .. }) => {
                    binding.bind_output(name, at)
                }
                Memory::F32(Cells::Ours(_)) | Memory::I64(Cells::Ours(_)) => Ok(()),
            }
            .map_err(failed)?;
        }
        frame.binding = Some(binding);
        Ok(frame)
    }
}
