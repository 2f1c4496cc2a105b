//! What the tests share with the copy with planted bugs and with the program that kills and starves gateways, in one list.

#![allow(dead_code, reason = "each program uses its own part")]

#[path = "eventually.rs"]
pub mod eventually;
#[path = "hostile_files.rs"]
pub mod hostile_files;
#[cfg(feature = "axum")]
#[path = "hostile_http.rs"]
pub mod hostile_http;
#[path = "hostile_users.rs"]
pub mod hostile_users;
#[path = "http_client.rs"]
pub mod http_client;
#[cfg(feature = "axum")]
#[path = "http_server.rs"]
pub mod http_server;
#[path = "local_gateway.rs"]
pub mod local_gateway;
#[path = "own_process.rs"]
pub mod own_process;
