//! What each operation of a network is in ONNX.

use atelier_package::Dim;
use tch::Tensor;

use super::{Export, Value};
use crate::layers::{ClassNorm, Conv2d, ConvTranspose2d, Embedding, Linear, Lstm, Matrices, Matrix};
use crate::onnx::Attribute;
use crate::ops::Ops;
use crate::ops::eager::INSTANCE_EPSILON;

impl Ops for Export {
    type Tensor = Value;

    fn conv2d(&mut self, x: &Value, layer: &Conv2d) -> Value {
        let weight = self.parameter(&layer.name, "weight", &layer.weight);
        let bias = self.parameter(&layer.name, "bias", &layer.bias);
        let size = layer.weight.size();
        let out = |axis: usize| {
            Dim::Fixed((x.fixed(axis) + 2 * layer.padding - size[axis] as usize) / layer.stride + 1)
        };
        let shape = vec![x.shape[0].clone(), Dim::Fixed(size[0] as usize), out(2), out(3)];
        let (stride, padding) = (layer.stride as i64, layer.padding as i64);
        let attributes = vec![
            ("kernel_shape", Attribute::Ints(vec![size[2], size[3]])),
            ("strides", Attribute::Ints(vec![stride; 2])),
            ("pads", Attribute::Ints(vec![padding; 4])),
        ];
        self.one("Conv", &[&x.name, &weight, &bias], attributes, shape)
    }

    fn conv_transpose2d(&mut self, x: &Value, layer: &ConvTranspose2d) -> Value {
        let weight = self.parameter(&layer.name, "weight", &layer.weight);
        let size = layer.weight.size();
        let out = |axis: usize| {
            Dim::Fixed((x.fixed(axis) - 1) * layer.stride + size[axis] as usize - 2 * layer.padding)
        };
        let shape = vec![x.shape[0].clone(), Dim::Fixed(size[1] as usize), out(2), out(3)];
        let attributes = vec![
            ("kernel_shape", Attribute::Ints(vec![size[2], size[3]])),
            ("strides", Attribute::Ints(vec![layer.stride as i64; 2])),
            ("pads", Attribute::Ints(vec![layer.padding as i64; 4])),
        ];
        self.one("ConvTranspose", &[&x.name, &weight], attributes, shape)
    }

    fn class_norm(&mut self, x: &Value, class: &Value, layer: &ClassNorm) -> Value {
        // Mean and variance are folded into the gain and the shift of each class.
        let (scale, offset) = tch::no_grad(|| {
            let scale = &layer.gain / (&layer.variance + ClassNorm::EPSILON).sqrt();
            let offset = &layer.shift - &layer.mean * &scale;
            (scale, offset)
        });
        let channels = x.fixed(1);
        let [scale, offset] = [("scale", scale), ("offset", offset)].map(|(part, table)| {
            let table = self.parameter(&layer.name, part, &table);
            let shape = vec![class.shape[0].clone(), Dim::Fixed(channels)];
            let axis = vec![("axis", Attribute::Int(0))];
            let rows = self.one("Gather", &[&table, &class.name], axis, shape);
            self.rows(&rows, &[channels, 1, 1])
        });
        let scaled = self.one("Mul", &[&x.name, &scale.name], vec![], x.shape.clone());
        self.one("Add", &[&scaled.name, &offset.name], vec![], x.shape.clone())
    }

    fn linear(&mut self, x: &Value, layer: &Linear) -> Value {
        if x.shape.len() > 2 {
            return self.linear_steps(x, layer);
        }
        let weight = self.parameter(&layer.name, "weight", &layer.weight);
        let bias = self.parameter(&layer.name, "bias", &layer.bias);
        let shape = vec![x.shape[0].clone(), Dim::Fixed(layer.weight.size()[0] as usize)];
        self.one("Gemm", &[&x.name, &weight, &bias], vec![("transB", Attribute::Int(1))], shape)
    }

