//! Recipe files are strict, and say what is wrong with them.

use atelier_trainer::recipe::RecipeConfig;

use crate::support::{recipe_file, recipe_files};

#[test]
fn every_shipped_recipe_is_read_and_named_after_its_package() {
    let files = recipe_files();
    assert!(files.len() >= 3, "{files:?}");
    for file in files {
        let config = RecipeConfig::read(&file).unwrap();
        assert_eq!(file.file_stem().unwrap().to_str().unwrap(), config.name());
    }
}

#[test]
fn every_value_of_a_shipped_recipe_is_explained() {
    for file in recipe_files() {
        let text = std::fs::read_to_string(&file).unwrap();
        let mut explained = false;
        for line in text.lines() {
            if line.starts_with('#') {
                explained = true;
            } else if line.contains(" = ") {
                assert!(explained, "{}: no comment above `{line}`", file.display());
                explained = false;
            }
        }
    }
}

#[test]
fn a_recipe_that_is_wrong_says_where_and_what() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bad.toml");
    let good = std::fs::read_to_string(recipe_file("fashion-dae")).unwrap();
    let wrong = |from: &str, to: &str| {
        assert!(good.contains(from), "{from}");
        std::fs::write(&path, good.replace(from, to)).unwrap();
        RecipeConfig::read(&path).unwrap_err().to_string()
    };
    let cases = [
        ("batch = 128", "batch = 0", "batch must be at least 1"),
        ("batch = 128", "batch = -3", "batch"),
        ("batch = 128", "batsh = 128", "batsh"),
        ("width = 40", "width = 40\ndepth = 3", "depth"),
        ("kind = \"denoising-autoencoder\"", "kind = \"denoiser\"", "denoiser"),
        ("blind = 0.4", "blind = 1.4", "family.blind is 1.4, it must lie in [0, 1]"),
        ("beta1 = 0.9", "beta1 = 1.5", "optimiser.beta1 is 1.5"),
        ("size = 28", "size = 30", "family.network.size must be 28"),
        ("seed = 1", "seed = \"one\"", "seed"),
    ];
    for (from, to, expected) in cases {
        let message = wrong(from, to);
        assert!(message.contains("bad.toml") && message.contains(expected), "{to}: {message}");
    }
    for (name, from, to, expected) in [
        ("fashion-dae", "width = 40", "width = 0", "family.network.width must be at least 1"),
        ("shakespeare-rnn", "layers = 2", "layers = 0", "family.network.layers must be at least 1"),
        ("telemetry-smap", "code = 32", "code = 0", "family.network.code must be at least 1"),
        ("nuclei-unet", "overlap = 64", "overlap = 200", "family.segmentation.overlap: is 200, but 0 to 128"),
    ] {
        let text = std::fs::read_to_string(recipe_file(name)).unwrap();
        assert!(text.contains(from), "{name}: {from}");
        std::fs::write(&path, text.replace(from, to)).unwrap();
        let message = RecipeConfig::read(&path).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    }
    let message = RecipeConfig::read(&dir.path().join("none.toml")).unwrap_err().to_string();
    assert!(message.contains("none.toml") && message.contains("No such file"), "{message}");
}
