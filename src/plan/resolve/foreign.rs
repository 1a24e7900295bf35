//! Owns the resolution of foreign servers: addresses and names as written → where they are and how versions are known there.

use crate::plan::diagnostic::{Diagnostic, did_you_mean};
use crate::plan::document::Place;
use crate::plan::scenario::{FloatType, Foreign as Wire};
use crate::plan::{Foreign, ForeignModel};
use std::net::SocketAddr;

/// `versions`: names of models, by version; `replicas`: of the fleet.
pub(crate) fn foreign(
    wire: &Wire,
    place: &Place<'_>,
    versions: &[&str],
    replicas: u32,
    found: &mut Vec<Diagnostic>,
) -> Foreign {
    let mut servers: Vec<SocketAddr> = Vec::new();
    for (i, text) in wire.servers.iter().enumerate() {
        let at = place.at("servers").at(i);
        match text.parse() {
            Ok(server) if servers.contains(&server) => found.push(at.wrong(format!("`{server}` is named twice"))),
            Ok(server) => servers.push(server),
            Err(_) => {
                let help = "write an address and a port, as in \"127.0.0.1:8080\"";
                found.push(at.wrong(format!("`{text}` is no address with a port")).help(help));
            }
        }
    }
    if (wire.servers.len() as u64) < u64::from(replicas) {
        let message = format!("{} servers, but the fleet has {replicas} replicas", wire.servers.len());
        found.push(place.at("servers").wrong(message).help("the n-th replica of a version is on the n-th server"));
    }
    for name in wire.models.keys().filter(|name| !versions.contains(&name.as_str())) {
        let at = place.at("models").at(name);
        let help = did_you_mean(name, versions, "models");
        found.push(at.wrong_key(format!("unknown model `{name}`")).label("no such model").maybe_help(help));
    }
    let known = |version: &str| wire.models.get(version).and_then(|m| m.name.as_deref()).unwrap_or(version).to_owned();
    for (i, version) in versions.iter().enumerate() {
        let name = known(version);
        if let Some(other) = versions[..i].iter().find(|other| known(other) == name) {
            let message = format!("`{other}` and `{version}` are both `{name}` on the servers");
            found.push(
                place
                    .at("models")
                    .wrong(message)
                    .help("each version needs a model of its own there: its load puts it on, its unload takes it off"),
            );
        }
    }
    let model = |version: &&str| {
        let model = wire.models.get(*version).cloned().unwrap_or_default();
        ForeignModel {
            name: model.name.unwrap_or_else(|| (*version).to_owned()),
            input: model.input,
            double: model.datatype == FloatType::Fp64,
            output: model.output,
            column: model.column.map(|c| c as usize),
        }
    };
    Foreign { servers, models: versions.iter().map(model).collect() }
}