    fn multiply_add(&mut self, x: &Value, matrix: &Matrix, onto: &Value) -> Value {
        let weight = self.parameter(&matrix.name, "weight", &matrix.weight);
        let shape = vec![x.shape[0].clone(), Dim::Fixed(matrix.weight.size()[0] as usize)];
        self.one("Gemm", &[&x.name, &weight, &onto.name], vec![("transB", Attribute::Int(1))], shape)
    }

    fn multiply_each(&mut self, x: &Value, matrices: &Matrices) -> Value {
        let weight = self.parameter(&matrices.name, "weight", &matrices.weight);
        let x = self.transpose(x, [1, 0, 2]);
        let outputs = Dim::Fixed(matrices.weight.size()[2] as usize);
        let shape = vec![x.shape[0].clone(), x.shape[1].clone(), outputs];
        let products = self.one("MatMul", &[&x.name, &weight], vec![], shape);
        self.transpose(&products, [1, 0, 2])
    }

    fn embedding(&mut self, ids: &Value, layer: &Embedding) -> Value {
        let weight = self.parameter(&layer.name, "weight", &layer.weight);
        let shape = vec![ids.shape[0].clone(), Dim::Fixed(layer.weight.size()[1] as usize)];
        self.one("Gather", &[&weight, &ids.name], vec![("axis", Attribute::Int(0))], shape)
    }

    fn lstm_gates(&mut self, x: &Value, h: &Value, layer: &Lstm) -> Value {
        let input = self.parameter(&layer.name, "input", &layer.input);
        let hidden = self.parameter(&layer.name, "hidden", &layer.hidden);
        let bias = self.parameter(&layer.name, "bias", &layer.bias);
        let shape = vec![x.shape[0].clone(), Dim::Fixed(4 * layer.width())];
        let transposed = || vec![("transB", Attribute::Int(1))];
        let from_input = self.one("Gemm", &[&x.name, &input, &bias], transposed(), shape.clone());
        self.one("Gemm", &[&h.name, &hidden, &from_input.name], transposed(), shape)
    }

    fn lstm(&mut self, x: &Value, layer: &Lstm, backwards: bool) -> Value {
        let hidden = layer.width();
        // ONNX orders the gates input, output, forget, cell, and has one matrix a direction.
        let reordered = |gates: &Tensor| {
            let quarters = gates.chunk(4, 0);
            Tensor::cat(&[&quarters[0], &quarters[3], &quarters[1], &quarters[2]], 0).unsqueeze(0)
        };
        let input = self.parameter(&layer.name, "input.iofc", &reordered(&layer.input));
        let recurrent = self.parameter(&layer.name, "hidden.iofc", &reordered(&layer.hidden));
        let bias = reordered(&layer.bias);
        let biases = Tensor::cat(&[bias.shallow_clone(), bias.zeros_like()], 1);
        let biases = self.parameter(&layer.name, "biases.iofc", &biases);
        let direction = if backwards { "reverse" } else { "forward" };
        let attributes =
            vec![("hidden_size", Attribute::Int(hidden as i64)), ("direction", Attribute::Text(direction))];
        let steps = self.transpose(x, [1, 0, 2]);
        let mut shape = steps.shape.clone();
        shape[2] = Dim::Fixed(hidden);
        // The axis of directions stands after time.
        let mut directed = shape.clone();
        directed.insert(1, Dim::Fixed(1));
        let y = self.one("LSTM", &[&steps.name, &input, &recurrent, &biases], attributes, directed);
        let axis = self.list(&[1]);
        let y = self.one("Squeeze", &[&y.name, &axis], vec![], shape);
        self.transpose(&y, [1, 0, 2])
    }

    fn relu(&mut self, x: &Value) -> Value {
        self.unary("Relu", x)
    }

    fn sigmoid(&mut self, x: &Value) -> Value {
        self.unary("Sigmoid", x)
    }

    fn exp(&mut self, x: &Value) -> Value {
        self.unary("Exp", x)
    }

    fn tanh(&mut self, x: &Value) -> Value {
        self.unary("Tanh", x)
    }

    fn sin(&mut self, x: &Value) -> Value {
        self.unary("Sin", x)
    }

    fn softmax(&mut self, x: &Value) -> Value {
        self.one("Softmax", &[&x.name], vec![("axis", Attribute::Int(-1))], x.shape.clone())
    }

