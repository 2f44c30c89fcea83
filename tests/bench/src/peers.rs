//! Against peers: the same graphs as the same files, behind the same protocol, with the same load in turn.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use atelier_package::{GraphSpec, Tensor};
use bytes::Bytes;

use crate::Settings;
use crate::closed::{Callers, Seen};
use crate::infer::{Client, message};
use crate::median::median;
use crate::peer::Peer;
use crate::raw::{Raw, Runtime};
use crate::report::Table;
use crate::server::Server;
use crate::subject::Subject;

const CONCURRENCY: [usize; 4] = [1, 8, 32, 128];

/// One of the servers.
enum Contender {
    Ours(Server),
    Peer(Peer),
}

impl Contender {
    fn address(&self) -> &str {
        match self {
            Self::Ours(server) => &server.address,
            Self::Peer(peer) => &peer.address,
        }
    }

    fn computed(&self) -> Result<Duration> {
        match self {
            Self::Ours(server) => server.computed(),
            Self::Peer(peer) => peer.computed(),
        }
    }
}

/// A server, and whether an input of one number a row comes to it as [batch, 1].
struct Entrant {
    name: &'static str,
    contender: Contender,
    column: bool,
}

/// One round with one server.
struct Round {
    seen: Seen,
    computed_us: f64,
}

/// Measures both graphs on every peer that there is.
///
/// # Errors
/// There is no peer, or a server does not start, answers wrongly, or fails a call.
pub(crate) async fn measure(settings: &Settings, runtime: &Runtime) -> Result<Table> {
    let folder = tempfile::tempdir()?;
    let models = folder.path().join("models");
    let subjects = [Subject::generator(&settings.models)?, Subject::perceptron()?];
    let mut files: Vec<(&str, PathBuf)> = Vec::new();
    for subject in &subjects {
        subject.install(&settings.program, &models)?;
        let file = folder.path().join(format!("{}.onnx", subject.name));
        std::fs::write(&file, &subject.onnx)?;
        files.push((subject.name, file));
    }
    let ours = Contender::Ours(settings.program.role("tensor", &models, &[]).await?);
    let mut entrants = vec![Entrant { name: "atelier", contender: ours, column: false }];
    if let Some(python) = &settings.pythons.mlserver {
        let peer = Contender::Peer(Peer::mlserver(python, &files)?);
        entrants.push(Entrant { name: "mlserver", contender: peer, column: false });
    }
    if let Some(python) = &settings.pythons.triton {
        let peer = Contender::Peer(Peer::triton(python, &files)?);
        entrants.push(Entrant { name: "triton (python)", contender: peer, column: true });
    }
    let first = subjects.first().context("no graph")?;
    let mut raw = runtime.open(&first.onnx)?;
    let mut ready = Vec::new();
    for mut entrant in entrants {
        let message = entrant.messages(first)?.into_iter().next().context("no requests")?;
        match entrant.agrees(first, &mut raw, &message).await {
            Ok(()) => ready.push(entrant),
            // Others' installations are not ours to mend; the rest is measured all the same.
            Err(error) if entrant.is_peer() => eprintln!("peers: WITHOUT {}: {error:#}", entrant.name),
            Err(error) => return Err(error.context(entrant.name)),
        }
    }
    let mut entrants = ready;
    ensure!(entrants.len() > 1, "no peer to measure: see above, or say --mlserver or --triton");
    let mut table = Table::new(
        "Against peers",
        "`ModelInfer` with one row a request on the same file: our `tensor` service, MLServer 1.7.1 (its batching \
         on), and Triton's server with its Python backend and dynamic batching (PyTriton 0.7.0), each with the \
         same ONNX Runtime and its own defaults; all run at the same time and are loaded in turn. `ours`: our \
         requests a second over theirs in the same round. CPU is that of all processes of the server, in \
         microseconds a request.",
        &["graph", "callers", "server", "req/s", "ours", "cpu us", "p50 ms", "p99 ms"],
    );
    for subject in &subjects {
        let mut raw = runtime.open(&subject.onnx)?;
        let messages: Vec<Vec<Bytes>> =
            entrants.iter().map(|entrant| entrant.messages(subject)).collect::<Result<_>>()?;
        for (entrant, messages) in entrants.iter_mut().zip(&messages) {
            let first = messages.first().context("no requests")?;
            entrant.agrees(subject, &mut raw, first).await.with_context(|| entrant.name)?;
        }
        for callers in CONCURRENCY.into_iter().filter(|callers| *callers <= settings.most) {
            let rounds = interleaved(settings, &entrants, &messages, callers).await?;
            for (at, entrant) in entrants.iter().enumerate() {
                let of = |value: &dyn Fn(&Round) -> f64| {
                    median(rounds.iter().filter_map(|round| round.get(at)).map(value))
                };
                let ours = median(rounds.iter().filter_map(|round| {
                    Some(round.first()?.seen.a_second() / round.get(at)?.seen.a_second())
                }));
                eprintln!("peers: {}, {callers} callers, {}: ours {ours:.2}", subject.name, entrant.name);
                table.rows.push(vec![
                    subject.name.into(),
                    callers.into(),
                    entrant.name.into(),
                    of(&|round| round.seen.a_second()).into(),
                    ours.into(),
                    of(&|round| round.computed_us).into(),
                    of(&|round| round.seen.percentile(0.5)).into(),
                    of(&|round| round.seen.percentile(0.99)).into(),
                ]);
            }
        }
    }
    Ok(table)
}

