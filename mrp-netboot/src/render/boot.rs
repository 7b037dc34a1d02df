//! Boot configurations: a template for each boot loader, its values quoted before it sees them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior, Value};
use mrp_core::boot::{BootPlan, Dialect, Linux, Transport};
use mrp_core::mac::MacAddr;
use mrp_core::render::RenderError;

use super::{quote, template_error};

/// File names of templates, and the templates that are built in.
const TEMPLATES: [(Dialect, &str, &str); 3] = [
    (Dialect::Grub, "grub.cfg", include_str!("../../templates/grub.cfg")),
    (Dialect::Pxelinux, "pxelinux.cfg", include_str!("../../templates/pxelinux.cfg")),
    (Dialect::Ipxe, "boot.ipxe", include_str!("../../templates/boot.ipxe")),
];

/// Why a site's templates cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// The folder or a file in it cannot be read.
    #[error("{} cannot be read", path.display())]
    Io {
        /// Folder or file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file that is no template of a boot loader.
    #[error("{} is no template of a boot loader; take it away, or name it grub.cfg, pxelinux.cfg or boot.ipxe", path.display())]
    UnknownFile {
        /// The file.
        path: PathBuf,
    },
    /// A template that does not render.
    #[error("{} is wrong", path.display())]
    Template {
        /// The file.
        path: PathBuf,
        /// What, and in which line.
        source: RenderError,
    },
}

/// The templates of all boot loaders.
#[derive(Debug)]
pub(super) struct BootTemplates(Environment<'static>);

impl BootTemplates {
    /// The built-in templates, or a site's own where its folder has them; each is tried once.
    pub(super) fn new(folder: Option<&Path>) -> Result<Self, TemplateError> {
        let mut own = folder.map(read_folder).transpose()?.unwrap_or_default();
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        environment.set_syntax(syntax());
        environment.set_fuel(Some(100_000));
        let mut templates = Self(environment);
        for (dialect, name, built_in) in TEMPLATES {
            let text = own.remove(name).unwrap_or_else(|| built_in.to_owned());
            let path = folder.unwrap_or(Path::new("templates")).join(name);
            let wrong = |source| TemplateError::Template { path: path.clone(), source };
            let added = templates.0.add_template_owned(name, text);
            added.map_err(|error| wrong(template_error(&error)))?;
            for plan in samples() {
                templates.render(dialect, &plan).map_err(wrong)?;
            }
        }
        Ok(templates)
    }

    pub(super) fn render(&self, dialect: Dialect, plan: &BootPlan) -> Result<String, RenderError> {
        let name = TEMPLATES.iter().find(|(of, _, _)| *of == dialect).map_or("", |(_, name, _)| name);
        let values = match plan {
            BootPlan::Local { reason } => BTreeMap::from([("message", Some(local_message(dialect, reason)))]),
            BootPlan::Linux(linux) => linux_values(dialect, linux)?,
            BootPlan::Chain { loader } => chain_values(dialect, loader)?,
        };
        let template = self.0.get_template(name).map_err(|error| template_error(&error))?;
        template.render(Value::from(Serde(&values))).map_err(|error| template_error(&error))
    }
}

/// A line with nothing but a block on it leaves no empty line.
fn syntax() -> SyntaxConfig {
    let builder =
        SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).keep_trailing_newline(true).build();
    builder.unwrap_or_default()
}

/// Plans that show at start whether a template renders.
fn samples() -> [BootPlan; 4] {
    let bare = Linux {
        machine: "machine".into(),
        kernel: "owner/linux.00000000".into(),
        initrd: None,
        mac: None,
        arguments: String::new(),
        http_base: "http://192.0.2.1/boot".into(),
        transport: Transport::Tftp,
    };
    let full = Linux {
        initrd: Some("owner/initrd.00000000".into()),
        mac: Some(MacAddr([2, 0, 0, 0, 0, 1])),
        arguments: "quiet".into(),
        ..bare.clone()
    };
    let chain = BootPlan::Chain { loader: "owner/loader.00000000".into() };
    [BootPlan::Local { reason: "reason".into() }, BootPlan::Linux(bare), BootPlan::Linux(full), chain]
}

fn read_folder(folder: &Path) -> Result<BTreeMap<String, String>, TemplateError> {
    let unreadable = |path: &Path, source| TemplateError::Io { path: path.to_owned(), source };
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).map_err(|error| unreadable(folder, error))? {
        let path = entry.map_err(|error| unreadable(folder, error))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if !TEMPLATES.iter().any(|(_, known, _)| *known == name) {
            return Err(TemplateError::UnknownFile { path });
        }
        let text = fs::read_to_string(&path).map_err(|error| unreadable(&path, error))?;
        found.insert(name.to_owned(), text);
    }
    Ok(found)
}

fn text(dialect: Dialect, text: &str) -> String {
    match dialect {
        Dialect::Grub => quote::grub_text(text),
        Dialect::Pxelinux => quote::pxelinux_text(text),
        Dialect::Ipxe => quote::ipxe_text(text),
    }
}

fn local_message(dialect: Dialect, reason: &str) -> String {
    text(dialect, &format!("mrp: this machine boots its local disk: {reason}"))
}

fn chain_values(
    dialect: Dialect,
    loader: &str,
) -> Result<BTreeMap<&'static str, Option<String>>, RenderError> {
    let message = text(dialect, &format!("mrp: this machine loads {loader}"));
    let mut values = BTreeMap::from([("message", Some(message))]);
    // Only iPXE is told to load another loader: the others are what it would load.
    if dialect == Dialect::Ipxe {
        values.insert("loader", Some(quote::url("", loader)?.trim_start_matches('/').to_owned()));
    }
    Ok(values)
}

fn linux_values(
    dialect: Dialect,
    linux: &Linux,
) -> Result<BTreeMap<&'static str, Option<String>>, RenderError> {
    let file = |path: &str| match dialect {
        Dialect::Grub => quote::grub_file(linux, path),
        Dialect::Pxelinux => quote::pxelinux_path(path),
        Dialect::Ipxe => quote::url(&linux.http_base, path),
    };
    let arguments = match dialect {
        Dialect::Grub => quote::grub_arguments(&linux.arguments)?,
        Dialect::Pxelinux => quote::pxelinux_arguments(&linux.arguments)?,
        Dialect::Ipxe => quote::ipxe_arguments(&linux.arguments)?,
    };
    let message = text(dialect, &format!("mrp: {} boots {}", linux.machine, linux.kernel));
    Ok(BTreeMap::from([
        ("message", Some(message)),
        ("kernel", Some(file(&linux.kernel)?)),
        ("initrd", linux.initrd.as_deref().map(file).transpose()?),
        ("bootif", linux.mac.map(|mac| format!("BOOTIF=01-{}", mac.dashed()))),
        ("arguments", Some(arguments).filter(|_| !linux.arguments.is_empty())),
        ("http_base", Some(quote::url(&linux.http_base, "")?.trim_end_matches('/').to_owned())),
    ]))
}
