//! `#[state]`: `State` and `Field` for a struct, field by field.

use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Data, DeriveInput, Field, Fields, Ident, Result};

use crate::options::{Options, refuse, refuse_generics, take, word};

/// How the copies of one field become one.
enum Rule {
    Keyed,
    /// A variant of `Combine`.
    Whole(Ident),
}

pub fn expand(options: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let Options { version, krate } = Options::parse(options)?;
    let mut input: DeriveInput = syn::parse2(item)?;
    refuse_generics(&input.generics, "a state")?;
    let Data::Struct(data) = &mut input.data else {
        return refuse(input.ident.span(), "a state is a struct: its fields are captured by name");
    };
    if let Fields::Unnamed(fields) = &data.fields {
        return refuse(fields.span(), "name the fields: a state is captured by name");
    }
    let support = quote!(#krate::support);
    let mut captures = TokenStream::new();
    let mut restores = TokenStream::new();
    for field in &mut data.fields {
        let rule = read_rule(field)?;
        let (ident, ty) = (&field.ident, &field.ty);
        let name = ident.as_ref().map(Ident::to_string);
        match rule {
            Rule::Keyed => {
                captures.extend(quote_spanned! {ty.span()=>
                    captured.add_keyed(#name, <#ty as #support::Keyed>::pieces(&self.#ident));
                });
                restores.extend(quote!(#ident: captured.take_keyed(#name)?,));
            }
            Rule::Whole(rule) => {
                let value = match rule == "Sum" {
                    true => quote_spanned!(ty.span()=> #support::sum_to_value::<#ty>(&self.#ident)),
                    false => {
                        quote_spanned!(ty.span()=> <#ty as #support::Field>::to_value(&self.#ident))
                    }
                };
                captures.extend(quote! {
                    captured.add_whole(#name, #support::Combine::#rule, #value);
                });
                restores
                    .extend(quote!(#ident: captured.take_whole(#name, #support::Combine::#rule)?,));
            }
        }
    }
    let (ident, name) = (&input.ident, input.ident.to_string());
    Ok(quote! {
        #input
        impl #support::State for #ident {
            const NAME: &'static str = #name;
            const VERSION: u16 = #version;
            #[allow(unused_mut)]
            fn capture(&self) -> #support::Captured {
                let mut captured = #support::Captured::new::<Self>();
                #captures
                captured
            }
            fn restore(
                mut captured: #support::Captured,
            ) -> ::core::result::Result<Self, #support::StateError> {
                captured.expect::<Self>()?;
                let state = #ident { #restores };
                captured.expect_empty()?;
                ::core::result::Result::Ok(state)
            }
        }
        impl #support::Field for #ident {
            fn to_value(&self) -> #support::Value {
                #support::State::capture(self).to_value()
            }
            fn from_value(
                value: #support::Value,
            ) -> ::core::result::Result<Self, #support::StateError> {
                #support::State::restore(#support::Captured::from_value(value)?)
            }
        }
    })
}

fn read_rule(field: &mut Field) -> Result<Rule> {
    let keyed = take(&mut field.attrs, "keyed");
    let combine = take(&mut field.attrs, "combine");
    let mut all = keyed.iter().chain(&combine);
    let (first, second) = (all.next(), all.next());
    if let Some(second) = second {
        return refuse(second.span(), "one of #[keyed] and #[combine(…)], once");
    }
    let Some(attribute) = first else {
        return Ok(Rule::Whole(format_ident!("Forbid")));
    };
    if !keyed.is_empty() {
        attribute.meta.require_path_only()?;
        return Ok(Rule::Keyed);
    }
    let rule = word(attribute)?;
    match rule.as_ref().map(Ident::to_string).as_deref() {
        Some("sum") => Ok(Rule::Whole(format_ident!("Sum"))),
        Some("constant") => Ok(Rule::Whole(format_ident!("Constant"))),
        Some("forbid") => Ok(Rule::Whole(format_ident!("Forbid"))),
        _ => refuse(
            attribute.span(),
            "expected #[combine(sum)], #[combine(constant)] or #[combine(forbid)]",
        ),
    }
}
