//! What the intrinsic functions do.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use serde_json::Value;
use sha1::Digest as _;

use super::eval::{Failure, RandomSource};

const MAX_RANGE: usize = 1000;
const MAX_HASH_INPUT: usize = 10_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Function {
    Array,
    ArrayContains,
    ArrayGetItem,
    ArrayLength,
    ArrayPartition,
    ArrayRange,
    ArrayUnique,
    Base64Decode,
    Base64Encode,
    Format,
    Hash,
    JsonMerge,
    JsonToString,
    MathAdd,
    MathRandom,
    StringSplit,
    StringToJson,
    Uuid,
}

impl Function {
    pub(crate) fn by_name(name: &str) -> Option<Self> {
        Some(match name.strip_prefix("States.")? {
            "Array" => Self::Array,
            "ArrayContains" => Self::ArrayContains,
            "ArrayGetItem" => Self::ArrayGetItem,
            "ArrayLength" => Self::ArrayLength,
            "ArrayPartition" => Self::ArrayPartition,
            "ArrayRange" => Self::ArrayRange,
            "ArrayUnique" => Self::ArrayUnique,
            "Base64Decode" => Self::Base64Decode,
            "Base64Encode" => Self::Base64Encode,
            "Format" => Self::Format,
            "Hash" => Self::Hash,
            "JsonMerge" => Self::JsonMerge,
            "JsonToString" => Self::JsonToString,
            "MathAdd" => Self::MathAdd,
            "MathRandom" => Self::MathRandom,
            "StringSplit" => Self::StringSplit,
            "StringToJson" => Self::StringToJson,
            "UUID" => Self::Uuid,
            _ => return None,
        })
    }

    /// Whether the function takes this many arguments.
    pub(crate) fn accepts(self, count: usize) -> bool {
        match self {
            Self::Array => true,
            Self::Format => count >= 1,
            Self::Uuid => count == 0,
            Self::MathRandom => count == 2 || count == 3,
            Self::ArrayRange | Self::JsonMerge => count == 3,
            Self::ArrayContains
            | Self::ArrayGetItem
            | Self::ArrayPartition
            | Self::Hash
            | Self::MathAdd
            | Self::StringSplit => count == 2,
            Self::ArrayLength
            | Self::ArrayUnique
            | Self::Base64Decode
            | Self::Base64Encode
            | Self::JsonToString
            | Self::StringToJson => count == 1,
        }
    }

