//! Answer files and boot configurations, and what happens to templates that misbehave.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::process::Command;

use mrp_core::boot::{BootPlan, Dialect, Linux};
use mrp_core::mac::MacAddr;
use mrp_core::render::{AnswerContext, RenderError, Rendered, Renderer, TemplateImage, TemplateInterface};
use mrp_netboot::render::MiniRenderer;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

fn renderer() -> MiniRenderer {
    MiniRenderer::new(None).unwrap()
}

fn context() -> AnswerContext {
    AnswerContext {
        ssh_key: "ssh-ed25519 AAAA alice\nssh-rsa BBBB bob".into(),
        ssh_keys: vec!["ssh-ed25519 AAAA alice".into(), "ssh-rsa BBBB bob".into()],
        hostname: "node-01".into(),
        interfaces: vec![TemplateInterface {
            name: Some("eth0".into()),
            static_ipv4: "10.0.0.5".into(),
            prefix: 24,
            netmask: "255.255.255.0".into(),
            mac: "52:54:00:12:34:56".into(),
        }],
        kernel: Some(TemplateImage {
            name: "alice/linux.1".into(),
            filename: "alice/linux.1".into(),
            description: None,
        }),
        initrd: None,
        kernel_options: "quiet".into(),
        phone_home_url: "http://10.0.0.1:8081/phone-home/TOKEN".into(),
        machine_name: "node.01".into(),
        server_url: "http://10.0.0.1:8081".into(),
    }
}

async fn answer(template: &str) -> Result<Rendered, RenderError> {
    renderer().answer_file(template, &context()).await
}

async fn text(template: &str) -> String {
    let rendered = answer(template).await.unwrap();
    assert_eq!(rendered.warnings, [], "{template}");
    rendered.text
}

#[tokio::test]
async fn templates_of_mr_provisioner_render_as_with_jinja2() {
    let cases = [
        ("d-i netcfg/get_hostname string {{ hostname }}\n", "d-i netcfg/get_hostname string node-01"),
        (
            "{% for i in interfaces %}iface {{i.name}} {{i.static_ipv4}}/{{i.prefix}} {{i.netmask}} {{i.mac}}\n{% endfor %}",
            "iface eth0 10.0.0.5/24 255.255.255.0 52:54:00:12:34:56\n",
        ),
        ("{{kernel.name|default(\"none\")}}", "alice/linux.1"),
        ("{{ initrd.name|default('none') }}", "none"),
        ("{{ kernel.filename if kernel }}{{ 'y' if initrd else 'n' }}", "alice/linux.1n"),
        ("{{ ssh_keys|join(',') }}", "ssh-ed25519 AAAA alice,ssh-rsa BBBB bob"),
        (
            "{{ hostname.upper() }} {{ hostname.split('-')[0] }} {{ hostname|replace('-', '_') }}",
            "NODE-01 node node_01",
        ),
        ("{{ '%s-%d' | format('a', 5) }} {{ '{}'.format(3) }}", "a-5 3"),
        ("{% for i in range(3) %}{{ i }}{% else %}x{% endfor %}", "012"),
        ("{% macro m(a, b='c') %}[{{ a }}{{ b }}]{% endmacro %}{{ m('x') }}", "[xc]"),
        (
            "{% set ns = namespace(n=1) %}{% for i in range(3) %}{% set ns.n = ns.n + i %}{% endfor %}{{ ns.n }}",
            "4",
        ),
        ("{% for k, v in {'a': 1}.items() %}{{ k }}={{ v }}{% endfor %}", "a=1"),
        ("{# comment #}{% raw %}{{ x }}{% endraw %}", "{{ x }}"),
        ("{% if nothing is defined %}a{% else %}b{% endif %}{% if nothing %}a{% endif %}", "b"),
        ("{{ initrd }} {{ true }} {{ '<&>' }}", "None True <&>"),
        ("a\n\n", "a\n"),
        ("", ""),
    ];
    for (template, expected) in cases {
        assert_eq!(text(template).await, expected, "{template}");
    }
}

