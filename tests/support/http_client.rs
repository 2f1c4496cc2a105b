//! How a test asks over HTTP.

use ureq::config::ConfigBuilder;
use ureq::typestate::AgentScope;

/// ureq's own are filled with 256 KiB of zeros for each connection, byte by byte in an unoptimised build.
const BUFFER: usize = 16 * 1024;

/// For a client that takes every answer for one.
pub fn config() -> ConfigBuilder<AgentScope> {
    let config = ureq::Agent::config_builder().http_status_as_error(false);
    config.input_buffer_size(BUFFER).output_buffer_size(BUFFER)
}
