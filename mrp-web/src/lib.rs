//! REST API, machine-facing routes and event stream.
