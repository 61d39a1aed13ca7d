//! Units of instruments: from UCUM, as OpenTelemetry has them, to Grafana's. No cluster.

use crate::profile::Instrument;

/// How values are shown: Grafana's unit, and what stands at the axis where Grafana has no unit of that name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unit {
    /// Grafana's id of the unit.
    pub id: &'static str,
    /// The axis' label; often empty.
    pub axis: String,
}

/// The unit of the instrument's own values.
pub(super) fn of(instrument: &Instrument) -> Unit {
    let ucum = instrument.unit.as_deref().unwrap_or_default();
    let id = match ucum {
        "ns" => "ns",
        "us" => "µs",
        "ms" => "ms",
        "s" => "s",
        "min" => "m",
        "h" => "h",
        "d" => "d",
        "By" => "bytes",
        "kBy" => "deckbytes",
        "MBy" => "decmbytes",
        "GBy" => "decgbytes",
        "KiBy" => "kbytes",
        "MiBy" => "mbytes",
        "GiBy" => "gbytes",
        "bit" => "decbits",
        "By/s" => "binBps",
        "bit/s" => "bps",
        "Hz" => "hertz",
        "Cel" => "celsius",
        "K" => "kelvin",
        "V" => "volt",
        "A" => "amp",
        "W" => "watt",
        "J" => "joule",
        "m" => "lengthm",
        "g" => "massg",
        "%" => "percent",
        // OpenTelemetry's names in Prometheus end so for shares; other values without a dimension are counts.
        "1" if instrument.name.ends_with("_ratio") => "percentunit",
        "" | "1" => "short",
        _ => {
            return Unit { id: "short", axis: annotation(ucum) };
        }
    };
    Unit { id, axis: String::new() }
}

/// The unit of the instrument's growth per second.
pub(super) fn rate_of(instrument: &Instrument) -> Unit {
    let ucum = instrument.unit.as_deref().unwrap_or_default();
    let id = match ucum {
        "By" => "binBps",
        "KiBy" => "KiBs",
        "MiBy" => "MiBs",
        "GiBy" => "GiBs",
        "kBy" => "KBs",
        "MBy" => "MBs",
        "GBy" => "GBs",
        "bit" => "bps",
        "{request}" => "reqps",
        "{operation}" => "ops",
        "" | "1" => "cps",
        _ => {
            return Unit { id: "short", axis: format!("{}/s", annotation(ucum)) };
        }
    };
    Unit { id, axis: String::new() }
}

/// `{request}` as `request`: UCUM's braces only mark what it does not define.
fn annotation(ucum: &str) -> String {
    ucum.replace(['{', '}'], "")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::InstrumentType;

    fn instrument(name: &str, unit: Option<&str>) -> Instrument {
        Instrument {
            name: name.to_owned(),
            kind: InstrumentType::Gauge,
            unit: unit.map(str::to_owned),
            description: None,
        }
    }

    #[test]
    fn units_of_values() {
        let cases = [
            ("x", Some("s"), "s", ""),
            ("x", Some("ms"), "ms", ""),
            ("x", Some("min"), "m", ""),
            ("x", Some("m"), "lengthm", ""),
            ("x", Some("By"), "bytes", ""),
            ("x", Some("%"), "percent", ""),
            ("x", Some("1"), "short", ""),
            ("hit_ratio", Some("1"), "percentunit", ""),
            ("x", Some("{movie}"), "short", "movie"),
            ("x", Some("{movie}/{list}"), "short", "movie/list"),
            ("x", Some("kg.m"), "short", "kg.m"),
            ("x", None, "short", ""),
        ];
        for (name, ucum, id, axis) in cases {
            let unit = of(&instrument(name, ucum));
            assert_eq!((unit.id, unit.axis.as_str()), (id, axis), "{name} {ucum:?}");
        }
    }

    #[test]
    fn units_of_rates() {
        let cases = [
            (Some("By"), "binBps", ""),
            (Some("{request}"), "reqps", ""),
            (Some("{movie}"), "short", "movie/s"),
            (Some("s"), "short", "s/s"),
            (Some("1"), "cps", ""),
            (None, "cps", ""),
        ];
        for (ucum, id, axis) in cases {
            let unit = rate_of(&instrument("x_total", ucum));
            assert_eq!((unit.id, unit.axis.as_str()), (id, axis), "{ucum:?}");
        }
    }
}
