//! `#[message]`: rkyv's derives, `Wire`, `Message`, `Encode`, `Body`, and the borrowed twin.
//!
//! Knows types by their tokens only: the bound that holds is `Wire`, asserted for every field by its
//! schema.
//!
//! `Wire` and `Encode` are unsafe to implement, since what stays in a process is read without a check.
//! They may be implemented here, because everything that is archived is derived by rkyv from fields that
//! are `Wire` themselves, and is named by the schema: attributes that would change either are refused,
//! and what a twin lends is asserted to archive as what its type owns. That the code is unsafe a user
//! does not see, under `forbid(unsafe_code)` either: the compiler blames macros for what they wrote.

use proc_macro2::TokenStream;
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{
    Data, DeriveInput, Fields, GenericArgument, Ident, Member, PathArguments, Result, Type,
    TypePath, parse_quote,
};

use crate::check::{check_archive, check_type, mentions};
use crate::options::{Options, refuse, refuse_generics, take, word};

/// What is read off one struct or one variant before its attributes are removed.
struct Case {
    /// The variant's name; none for a struct.
    name: Option<Ident>,
    fields: Fields,
    point: Option<Point>,
    broadcast: bool,
}

struct Point {
    member: Member,
    prefix: bool,
    span: proc_macro2::Span,
}

