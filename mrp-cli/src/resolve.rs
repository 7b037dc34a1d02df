//! Names where the API has ids: a name, an id, or, for what is unknown, what the user may have meant.

use std::fmt::Display;

use anyhow::{Result, bail};
use mrp_core::api;
use mrp_core::mac::MacAddr;
use serde::de::DeserializeOwned;

use crate::client::Client;

/// Something that has a name and an id.
pub trait Named: DeserializeOwned {
    /// What it is called in messages.
    const NOUN: &'static str;
    /// Where the whole list is: of what the caller may see.
    const LIST: &'static str;
    /// Its id.
    fn id(&self) -> i64;
    /// Its name.
    fn name(&self) -> String;
}

macro_rules! named {
    ($($type:ident $noun:literal $list:literal $name:expr;)*) => {$(
        impl Named for api::$type {
            const NOUN: &'static str = $noun;
            const LIST: &'static str = $list;
            fn id(&self) -> i64 {
                self.id
            }
            fn name(&self) -> String {
                let name: fn(&Self) -> String = $name;
                name(self)
            }
        }
    )*};
}

named! {
    Machine "machine" "/machine?show_all=true" |machine| machine.name.clone();
    Image "image" "/image?show_all=true" |image| image.name.clone();
    Preseed "answer file" "/preseed?show_all=true" |preseed| preseed.name.clone();
    User "user" "/user" |user| user.name.clone();
    Token "token" "/token" |token| token.description.clone();
    Arch "architecture" "/arch" |arch| arch.name.clone();
    Subarch "subarchitecture" "/subarch" |subarch| format!("{}/{}", subarch.arch, subarch.name);
    Bmc "BMC" "/bmc" |bmc| bmc.name.clone();
    Network "network" "/network" |network| network.name.clone();
}

/// Finds what is called so, or has this id.
pub async fn find<T: Named>(client: &Client, given: &str) -> Result<T> {
    pick(client.list(T::LIST, &[]).await?, given)
}

/// Finds the machine: the one that most commands are about, so that a lab of thousands does not send its whole list.
pub async fn machine(client: &Client, given: &str) -> Result<api::Machine> {
    let query = format!("(= name {})", quoted(given));
    let parameters = [("show_all", "true".to_owned()), ("q", query)];
    let mut found: Vec<api::Machine> = client.query("/machine", &parameters).await?;
    let named = found.pop().filter(|machine| machine.name == given);
    let by_id: Option<api::Machine> = match given.parse::<u32>() {
        Ok(id) => match client.get(&format!("/machine/{id}")).await {
            Err(error) if error.status() == Some(404) => None,
            found => Some(found?),
        },
        Err(_) => None,
    };
    match (named, by_id) {
        (Some(named), Some(other)) if named.id != other.id => bail!(
            "{given} is the name of machine {} and the id of {}; name the one by its id, the other by its name",
            named.id,
            other.name
        ),
        (Some(machine), _) | (None, Some(machine)) => return Ok(machine),
        (None, None) => {}
    }
    find(client, given).await
}

/// A subarchitecture as `arch/subarch`, or by its name alone where the architecture is known or only one has it.
pub async fn subarch(client: &Client, arch: Option<&str>, given: &str) -> Result<api::Subarch> {
    let all: Vec<api::Subarch> = client.list(api::Subarch::LIST, &[]).await?;
    if given.contains('/') {
        return pick(all, given);
    }
    if let Some(arch) = arch {
        let of_arch: Vec<api::Subarch> = all.into_iter().filter(|subarch| subarch.arch == arch).collect();
        let names: Vec<String> = of_arch.iter().map(|subarch| subarch.name.clone()).collect();
        let found = of_arch.into_iter().find(|subarch| subarch.name == given);
        return match found {
            Some(subarch) => Ok(subarch),
            None => bail!("{arch} has no subarchitecture {}{}", shown(given), hint(&names, given)),
        };
    }
    let named: Vec<&api::Subarch> = all.iter().filter(|subarch| subarch.name == given).collect();
    match named.as_slice() {
        [one] => Ok((*one).clone()),
        [] => pick(all, given),
        several => {
            let names: Vec<String> = several.iter().map(|subarch| subarch.name()).collect();
            bail!(
                "several architectures have a subarchitecture {}; name one: {}",
                shown(given),
                names.join(", ")
            )
        }
    }
}

/// Names of an architecture and, if one was named (`x86_64/efi`, or apart), of its subarchitecture.
pub async fn arch_and_subarch(
    client: &Client,
    arch: &str,
    subarch: Option<&str>,
) -> Result<(String, Option<String>)> {
    let (arch, named) = match (arch.split_once('/'), subarch) {
        (Some((arch, subarch)), None) => (arch, Some(subarch)),
        _ => (arch, subarch),
    };
    let arch: api::Arch = find(client, arch).await?;
    let subarch = match named {
        Some(named) => Some(self::subarch(client, Some(&arch.name), named).await?.name),
        None => None,
    };
    Ok((arch.name, subarch))
}

