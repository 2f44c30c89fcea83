//! Packages that are whole, damaged, truncated, foreign and hostile, each with what is said about it.

#![allow(clippy::unwrap_used, reason = "clippy does not take the helpers of tests for tests")]

use std::fs;
use std::path::{Path, PathBuf};

use atelier_package::{
    Dtype, Existing, Golden, GraphSpec, Kind, Labels, Manifest, Novelty, Package, PackageError,
    PackageWriter, Repository, StatePair, Tensor, TensorSpec, Version, Vocabulary,
};
use tempfile::TempDir;

fn graph(name: &str, inputs: Vec<TensorSpec>, outputs: Vec<TensorSpec>) -> GraphSpec {
    let file = format!("{name}.onnx");
    GraphSpec { name: name.into(), file, sha256: "0".repeat(64), inputs, outputs, ..Default::default() }
}

fn image(name: &str) -> TensorSpec {
    TensorSpec::new(name, Dtype::F32, ["batch".into(), 1.into(), 2.into(), 2.into()]).with_range(0.0, 1.0)
}

fn manifest() -> Manifest {
    let sigma = TensorSpec::new("sigma", Dtype::F32, ["batch".into()]).with_range(0.0, 0.55);
    Manifest {
        name: "little-dae".parse().unwrap(),
        version: Version::new(3).unwrap(),
        kind: Kind::DenoisingAutoencoder,
        summary: "Removes noise".into(),
        licence: "MIT".into(),
        data: "none".into(),
        limits: None,
        graphs: vec![
            graph("denoiser", vec![image("image"), sigma], vec![image("denoised")]),
            graph("blind", vec![image("image")], vec![image("denoised")]),
        ],
        vocabulary: None,
        labels: None,
        novelty: None,
        audio: None,
        segmentation: None,
        telemetry: None,
        training: None,
        metrics: toml::toml! { psnr_db = 30.5 },
    }
}

fn golden() -> Golden {
    let image = Tensor::f32([1, 1, 2, 2], vec![0.0, 0.25, 0.5, 1.0]).unwrap();
    let mut golden = Golden::default();
    for name in ["denoiser", "blind"] {
        let case = golden.cases.entry(name.into()).or_default();
        case.inputs.insert("image".into(), image.clone());
        case.outputs.insert("denoised".into(), image.clone());
    }
    let sigma = Tensor::f32([1], vec![0.1]).unwrap();
    golden.cases.get_mut("denoiser").unwrap().inputs.insert("sigma".into(), sigma);
    golden
}

fn writer() -> PackageWriter {
    PackageWriter::new(manifest(), golden())
        .graph("denoiser", b"the denoiser's bytes".to_vec())
        .graph("blind", b"the blind one's bytes".to_vec())
}

/// A good package in a directory of its own, to be spoilt.
fn good() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().canonicalize().unwrap().join("little-dae/3");
    writer().write(&path, Existing::Refuse).unwrap();
    (dir, path)
}

fn said(path: &Path) -> String {
    Package::open(path).map(|_| ()).unwrap_err().to_string()
}

/// What is said about the package after its `package.toml` was edited; without the directory.
fn edited(from: &str, to: &str) -> String {
    let (_dir, path) = good();
    let file = path.join("package.toml");
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains(from), "{from} is not in:\n{text}");
    fs::write(&file, text.replacen(from, to, 1)).unwrap();
    said(&path).replace(&format!("{}/", path.display()), "")
}

#[test]
fn what_is_written_is_read_back() {
    let (_dir, path) = good();
    let package = Package::open(&path).unwrap();
    assert_eq!(package.name().as_str(), "little-dae");
    assert_eq!(package.version().get(), 3);
    assert_eq!(package.graph_bytes("blind").unwrap(), b"the blind one's bytes");
    assert_eq!(package.graph_path("blind").unwrap(), path.join("blind.onnx"));
    assert_eq!(package.golden(), &golden());
    let mut expected = manifest();
    for (spec, read) in expected.graphs.iter_mut().zip(&package.manifest().graphs) {
        assert_ne!(spec.sha256, read.sha256);
        spec.sha256.clone_from(&read.sha256);
    }
    assert_eq!(package.manifest(), &expected);
    let shape = package.manifest().image_shape().unwrap();
    assert_eq!((shape.channels, shape.height, shape.width), (1, 2, 2));
    let e = package.graph_bytes("decoder").unwrap_err().to_string();
    assert!(e.ends_with("package.toml: there is no graph `decoder`; there are: denoiser, blind"), "{e}");
}

