//! What `atelier-train` can be told to do.

pub(crate) mod data;
pub(crate) mod evaluate;
pub(crate) mod export;
pub(crate) mod fit;
pub(crate) mod report;

use std::path::PathBuf;

/// Where data sets are looked for.
#[derive(clap::Args)]
pub(crate) struct DataDir {
    /// The directory that holds the data sets.
    #[arg(long = "data", env = "ATELIER_DATA", default_value = "data", value_name = "DIR")]
    pub(crate) dir: PathBuf,
}
