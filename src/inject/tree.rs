//! JSON that depends on a profile and a pod, written down once and read twice: evaluated here, and printed as the CEL
//! expression that the API server evaluates. In: trees. Out: JSON or CEL. No cluster.

use serde_json::{Map, Value};

use super::facts::{Fact, Scene, Text, quoted};

/// When a part is there: all of these facts are so. Always, when there is none.
pub type When = &'static [(Fact, bool)];

/// Where a part is always there.
pub const ALWAYS: When = &[];

/// A piece of JSON.
#[derive(Clone, Debug)]
pub enum Tree {
    /// The same for every profile and pod: a text, a number or a truth value.
    Constant(Value),
    /// A text of pieces, each of which may be absent.
    Text(Vec<(When, Piece)>),
    /// An object. All keys are there: CEL cannot leave one out.
    Map(Vec<(&'static str, Tree)>),
    /// A list of which items may be absent.
    List(Vec<(When, Tree)>),
    /// One of two.
    Either(Fact, Box<Tree>, Box<Tree>),
}

/// A piece of a text.
#[derive(Clone, Copy, Debug)]
pub enum Piece {
    /// The same for every profile and pod.
    Constant(&'static str),
    /// What a profile or a pod says.
    Fact(Text),
}

impl Tree {
    /// A constant.
    pub fn constant(value: impl Into<Value>) -> Self {
        Self::Constant(value.into())
    }

    /// A text that is one fact.
    #[must_use]
    pub fn fact(text: Text) -> Self {
        Self::Text(vec![(ALWAYS, Piece::Fact(text))])
    }

    /// The JSON for this profile and pod.
    #[must_use]
    pub fn value(&self, scene: &Scene<'_>) -> Value {
        match self {
            Self::Constant(value) => value.clone(),
            Self::Text(pieces) => {
                let present = pieces.iter().filter(|(when, _)| holds(when, scene));
                Value::String(present.map(|(_, piece)| piece.value(scene)).collect())
            }
            Self::Map(fields) => {
                let fields = fields.iter().map(|(key, tree)| ((*key).to_owned(), tree.value(scene)));
                Value::Object(fields.collect::<Map<_, _>>())
            }
            Self::List(items) => {
                let present = items.iter().filter(|(when, _)| holds(when, scene));
                Value::Array(present.map(|(_, tree)| tree.value(scene)).collect())
            }
            Self::Either(fact, yes, no) => if fact.holds(scene) { yes } else { no }.value(scene),
        }
    }

    /// The CEL expression whose value is that JSON.
    #[must_use]
    pub fn cel(&self) -> String {
        match self {
            Self::Constant(value) => constant(value),
            Self::Text(pieces) => {
                let pieces = pieces.iter().map(|(when, piece)| optional(when, &piece.cel(), "''"));
                pieces.collect::<Vec<_>>().join(" + ")
            }
            // The values of a map must be of one type.
            Self::Map(fields) => {
                let fields = fields.iter().map(|(key, tree)| format!("'{key}': dyn({})", tree.cel()));
                format!("{{{}}}", fields.collect::<Vec<_>>().join(", "))
            }
            Self::List(items) => list(items),
            Self::Either(fact, yes, no) => format!("({} ? {} : {})", fact.cel(), yes.cel(), no.cel()),
        }
    }
}

impl Piece {
    fn value(self, scene: &Scene<'_>) -> String {
        match self {
            Self::Constant(text) => text.to_owned(),
            Self::Fact(text) => text.read(scene),
        }
    }

    fn cel(self) -> String {
        match self {
            Self::Constant(text) => quoted(text),
            Self::Fact(text) => text.cel(),
        }
    }
}

/// Items that are always there stand in one list; each of the others is added if it is there.
fn list(items: &[(When, Tree)]) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut fixed: Vec<String> = Vec::new();
    for (when, tree) in items {
        if when.is_empty() {
            fixed.push(tree.cel());
            continue;
        }
        if !fixed.is_empty() {
            parts.push(format!("[{}]", std::mem::take(&mut fixed).join(", ")));
        }
        parts.push(optional(when, &format!("[{}]", tree.cel()), "[]"));
    }
    if !fixed.is_empty() || parts.is_empty() {
        parts.push(format!("[{}]", fixed.join(", ")));
    }
    parts.join(" + ")
}

fn holds(when: When, scene: &Scene<'_>) -> bool {
    when.iter().all(|(fact, wanted)| fact.holds(scene) == *wanted)
}

fn optional(when: When, yes: &str, no: &str) -> String {
    if when.is_empty() {
        return yes.to_owned();
    }
    let facts =
        when.iter().map(|(fact, wanted)| format!("{}({})", if *wanted { "" } else { "!" }, fact.cel()));
    format!("({} ? {yes} : {no})", facts.collect::<Vec<_>>().join(" && "))
}

fn constant(value: &Value) -> String {
    match value {
        Value::String(text) => quoted(text),
        other => other.to_string(),
    }
}