#[test]
fn every_edit_of_the_manifest_that_makes_it_wrong_is_said_by_name() {
    let cases = [
        ("version = 3", "version = 0", "package.toml: line 2: `version = 0`: invalid value: integer `0`"),
        (
            "version = 3",
            "version = \"3\"",
            "package.toml: line 2: `version = \"3\"`: invalid type: string \"3\"",
        ),
        ("version = 3", "", "missing field `version`"),
        (
            "version = 3",
            "version = 3\nauthor = \"x\"",
            "package.toml: line 3: `author = \"x\"`: unknown field `author`",
        ),
        ("version = 3", "version = = 3", "package.toml: line 2: `version = = 3`: "),
        (
            "\"little-dae\"",
            "\"../../etc\"",
            "package.toml: line 1: `name = \"../../etc\"`: `../../etc` is no package name",
        ),
        (
            "\"denoising-autoencoder\"",
            "\"magic\"",
            "unknown variant `magic`, expected one of `denoising-autoencoder`",
        ),
        (
            "\"denoising-autoencoder\"",
            "\"gan\"",
            "package.toml: graph: a package of kind gan must have a graph `generator`",
        ),
        ("\"MIT\"", "\"\"", "package.toml: licence: must be one line of 1 to 1000 bytes"),
        ("blind.onnx", "../blind.onnx", "package.toml: graph.blind.file: `../blind.onnx` is no file name"),
        ("blind.onnx", "/etc/passwd", "package.toml: graph.blind.file: `/etc/passwd` is no file name"),
        ("blind.onnx", ".onnx", "package.toml: graph.blind.file: `.onnx` is no file name"),
        (
            "blind.onnx",
            "denoiser.onnx",
            "package.toml: graph.blind.file: `denoiser.onnx` belongs to another graph already",
        ),
        ("blind.onnx", "other.onnx", "other.onnx: No such file or directory"),
        ("name = \"blind\"", "name = \"BLIND\"", "package.toml: graph.name: `BLIND` is no graph name"),
        ("name = \"blind\"", "name = \"denoiser\"", "package.toml: graph.name: `denoiser` is there twice"),
        (
            "name = \"blind\"",
            "name = \"seeing\"",
            "package.toml: graph: a package of kind denoising-autoencoder must have a graph `blind`",
        ),
        (
            "name = \"sigma\"",
            "name = \"noise\"",
            "package.toml: graph.denoiser.inputs: a package of kind denoising-autoencoder must have `sigma` here; there are: image, noise",
        ),
        (
            "\"denoised\"",
            "\"image\"",
            "package.toml: graph.denoiser.outputs: `image` is an input too, but in an ONNX graph each name is given once",
        ),
        (
            "0.55",
            "nan",
            "package.toml: graph.denoiser.inputs.sigma.range: is [0, NaN], but two finite numbers",
        ),
        (
            "0.55",
            "-1.0",
            "package.toml: graph.denoiser.inputs.sigma.range: is [0, -1], but two finite numbers, the lesser first, are right",
        ),
        ("\"batch\"", "0", "expected a dimension: an integer from 1, or a name such as \"batch\""),
        (
            "\"batch\"",
            "\"Batch Size\"",
            "expected a dimension: an integer from 1, or a name such as \"batch\"",
        ),
        (
            "\"batch\"",
            "4294967296",
            "package.toml: graph.denoiser.inputs.image.shape: has more than 2^30 elements",
        ),
        (
            "\"batch\"",
            "7",
            "package.toml: graph.denoiser.image: is f32 [7, 1, 2, 2], but an image is f32 [batch, c, h, w]",
        ),
        ("\"f32\"", "\"f16\"", "unknown variant `f16`, expected `f32` or `i64`"),
        (
            "psnr_db = 30.5",
            "psnr_db = inf",
            "package.toml: metrics.psnr_db: is inf, but finite numbers are right",
        ),
        (
            "psnr_db = 30.5",
            "psnr_db = [1]",
            "package.toml: metrics.psnr_db: is a TOML array, but a number, text or a table is right",
        ),
        (
            "[metrics]",
            "[vocabulary]\ncharacters = [\"a\"]\n[metrics]",
            "package.toml: vocabulary: a package of kind denoising-autoencoder has none",
        ),
        ("[metrics]", "[vocabulary]\ncharacters = [\"ab\"]\n[metrics]", "expected a character"),
    ];
    for (from, to, expected) in cases {
        let said = edited(from, to);
        assert!(said.contains(expected), "{from} -> {to}\n  said:     {said}\n  expected: {expected}");
        assert!(said.contains("package.toml") || said.contains(".onnx"), "names no file: {said}");
        assert!(!said.contains('\n'), "more than one line: {said}");
    }
}

