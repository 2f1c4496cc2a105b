//! Two neighbours of gateway-drain under its conformance suite. All of it is in `tests/`.
