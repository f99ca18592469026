//! Prints the golden matrix of `policies/`: `cargo run --release -p rules --example matrix > policies/expected.txt`.
//!
//! Must never be used to sign: it does not compute the policy set's hash.

use rules::policy::{PolicyBundle, matrix};
use std::error::Error;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../policies");
    let mut files = Vec::new();
    for folder in ["", "purposes/", "goals/"] {
        for entry in std::fs::read_dir(root.join(folder))? {
            let entry = entry?;
            let path = format!("{folder}{}", entry.file_name().to_string_lossy());
            if PolicyBundle::is_signed_path(&path) {
                files.push((path, std::fs::read(entry.path())?));
            }
        }
    }
    let bundle = PolicyBundle::load(&files, &|_| [0; 32]).map_err(|errors| {
        errors
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join("\n")
    })?;
    print!("{}", matrix(&bundle)?);
    Ok(())
}
