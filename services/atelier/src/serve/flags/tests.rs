use clap::Parser;

use super::*;
use crate::cli::failure::Exit;

#[derive(Parser)]
struct Up {
    #[command(flatten)]
    flags: UpFlags,
}

#[derive(Parser)]
struct Gateway {
    #[command(flatten)]
    flags: GatewayFlags,
}

fn variables(variables: &[(&str, &str)]) -> Vec<(String, String)> {
    variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// As [`UpFlags::config`], in an environment of the test's own.
fn up(line: &[&str], environment: &[(&str, &str)]) -> Result<UpConfig, Failure> {
    let Up { flags } = Up::try_parse_from(std::iter::once("up").chain(line.iter().copied())).unwrap();
    let mut layers = flags.common.lower(Layers::new(), true, variables(environment))?;
    flags.models.lay(&mut layers)?;
    lay(&mut layers, "listen.gateway", flags.listen)?;
    flags.common.finish(layers)
}

#[test]
fn a_flag_beats_the_environment_which_beats_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("atelier.toml");
    std::fs::write(&file, "device = \"cuda:7\"\nmodels = \"/file\"\n[engine]\nslots = 5\n").unwrap();
    let file = file.to_str().unwrap();
    let environment = [("ATELIER_MODELS", "/environment"), ("ATELIER_DEVICE", "cuda:8")];
    let config = up(&["--config", file, "--device", "cuda:9"], &environment).unwrap();
    assert_eq!(config.device, "cuda:9");
    assert_eq!(config.models, Path::new("/environment"));
    assert_eq!(config.engine.slots, 5);
    assert_eq!(config.engine.max_batch, 32);
}

#[test]
fn the_runtime_is_found_by_flag_then_our_variable_then_the_common_one() {
    let common = ("ORT_DYLIB_PATH", "/common.so");
    let ours = ("ATELIER_ONNXRUNTIME", "/ours.so");
    let runtime = |line: &[&str], environment: &[_]| up(line, environment).unwrap().onnxruntime.unwrap();
    assert_eq!(runtime(&[], &[common]), Path::new("/common.so"));
    assert_eq!(runtime(&[], &[ours, common]), Path::new("/ours.so"));
    assert_eq!(runtime(&["--onnxruntime", "/flag.so"], &[ours, common]), Path::new("/flag.so"));
    assert_eq!(up(&[], &[("ORT_DYLIB_PATH", "")]).unwrap().onnxruntime, None);
}

#[test]
fn variables_of_the_client_and_the_trainer_are_not_taken_for_the_servers() {
    let environment = [
        ("ATELIER_SERVER", "http://a:1"),
        ("ATELIER_TIMEOUT", "1s"),
        ("ATELIER_DATA", "data"),
        ("ATELIER_PYTHON", "x"),
    ];
    assert_eq!(up(&[], &environment).unwrap(), UpConfig::default());
}

#[test]
fn what_is_wrong_is_named() {
    let wrong = up(&[], &[("ATELIER_DEVISE", "cpu")]).unwrap_err();
    assert_eq!(wrong.exit(), Exit::Usage);
    assert!(wrong.to_string().contains("ATELIER_DEVISE"), "{wrong}");
    let wrong = up(&["--config", "/nowhere.toml"], &[]).unwrap_err();
    assert!(wrong.to_string().contains("/nowhere.toml: No such file"), "{wrong}");
    let wrong = up(&["--log-format", "xml"], &[]).unwrap_err();
    assert!(wrong.to_string().contains("telemetry.format"), "{wrong}");
}

#[test]
fn routes_of_the_gateway_are_named_by_role() {
    let line = ["gateway", "--route", "codec=http://c:1", "--route", "text=http://t:1"];
    let routes = Gateway::try_parse_from(line).unwrap().flags.route;
    assert_eq!(routes, [(Domain::Codec, "http://c:1".to_owned()), (Domain::Text, "http://t:1".to_owned())]);
    for wrong in ["codec", "cook=http://c:1"] {
        assert!(Gateway::try_parse_from(["gateway", "--route", wrong]).is_err(), "{wrong}");
    }
}
