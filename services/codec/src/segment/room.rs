//! How much may be in progress at once.

use std::sync::Arc;

use atelier_chassis::ServiceError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Room for the images in progress of all requests, in pixels. Each takes 12 bytes a pixel while its tiles wait
/// for the model, and a file of a few kB may have millions. Clones share the room.
#[derive(Debug, Clone)]
pub(crate) struct Room(Arc<Semaphore>);

impl Room {
    /// For so many pixels.
    pub(crate) fn new(pixels: usize) -> Self {
        Self(Arc::new(Semaphore::new(pixels.min(Semaphore::MAX_PERMITS))))
    }

    /// Waits until there is room for an image of so many pixels, behind those that came before it.
    pub(crate) async fn take(&self, pixels: usize) -> Result<OwnedSemaphorePermit, ServiceError> {
        let pixels = u32::try_from(pixels).unwrap_or(u32::MAX);
        let closed = |_| ServiceError::internal("the bound on images in progress was closed");
        Arc::clone(&self.0).acquire_many_owned(pixels).await.map_err(closed)
    }
}
