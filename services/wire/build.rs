//! Compiles `proto/` without protoc, keeps the descriptor set for reflection and the docs, and writes down how often
//! each field may be repeated. Must never change a message on the way, and never let a repeated field pass that has no
//! bound.

use protox::prost_reflect::{
    DescriptorPool, ExtensionDescriptor, FieldDescriptor, Kind, MessageDescriptor,
};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

type Fault = Box<dyn std::error::Error>;

/// The option that bounds a repeated field (`proto/sluis/limits/v1/limits.proto`).
const MAX_ITEMS: &str = "sluis.limits.v1.max_items";
/// Most fields of one message that can be counted: `count.rs` has so many counters.
const COUNTED_MAX: usize = 16;

fn main() -> Result<(), Fault> {
    let root = Path::new("../../proto");
    let mut files = Vec::new();
    collect(root, &mut files)?;
    files.sort();
    println!("cargo::rerun-if-changed={}", root.display());
    let mut compiler = protox::Compiler::new([root])?;
    compiler.include_imports(true).include_source_info(true);
    compiler.open_files(&files)?;
    let descriptors = compiler.file_descriptor_set();
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("sluis.bin"), compiler.encode_file_descriptor_set())?;
    std::fs::write(out.join("shapes.rs"), shapes(&compiler.descriptor_pool())?)?;
    tonic_prost_build::configure()
        .codec_path("crate::count::CountingCodec")
        .compile_fds(descriptors)?;
    Ok(())
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path
            .extension()
            .is_some_and(|extension| extension == "proto")
        {
            files.push(path);
        }
    }
    Ok(())
}

/// What is counted of every message of ours, as Rust: a constant for each, and which message it belongs to.
fn shapes(pool: &DescriptorPool) -> Result<String, Fault> {
    let option = pool
        .get_extension_by_name(MAX_ITEMS)
        .ok_or("the option that bounds a repeated field is gone")?;
    let mut text = String::new();
    for message in pool.all_messages().filter(is_ours) {
        let name = constant(&message);
        let fields: Vec<String> = message
            .fields()
            .filter_map(|field| counted(&field, &option).transpose())
            .collect::<Result<_, _>>()?;
        if fields.len() > COUNTED_MAX {
            return Err(format!("{} has too many fields to count", message.full_name()).into());
        }
        if contains_itself(&message, &mut Vec::new()) {
            return Err(format!("{} can hold itself", message.full_name()).into());
        }
        writeln!(
            text,
            "static {name}: Shape = Shape {{ fields: &[{}] }};\n\
             impl Counted for crate::{}::{} {{ const SHAPE: &'static Shape = &{name}; }}",
            fields.join(", "),
            message
                .package_name()
                .trim_start_matches("sluis.")
                .replace('.', "::"),
            message.name(),
        )?;
    }
    Ok(text)
}

fn is_ours(message: &MessageDescriptor) -> bool {
    message.package_name().starts_with("sluis.")
}

fn constant(message: &MessageDescriptor) -> String {
    message.full_name().replace('.', "_").to_uppercase()
}

/// What is counted of a field: repeated ones, and whatever may hold one.
fn counted(field: &FieldDescriptor, option: &ExtensionDescriptor) -> Result<Option<String>, Fault> {
    let inner = match field.kind() {
        Kind::Message(inner) if is_ours(&inner) => format!("Some(&{})", constant(&inner)),
        Kind::Message(inner) => return Err(format!("{} is of others", inner.full_name()).into()),
        Kind::String | Kind::Bytes => "None".to_owned(),
        _ if field.is_list() => {
            return Err(
                format!("{} packs numbers, which are not counted", field.full_name()).into(),
            );
        }
        _ => return Ok(None),
    };
    let max = if field.is_list() {
        let options = field.options();
        let max = options.get_extension(option).as_u32().unwrap_or_default();
        if max == 0 {
            return Err(format!("{} is repeated without a bound", field.full_name()).into());
        }
        max
    } else if field.kind().as_message().is_some() {
        1
    } else {
        return Ok(None);
    };
    let (number, name) = (field.number(), field.name());
    Ok(Some(format!(
        "Field {{ number: {number}, name: \"{name}\", max: {max}, inner: {inner} }}"
    )))
}

fn contains_itself(message: &MessageDescriptor, above: &mut Vec<String>) -> bool {
    let name = message.full_name().to_owned();
    if above.contains(&name) {
        return true;
    }
    above.push(name);
    let itself = message.fields().any(|field| {
        field
            .kind()
            .as_message()
            .is_some_and(|inner| contains_itself(inner, above))
    });
    above.pop();
    itself
}
