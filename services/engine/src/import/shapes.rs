//! The dimensions of a graph that was not made for us, in the words of a package.

use std::collections::{BTreeMap, BTreeSet};

use atelier_package::{Dim, TensorSpec};

use super::Declared;

/// A dimension as a graph declares it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Open {
    /// Always this many.
    Fixed(usize),
    /// As many as are given, the same wherever the name appears.
    Named(String),
    /// As many as are given; where else so many are is not said.
    Unnamed,
}

impl Open {
    /// As the runtime tells it: a size below 0 is open, and its name may be empty.
    pub(super) fn new(size: i64, symbol: &str) -> Self {
        match usize::try_from(size) {
            Ok(size) => Self::Fixed(size),
            Err(_) if symbol.is_empty() => Self::Unnamed,
            Err(_) => Self::Named(symbol.to_owned()),
        }
    }

    pub(super) fn is(&self, name: &str) -> bool {
        matches!(self, Self::Named(own) if own == name)
    }

    fn fixed(&self, fixed: &BTreeMap<String, usize>) -> Option<usize> {
        match self {
            Self::Fixed(size) => Some(*size),
            Self::Named(name) => fixed.get(name).copied(),
            Self::Unnamed => None,
        }
    }
}

/// The names of a tensor's open dimensions, as the graph has them.
pub(super) fn names(tensor: &Declared) -> Vec<String> {
    let name = |open: &Open| match open {
        Open::Named(name) => Some(name.clone()),
        Open::Fixed(_) | Open::Unnamed => None,
    };
    tensor.open.iter().filter_map(name).collect()
}

/// The inputs with their first dimension as the batch; `None` where the graph is not of that form: every input
/// leaves its first dimension open, all by one name or none, and no other.
pub(super) fn along_a_batch(inputs: &[Declared], fixed: &BTreeMap<String, usize>) -> Option<Vec<TensorSpec>> {
    let mut batch: Option<&Open> = None;
    let mut specs = Vec::with_capacity(inputs.len());
    for input in inputs {
        let (first, rest) = input.open.split_first()?;
        if first.fixed(fixed).is_some() || (*first != Open::Unnamed && batch.is_some_and(|b| b != first)) {
            return None;
        }
        if *first != Open::Unnamed {
            batch = Some(first);
        }
        let rest: Option<Vec<Dim>> = rest.iter().map(|open| open.fixed(fixed).map(Dim::Fixed)).collect();
        let dims = std::iter::once(Dim::BATCH.into()).chain(rest?);
        specs.push(TensorSpec::new(&input.name, input.dtype, dims));
    }
    Some(specs)
}

/// The inputs with their open dimensions by names of their own, none of which is "batch": nothing is joined.
pub(super) fn as_they_are(inputs: &[Declared], fixed: &BTreeMap<String, usize>) -> Vec<TensorSpec> {
    let all: BTreeSet<String> = inputs.iter().flat_map(names).collect();
    let number = |name: &String| all.iter().position(|known| known == name).unwrap_or_default();
    let of = |(place, input): (usize, &Declared)| {
        let dim = |(axis, open): (usize, &Open)| match (open.fixed(fixed), open) {
            (Some(size), _) => Dim::Fixed(size),
            (None, Open::Named(name)) => Dim::Symbol(symbol(name, number(name))),
            (None, _) => Dim::Symbol(format!("input{place}_axis{axis}")),
        };
        TensorSpec::new(&input.name, input.dtype, input.open.iter().enumerate().map(dim))
    };
    inputs.iter().enumerate().map(of).collect()
}

/// The most characters that a package takes in a dimension's name, and how many are kept of one that has more.
const LONGEST: usize = 64;
const KEPT: usize = 32;

/// A dimension's name as a package writes it. Different names, which have different numbers, stay different.
fn symbol(name: &str, number: usize) -> String {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    // Between strokes, so that it is plain where what stands for a character ends.
    let written = |c: char| if plain(c) { c.to_string() } else { format!("_{:x}_", u32::from(c)) };
    let text: String = name.chars().map(written).collect();
    // What is left as it was must not be taken for the batch.
    let whole = format!("dim_{text}");
    if whole.len() <= LONGEST {
        return whole;
    }
    let kept: String = text.chars().take(KEPT).collect();
    format!("dim{number}_{kept}")
}

/// Sizes for every open dimension of some inputs, no two of them equal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sizes(BTreeMap<String, usize>);

impl Sizes {
    /// Two sets, the batch being `rows` in the first. Where other dimensions are open they are multiples of 16,
    /// which most graphs of halves and doubles take.
    pub(super) fn two(inputs: &[TensorSpec], rows: usize) -> [Self; 2] {
        let mut symbols: Vec<&str> = Vec::new();
        for dim in inputs.iter().flat_map(|spec| &spec.shape) {
            if let Dim::Symbol(name) = dim
                && !symbols.contains(&name.as_str())
            {
                symbols.push(name);
            }
        }
        let set = |round: usize| {
            let size = |(place, name): (usize, &&str)| {
                let size = if *name == Dim::BATCH { rows + round } else { 16 * (2 * place + 1 + round) };
                ((*name).to_owned(), size)
            };
            Self(symbols.iter().enumerate().map(size).collect())
        };
        [set(0), set(1)]
    }

