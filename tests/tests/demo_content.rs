//! The demo documents and the structured course list tell the same figures.

use std::fs;
use std::path::{Path, PathBuf};

/// One `[[course]]` of the tenant's file.
struct Course {
    name_en: String,
    name_vi: String,
    fee: u64,
    sessions: u64,
    hours: u64,
    weeks: u64,
    class_size: u64,
}

fn demo() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../rag-tower-owner/demo")
}

fn read(path: &str) -> String {
    fs::read_to_string(demo().join(path)).expect("a demo file")
}

fn courses() -> Vec<Course> {
    let text = read("language-centre/tenant.toml");
    let blocks = text.split("[[course]]").skip(1).map(|block| block.split("\n[[").next().expect("a block"));
    let courses: Vec<_> = blocks
        .map(|block| {
            let value = |key: &str| {
                let line = block.lines().find(|line| line.starts_with(&format!("{key} = ")));
                let line = line.unwrap_or_else(|| panic!("a course without {key}: {block}"));
                line.split_once(" = ").expect("a value").1.trim_matches('"').to_owned()
            };
            let figure = |key: &str| value(key).replace('_', "").parse().expect("a number");
            Course {
                name_en: value("name_en"),
                name_vi: value("name_vi"),
                fee: figure("fee_vnd"),
                sessions: figure("sessions"),
                hours: figure("hours"),
                weeks: figure("weeks"),
                class_size: figure("class_size"),
            }
        })
        .collect();
    assert_eq!(courses.len(), 12);
    courses
}

/// A figure with its thousands apart, as the documents write it.
fn grouped(mut figure: u64, mark: char) -> String {
    let mut out = String::new();
    while figure >= 1000 {
        out = format!("{mark}{:03}{out}", figure % 1000);
        figure /= 1000;
    }
    format!("{figure}{out}")
}

fn has_row(table: &str, name: &str, tail: &str) -> bool {
    table.lines().any(|line| line.starts_with(&format!("| {name}")) && line.ends_with(tail))
}

#[test]
fn fee_tables_agree_with_the_course_list() {
    let (vietnamese, english) =
        (read("language-centre/hoc-phi-va-uu-dai.md"), read("language-centre/fees-and-discounts.md"));
    for course in courses() {
        let tail =
            |mark| format!("| {} | {} | {} |", course.sessions, course.hours, grouped(course.fee, mark));
        // Titles in tables are shorter: without the ages, without "lessons".
        let vi = course.name_vi.split(" (").next().expect("a name");
        let en = course.name_en.trim_end_matches(" lessons");
        assert!(has_row(&vietnamese, vi, &tail('.')), "{vi}: {}", tail('.'));
        assert!(has_row(&english, en, &tail(',')), "{en}: {}", tail(','));
    }
}

#[test]
fn course_pages_agree_with_the_course_list() {
    let pages =
        ["khoa-ielts.md", "khoa-toeic.md", "cambridge-thieu-nhi.md", "giao-tiep-thuong-mai-kem-rieng.md"];
    let text: String = pages.iter().map(|page| read(&format!("language-centre/{page}"))).collect();
    for course in courses() {
        let title = course.name_vi.trim_start_matches("Cambridge ");
        let section = text
            .split("\n## ")
            .find(|section| section.starts_with(&format!("{title}\n")))
            .unwrap_or_else(|| panic!("no section for {title}"));
        for figure in [
            grouped(course.fee, '.') + " đồng",
            format!("{} buổi", course.sessions),
            format!("tổng {} giờ", course.hours),
            format!("trong {} tuần", course.weeks),
        ] {
            assert!(section.contains(&figure), "{title} does not say {figure}");
        }
        // One-to-one has no class, and the children's classes state their size once for all three.
        if course.class_size > 1 && !course.name_en.starts_with("Cambridge") {
            let size = format!("tối đa {} học viên", course.class_size);
            assert!(section.contains(&size), "{title} does not say {size}");
        }
    }
}

#[test]
fn every_route_has_a_dozen_examples() {
    for tenant in ["language-centre", "docs"] {
        let text = read(&format!("{tenant}/tenant.toml"));
        let routes: Vec<_> = text.split("[[route]]").skip(1).collect();
        assert!(routes.len() >= 3, "{tenant} has {} routes", routes.len());
        for route in routes {
            let examples = route.split("examples = [").nth(1).expect("examples").split("\n]").next();
            let count = examples.map_or(0, |list| list.lines().filter(|line| line.ends_with("\",")).count());
            assert!(
                count >= 12,
                "{tenant}: {count} examples in {}",
                route.lines().nth(1).unwrap_or_default()
            );
        }
    }
}

#[test]
fn the_second_tenant_reads_the_guide() {
    let guide = fs::read_dir(demo().join("docs/guide")).expect("the guide is linked");
    let pages = guide
        .filter(|page| page.as_ref().is_ok_and(|page| page.path().extension().is_some_and(|e| e == "md")));
    assert!(pages.count() >= 8);
}
