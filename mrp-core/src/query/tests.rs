use super::{Comparison, Condition, NumberField, NumberOperand, TextField, TextOperand};

fn value(text: &str) -> TextOperand {
    TextOperand::Value(text.into())
}

#[test]
fn a_query_becomes_a_typed_condition() {
    let name = || TextOperand::Field(TextField::Name);
    let interfaces = NumberOperand::Field(NumberField::Interfaces);
    let named = |text| Condition::Text(name(), Comparison::Equal, value(text));
    for (text, condition) in [
        (r#"(= name "node2")"#, named("node2")),
        (r#"(= name "no\"de")"#, named("no\"de")),
        (";c\n(= name \"node2\")", named("node2")),
        (r#"(=~ name "o%e2")"#, Condition::Contains(name(), value("o%e2"))),
        (
            "(= interface_count \"1\")",
            Condition::Number(interfaces, Comparison::Equal, NumberOperand::Value(1.0)),
        ),
        (
            "(> 1.5 interface_count)",
            Condition::Number(NumberOperand::Value(1.5), Comparison::Greater, interfaces),
        ),
        (r#"(and free (= name "x"))"#, Condition::All(vec![Condition::Free, named("x")])),
        (r#"(or free (= name "x"))"#, Condition::Any(vec![Condition::Free, named("x")])),
        (
            "(= free nil)",
            Condition::Truth(Box::new(Condition::Free), Comparison::Equal, Box::new(Condition::Const(false))),
        ),
    ] {
        assert_eq!(Condition::parse(text), Ok(condition), "{text}");
    }
}

#[test]
fn what_is_constant_is_folded() {
    for (text, constant) in [
        ("", true),
        (" ; nothing asked", true),
        ("(and)", true),
        ("(or)", false),
        (r#"(= "a" "a")"#, true),
        (r#"(< "Z" "a")"#, true),
        (r#"(=~ "node2" "o_e")"#, true),
        (r#"(=~ "node2" "O")"#, false),
        ("(> 2 1)", true),
        ("(= 0 -0)", true),
        ("(= 1 \"1\")", true),
        ("(= t t)", true),
        ("(= nil nil)", true),
        ("(= nil t)", false),
        ("(= name nil)", false),
        ("(!= name nil)", false),
        ("(=~ name nil)", false),
        (r#"(and nil (= name "node2"))"#, false),
        (r#"(or t (= name "node2"))"#, true),
        (r#"(and t (or (and) nil))"#, true),
    ] {
        assert_eq!(Condition::parse(text), Ok(Condition::Const(constant)), "{text}");
    }
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    for (text, says, position) in [
        ("(foo name \"x\")", "`foo` is not a valid operation", 2),
        ("(not (= name \"x\"))", "`not` is not a valid operation", 2),
        ("(= nosuch \"x\")", "`nosuch` is no field of a machine; the fields are name, arch, subarch", 4),
        ("(\"=\" name \"x\")", "s-expr operation must be a symbol", 2),
        ("()", "s-expr is empty", 1),
        ("(and t ())", "s-expr is empty", 8),
        ("(", "is a ) missing", 2),
        ("(= name", "is a ) missing", 8),
        ("name", "an expression such as", 1),
        ("5", "an expression such as", 1),
        ("(= name \"a\") (= name \"b\")", "more than one expression", 14),
        ("(= name)", "takes 2 operands, not 1", 2),
        ("(= name 5)", "cannot compare a text with a number", 2),
        ("(= name t)", "cannot compare a text with a truth value", 2),
        ("(= interface_count \"x\")", "cannot compare a number with a text", 2),
        ("(= interface_count \"NaN\")", "cannot compare a number with a text", 2),
        ("(=~ interface_count \"1\")", "cannot compare a number with a text", 2),
        ("(and (= name \"x\") 5)", "`and` takes comparisons", 19),
        ("(= tag reserved_by)", "one side of a comparison only", 2),
        ("[= name \"x\"]", "unexpected [", 1),
        ("'(= name \"x\")", "unexpected '", 1),
        ("(= name \"x", "this string does not end", 9),
        ("(= name \"x\\", "this string does not end", 9),
        ("(= name \"ä\0\")", "NUL", 11),
        ("(= \"ä\" 5)", "cannot compare", 2),
        ("(and (= name \"äö\") (= nam \"x\"))", "`nam` is no field", 23),
    ] {
        let error = Condition::parse(text).unwrap_err();
        assert!(error.to_string().contains(says), "{text}: {error}");
        assert_eq!(error.position(), position, "{text}: {error}");
    }
}

#[test]
fn a_query_is_bounded() {
    let deep = |levels: usize| format!("{}free{}", "(and ".repeat(levels), ")".repeat(levels));
    assert_eq!(Condition::parse(&deep(30)), Ok(Condition::Free));
    for (text, says) in [
        (deep(40), "nested deeper than 32"),
        ("(".repeat(8000), "nested deeper than 32"),
        ("(".repeat(100_000), "8192 are allowed"),
        (format!("(and{})", " free".repeat(201)), "more than 200 operands"),
    ] {
        let error = Condition::parse(&text).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
}