#[test]
fn a_character_model_must_have_its_vocabulary_and_states() {
    let state = |name: &str| TensorSpec::new(name, Dtype::F32, [2.into(), "batch".into(), 4.into()]);
    let token = TensorSpec::new("token", Dtype::I64, ["batch".into()]);
    let logits = TensorSpec::new("logits", Dtype::F32, ["batch".into(), 3.into()]);
    let mut step = graph("step", vec![token, state("h")], vec![logits, state("h_next")]);
    step.state = vec![StatePair { input: "h".into(), output: "h_next".into() }];
    let vocabulary = Some(Vocabulary { characters: vec!['a', 'b', '\n'] });
    let good = Manifest { kind: Kind::CharRnn, graphs: vec![step], vocabulary, ..manifest() };
    good.validate().unwrap();
    type Spoil = fn(&mut Manifest);
    let cases: [(Spoil, &str); 8] = [
        (
            |m| m.vocabulary = None,
            "vocabulary: a package of kind char-rnn must list its characters in id order",
        ),
        (|m| m.vocabulary.as_mut().unwrap().characters[1] = 'a', "vocabulary.characters: 'a' is there twice"),
        (
            |m| m.vocabulary.as_mut().unwrap().characters.push('c'),
            "graph.step.outputs.logits: must be f32 [batch, 4], one for each character of [vocabulary]",
        ),
        (|m| m.graphs[0].inputs[0].dtype = Dtype::F32, "graph.step.inputs.token: must be i64 [batch]"),
        (|m| m.graphs[0].state.clear(), "graph.step.state: must pair each state input with its output"),
        (
            |m| m.graphs[0].state[0].output = "h".into(),
            "graph.step.state.h: must pair an input with an output; `h` and `h` are not both there",
        ),
        (
            |m| m.graphs[0].outputs[1].shape[2] = 5.into(),
            "graph.step.state.h: is f32 [2, batch, 4] as input, but f32 [2, batch, 5] as output",
        ),
        (
            |m| {
                let twice = m.graphs[0].state[0].clone();
                m.graphs[0].state.push(twice);
            },
            "graph.step.state.h: an input or output belongs to two states",
        ),
    ];
    for (spoil, expected) in cases {
        let mut spoilt = good.clone();
        spoil(&mut spoilt);
        assert_eq!(spoilt.validate().unwrap_err().to_string(), expected);
    }
}

