//! How models are called in a protocol that knows no graphs.
//!
//! A package with one graph is a model of its name, `fashion-classifier`; each graph of a package with several is
//! one of both names, `fashion-vae.decoder`. Neither name may contain a dot, so there is one way to read each. The
//! long form is taken for packages with one graph too.

use atelier_package::{GraphSpec, Manifest};

/// Between the names of package and graph.
const SEPARATOR: char = '.';

/// What the models of a package are called, each with its graph.
pub fn all(manifest: &Manifest) -> impl Iterator<Item = (String, &GraphSpec)> {
    manifest.graphs.iter().map(|graph| (of(manifest, graph), graph))
}

/// What a graph of a package is called.
pub fn of(manifest: &Manifest, graph: &GraphSpec) -> String {
    match manifest.graphs.len() {
        1 => manifest.name.to_string(),
        _ => format!("{}{SEPARATOR}{}", manifest.name, graph.name),
    }
}

/// The package that a model's name means, and the graph where it names one.
pub fn split(name: &str) -> (&str, Option<&str>) {
    match name.split_once(SEPARATOR) {
        Some((package, graph)) => (package, Some(graph)),
        None => (name, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(graphs: &[&str]) -> Manifest {
        let mut text = String::from(
            "name = \"net\"\nversion = 1\nkind = \"onnx\"\nsummary = \"s\"\nlicence = \"l\"\ndata = \"d\"\n",
        );
        for graph in graphs {
            let sha = "0".repeat(64);
            text.push_str(&format!(
                "[[graph]]\nname = \"{graph}\"\nfile = \"{graph}.onnx\"\nsha256 = \"{sha}\"\n\
                 inputs = [{{ name = \"x\", dtype = \"f32\", shape = [1] }}]\n\
                 outputs = [{{ name = \"y\", dtype = \"f32\", shape = [1] }}]\n"
            ));
        }
        Manifest::parse(&text, "package.toml".as_ref()).unwrap()
    }

    #[test]
    fn one_graph_is_called_as_its_package_and_several_by_both_names() {
        let names = |graphs: &[&str]| all(&manifest(graphs)).map(|(name, _)| name).collect::<Vec<_>>();
        assert_eq!(names(&["only"]), ["net"]);
        assert_eq!(names(&["encoder", "decoder"]), ["net.encoder", "net.decoder"]);
    }

    #[test]
    fn a_name_is_read_as_it_is_written() {
        assert_eq!(split("net"), ("net", None));
        assert_eq!(split("net.encoder"), ("net", Some("encoder")));
        assert_eq!(split(""), ("", None));
        assert_eq!(split("a.b.c"), ("a", Some("b.c")), "no graph is called so: not found");
    }
}
