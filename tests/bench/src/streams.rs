//! Many streams advanced together, beside their step graph in a bare loop and beside one stream at a time.

use anyhow::{Context, Result};
use atelier_package::{GraphSpec, Repository, Tensor};

use crate::Settings;
use crate::bare::Bare;
use crate::median::median;
use crate::raw::Runtime;
use crate::report::Table;
use crate::rows::row;
use crate::server::Server;
use crate::voices::{Heard, Voice};

const STREAMS: [usize; 4] = [1, 8, 32, 64];

/// The most streams that the engine advances together; 64 would need it raised, and here they show.
const SLOTS: &str = "64";

/// One round with so many streams.
struct Round {
    bare: f64,
    heard: Heard,
    alone: f64,
}

/// Measures text and audio.
///
/// # Errors
/// A server does not start or a stream fails.
pub(crate) async fn measure(settings: &Settings, runtime: &Runtime) -> Result<Table> {
    let mut table = Table::new(
        "Streams",
        "Characters and samples a second, in sum over all streams, through gateway and service. `of bare`: over \
         the same step graph run in a bare loop in the benchmark's own process with as many rows as there are \
         streams, without sampling, states or transport (1 is the limit), in one session with all cores or in one \
         for each core, whichever is faster. `gain`: over a service \
         that advances one stream at a time (`engine.slots = 1`). `first ms`: the median time to the first characters \
         or samples.",
        &[
            "stream",
            "streams",
            "a second",
            "bare",
            "of bare",
            "one at a time",
            "gain",
            "first ms",
            "first p99 ms",
        ],
    );
    for voice in [Voice::Text, Voice::Audio] {
        measure_voice(settings, runtime, voice, &mut table).await?;
    }
    Ok(table)
}

async fn measure_voice(
    settings: &Settings,
    runtime: &Runtime,
    voice: Voice,
    table: &mut Table,
) -> Result<()> {
    let (role, package) = voice.source();
    let (onnx, spec) = step(settings, package)?;
    let models = &settings.models;
    let together = settings.program.role(role, models, &[("ATELIER_ENGINE__SLOTS", SLOTS)]).await?;
    let waiting = ("ATELIER_ENGINE__WAITING", "1024");
    let alone = settings.program.role(role, models, &[("ATELIER_ENGINE__SLOTS", "1"), waiting]).await?;
    let (together_door, alone_door) =
        (settings.program.gateway(&[&together]).await?, settings.program.gateway(&[&alone]).await?);
    for streams in STREAMS {
        let inputs: Vec<Vec<Tensor>> =
            (0..streams as u64).map(|seed| row(&spec, seed)).collect::<Result<_>>()?;
        let mut bare = Bare::best(runtime, &onnx, &spec, &inputs, settings.time / 2)?;
        let mut rounds = Vec::new();
        for number in 0..=settings.rounds {
            let round = one(settings, voice, streams, &mut bare, [&together_door, &alone_door]);
            let round = round.await?;
            if number > 0 {
                rounds.push(round);
            }
        }
        let of = |value: &dyn Fn(&Round) -> f64| median(rounds.iter().map(value));
        let (of_bare, gain) =
            (of(&|round| round.heard.a_second / round.bare), of(&|round| round.heard.a_second / round.alone));
        eprintln!("streams: {streams} of {}: {of_bare:.2} of bare, gain {gain:.1}", voice.unit());
        let mut first: Vec<f64> = rounds.iter().flat_map(|round| &round.heard.first_ms).copied().collect();
        first.sort_by(f64::total_cmp);
        let late = first.get((first.len() * 99).div_ceil(100).saturating_sub(1)).copied().unwrap_or(f64::NAN);
        table.rows.push(vec![
            voice.unit().into(),
            streams.into(),
            of(&|round| round.heard.a_second).into(),
            of(&|round| round.bare).into(),
            of_bare.into(),
            of(&|round| round.alone).into(),
            gain.into(),
            median(first).into(),
            late.into(),
        ]);
    }
    Ok(())
}

async fn one(
    settings: &Settings,
    voice: Voice,
    streams: usize,
    bare: &mut Bare<'_>,
    [together, alone]: [&Server; 2],
) -> Result<Round> {
    let bare = bare.a_second(settings.time)?;
    let heard = voice.hear(&together.address, streams, settings.time).await?;
    let alone = voice.hear(&alone.address, streams, settings.time).await?.a_second;
    Ok(Round { bare, heard, alone })
}

/// The step graph of a shipped package.
fn step(settings: &Settings, package: &str) -> Result<(Vec<u8>, GraphSpec)> {
    let repository = Repository::scan(&settings.models)?;
    let package =
        repository.latest().find(|found| found.name().as_str() == package).context("not shipped")?;
    let spec = package.manifest().graphs.iter().find(|graph| graph.is_step() || graph.name == "step");
    let spec = spec.context("no step graph")?.clone();
    Ok((package.graph_bytes(&spec.name)?, spec))
}