    pub(crate) fn apply(self, arguments: Vec<Value>, random: &mut dyn RandomSource) -> Result<Value, Failure> {
        let args = Arguments { function: self, values: &arguments };
        Ok(match self {
            Self::Array => Value::Array(arguments),
            Self::ArrayContains => Value::Bool(args.array(0)?.contains(args.at(1))),
            Self::ArrayGetItem => {
                let (items, index) = (args.array(0)?, args.integer(1)?);
                let item = usize::try_from(index).ok().and_then(|index| items.get(index));
                item.cloned().ok_or_else(|| args.fail(&format!("index {index} is outside the array")))?
            }
            Self::ArrayLength => args.array(0)?.len().into(),
            Self::ArrayPartition => {
                let size = usize::try_from(args.integer(1)?).unwrap_or(0);
                if size == 0 {
                    return Err(args.fail("the chunk size must be a positive integer"));
                }
                Value::Array(args.array(0)?.chunks(size).map(|chunk| Value::Array(chunk.to_vec())).collect())
            }
            Self::ArrayRange => range(&args)?,
            Self::ArrayUnique => {
                let mut unique: Vec<Value> = Vec::new();
                for item in args.array(0)? {
                    if !unique.contains(item) {
                        unique.push(item.clone());
                    }
                }
                Value::Array(unique)
            }
            Self::Base64Encode => Value::String(BASE64.encode(args.short_string(0)?)),
            Self::Base64Decode => {
                let bytes = BASE64.decode(args.short_string(0)?).ok();
                let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
                Value::String(text.ok_or_else(|| args.fail("the data is not the Base64 form of UTF-8 text"))?)
            }
            Self::Format => Value::String(format(&args)?),
            Self::Hash => Value::String(hash(&args)?),
            Self::JsonMerge => merge(&args)?,
            Self::JsonToString => Value::String(args.at(0).to_string()),
            Self::MathAdd => {
                let (left, right) = (i32::try_from(args.integer(0)?), i32::try_from(args.integer(1)?));
                let (Ok(left), Ok(right)) = (left, right) else {
                    return Err(args.fail("the arguments must be from -2147483648 to 2147483647"));
                };
                (i64::from(left) + i64::from(right)).into()
            }
            Self::MathRandom => {
                let (low, high) = (args.integer(0)?, args.integer(1)?);
                let span = u64::try_from(i128::from(high) - i128::from(low)).unwrap_or(0);
                if span == 0 {
                    return Err(args.fail("the end must be greater than the start"));
                }
                let word = if arguments.len() == 3 { mix(args.integer(2)?.cast_unsigned()) } else { random.next_u64() };
                low.wrapping_add_unsigned(word % span).into()
            }
            Self::StringSplit => {
                let (text, separators) = (args.string(0)?, args.string(1)?);
                let parts = text.split(|c| separators.contains(c)).filter(|part| !part.is_empty());
                Value::Array(parts.map(|part| Value::String(part.to_owned())).collect())
            }
            Self::StringToJson => {
                serde_json::from_str(args.string(0)?).map_err(|_| args.fail("the string is not JSON"))?
            }
            Self::Uuid => {
                let (high, low) = (random.next_u64(), random.next_u64());
                Value::String(
                    uuid::Builder::from_random_bytes(((u128::from(high) << 64) | u128::from(low)).to_be_bytes())
                        .into_uuid()
                        .to_string(),
                )
            }
        })
    }
}

struct Arguments<'a> {
    function: Function,
    values: &'a [Value],
}

impl<'a> Arguments<'a> {
    fn at(&self, index: usize) -> &'a Value {
        self.values.get(index).unwrap_or(&Value::Null)
    }

    fn fail(&self, why: &str) -> Failure {
        let name = if self.function == Function::Uuid { "UUID".to_owned() } else { format!("{:?}", self.function) };
        Failure::named("States.IntrinsicFailure", format!("States.{name}: {why}"))
    }

    fn array(&self, index: usize) -> Result<&'a Vec<Value>, Failure> {
        self.at(index).as_array().ok_or_else(|| self.fail(&format!("argument {} must be an array", index + 1)))
    }

    fn string(&self, index: usize) -> Result<&'a str, Failure> {
        self.at(index).as_str().ok_or_else(|| self.fail(&format!("argument {} must be a string", index + 1)))
    }

    fn short_string(&self, index: usize) -> Result<&'a str, Failure> {
        let text = self.string(index)?;
        if text.len() > MAX_HASH_INPUT {
            return Err(self.fail(&format!("the string must not be longer than {MAX_HASH_INPUT} characters")));
        }
        Ok(text)
    }

    /// An integer, or what is nearest to a number that is none; halves go up.
    fn integer(&self, index: usize) -> Result<i64, Failure> {
        const LARGEST: f64 = 9_007_199_254_740_992.0;
        let value = self.at(index);
        let rounded = || {
            let nearest = (value.as_f64()? + 0.5).floor();
            #[allow(clippy::cast_possible_truncation)]
            (nearest.abs() <= LARGEST).then_some(nearest as i64)
        };
        let integer = value.as_i64().or_else(rounded);
        integer.ok_or_else(|| self.fail(&format!("argument {} must be an integer", index + 1)))
    }
}

