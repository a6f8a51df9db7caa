//! Which input goes where.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::location::StoreUrl;
use super::{Descriptor, Place, display, is_standard};
use crate::exit::Failure;
use crate::report::Report;

/// Names the output of an input.
pub(super) type Naming = fn(&Path) -> Result<PathBuf, Failure>;

/// One input and its output.
#[derive(Debug)]
pub(crate) struct Job {
    /// The input.
    pub(crate) input: PathBuf,
    /// Where its result goes, or why it can go nowhere.
    pub(crate) place: Result<Place, Failure>,
}

/// Finds each input its output: `output` or a file in it, or else what `naming` makes of the input's name.
///
/// Fails if the request as a whole makes no sense; what is wrong with one input alone is in its job.
pub(crate) fn plan(inputs: &[PathBuf], output: Option<&Path>, naming: Naming) -> Result<Vec<Job>, Failure> {
    if inputs.iter().filter(|input| is_standard(input)).count() > 1 {
        return Err(Failure::usage("standard input can be read once only"));
    }
    let into = output.filter(|output| is_directory(output));
    if inputs.len() > 1
        && into.is_none()
        && let Some(output) = output
    {
        let hint = match StoreUrl::of(output) {
            Some(_) => ", whose name ends in /",
            None => "",
        };
        let message = format!(
            "{}: for several inputs the output must be a directory{hint}",
            display(output)
        );
        return Err(Failure::usage(message));
    }
    let mut taken = HashSet::new();
    let jobs = inputs.iter().map(|input| {
        let place = match (into, output) {
            (Some(directory), _) => in_directory(directory, input, naming),
            (None, Some(output)) => Ok(Place::named(output)),
            (None, None) if !is_standard(input) => naming(input).map(|name| Place::named(&name)),
            (None, None) if inputs.len() == 1 => Ok(Place::Stdout { by_name: false }),
            (None, None) => Err(Failure::usage(
                "beside other inputs it needs a directory for its output: -o DIR",
            )),
        };
        let place = place.and_then(|place| match place.path() {
            Some(path) if !taken.insert(path.clone().into_owned()) => {
                let message = format!("its output {} is another input's too; encrypt it apart", display(&path));
                Err(Failure::usage(message))
            }
            _ => Ok(place),
        });
        Job {
            input: input.clone(),
            place,
        }
    });
    Ok(jobs.collect())
}

fn is_directory(output: &Path) -> bool {
    StoreUrl::of(output).map_or_else(|| output.is_dir(), |url| url.is_directory())
}

fn in_directory(directory: &Path, input: &Path, naming: Naming) -> Result<Place, Failure> {
    match input.file_name() {
        Some(name) if !is_standard(input) => {
            let name = naming(Path::new(name))?;
            Ok(match (StoreUrl::of(directory), name.to_str()) {
                (None, _) => Place::Path(directory.join(name)),
                (Some(directory), Some(name)) => Place::Store(directory.join(name)),
                (Some(_), None) => {
                    return Err(Failure::usage(
                        "a store takes no name that is not UTF-8; give the output's",
                    ));
                }
            })
        }
        _ => Err(Failure::usage(format!(
            "{} is a directory, and the input has no name to use in it: give the output's",
            display(directory)
        ))),
    }
}

/// Runs `work` on every item, even if others fail; returns the exit code of the first failure.
///
/// If the reader of the output is gone or a key service does not answer, the remaining items are not begun: each would
/// wait as long and fail.
pub(crate) fn try_all<T>(
    report: &Report,
    command: &str,
    on_stdout: bool,
    items: Vec<T>,
    path: impl Fn(&T) -> &Path,
    mut work: impl FnMut(T) -> Result<(), Failure>,
) -> u8 {
    // Where the results go, if data has standard output.
    if on_stdout
        && report.is_json()
        && let Err(failure) = Descriptor::STDERR.writing()
    {
        report.failure(command, None, on_stdout, &failure);
        return failure.code as u8;
    }
    let mut code = 0;
    let mut items = items.into_iter();
    while let Some(item) = items.next() {
        let input = path(&item).to_owned();
        if let Err(failure) = work(item) {
            report.failure(command, Some(&input), on_stdout, &failure);
            if code == 0 {
                code = failure.code as u8;
            }
            let left = items.len();
            if failure.ends_run && left > 0 {
                report.note(&format!(
                    "{left} more inputs not begun, as the key service does not serve us now"
                ));
            }
            if failure.is_quiet() || failure.ends_run {
                break;
            }
        }
    }
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::unnecessary_wraps, reason = "the shape of a naming")]
    fn sealed(path: &Path) -> Result<PathBuf, Failure> {
        Ok(path.with_extension("seal"))
    }

    fn places(inputs: &[&str], output: Option<&str>) -> Result<Vec<Result<Place, Failure>>, Failure> {
        let inputs: Vec<_> = inputs.iter().map(PathBuf::from).collect();
        plan(&inputs, output.map(Path::new), sealed).map(|jobs| jobs.into_iter().map(|job| job.place).collect())
    }

    #[test]
    fn one_input_goes_beside_itself_or_where_it_is_told() {
        let place = |inputs: &[&str], output| places(inputs, output).unwrap().remove(0).unwrap();
        assert_eq!(place(&["d/a"], None), Place::Path("d/a.seal".into()));
        assert_eq!(place(&["d/a"], Some("b")), Place::Path("b".into()));
        assert_eq!(place(&["d/a"], Some("-")), Place::Stdout { by_name: true });
        assert_eq!(place(&["-"], None), Place::Stdout { by_name: false });
        let directory = std::env::temp_dir();
        assert_eq!(
            place(&["d/a"], directory.to_str()),
            Place::Path(directory.join("a.seal"))
        );
    }

    #[test]
    fn several_inputs_need_a_directory_and_different_names() {
        assert!(places(&["a", "b"], Some("c")).is_err());
        assert!(places(&["a", "b"], Some("-")).is_err());
        assert!(places(&["-", "-"], None).is_err());
        assert!(places(&["a", "-"], None).unwrap()[1].is_err());
        let directory = std::env::temp_dir();
        let places = places(&["x/a", "y/a"], directory.to_str()).unwrap();
        assert!(places[0].is_ok() && places[1].is_err());
    }
}
