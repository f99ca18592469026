//! libpep is built with the two features we chose and no other.

/// Feature unification is per workspace: any crate could switch one on for all. `offline`,
/// `global-pseudonyms`, `legacy` and `elgamal3` also fail to compile (see `holder`); `insecure` adds
/// calls without changing ours, so only this test sees it.
#[test]
fn libpep_has_no_feature_that_we_did_not_choose() {
    let output = std::process::Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--offline", "--locked"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let nodes = metadata["resolve"]["nodes"].as_array().unwrap();
    let found: Vec<_> = nodes
        .iter()
        .filter(|node| node["id"].as_str().is_some_and(|id| id.contains("libpep")))
        .collect();
    assert_eq!(found.len(), 1, "one libpep");
    assert!(
        found[0]["id"]
            .as_str()
            .is_some_and(|id| id.ends_with("0.14.0"))
    );
    let mut features: Vec<_> = found[0]["features"].as_array().unwrap().iter().collect();
    features.sort_by_key(|feature| feature.as_str());
    assert_eq!(features, ["serde", "verifiable"]);
}
