//! The command line: see `gateway_drain::cli`.

fn main() -> std::process::ExitCode {
    gateway_drain::cli::main()
}
