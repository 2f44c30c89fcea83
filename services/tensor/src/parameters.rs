//! The parameters of requests: priority, timeout, and what is not offered.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use atelier_chassis::{Deadline, ServiceError};
use atelier_engine::{Priority, Terms};
use atelier_proto::inference::InferParameter;
use atelier_proto::inference::infer_parameter::ParameterChoice;

type Parameters = HashMap<String, InferParameter>;

/// How many values `priority` has besides 0.
pub(crate) const PRIORITY_LEVELS: u64 = 3;
/// What `priority` 0 stands for.
pub(crate) const DEFAULT_PRIORITY: u64 = 2;

/// When and before whom a request is to be run: its own `timeout`, or its call's deadline if that is earlier.
pub(crate) fn terms(parameters: &Parameters, deadline: Option<Deadline>) -> Result<Terms, ServiceError> {
    for name in ["sequence_id", "sequence_start", "sequence_end"] {
        if parameters.contains_key(name) {
            let message = "is not offered: no model here keeps a state from request to request";
            return Err(ServiceError::invalid(path(name), message));
        }
    }
    let priority = match whole(parameters, "priority")? {
        Some(1) => Priority::High,
        None | Some(0 | DEFAULT_PRIORITY) => Priority::Normal,
        Some(PRIORITY_LEVELS) => Priority::Low,
        Some(other) => {
            let message = format!(
                "is {other}, but 0 to {PRIORITY_LEVELS} is right (1 first, {DEFAULT_PRIORITY} default)"
            );
            return Err(ServiceError::invalid(path("priority"), message));
        }
    };
    let timeout = whole(parameters, "timeout")?.filter(|timeout| *timeout > 0).map(Duration::from_micros);
    // What is too far off for the clock is as none.
    let timeout = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let deadline = deadline.map(Deadline::instant).into_iter().chain(timeout).min();
    Ok(Terms { deadline, priority })
}

/// Refuses what Triton knows of inputs and outputs, and what would be passed over in silence otherwise.
pub(crate) fn none_of(field: &str, parameters: &Parameters) -> Result<(), ServiceError> {
    let offered = |name: &&String| !(name.starts_with("shared_memory") || *name == "classification");
    match parameters.keys().find(|name| !offered(name)) {
        None => Ok(()),
        Some(name) => Err(ServiceError::invalid(format!("{field}.parameters.{name}"), "is not offered here")),
    }
}

fn path(name: &str) -> String {
    format!("parameters.{name}")
}

/// A whole number from 0, of whichever type: clients differ.
fn whole(parameters: &Parameters, name: &str) -> Result<Option<u64>, ServiceError> {
    let Some(parameter) = parameters.get(name) else { return Ok(None) };
    let wrong = |found: String| {
        ServiceError::invalid(path(name), format!("is {found}, but a whole number from 0 is right"))
    };
    match &parameter.parameter_choice {
        Some(ParameterChoice::Uint64Param(value)) => Ok(Some(*value)),
        Some(ParameterChoice::Int64Param(value)) => {
            u64::try_from(*value).map(Some).map_err(|_| wrong(value.to_string()))
        }
        Some(_) => Err(wrong("of another type".into())),
        None => Err(wrong("empty".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: &str, choice: ParameterChoice) -> Parameters {
        [(name.to_owned(), InferParameter { parameter_choice: Some(choice) })].into()
    }

    #[test]
    fn a_priority_is_one_of_three_whatever_its_type() {
        let priority = |choice| terms(&with("priority", choice), None).map(|terms| terms.priority);
        assert_eq!(terms(&Parameters::new(), None), Ok(Terms::default()));
        for (level, expected) in
            [(0, Priority::Normal), (1, Priority::High), (2, Priority::Normal), (3, Priority::Low)]
        {
            assert_eq!(priority(ParameterChoice::Uint64Param(level)), Ok(expected));
            assert_eq!(priority(ParameterChoice::Int64Param(level as i64)), Ok(expected));
        }
        for wrong in [
            ParameterChoice::Uint64Param(4),
            ParameterChoice::Int64Param(-1),
            ParameterChoice::StringParam("1".into()),
        ] {
            let error = priority(wrong).unwrap_err().to_string();
            assert!(error.starts_with("parameters.priority: is "), "{error}");
        }
    }

    #[test]
    fn the_earlier_of_timeout_and_deadline_counts() {
        let timeout = |us: i64, deadline| {
            let parameters = with("timeout", ParameterChoice::Int64Param(us));
            let deadline = terms(&parameters, deadline).unwrap().deadline;
            deadline.map(|at| at.saturating_duration_since(Instant::now()))
        };
        let minute = Deadline::after(Duration::from_secs(60));
        assert_eq!(timeout(0, None), None);
        assert!(timeout(1_000_000, minute).unwrap() <= Duration::from_secs(1));
        let left = timeout(i64::MAX, minute).unwrap();
        assert!(left > Duration::from_secs(50) && left <= Duration::from_secs(60), "{left:?}");
    }

    #[test]
    fn what_is_not_offered_is_refused_by_name() {
        let error = terms(&with("sequence_id", ParameterChoice::Uint64Param(7)), None).unwrap_err();
        assert!(error.to_string().starts_with("parameters.sequence_id: is not offered"), "{error}");
        let region = with("shared_memory_region", ParameterChoice::StringParam("r".into()));
        let error = none_of("inputs.x", &region).unwrap_err().to_string();
        assert_eq!(error, "inputs.x.parameters.shared_memory_region: is not offered here");
        assert_eq!(none_of("inputs.x", &with("note", ParameterChoice::BoolParam(true))), Ok(()));
    }
}