#[test]
fn a_generator_must_say_what_it_can_be_asked_for() {
    let one = |name: &str, dtype| TensorSpec::new(name, dtype, ["batch".into()]);
    let z = TensorSpec::new("z", Dtype::F32, ["batch".into(), 8.into()]);
    let class = one("class", Dtype::I64).with_range(0.0, 1.0);
    let age = one("age", Dtype::F32).with_range(0.0, 100.0);
    let generator = graph("generator", vec![z.clone(), class, age], vec![image("image")]);
    let labels = Some(Labels { names: vec!["bag".into(), "boot".into()] });
    let good = Manifest { kind: Kind::Gan, graphs: vec![generator], labels, ..manifest() };
    good.validate().unwrap();
    let plain = graph("generator", vec![z], vec![image("image")]);
    Manifest { graphs: vec![plain], labels: None, ..good.clone() }.validate().unwrap();
    type Spoil = fn(&mut Manifest);
    let cases: [(Spoil, &str); 9] = [
        (|m| m.labels = None, "labels: must name the classes of the input `class`"),
        (
            |m| m.labels.as_mut().unwrap().names.push("coat".into()),
            "graph.generator.inputs.class.range: must be [0, 2], the ids of the 3 names of [labels]",
        ),
        (|m| m.graphs[0].inputs[1].dtype = Dtype::F32, "graph.generator.inputs.class: must be i64 [batch]"),
        (|m| drop(m.graphs[0].inputs.remove(1)), "labels: are there, but the generator has no input `class`"),
        (
            |m| m.graphs[0].inputs[0].shape[1] = "latent".into(),
            "graph.generator.inputs.z: must be f32 [batch, D], D at most 4096",
        ),
        (
            |m| m.graphs[0].inputs[2].range = None,
            "graph.generator.inputs.age.range: must say the years it knows, 0 to 150 at most",
        ),
        (
            |m| m.graphs[0].inputs[2].name = "mood".into(),
            "graph.generator.inputs.mood: is none of z, class and age: nobody would give it",
        ),
        (
            |m| m.graphs[0].outputs[0].shape[1] = 4.into(),
            "graph.generator.image: must be f32 [batch, 1 or 3, h, w] of fixed h and w",
        ),
        (|m| m.novelty = Some(Novelty { limit: 1.0 }), "novelty: a package of kind gan has none"),
    ];
    for (spoil, expected) in cases {
        let mut spoilt = good.clone();
        spoil(&mut spoilt);
        assert_eq!(spoilt.validate().unwrap_err().to_string(), expected);
    }
}

#[test]
fn an_autoencoder_that_tells_classes_must_name_them() {
    let row = |name: &str, n: usize| TensorSpec::new(name, Dtype::F32, ["batch".into(), n.into()]);
    let good = Manifest {
        kind: Kind::Autoencoder,
        graphs: vec![
            graph("encoder", vec![image("image")], vec![row("code", 3)]),
            graph("decoder", vec![row("code", 3)], vec![image("image")]),
            graph("features", vec![image("image")], vec![row("features", 8)]),
            graph("classifier", vec![image("image")], vec![row("logits", 2)]),
        ],
        labels: Some(Labels { names: vec!["bag".into(), "boot".into()] }),
        ..manifest()
    };
    good.validate().unwrap();
    Manifest { graphs: good.graphs[..2].to_vec(), labels: None, ..good.clone() }.validate().unwrap();
    type Spoil = fn(&mut Manifest);
    let cases: [(Spoil, &str); 6] = [
        (|m| m.labels = None, "labels: must name the classes that the graph `classifier` tells"),
        (|m| drop(m.graphs.pop()), "labels: are there, but there is no graph `classifier`"),
        (
            |m| m.labels.as_mut().unwrap().names.push("coat".into()),
            "graph.classifier.outputs.logits: is [batch, 2], but [labels] has 3 names",
        ),
        (
            |m| m.graphs[3].inputs[0].shape[3] = 5.into(),
            "graph.classifier.image: is f32 [batch, 1, 2, 5], but image of graph.encoder is f32 [batch, 1, 2, 2]",
        ),
        (
            |m| m.graphs[2].outputs[0].shape[1] = "n".into(),
            "graph.features.outputs.features: must be f32 [batch, N]",
        ),
        (
            |m| {
                let mut mood = m.graphs[3].inputs[0].clone();
                mood.name = "mood".into();
                m.graphs[3].inputs.push(mood);
            },
            "graph.classifier.inputs.mood: is none of image: nobody would give it",
        ),
    ];
    for (spoil, expected) in cases {
        let mut spoilt = good.clone();
        spoil(&mut spoilt);
        assert_eq!(spoilt.validate().unwrap_err().to_string(), expected);
    }
}

