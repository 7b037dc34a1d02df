//! What every [`Store`](crate::store::Store) has to pass.
