//! Environment variables as configuration.

use toml::{Table, Value};

/// What the variables that are ours start with.
pub const PREFIX: &str = "ATELIER_";

/// The path of the field that a variable sets: `ATELIER_SERVER__MAX_CONNECTIONS` is
/// `["server", "max_connections"]`. `None` for variables that are not ours.
pub(super) fn path(name: &str, value: &str) -> Option<Vec<String>> {
    let name = name.strip_prefix(PREFIX)?;
    if is_service_link(name, value) {
        return None;
    }
    Some(name.split("__").map(str::to_ascii_lowercase).collect())
}

/// Kubernetes puts `NAME_SERVICE_HOST`, `NAME_PORT=tcp://...` and the like into every container for every
/// service, and ours are called `atelier-...`.
fn is_service_link(name: &str, value: &str) -> bool {
    let ends = ["_SERVICE_HOST", "_SERVICE_PORT"].iter().any(|end| name.ends_with(end));
    let port = name.ends_with("_PORT") && value.contains("://");
    let inside = ["_SERVICE_PORT_", "_PORT_"].iter().any(|part| {
        name.split_once(part).is_some_and(|(_, rest)| {
            *part == "_SERVICE_PORT_" || rest.starts_with(|first: char| first.is_ascii_digit())
        })
    });
    ends || port || inside
}

/// The text as the type that the default at this path has. Where that is not known (an option that is
/// unset by default): as TOML if it is a number, a boolean or a list, and as text otherwise.
pub(super) fn value(shape: &Table, path: &[String], text: &str) -> Value {
    let string = || Value::String(text.to_owned());
    match lookup(shape, path) {
        Some(Value::String(_)) => string(),
        _ => literal(text).unwrap_or_else(string),
    }
}

fn lookup<'a>(shape: &'a Table, path: &[String]) -> Option<&'a Value> {
    let (last, tables) = path.split_last()?;
    tables.iter().try_fold(shape, |table, key| table.get(key)?.as_table())?.get(last)
}

fn literal(text: &str) -> Option<Value> {
    let mut table = format!("value = {text}").parse::<Table>().ok()?;
    // More than one key: the text has line breaks and is no literal.
    if table.len() != 1 { None } else { table.remove("value") }
}
