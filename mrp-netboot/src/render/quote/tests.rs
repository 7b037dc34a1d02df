use super::*;

/// What GRUB 2.06 does with the arguments of a `linux` line: its script lexer for single quotes, then
/// `grub_create_loader_cmdline`. Debian's 2.06 on UEFI gave the same `/proc/cmdline` for such words.
fn grub(arguments: &str) -> String {
    let (mut words, mut word, mut quoted, mut any) = (Vec::new(), String::new(), false, false);
    for c in arguments.chars() {
        match c {
            '\'' => (quoted, any) = (!quoted, true),
            ' ' if !quoted => {
                if std::mem::take(&mut any) {
                    words.push(std::mem::take(&mut word));
                }
            }
            c if quoted => word.push(c),
            c => panic!("{c:?} stands unquoted in {arguments}"),
        }
    }
    assert!(!quoted, "{arguments}");
    if any {
        words.push(word);
    }
    let pass = |word: &String| {
        let escaped: String =
            word.chars().flat_map(|c| "\\'\"".contains(c).then_some('\\').into_iter().chain([c])).collect();
        if word.contains(' ') { format!("\"{escaped}\"") } else { escaped }
    };
    words.iter().map(pass).collect::<Vec<_>>().join(" ")
}

/// What the kernel makes of a command line: `next_arg` in `lib/cmdline.c`.
fn kernel(line: &str) -> Vec<String> {
    let read = |argument: &str| {
        let argument = match argument.strip_prefix('"') {
            Some(rest) => rest.strip_suffix('"').unwrap_or(rest),
            None => argument,
        };
        match argument.split_once("=\"") {
            Some((name, value)) => format!("{name}={}", value.strip_suffix('"').unwrap_or(value)),
            None => argument.to_owned(),
        }
    };
    kernel_arguments(line).map(read).collect()
}

#[test]
fn kernel_options_reach_the_kernel_through_grub_unchanged() {
    for line in [
        "quiet",
        "console=ttyS0,115200n8 quiet",
        "autoinstall ds=nocloud-net;s=http://h/p/",
        "bar=$x{y} a;b c&d e|f <g> #h i*j k?l [m] ~n !o $(p) `q`",
        "two  spaces   three ",
        " leading",
        "",
        "\"dyndbg=file foo.c +p; func bar +p\"",
        "größe=1",
    ] {
        assert_eq!(grub(&grub_arguments(line).unwrap()), line);
    }
}

#[test]
fn quoted_values_mean_the_same_to_the_kernel() {
    for (line, arrives) in [
        ("foo=\"a b;c\" bar=$x{y}", "\"foo=a b;c\" bar=$x{y}"),
        ("foo=\"a\"", "foo=a"),
        ("foo=\"\" x", "foo= x"),
        ("\"foo=a\"", "foo=a"),
        ("acpi_osi=\"!Windows  2012\"", "\"acpi_osi=!Windows  2012\""),
    ] {
        let arrived = grub(&grub_arguments(line).unwrap());
        assert_eq!(arrived, arrives);
        assert_eq!(kernel(&arrived), kernel(line));
    }
}

#[test]
fn what_grub_would_change_is_refused_by_name() {
    for (line, name) in [
        (r"bar=\z", r"contains \"),
        ("it's", "contains '"),
        ("a\"b\"c", "contains \""),
        ("foo=\"a b", "contains \""),
        ("foo=\"a\"b\"", "contains \""),
    ] {
        let error = grub_arguments(line).unwrap_err().to_string();
        assert!(error.contains(name), "{error}");
    }
    for (line, name) in [("a\nb", "a newline"), ("a\0b", "a NUL"), ("a\tb", "a tab"), ("a\u{1b}b", "U+001B")]
    {
        for error in [
            grub_arguments(line).unwrap_err(),
            pxelinux_arguments(line).unwrap_err(),
            ipxe_arguments(line).unwrap_err(),
            grub_word(line).unwrap_err(),
        ] {
            assert!(error.to_string().contains(name), "{error}");
        }
    }
}

#[test]
fn words_and_messages_of_grub() {
    assert_eq!(grub_word("(tftp)/alice/linux.11223344").unwrap(), "(tftp)/alice/linux.11223344");
    assert_eq!(grub_word("(tftp)/a/b c;d").unwrap(), "'(tftp)/a/b c;d'");
    assert_eq!(grub_text("it's\nhere; $x"), r"'it'\''s here; $x'");
}

#[test]
fn pxelinux_takes_the_line_as_it_is() {
    let line = "foo=\"a b;c\" bar=$x{y}\\z";
    assert_eq!(pxelinux_arguments(line).unwrap(), line);
    assert_eq!(pxelinux_path("alice/linux.1").unwrap(), "/alice/linux.1");
    assert!(pxelinux_path("alice/my linux.1").unwrap_err().to_string().contains("' '"));
}

/// What iPXE does with a line: splits at white space, ends the command at its separators, then expands the settings.
fn ipxe(line: &str) -> String {
    let words: Vec<&str> = line.split_whitespace().collect();
    assert!(words.iter().all(|word| ![";", "&&", "||"].contains(word) && !word.starts_with('#')), "{line}");
    let settings = [("space", " "), ("hash", "#"), ("semicolon", ";"), ("and", "&&"), ("or", "||")];
    let expand = |word: &&str| {
        let expanded = settings.iter().fold((*word).to_owned(), |word, (name, value)| {
            word.replace(&format!("${{mrp-{name}:string}}"), value)
        });
        assert!(!expanded.contains("${"), "{expanded}");
        expanded
    };
    words.iter().map(expand).collect::<Vec<_>>().join(" ")
}

#[test]
fn kernel_options_reach_the_kernel_through_ipxe_unchanged() {
    for line in ["quiet", "a ; b && c || d", "#x y#z", "foo=\"a  b;c\" bar=$x\\z 'q'", "  a   b", "$ { }"] {
        assert_eq!(ipxe(&ipxe_arguments(line).unwrap()), line);
    }
    assert!(ipxe_arguments("x=${net0/mac}").unwrap_err().to_string().contains("x=${net0/mac}"));
    assert_eq!(ipxe(&ipxe_text("why ${x}\n; exit")), "why $ {x} ; exit");
}

#[test]
fn urls_are_encoded() {
    assert_eq!(
        url("http://h/boot/", "/alice/a b;${c}%.1").unwrap(),
        "http://h/boot/alice/a%20b%3B%24%7Bc%7D%25.1"
    );
}
