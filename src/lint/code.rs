//! Codes of the checks that need no validated profile. In: nothing. Out: [`Code`]. No cluster.

/// What a finding is about; docs/validation.md has an entry for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// The text is neither YAML nor JSON.
    Syntax,
    /// A key stands twice in one map.
    DuplicateKey,
    /// The file has no profile.
    NoProfile,
    /// `apiVersion` is missing or another.
    ApiVersion,
    /// `kind` is missing or misspelt.
    Kind,
    /// Two profiles of one name in one namespace.
    DuplicateProfile,
    /// A field that does not exist.
    UnknownField,
    /// A value of another type.
    WrongType,
    /// A required field is missing.
    Missing,
    /// A word that is not in the list of allowed ones.
    NotAllowed,
    /// Text of another form.
    Pattern,
    /// A number out of bounds.
    Range,
    /// Text that is too short or too long.
    Length,
    /// A list or map with too few or too many entries.
    Count,
    /// Two entries of a list with the same key.
    DuplicateEntry,
    /// The schema allows what the operator's types cannot hold.
    Unreadable,
    /// A rule of the schema does not hold.
    Rule,
    /// A rule of the schema cannot be evaluated offline.
    RuleNotEvaluated,
    /// The collector image lacks a component.
    ComponentMissing,
    /// A generated object would be too large.
    ChildTooLarge,
    /// An object cannot be generated.
    PlanFailed,
}

impl Code {
    /// Every code.
    pub const ALL: [Self; 21] = [
        Self::Syntax,
        Self::DuplicateKey,
        Self::NoProfile,
        Self::ApiVersion,
        Self::Kind,
        Self::DuplicateProfile,
        Self::UnknownField,
        Self::WrongType,
        Self::Missing,
        Self::NotAllowed,
        Self::Pattern,
        Self::Range,
        Self::Length,
        Self::Count,
        Self::DuplicateEntry,
        Self::Unreadable,
        Self::Rule,
        Self::RuleNotEvaluated,
        Self::ComponentMissing,
        Self::ChildTooLarge,
        Self::PlanFailed,
    ];

    /// The code as messages and documents write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Syntax => "TP0001",
            Self::DuplicateKey => "TP0002",
            Self::NoProfile => "TP0003",
            Self::ApiVersion => "TP0004",
            Self::Kind => "TP0005",
            Self::DuplicateProfile => "TP0006",
            Self::UnknownField => "TP0101",
            Self::WrongType => "TP0102",
            Self::Missing => "TP0103",
            Self::NotAllowed => "TP0104",
            Self::Pattern => "TP0105",
            Self::Range => "TP0106",
            Self::Length => "TP0107",
            Self::Count => "TP0108",
            Self::DuplicateEntry => "TP0109",
            Self::Unreadable => "TP0110",
            Self::Rule => "TP0201",
            Self::RuleNotEvaluated => "TP0202",
            Self::ComponentMissing => "TP0401",
            Self::ChildTooLarge => "TP0402",
            Self::PlanFailed => "TP0403",
        }
    }
}
