//! Cases in, JUnit XML out, as CI systems read it: a suite for each kind of check.

use std::fmt::Write as _;
use std::time::Duration;

use super::report::{Case, Check, Outcome};

/// The whole document.
pub(super) fn document(name: &str, cases: &[Case], took: Duration) -> String {
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    // writing to memory cannot fail
    let _ = suites(&mut out, name, cases, took);
    out
}

fn suites(out: &mut String, name: &str, cases: &[Case], took: Duration) -> std::fmt::Result {
    writeln!(out, "<testsuites name=\"{}\" {}>", escaped(name), counts(cases.iter(), took))?;
    for check in Check::ALL {
        let of = || cases.iter().filter(move |case| case.check == check);
        if of().next().is_none() {
            continue;
        }
        let took = of().map(|case| case.took).sum();
        writeln!(out, "  <testsuite name=\"{}\" {}>", check.as_str(), counts(of(), took))?;
        of().try_for_each(|case| test(out, name, case))?;
        out.push_str("  </testsuite>\n");
    }
    out.push_str("</testsuites>\n");
    Ok(())
}

fn test(out: &mut String, suite: &str, case: &Case) -> std::fmt::Result {
    let class = format!("{suite}.{}", case.check.as_str().replace(' ', "_"));
    write!(
        out,
        "    <testcase classname=\"{}\" name=\"{}\" time=\"{:.3}\"",
        escaped(&class),
        escaped(&case.name),
        case.took.as_secs_f64()
    )?;
    let (element, why) = match &case.outcome {
        Outcome::Passed => return writeln!(out, "/>"),
        Outcome::Failed(why) => ("failure", why),
        Outcome::Unproven(why) => ("error", why),
    };
    writeln!(
        out,
        ">\n      <{element} type=\"{}\" message=\"{}\">sent {}\ngot {}</{element}>\n    </testcase>",
        case.check.as_str(),
        escaped(why),
        escaped(&case.sent),
        escaped(&case.got)
    )
}

fn counts<'c>(cases: impl Iterator<Item = &'c Case>, took: Duration) -> String {
    let (mut tests, mut failures, mut errors) = (0, 0, 0);
    for case in cases {
        tests += 1;
        match case.outcome {
            Outcome::Passed => {}
            Outcome::Failed(_) => failures += 1,
            Outcome::Unproven(_) => errors += 1,
        }
    }
    format!(
        "tests=\"{tests}\" failures=\"{failures}\" errors=\"{errors}\" time=\"{:.3}\"",
        took.as_secs_f64()
    )
}

/// Text as it may stand in an attribute and in an element. What XML 1.0 cannot hold at all becomes a replacement mark.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            '\t' => out.push_str("&#9;"),
            '\n' => out.push_str("&#10;"),
            '\r' => out.push_str("&#13;"),
            '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_counts_its_cases_and_escapes_what_it_shows() {
        let cases = [
            Case::plain(Check::Roles, "GET /a?b&c".to_owned(), Outcome::Passed),
            Case::new(
                Check::Canary,
                "GET /<\"'>".to_owned(),
                Outcome::Failed("a\nb".to_owned()),
                "GET".to_owned(),
                "200 \u{1b}[31m]]>".to_owned(),
                Duration::from_millis(1_500),
            ),
            Case::plain(Check::Canary, "x".to_owned(), Outcome::Unproven("y".to_owned())),
        ];
        let expected = "\
<?xml version=\"1.0\" encoding=\"UTF-8\"?>
<testsuites name=\"notes\" tests=\"3\" failures=\"1\" errors=\"1\" time=\"2.000\">
  <testsuite name=\"canary\" tests=\"2\" failures=\"1\" errors=\"1\" time=\"1.500\">
    <testcase classname=\"notes.canary\" name=\"GET /&lt;&quot;&apos;&gt;\" time=\"1.500\">
      <failure type=\"canary\" message=\"a&#10;b\">sent GET
got 200 \u{fffd}[31m]]&gt;</failure>
    </testcase>
    <testcase classname=\"notes.canary\" name=\"x\" time=\"0.000\">
      <error type=\"canary\" message=\"y\">sent \ngot </error>
    </testcase>
  </testsuite>
  <testsuite name=\"roles\" tests=\"1\" failures=\"0\" errors=\"0\" time=\"0.000\">
    <testcase classname=\"notes.roles\" name=\"GET /a?b&amp;c\" time=\"0.000\"/>
  </testsuite>
</testsuites>
";
        assert_eq!(document("notes", &cases, Duration::from_secs(2)), expected);
    }
}
