//! The methods that a server can be asked for.

use std::collections::BTreeSet;

use prost::Message;
use prost_types::FileDescriptorSet;

/// The full names of these services with the names of their methods, as far as descriptors tell of them.
pub(crate) fn of(sets: &[&[u8]], services: &BTreeSet<String>) -> Vec<(String, Vec<String>)> {
    let own = [
        tonic_health::pb::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
    ];
    let mut found: Vec<(String, Vec<String>)> = Vec::new();
    for set in own.iter().chain(sets) {
        // A set that is damaged is told of by reflection, which reads it as well.
        let Ok(set) = FileDescriptorSet::decode(*set) else { continue };
        for file in &set.file {
            for service in &file.service {
                let name = format!("{}.{}", file.package(), service.name());
                let seen = found.iter().any(|(known, _)| *known == name);
                if services.contains(&name) && !seen {
                    found.push((name, service.method.iter().map(|m| m.name().to_owned()).collect()));
                }
            }
        }
    }
    for service in services {
        if !found.iter().any(|(known, _)| known == service) {
            found.push((service.clone(), Vec::new()));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_methods_of_a_service_are_known_from_its_descriptors() {
        let services = ["grpc.health.v1.Health", "a.A"].map(str::to_owned).into();
        let mut methods = of(&[b"not a descriptor set"], &services);
        methods.iter_mut().for_each(|(_, methods)| methods.sort());
        assert_eq!(methods[0].0, "grpc.health.v1.Health");
        assert!(methods[0].1.contains(&"Check".to_owned()) && methods[0].1.contains(&"Watch".to_owned()));
        assert_eq!(methods[1], ("a.A".to_owned(), vec![]));
    }
}