#[test]
fn an_inpainters_mask_must_be_of_the_images_size() {
    let colour = |name: &str, c: usize| {
        TensorSpec::new(name, Dtype::F32, ["batch".into(), c.into(), 4.into(), 6.into()]).with_range(0.0, 1.0)
    };
    let inpainter =
        graph("inpainter", vec![colour("image", 3), colour("mask", 1)], vec![colour("filled", 3)]);
    let good = Manifest { kind: Kind::Inpainter, graphs: vec![inpainter], ..manifest() };
    good.validate().unwrap();
    type Spoil = fn(&mut Manifest);
    let cases: [(Spoil, &str); 5] = [
        (
            |m| m.graphs[0].inputs[1].shape[1] = 3.into(),
            "graph.inpainter.mask: is f32 [batch, 3, 4, 6], but one channel of image is f32 [batch, 1, 4, 6]",
        ),
        (
            |m| m.graphs[0].outputs[0].shape[2] = 6.into(),
            "graph.inpainter.filled: is f32 [batch, 3, 6, 6], but image is f32 [batch, 3, 4, 6]",
        ),
        (
            |m| m.graphs[0].inputs[0].shape[1] = 2.into(),
            "graph.inpainter.image: must be f32 [batch, 1 or 3, h, w] of fixed h and w",
        ),
        (
            |m| m.graphs[0].inputs[1].name = "hole".into(),
            "graph.inpainter.inputs: a package of kind inpainter must have `mask` here; there are: image, hole",
        ),
        (
            |m| m.labels = Some(Labels { names: vec!["bag".into()] }),
            "labels: a package of kind inpainter has none",
        ),
    ];
    for (spoil, expected) in cases {
        let mut spoilt = good.clone();
        spoil(&mut spoilt);
        assert_eq!(spoilt.validate().unwrap_err().to_string(), expected);
    }
}

#[test]
fn an_ager_must_be_able_to_tell_what_is_no_face() {
    let face = |name: &str| {
        TensorSpec::new(name, Dtype::F32, ["batch".into(), 3.into(), 4.into(), 4.into()]).with_range(0.0, 1.0)
    };
    let one = |name: &str| TensorSpec::new(name, Dtype::F32, ["batch".into()]);
    let good = Manifest {
        kind: Kind::Ager,
        graphs: vec![
            graph("ager", vec![face("image"), one("age").with_range(0.0, 90.0)], vec![face("aged")]),
            graph("novelty", vec![face("image")], vec![one("score")]),
        ],
        novelty: Some(Novelty { limit: 2.5 }),
        ..manifest()
    };
    good.validate().unwrap();
    let text = good.to_toml().unwrap();
    assert_eq!(Manifest::parse(&text, Path::new("package.toml")).unwrap(), good);
    type Spoil = fn(&mut Manifest);
    let cases: [(Spoil, &str); 8] = [
        (|m| m.novelty = None, "novelty: must say the limit of the graph `novelty`"),
        (
            |m| m.novelty = Some(Novelty { limit: f64::NAN }),
            "novelty.limit: is NaN, but a finite number is right",
        ),
        (|m| drop(m.graphs.pop()), "graph: a package of kind ager must have a graph `novelty`"),
        (|m| m.graphs[1].outputs[0].shape.push(2.into()), "graph.novelty.outputs.score: must be f32 [batch]"),
        (
            |m| m.graphs[1].inputs[0].shape[2] = 8.into(),
            "graph.novelty.image: is 4x8, but `image` of graph.ager is 4x4",
        ),
        (
            |m| m.graphs[0].outputs[0].shape[1] = 1.into(),
            "graph.ager.aged: must be f32 [batch, 3, h, w] of fixed h and w",
        ),
        (
            |m| m.graphs[0].inputs[1].range = Some([0.0, 200.0]),
            "graph.ager.inputs.age.range: must say the years it knows, 0 to 150 at most",
        ),
        (
            |m| m.labels = Some(Labels { names: vec!["old".into()] }),
            "labels: a package of kind ager has none",
        ),
    ];
    for (spoil, expected) in cases {
        let mut spoilt = good.clone();
        spoil(&mut spoilt);
        assert_eq!(spoilt.validate().unwrap_err().to_string(), expected);
    }
}