    fn add(&mut self, a: &Value, b: &Value) -> Value {
        self.binary("Add", a, b)
    }

    fn sub(&mut self, a: &Value, b: &Value) -> Value {
        self.binary("Sub", a, b)
    }

    fn mul(&mut self, a: &Value, b: &Value) -> Value {
        self.binary("Mul", a, b)
    }

    fn clamp(&mut self, x: &Value, low: f32, high: f32) -> Value {
        let (low, high) = (self.scalar(low), self.scalar(high));
        self.one("Clip", &[&x.name, &low, &high], vec![], x.shape.clone())
    }

    fn affine(&mut self, x: &Value, factor: f32, offset: f32) -> Value {
        let (factor, offset) = (self.scalar(factor), self.scalar(offset));
        let scaled = self.one("Mul", &[&x.name, &factor], vec![], x.shape.clone());
        self.one("Add", &[&scaled.name, &offset], vec![], x.shape.clone())
    }

    fn average_pool(&mut self, x: &Value, size: usize, stride: usize) -> Value {
        let out = |axis: usize| Dim::Fixed((x.fixed(axis) - size) / stride + 1);
        let shape = vec![x.shape[0].clone(), x.shape[1].clone(), out(2), out(3)];
        let attributes = vec![
            ("kernel_shape", Attribute::Ints(vec![size as i64; 2])),
            ("strides", Attribute::Ints(vec![stride as i64; 2])),
        ];
        self.one("AveragePool", &[&x.name], attributes, shape)
    }

    fn concat(&mut self, parts: &[&Value], axis: usize) -> Value {
        let mut shape = parts[0].shape.clone();
        shape[axis] = Dim::Fixed(parts.iter().map(|p| p.fixed(axis)).sum());
        let names: Vec<&str> = parts.iter().map(|p| p.name.as_str()).collect();
        self.one("Concat", &names, vec![("axis", Attribute::Int(axis as i64))], shape)
    }

    fn split(&mut self, x: &Value, sizes: &[usize], axis: usize) -> Vec<Value> {
        assert_eq!(x.fixed(axis), sizes.iter().sum::<usize>(), "split of {x:?} into {sizes:?}");
        let list = self.list(&sizes.iter().map(|&n| n as i64).collect::<Vec<_>>());
        let attributes = vec![("axis", Attribute::Int(axis as i64))];
        let names = self.graph.node("Split", &[&x.name, &list], attributes, sizes.len());
        let shaped = |&n: &usize| {
            let mut shape = x.shape.clone();
            shape[axis] = Dim::Fixed(n);
            shape
        };
        names.into_iter().zip(sizes.iter().map(shaped)).map(|(name, shape)| Value { name, shape }).collect()
    }

    fn reshape_rows(&mut self, x: &Value, row: &[usize]) -> Value {
        self.rows(x, row)
    }

    fn select(&mut self, x: &Value, axis: usize, index: usize) -> Value {
        let name = format!("i64.{index}");
        self.graph.integers(&name, &[], &[index as i64]);
        let mut shape = x.shape.clone();
        shape.remove(axis);
        self.one("Gather", &[&x.name, &name], vec![("axis", Attribute::Int(axis as i64))], shape)
    }

    fn stack(&mut self, parts: &[Value]) -> Value {
        let front = self.list(&[0]);
        let raised: Vec<Value> = parts
            .iter()
            .map(|part| {
                let mut shape = part.shape.clone();
                shape.insert(0, Dim::Fixed(1));
                self.one("Unsqueeze", &[&part.name, &front], vec![], shape)
            })
            .collect();
        self.concat(&raised.iter().collect::<Vec<_>>(), 0)
    }

    fn fill_rows(&mut self, like: &Value, value: f32) -> Value {
        let range = vec![("start", Attribute::Int(0)), ("end", Attribute::Int(1))];
        let batch = self.one("Shape", &[&like.name], range, vec![Dim::Fixed(1)]);
        let value = self.scalar(value);
        self.one("Expand", &[&value, &batch.name], vec![], vec![like.shape[0].clone()])
    }

