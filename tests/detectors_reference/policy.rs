//! Makes detectors the way a policy file does: a table of the file's text, read by the program's own reader.

use rollcage::detect::config::SignalKind;
use rollcage::plan::policy_alone;
use serde_json::{Map, Value};

/// The signal that a policy with this table has.
pub fn signal(kind: &str, table: &Map<String, Value>) -> Result<SignalKind, String> {
    let mut text = format!("name = \"reference\"\n[signals.x]\nkind = \"{kind}\"\n");
    for (key, value) in table.iter().filter(|(_, value)| !value.is_null()) {
        // JSON's numbers, texts, lists and truths are written alike in TOML.
        text.push_str(&format!("{key} = {value}\n"));
    }
    let policy = policy_alone("policy.toml", &text).map_err(|mistakes| {
        let said: Vec<&str> = mistakes.iter().map(|m| m.message.as_str()).collect();
        format!("{kind}: {}", said.join("; "))
    })?;
    let [signal] = policy.signals.as_slice() else { return Err(format!("{kind}: not one signal")) };
    Ok(signal.kind.clone())
}
