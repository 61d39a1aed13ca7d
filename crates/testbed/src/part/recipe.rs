//! The ways in which a part comes into being: types only. What is pinned where, and which files are put in its place. Does not talk
//! to the cluster.

/// A Go module of our own that pins one part, or several which agree on their dependencies.
#[derive(Debug)]
pub(crate) struct Module {
    pub go_mod: &'static str,
    pub go_sum: &'static str,
    /// More files that `go.mod` refers to, by path.
    pub beside: &'static [(&'static str, &'static str)],
    pub changed: Option<Changed>,
}

/// A file that is other than in the module from which it comes, for a build that takes less time.
#[derive(Debug)]
pub(crate) struct Changed {
    pub module: &'static str,
    pub file: &'static str,
    pub text: &'static str,
}

/// How a part comes into being. Its `Debug` output goes into the key of what was built, so every input belongs in here.
#[derive(Debug)]
pub(crate) enum Recipe {
    /// A program that `go build` makes.
    Program { module: &'static Module, source: Source, tags: &'static str, ldflags: &'static str },
    /// The YAML files of a directory in a module that our module requires.
    Files { module: &'static Module, of: &'static str, directory: &'static str },
    /// Debian packages with what they need, unpacked into one tree: with what this machine lacks, or `whole`, with everything.
    Debian { packages: &'static [&'static str], whole: bool },
    /// The npm packages that these files, by name, ask for, and the files.
    Node { files: &'static [(&'static str, &'static str)] },
}

/// Where the main package of a program comes from.
#[derive(Debug)]
pub(crate) enum Source {
    /// A command that the module requires.
    Command(&'static str),
    /// The text of a `main.go` of our own.
    Own(&'static str),
    /// What `generator`, a command that the module requires, writes for `manifest`.
    Generated { generator: &'static str, manifest: &'static str },
}
