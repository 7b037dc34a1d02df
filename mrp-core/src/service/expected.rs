//! Changes that are wanted only of an object as it was seen: what `If-Match` means.

use crate::error::Error;
use crate::store::{Seen, StoreError, StoreResult};

/// The revisions of an object that a change is wanted of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Expected {
    /// Whatever is there.
    #[default]
    Any,
    /// One of these; none if there are none.
    OneOf(Vec<i64>),
}

impl Expected {
    /// Refuses a change of an object that is not as it was seen.
    pub(crate) fn check(&self, revision: i64) -> Result<(), Error> {
        match self {
            Expected::OneOf(seen) if !seen.contains(&revision) => Err(Error::Outdated { revision }),
            _ => Ok(()),
        }
    }

    /// The same for the store, which looks in the transaction that removes the object.
    pub(crate) fn seen(&self) -> Seen<'_> {
        match self {
            Expected::Any => None,
            Expected::OneOf(seen) => Some(seen),
        }
    }

    /// What a write came to. One that was overtaken between reading and writing is refused for the same reason.
    pub(crate) fn settle<T>(&self, written: StoreResult<T>, revision: i64) -> Result<T, Error> {
        Ok(self.overtaken(written, revision)??)
    }

    /// The same, where another failure of the store is to be told in other words.
    pub(crate) fn overtaken<T>(
        &self,
        written: StoreResult<T>,
        revision: i64,
    ) -> Result<StoreResult<T>, Error> {
        match written {
            Err(StoreError::Stale) if *self != Expected::Any => {
                Err(Error::Outdated { revision: revision + 1 })
            }
            other => Ok(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_refused_unless_its_object_is_as_it_was_seen() {
        assert!(Expected::Any.check(3).is_ok());
        assert!(Expected::OneOf(vec![2, 3]).check(3).is_ok());
        for seen in [vec![], vec![2]] {
            let refused = Expected::OneOf(seen).check(3).unwrap_err();
            assert_eq!(
                refused.to_string(),
                "somebody else changed it meanwhile, it is at revision 3; look again"
            );
        }
        let overtaken = || Err::<(), _>(StoreError::Stale);
        assert!(matches!(Expected::Any.settle(overtaken(), 3), Err(Error::Conflict(_))));
        assert!(matches!(
            Expected::OneOf(vec![3]).settle(overtaken(), 3),
            Err(Error::Outdated { revision: 4 })
        ));
    }
}
