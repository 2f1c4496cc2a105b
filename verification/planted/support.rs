//! What the included tests share.

#![allow(dead_code, reason = "the included tests use a part of it")]

#[path = "../../tests/support/eventually.rs"]
pub mod eventually;
#[path = "../../tests/support/hostile_files.rs"]
pub mod hostile_files;
#[cfg(feature = "axum")]
#[path = "../../tests/support/hostile_http.rs"]
pub mod hostile_http;
#[path = "../../tests/support/hostile_users.rs"]
pub mod hostile_users;
#[cfg(feature = "axum")]
#[path = "../../tests/support/http_client.rs"]
pub mod http_client;
#[cfg(feature = "axum")]
#[path = "../../tests/support/http_server.rs"]
pub mod http_server;
#[path = "../../tests/support/local_gateway.rs"]
pub mod local_gateway;
#[path = "../../tests/support/own_process.rs"]
pub mod own_process;
