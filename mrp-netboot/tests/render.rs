//! Answer files and boot configurations, and what happens to templates that misbehave.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::sync::Arc;

use mrp_core::boot::{BootPlan, Dialect, Linux, Transport};
use mrp_core::mac::MacAddr;
use mrp_core::render::{AnswerContext, RenderError, Rendered, Renderer, TemplateImage, TemplateInterface};
use mrp_netboot::render::MiniRenderer;

fn renderer() -> MiniRenderer {
    MiniRenderer::new(None).unwrap()
}

fn isolated() -> MiniRenderer {
    renderer().isolated(vec![env!("CARGO_BIN_EXE_render-worker").into()])
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
/// A list that is doubled: each time its items are the same, and twice as many.
const DOUBLED: &str =
    "{% set ns = namespace(s=[1]) %}{% for a in range(90) %}{% set ns.s = ns.s + ns.s %}{% endfor %}";

const GREEDY: &[&str] = &[
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
    "NESTED{{ ns.s ~ '' }}",
    "NESTED{{ (ns.s ~ '')|length }}",
    "NESTED{{ ns.s == ns.t }}",
    "NESTED{{ ns.s in [ns.t] }}",
    "NESTED{{ ns.s < ns.t }}",
    "NESTED{{ {ns.s: 1} }}",
    "NESTED{{ [ns.s, ns.t]|unique|list }}",
    "NESTED{{ [ns.s, ns.t]|sort }}",
    "NESTED{{ ns.s|upper }}",
    "NESTED{{ ns.s|indent }}",
    "NESTED{{ ns.s|urlencode }}",
    "NESTED{% for x in [1] %}{% if ns.s in 'a' %}{% endif %}{{ ns.s }}{% endfor %}",
    "DOUBLED{{ ns.s|length }}",
    "DOUBLED{{ ns.s }}",
    "DOUBLED{{ ns.s == ns.s }}",
    "DOUBLED{{ 2 in ns.s }}",
    "DOUBLED{{ ns.s|last }}",
    "DOUBLED{% for x in ns.s %}{% endfor %}",
    "{% set ns = namespace(s='x') %}{% for a in range(90) %}{% set ns.s = ns.s + ns.s %}{% endfor %}{{ ns.s|length }}",
    "{{ (range(99999)|list * 99999)|length }}{{ range(99999)|list * 99999 }}",
    "{% macro a(n) %}{{ b(n) }}{{ b(n) }}{% endmacro %}{% macro b(n) %}{{ a(n) }}{{ a(n) }}{% endmacro %}{{ a(1) }}",
];

/// Each template that wants more than there is, as it is sent.
fn greedy() -> Vec<String> {
    let deep = [
        format!("{{{{ {}1{} }}}}", "(".repeat(100_000), ")".repeat(100_000)),
        "{% if 1 %}".repeat(100_000),
        format!("{{{{ {}1 }}}}", "not ".repeat(1_000_000)),
        format!("{{% if 1 %}}{}{{% endif %}}", "{% elif 1 %}".repeat(200_000)),
    ];
    let short = GREEDY.iter().map(|text| text.replace("NESTED", NESTED).replace("DOUBLED", DOUBLED));
    short.chain(deep).collect()
}

#[tokio::test]
async fn greedy_templates_end_with_an_error_and_others_are_rendered_beside_them() {
    let renderer = Arc::new(isolated());
    let mut failures = String::new();
    for pair in greedy().chunks(2) {
        let tasks: Vec<_> = pair
            .iter()
            .map(|template| {
                let (template, ours) = (template.clone(), Arc::clone(&renderer));
                tokio::spawn(async move { (ours.answer_file(&template, &context()).await, template) })
            })
            .collect();
        let beside = renderer.answer_file("{{ hostname|lower }}", &context()).await.unwrap();
        assert_eq!(beside.text, "node-01");
        for task in tasks {
            let (result, template) = task.await.unwrap();
            let in_words = |error: &RenderError| error.message.len() < 500 && !error.message.contains("fail");
            if !result.as_ref().is_err_and(in_words) {
                failures.push_str(&format!("{template:.300}: {result:.600?}\n"));
            }
        }
        let options = renderer.kernel_options("{{ machine_name }}", &context()).await;
        assert_eq!(options.unwrap(), "node.01");
    }
    assert!(failures.is_empty(), "{failures}");
}

#[tokio::test]
async fn another_process_renders_the_same_to_the_byte() {
    let (here, there, context) = (renderer(), isolated(), context());
    for template in [
        "",
        "a\n\n",
        "{{ hostname }}{{ interfaces }}{{ kernel }}{{ initrd }}{{ ssh_keys }}{{ ssh_key }}",
        "{{ interfaces|tojson }} é \u{1F600} \u{1} \0 \"\\",
        "{{ nothing }}\n{{ kernel.nothing.x }}{% for x in missing %}{% endfor %}",
        "{% if %}",
        "a\n{{ 1 / 0 }}",
        "{{ '\u{1}' * (4 * 1024 * 1024) }}",
    ] {
        let (ours, theirs) =
            (here.answer_file(template, &context).await, there.answer_file(template, &context).await);
        assert!(ours == theirs, "{template}: {ours:.300?} {theirs:.300?}");
    }
}

/// One whose processes cannot be started.
fn nowhere() -> MiniRenderer {
    renderer().isolated(vec!["/nonexistent/worker".into()])
}

#[tokio::test]
async fn a_worker_that_fails_is_an_error_that_says_how() {
    for (script, word) in [
        ("kill -9 $$", "killed"),
        ("kill -XCPU $$", "processor time"),
        ("kill -ABRT $$", "memory"),
        ("exit 3", "exit status: 3"),
        ("cat", "the server's log"),
        ("echo '{\"Ok\":{\"text\":\"a\",\"warnings\":[]}}'; exit 1", "exit status: 1"),
        ("exec cat /dev/zero", "failed"),
        ("exec sleep 60", "longer than"),
    ] {
        let renderer = renderer().isolated(["/bin/sh", "-c", script].map(Into::into).to_vec());
        let error = renderer.answer_file("{{ 1 + 1 }}", &context()).await.unwrap_err();
        assert!(error.message.contains(word), "{script}: {error}");
    }
    let error = nowhere().answer_file("{{ 1 + 1 }}", &context()).await.unwrap_err();
    assert!(error.message.contains("could not be started"), "{error}");
    assert_eq!(nowhere().kernel_options("plain {# #}", &context()).await.unwrap(), "plain {# #}");
}

#[tokio::test]
async fn a_worker_is_kept_until_a_template_fails_in_it_or_it_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("started");
    let script = format!("echo $$ >> {}; exec {}", list.display(), env!("CARGO_BIN_EXE_render-worker"));
    let renderer = renderer().isolated(["/bin/sh", "-c", &script].map(Into::into).to_vec());
    let started = || fs::read_to_string(&list).unwrap().lines().map(str::to_owned).collect::<Vec<_>>();
    let large = "{% set text = 'x' * 35000000 %}done";
    let (mut expected, mut kept) = (0, false);
    for (template, keeps) in [
        ("{{ hostname|lower }}", true),
        ("{{ ''|lower }}", true),
        ("{{ 1 / 0 }}", false),
        ("{{ 1 + 1 }}", true),
        (large, true),
        ("{{ 1 + }}", false),
        ("{{ 1 + 1 }}", true),
    ] {
        expected += usize::from(!kept);
        let result = renderer.answer_file(template, &context()).await;
        assert_eq!(result.is_ok(), keeps, "{template}: {result:?}");
        assert_eq!(started().len(), expected, "{template}");
        kept = keeps;
    }
    let last = started().pop().unwrap();
    assert!(std::process::Command::new("kill").args(["-9", &last]).status().unwrap().success());
    while fs::exists(format!("/proc/{last}/exe")).unwrap() {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    assert_eq!(renderer.answer_file("{{ hostname|lower }}", &context()).await.unwrap().text, "node-01");
    assert_eq!(started().len(), expected + 1);
    // What cannot take long needs no process.
    for template in [
        "",
        "{{ hostname }}",
        "{% for key in ssh_keys %}{{ key }}{% endfor %}",
        "{# a #}{% if ssh_key %}{% endif %}",
    ] {
        assert!(nowhere().answer_file(template, &context()).await.unwrap().warnings.is_empty(), "{template}");
    }
}

#[tokio::test]
async fn many_answer_files_at_once_all_come() {
    let (renderer, context) = (Arc::new(isolated()), context());
    let tasks: Vec<_> = (0..50)
        .map(|_| {
            let (renderer, context) = (renderer.clone(), context.clone());
            tokio::spawn(async move { renderer.answer_file("{{ hostname|lower }}", &context).await })
        })
        .collect();
    for task in tasks {
        assert_eq!(task.await.unwrap().unwrap().text, "node-01");
    }
}

#[tokio::test]
async fn kernel_options_are_one_line() {
    for renderer in [renderer(), isolated()] {
        let context = context();
        for (options, expected) in [
            ("a {{ phone_home_url }} b", "a http://10.0.0.1:8081/phone-home/TOKEN b"),
            ("bar=$x{y}\\z {# #}", "bar=$x{y}\\z {# #}"),
            ("", ""),
        ] {
            assert_eq!(renderer.kernel_options(options, &context).await.unwrap(), expected);
        }
        for (text, word) in [
            ("a\nb", "newline"),
            ("a\0b", "NUL"),
            ("a\tb", "tab"),
            ("{{ ssh_key }}", "newline"),
            ("{{ nothing }}", "nothing is undefined"),
            ("{{ 'a' * 9000 }}", "longer"),
            ("{{ ", "kernel options"),
        ] {
            let error = renderer.kernel_options(text, &context).await.unwrap_err();
            assert!(error.message.contains(word), "{text:?}: {error}");
        }
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
        transport: Transport::Tftp,
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
fn a_grub_that_came_by_http_loads_by_http() {
    let device = |http_base: &str| {
        let http_base = http_base.to_owned();
        let plan = BootPlan::Linux(Linux { http_base, transport: Transport::Http, ..linux() });
        let grub = config(Dialect::Grub, &plan);
        let words = |word| lines_with(&grub, word)[0].split(' ').nth(1).unwrap().to_owned();
        let (kernel, initrd) = (words("linux"), words("initrd"));
        let root = kernel.strip_suffix("/alice/vmlinuz.11223344").unwrap().to_owned();
        assert_eq!(initrd, format!("{root}/alice/initrd.55667788"));
        root
    };
    assert_eq!(device("http://10.0.0.1:8081/boot"), "(http,10.0.0.1:8081)/boot");
    assert_eq!(device("http://mrp.example.org/boot"), "(http,mrp.example.org)/boot");
    for other in
        ["https://10.0.0.1:8081/boot", "http://[fd77::1]:8081/boot", "http://a@b/boot", "http:///boot"]
    {
        assert_eq!(device(other), "(tftp)", "{other}");
    }
}

#[test]
fn ipxe_is_told_to_load_another_loader() {
    let plan = BootPlan::Chain { loader: "admin/my loader ${x}.0".into() };
    let ipxe = config(Dialect::Ipxe, &plan);
    assert_eq!(
        lines_with(&ipxe, "chain"),
        ["chain tftp://${next-server}/admin/my%20loader%20%24%7Bx%7D.0 ||"]
    );
    assert!(lines_with(&ipxe, "kernel").is_empty() && lines_with(&ipxe, "sanboot").is_empty(), "{ipxe}");
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