#[test]
fn damage_is_found_in_each_file() {
    let (_dir, path) = good();
    let onnx = path.join("denoiser.onnx");
    let bytes = fs::read(&onnx).unwrap();
    fs::write(&onnx, &bytes[..bytes.len() - 1]).unwrap();
    let e = Package::open(&path).unwrap_err();
    assert!(
        matches!(&e, PackageError::Hash { path, graph, .. } if *path == onnx && graph == "denoiser"),
        "{e}"
    );
    fs::write(&onnx, &bytes).unwrap();

    let file = path.join("golden.safetensors");
    let bytes = fs::read(&file).unwrap();
    for cut in [0, 4, 20, bytes.len() - 1] {
        fs::write(&file, &bytes[..cut]).unwrap();
        let e = said(&path);
        assert!(e.contains("golden.safetensors: is no safetensors file: "), "{e}");
    }
    fs::remove_file(&file).unwrap();
    assert!(said(&path).contains("golden.safetensors: No such file or directory"));
    fs::write(&file, &bytes).unwrap();
    fs::write(path.join("package.toml"), [b'#', b'\n', 0xff, 0xfe]).unwrap();
    assert!(said(&path).ends_with("package.toml: line 2: is not UTF-8"));
    fs::remove_file(path.join("package.toml")).unwrap();
    assert!(said(&path).contains("package.toml: No such file or directory"));
    assert!(said(&path.join("nowhere")).contains("nowhere: No such file or directory"));
}

#[test]
fn no_truncation_of_a_package_is_taken_for_a_package() {
    let (_dir, path) = good();
    for file in ["package.toml", "golden.safetensors", "denoiser.onnx", "blind.onnx"] {
        let file = path.join(file);
        let bytes = fs::read(&file).unwrap();
        // The last table of the manifest may be cut short and still be a manifest.
        let end = if file.ends_with("package.toml") { find(&bytes, b"[metrics]") } else { bytes.len() };
        for cut in (0..end).step_by(1 + end / 97) {
            fs::write(&file, &bytes[..cut]).unwrap();
            assert!(Package::open(&path).is_err(), "{} cut at {cut} was taken", file.display());
        }
        fs::write(&file, &bytes).unwrap();
    }
    Package::open(&path).unwrap();
}

fn find(bytes: &[u8], text: &[u8]) -> usize {
    let at = bytes.windows(text.len()).position(|w| w == text).unwrap();
    // Up to the graph's last quote: only white space lies between.
    at - 40
}

