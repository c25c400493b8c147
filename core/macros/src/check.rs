//! What no message may have, since its schema and its readers would not know. Types are known by their
//! tokens only: what is refused by name is refused for the sake of a good text.

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;
use syn::spanned::Spanned;
use syn::{
    Attribute, Data, DeriveInput, Fields, GenericArgument, PathArguments, Result, Type, TypePath,
    Variant,
};

use crate::options::refuse;

/// Refuses by name what could never be `Wire`, deep inside too.
pub fn check_type(ty: &Type) -> Result<()> {
    let path = match ty {
        Type::Path(TypePath { path, .. }) => path,
        Type::Tuple(tuple) => return tuple.elems.iter().try_for_each(check_type),
        Type::Array(array) => return check_type(&array.elem),
        Type::Reference(_) => {
            return refuse(
                ty.span(),
                "a message owns its fields; its borrowed twin, `…Ref`, is made for you",
            );
        }
        _ => return Ok(()),
    };
    let Some(last) = path.segments.last() else { return Ok(()) };
    match last.ident.to_string().as_str() {
        "HashMap" | "BTreeMap" | "HashSet" | "BTreeSet" | "IndexMap" => {
            return refuse(
                ty.span(),
                "a message holds no maps or sets; send a sorted Vec of pairs",
            );
        }
        "Rc" | "Arc" | "Weak" => {
            return refuse(ty.span(), "a message holds no shared pointers; send the value");
        }
        _ => {}
    }
    let PathArguments::AngleBracketed(arguments) = &last.arguments else { return Ok(()) };
    arguments.args.iter().try_for_each(|argument| match argument {
        GenericArgument::Type(inner) => check_type(inner),
        _ => Ok(()),
    })
}

/// Refuses what would change the archive behind the schema's back: rkyv's attributes, fields that are
/// there only sometimes, and variants with numbers of their own.
pub fn check_archive(input: &DeriveInput) -> Result<()> {
    input.attrs.iter().try_for_each(check_rkyv)?;
    let fields: Vec<&Fields> = match &input.data {
        Data::Struct(data) => vec![&data.fields],
        Data::Enum(data) => {
            data.variants.iter().try_for_each(check_variant)?;
            data.variants.iter().map(|variant| &variant.fields).collect()
        }
        Data::Union(_) => Vec::new(),
    };
    fields.into_iter().flatten().try_for_each(|field| check_part(&field.attrs))
}

fn check_variant(variant: &Variant) -> Result<()> {
    match &variant.discriminant {
        Some((equal, _)) => refuse(
            equal.span(),
            "a variant of a message is known by its place: its schema would not tell another number",
        ),
        None => check_part(&variant.attrs),
    }
}

fn check_part(attributes: &[Attribute]) -> Result<()> {
    let conditional = |it: &&Attribute| it.path().is_ident("cfg") || it.path().is_ident("cfg_attr");
    match attributes.iter().find(conditional) {
        Some(attribute) => refuse(
            attribute.span(),
            "each part of a message is always there: its schema would not tell when it is not",
        ),
        None => attributes.iter().try_for_each(check_rkyv),
    }
}

fn check_rkyv(attribute: &Attribute) -> Result<()> {
    match mentions(attribute.meta.to_token_stream(), "rkyv") {
        true => refuse(
            attribute.span(),
            "how a message is archived is for #[message] to say: others read it without a check",
        ),
        false => Ok(()),
    }
}

/// Whether a word stands among these, at any depth.
pub fn mentions(tokens: TokenStream, word: &str) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Ident(ident) => ident == word,
        TokenTree::Group(group) => mentions(group.stream(), word),
        _ => false,
    })
}
