//! A service's name → names that Kubernetes takes. Pure.

/// Lower-case letters, digits and single dashes between them, at most `longest`.
pub(super) fn dns_label(text: &str, longest: usize) -> String {
    let mut label = String::new();
    for c in text.chars().map(|c| c.to_ascii_lowercase()) {
        if c.is_ascii_alphanumeric() {
            label.push(c);
        } else if !label.is_empty() && !label.ends_with('-') {
            label.push('-');
        }
    }
    label.truncate(longest);
    label.truncate(label.trim_end_matches('-').len());
    label
}

/// The name of the profile: names of Services are made from it, so it begins with a letter and is not long.
pub(super) fn profile_name(service: &str) -> String {
    const LONGEST: usize = 45;
    let label = dns_label(service, LONGEST);
    if label.starts_with(|c: char| c.is_ascii_lowercase()) {
        return label;
    }
    dns_label(&format!("app-{label}"), LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_kept_as_far_as_kubernetes_takes_it() {
        for (service, name) in [
            ("export-trakt-4-letterboxd", "export-trakt-4-letterboxd"),
            ("Export Trakt", "export-trakt"),
            ("shop/cart_v2.api", "shop-cart-v2-api"),
            ("--a--b--", "a-b"),
            ("4letterboxd", "app-4letterboxd"),
            ("café", "caf"),
            ("日本", "app"),
            ("a\nb", "a-b"),
            (&"x".repeat(63), &"x".repeat(45)),
            (&format!("{}-y", "x".repeat(44)), &"x".repeat(44)),
            (&"9".repeat(63), &format!("app-{}", "9".repeat(41))),
        ] {
            assert_eq!(profile_name(service), name, "{service}");
        }
    }
}
