//! `lockstep evidence verify`: checks a signed case file of a dispute. It needs nothing but the file, so that a third party can
//! run it.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use lockstep_vault::signing;
use serde::Deserialize;
use serde_json::Value;

use crate::cli::EvidenceCommand;
use crate::output::Output;

/// The form of the files that this program knows.
const FORMAT: &str = "lockstep-evidence-1";
/// Largest accepted file, in bytes.
const MOST: u64 = 16 * 1024 * 1024;

/// A signed file.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Signed {
    format: String,
    public_key: String,
    signature: String,
    content: String,
}

/// Runs the command.
pub(crate) fn run(output: Output, what: &EvidenceCommand) -> Result<ExitCode> {
    let EvidenceCommand::Verify { file, key } = what;
    verify(output, file, key.as_deref())
}

fn verify(output: Output, file: &Path, key: Option<&str>) -> Result<ExitCode> {
    let name = file.display();
    let size = std::fs::metadata(file)
        .with_context(|| format!("cannot read {name}"))?
        .len();
    if size > MOST {
        bail!("{name} is larger than any case file");
    }
    let bytes = std::fs::read(file).with_context(|| format!("cannot read {name}"))?;
    let signed: Signed = serde_json::from_slice(&bytes).with_context(|| format!("{name} is no signed case file"))?;
    if signed.format != FORMAT {
        bail!("{name} has the form {}, and this program knows {FORMAT}", signed.format);
    }
    let decoded =
        |text: &str, what: &str| hex::decode(text.trim()).with_context(|| format!("{what} is not hexadecimal"));
    let public = decoded(key.unwrap_or(&signed.public_key), "the key")?;
    let signature = decoded(&signed.signature, "the signature")?;
    let is_signed = signing::is_signed(&public, signed.content.as_bytes(), &signature);
    let content: Value = serde_json::from_str(&signed.content).unwrap_or_default();
    let dispute = content
        .pointer("/dispute/reference")
        .and_then(Value::as_str)
        .unwrap_or("unknown");
    let shown = serde_json::json!({
        "signed": is_signed, "publicKey": hex::encode(&public), "dispute": dispute, "keyGiven": key.is_some(),
    });
    output.result(&shown, || {
        if !is_signed {
            return "The signature is not that of this content by this key: the file was changed, or another shop signed it.".to_owned();
        }
        let advice = if key.is_some() {
            ""
        } else {
            " Compare the key with the one that the shop has published."
        };
        format!("Dispute {dispute}: signed by the key {} and unchanged.{advice}", hex::encode(&public))
    })?;
    Ok(if is_signed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_verified_offline_and_a_changed_one_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (_, key) = signing::Key::generate();
        let content = serde_json::json!({"dispute": {"reference": "du_1"}}).to_string();
        let write = |content: &str, signature: &[u8]| {
            let file = folder.path().join("evidence.json");
            let signed = serde_json::json!({
                "format": FORMAT, "publicKey": hex::encode(key.public()), "signature": hex::encode(signature), "content": content,
            });
            std::fs::write(&file, signed.to_string()).unwrap();
            file
        };
        let output = Output::new(true);
        let right = write(&content, &key.sign(content.as_bytes()));
        let public = hex::encode(key.public());
        let is_success = |code: ExitCode| format!("{code:?}") == format!("{:?}", ExitCode::SUCCESS);
        assert!(is_success(verify(output, &right, None).unwrap()));
        assert!(is_success(verify(output, &right, Some(&public)).unwrap()));
        let other = hex::encode(signing::Key::generate().1.public());
        assert!(!is_success(verify(output, &right, Some(&other)).unwrap()));
        let changed = write(&content.replace("du_1", "du_2"), &key.sign(content.as_bytes()));
        assert!(!is_success(verify(output, &changed, None).unwrap()));
        std::fs::write(&changed, "{}").unwrap();
        assert!(verify(output, &changed, None).is_err());
    }
}