#[tokio::test]
async fn undefined_variables_render_empty_and_are_named_with_their_lines() {
    let rendered =
        answer("a {{ nothing }}\n{{ hostname }} {{ initrd.name }}\n{{ foo.bar.baz }} b").await.unwrap();
    assert_eq!(rendered.text, "a \nnode-01 \n b");
    let warnings: Vec<String> = rendered.warnings.iter().map(ToString::to_string).collect();
    let expected = [
        "nothing is undefined - line: 1",
        "initrd.name is undefined - line: 2",
        "foo.bar.baz is undefined - line: 3",
    ];
    assert_eq!(warnings, expected);
    let rendered = answer("{% for x in missing %}{{ x }}{% endfor %}end").await.unwrap();
    assert_eq!(rendered.text, "end");
    assert_eq!(rendered.warnings.len(), 1);
    assert!(rendered.warnings[0].message.contains("missing"), "{:?}", rendered.warnings);
}

#[tokio::test]
async fn mistakes_are_named_with_their_lines() {
    for (template, word, line) in [
        ("a\n{% if %}", "", 2),
        ("a\n\n{{ hostname", "", 3),
        ("\n{% for x in y %}{{ x }}", "", 2),
        ("{% include 'x' %}", "x", 1),
        ("\n{{ hostname | nofilter }}", "nofilter", 2),
        ("{{ nofunction() }}", "nofunction", 1),
        ("{{ 1 / 0 }}", "", 1),
        ("{{ hostname.nomethod() }}", "nomethod", 1),
    ] {
        let error = answer(template).await.unwrap_err();
        assert_eq!(error.line, Some(line), "{template}: {error}");
        assert!(!error.message.is_empty() && error.message.contains(word), "{template}: {error}");
    }
}

/// Nested lists that hold each other twice: small in memory, without end as text.
const NESTED: &str = "{% set ns = namespace(s=[1], t=[1]) %}{% for a in range(60) %}{% set ns.s = [ns.s, ns.s] %}{% set ns.t = [ns.t, ns.t] %}{% endfor %}";

const GREEDY: [&str; 30] = [
    "{% for a in range(10**9) %}{% endfor %}",
    "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "{{ 'x' * 10**9 }}",
    "{{ 'x' * 9999999 * 100 }}",
    "{% set x = 'x' * 5000000 %}{{ x }}",
    "{% set ns = namespace(s='xxxxxxxxxx') %}{% for a in range(90) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
    "{{ [1] * 10**9 }}",
    "{% set a = [1] * 90000000 %}{{ a|list|length }}",
    "{{ 'x'|center(10**9) }}",
    "{{ ('\n' * 100000)|indent(100000) }}",
    "{{ ('a' * 100000)|replace('a', 'b' * 100000) }}",
    "{{ ('a' * 100000).replace('a', 'b' * 100000) }}",
    "{{ '%999999999d'|format(1) }}",
    "{{ '{:>999999999}'.format(1) }}",
    "{{ '{:>{}}'.format(1, 999999999) }}",
    "{{ ('{0}' * 100000).format('a' * 1000000) }}",
    "{{ ('a' * 1000000).join(range(99999)) }}",
    "{{ range(99999)|join('a' * 1000000) }}",
    "{% macro m(n) %}{{ m(n + 1) }}{% endmacro %}{{ m(0) }}",
    "{% for x in [[[]]] recursive %}{{ loop([[x]]) }}{% endfor %}",
    "{{ 9 ** 9 ** 9 ** 9 }}",
    "NESTED{{ ns.s }}",
    "NESTED{{ ns.s|string|length }}",
    "NESTED{{ [ns.s]|join(',') }}",
    "NESTED{{ ','.join([ns.s]) }}",
    "NESTED{{ '{}'.format(ns.s) }}",
    "NESTED{{ '%s'|format(ns.s) }}",
    "NESTED{{ ns.s|tojson }}",
    "NESTED{{ ns.s|pprint }}",
    "NESTED{{ ns.nothing.a }}{{ ns.s }}",
];

/// Memory for each of them, all that the process has included.
const MEMORY: u64 = 1 << 30;