fn range(args: &Arguments<'_>) -> Result<Value, Failure> {
    let (first, last, step) = (args.integer(0)?, args.integer(1)?, args.integer(2)?);
    if step == 0 {
        return Err(args.fail("the step must not be zero"));
    }
    let mut items = Vec::new();
    let mut next = Some(first);
    while let Some(item) = next.filter(|&item| if step > 0 { item <= last } else { item >= last }) {
        if items.len() == MAX_RANGE {
            return Err(args.fail(&format!("the range has more than {MAX_RANGE} items")));
        }
        items.push(Value::from(item));
        next = item.checked_add(step);
    }
    Ok(Value::Array(items))
}

fn format(args: &Arguments<'_>) -> Result<String, Failure> {
    let mut text = String::new();
    let mut values = args.values.iter().skip(1);
    let mut chars = args.string(0)?.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(escaped @ ('{' | '}' | '\\')) => text.push(escaped),
                Some(other) => text.extend(['\\', other]),
                None => text.push('\\'),
            },
            '{' => {
                if chars.next() != Some('}') {
                    return Err(args.fail("an opening brace must be escaped or closed at once"));
                }
                match values.next() {
                    Some(value) => text.push_str(&shown(value)),
                    None => return Err(args.fail("there are more placeholders than arguments")),
                }
            }
            '}' => return Err(args.fail("a closing brace must be escaped")),
            other => text.push(other),
        }
    }
    if values.next().is_some() {
        return Err(args.fail("there are fewer placeholders than arguments"));
    }
    Ok(text)
}

/// How `States.Format` shows a value: strings bare, and objects as the service was recorded to, `{key=value, …}`.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Object(map) => {
            let fields: Vec<String> = map.iter().map(|(key, value)| format!("{key}={}", shown(value))).collect();
            format!("{{{}}}", fields.join(", "))
        }
        other => other.to_string(),
    }
}

