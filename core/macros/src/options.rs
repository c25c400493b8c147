//! What both attributes share: `version = 2, crate = path`, and small readings of attributes.

use proc_macro2::{Span, TokenStream};
use syn::parse::{ParseStream, Parser};
use syn::{Attribute, Error, Generics, Ident, LitInt, Path, Result, Token, parse_quote};

/// `version` (1 unless given) and the crate whose `support` the expansion names (`::daedal`).
pub struct Options {
    pub version: u16,
    pub krate: Path,
}

impl Options {
    pub fn parse(tokens: TokenStream) -> Result<Options> {
        let mut options = Options { version: 1, krate: parse_quote!(::daedal) };
        let parse = |input: ParseStream<'_>| {
            while !input.is_empty() {
                if input.peek(Token![crate]) {
                    input.parse::<Token![crate]>()?;
                    input.parse::<Token![=]>()?;
                    options.krate = input.call(Path::parse_mod_style)?;
                } else {
                    let name: Ident = input.parse()?;
                    if name != "version" {
                        return Err(Error::new(name.span(), "expected `version` or `crate`"));
                    }
                    input.parse::<Token![=]>()?;
                    options.version = input.parse::<LitInt>()?.base10_parse()?;
                }
                if !input.is_empty() {
                    input.parse::<Token![,]>()?;
                }
            }
            Ok(())
        };
        parse.parse2(tokens)?;
        Ok(options)
    }
}

/// Removes the attributes of this name from `attributes`, and gives them back.
pub fn take(attributes: &mut Vec<Attribute>, name: &str) -> Vec<Attribute> {
    attributes.extract_if(.., |attribute| attribute.path().is_ident(name)).collect()
}

/// The one word in an attribute's brackets, if it has brackets.
pub fn word(attribute: &Attribute) -> Result<Option<Ident>> {
    match attribute.meta {
        syn::Meta::Path(_) => Ok(None),
        _ => attribute.parse_args().map(Some),
    }
}

/// # Errors
/// When there are type parameters, lifetimes or bounds.
pub fn refuse_generics(generics: &Generics, what: &str) -> Result<()> {
    let span = match (generics.params.first(), &generics.where_clause) {
        (Some(parameter), _) => syn::spanned::Spanned::span(parameter),
        (None, Some(bounds)) => bounds.where_token.span,
        (None, None) => return Ok(()),
    };
    Err(Error::new(span, format!("{what} has no type parameters: its schema is one number")))
}

/// # Errors
/// Always: `message`, at `span`.
pub fn refuse<T>(span: Span, message: impl std::fmt::Display) -> Result<T> {
    Err(Error::new(span, message))
}
