//! What a tensor of a graph looks like.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::ImageShape;
use crate::error::FieldError;
use crate::name::shorten;
use crate::tensor::{Dtype, Tensor};

/// One dimension: a number, or a name for what only a request knows (`batch`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dim {
    /// Always this many, at least 1.
    Fixed(usize),
    /// As many as the request brings, at least 1; the same wherever the name appears in one graph.
    Symbol(String),
}

impl Dim {
    /// The name of the dimension along which requests are joined.
    pub const BATCH: &'static str = "batch";

    /// Whether requests can be joined along this dimension.
    pub fn is_batch(&self) -> bool {
        matches!(self, Self::Symbol(s) if s == Self::BATCH)
    }
}

impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(n) => n.fmt(f),
            Self::Symbol(s) => f.write_str(s),
        }
    }
}

impl From<usize> for Dim {
    fn from(n: usize) -> Self {
        Self::Fixed(n)
    }
}

impl From<&str> for Dim {
    fn from(s: &str) -> Self {
        Self::Symbol(s.to_owned())
    }
}

impl Serialize for Dim {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Fixed(n) => s.serialize_u64(*n as u64),
            Self::Symbol(name) => s.serialize_str(name),
        }
    }
}

impl<'de> Deserialize<'de> for Dim {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct DimVisitor;
        impl Visitor<'_> for DimVisitor {
            type Value = Dim;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a dimension: an integer from 1, or a name such as \"batch\"")
            }

            fn visit_i64<E: de::Error>(self, n: i64) -> Result<Dim, E> {
                match usize::try_from(n) {
                    Ok(n) if n > 0 => Ok(Dim::Fixed(n)),
                    _ => Err(E::invalid_value(de::Unexpected::Signed(n), &self)),
                }
            }

            fn visit_u64<E: de::Error>(self, n: u64) -> Result<Dim, E> {
                match usize::try_from(n) {
                    Ok(n) if n > 0 => Ok(Dim::Fixed(n)),
                    _ => Err(E::invalid_value(de::Unexpected::Unsigned(n), &self)),
                }
            }

            fn visit_str<E: de::Error>(self, s: &str) -> Result<Dim, E> {
                let identifier = s.starts_with(|c: char| c.is_ascii_lowercase())
                    && s.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
                    && s.len() <= 64;
                if identifier {
                    Ok(Dim::Symbol(s.to_owned()))
                } else {
                    Err(E::invalid_value(de::Unexpected::Str(&shorten(s)), &self))
                }
            }
        }
        d.deserialize_any(DimVisitor)
    }
}

/// The symbols of a graph with the sizes that a request gave them.
pub type Bindings = BTreeMap<String, usize>;

/// A tensor does not have the dtype or shape of its spec.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ShapeMismatch(String);

/// Name, type and shape of one input or output of a graph.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TensorSpec {
    /// The name in the ONNX graph.
    pub name: String,
    /// The element type.
    pub dtype: Dtype,
    /// The dimensions, outermost first.
    pub shape: Vec<Dim>,
    /// The least and the greatest value, both included; requests outside of it are refused. Without it any
    /// finite value will do. For outputs it says what to expect and is not enforced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<[f64; 2]>,
}

impl TensorSpec {
    /// A spec without a range.
    pub fn new(name: impl Into<String>, dtype: Dtype, shape: impl IntoIterator<Item = Dim>) -> Self {
        Self { name: name.into(), dtype, shape: shape.into_iter().collect(), range: None }
    }

    /// The same with the range `[lo, hi]`.
    #[must_use]
    pub fn with_range(mut self, lo: f64, hi: f64) -> Self {
        self.range = Some([lo, hi]);
        self
    }

    /// Which axis is the batch, if one is.
    pub fn batch_axis(&self) -> Option<usize> {
        self.shape.iter().position(Dim::is_batch)
    }

    /// Channels, height and width, where it is `[batch, channels, height, width]` and the last three are fixed.
    pub fn image_shape(&self) -> Option<ImageShape> {
        match self.shape.as_slice() {
            [batch, Dim::Fixed(channels), Dim::Fixed(height), Dim::Fixed(width)] if batch.is_batch() => {
                Some(ImageShape { channels: *channels, height: *height, width: *width })
            }
            _ => None,
        }
    }

    /// The shape as one would write it: `[batch, 1, 28, 28]`.
    pub fn shape_text(&self) -> String {
        let dims: Vec<String> = self.shape.iter().map(ToString::to_string).collect();
        format!("[{}]", dims.join(", "))
    }

    /// Whether `tensor` fits: same dtype and shape, where a symbol takes the size it meets first (kept in
    /// `bindings`, to be shared between the tensors of one graph) and has it everywhere after.
    pub fn check_shape(&self, tensor: &Tensor, bindings: &mut Bindings) -> Result<(), ShapeMismatch> {
        let wrong = |why: String| {
            ShapeMismatch(format!(
                "is {} {:?}, but {} {} is right{why}",
                tensor.dtype(),
                tensor.shape(),
                self.dtype,
                self.shape_text()
            ))
        };
        if tensor.dtype() != self.dtype {
            return Err(wrong(String::new()));
        }
        self.check_sizes(tensor.shape(), bindings).map_err(wrong)
    }

