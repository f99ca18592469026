//! Canonical JSON (RFC 8785), for everything that is hashed or signed.
//!
//! Must never be given a number that is not an integer: their canonical form is not written here.

use serde_json::Value;

/// RFC 8785 over values that hold only objects, arrays, strings, booleans and integers: keys in order
/// of their UTF-16 code units, which for our ASCII keys is the order of their octets.
#[must_use]
pub fn canonical(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort();
            let members: Vec<String> = keys
                .into_iter()
                .filter_map(|key| {
                    let value = map.get(key)?;
                    Some(format!(
                        "{}:{}",
                        Value::String(key.clone()),
                        canonical(value)
                    ))
                })
                .collect();
            format!("{{{}}}", members.join(","))
        }
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(canonical).collect();
            format!("[{}]", items.join(","))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Strings as in RFC 8785 section 3.2.2.2: the short escapes, lowercase digits, nothing else escaped.
    #[test]
    fn keys_are_sorted_and_strings_have_one_spelling() {
        let text = "\u{20ac}$\u{f}\n\r\t\u{8}\u{c}A'B\"\\\\\"/\u{7f}\u{2028}";
        let value = json!({ "b": [true, null, -1], "a": { "z": "", "Z": text }, "": 0 });
        assert_eq!(
            canonical(&value),
            "{\"\":0,\"a\":{\"Z\":\"\u{20ac}$\\u000f\\n\\r\\t\\b\\fA'B\\\"\\\\\\\\\\\"/\u{7f}\u{2028}\",\"z\":\"\"},\"b\":[true,null,-1]}"
        );
    }
}