    /// The shape of a tensor. A dimension that no input has is taken for 1.
    pub(super) fn of(&self, shape: &[Dim]) -> Vec<usize> {
        let size = |dim: &Dim| match dim {
            Dim::Fixed(size) => *size,
            Dim::Symbol(name) => self.0.get(name).copied().unwrap_or(1),
        };
        shape.iter().map(size).collect()
    }
}

/// The dimensions of an output: what a graph says, and for what it leaves open what two runs with different sizes
/// show. What was equal to the size of one dimension of the inputs in both is that; what was the same in both is
/// fixed; the rest is open by a name of its own.
pub(super) fn derive(
    place: usize,
    open: &[Open],
    (sizes, one): (&Sizes, &[usize]),
    (others, two): (&Sizes, &[usize]),
) -> Vec<Dim> {
    let known = |a: usize, b: usize| {
        sizes
            .0
            .iter()
            .find(|(name, size)| **size == a && others.0.get(*name) == Some(&b))
            .map(|(name, _)| name)
    };
    let dim = |(axis, (open, (a, b))): (usize, (&Open, (&usize, &usize)))| match (open, known(*a, *b)) {
        (Open::Fixed(size), _) => Dim::Fixed(*size),
        (_, Some(name)) => Dim::Symbol(name.clone()),
        (_, None) if a == b => Dim::Fixed(*a),
        (_, None) => Dim::Symbol(format!("output{place}_axis{axis}")),
    };
    open.iter().zip(one.iter().zip(two)).enumerate().map(dim).collect()
}

#[cfg(test)]
mod tests {
    use atelier_package::Dtype;

    use super::*;

    fn declared(name: &str, dims: &[(i64, &str)]) -> Declared {
        let open = dims.iter().map(|(size, symbol)| Open::new(*size, symbol)).collect();
        Declared { name: name.into(), dtype: Dtype::F32, open }
    }

    fn texts(specs: &[TensorSpec]) -> Vec<String> {
        specs.iter().map(TensorSpec::shape_text).collect()
    }

    #[test]
    fn one_open_first_dimension_is_the_batch() {
        let none = BTreeMap::new();
        let batch = |inputs: &[Declared]| along_a_batch(inputs, &none).map(|specs| texts(&specs));
        let (x, n) = (declared("x", &[(-1, "N"), (3, "")]), declared("n", &[(-1, "N")]));
        assert_eq!(batch(&[x, n]).unwrap(), ["[batch, 3]", "[batch]"]);
        let (x, n) = (declared("x", &[(-1, ""), (3, "")]), declared("n", &[(-1, "N")]));
        assert!(batch(&[x, n]).is_some(), "one of them is not named");
        for other in [
            vec![declared("x", &[(-1, "N"), (3, "")]), declared("n", &[(-1, "M")])],
            vec![declared("x", &[(-1, "N"), (-1, "length")])],
            vec![declared("x", &[(1, ""), (3, "")])],
            vec![declared("x", &[])],
        ] {
            assert_eq!(batch(&other), None);
        }
        let fixed = BTreeMap::from([("length".to_owned(), 64)]);
        let specs = along_a_batch(&[declared("x", &[(-1, "N"), (-1, "length")])], &fixed).unwrap();
        assert_eq!(texts(&specs), ["[batch, 64]"]);
    }

    #[test]
    fn what_is_not_joined_has_names_that_a_package_takes_and_never_batch() {
        let inputs = [declared("x", &[(-1, "batch"), (-1, "Höhe+1"), (-1, ""), (4, "")])];
        let specs = as_they_are(&inputs, &BTreeMap::new());
        assert_eq!(texts(&specs), ["[dim_batch, dim__48__f6_he_2b_1, input0_axis2, 4]"]);
    }

    #[test]
    fn different_names_stay_different_in_a_package_however_long_they_are() {
        let long = "sequence_length_of_the_left_input".repeat(4);
        let (one, two, cyrillic) = (format!("{long}1"), format!("{long}2"), "ж".repeat(40));
        let long = [one.as_str(), two.as_str(), cyrillic.as_str()];
        let short = ["_a", "\u{5fa}", "5fa", "_5fa_", "DIM", "dim"];
        let names = [&long[..], &short[..]].concat();
        let dims: Vec<(i64, &str)> = names.iter().map(|name| (-1, *name)).collect();
        let [spec] = &as_they_are(&[declared("x", &dims)], &BTreeMap::new())[..] else { panic!("one input") };
        let symbols: BTreeSet<String> = spec.shape.iter().map(ToString::to_string).collect();
        assert_eq!(symbols.len(), names.len(), "{symbols:?}");
        let package = toml::to_string(spec).unwrap();
        assert_eq!(&toml::from_str::<TensorSpec>(&package).unwrap(), spec, "{package}");
    }

    #[test]
    fn the_outputs_dimensions_follow_from_two_runs() {
        let specs = [TensorSpec::new("x", Dtype::F32, ["batch".into(), "dim_l".into()])];
        let [one, two] = Sizes::two(&specs, 3);
        assert_eq!((one.of(&specs[0].shape), two.of(&specs[0].shape)), (vec![3, 48], vec![4, 64]));
        let open = [Open::Unnamed, Open::Named("l".into()), Open::Unnamed, Open::Unnamed, Open::Fixed(2)];
        let dims = derive(1, &open, (&one, &[3, 48, 10, 96, 2]), (&two, &[4, 64, 10, 128, 2]));
        let dims: Vec<String> = dims.iter().map(ToString::to_string).collect();
        assert_eq!(dims, ["batch", "dim_l", "10", "output1_axis3", "2"]);
    }
}
