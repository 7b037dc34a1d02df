//! What every [`Bmc`](crate::bmc::Bmc) has to pass.
