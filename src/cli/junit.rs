//! Results of tests in the XML that JUnit has made common: what build servers read.

use std::{fmt::Write as _, time::Duration};

use quick_xml::escape::escape;

use crate::script::testing::{Case, Report};

/// Writes the whole document: a suite for each file.
pub(super) fn document(reports: &[Report]) -> String {
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let all = || reports.iter().flat_map(|report| &report.cases);
    let errors = reports.iter().filter(|report| report.broken.is_some()).count();
    let counts = counts(all(), errors);
    let _ = writeln!(out, "<testsuites name=\"puad test\" {counts}>");
    for report in reports {
        suite(&mut out, report);
    }
    out.push_str("</testsuites>\n");
    out
}

fn suite(out: &mut String, report: &Report) {
    let file = text(&report.path.display().to_string());
    let counts = counts(report.cases.iter(), usize::from(report.broken.is_some()));
    let _ = writeln!(out, "  <testsuite name=\"{file}\" {counts}>");
    if let Some(problem) = &report.broken {
        let (message, all) = (text(&problem.message), text(&problem.to_string()));
        let _ = writeln!(out, "    <testcase classname=\"{file}\" name=\"(load)\" time=\"0.000\">");
        let _ = writeln!(out, "      <error message=\"{message}\">{all}</error>");
        out.push_str("    </testcase>\n");
    }
    for case in &report.cases {
        let name = text(&case.name);
        let seconds = case.took.as_secs_f64();
        let _ =
            write!(out, "    <testcase classname=\"{file}\" name=\"{name}\" time=\"{seconds:.3}\"");
        let Err(problem) = &case.result else {
            out.push_str("/>\n");
            continue;
        };
        let (message, all) = (text(&problem.message), text(&problem.to_string()));
        let _ = writeln!(out, ">\n      <failure message=\"{message}\">{all}</failure>");
        let _ = writeln!(out, "      <system-out>{}</system-out>", text(&case.log));
        out.push_str("    </testcase>\n");
    }
    out.push_str("  </testsuite>\n");
}

/// The attributes that say how many there are, and how long they took.
fn counts<'a>(cases: impl Iterator<Item = &'a Case> + Clone, errors: usize) -> String {
    let tests = cases.clone().count() + errors;
    let failures = cases.clone().filter(|case| case.result.is_err()).count();
    let took: Duration = cases.map(|case| case.took).sum();
    let seconds = took.as_secs_f64();
    format!("tests=\"{tests}\" failures=\"{failures}\" errors=\"{errors}\" time=\"{seconds:.3}\"")
}

/// Escapes a text, and leaves out what XML cannot hold at all (XML 1.0 §2.2).
fn text(raw: &str) -> String {
    let is_char = |c: &char| matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
    escape(raw.chars().filter(is_char).collect::<String>()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::Problem;

    #[test]
    fn a_document_holds_suites_cases_and_what_went_wrong() {
        let problem = Problem {
            message: "x_test.lua:3: \"a\" is not <b>\u{1}".into(),
            trace: "x_test.lua:3".into(),
            killed: false,
            not_done: None,
        };
        let case = |name: &str, result| Case {
            name: name.into(),
            took: Duration::from_millis(12),
            result,
            log: "INFO running\n".into(),
        };
        let reports = [
            Report {
                path: "x_test.lua".into(),
                cases: vec![case("good", Ok(())), case("bad & wrong", Err(problem))],
                broken: None,
            },
            Report {
                path: "y_test.lua".into(),
                cases: Vec::new(),
                broken: Some(Problem::new("y_test.lua:1: no")),
            },
        ];
        let expected = r#"<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="puad test" tests="3" failures="1" errors="1" time="0.024">
  <testsuite name="x_test.lua" tests="2" failures="1" errors="0" time="0.024">
    <testcase classname="x_test.lua" name="good" time="0.012"/>
    <testcase classname="x_test.lua" name="bad &amp; wrong" time="0.012">
      <failure message="x_test.lua:3: &quot;a&quot; is not &lt;b&gt;">x_test.lua:3: &quot;a&quot; is not &lt;b&gt;\u{1}
    at x_test.lua:3</failure>
      <system-out>INFO running
</system-out>
    </testcase>
  </testsuite>
  <testsuite name="y_test.lua" tests="1" failures="0" errors="1" time="0.000">
    <testcase classname="y_test.lua" name="(load)" time="0.000">
      <error message="y_test.lua:1: no">y_test.lua:1: no</error>
    </testcase>
  </testsuite>
</testsuites>
"#;
        let document = document(&reports);
        assert_eq!(document, expected);
        roxmltree::Document::parse(&document).expect("well-formed");
    }
}
