//! The wire: messages and stubs generated from `proto/`, and the count that comes before decoding.
//!
//! Must never hold another line written by hand: what travels is what `proto/` says.

pub mod count;

/// The descriptor set of every proto file, for reflection and generated documentation.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/sluis.bin"));

macro_rules! packages {
    ($($name:ident),*) => {$(
        #[doc = concat!("`sluis.", stringify!($name), ".v1`.")]
        pub mod $name {
            /// Version 1.
            pub mod v1 {
                include!(concat!(env!("OUT_DIR"), "/sluis.", stringify!($name), ".v1.rs"));
            }
        }
    )*};
}

pub use generated::*;

#[expect(
    clippy::all,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    clippy::clone_on_ref_ptr,
    unused_qualifications,
    reason = "generated code keeps to its generator's style"
)]
mod generated {
    packages!(
        audit,
        consent,
        directory,
        handover,
        policy,
        portal,
        pseudonym,
        restoration
    );
}
