//! What every type has that is a checked text, once its `FromStr` is written, or one of a few words: the text itself, shown, and read.

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

/// `word_enum! { Stage { Queued = "queued" } }`: variants with the words under which they are stored and shown.
macro_rules! word_enum {
    ($($name:ident { $($variant:ident = $word:literal),+ $(,)? })+) => {$(
        impl $name {
            /// Returns the word under which this is stored and shown.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $($name::$variant => $word),+ }
            }
        }

        impl std::str::FromStr for $name {
            type Err = crate::error::Error;

            fn from_str(text: &str) -> crate::error::Result<Self> {
                match text {
                    $($word => Ok($name::$variant),)+
                    _ => Err(crate::error::Error::setup(concat!("the database holds an unknown ", stringify!($name)))),
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }
    )+};
}