#[test]
fn golden_tensors_must_be_those_of_the_graphs() {
    type Spoil = fn(&mut Golden);
    let cases: [(Spoil, &str); 8] = [
        (|g| g.cases.clear(), "denoiser: there is no golden input for this graph"),
        (
            |g| {
                g.cases.insert("other".into(), Default::default());
                let t = Tensor::f32([1], vec![0.0]).unwrap();
                g.cases.get_mut("other").unwrap().inputs.insert("x".into(), t);
            },
            "other: is no graph of package.toml",
        ),
        (|g| g.cases.get_mut("denoiser").unwrap().inputs.clear(), "denoiser/in/image: is missing"),
        (|g| g.cases.get_mut("denoiser").unwrap().outputs.clear(), "denoiser/out/denoised: is missing"),
        (
            |g| {
                let t = Tensor::f32([2], vec![0.1; 2]).unwrap();
                g.cases.get_mut("denoiser").unwrap().inputs.insert("sigma".into(), t);
            },
            "denoiser/in/sigma: is f32 [2], but f32 [batch] is right, with batch = 1 as in the tensors before it",
        ),
        (
            |g| {
                let t = Tensor::f32([1], vec![0.7]).unwrap();
                g.cases.get_mut("denoiser").unwrap().inputs.insert("sigma".into(), t);
            },
            "denoiser/in/sigma: element 0 is 0.7, but values from 0 to 0.55 are right",
        ),
        (
            |g| {
                let t = Tensor::f32([1, 1, 2, 2], vec![f32::NAN; 4]).unwrap();
                g.cases.get_mut("blind").unwrap().outputs.insert("denoised".into(), t);
            },
            "blind/out/denoised: has elements that are not finite",
        ),
        (
            |g| {
                let t = Tensor::f32([1], vec![0.0]).unwrap();
                g.cases.get_mut("blind").unwrap().outputs.insert("more".into(), t);
            },
            "blind/out/more: is not in package.toml",
        ),
    ];
    let (_dir, path) = good();
    for (spoil, expected) in cases {
        let mut spoilt = golden();
        spoil(&mut spoilt);
        fs::write(path.join("golden.safetensors"), spoilt.to_bytes().unwrap()).unwrap();
        let said = said(&path);
        assert!(said.ends_with(&format!("golden.safetensors: {expected}")), "{said}\n{expected}");
    }
    let mut loose = golden();
    loose.tolerance = 5.0;
    fs::write(path.join("golden.safetensors"), loose.to_bytes().unwrap()).unwrap();
    assert!(
        said(&path).ends_with("golden.safetensors: tolerance: is `5`, but a number from 0 to 0.1 is right")
    );
}

#[cfg(unix)]
#[test]
fn links_pipes_and_giants_are_not_read() {
    use std::os::unix::fs::symlink;
    let (dir, path) = good();
    let onnx = path.join("blind.onnx");
    let outside = dir.path().join("secret");
    fs::copy(&onnx, &outside).unwrap();
    fs::remove_file(&onnx).unwrap();
    symlink(&outside, &onnx).unwrap();
    assert!(said(&path).contains("blind.onnx: leads out of the package, to "));
    // Within the package a link is fine: that is how Kubernetes mounts volumes.
    fs::remove_file(&onnx).unwrap();
    fs::copy(&outside, path.join("real")).unwrap();
    symlink("real", &onnx).unwrap();
    Package::open(&path).unwrap();
    fs::remove_file(&onnx).unwrap();
    fs::create_dir(&onnx).unwrap();
    assert!(said(&path).ends_with("blind.onnx: is not a plain file"));
    fs::remove_dir(&onnx).unwrap();
    // A sparse file: it takes no room.
    fs::File::create(&onnx).unwrap().set_len((1 << 30) + 1).unwrap();
    assert!(said(&path).ends_with("blind.onnx: is 1073741825 bytes long; at most 1073741824 are read"));
    fs::File::create(path.join("package.toml")).unwrap().set_len((1 << 20) + 1).unwrap();
    assert!(said(&path).ends_with("package.toml: is 1048577 bytes long; at most 1048576 are read"));
}

#[test]
fn a_graph_that_is_exchanged_after_the_check_is_not_handed_out() {
    let (_dir, path) = good();
    let package = Package::open(&path).unwrap();
    fs::write(path.join("blind.onnx"), b"another network").unwrap();
    assert!(matches!(package.graph_bytes("blind"), Err(PackageError::Hash { .. })));
    assert!(package.graph_bytes("denoiser").is_ok());
}

