//! Streams of text and audio through their services, many at once.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use atelier_proto::audio::v1::audio_service_client::AudioServiceClient;
use atelier_proto::audio::v1::{AudioEncoding, SynthesizeRequest, synthesize_response::Event as Sound};
use atelier_proto::text::v1::text_service_client::TextServiceClient;
use atelier_proto::text::v1::{GenerateRequest, generate_response::Event as Text};
use tokio::task::JoinSet;
use tonic::transport::{Channel, Endpoint};

/// Characters of each text: long enough that beginnings and ends of streams are few.
const CHARS: u32 = 400;

/// Digits of each recording, half a second or so each.
const DIGITS: &str = "0123";

/// How long a stream may take to its first piece where it is measured for less.
const PATIENCE: Duration = Duration::from_secs(5);

/// Bytes of a sample of PCM16.
const SAMPLE: usize = 2;

/// What kind of stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Voice {
    Text,
    Audio,
}

/// What came of the streams.
#[derive(Debug, Clone)]
pub(crate) struct Heard {
    /// Characters or samples a second, in sum over the streams.
    pub(crate) a_second: f64,
    /// All of them that came, those too that the time was over for.
    pub(crate) count: u64,
    /// From each request to its first characters or samples, in milliseconds.
    pub(crate) first_ms: Vec<f64>,
}

impl Voice {
    /// The role that has it, and the package that it is made with.
    pub(crate) fn source(self) -> (&'static str, &'static str) {
        match self {
            Self::Text => ("text", "shakespeare-rnn"),
            Self::Audio => ("audio", "digits-wavenet"),
        }
    }

    /// What it is counted in.
    pub(crate) fn unit(self) -> &'static str {
        match self {
            Self::Text => "chars",
            Self::Audio => "samples",
        }
    }

    /// So many streams for `time`, each begun again when it ends; what comes within that time counts, and of what
    /// each stream is at when it is over the part that was made by then.
    ///
    /// # Errors
    /// A stream fails.
    pub(crate) async fn hear(self, address: &str, streams: usize, time: Duration) -> Result<Heard> {
        let channel = Endpoint::from_shared(format!("http://{address}"))?.tcp_nodelay(true).connect().await?;
        let start = Instant::now();
        let mut tasks = JoinSet::new();
        for stream in 0..streams {
            let channel = channel.clone();
            tasks.spawn(async move {
                let (mut within, mut count, mut first_ms) = (0.0, 0, Vec::new());
                let mut seed = 1 + stream as u64;
                let mut before = Duration::ZERO;
                while start.elapsed() < time {
                    let asked = Instant::now();
                    let mut one = self.ask(channel.clone(), seed).await?;
                    let mut first = true;
                    loop {
                        // One that waits for its turn has made nothing, however long it is waited for; but the
                        // first of all may take its time, so that something comes on a busy machine too.
                        let patience = if count == 0 { time.max(PATIENCE) } else { time };
                        let end = tokio::time::Instant::from_std(start + patience.mul_f64(1.5));
                        let Ok(some) = tokio::time::timeout_at(end, one.next()).await else { break };
                        let Some(some) = some? else { break };
                        if some > 0 && std::mem::take(&mut first) {
                            first_ms.push(asked.elapsed().as_secs_f64() * 1000.0);
                        }
                        let now = start.elapsed();
                        let part = time.saturating_sub(before).div_duration_f64(now.saturating_sub(before));
                        within += some as f64 * part.min(1.0);
                        count += some as u64;
                        before = now;
                        if now >= time {
                            break;
                        }
                    }
                    seed += streams as u64;
                }
                anyhow::Ok((within, count, first_ms))
            });
        }
        let (mut within, mut count, mut first_ms) = (0.0, 0, Vec::new());
        while let Some(task) = tasks.join_next().await {
            let (some, all, firsts) = task??;
            within += some;
            count += all;
            first_ms.extend(firsts);
        }
        if within == 0.0 {
            bail!("{streams} streams: nothing came in {time:?}");
        }
        Ok(Heard { a_second: within / time.as_secs_f64(), count, first_ms })
    }

    async fn ask(self, channel: Channel, seed: u64) -> Result<Stream> {
        Ok(match self {
            Self::Text => {
                let request = GenerateRequest { max_chars: Some(CHARS), seed, ..Default::default() };
                Stream::Text(TextServiceClient::new(channel).generate(request).await?.into_inner())
            }
            Self::Audio => {
                // Without the header of a file, which would count as the first sound.
                let encoding = AudioEncoding::Pcm16.into();
                let request = SynthesizeRequest { text: DIGITS.into(), seed, encoding, ..Default::default() };
                Stream::Audio(AudioServiceClient::new(channel).synthesize(request).await?.into_inner())
            }
        })
    }
}

/// A stream under way; cancelled when it is dropped.
enum Stream {
    Text(tonic::Streaming<atelier_proto::text::v1::GenerateResponse>),
    Audio(tonic::Streaming<atelier_proto::audio::v1::SynthesizeResponse>),
}

impl Stream {
    /// How many characters or samples came with the next message; `None` at the end.
    async fn next(&mut self) -> Result<Option<usize>> {
        Ok(match self {
            Self::Text(stream) => stream.message().await?.map(|message| match message.event {
                Some(Text::Chunk(chunk)) => chunk.text.chars().count(),
                _ => 0,
            }),
            Self::Audio(stream) => stream.message().await?.map(|message| match message.event {
                Some(Sound::Chunk(chunk)) => chunk.data.len() / SAMPLE,
                _ => 0,
            }),
        })
    }
}
