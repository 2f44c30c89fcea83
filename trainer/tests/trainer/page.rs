//! The page of a run.

use atelier_trainer::page;
use atelier_trainer::run::RunDir;
use tch::Device;

use crate::support::recipe;

#[test]
fn a_page_shows_course_validations_samples_and_recipe_of_a_run() {
    let dir = tempfile::tempdir().unwrap();
    let config = recipe("fashion-dae");
    let run = RunDir::vacant(&dir.path().join("run")).unwrap();
    run.begin(&config, Device::Cpu).unwrap();
    let lines =
        "{\"start\":0}\n{\"step\":5,\"loss\":1,\"seconds\":120}\n{\"step\":5,\"validation_psnr\":21.5}\n";
    std::fs::write(run.metrics(), lines).unwrap();
    std::fs::write(run.curve(), "<svg>drawn</svg>").unwrap();
    std::fs::write(run.samples().join("0000005.png"), "pixels").unwrap();
    let written = page::write(&run, &config).unwrap();
    assert_eq!(written, run.path().join("report.html"));
    let html = std::fs::read_to_string(written).unwrap();
    let rate = format!("learning_rate = {:?}", config.optimiser.learning_rate);
    for part in [
        "<h1>fashion-dae</h1>",
        "Seed 1. 2 minutes on ",
        "<h2>Course</h2><svg>drawn</svg>",
        "<th>psnr<tr><td>5<td>21.5000",
        "Samples after step 5",
        "src=\"data:image/png;base64,cGl4ZWxz\"",
        "<h2>Recipe</h2><pre>package = &quot;fashion-dae&quot;",
        rate.as_str(),
    ] {
        assert!(html.contains(part), "{part}: {html}");
    }
}