#[tokio::test]
async fn greedy_templates_end_with_an_error_in_bounded_memory() {
    let mut deep = vec!["{{ ".to_owned() + &"(".repeat(100_000) + "1" + &")".repeat(100_000) + " }}"];
    deep.push("{% if 1 %}".repeat(100_000));
    deep.push(format!("{{{{ {}1 }}}}", "not ".repeat(100_000)));
    let templates: Vec<String> =
        GREEDY.iter().map(|text| text.replace("NESTED", NESTED)).chain(deep).collect();
    // Each in a process of its own: the limit holds for all that runs in it.
    if let Some(number) = std::env::var_os("MRP_GREEDY") {
        let (_, hard) = getrlimit(Resource::RLIMIT_AS).unwrap();
        setrlimit(Resource::RLIMIT_AS, MEMORY, hard).unwrap();
        let template = &templates[number.to_str().unwrap().parse::<usize>().unwrap()];
        let error = answer(template).await.map(|rendered| rendered.text.len()).unwrap_err();
        assert!(error.message.len() < 500, "{error}");
        for word in ["renderer fail", "too long;"] {
            assert!(!error.message.contains(word), "{error}");
        }
        assert_eq!(text("{{ hostname }}").await, "node-01");
        return;
    }
    let mut failures = String::new();
    for (number, template) in templates.iter().enumerate() {
        let test = "greedy_templates_end_with_an_error_in_bounded_memory";
        let mut run = Command::new(std::env::current_exe().unwrap());
        let output = run
            .args(["--exact", test, "--nocapture"])
            .env("MRP_GREEDY", number.to_string())
            .output()
            .unwrap();
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
            failures.push_str(&format!("{template:.300}: {said:.600}\n"));
        }
    }
    assert!(failures.is_empty(), "{failures}");
}

#[tokio::test]
async fn many_answer_files_at_once_all_come() {
    let (renderer, context) = (std::sync::Arc::new(renderer()), context());
    let tasks: Vec<_> = (0..50)
        .map(|_| {
            let (renderer, context) = (renderer.clone(), context.clone());
            tokio::spawn(async move { renderer.answer_file("{{ hostname }}", &context).await })
        })
        .collect();
    for task in tasks {
        assert_eq!(task.await.unwrap().unwrap().text, "node-01");
    }
}

#[test]
fn kernel_options_are_one_line() {
    let renderer = renderer();
    let options = |options: &str| renderer.kernel_options(options, &context());
    assert_eq!(options("a {{ phone_home_url }} b").unwrap(), "a http://10.0.0.1:8081/phone-home/TOKEN b");
    assert_eq!(options("bar=$x{y}\\z {# #}").unwrap(), "bar=$x{y}\\z {# #}");
    assert_eq!(options("").unwrap(), "");
    for (text, word) in [
        ("a\nb", "newline"),
        ("a\0b", "NUL"),
        ("a\tb", "tab"),
        ("{{ ssh_key }}", "newline"),
        ("{{ nothing }}", "nothing is undefined"),
        ("{{ 'a' * 9000 }}", "longer"),
        ("{{ ", "kernel options"),
    ] {
        let error = options(text).unwrap_err();
        assert!(error.message.contains(word), "{text:?}: {error}");
    }
}

fn linux() -> Linux {
    Linux {
        machine: "node-01".into(),
        kernel: "alice/vmlinuz.11223344".into(),
        initrd: Some("alice/initrd.55667788".into()),
        mac: Some(MacAddr([0x52, 0x54, 0, 0x12, 0x34, 0x56])),
        arguments: "url=http://h/p;x console=ttyS0".into(),
        http_base: "http://10.0.0.1:8081/boot".into(),
    }
}

fn config(dialect: Dialect, plan: &BootPlan) -> String {
    renderer().boot_config(dialect, plan).unwrap()
}

fn lines_with<'a>(text: &'a str, word: &str) -> Vec<&'a str> {
    text.lines().map(str::trim).filter(|line| line.split(' ').next() == Some(word)).collect()
}

#[test]
fn a_kernel_is_booted_in_each_loaders_language() {
    let plan = BootPlan::Linux(linux());
    let grub = config(Dialect::Grub, &plan);
    let expected =
        "linux (tftp)/alice/vmlinuz.11223344 BOOTIF=01-52-54-00-12-34-56 'url=http://h/p;x' 'console=ttyS0'";
    assert_eq!(lines_with(&grub, "linux"), [expected]);
    assert_eq!(lines_with(&grub, "initrd"), ["initrd (tftp)/alice/initrd.55667788"]);
    assert!(grub.contains("echo 'mrp: node-01 boots alice/vmlinuz.11223344'"), "{grub}");
    let pxelinux = config(Dialect::Pxelinux, &plan);
    assert_eq!(lines_with(&pxelinux, "LINUX"), ["LINUX /alice/vmlinuz.11223344"]);
    let expected =
        "APPEND initrd=/alice/initrd.55667788 BOOTIF=01-52-54-00-12-34-56 url=http://h/p;x console=ttyS0";
    assert_eq!(lines_with(&pxelinux, "APPEND"), [expected]);
    let ipxe = config(Dialect::Ipxe, &plan);
    assert!(ipxe.starts_with("#!ipxe\n"), "{ipxe}");
    let expected = "kernel http://10.0.0.1:8081/boot/alice/vmlinuz.11223344 BOOTIF=01-52-54-00-12-34-56 initrd=initrd url=http://h/p;x console=ttyS0 || goto failed";
    assert_eq!(lines_with(&ipxe, "kernel"), [expected]);
}

