//! Many streams advanced together, beside their step graph in a bare loop and beside one stream at a time.

use anyhow::{Context, Result};
use atelier_package::{GraphSpec, Repository, Tensor};

use crate::Settings;
use crate::bare::{Bare, Course, Pace};
use crate::limit::computed;
use crate::median::median;
use crate::raw::Runtime;
use crate::report::{Cell, Table};
use crate::rows::row;
use crate::server::Server;
use crate::voices::{Heard, Voice};

const STREAMS: [usize; 5] = [1, 8, 16, 32, 64];

/// The most streams that the engine advances together; 64 would need it raised, and here they show.
const SLOTS: &str = "64";

/// One round with so many streams.
struct Round {
    bare: Pace,
    heard: Heard,
    /// Of the servers, for each character or sample.
    computed_us: f64,
    alone: f64,
}

/// A service behind its gateway.
struct Chain {
    role: Server,
    gateway: Server,
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
         streams, without sampling, states or transport (1 is the limit), in one session with all cores or divided \
         among sessions of one core each, whichever is faster. `gain`: over a service that advances one stream at a \
         time (`engine.slots = 1`). `real time`: seconds of speech that each stream gets in a second; one that gets \
         less than 1 is heard to wait. CPU: microseconds for each character or sample, of gateway and service, and of \
         the bare loop. `first ms`: the median time to the first characters or samples.",
        &[
            "stream",
            "streams",
            "a second",
            "bare",
            "of bare",
            "one at a time",
            "gain",
            "real time",
            "cpu us",
            "bare cpu us",
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
    let Step { onnx, spec, sample_rate } = step(settings, package)?;
    let together = chain(settings, role, &[("ATELIER_ENGINE__SLOTS", SLOTS)]).await?;
    let waiting = ("ATELIER_ENGINE__WAITING", "1024");
    let alone = chain(settings, role, &[("ATELIER_ENGINE__SLOTS", "1"), waiting]).await?;
    let mut bare = Bare::open(runtime, &onnx, &spec)?;
    for streams in STREAMS.into_iter().filter(|streams| *streams <= settings.most) {
        let inputs: Vec<Vec<Tensor>> =
            (0..streams as u64).map(|seed| row(&spec, seed)).collect::<Result<_>>()?;
        let (course, _) = bare.best(&inputs, settings.time / 2)?;
        let mut rounds = Vec::new();
        for number in 0..=settings.rounds {
            let round = one(settings, voice, streams, (&mut bare, &course), [&together, &alone]).await?;
            if number > 0 {
                rounds.push(round);
            }
        }
        let of = |value: &dyn Fn(&Round) -> f64| median(rounds.iter().map(value));
        let of_bare = of(&|round| round.heard.a_second / round.bare.a_second);
        let gain = of(&|round| round.heard.a_second / round.alone);
        let real_time =
            sample_rate.map(|rate| of(&|round| round.heard.a_second / (streams as f64 * f64::from(rate))));
        eprintln!("streams: {streams} of {}: {of_bare:.2} of bare, gain {gain:.1}", voice.unit());
        let mut first: Vec<f64> = rounds.iter().flat_map(|round| &round.heard.first_ms).copied().collect();
        first.sort_by(f64::total_cmp);
        let late = first.get((first.len() * 99).div_ceil(100).saturating_sub(1)).copied().unwrap_or(f64::NAN);
        table.rows.push(vec![
            voice.unit().into(),
            streams.into(),
            of(&|round| round.heard.a_second).into(),
            of(&|round| round.bare.a_second).into(),
            of_bare.into(),
            of(&|round| round.alone).into(),
            gain.into(),
            real_time.map_or(Cell::from("-"), Cell::from),
            of(&|round| round.computed_us).into(),
            of(&|round| round.bare.computed_us).into(),
            median(first).into(),
            late.into(),
        ]);
    }
    Ok(())
}

/// A role with these settings, and a gateway before it.
async fn chain(settings: &Settings, role: &str, env: &[(&str, &str)]) -> Result<Chain> {
    let role = settings.program.role(role, &settings.models, env).await?;
    let gateway = settings.program.gateway(&[&role]).await?;
    Ok(Chain { role, gateway })
}

async fn one(
    settings: &Settings,
    voice: Voice,
    streams: usize,
    (bare, course): (&mut Bare<'_>, &Course),
    [together, alone]: [&Chain; 2],
) -> Result<Round> {
    let bare = bare.pace(course, settings.time)?;
    let servers = [&together.gateway, &together.role];
    let before = computed(&servers)?;
    let heard = voice.hear(&together.gateway.address, streams, settings.time).await?;
    let computed = computed(&servers)?.saturating_sub(before);
    let alone = voice.hear(&alone.gateway.address, streams, settings.time).await?.a_second;
    let computed_us = computed.as_secs_f64() * 1e6 / heard.count.max(1) as f64;
    Ok(Round { bare, heard, computed_us, alone })
}

/// A step graph.
struct Step {
    onnx: Vec<u8>,
    spec: GraphSpec,
    /// How many steps make a second of speech, if they make any.
    sample_rate: Option<u32>,
}

/// The step graph of a shipped package.
fn step(settings: &Settings, package: &str) -> Result<Step> {
    let repository = Repository::scan(&settings.models)?;
    let package =
        repository.latest().find(|found| found.name().as_str() == package).context("not shipped")?;
    let spec = package.manifest().graphs.iter().find(|graph| graph.is_step() || graph.name == "step");
    let spec = spec.context("no step graph")?.clone();
    let sample_rate = package.manifest().audio.as_ref().map(|audio| audio.sample_rate);
    Ok(Step { onnx: package.graph_bytes(&spec.name)?, spec, sample_rate })
}
