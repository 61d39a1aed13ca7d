//! A Prometheus query of OpenSLO → the selector in it. In: text. Out: a selector and the labels by which it is split, or why it
//! is not one. No cluster.
//!
//! Taken is one selector, and around it the sum of its rate or increase: the rules sum up and take differences by themselves, so
//! that all of these mean the same counter.

use promql_parser::parser::token::T_SUM;
use promql_parser::parser::{self, Expr, LabelModifier};

use crate::promql::Selector;

/// What others write for the window that they put in.
const WINDOWS: [&str; 3] = ["[{{.window}}]", "[{{ .window }}]", "[$__rate_interval]"];

/// A query that is a counter.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Query {
    pub selector: Selector,
    /// Labels by which it is split, in order.
    pub group_by: Vec<String>,
    /// True when it takes the growth of the counter itself.
    pub is_growth: bool,
}

/// Reads a query.
pub(super) fn read(text: &str) -> Result<Query, String> {
    let text = WINDOWS.iter().fold(text.to_owned(), |text, window| text.replace(window, "[5m]"));
    let expression = parser::parse(&text).map_err(|error| format!("not PromQL: {error}"))?;
    unwrap(expression)
}

fn unwrap(expression: Expr) -> Result<Query, String> {
    match expression {
        Expr::Paren(paren) => unwrap(*paren.expr),
        Expr::Aggregate(sum) if sum.op.id() == T_SUM => {
            let group_by = match sum.modifier {
                None => Vec::new(),
                Some(LabelModifier::Include(labels)) => labels.labels,
                Some(LabelModifier::Exclude(_)) => {
                    return Err("without (...) names no labels to split by".to_owned());
                }
            };
            let inner = unwrap(*sum.expr)?;
            if inner.group_by.is_empty() {
                Ok(Query { group_by, ..inner })
            } else {
                Err("it sums up a sum".to_owned())
            }
        }
        Expr::Call(mut call) if ["rate", "increase"].contains(&call.func.name) => {
            match call.args.args.pop() {
                Some(argument) => match *argument {
                    Expr::MatrixSelector(matrix) => {
                        Ok(Query { is_growth: true, ..unwrap(Expr::VectorSelector(matrix.vs))? })
                    }
                    _ => Err(format!("{} of something else than a selector", call.func.name)),
                },
                None => Err(format!("{} of nothing", call.func.name)),
            }
        }
        Expr::VectorSelector(vector) => {
            let text = vector.to_string();
            let selector = Selector::of(vector, &text).map_err(|error| error.to_string())?;
            Ok(Query { selector, group_by: Vec::new(), is_growth: false })
        }
        _ => Err("it is not one selector, or the sum of the rate or increase of one".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_and_rates_are_taken_off() {
        for (text, selector, group_by, is_growth) in [
            ("calls_total", "calls_total", &[][..], false),
            ("sum(calls_total{code=~\"5..\"})", "calls_total{code=~\"5..\"}", &[], false),
            ("sum(rate(calls_total{a=\"b\"}[{{.window}}]))", "calls_total{a=\"b\"}", &[], true),
            ("(sum by (route, job) (increase(calls_total[1h])))", "calls_total", &["route", "job"], true),
            ("rate(calls_total[5m])", "calls_total", &[], true),
        ] {
            let query = read(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(
                (query.selector.to_string().as_str(), query.is_growth),
                (selector, is_growth),
                "{text}"
            );
            assert_eq!(query.group_by, group_by, "{text}");
        }
    }

    #[test]
    fn other_queries_are_no_counter() {
        for text in [
            "sum(a) / sum(b)",
            "a - b",
            "avg(a)",
            "sum without (a) (b)",
            "sum(sum by (a) (b))",
            "irate(a[5m])",
            "rate(a[5m] offset 1h)",
            "rate(sum(a)[5m:])",
            "a[5m]",
            "a{namespace=\"x\"}",
            "histogram_quantile(0.9, a)",
            "{job=\"x\"}",
            "a{",
            "1",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
