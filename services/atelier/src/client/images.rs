//! Images as the input of a command, several at once.

use std::path::PathBuf;

use atelier_proto::codec::v1::{Fit, Image};
use clap::ValueEnum;
use futures_util::{StreamExt, stream};

use crate::cli::failure::{Exit, Failure};
use crate::files::{input, progress};

/// Which images go in, and how.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct ImagesArgs {
    /// PNG or JPEG files; `-` is stdin
    #[arg(value_name = "IMAGE", default_value = "-")]
    pub(super) images: Vec<PathBuf>,
    #[command(flatten)]
    pub(super) fit: FitArgs,
    #[command(flatten)]
    pub(super) jobs: JobsArgs,
}

/// How many calls are under way at once.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct JobsArgs {
    /// How many calls are under way at once
    #[arg(long, short, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=256))]
    jobs: u32,
}

/// How an image is brought to the size of the model.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct FitArgs {
    /// How an image is brought to the size and colour mode of the model
    #[arg(long, value_enum, default_value_t = FitArg::Contain)]
    fit: FitArg,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FitArg {
    /// Refuse an image of any other size or colour mode
    Exact,
    /// Resize; proportions may change
    Stretch,
    /// Resize to lie within, padded with black
    Contain,
    /// Resize to cover, cropped evenly
    Cover,
}

impl FitArgs {
    /// The number for a request.
    pub(super) fn number(&self) -> i32 {
        i32::from(match self.fit {
            FitArg::Exact => Fit::Exact,
            FitArg::Stretch => Fit::Stretch,
            FitArg::Contain => Fit::Contain,
            FitArg::Cover => Fit::Cover,
        })
    }
}

impl JobsArgs {
    /// Does the work for each name, some at once, and hands the results on in the order of the names.
    ///
    /// Input that is refused does not stop the others: it is said at once, and the exit code says it at
    /// the end. Anything else does.
    pub(super) async fn each<R>(
        &self,
        names: &[String],
        what: &'static str,
        work: impl AsyncFn(usize) -> Result<R, Failure>,
        mut done: impl FnMut(usize, R) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let bar = progress::bar(names.len(), what);
        let mut refused = false;
        let work = &work;
        let mut results = stream::iter(names.iter().enumerate())
            .map(|(index, name)| async move { (index, name, work(index).await) })
            .buffered(usize::try_from(self.jobs).unwrap_or(1));
        while let Some((index, name, result)) = results.next().await {
            match result {
                Ok(result) => done(index, result)?,
                Err(failure) if names.len() == 1 => return Err(failure),
                Err(failure) => {
                    let failure = failure.about(name);
                    if failure.exit() != Exit::BadInput {
                        bar.abandon();
                        return Err(failure);
                    }
                    bar.suspend(|| failure.say());
                    refused = true;
                }
            }
            bar.inc(1);
        }
        bar.finish_and_clear();
        if refused { Err(Failure::said(Exit::BadInput)) } else { Ok(()) }
    }
}

/// Whether something ended [`JobsArgs::each`] before its end: what was refused does not.
pub(super) fn stopped(ended: &Result<(), Failure>) -> bool {
    ended.as_ref().is_err_and(|failure| failure.exit() != Exit::BadInput)
}

impl ImagesArgs {
    /// The files as the user calls them.
    pub(super) fn names(&self) -> Vec<String> {
        self.images.iter().map(|path| path.display().to_string()).collect()
    }

    /// The bytes of one of them. A file that cannot be read says its own name.
    pub(super) fn read(&self, index: usize) -> Result<Vec<u8>, Failure> {
        match self.images.get(index) {
            Some(path) => input::bytes(path),
            None => Err(Failure::usage("no such image")),
        }
    }
}

/// A file as the API takes it; its format is for the server to find out.
pub(super) fn image(data: Vec<u8>) -> Image {
    Image { data: data.into(), ..Image::default() }
}

/// The picture of an answer.
///
/// # Errors
/// `Other` for an answer without one, which breaks the API's word.
pub(super) fn picture(image: Option<Image>) -> Result<Vec<u8>, Failure> {
    image
        .map(|image| image.data.to_vec())
        .filter(|data| !data.is_empty())
        .ok_or_else(|| Failure::new(Exit::Other, "the server answered without a picture"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::block_on;

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|i| format!("{i}.png")).collect()
    }

    #[test]
    fn results_come_in_order_and_no_more_calls_than_allowed_are_under_way() {
        let (under_way, most) = (std::cell::Cell::new(0_u32), std::cell::Cell::new(0_u32));
        let mut seen = Vec::new();
        let work = async |index: usize| {
            under_way.set(under_way.get() + 1);
            most.set(most.get().max(under_way.get()));
            // The first take longest.
            for _ in index..8 {
                tokio::task::yield_now().await;
            }
            under_way.set(under_way.get() - 1);
            Ok(index)
        };
        let done = |index, result| {
            assert_eq!(index, result);
            seen.push(index);
            Ok(())
        };
        block_on(JobsArgs { jobs: 3 }.each(&names(8), "images", work, done)).unwrap();
        assert_eq!(seen, [0, 1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(most.get(), 3);
    }

    #[test]
    fn refused_input_does_not_stop_the_others_but_shows_in_the_exit_code() {
        let mut seen = Vec::new();
        let work = async |index| match index {
            1 => Err(Failure::bad_input("not an image")),
            index => Ok(index),
        };
        let done = |index, _| {
            seen.push(index);
            Ok(())
        };
        let failed = block_on(JobsArgs { jobs: 1 }.each(&names(3), "images", work, done)).unwrap_err();
        assert_eq!(seen, [0, 2]);
        assert_eq!((failed.exit(), failed.line()), (Exit::BadInput, None));
    }

    #[test]
    fn a_server_that_is_away_stops_everything() {
        let work = async |_: usize| Err::<(), _>(Failure::new(Exit::Unavailable, "draining"));
        let failed =
            block_on(JobsArgs { jobs: 1 }.each(&names(3), "images", work, |_, ()| Ok(()))).unwrap_err();
        assert_eq!((failed.exit(), failed.line()), (Exit::Unavailable, Some("0.png: draining")));
    }
}
