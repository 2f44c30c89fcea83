//! Memory that a session reads and writes without a copy, and for CUDA graphs memory of the device.

use atelier_package::{Dtype, GraphSpec};
use ort::memory::{AllocationDevice, Allocator, AllocatorType, MemoryInfo, MemoryType};
use ort::session::{IoBinding, Session};

use super::Device;
use super::frame::{Frame, Side};
use super::numbers::{Cells, Memory, Number, Numbers};
use crate::EngineError;

/// A tensor that ONNX Runtime can be bound to, with defined elements from the start.
fn zeros<T: Number>(allocator: &Allocator, shape: &[usize]) -> Result<Cells<T>, ort::Error> {
    let mut tensor = ort::value::Tensor::<T>::new(allocator, shape.to_vec())?;
    tensor.try_extract_tensor_mut()?.1.fill(T::default());
    Ok(Cells::Bound(tensor))
}

/// Memory of the device at an address that stays the same, and such as we can read and write to be copied there and back.
fn staged<T: Number>(host: &Allocator, device: &Allocator, shape: &[usize]) -> Result<Cells<T>, ort::Error> {
    let Cells::Bound(host) = zeros(host, shape)? else {
        return Err(ort::Error::new("memory that cannot be bound"));
    };
    // What the device has is undefined until the first copy.
    Ok(Cells::Staged { host, device: ort::value::Tensor::new(device, shape.to_vec())?, written: true })
}

/// Copies what was written into a frame's inputs to the device, whose addresses a session is bound to.
pub(super) fn stage(frame: &mut Frame) -> Result<(), ort::Error> {
    fn copy<T: Number>(cells: &mut Cells<T>) -> Result<(), ort::Error> {
        match cells {
            Cells::Staged { host, device, written } if *written => {
                host.copy_into(device)?;
                *written = false;
                Ok(())
            }
            _ => Ok(()),
        }
    }
    frame.inputs.iter_mut().try_for_each(|numbers| match &mut numbers.memory {
        Memory::F32(cells) => copy(cells),
        Memory::I64(cells) => copy(cells),
    })
}

/// Copies a frame's outputs back.
pub(super) fn fetch(frame: &mut Frame) -> Result<(), ort::Error> {
    fn copy<T: Number>(cells: &mut Cells<T>) -> Result<(), ort::Error> {
        match cells {
            Cells::Staged { host, device, .. } => device.copy_into(host),
            _ => Ok(()),
        }
    }
    frame.outputs.iter_mut().try_for_each(|numbers| match &mut numbers.memory {
        Memory::F32(cells) => copy(cells),
        Memory::I64(cells) => copy(cells),
    })
}

/// Has an input go on with what an output is. Nothing leaves the device, and where it lies there stays the same, if it does
/// at all: else the two change places, and must be bound anew (false).
pub(super) fn hand_over(to: &mut Numbers, from: &mut Numbers) -> Result<bool, ort::Error> {
    fn copy<T: Number>(to: &mut Cells<T>, from: &Cells<T>) -> Option<Result<(), ort::Error>> {
        let (Cells::Staged { device: to, written, .. }, Cells::Staged { device: from, .. }) = (to, from)
        else {
            return None;
        };
        *written = false;
        Some(from.copy_into(to))
    }
    let copied = match (&mut to.memory, &from.memory) {
        (Memory::F32(to), Memory::F32(from)) => copy(to, from),
        (Memory::I64(to), Memory::I64(from)) => copy(to, from),
        _ => None,
    };
    match copied {
        Some(result) => result.map(|()| true),
        None => {
            std::mem::swap(&mut to.memory, &mut from.memory);
            Ok(false)
        }
    }
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
        Memory::F32(Cells::Bound(at) | Cells::Staged { device: at, .. }) => binding.bind_input(name, at),
        Memory::I64(Cells::Bound(at) | Cells::Staged { device: at, .. }) => binding.bind_input(name, at),
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
        Memory::F32(Cells::Bound(at) | Cells::Staged { device: at, .. }) => binding.bind_output(name, at),
        Memory::I64(Cells::Bound(at) | Cells::Staged { device: at, .. }) => binding.bind_output(name, at),
        Memory::F32(Cells::Ours(_)) | Memory::I64(Cells::Ours(_)) => Ok(()),
    }
}

/// Where a session's frames get their memory.
pub(super) struct Allocators {
    of: Device,
    input: Allocator,
    output: Allocator,
    /// The device's own, where runs are replayed.
    own: Option<Allocator>,
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
        let own = replayed.then(own).transpose()?;
        let (input, output) = (of(MemoryType::CPUInput), of(MemoryType::CPUOutput));
        Ok(Self { of: device, input, output, own })
    }

    /// A frame that is bound to the session of these allocators; `replayed` in memory of the device.
    pub(super) fn frame(
        &self,
        session: &Session,
        spec: &GraphSpec,
        rows: usize,
        replayed: bool,
    ) -> Result<Frame, EngineError> {
        let device = self.own.as_ref().filter(|_| replayed);
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
        for (spec, output) in spec.outputs.iter().zip(&mut frame.outputs) {
            bind_output(&mut binding, &spec.name, output).map_err(failed)?;
        }
        frame.binding = Some(binding);
        frame.device = self.of;
        Ok(frame)
    }
}
