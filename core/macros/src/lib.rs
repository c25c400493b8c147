//! `#[message]` and `#[state]`: how an application declares what its agents exchange and what they
//! hold. Use them through `daedal`; everything that the expansions name is in `daedal::support`.
//!
//! No derive can add rkyv's derives with a path of ours, so these are attributes: users need no rkyv.

mod check;
mod message;
mod options;
mod state;
#[cfg(test)]
mod tests;

use proc_macro::TokenStream;

/// Declares a message: its archived form, schema, routing point and borrowed twin.
///
/// On a struct or an enum without generics. `#[point]` on a field routes by the hash of that field,
/// `#[point(prefix)]` by its first eight bytes, in order; at most one a variant. `#[broadcast]` on a
/// variant sends it to every child of its destination. `#[message(version = 2)]` announces a version.
/// `NameRef<'a>` serialises as `Name` does, with `&[u8]` for `Vec<u8>`, `&str` for `String`, a reference
/// for any other type but numbers, or a copy where the field says `#[copy]`. It derives what `Name`
/// derives of `Debug`, `PartialEq` and `Eq`. rkyv's own attributes are refused, and so are `cfg` on
/// a field or a variant, and a variant's number: others read a message as its schema says, without a check.
#[proc_macro_attribute]
pub fn message(options: TokenStream, item: TokenStream) -> TokenStream {
    message::expand(options.into(), item.into())
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}

/// Declares an agent's state: which fields are keyed, and how copies of the others combine.
///
/// On a struct with named fields, or none. `#[keyed]` on a map splits it by point; `#[combine(sum)]`
/// adds copies up, `#[combine(constant)]` wants them equal, `#[combine(forbid)]`, which is also meant
/// by nothing, wants there to be one. `#[state(version = 2)]` tells layouts apart.
#[proc_macro_attribute]
pub fn state(options: TokenStream, item: TokenStream) -> TokenStream {
    state::expand(options.into(), item.into()).unwrap_or_else(syn::Error::into_compile_error).into()
}