impl Entrant {
    fn is_peer(&self) -> bool {
        matches!(self.contender, Contender::Peer(_))
    }

    /// The requests of a graph as this server takes them.
    fn messages(&self, subject: &Subject) -> Result<Vec<Bytes>> {
        if !self.column {
            return Ok(subject.messages.to_vec());
        }
        let one = |row: &Vec<Tensor>| {
            let row: Vec<Tensor> = row.iter().map(column).collect::<Result<_>>()?;
            Ok(message(subject.name, &subject.spec, &row))
        };
        subject.rows.iter().map(one).collect()
    }

    /// What is fast must be right first: it answers as the raw runtime does.
    async fn agrees(&mut self, subject: &Subject, raw: &mut Raw, message: &Bytes) -> Result<()> {
        let mut client = match &mut self.contender {
            Contender::Ours(server) => Client::connect(&server.address).await?,
            Contender::Peer(peer) => peer.answers(message).await?,
        };
        let row = subject.rows.first().context("no row")?;
        same(&subject.spec, &raw.outputs(&subject.spec, row)?, &mut client, message).await
    }
}

async fn same(spec: &GraphSpec, expected: &[Vec<f32>], client: &mut Client, message: &Bytes) -> Result<()> {
    let answer = client.outputs(spec, message.clone()).await?;
    let lengths = |outputs: &[Vec<f32>]| outputs.iter().map(Vec::len).collect::<Vec<_>>();
    ensure!(lengths(expected) == lengths(&answer), "outputs of {:?} numbers came", lengths(&answer));
    let differ = expected.iter().flatten().zip(answer.iter().flatten());
    let most = differ.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    ensure!(most < 1e-4, "the answer is off by {most}");
    Ok(())
}

/// A tensor of one number a row as a column.
fn column(tensor: &Tensor) -> Result<Tensor> {
    let (mut shape, data) = tensor.clone().into_parts();
    if shape.len() == 1 {
        shape.push(1);
    }
    Ok(Tensor::new(shape, data)?)
}

/// Rounds in which each server is loaded once. The first of them warms up and is not counted.
async fn interleaved(
    settings: &Settings,
    entrants: &[Entrant],
    messages: &[Vec<Bytes>],
    callers: usize,
) -> Result<Vec<Vec<Round>>> {
    let mut groups = Vec::new();
    for entrant in entrants {
        groups.push(Callers::connect(entrant.contender.address(), callers).await?);
    }
    let mut rounds = Vec::new();
    for number in 0..=settings.rounds {
        let mut round = Vec::new();
        for ((entrant, callers), messages) in entrants.iter().zip(&groups).zip(messages) {
            let before = entrant.contender.computed()?;
            let seen = callers.call(messages, settings.time).await.with_context(|| entrant.name)?;
            let computed = entrant.contender.computed()?.saturating_sub(before);
            let computed_us = computed.as_secs_f64() * 1e6 / seen.calls.max(1) as f64;
            round.push(Round { seen, computed_us });
        }
        if number > 0 {
            rounds.push(round);
        }
    }
    Ok(rounds)
}
