//! What every HTTP/2 client says first.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The connection preface (RFC 9113, section 3.4).
pub(super) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A connection whose peer has said the preface. It is read from it once more: hyper wants to hear it too, and waits
/// for it for good.
pub(super) struct Opened<S> {
    stream: S,
    /// How much of the preface was read once more.
    repeated: usize,
}

impl<S: AsyncRead + Unpin> Opened<S> {
    /// Waits for the whole preface. How long it may take is the caller's to say.
    ///
    /// # Errors
    /// The peer says something else, or nothing more.
    pub(super) async fn read(mut stream: S) -> io::Result<Self> {
        let mut bytes = [0_u8; PREFACE.len()];
        let mut said = ReadBuf::new(&mut bytes);
        while said.remaining() > 0 {
            let before = said.filled().len();
            std::future::poll_fn(|cx| Pin::new(&mut stream).poll_read(cx, &mut said)).await?;
            if said.filled().len() == before {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if !PREFACE.starts_with(said.filled()) {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "it does not speak HTTP/2"));
            }
        }
        Ok(Self { stream, repeated: 0 })
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Opened<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let left = PREFACE.get(self.repeated..).unwrap_or_default();
        if left.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buffer);
        }
        let (now, _) = left.split_at(left.len().min(buffer.remaining()));
        buffer.put_slice(now);
        self.repeated += now.len();
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Opened<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
