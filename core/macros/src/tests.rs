//! What the macros refuse, and where the refusal points. What they accept is tested in the model.

use proc_macro2::TokenStream;
use quote::quote;

type Expand = fn(TokenStream, TokenStream) -> syn::Result<TokenStream>;

fn refuses(expand: Expand, options: TokenStream, item: TokenStream, at: &str, expect: &str) {
    let error = expand(options, item.clone()).expect_err(&format!("accepted: {item}"));
    assert!(error.to_string().contains(expect), "{error} does not say {expect:?}");
    let found = error.span().source_text().expect("tokens of a test have source text");
    assert!(found.contains(at), "points at {found:?}, not at {at:?}");
}

fn parse(source: &str) -> TokenStream {
    source.parse().expect("tokens")
}

#[test]
fn messages_that_could_not_be_checked_are_refused_where_they_are_wrong() {
    for (item, at, expect) in [
        ("union U { a: u8, b: u16 }", "union", "declare an enum"),
        ("struct S<T> { a: T }", "T", "no type parameters"),
        ("struct S<'a> { a: &'a str }", "'a", "no type parameters"),
        ("struct S where u8: Copy { a: u8 }", "where", "no type parameters"),
        ("enum E {}", "E", "without variants"),
        ("struct S { a: HashMap<u8, u8> }", "HashMap", "no maps"),
        ("struct S { a: std::collections::BTreeMap<u8, u8> }", "std", "no maps"),
        ("enum E { A(u8), B(Option<Vec<(u8, BTreeMap<u8, u8>)>>) }", "BTreeMap", "no maps"),
        ("struct S { a: Rc<u8> }", "Rc", "shared pointers"),
        ("struct S { a: [Arc<u8>; 2] }", "Arc", "shared pointers"),
        ("struct S { a: &'static str }", "&", "borrowed twin"),
        ("struct S { #[point] a: u8, #[point] b: u8 }", "#", "second #[point]"),
        ("enum E { A { #[point] a: u8, #[point(prefix)] b: u8 } }", "#", "second #[point]"),
        ("enum E { #[broadcast] A { #[point] a: u8 } }", "#", "to one shard, or to all"),
        ("struct S { #[point(range)] a: u8 }", "range", "#[point(prefix)]"),
        ("struct S { #[rkyv(with = Evil)] a: u8 }", "#", "without a check"),
        ("enum E { A, #[rkyv(other)] B }", "#", "without a check"),
        ("#[rkyv(as = ArchivedOther)] struct S { a: u8 }", "#", "without a check"),
        ("#[cfg_attr(all(), rkyv(as = Other))] struct S { a: u8 }", "#", "without a check"),
        ("struct S { #[cfg_attr(all(), rkyv(with = Evil))] a: u8 }", "#", "always there"),
        ("struct S { a: u8, #[cfg(unix)] b: u8 }", "#", "always there"),
        ("enum E { A, #[cfg(unix)] B }", "#", "always there"),
        ("enum E { A(#[cfg(unix)] u8) }", "#", "always there"),
        ("enum E { A, B = 7 }", "=", "by its place"),
    ] {
        refuses(crate::message::expand, quote!(), parse(item), at, expect);
    }
    let item = || parse("struct S { a: u8 }");
    refuses(
        crate::message::expand,
        parse("vresion = 2"),
        item(),
        "vresion",
        "`version` or `crate`",
    );
    refuses(crate::message::expand, parse("version = 65536"), item(), "65536", "too large");
}

#[test]
fn one_point_in_every_variant_is_fine() {
    let item =
        parse("enum E { A(#[point] u8), B { #[point(prefix)] key: String }, #[broadcast] C }");
    let expanded =
        crate::message::expand(quote!(crate = crate), item).expect("accepted").to_string();
    assert!(expanded.contains("ERef") && !expanded.contains("# [point"), "{expanded}");
}

#[test]
fn a_message_with_nothing_to_lend_has_no_twin() {
    let item = parse("struct S { a: u8, b: [u8; 4], c: Other }");
    let expanded = crate::message::expand(quote!(), item).expect("accepted").to_string();
    assert!(!expanded.contains("SRef"), "{expanded}");
}

#[test]
fn a_twin_copies_what_says_so_and_derives_what_its_type_derives() {
    let item =
        parse("#[derive(Debug, PartialEq)] struct S { a: String, #[copy] b: Other, c: Other }");
    let expanded = crate::message::expand(quote!(), item).expect("accepted").to_string();
    let twin = &expanded[expanded.find("struct SRef").expect("a twin")..];
    assert!(twin.contains("b : Other") && twin.contains("c : & 'a Other"), "{twin}");
    assert!(expanded.contains("Clone , Copy , Debug , PartialEq , ::"), "{expanded}");
    assert!(!expanded.contains("[copy]") && !expanded.contains("[copy ]"), "{expanded}");
}

#[test]
fn states_that_have_no_names_or_two_rules_are_refused_where_they_are_wrong() {
    for (item, at, expect) in [
        ("enum E { A }", "E", "is a struct"),
        ("struct S(u8);", "(", "name the fields"),
        ("struct S<T> { a: T }", "T", "no type parameters"),
        ("struct S { #[keyed] #[combine(sum)] a: u8 }", "#", "once"),
        ("struct S { #[combine(max)] a: u8 }", "#", "expected #[combine(sum)]"),
        ("struct S { #[combine] a: u8 }", "#", "expected #[combine(sum)]"),
    ] {
        refuses(crate::state::expand, quote!(), parse(item), at, expect);
    }
}
