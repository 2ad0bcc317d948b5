//! Where a key is activated and on which device it runs, from the fields or, where they are empty, from the title.

use lockstep_g2a::Product;

use super::{name, words};

/// Service, region and devices of a key.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) service: Option<String>,
    pub(super) region: Option<String>,
    pub(super) devices: Vec<&'static str>,
}

impl Place {
    /// Reads the product's own fields and, where they are empty, its title.
    pub(super) fn of(product: &Product, title: &str) -> Self {
        let words: Vec<&str> = title
            .split_whitespace()
            .map(|word| word.trim_matches(|c: char| !c.is_alphanumeric()))
            .filter(|word| !word.is_empty())
            .collect();
        let lower: Vec<String> = words.iter().map(|word| word.to_lowercase()).collect();
        let field = name(product.platform.as_deref()).filter(|field| !field.eq_ignore_ascii_case("other"));
        let service = match &field {
            Some(field) => service_called(field),
            None => service_in(&lower),
        };
        let region = name(product.region.as_deref())
            .map(|field| field.to_uppercase())
            .or_else(|| region_in(&words));
        let mut devices = devices_in(&lower);
        if devices.is_empty() {
            devices.extend(service.map(|service| service.device));
        }
        Self {
            service: service.map(|service| service.name.to_owned()).or(field),
            region,
            devices,
        }
    }
}

/// The service named in a `platform` field.
fn service_called(field: &str) -> Option<&'static words::Service> {
    let field = field.to_lowercase();
    words::SERVICES.iter().find(|service| {
        service.name.to_lowercase() == field
            || service.phrases.contains(&field.as_str())
            || service.ambiguous.contains(&field.as_str())
    })
}

/// The last service named in a title.
fn service_in(words: &[String]) -> Option<&'static words::Service> {
    let mut found: Option<(usize, &'static words::Service)> = None;
    for service in words::SERVICES {
        let clear = service.phrases.iter().filter_map(|phrase| last_end(words, phrase));
        let in_front_of_key = service.ambiguous.iter().filter_map(|phrase| {
            last_end(words, phrase).filter(|end| {
                words
                    .get(*end)
                    .is_some_and(|next| words::AFTER_SERVICE.contains(&next.as_str()))
            })
        });
        if let Some(end) = clear.chain(in_front_of_key).max()
            && found.is_none_or(|(other, _)| end > other)
        {
            found = Some((end, service));
        }
    }
    found.map(|(_, service)| service)
}

/// The end of the last occurrence of a phrase.
fn last_end<W: AsRef<str>>(words: &[W], phrase: &str) -> Option<usize> {
    let phrase: Vec<&str> = phrase.split(' ').collect();
    words
        .windows(phrase.len())
        .rposition(|window| {
            window
                .iter()
                .zip(&phrase)
                .all(|(word, wanted)| word.as_ref() == *wanted)
        })
        .map(|start| start + phrase.len())
}

/// The last region named in a title in capital letters; of several matches the longest.
fn region_in(words: &[&str]) -> Option<String> {
    // The first word is always part of the game's name.
    let tail = words.get(1..)?;
    words::REGIONS
        .iter()
        .filter_map(|region| last_end(tail, region).map(|end| (end, region.len(), *region)))
        .max()
        .map(|(_, _, region)| region.to_owned())
}

/// The devices named in a title; of "Xbox One" and "Xbox" only the longer.
fn devices_in(words: &[String]) -> Vec<&'static str> {
    let tail = words.get(1..).unwrap_or_default();
    let mut devices: Vec<&'static str> = Vec::new();
    for (phrase, device) in words::DEVICES {
        // On their own these name the service or the manufacturer more often than the device.
        let bare = matches!(*phrase, "xbox" | "playstation" | "windows" | "mac");
        if !bare && last_end(tail, phrase).is_some() && !devices.contains(device) {
            devices.push(device);
        }
    }
    let all = devices.clone();
    devices.retain(|device| {
        !all.iter()
            .any(|other| other.len() > device.len() && other.starts_with(device))
    });
    devices
}
