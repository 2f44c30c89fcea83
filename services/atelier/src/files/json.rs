//! The parts of answers that several commands write as JSON.

use atelier_proto::codec::v1::Code;
use atelier_proto::models::v1::ModelVersion;
use prost_types::value::Kind;
use serde_json::{Value, json};

/// `{"name": …, "version": …}`.
pub(crate) fn model(model: Option<&ModelVersion>) -> Value {
    model.map_or(Value::Null, |m| json!({ "name": m.name, "version": m.version }))
}

/// The numbers of a code.
pub(crate) fn code(code: Option<&Code>) -> Value {
    code.map_or(Value::Null, |code| numbers(&code.values))
}

/// A list of numbers of single precision.
pub(crate) fn numbers(numbers: &[f32]) -> Value {
    numbers.iter().map(|x| number(*x)).collect()
}

/// A number of single precision in as few digits as say which: 0.2, and not 0.20000000298023224.
pub(crate) fn number(number: f32) -> Value {
    number.to_string().parse::<f64>().map_or(Value::Null, Value::from)
}

/// A `google.protobuf.Struct` as the object that it stands for.
pub(crate) fn object(object: &prost_types::Struct) -> Value {
    Value::Object(object.fields.iter().map(|(key, v)| (key.clone(), value(v))).collect())
}

fn value(value: &prost_types::Value) -> Value {
    match &value.kind {
        None | Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::NumberValue(number)) => json!(number),
        Some(Kind::StringValue(text)) => json!(text),
        Some(Kind::BoolValue(truth)) => json!(truth),
        Some(Kind::StructValue(inner)) => object(inner),
        Some(Kind::ListValue(list)) => list.values.iter().map(self::value).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_single_precision_have_no_more_digits_than_they_need() {
        assert_eq!(numbers(&[0.2, -1.0, 1e-9, f32::MAX]).to_string(), "[0.2,-1.0,1e-9,3.4028235e+38]");
        assert_eq!(number(f32::NAN), Value::Null);
    }

    #[test]
    fn a_struct_keeps_its_shape() {
        let number = |n| prost_types::Value { kind: Some(Kind::NumberValue(n)) };
        let inner = prost_types::Struct { fields: [("bm3d".to_owned(), number(26.1))].into() };
        let outer = prost_types::Struct {
            fields: [
                ("psnr_db".to_owned(), number(29.5)),
                ("baseline".to_owned(), prost_types::Value { kind: Some(Kind::StructValue(inner)) }),
                ("none".to_owned(), prost_types::Value { kind: None }),
            ]
            .into(),
        };
        assert_eq!(object(&outer), json!({ "psnr_db": 29.5, "baseline": { "bm3d": 26.1 }, "none": null }));
    }
}