/// Finds an image of a kind: by its whole name, its id, or the name of the file that was uploaded. Of several uploads of
/// one file the user's own is meant, and the newest.
pub async fn image(client: &Client, given: &str, kind: &str, arch: Option<&str>) -> Result<api::Image> {
    let fits = |image: &api::Image| image.kind == kind && arch.is_none_or(|arch| image.arch == arch);
    let all: Vec<api::Image> = client.list(api::Image::LIST, &[]).await?;
    if let Some(image) = all.iter().find(|image| image.name == given || image.id.to_string() == given) {
        if image.kind != kind {
            bail!("{} is a {}, not a {}", image.name, image.kind.to_lowercase(), kind.to_lowercase());
        }
        if let Some(arch) = arch.filter(|arch| image.arch != *arch) {
            bail!("{} is for {}, not for {arch}", image.name, image.arch);
        }
        return Ok(image.clone());
    }
    let fitting: Vec<api::Image> = all.into_iter().filter(fits).collect();
    let own: Vec<api::Image> = client.list("/image", &[]).await?;
    let by_file = |images: &[api::Image]| {
        images.iter().filter(|i| file_of(&i.name) == given && fits(i)).max_by_key(|i| i.id).cloned()
    };
    if let Some(image) = by_file(&own).or_else(|| by_file(&fitting)) {
        return Ok(image);
    }
    let of_arch = arch.map(|arch| format!(" for {arch}")).unwrap_or_default();
    bail!(
        "there is no {} {}{of_arch}{}",
        kind.to_lowercase(),
        shown(given),
        hint(&image_names(&fitting), given)
    )
}

/// An image of any kind by name or id, or by the file's name where only one image has it: what is changed or removed must
/// be no guess.
pub async fn any_image(client: &Client, given: &str) -> Result<api::Image> {
    let all: Vec<api::Image> = client.list(api::Image::LIST, &[]).await?;
    let by_file: Vec<&api::Image> = all.iter().filter(|image| file_of(&image.name) == given).collect();
    match by_file.as_slice() {
        [image] => Ok((*image).clone()),
        [] => {
            let names = image_names(&all);
            match all.into_iter().find(|image| image.name == given || image.id.to_string() == given) {
                Some(image) => Ok(image),
                None => bail!("there is no image {}{}", shown(given), hint(&names, given)),
            }
        }
        several => {
            let names: Vec<&str> = several.iter().map(|image| image.name.as_str()).collect();
            bail!("there are several images {}; name one: {}", shown(given), names.join(", "))
        }
    }
}

/// An interface of a machine by identifier, MAC address or id.
pub async fn interface(client: &Client, machine: &api::Machine, given: &str) -> Result<api::Interface> {
    let all: Vec<api::Interface> = client.get(&format!("/machine/{}/interface", machine.id)).await?;
    let mac = given.parse::<MacAddr>().ok().map(|mac| mac.to_string());
    let known: Vec<String> =
        all.iter().map(|i| i.identifier.clone().unwrap_or_else(|| i.mac.clone())).collect();
    let named: Vec<&str> =
        all.iter().filter(|i| i.identifier.as_deref() == Some(given)).map(|i| i.mac.as_str()).collect();
    if named.len() > 1 {
        let macs = named.join(", ");
        bail!("{} has several interfaces {}; name one by its MAC: {macs}", machine.name, shown(given));
    }
    let is_meant = |i: &api::Interface| {
        Some(&i.mac) == mac.as_ref() || i.identifier.as_deref() == Some(given) || i.id.to_string() == given
    };
    match all.into_iter().find(is_meant) {
        Some(interface) => Ok(interface),
        None => bail!("{} has no interface {}{}", machine.name, shown(given), hint(&known, given)),
    }
}

/// `alice/vmlinuz.1a2b3c4d` is called `vmlinuz` by those who uploaded it.
pub fn file_of(name: &str) -> &str {
    let file = name.split_once('/').map_or(name, |(_, file)| file);
    file.rsplit_once('.').map_or(file, |(file, _)| file)
}

fn image_names(images: &[api::Image]) -> Vec<String> {
    let mut names: Vec<String> = images.iter().map(|image| file_of(&image.name).to_owned()).collect();
    names.sort();
    names.dedup();
    names.extend(images.iter().map(|image| image.name.clone()));
    names
}

