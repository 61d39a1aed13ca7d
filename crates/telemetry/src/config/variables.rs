//! The environment as the rest of `config` reads it. In: a look-up. Out: values, and what is to be said about those that cannot
//! be used. Pure.

/// The variables, and what is to be said about them.
pub(super) struct Variables<'l> {
    lookup: &'l dyn Fn(&str) -> Option<String>,
    pub(super) notices: Vec<String>,
}

impl<'l> Variables<'l> {
    pub(super) fn new(lookup: &'l dyn Fn(&str) -> Option<String>) -> Self {
        Self { lookup, notices: Vec::new() }
    }

    /// The value without the blanks around it. An empty variable counts as none.
    pub(super) fn get(&self, name: &str) -> Option<String> {
        (self.lookup)(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    /// The value of a variable that takes one of some words, in lower case.
    pub(super) fn word(&self, name: &str) -> Option<String> {
        self.get(name).map(|value| value.to_ascii_lowercase())
    }

    /// Says once that a variable is left out, why, and what is done instead.
    pub(super) fn left_out(&mut self, name: &str, value: &str, reason: &str, instead: &str) {
        let value: String = value.escape_debug().take(200).collect();
        self.notices.push(format!("{name}={value} is left out: {reason}; {instead}"));
    }
}
