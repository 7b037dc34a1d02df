//! `Debug` of the bodies that carry a password or token in plain text: it does not show them.

use std::fmt;

use super::{IssuedToken, Login, NewBmc, NewUser, UserChange};

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("user", &self.user).finish_non_exhaustive()
    }
}

impl fmt::Debug for IssuedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IssuedToken")
            .field("id", &self.id)
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for NewUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewUser")
            .field("name", &self.name)
            .field("admin", &self.admin)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for UserChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserChange")
            .field("email", &self.email)
            .field("admin", &self.admin)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for NewBmc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewBmc")
            .field("name", &self.name)
            .field("address", &self.address)
            .field("driver", &self.driver)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_is_in_what_debug_prints() {
        let user = || "alice".to_owned();
        let password = || "hunter22".to_owned();
        let (change, bmc) =
            (r#"{"password": "hunter22"}"#, r#"{"name": "alice", "address": "a", "password": "hunter22"}"#);
        let issued = r#"{"id": 1, "token": "hunter22", "expires": null, "scope": "admin"}"#;
        for printed in [
            format!("{:?}", Login { user: user(), password: password() }),
            format!("{:?}", serde_json::from_str::<IssuedToken>(issued).unwrap()),
            format!(
                "{:?}",
                serde_json::from_str::<NewUser>(r#"{"name": "alice", "password": "hunter22"}"#).unwrap()
            ),
            format!("{:?}", serde_json::from_str::<UserChange>(change).unwrap()),
            format!("{:?}", serde_json::from_str::<NewBmc>(bmc).unwrap()),
        ] {
            assert!(!printed.contains("hunter") && printed.ends_with(".. }"), "{printed}");
        }
    }
}