/// Picks by name, else by id; a name that several have is no choice.
pub(crate) fn pick<T: Named>(all: Vec<T>, given: &str) -> Result<T> {
    let names: Vec<String> = all.iter().map(T::name).collect();
    let (named, others): (Vec<T>, Vec<T>) = all.into_iter().partition(|item| item.name() == given);
    if named.len() > 1 {
        let ids: Vec<String> = named.iter().map(|item| item.id().to_string()).collect();
        bail!(
            "there are {} of {}s {}; name one by its id: {}",
            ids.len(),
            T::NOUN,
            shown(given),
            ids.join(", ")
        );
    }
    let by_id = || others.into_iter().find(|item| item.id().to_string() == given);
    match named.into_iter().next().or_else(by_id) {
        Some(item) => Ok(item),
        None => bail!("there is no {} {}{}", T::NOUN, shown(given), hint(&names, given)),
    }
}

/// What was given, in quotes, and not longer than a message bears.
pub(crate) fn shown(given: &str) -> impl Display + use<> {
    const MOST: usize = 60;
    if given.chars().count() <= MOST {
        return format!("{given:?}");
    }
    format!("{:?}…", given.chars().take(MOST).collect::<String>())
}

/// A string of the query language.
pub(crate) fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// The nearest names by edit distance, or the few that there are.
pub(crate) fn hint(names: &[String], given: &str) -> String {
    const FEW: usize = 8;
    let mut named: Vec<&str> = names.iter().map(String::as_str).filter(|name| !name.is_empty()).collect();
    named.dedup();
    if named.is_empty() {
        return "; there is none yet".into();
    }
    // A name that long is no typing error.
    let length = given.chars().count();
    if length <= 256 {
        let distance = |name: &str| strsim::osa_distance(&name.to_lowercase(), &given.to_lowercase());
        let is_near = |distance: usize, name: &str| distance <= length.max(name.chars().count()) / 3;
        let mut near: Vec<(usize, &str)> = named.iter().map(|name| (distance(name), *name)).collect();
        near.retain(|(distance, name)| is_near(*distance, name));
        if let Some(least) = near.iter().map(|(distance, _)| *distance).min() {
            let nearest = near.iter().filter(|(distance, _)| *distance == least).take(3);
            let nearest: Vec<String> = nearest.map(|(_, name)| format!("{name:?}")).collect();
            return format!("; did you mean {}?", nearest.join(" or "));
        }
    }
    if named.len() <= FEW { format!("; there are: {}", named.join(", ")) } else { String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archs(names: &[&str]) -> Vec<api::Arch> {
        let arch = |(at, name): (usize, &&str)| api::Arch {
            id: at as i64 + 1,
            name: (*name).into(),
            description: String::new(),
        };
        names.iter().enumerate().map(arch).collect()
    }

    #[test]
    fn a_name_wins_over_an_id_and_near_names_are_told() {
        assert_eq!(pick(archs(&["arm64", "x86_64"]), "x86_64").unwrap().id, 2);
        assert_eq!(pick(archs(&["arm64", "x86_64"]), "1").unwrap().name, "arm64");
        assert_eq!(pick(archs(&["2", "x86_64"]), "2").unwrap().name, "2");
        let refused = |names: &[&str], given: &str| pick(archs(names), given).unwrap_err().to_string();
        assert_eq!(
            refused(&["arm64"], "arm46"),
            "there is no architecture \"arm46\"; did you mean \"arm64\"?"
        );
        assert_eq!(
            refused(&["sim-1", "sim-2", "other"], "sim-9"),
            "there is no architecture \"sim-9\"; did you mean \"sim-1\" or \"sim-2\"?"
        );
        assert_eq!(
            refused(&["arm64", "riscv64"], "zzz"),
            "there is no architecture \"zzz\"; there are: arm64, riscv64"
        );
        assert_eq!(refused(&[], "a"), "there is no architecture \"a\"; there is none yet");
        assert!(refused(&["a", "a"], "a").ends_with("name one by its id: 1, 2"));
        assert_eq!(
            refused(&["ARM64"], "arm64"),
            "there is no architecture \"arm64\"; did you mean \"ARM64\"?"
        );
    }

    #[test]
    fn what_was_given_is_shown_in_bounds_and_without_control_characters() {
        assert_eq!(shown("a\u{1b}b").to_string(), "\"a\\u{1b}b\"");
        assert!(shown(&"x".repeat(100_000)).to_string().len() < 100);
        assert_eq!(quoted("a\"b\\"), r#""a\"b\\""#);
    }

    #[test]
    fn an_upload_goes_by_its_file_name() {
        assert_eq!(file_of("alice/initrd.gz.1a2b3c4d"), "initrd.gz");
        assert_eq!(file_of("alice/vmlinuz.1a2b3c4d"), "vmlinuz");
    }
}
