//! What the models of an engine do.

use atelier_engine::{Activity, Device, Distribution, Engine};

use super::{Exposition, Metrics};

/// Shows an engine's models from now on.
pub fn watch(metrics: &Metrics, engine: Engine) {
    metrics.add(move |exposition| collect(&engine, exposition));
}

fn collect(engine: &Engine, exposition: &mut Exposition) {
    exposition.gauge(
        "atelier_engine_models_not_loaded",
        "Packages that were found whole and could not be loaded.",
        &[],
        engine.not_loaded().len() as f64,
    );
    let plan = engine.plan();
    let device = plan.device.to_string();
    let mut planned = |name, help, value: usize| {
        let labels = [("provider", provider(plan.device)), ("device", &*device)];
        exposition.gauge(name, help, &labels, value as f64);
    };
    planned("atelier_engine_cores", "Cores that the process may use for models.", plan.parallelism);
    planned(
        "atelier_engine_threads_limit",
        "Threads that may compute at one time, in sum over all sessions.",
        plan.running,
    );
    for model in engine.models().iter() {
        let version = model.version().to_string();
        let labels = [("model", model.name().as_str()), ("version", &*version)];
        let [name, number] = labels;
        exposition.gauge(
            "atelier_engine_provider_info",
            "Always 1; the labels say on which execution provider a model runs.",
            &[name, number, ("provider", provider(model.device())), ("device", &model.device().to_string())],
            1.0,
        );
        for activity in model.activity() {
            let labels = [name, number, ("graph", &*activity.graph)];
            let planned = format!("{}/{version}/{}", model.name(), activity.graph);
            if let Some(planned) = plan.graphs.iter().find(|graph| graph.name == planned) {
                exposition.gauge(
                    "atelier_engine_session_threads",
                    "Threads that each session of the graph computes with, of which there is one for each worker.",
                    &labels,
                    planned.threads as f64,
                );
            }
            graph(&labels, &activity, exposition);
        }
    }
}

fn provider(device: Device) -> &'static str {
    match device {
        Device::Cpu => "cpu",
        Device::Cuda(_) => "cuda",
    }
}

fn graph(labels: &[(&str, &str); 3], activity: &Activity, exposition: &mut Exposition) {
    let mut gauge = |name, help, value: usize| exposition.gauge(name, help, labels, value as f64);
    gauge(
        "atelier_engine_queue_depth",
        "Requests or streams of which nothing has been computed yet.",
        activity.line.waiting,
    );
    gauge(
        "atelier_engine_running",
        "Requests or parts of them that are being computed, or streams that have a slot.",
        activity.running,
    );
    gauge("atelier_engine_workers", "Threads that run the graph.", activity.workers.total);
    gauge("atelier_engine_workers_healthy", "Of them, those whose session runs.", activity.workers.healthy);
    if let Some(slots) = activity.slots {
        gauge("atelier_engine_slots", "Streams that can advance together.", slots);
        gauge("atelier_engine_slots_used", "Streams that have a slot.", activity.running);
        gauge("atelier_engine_streams_waiting", "Streams that wait for a slot.", activity.line.waiting);
    }
    exposition.gauge(
        "atelier_engine_oldest_queued_seconds",
        "How long the request or stream that has waited longest has waited; 0 where none waits.",
        labels,
        activity.line.oldest.unwrap_or_default().as_secs_f64(),
    );

    let [model, version, graph] = *labels;
    let outcomes = activity.outcomes;
    for (reason, count) in [
        ("answered", outcomes.answered),
        ("refused", outcomes.refused),
        ("expired", outcomes.expired),
        ("failed", outcomes.failed),
        ("cancelled", outcomes.cancelled),
    ] {
        exposition.counter(
            "atelier_engine_requests_total",
            "Requests or streams that are over, by how they ended.",
            &[model, version, graph, ("reason", reason)],
            count as f64,
        );
    }
    let work = activity.work;
    let mut counter = |name, help, count: u64| exposition.counter(name, help, labels, count as f64);
    counter("atelier_engine_batches_total", "Runs of the graph.", work.batches);
    counter("atelier_engine_rows_total", "Rows in them, without padding.", work.rows);
    counter(
        "atelier_engine_padding_rows_total",
        "Rows added to them to come to a size that the graph is run at.",
        work.padding,
    );

    let times = &activity.times;
    let mut histogram = |name, help, seen: &Distribution| {
        exposition.histogram(name, help, labels, (seen.bounds, &seen.counts, seen.sum));
    };
    histogram(
        "atelier_engine_queue_seconds",
        "What requests waited for a worker, and streams for a slot.",
        &times.queue,
    );
    histogram("atelier_engine_compute_seconds", "What runs of the graph took.", &times.compute);
    histogram("atelier_engine_batch_rows", "Rows of runs, without padding.", &times.rows);
}
