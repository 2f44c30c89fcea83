//! The network for telemetry, and the data that it is trained on.

use atelier_trainer::data::nasa::Spacecraft;
use atelier_trainer::nets::sequence_autoencoder::{SequenceAutoencoder, SequenceAutoencoderConfig};
use atelier_trainer::ops::Ops;
use atelier_trainer::ops::eager::Eager;
use atelier_trainer::store::Store;
use tch::{Device, Kind, Tensor};

use crate::support::{fixtures, generator};

fn small() -> (Store, SequenceAutoencoder) {
    let config = SequenceAutoencoderConfig { window: 8, hidden: 6, code: 4, embedding: 2, least_scale: 0.01 };
    let mut store = Store::new(3, Device::Cpu);
    let network = SequenceAutoencoder::new(&mut store, &config, 3, 2);
    (store, network)
}

fn detect(network: &SequenceAutoencoder, window: &Tensor, channel: i64) -> (Tensor, Tensor) {
    use atelier_trainer::graphs::Graphs;
    let channel = Tensor::from_slice(&[channel]).repeat([window.size()[0]]);
    let mut outputs = network.run("detector", &mut Eager::exact(), &[window.shallow_clone(), channel]);
    let prediction = outputs.remove(2);
    (outputs.remove(0), prediction)
}

#[test]
fn a_value_is_foretold_from_what_was_before_it_and_from_its_own_commands() {
    let (_store, network) = small();
    let _alone = generator();
    let window = Tensor::randn([1, 8, 3], (Kind::Float, Device::Cpu));
    let (restored, foretold) = detect(&network, &window, 0);
    assert_eq!((restored.size(), foretold.size()), (vec![1, 8], vec![1]));
    let changed = |row: i64, column: i64| {
        let other = window.copy();
        let _ = other.get(0).get(row).get(column).fill_(0.7);
        detect(&network, &other, 0)
    };
    let (other, same) = changed(7, 0);
    assert_eq!(same, foretold, "the value itself is not known");
    assert_ne!(other, restored, "but it is what is restored");
    for (row, column) in [(7, 1), (6, 0), (2, 2)] {
        assert_ne!(changed(row, column).1, foretold, "row {row}, column {column}");
    }
    assert_ne!(detect(&network, &window, 1).1, foretold, "each channel is another");
}

#[test]
fn one_reading_foretells_every_row_as_the_detector_foretells_the_last() {
    let (_store, network) = small();
    let _alone = generator();
    let rows = Tensor::randn([1, 9, 3], (Kind::Float, Device::Cpu));
    let ops = &mut Eager::exact();
    let (window, channel) = (rows.narrow(1, 0, 8), Tensor::from_slice(&[1i64]));
    let encoded = network.encode(ops, &window, &channel);
    let everywhere = ops.repeat(&encoded.channel, 7);
    let (value, commands) = (window.narrow(2, 0, 1), window.narrow(2, 1, 2));
    let all = network.predict(
        ops,
        &encoded.outputs.narrow(1, 0, 7),
        &everywhere,
        &value.narrow(1, 0, 7),
        &commands.narrow(1, 1, 7),
        2,
    );
    let (_, last) = detect(&network, &window, 1);
    assert!((all.value.reshape([-1]).get(6) - last.get(0)).abs().double_value(&[]) < 1e-6);
}

#[test]
fn the_small_part_of_the_data_is_read_with_its_anomalies() {
    let smap = Spacecraft::read(&fixtures(), "SMAP").unwrap();
    let names: Vec<&str> = smap.channels.iter().map(|channel| channel.name.as_str()).collect();
    assert_eq!(names, ["A-1", "E-1", "P-1"]);
    assert_eq!(smap.channels[1].anomalies, [150..=180]);
    let training = smap.training().unwrap();
    assert!(training.iter().all(|recording| (recording.len(), recording.columns()) == (320, 3)));
    assert!(training[0].column(0).iter().all(|value| *value == training[0].column(0)[0]), "A-1 stands still");
    assert_eq!(smap.recording("P-1", "test").unwrap().len(), 240);
}