#[test]
fn a_kernel_alone_is_booted() {
    let bare = Linux { initrd: None, mac: None, arguments: String::new(), ..linux() };
    let plan = BootPlan::Linux(bare);
    let grub = config(Dialect::Grub, &plan);
    assert_eq!(lines_with(&grub, "linux"), ["linux (tftp)/alice/vmlinuz.11223344"]);
    assert!(lines_with(&grub, "initrd").is_empty());
    assert!(!config(Dialect::Pxelinux, &plan).contains("APPEND"));
    let ipxe = config(Dialect::Ipxe, &plan);
    assert_eq!(
        lines_with(&ipxe, "kernel"),
        ["kernel http://10.0.0.1:8081/boot/alice/vmlinuz.11223344 || goto failed"]
    );
}

#[test]
fn the_local_disk_is_booted_and_said_why() {
    let plan = BootPlan::Local { reason: "it's \"$off\";\nreboot".into() };
    let grub = config(Dialect::Grub, &plan);
    let expected = r#"echo 'mrp: this machine boots its local disk: it'\''s "$off"; reboot'"#;
    assert_eq!(grub.lines().next(), Some(expected));
    assert!(lines_with(&grub, "linux").is_empty() && lines_with(&grub, "exit").is_empty());
    let pxelinux = config(Dialect::Pxelinux, &plan);
    assert_eq!(lines_with(&pxelinux, "LOCALBOOT"), ["LOCALBOOT 0"]);
    assert_eq!(lines_with(&pxelinux, "SAY").len(), 1);
    assert_eq!(lines_with(&config(Dialect::Ipxe, &plan), "sanboot").len(), 1);
}

#[test]
fn options_that_a_loader_would_change_are_refused() {
    let plan = |arguments: &str| BootPlan::Linux(Linux { arguments: arguments.into(), ..linux() });
    let refused = |dialect, arguments: &str| renderer().boot_config(dialect, &plan(arguments)).unwrap_err();
    assert!(refused(Dialect::Grub, r"a=\b").message.contains(r"a=\\b"));
    assert!(refused(Dialect::Ipxe, "a=${b}").message.contains("a=${b}"));
    assert!(refused(Dialect::Pxelinux, "a\nLABEL b").message.contains("newline"));
}

#[test]
fn a_sites_own_template_replaces_one() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("grub.cfg"), "{% if kernel is defined %}own {{ kernel }}{% endif %}")
        .unwrap();
    let renderer = MiniRenderer::new(Some(folder.path().to_owned())).unwrap();
    let plan = BootPlan::Linux(linux());
    assert_eq!(renderer.boot_config(Dialect::Grub, &plan).unwrap(), "own (tftp)/alice/vmlinuz.11223344");
    assert!(renderer.boot_config(Dialect::Pxelinux, &plan).unwrap().contains("LABEL mrp"));
}

#[test]
fn wrong_templates_are_named_at_start() {
    let message = |name: &str, text: &str| {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(name), text).unwrap();
        let error = MiniRenderer::new(Some(folder.path().to_owned())).unwrap_err();
        let source = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        format!("{error}: {source}")
    };
    let unknown = message("grub.conf", "");
    assert!(unknown.contains("grub.conf") && unknown.contains("name it grub.cfg"), "{unknown}");
    let syntax = message("pxelinux.cfg", "a\n{% if %}");
    assert!(syntax.contains("pxelinux.cfg") && syntax.contains("line: 2"), "{syntax}");
    let variable = message("boot.ipxe", "\n\n{{ kernal }}");
    assert!(variable.contains("boot.ipxe") && variable.contains("line: 3"), "{variable}");
    let missing = MiniRenderer::new(Some("/nonexistent/templates".into())).unwrap_err().to_string();
    assert!(missing.contains("/nonexistent/templates"), "{missing}");
}
