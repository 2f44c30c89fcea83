//! Who may ask anything of a GPU while a run is being recorded.
//!
//! ONNX Runtime records in CUDA's global mode: what any other thread of the process asks for meanwhile that allocates or
//! waits is refused, and breaks the recording too. So recordings are alone.

use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::Device;

static RECORDING: RwLock<()> = RwLock::new(());

/// To be held by all that runs, opens and closes sessions on a device, side by side. On the processor it is nothing.
pub(super) fn beside(device: Device) -> Option<RwLockReadGuard<'static, ()>> {
    (device != Device::Cpu).then(|| RECORDING.read().unwrap_or_else(PoisonError::into_inner))
}

/// To be held while a run is recorded.
pub(super) fn alone(device: Device) -> Option<RwLockWriteGuard<'static, ()>> {
    (device != Device::Cpu).then(|| RECORDING.write().unwrap_or_else(PoisonError::into_inner))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_recording_waits_for_runs_and_runs_for_the_recording_but_not_those_on_the_processor() {
        let gpu = Device::Cuda(0);
        let one = beside(gpu);
        drop(beside(gpu).expect("runs go side by side"));
        let (send, events) = mpsc::channel();
        let recording = std::thread::spawn({
            let send = send.clone();
            move || {
                let alone = alone(gpu);
                send.send("recording").unwrap();
                std::thread::sleep(Duration::from_millis(20));
                send.send("recorded").unwrap();
                drop(alone);
            }
        });
        assert!(events.recv_timeout(Duration::from_millis(50)).is_err(), "not while there is a run");
        drop(one);
        assert_eq!(events.recv().unwrap(), "recording");
        assert!(beside(Device::Cpu).is_none() && alone(Device::Cpu).is_none());
        drop(beside(gpu));
        send.send("run").unwrap();
        assert_eq!([events.recv().unwrap(), events.recv().unwrap()], ["recorded", "run"]);
        recording.join().unwrap();
    }
}
