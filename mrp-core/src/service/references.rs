//! What is still in use is not removed: the refusal names who uses it.

use crate::error::Error;
use crate::service::Provisioner;
use crate::store::{MachineReference, StoreError, StoreResult};

/// How many are named.
const NAMED: usize = 10;

impl Provisioner {
    /// The outcome of a removal, with the names of the machines that still need what was to be removed.
    pub(crate) async fn removed(&self, outcome: StoreResult<()>, of: MachineReference) -> Result<(), Error> {
        let what = match outcome {
            Err(StoreError::InUse { what }) => what,
            other => return Ok(other?),
        };
        let limit = u32::try_from(NAMED + 1).unwrap_or(u32::MAX);
        let machines = self.store().machines_referring(of, limit).await?;
        if !machines.is_empty() {
            let verb =
                if matches!(of, MachineReference::Holder(_)) { "still holds" } else { "still in use by" };
            return Err(Error::Conflict(format!("{verb} {}", named("machine", &machines))));
        }
        if let MachineReference::Arch(arch) = of {
            let subarchs = self.store().subarchs().await?.into_iter().filter(|subarch| subarch.arch == arch);
            let subarchs: Vec<String> = subarchs.map(|subarch| subarch.name).take(NAMED + 1).collect();
            if !subarchs.is_empty() {
                let subarchs = named("subarch", &subarchs);
                return Err(Error::Conflict(format!("still has {subarchs}; remove what it has first")));
            }
            let images = self.store().images().await?.into_iter().filter(|image| image.arch == arch);
            let images: Vec<String> = images.map(|image| image.name).take(NAMED + 1).collect();
            if !images.is_empty() {
                return Err(Error::Conflict(format!("still in use by {}", named("image", &images))));
            }
        }
        Err(StoreError::InUse { what }.into())
    }
}

/// `machine a`, `machines a, b and others`.
fn named(noun: &str, names: &[String]) -> String {
    let plural = if names.len() == 1 { "" } else { "s" };
    let others = if names.len() > NAMED { " and others" } else { "" };
    format!("{noun}{plural} {}{others}", names[..names.len().min(NAMED)].join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_uses_it_is_named_up_to_ten() {
        let names = |count: usize| (1..=count).map(|n| format!("m{n}")).collect::<Vec<_>>();
        assert_eq!(named("machine", &names(1)), "machine m1");
        assert_eq!(named("machine", &names(2)), "machines m1, m2");
        assert_eq!(
            named("machine", &names(11)),
            "machines m1, m2, m3, m4, m5, m6, m7, m8, m9, m10 and others"
        );
    }
}
