//! The pages that are made from the code, by the tests that compare them with it.

use crate::shell::{Done, line, run};

/// The modules of `tests/it` that make a page, or a part of one.
const PAGES: &str = "specification:: cli_docs:: deployment_guide:: metrics:: traces:: probe_docs:: links::";

fn tests(write: bool) -> Done {
    let pages = format!("cargo test --quiet --all-features --test it -- {PAGES}");
    for test in [pages.as_str(), "cargo test --quiet --all-features --test verification_page"] {
        let mut test = line(test);
        if write {
            test.env("UPDATE_DOCS", "1");
        }
        run(&mut test)?;
    }
    Ok(())
}

pub fn check() -> Done {
    tests(false)
}

pub fn write() -> Done {
    tests(true)
}

/// The pages of measurements, which are not made from the code alone: they are of the machine, and of the day.
pub fn measure() -> Done {
    run(&mut line(".ci/faults"))?;
    run(&mut line("cargo bench --manifest-path benches/Cargo.toml"))
}
