//! Which templates cannot take long: text, variables, conditions and loops, as most answer files are. They are rendered on the
//! spot; the others, which call, filter or calculate, by a process of their own.

/// Largest such template, in bytes.
const LONGEST: usize = 32 << 10;
/// Words and signs of one tag. The engine descends for each of them.
const TOKENS: usize = 24;
/// Conditions and loops within each other.
const DEPTH: usize = 8;
/// Further conditions: the engine descends for each of them.
const ELIFS: usize = 16;

/// True for a template whose work grows with its length and that of its values alone. `false` says nothing.
pub(super) fn is_plain(template: &str) -> bool {
    let (mut rest, mut nesting) = (template, Nesting::default());
    if template.len() > LONGEST {
        return false;
    }
    while let Some(at) = rest.find('{') {
        let (kind, after) = match rest.as_bytes().get(at + 1) {
            Some(b'{') => (Kind::Value, "}}"),
            Some(b'%') => (Kind::Tag, "%}"),
            Some(b'#') => (Kind::Comment, "#}"),
            _ => {
                rest = &rest[at + 1..];
                continue;
            }
        };
        let Some((inside, next)) = rest[at + 2..].split_once(after) else { return false };
        let inside = inside.strip_prefix(['-', '+']).unwrap_or(inside);
        let inside = inside.strip_suffix(['-', '+']).unwrap_or(inside).trim();
        let plain = match kind {
            Kind::Value => is_plain_expression(inside),
            Kind::Tag => nesting.takes(inside),
            Kind::Comment => true,
        };
        if !plain {
            return false;
        }
        rest = next;
    }
    true
}

enum Kind {
    Value,
    Tag,
    Comment,
}

/// How deep the engine has to descend for what came so far.
#[derive(Default)]
struct Nesting {
    depth: usize,
    elifs: usize,
}

impl Nesting {
    /// Whether a tag is a plain one, and not too deep.
    fn takes(&mut self, tag: &str) -> bool {
        let (word, expression) = tag.split_once(char::is_whitespace).unwrap_or((tag, ""));
        let expression = match word {
            // What is looked for in a loop is a name; elsewhere `in` searches.
            "for" => match expression.split_once(" in ") {
                Some((name, list)) if is_plain_expression(name) => list,
                _ => return false,
            },
            _ => expression,
        };
        match word {
            "if" | "for" => self.depth += 1,
            "elif" => self.elifs += 1,
            "endif" | "endfor" => self.depth = self.depth.saturating_sub(1),
            "else" => {}
            _ => return false,
        }
        self.depth <= DEPTH && self.elifs <= ELIFS && is_plain_expression(expression)
    }
}

/// Names, points, numbers, comparisons and quoted texts; no calls, filters, lists or sums. Only a quoted text is searched for.
fn is_plain_expression(expression: &str) -> bool {
    let (mut rest, mut tokens, mut quoted) = (expression.trim_start(), 0, false);
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '"' | '\'' => match rest[1..].find([first, '\\']) {
                Some(end) if rest[1 + end..].starts_with(first) => end + 2,
                _ => return false,
            },
            '=' | '!' if rest[1..].starts_with('=') => 2,
            '.' => 1,
            _ if first.is_ascii_alphanumeric() || first == '_' => {
                rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len())
            }
            _ => return false,
        };
        let searches = &rest[..length] == "in" && !quoted;
        quoted = first == '"' || first == '\'';
        tokens += 1;
        if tokens > TOKENS || searches {
            return false;
        }
        rest = rest[length..].trim_start();
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_most_answer_files_are_is_plain() {
        for template in [
            "",
            "d-i netcfg/get_hostname string {{ hostname }}\n{ } {",
            "{%- for key in ssh_keys -%}\n{{ loop.index }} {{key}}\n{%- endfor %}",
            r#"{% if "console=" in kernel_options and not x.y is defined %}a{% elif a == 'b' %}{% else %}{% endif %}"#,
            "{# a comment with } and { #}{{ kernel.name }}",
        ] {
            assert!(is_plain(template), "{template:?}");
        }
    }

    #[test]
    fn what_may_take_long_is_not() {
        let nested = "{% for a in ssh_keys %}".repeat(9);
        let elifs = format!("{{% if a %}}{}{{% endif %}}", "{%elif a%}".repeat(ELIFS + 1));
        let chain = format!("{{{{ {}a }}}}", "not ".repeat(30));
        for template in [
            "{{ range(10) }}",
            "{{ hostname|upper }}",
            "{{ hostname * 1000 }}",
            "{{ hostname ~ hostname }}",
            "{{ [1, 2] }}",
            "{{ {} }}",
            "{% set x = hostname %}",
            "{% macro m() %}{% endmacro %}",
            "{% for x in [1] %}{% endfor %}",
            "{% raw %}{% endraw %}",
            "{% include name %}",
            "{{ hostname",
            "{{ \"}}\" }}",
            r#"{{ "\"" }}"#,
            "{{ ä }}",
            nested.as_str(),
            chain.as_str(),
            elifs.as_str(),
            "{{ ssh_keys in hostname }}",
            "{% if hostname in ssh_key %}{% endif %}",
            "{% for x in a in b %}{% endfor %}",
            "{% for x %}{% endfor %}",
            &"x".repeat(LONGEST + 1),
        ] {
            assert!(!is_plain(template), "{template:?}");
        }
    }
}
