//! Who computes where: threads and workers for each graph, as a pure function.

use std::cmp::Reverse;
use std::fmt;

use crate::runtime::Device;

/// Beyond this many threads graphs of our size gain little from one more.
const THREADS_A_SESSION: usize = 4;
/// Where that leaves cores over that would have nothing to do, a session has one less,
const FEWEST_THREADS: usize = 3;
/// or up to this many.
const MOST_THREADS: usize = 7;

/// A graph that wants to be served.
#[derive(Debug, Clone, PartialEq)]
pub struct GraphLoad {
    /// `MODEL/VERSION/GRAPH`.
    pub name: String,
    /// A step graph keeps its streams in one worker; another may have several.
    pub step: bool,
    /// How much of the machine it may want next to the others; without a measurement all weigh 1.
    pub weight: f64,
}

/// What one graph was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GraphPlan {
    /// `MODEL/VERSION/GRAPH`.
    pub name: String,
    /// Sessions, each with a thread of its own.
    pub workers: usize,
    /// Threads that each session computes with, the worker's own among them.
    pub threads: usize,
    /// Up to so many streams are stepped by one session with all of these threads instead; 0: none are.
    pub few: usize,
}

/// The assignment of this process's compute to its graphs.
///
/// There are usually more sessions than cores. All of them sleep when idle (spinning is off), and the sum of
/// the threads that compute at one time is bounded by `running`, process-wide: a worker waits its turn
/// before it forms its batch. So a lone graph has the whole machine, and many share it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Where the graphs run.
    pub device: Device,
    /// Cores this process may use (affinity and cgroup quota).
    pub parallelism: usize,
    /// Threads that may compute at one time, in sum over all sessions; never more than `parallelism`.
    pub running: usize,
    /// In the order in which the graphs were given.
    pub graphs: Vec<GraphPlan>,
}

impl Plan {
    /// Computes the plan. `parallelism` of 0 is taken for 1; a weight that is no positive number for the
    /// least.
    ///
    /// On the CPU a session has about four threads, since one session with all of a small machine's cores
    /// was measured to match several with one each; a larger machine gets more workers. All cores are used up to
    /// seven, and beyond that all but two at most. The heaviest graph gets as many workers as can run at once, a
    /// lighter one in proportion, each at least one. On CUDA one worker a graph feeds the device.
    pub fn compute(parallelism: usize, device: Device, graphs: &[GraphLoad]) -> Self {
        let parallelism = parallelism.max(1);
        let threads = match device {
            Device::Cpu => threads_a_session(parallelism),
            Device::Cuda(_) => 1,
        };
        let at_once = (parallelism / threads).max(1);
        let heaviest = graphs.iter().map(|g| g.weight).filter(|w| w.is_finite()).fold(0.0, f64::max);
        let workers = |g: &GraphLoad| {
            if g.step || device != Device::Cpu {
                return 1;
            }
            let share = if heaviest > 0.0 && g.weight.is_finite() { g.weight / heaviest } else { 0.0 };
            // From at_once, a small integer: the cast cannot lose anything.
            ((at_once as f64 * share).ceil() as usize).clamp(1, at_once)
        };
        let graphs = graphs
            .iter()
            .map(|g| GraphPlan { name: g.name.clone(), workers: workers(g), threads, few: 0 })
            .collect();
        Self { device, parallelism, running: at_once * threads, graphs }
    }
}

/// The number that leaves the fewest of so many cores over; of several the one nearest to [`THREADS_A_SESSION`].
fn threads_a_session(cores: usize) -> usize {
    let each = cores.min(FEWEST_THREADS)..=cores.min(MOST_THREADS);
    // Of equals the last, which is the smaller.
    each.rev().max_by_key(|n| (cores / n * n, Reverse(n.abs_diff(THREADS_A_SESSION)))).unwrap_or(1)
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "device {}, {} cores, {} threads at once", self.device, self.parallelism, self.running)?;
        for g in &self.graphs {
            write!(f, "; {}: {} x {} threads", g.name, g.workers, g.threads)?;
            if g.few > 0 {
                write!(f, " (up to {} streams by one whose threads divide a step)", g.few)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn load(name: &str, step: bool, weight: f64) -> GraphLoad {
        GraphLoad { name: name.into(), step, weight }
    }

    #[test]
    fn on_two_cores_each_session_has_both_and_one_runs_at_a_time() {
        let plan = Plan::compute(2, Device::Cpu, &[load("a", false, 1.0), load("b", true, 1.0)]);
        assert_eq!(
            plan.to_string(),
            "device cpu, 2 cores, 2 threads at once; a: 1 x 2 threads; b: 1 x 2 threads"
        );
    }

    #[test]
    fn a_larger_machine_gives_the_heavier_graph_more_workers() {
        let plan = Plan::compute(16, Device::Cpu, &[load("a", false, 4.0), load("b", false, 1.0)]);
        let workers: Vec<usize> = plan.graphs.iter().map(|g| g.workers).collect();
        assert_eq!((workers, plan.running), (vec![4, 1], 16));
    }

    #[test]
    fn sessions_are_such_that_few_cores_are_left_over() {
        let alone = |cores| {
            let graph = Plan::compute(cores, Device::Cpu, &[load("a", false, 1.0)]).graphs.remove(0);
            (graph.workers, graph.threads)
        };
        let few = [(1, 1), (1, 2), (1, 3), (1, 4), (1, 5), (2, 3), (1, 7), (2, 4), (3, 3), (2, 5)];
        assert_eq!([1, 2, 3, 4, 5, 6, 7, 8, 9, 10].map(alone), few);
        assert_eq!([11, 12, 14, 16, 19, 64].map(alone), [(2, 5), (3, 4), (2, 7), (4, 4), (6, 3), (16, 4)]);
    }

    proptest! {
        #[test]
        fn no_plan_runs_more_threads_than_the_machine_has_or_many_less(
            parallelism in 0_usize..300,
            cuda in any::<bool>(),
            weights in proptest::collection::vec((any::<bool>(), any::<f64>()), 0..20),
        ) {
            let graphs: Vec<GraphLoad> = weights.iter().map(|(s, w)| load("g", *s, *w)).collect();
            let device = if cuda { Device::Cuda(0) } else { Device::Cpu };
            let plan = Plan::compute(parallelism, device, &graphs);
            prop_assert!(plan.running >= 1 && plan.running <= parallelism.max(1));
            let over = parallelism.max(1) - plan.running;
            prop_assert!(over == 0 || parallelism > 7 && over <= 2, "{over} of {parallelism} cores idle");
            for g in &plan.graphs {
                prop_assert!(g.workers >= 1 && g.threads >= 1);
                prop_assert!(g.workers * g.threads <= plan.running);
            }
        }
    }
}
