//! Names where the API has ids: a name, an id, or what is close to one.

use anyhow::{Result, bail};
use mrp_core::api;
use serde::de::DeserializeOwned;

use crate::client::Client;

/// Something that has a name and an id.
pub trait Named: DeserializeOwned {
    /// What it is called in messages.
    const NOUN: &'static str;
    /// Where the whole list is.
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
    Arch "architecture" "/arch" |arch| arch.name.clone();
    Subarch "subarchitecture" "/subarch" |subarch| format!("{}/{}", subarch.arch, subarch.name);
    Bmc "BMC" "/bmc" |bmc| bmc.name.clone();
    Network "network" "/network" |network| network.name.clone();
}

/// Finds what is called so, or has this id.
pub async fn find<T: Named>(client: &Client, given: &str) -> Result<T> {
    pick(client.get(T::LIST).await?, given)
}

/// Finds the machine: the one that most commands are about.
pub async fn machine(client: &Client, given: &str) -> Result<api::Machine> {
    find(client, given).await
}

/// Finds an image of a kind: by its whole name, its id, or the name of the file that was uploaded. Of several uploads of
/// one file the user's own is meant, and the newest.
pub async fn image(client: &Client, given: &str, kind: &str, arch: Option<&str>) -> Result<api::Image> {
    let fits = |image: &api::Image| image.kind == kind && arch.is_none_or(|arch| image.arch == arch);
    let all: Vec<api::Image> = client.get(api::Image::LIST).await?;
    let fitting: Vec<api::Image> = all.into_iter().filter(fits).collect();
    if let Some(image) = fitting.iter().find(|image| image.name == given || image.id.to_string() == given) {
        return Ok(image.clone());
    }
    let own: Vec<api::Image> = client.get("/image").await?;
    let by_file = |images: &[api::Image]| {
        images.iter().filter(|i| file_of(&i.name) == given && fits(i)).max_by_key(|i| i.id).cloned()
    };
    if let Some(image) = by_file(&own).or_else(|| by_file(&fitting)) {
        return Ok(image);
    }
    let of_arch = arch.map(|arch| format!(" for {arch}")).unwrap_or_default();
    let mut names: Vec<String> = fitting.iter().map(|image| file_of(&image.name).to_owned()).collect();
    names.extend(fitting.into_iter().map(|image| image.name));
    bail!("there is no {} {given:?}{of_arch}{}", kind.to_ascii_lowercase(), hint(&names, given))
}

/// `alice/vmlinuz.1a2b3c4d` is called `vmlinuz` by those who uploaded it.
pub fn file_of(name: &str) -> &str {
    let file = name.split_once('/').map_or(name, |(_, file)| file);
    file.rsplit_once('.').map_or(file, |(file, _)| file)
}

fn pick<T: Named>(all: Vec<T>, given: &str) -> Result<T> {
    let names: Vec<String> = all.iter().map(T::name).collect();
    let mut by_id = None;
    for item in all {
        if item.name() == given {
            return Ok(item);
        }
        if item.id().to_string() == given {
            by_id = Some(item);
        }
    }
    match by_id {
        Some(item) => Ok(item),
        None => bail!("there is no {} {given:?}{}", T::NOUN, hint(&names, given)),
    }
}

/// The nearest name, or the few that there are.
fn hint(names: &[String], given: &str) -> String {
    let nearness = |name: &String| strsim::jaro_winkler(name, given);
    let nearest = names.iter().max_by(|a, b| nearness(a).total_cmp(&nearness(b)));
    match nearest {
        None => "; there is none yet".into(),
        Some(name) if nearness(name) > 0.8 => format!("; did you mean {name:?}?"),
        Some(_) if names.len() <= 8 => format!("; there are: {}", names.join(", ")),
        Some(_) => String::new(),
    }
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
            refused(&["arm64", "riscv64"], "zzz"),
            "there is no architecture \"zzz\"; there are: arm64, riscv64"
        );
        assert_eq!(refused(&[], "a"), "there is no architecture \"a\"; there is none yet");
    }

    #[test]
    fn an_upload_goes_by_its_file_name() {
        assert_eq!(file_of("alice/initrd.gz.1a2b3c4d"), "initrd.gz");
        assert_eq!(file_of("alice/vmlinuz.1a2b3c4d"), "vmlinuz");
    }
}
