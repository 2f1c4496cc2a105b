//! What this program shares with the tests of the repository.

#![allow(dead_code, reason = "it uses a part of it")]

#[path = "../../../tests/support/eventually.rs"]
pub mod eventually;
#[path = "../../../tests/support/hostile_files.rs"]
pub mod hostile_files;
#[path = "../../../tests/support/hostile_http.rs"]
pub mod hostile_http;
#[path = "../../../tests/support/hostile_users.rs"]
pub mod hostile_users;
#[path = "../../../tests/support/http_client.rs"]
pub mod http_client;
#[path = "../../../tests/support/http_server.rs"]
pub mod http_server;
