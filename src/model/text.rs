//! What every type that is a checked text has, once its `FromStr` is written: the text itself, shown, and in JSON.

/// `text_newtype!(AppName.0)`: the type, and the field that holds the text as it was typed.
macro_rules! text_newtype {
    ($($name:ident.$field:tt),+) => {$(
        impl $name {
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.$field
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(&self.$field)
            }
        }

        impl TryFrom<String> for $name {
            type Error = crate::error::Error;

            fn try_from(text: String) -> crate::error::Result<Self> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.$field
            }
        }
    )+};
}