fn hash(args: &Arguments<'_>) -> Result<String, Failure> {
    let data = match args.at(0) {
        Value::String(_) => args.short_string(0)?.to_owned(),
        other => other.to_string(),
    };
    Ok(match args.string(1)? {
        "MD5" => hex(&md5::Md5::digest(data)),
        "SHA-1" => hex(&sha1::Sha1::digest(data)),
        "SHA-256" => hex(&sha2::Sha256::digest(data)),
        "SHA-384" => hex(&sha2::Sha384::digest(data)),
        "SHA-512" => hex(&sha2::Sha512::digest(data)),
        _ => return Err(args.fail("the algorithm must be one of MD5, SHA-1, SHA-256, SHA-384, SHA-512")),
    })
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn merge(args: &Arguments<'_>) -> Result<Value, Failure> {
    if args.at(2) != &Value::Bool(false) {
        return Err(args.fail("only shallow merging is supported: the third argument must be false"));
    }
    let (Value::Object(left), Value::Object(right)) = (args.at(0), args.at(1)) else {
        return Err(args.fail("the first two arguments must be objects"));
    };
    let mut merged = left.clone();
    merged.extend(right.iter().map(|(key, value)| (key.clone(), value.clone())));
    Ok(Value::Object(merged))
}

/// One round of a mixing function: a seed always gives the same word.
pub(super) fn mix(seed: u64) -> u64 {
    let word = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    word ^ (word >> 31)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::asl::{eval::Scope, intrinsic::Call, variables::Variables};

    struct Counter(u64);

    impl RandomSource for Counter {
        fn next_u64(&mut self) -> u64 {
            self.0 += 1;
            self.0
        }
    }

    fn eval(text: &str) -> Result<String, Failure> {
        let input = json!({"name": "Ann", "list": [1, 2, 3, 3, 1], "obj": {"a": 1}, "two words": {"x": "y"}});
        let input: Value = serde_json::from_str(&input.to_string().replace("\"a\":1", "\"a\":1200.50")).unwrap();
        let scope = Scope {
            input: &input,
            context: &Value::Null,
            variables: &Variables::default(),
            result: None,
            error: None,
            now: jiff::Timestamp::UNIX_EPOCH,
        };
        let call = Call::parse(text).unwrap_or_else(|| panic!("{text} does not parse"));
        call.eval(&scope, &mut Counter(0)).map(|value| value.to_string())
    }

    #[test]
    fn functions_do_what_the_guide_says() {
        for (call, result) in [
            ("States.Array('a', 1, true, null, $.name)", r#"["a",1,true,null,"Ann"]"#),
            ("States.Array()", "[]"),
            ("States.Format('{}', $.obj)", r#""{a=1200.50}""#),
            ("States.ArrayContains($.list, 3)", "true"),
            ("States.ArrayContains($.list, 9)", "false"),
            ("States.ArrayGetItem($.list, 1)", "2"),
            ("States.ArrayLength($.list)", "5"),
            ("States.ArrayPartition($.list, 2)", "[[1,2],[3,3],[1]]"),
            ("States.ArrayRange(1, 9, 4)", "[1,5,9]"),
            ("States.ArrayRange(3, 1, -1)", "[3,2,1]"),
            ("States.ArrayUnique($.list)", "[1,2,3]"),
            ("States.Base64Encode('Data to encode')", r#""RGF0YSB0byBlbmNvZGU=""#),
            ("States.Base64Decode('RGF0YSB0byBlbmNvZGU=')", r#""Data to encode""#),
            ("States.Format('Hi {}, {} \\{\\} it\\'s {}', $.name, $.obj.a, true)", r#""Hi Ann, 1200.50 {} it's true""#),
            ("States.Hash('input data', 'SHA-1')", r#""aaff4a450a104cd177d28d18d74485e8cae074b7""#),
            ("States.Hash('', 'MD5')", r#""d41d8cd98f00b204e9800998ecf8427e""#),
            ("States.JsonMerge($.obj, $['two words'], false)", r#"{"a":1200.50,"x":"y"}"#),
            ("States.JsonToString($.obj)", r#""{\"a\":1200.50}""#),
            ("States.MathAdd(111, -1)", "110"),
            ("States.MathAdd(1.5, -0.5)", "2"),
            ("States.StringSplit('This.is+a,test', '.+,')", r#"["This","is","a","test"]"#),
            ("States.StringToJson('{\"a\":1.10}')", r#"{"a":1.10}"#),
            ("States.UUID()", r#""00000000-0000-4001-8000-000000000002""#),
            ("States.MathRandom(1, 10)", "2"),
            ("States.Format('{}', States.ArrayLength(States.Array(1, 2)))", r#""2""#),
        ] {
            assert_eq!(eval(call).unwrap(), result, "{call}");
        }
        assert_eq!(eval("States.MathRandom(1, 1000, 7)"), eval("States.MathRandom(1, 1000, 7)"));
    }

    #[test]
    fn wrong_arguments_are_intrinsic_failures() {
        for call in [
            "States.ArrayGetItem($.list, 5)",
            "States.ArrayPartition($.list, 0)",
            "States.ArrayRange(1, 5, 0)",
            "States.ArrayRange(1, 5000, 1)",
            "States.Base64Decode('###')",
            "States.Format('{} {}', 1)",
            "States.Format('{}', 1, 2)",
            "States.Hash('x', 'CRC32')",
            "States.JsonMerge($.obj, $.obj, true)",
            "States.MathAdd('1', 2)",
            "States.MathAdd(2147483648, 0)",
            "States.MathRandom(5, 5)",
            "States.StringToJson('{')",
        ] {
            assert_eq!(eval(call).unwrap_err().error.as_deref(), Some("States.IntrinsicFailure"), "{call}");
        }
    }

    #[test]
    fn malformed_calls_do_not_parse() {
        for call in [
            "States.Nothing()",
            "States.Array(",
            "States.Array(1) x",
            "States.UUID(1)",
            "States.Format()",
            "States.Array('a)",
            "States.Array([1])",
            "States.Array(1,)",
            "Array(1)",
        ] {
            assert!(Call::parse(call).is_none(), "{call}");
        }
        let deep = format!("{}1{}", "States.Array(".repeat(12), ")".repeat(12));
        assert!(Call::parse(&deep).is_none());
    }
}
