//! Intrinsic function calls: parsing. What each function does is in `functions`.

use serde_json::Value;

use super::{
    eval::{Failure, RandomSource, Scope},
    functions::Function,
    path::Path,
};

/// The service's limit on calls within calls.
const MAX_DEPTH: usize = 10;

/// `States.Name(arguments)`.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    function: Function,
    arguments: Vec<Argument>,
}

#[derive(Clone, Debug)]
enum Argument {
    Literal(Value),
    Path(Path),
    Call(Call),
}

impl Call {
    /// `None` when `text` is not exactly one well-formed call of a known function.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut parser = Parser { rest: text };
        let call = parser.call(0)?;
        parser.rest.trim().is_empty().then_some(call)
    }

    pub(crate) fn eval(&self, scope: &Scope<'_>, random: &mut dyn RandomSource) -> Result<Value, Failure> {
        let mut arguments = Vec::with_capacity(self.arguments.len());
        for argument in &self.arguments {
            arguments.push(match argument {
                Argument::Literal(value) => value.clone(),
                Argument::Path(path) => path.find(scope).ok_or_else(|| path.not_found(None, scope))?.into_owned(),
                Argument::Call(call) => call.eval(scope, random)?,
            });
        }
        self.function.apply(arguments, random)
    }

    /// Shows every path in it, those of calls within it, too.
    pub(crate) fn paths<'c>(&'c self, show: &mut dyn FnMut(&'c Path)) {
        for argument in &self.arguments {
            match argument {
                Argument::Literal(_) => {}
                Argument::Path(path) => show(path),
                Argument::Call(call) => call.paths(show),
            }
        }
    }
}

struct Parser<'a> {
    rest: &'a str,
}

impl Parser<'_> {
    fn call(&mut self, depth: usize) -> Option<Call> {
        if depth >= MAX_DEPTH {
            return None;
        }
        self.skip_space();
        let (name, rest) = self.rest.split_once('(')?;
        let function = Function::by_name(name.trim_end())?;
        self.rest = rest;
        let mut arguments = Vec::new();
        self.skip_space();
        if !self.take(')') {
            loop {
                arguments.push(self.argument(depth)?);
                self.skip_space();
                if self.take(')') {
                    break;
                }
                if !self.take(',') {
                    return None;
                }
            }
        }
        for (index, argument) in arguments.iter_mut().enumerate() {
            // Only a format's template tells escaped braces from placeholders, when it is applied.
            if let Argument::Literal(Value::String(text)) = argument
                && !(function == Function::Format && index == 0)
            {
                *text = unescape(text);
            }
        }
        function.accepts(arguments.len()).then_some(Call { function, arguments })
    }

    fn argument(&mut self, depth: usize) -> Option<Argument> {
        self.skip_space();
        match self.rest.chars().next()? {
            '\'' => self.string().map(|text| Argument::Literal(Value::String(text))),
            '$' => {
                let end = self.path_end()?;
                let (path, rest) = self.rest.split_at(end);
                self.rest = rest;
                Path::parse(path.trim_end()).map(Argument::Path)
            }
            'S' => self.call(depth + 1).map(Argument::Call),
            _ => {
                let end = self.rest.find([',', ')'])?;
                let (literal, rest) = self.rest.split_at(end);
                self.rest = rest;
                let value: Value = serde_json::from_str(literal.trim()).ok()?;
                (!value.is_array() && !value.is_object() && !value.is_string()).then_some(Argument::Literal(value))
            }
        }
    }

    /// A path ends at the comma or parenthesis outside its own brackets and quotes.
    fn path_end(&self) -> Option<usize> {
        let (mut brackets, mut quote) = (0_usize, None);
        let mut escaped = false;
        for (at, c) in self.rest.char_indices() {
            match (quote, c) {
                _ if escaped => escaped = false,
                (Some(_), '\\') => escaped = true,
                (Some(open), _) if c == open => quote = None,
                (Some(_), _) => {}
                (None, '\'' | '"') => quote = Some(c),
                (None, '[' | '(') => brackets += 1,
                (None, ']') => brackets = brackets.checked_sub(1)?,
                (None, ')') if brackets > 0 => brackets -= 1,
                (None, ',' | ')') if brackets == 0 => return Some(at),
                _ => {}
            }
        }
        None
    }

    /// A quoted string, its escapes kept but for `\'`.
    fn string(&mut self) -> Option<String> {
        let mut text = String::new();
        let mut chars = self.rest.char_indices().skip(1);
        while let Some((at, c)) = chars.next() {
            match c {
                '\'' => {
                    self.rest = self.rest.get(at + 1..)?;
                    return Some(text);
                }
                '\\' => match chars.next()?.1 {
                    '\'' => text.push('\''),
                    other => text.extend(['\\', other]),
                },
                other => text.push(other),
            }
        }
        None
    }

    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn take(&mut self, wanted: char) -> bool {
        match self.rest.strip_prefix(wanted) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }
}

/// Resolves `\{`, `\}` and `\\`; any other backslash stands for itself.
fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, chars.peek()) {
            ('\\', Some(&escaped @ ('{' | '}' | '\\'))) => {
                plain.push(escaped);
                chars.next();
            }
            _ => plain.push(c),
        }
    }
    plain
}
