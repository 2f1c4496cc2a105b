//! The code that `docs/conformance.md` shows is the code of this package, and so it compiles and runs.

const DOCUMENT: &str = include_str!("../../../docs/conformance.md");

#[track_caller]
fn is_shown(language: &str, code: &str) {
    let block = format!("```{language}\n{code}```\n");
    assert!(DOCUMENT.contains(&block), "docs/conformance.md is to show\n{block}");
}

#[test]
fn the_adapter_of_the_document_is_the_one_that_is_tested() {
    is_shown("rust", include_str!("conformance.rs"));
}

#[test]
fn the_dependency_of_the_document_has_the_feature_that_is_used_here() {
    let manifest = include_str!("../Cargo.toml");
    let used = "features = [\"conformance\"] }\n";
    assert!(manifest.ends_with(used), "{manifest}");
    is_shown("toml", &format!("[dev-dependencies]\ngateway-drain = {{ version = \"0.1\", {used}"));
}