#[test]
fn a_version_is_written_once_and_a_failed_write_leaves_what_was_there() {
    let (dir, path) = good();
    let before = Package::open(&path).unwrap();
    let e = writer().write(&path, Existing::Refuse).unwrap_err();
    assert!(matches!(e, PackageError::Exists { .. }), "{e}");
    // Without the bytes of a graph, and with a golden that does not fit: neither touches what is there.
    let e = PackageWriter::new(manifest(), golden()).write(&path, Existing::Replace).unwrap_err().to_string();
    assert!(e.contains("writer was given no bytes for it"), "{e}");
    let e = PackageWriter::new(manifest(), Golden::default())
        .graph("denoiser", vec![1])
        .graph("blind", vec![2])
        .write(&path, Existing::Replace)
        .unwrap_err()
        .to_string();
    assert!(e.contains("there is no golden input for this graph"), "{e}");
    let e = writer().graph("third", vec![]).write(&path, Existing::Replace).unwrap_err().to_string();
    assert!(e.contains("graph.third: was given to the writer, but is not in the manifest"), "{e}");
    assert_eq!(Package::open(&path).unwrap().manifest(), before.manifest());
    let replaced = writer().graph("blind", b"new".to_vec()).write(&path, Existing::Replace).unwrap();
    assert_eq!(replaced.graph_bytes("blind").unwrap(), b"new");
    let left: Vec<_> =
        dir.path().join("little-dae").read_dir().unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["3"], "rubbish is left");
}

#[test]
fn metrics_are_rewritten_and_nothing_else() {
    let (_dir, path) = good();
    let mut package = Package::open(&path).unwrap();
    let before = package.manifest().clone();
    let metrics = toml::toml! {
        psnr_db = 31.25
        seed = 7
        [baseline_psnr_db]
        noisy = 21.79
    };
    package.write_metrics(metrics.clone()).unwrap();
    let after = Package::open(&path).unwrap();
    assert_eq!(after.manifest(), package.manifest());
    assert_eq!(after.manifest(), &Manifest { metrics, ..before });
    let e = package.write_metrics(toml::toml! { psnr_db = nan }).unwrap_err().to_string();
    assert!(e.ends_with("package.toml: metrics.psnr_db: is NaN, but finite numbers are right"), "{e}");
    assert_eq!(Package::open(&path).unwrap().manifest(), after.manifest());
    assert_eq!(path.read_dir().unwrap().count(), 4, "rubbish is left");
}

#[test]
fn a_bad_package_does_not_hide_the_good_ones() {
    let (dir, path) = good();
    let models = dir.path();
    let put = |name: &str, version: u32| {
        let manifest =
            Manifest { name: name.parse().unwrap(), version: Version::new(version).unwrap(), ..manifest() };
        let writer =
            PackageWriter::new(manifest, golden()).graph("denoiser", vec![1]).graph("blind", vec![2]);
        writer.write(&models.join(name).join(version.to_string()), Existing::Refuse).unwrap();
    };
    put("little-dae", 10);
    put("little-dae", 11);
    put("other", 1);
    fs::write(models.join("little-dae/11/blind.onnx"), b"damaged").unwrap();
    fs::write(models.join("README.md"), "not a package").unwrap();
    fs::create_dir_all(models.join(".git/objects")).unwrap();
    fs::create_dir_all(models.join("Bad Name/1")).unwrap();
    fs::create_dir_all(models.join("other/01")).unwrap();
    fs::rename(models.join("little-dae/3"), models.join("little-dae/4")).unwrap();
    assert!(!path.exists());
    let repository = Repository::scan(models).unwrap();
    let latest: Vec<String> = repository.latest().map(|p| format!("{}/{}", p.name(), p.version())).collect();
    assert_eq!(latest, ["little-dae/10", "other/1"]);
    let name = "little-dae".parse().unwrap();
    assert!(repository.get(&name, Version::new(11)).is_none());
    assert_eq!(repository.get(&name, None).unwrap().version().get(), 10);
    assert_eq!(repository.all().count(), 2);
    let said: Vec<String> = repository.rejected().iter().map(|r| r.error.to_string()).collect();
    assert_eq!(said.len(), 4, "{said:#?}");
    assert!(said[0].contains("`Bad Name` is no package name"), "{said:#?}");
    assert!(said[1].contains("damaged or exchanged"), "{said:#?}");
    assert!(said[2].contains("version: is `3`, but the directory is called `4`"), "{said:#?}");
    assert!(said[3].contains("`01` is no version"), "{said:#?}");
    assert!(Repository::scan(&models.join("nowhere")).is_err());
}