pub fn expand(options: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let Options { version, krate } = Options::parse(options)?;
    let mut input: DeriveInput = syn::parse2(item)?;
    refuse_generics(&input.generics, "a message")?;
    check_archive(&input)?;
    let cases = read_cases(&mut input)?;
    let support = quote!(#krate::support);
    let twin = twin(&input, &support);
    all_fields(&mut input.data).for_each(|field| drop(take(&mut field.attrs, "copy")));
    let message = implement_message(&input.ident, &cases, version, &support);
    let own = implement_body(&input.ident, &quote!(), &input.ident, &cases, &support);
    let lent = twin.as_ref().map(|(name, definition)| {
        let body = implement_body(name, &quote!(<'_>), &input.ident, &cases, &support);
        quote!(#definition #body)
    });
    Ok(quote! {
        #[derive(#support::rkyv::Archive, #support::rkyv::Serialize, #support::rkyv::Deserialize)]
        #[rkyv(crate = #support::rkyv, derive(Debug))]
        #input
        #message
        #own
        #lent
    })
}

/// Takes our attributes off the item; what is left is for the compiler.
fn read_cases(input: &mut DeriveInput) -> Result<Vec<Case>> {
    match &mut input.data {
        Data::Union(data) => refuse(
            data.union_token.span,
            "a union cannot be a message: nobody could check which field is there; declare an enum",
        ),
        Data::Struct(data) => Ok(vec![read_case(None, &mut data.fields, false)?]),
        Data::Enum(data) if data.variants.is_empty() => {
            refuse(input.ident.span(), "a message without variants could never be sent")
        }
        Data::Enum(data) => data
            .variants
            .iter_mut()
            .map(|variant| {
                let broadcast = !take(&mut variant.attrs, "broadcast").is_empty();
                read_case(Some(variant.ident.clone()), &mut variant.fields, broadcast)
            })
            .collect(),
    }
}

fn read_case(name: Option<Ident>, fields: &mut Fields, broadcast: bool) -> Result<Case> {
    let mut point: Option<Point> = None;
    for (index, field) in fields.iter_mut().enumerate() {
        check_type(&field.ty)?;
        for attribute in take(&mut field.attrs, "point") {
            if point.is_some() {
                return refuse(attribute.span(), "a second #[point]: a message goes to one shard");
            }
            if broadcast {
                return refuse(
                    attribute.span(),
                    "#[point] on a #[broadcast]: to one shard, or to all?",
                );
            }
            let prefix = match word(&attribute)? {
                None => false,
                Some(word) if word == "prefix" => true,
                Some(word) => return refuse(word.span(), "expected #[point] or #[point(prefix)]"),
            };
            let member = field.ident.clone().map_or_else(|| index.into(), Member::Named);
            point = Some(Point { member, prefix, span: field.ty.span() });
        }
    }
    Ok(Case { name, fields: fields.clone(), point, broadcast })
}

fn implement_message(
    name: &Ident,
    cases: &[Case],
    version: u16,
    support: &TokenStream,
) -> TokenStream {
    let archived = format_ident!("Archived{name}");
    let schema = cases.iter().fold(
        {
            let name = name.to_string();
            quote!(#support::Schema::named(#name))
        },
        |schema, case| case_schema(schema, case, support),
    );
    // `Wire` is implemented safely: the archive is what rkyv derives from fields that are `Wire`, and the
    // schema names them all, which tells types apart as far as 64 bits do. No attribute changes that.
    let keyed = cases.iter().all(|case| case.point.is_some() || case.broadcast);
    let point = points(&quote!(#archived), cases, support);
    let broadcast = broadcasts(&quote!(#archived), cases);
    quote! {
        unsafe impl #support::Wire for #name {
            type Archived = #archived;
            const SCHEMA: #support::Schema = #schema;
            fn owned(archived: &#archived) -> Self {
                #support::owned(archived)
            }
        }
        impl #support::Message for #name {
            const VERSION: u16 = #version;
            const KEYED: bool = #keyed;
            fn point_of(archived: &#archived) -> ::core::option::Option<#support::Point> {
                match archived { #point }
            }
            fn is_broadcast(archived: &#archived) -> bool {
                match archived { #broadcast }
            }
        }
    }
}

fn case_schema(schema: TokenStream, case: &Case, support: &TokenStream) -> TokenStream {
    let schema = match &case.name {
        Some(name) => {
            let name = name.to_string();
            quote!(#schema.variant(#name))
        }
        None => schema,
    };
    case.fields.iter().enumerate().fold(schema, |schema, (index, field)| {
        let name = field.ident.as_ref().map_or_else(|| index.to_string(), Ident::to_string);
        let ty = &field.ty;
        let inner = quote_spanned!(ty.span()=> <#ty as #support::Wire>::SCHEMA);
        quote!(#schema.field(#name, #inner))
    })
}

fn implement_body(
    body: &Ident,
    lifetime: &TokenStream,
    message: &Ident,
    cases: &[Case],
    support: &TokenStream,
) -> TokenStream {
    let point = points(&quote!(#body), cases, support);
    let broadcast = broadcasts(&quote!(#body), cases);
    // `Encode` is implemented safely: what is put is the message, or its twin, as rkyv derives them.
    quote! {
        unsafe impl #support::Encode<#message> for #body #lifetime {
            #[inline]
            fn encode(
                &self,
                out: &mut #support::Encoder<'_>,
            ) -> ::core::result::Result<(), #support::Full> {
                out.put::<#message>(self)
            }
        }
        impl #support::Body for #body #lifetime {
            type Message = #message;
            #[inline]
            fn point(&self) -> ::core::option::Option<#support::Point> {
                match self { #point }
            }
            #[inline]
            fn is_broadcast(&self) -> bool {
                match self { #broadcast }
            }
        }
    }
}

/// Arms that compute the point, for the owned, the archived and the borrowed form alike.
fn points(of: &TokenStream, cases: &[Case], support: &TokenStream) -> TokenStream {
    let arms = cases.iter().map(|case| {
        let path = path(of, case);
        let Some(Point { member, prefix, span }) = &case.point else {
            return quote!(#path { .. } => ::core::option::Option::None,);
        };
        let how = if *prefix { quote!(prefix) } else { quote!(of) };
        let value = quote_spanned!(*span=> #support::Point::#how(point));
        quote!(#path { #member: point, .. } => ::core::option::Option::Some(#value),)
    });
    quote!(#(#arms)*)
}

fn broadcasts(of: &TokenStream, cases: &[Case]) -> TokenStream {
    let arms = cases.iter().map(|case| {
        let (path, broadcast) = (path(of, case), case.broadcast);
        quote!(#path { .. } => #broadcast,)
    });
    quote!(#(#arms)*)
}

fn path(of: &TokenStream, case: &Case) -> TokenStream {
    case.name.as_ref().map_or_else(|| of.clone(), |name| quote!(#of::#name))
}

/// The same type with everything lent, and its name; none if it has nothing to lend.
fn twin(input: &DeriveInput, support: &TokenStream) -> Option<(Ident, TokenStream)> {
    let mut twin = input.clone();
    // A bound that names 'a would hide from the compiler which type the field archives as.
    let mut lends = false;
    let mut asserted = TokenStream::new();
    for field in all_fields(&mut twin.data) {
        let lent = match take(&mut field.attrs, "copy").is_empty() {
            true => lend(&field.ty),
            false => Lent { ty: field.ty.clone(), how: How::Value },
        };
        lends |= matches!(lent.how, How::Lend | How::MapLend);
        field.attrs.retain(is_doc);
        let with = match lent.how {
            How::Value => None,
            How::Lend => Some(quote!(#support::Lend)),
            How::MapLend => Some(quote!(#support::rkyv::with::Map<#support::Lend>)),
            How::Inline => Some(quote!(#support::rkyv::with::Inline)),
        };
        if let Some(with) = with {
            let (owned, lent) = (&field.ty, &lent.ty);
            // A type may have the name of another: what is lent is asserted to archive alike.
            let archived = quote!(<#with as #support::rkyv::with::ArchiveWith<#lent>>::Archived);
            asserted.extend(quote! {
                const _: () = {
                    fn _alike<'a>(it: #support::rkyv::Archived<#owned>) -> #archived { it }
                };
            });
            field.attrs.push(parse_quote!(#[rkyv(omit_bounds, with = #with)]));
        }
        field.ty = lent.ty;
    }
    if !lends {
        return None;
    }
    let derives: Vec<Ident> = ["Debug", "PartialEq", "Eq"]
        .into_iter()
        .filter(|name| input.attrs.iter().any(|attribute| derives(attribute, name)))
        .map(|name| format_ident!("{name}"))
        .collect();
    let name = format_ident!("{}Ref", input.ident);
    let archived = format_ident!("Archived{}", input.ident);
    let text =
        format!("Borrowed twin of [`{}`]: archives as it does, and owns nothing.", input.ident);
    twin.ident = name.clone();
    twin.generics = parse_quote!(<'a>);
    twin.attrs.clear();
    if let Data::Enum(data) = &mut twin.data {
        data.variants.iter_mut().for_each(|variant| variant.attrs.retain(is_doc));
    }
    let definition = quote! {
        #[doc = #text]
        #[derive(Clone, Copy, #(#derives,)* #support::rkyv::Archive, #support::rkyv::Serialize)]
        #[rkyv(
            crate = #support::rkyv,
            as = #archived,
            serialize_bounds(
                __S: #support::rkyv::ser::Writer + #support::rkyv::ser::Allocator,
                <__S as #support::rkyv::rancor::Fallible>::Error: #support::rkyv::rancor::Source,
            ),
        )]
        #[allow(dead_code)]
        #twin
        #asserted
    };
    Some((name, definition))
}

fn is_doc(attribute: &syn::Attribute) -> bool {
    attribute.path().is_ident("doc")
}

/// The fields of a struct, or of all variants.
fn all_fields(data: &mut Data) -> impl Iterator<Item = &mut syn::Field> {
    let fields: Vec<&mut Fields> = match data {
        Data::Struct(data) => vec![&mut data.fields],
        Data::Enum(data) => data.variants.iter_mut().map(|variant| &mut variant.fields).collect(),
        Data::Union(_) => Vec::new(),
    };
    fields.into_iter().flat_map(Fields::iter_mut)
}

fn derives(attribute: &syn::Attribute, name: &str) -> bool {
    attribute.path().is_ident("derive") && mentions(attribute.meta.to_token_stream(), name)
}

/// How a twin's field archives as the owned one does.
enum How {
    Value,
    Lend,
    MapLend,
    Inline,
}

struct Lent {
    ty: Type,
    how: How,
}

fn lend(ty: &Type) -> Lent {
    if let Some(slice) = lent_slice(ty) {
        return Lent { ty: slice, how: How::Lend };
    }
    if let Some(slice) = argument(ty, "Option").and_then(lent_slice) {
        return Lent { ty: parse_quote!(::core::option::Option<#slice>), how: How::MapLend };
    }
    if is_plain(ty) || argument(ty, "Option").is_some_and(is_plain) {
        return Lent { ty: ty.clone(), how: How::Value };
    }
    Lent { ty: parse_quote!(&'a #ty), how: How::Inline }
}

/// `&'a [T]` for `Vec<T>`, `&'a str` for `String`.
fn lent_slice(ty: &Type) -> Option<Type> {
    if let Some(element) = argument(ty, "Vec") {
        return Some(parse_quote!(&'a [#element]));
    }
    is_named(ty, &["String"]).then(|| parse_quote!(&'a str))
}

fn is_plain(ty: &Type) -> bool {
    is_named(ty, &["bool", "u8", "u16", "u32", "u64", "i8", "i16", "i32", "i64"])
}

fn is_named(ty: &Type, names: &[&str]) -> bool {
    let Type::Path(TypePath { qself: None, path }) = ty else { return false };
    path.segments
        .last()
        .is_some_and(|last| last.arguments.is_none() && names.iter().any(|name| last.ident == name))
}

/// `T` of `Name<T>`.
fn argument<'t>(ty: &'t Type, name: &str) -> Option<&'t Type> {
    let Type::Path(TypePath { qself: None, path }) = ty else { return None };
    let last = path.segments.last().filter(|last| last.ident == name)?;
    let PathArguments::AngleBracketed(arguments) = &last.arguments else { return None };
    match arguments.args.first() {
        Some(GenericArgument::Type(inner)) if arguments.args.len() == 1 => Some(inner),
        _ => None,
    }
}
