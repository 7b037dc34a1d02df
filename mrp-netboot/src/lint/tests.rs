use super::*;

fn said(kind: AnswerFileKind, text: &str) -> Vec<String> {
    check(kind, text)
        .iter()
        .map(|finding| {
            let line = finding.line.map(|line| line.to_string()).unwrap_or_default();
            format!("{} {line}: {}", finding.severity.as_str(), finding.message)
        })
        .collect()
}

/// The findings of a text begin with these words, in this order.
#[track_caller]
fn finds(kind: AnswerFileKind, text: &str, wanted: &[&str]) {
    let found = said(kind, text);
    assert_eq!(found.len(), wanted.len(), "{text}: {found:?}");
    for (found, wanted) in found.iter().zip(wanted) {
        assert!(found.starts_with(wanted), "{text}: {found:?} does not begin with {wanted:?}");
    }
}

#[test]
fn preseed_lines() {
    let kind = AnswerFileKind::Preseed;
    let good = "# comment \\\n\nd-i passwd/make-user boolean false\nd-i mirror/http/proxy string\n\
                d-i preseed/late_command string a; \\\n   wget x\ngrub-pc grub-pc/install_devices multiselect /dev/sda\n\
                d-i debconf/priority seen true\n";
    finds(kind, good, &[]);
    finds(kind, "d-i passwd/make-user\n", &["error 1: a line is: owner"]);
    finds(kind, "\nd-i makeuser boolean true", &["error 2: \"makeuser\" is no question"]);
    finds(kind, "d-i a/b bolean true", &["error 1: \"bolean\" is no type"]);
    finds(kind, "d-i a/b boolean yes", &["error 1: a/b is \"yes\"; it has to be true or false"]);
    finds(kind, "d-i a/b boolean", &["warning 1: a/b has no value"]);
    finds(kind, "d-i a/b string x \\", &["error 1: the last line ends in a backslash"]);
    finds(kind, " \n", &["warning : the answer file is empty"]);
    let many = "x\n".repeat(70);
    assert_eq!(said(kind, &many).last().map(String::as_str), Some("note : 20 more findings"));
}

#[test]
fn kickstart_sections() {
    let kind = AnswerFileKind::Kickstart;
    finds(
        kind,
        "lang en_US\n%include /tmp/x\n%packages\n@core\n%end\n%post --nochroot\necho 100%\n%end\n",
        &[],
    );
    finds(kind, "%post\necho", &["error 1: %post has no %end"]);
    finds(kind, "%end\n", &["error 1: %end, but no section is open"]);
    finds(kind, "%pre\n%post\n%end\n", &["error 2: %post begins, but %pre of line 1 has no %end"]);
    finds(kind, "%pots\n%end\n", &["warning 1: \"%pots\" is no section"]);
}

#[test]
fn autoinstall_is_yaml_for_cloud_init() {
    let kind = AnswerFileKind::Autoinstall;
    finds(kind, "#cloud-config\nautoinstall:\n  version: 1\n  ssh: {install-server: true}\n", &[]);
    finds(kind, "autoinstall:\n  version: 1\n", &["error 1: the first line has to be #cloud-config"]);
    finds(kind, "#cloud-config\nusers:\n- autoinstall\n", &["warning : there is no key autoinstall"]);
    finds(kind, "#cloud-config\na: [1, 2\nautoinstall: x\n", &["error 3: this is no YAML"]);
    finds(kind, "#cloud-config\n- autoinstall\n", &["error 1: the file has to be a mapping"]);
    finds(kind, "#cloud-config\n", &["error 1: the file has to be a mapping"]);
}

#[test]
fn autoyast_is_xml() {
    let kind = AnswerFileKind::Autoyast;
    let good = "<?xml version=\"1.0\"?>\n<!DOCTYPE profile>\n<profile xmlns=\"http://www.suse.com/1.0/yast2ns\" \
                xmlns:config=\"http://www.suse.com/1.0/configns\"><a config:type=\"boolean\">true</a></profile>\n";
    finds(kind, good, &[]);
    finds(kind, "<profile>\n<a>\n</b></profile>", &["error 3: this is no XML"]);
    finds(kind, "\n<profil/>", &["warning 2: the outermost element is \"profil\", not profile"]);
    finds(kind, "plain", &["error 1: this is no XML"]);
}

#[test]
fn agama_is_json_or_jsonnet_or_a_script() {
    let kind = AnswerFileKind::Agama;
    finds(kind, "{\"product\": {\"id\": \"SLES\"}}", &[]);
    finds(kind, "[1]", &["error 1: a profile is a JSON object"]);
    finds(kind, "{\n\"a\": 1,\n}", &["error 3: this is no JSON"]);
    finds(kind, "local x = 1;\n{ a: x }", &["note : this is no JSON; taken for Jsonnet"]);
    finds(kind, "{\n  product: { id: 'Tumbleweed' },\n}", &["note : this is no JSON; taken for Jsonnet"]);
    finds(kind, "#!/bin/sh\n", &["note : a script"]);
}

/// What a person can send must not end the server: this runs on the stack of an ordinary thread.
#[test]
fn hostile_texts_are_answered() {
    let deep = |open: &str, close: &str| format!("{}{}", open.repeat(200_000), close.repeat(200_000));
    assert!(!check(AnswerFileKind::Agama, &deep("[", "]")).is_empty());
    assert!(!check(AnswerFileKind::Agama, &deep("{\"a\":", "}")).is_empty());
    check(AnswerFileKind::Autoinstall, &deep("[", "]"));
    check(AnswerFileKind::Autoinstall, &"- ".repeat(200_000));
    check(AnswerFileKind::Autoinstall, &"? ".repeat(200_000));
    check(AnswerFileKind::Autoyast, &deep("<a>", "</a>"));
    let laughs = "<!DOCTYPE p [<!ENTITY a \"ha\"><!ENTITY b \"&a;&a;&a;&a;&a;&a;&a;&a;\"><!ENTITY c \"&b;&b;&b;&b;&b;&b;&b;&b;\">\
                  <!ENTITY d \"&c;&c;&c;&c;&c;&c;&c;&c;\"><!ENTITY e \"&d;&d;&d;&d;&d;&d;&d;&d;\">]><profile>&e;&e;&e;</profile>";
    check(AnswerFileKind::Autoyast, laughs);
    check(AnswerFileKind::Preseed, &"\\\n".repeat(500_000));
    check(AnswerFileKind::Kickstart, &"%pre\n".repeat(200_000));
}
