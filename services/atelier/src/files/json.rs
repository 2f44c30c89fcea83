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
    code.map_or(Value::Null, |code| json!(code.values))
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
