//! The service of the recipe for tonic, which needs no `protoc` this way.

use tonic_build::manual::{Builder, Method, Service};

fn main() {
    let run = Method::builder().name("run").route_name("Run").codec_path("tonic_prost::ProstCodec");
    let run = run.input_type("gateway_drain_recipes::Turn").output_type("gateway_drain_recipes::Turn").build();
    Builder::new().compile(&[Service::builder().name("Turns").package("recipes").method(run).build()]);
}