    /// Whether the dimensions `sizes` fit, as for [`check_shape`](Self::check_shape). The error is what there is to
    /// add to "but this shape is right": nothing, or ", with batch at least 1".
    pub fn check_sizes(&self, sizes: &[usize], bindings: &mut Bindings) -> Result<(), String> {
        if sizes.len() != self.shape.len() {
            return Err(String::new());
        }
        for (dim, &size) in self.shape.iter().zip(sizes) {
            match dim {
                Dim::Fixed(n) if *n == size => {}
                Dim::Fixed(_) => return Err(String::new()),
                Dim::Symbol(s) if size == 0 => return Err(format!(", with {s} at least 1")),
                Dim::Symbol(s) => {
                    let bound = *bindings.entry(s.clone()).or_insert(size);
                    if bound != size {
                        return Err(format!(", with {s} = {bound} as in the tensors before it"));
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether every element is finite and within `range`. The message names the first that is not.
    pub fn check_values(&self, tensor: &Tensor) -> Result<(), ShapeMismatch> {
        let [lo, hi] = self.range.unwrap_or([f64::NEG_INFINITY, f64::INFINITY]);
        let bad = match tensor.data() {
            // As f32: 0.55 as f32 is a hair more than 0.55 as f64, and yet within a range up to 0.55.
            crate::TensorData::F32(v) => v
                .iter()
                .position(|x| !x.is_finite() || *x < lo as f32 || *x > hi as f32)
                .and_then(|i| v.get(i).map(|x| (i, x.to_string()))),
            crate::TensorData::I64(v) => v
                .iter()
                .position(|x| (*x as f64) < lo || (*x as f64) > hi)
                .and_then(|i| v.get(i).map(|x| (i, x.to_string()))),
        };
        match bad {
            None => Ok(()),
            Some((i, x)) if self.range.is_some() => {
                Err(ShapeMismatch(format!("element {i} is {x}, but values from {lo} to {hi} are right")))
            }
            Some((i, x)) => Err(ShapeMismatch(format!("element {i} is {x}, but finite values are right"))),
        }
    }

    pub(crate) fn validate(&self, at: &str) -> Result<(), FieldError> {
        if self.name.is_empty() || self.name.len() > 256 || self.name.chars().any(char::is_control) {
            return Err(FieldError::new(
                format!("{at}.name"),
                format!("`{}` is no tensor name: 1 to 256 printable bytes are", shorten(&self.name)),
            ));
        }
        let field = |part: &str| format!("{at}.{}.{part}", self.name);
        if self.shape.len() > 8 {
            return Err(FieldError::new(field("shape"), "has more than 8 dimensions"));
        }
        if self.shape.iter().filter(|d| d.is_batch()).count() > 1 {
            return Err(FieldError::new(field("shape"), "names \"batch\" more than once"));
        }
        let fixed = self.shape.iter().try_fold(1_usize, |n, d| match d {
            Dim::Fixed(size) => n.checked_mul(*size),
            Dim::Symbol(_) => Some(n),
        });
        if fixed.is_none_or(|n| n > 1 << 30) {
            return Err(FieldError::new(field("shape"), "has more than 2^30 elements for a batch of one"));
        }
        match self.range {
            Some([lo, hi]) if !(lo.is_finite() && hi.is_finite() && lo <= hi) => Err(FieldError::new(
                field("range"),
                format!("is [{lo}, {hi}], but two finite numbers, the lesser first, are right"),
            )),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_of_a_range_are_within_it_although_f32_rounds_them() {
        let spec = TensorSpec::new("sigma", Dtype::F32, ["batch".into()]).with_range(0.0, 0.55);
        let check = |x: f32| spec.check_values(&Tensor::f32([1], vec![x]).unwrap());
        assert!(check(0.0).is_ok() && check(0.55).is_ok());
        let above = check(0.551).unwrap_err().to_string();
        assert_eq!(above, "element 0 is 0.551, but values from 0 to 0.55 are right");
        for bad in [f32::NAN, f32::INFINITY, -f32::MIN_POSITIVE] {
            assert!(check(bad).is_err(), "{bad} was accepted");
        }
    }

    #[test]
    fn a_symbol_has_one_size_in_all_tensors_of_a_graph() {
        let a = TensorSpec::new("a", Dtype::F32, ["batch".into(), 2.into()]);
        let b = TensorSpec::new("b", Dtype::F32, ["batch".into()]);
        let t = |shape: &[usize]| Tensor::f32(shape, vec![0.0; shape.iter().product()]).unwrap();
        let mut bindings = Bindings::new();
        a.check_shape(&t(&[3, 2]), &mut bindings).unwrap();
        assert_eq!(bindings[Dim::BATCH], 3);
        b.check_shape(&t(&[3]), &mut bindings).unwrap();
        let e = b.check_shape(&t(&[1]), &mut bindings).unwrap_err().to_string();
        assert_eq!(e, "is f32 [1], but f32 [batch] is right, with batch = 3 as in the tensors before it");
    }
}