    fn repeat(&mut self, x: &Value, times: usize) -> Value {
        let row = self.rows(x, &[1, x.fixed(1)]);
        let target = self.list(&[1, times as i64, 1]);
        let shape = vec![x.shape[0].clone(), Dim::Fixed(times), x.shape[1].clone()];
        self.one("Expand", &[&row.name, &target], vec![], shape)
    }

    fn mean_pixels(&mut self, x: &Value) -> Value {
        let axes = self.list(&[2, 3]);
        let keep = vec![("keepdims", Attribute::Int(0))];
        self.one("ReduceMean", &[&x.name, &axes], keep, x.shape[..2].to_vec())
    }

    fn instance_norm(&mut self, x: &Value) -> Value {
        let axes = self.list(&[2, 3]);
        let mut small = x.shape.clone();
        small[2..].fill(Dim::Fixed(1));
        let keep = || vec![("keepdims", Attribute::Int(1))];
        let mean = self.one("ReduceMean", &[&x.name, &axes], keep(), small.clone());
        let centred = self.one("Sub", &[&x.name, &mean.name], vec![], x.shape.clone());
        let square = self.one("Mul", &[&centred.name, &centred.name], vec![], x.shape.clone());
        let variance = self.one("ReduceMean", &[&square.name, &axes], keep(), small.clone());
        let epsilon = self.scalar(INSTANCE_EPSILON as f32);
        let safe = self.one("Add", &[&variance.name, &epsilon], vec![], small);
        let deviation = self.unary("Sqrt", &safe);
        self.one("Div", &[&centred.name, &deviation.name], vec![], x.shape.clone())
    }

    fn mirror(&mut self, x: &Value) -> Value {
        // A slice that runs backwards, from the last column to before the first.
        let (last, before_first, axis) = (self.list(&[-1]), self.list(&[i64::MIN]), self.list(&[3]));
        self.one("Slice", &[&x.name, &last, &before_first, &axis, &last], vec![], x.shape.clone())
    }

    fn plane(&mut self, x: &Value, height: usize, width: usize) -> Value {
        let column = self.rows(x, &[1, 1, 1]);
        let target = self.list(&[1, 1, height as i64, width as i64]);
        let shape = vec![x.shape[0].clone(), Dim::Fixed(1), Dim::Fixed(height), Dim::Fixed(width)];
        self.one("Expand", &[&column.name, &target], vec![], shape)
    }

    fn pixel_unshuffle(&mut self, x: &Value, r: usize) -> Value {
        // ONNX's SpaceToDepth orders channels the other way round, so the move is spelled out.
        let (c, h, w) = (x.fixed(1), x.fixed(2) / r, x.fixed(3) / r);
        let cut = self.rows(x, &[c, h, r, w, r]);
        let moved = self.transpose(&cut, [0, 1, 3, 5, 2, 4]);
        self.rows(&moved, &[c * r * r, h, w])
    }

    fn pixel_shuffle(&mut self, x: &Value, r: usize) -> Value {
        let shape = vec![
            x.shape[0].clone(),
            Dim::Fixed(x.fixed(1) / (r * r)),
            Dim::Fixed(x.fixed(2) * r),
            Dim::Fixed(x.fixed(3) * r),
        ];
        let attributes = vec![("blocksize", Attribute::Int(r as i64)), ("mode", Attribute::Text("CRD"))];
        self.one("DepthToSpace", &[&x.name], attributes, shape)
    }
}

impl Export {
    /// [`Ops::linear`] of every step: Gemm takes matrices only.
    fn linear_steps(&mut self, x: &Value, layer: &Linear) -> Value {
        let weight = self.parameter(&layer.name, "transposed", &layer.weight.tr());
        let bias = self.parameter(&layer.name, "bias", &layer.bias);
        let mut shape = x.shape.clone();
        if let Some(last) = shape.last_mut() {
            *last = Dim::Fixed(layer.weight.size()[0] as usize);
        }
        let product = self.one("MatMul", &[&x.name, &weight], vec![], shape.clone());
        self.one("Add", &[&product.name, &bias], vec![], shape)
    }
}
