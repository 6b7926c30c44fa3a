//! What a tenant's data must fulfil beyond its types.

use std::collections::BTreeSet;

use super::{Action, Course, Discount, Plan, RouteData, TenantData, TenantDataError};
use crate::tools::TOOLS;

/// The highest fee, in dong: far above any course, and far below where sums could overflow.
const MAX_FEE_VND: u64 = 10_000_000_000;

type Checked = Result<(), String>;

impl TenantData {
    /// Says whether the data makes sense: names unique and not empty, percentages at most 100, fees and lengths above
    /// zero, references to things that exist, routes with examples and to tools that exist. `place` names the data in
    /// messages.
    ///
    /// # Errors
    /// [`TenantDataError`] with the first thing that is wrong.
    pub fn check(&self, place: &str) -> Result<(), TenantDataError> {
        self.check_all().map_err(|message| TenantDataError::new(place, message))
    }

    fn check_all(&self) -> Checked {
        slug("tenant.slug", &self.tenant.slug)?;
        filled("tenant.name", &self.tenant.name)?;
        unique("branch.id", self.branches.iter().map(|branch| branch.id.as_str()))?;
        unique("course.id", self.courses.iter().map(|course| course.id.as_str()))?;
        unique("discount.id", self.discounts.iter().map(|discount| discount.id.as_str()))?;
        unique("route.name", self.routes.iter().map(|route| route.name.as_str()))?;
        self.plans.iter().try_for_each(plan)?;
        unique_number("instalment_plan.percents", self.plans.iter().map(|plan| plan.percents.len()))?;
        self.courses.iter().try_for_each(|course| self.course(course))?;
        self.discounts.iter().try_for_each(|discount| self.discount(discount))?;
        percent("stacking.max_percent", self.stacking.max_percent)?;
        self.known_courses("stacking.excluded_courses", &self.stacking.excluded_courses)?;
        self.routes.iter().try_for_each(route)
    }

    fn course(&self, course: &Course) -> Checked {
        let key = |name: &str| format!("course \"{}\": {name}", course.id);
        slug("course.id", &course.id)?;
        filled(&key("name_en"), &course.name_en)?;
        filled(&key("name_vi"), &course.name_vi)?;
        if course.fee_vnd == 0 || course.fee_vnd > MAX_FEE_VND {
            return Err(format!(
                "{} is {}: expected 1 to {MAX_FEE_VND} dong",
                key("fee_vnd"),
                course.fee_vnd
            ));
        }
        for (name, number) in [
            ("sessions", course.sessions),
            ("hours", course.hours),
            ("weeks", course.weeks),
            ("class_size", course.class_size),
            ("instalments", course.instalments),
        ] {
            if number == 0 {
                return Err(format!("{} is 0: expected at least 1", key(name)));
            }
        }
        let parts = course.instalments as usize;
        if parts > 1 && !self.plans.iter().any(|plan| plan.percents.len() == parts) {
            return Err(format!(
                "{} is {parts}: expected 1, or an [[instalment_plan]] of {parts} parts",
                key("instalments")
            ));
        }
        let unknown = |id: &&String| !self.branches.iter().any(|branch| branch.id == **id);
        match course.branches.iter().find(unknown) {
            Some(id) => Err(format!("{} names \"{id}\": expected the id of a [[branch]]", key("branches"))),
            None => Ok(()),
        }
    }

    fn discount(&self, discount: &Discount) -> Checked {
        let key = |name: &str| format!("discount \"{}\": {name}", discount.id);
        slug("discount.id", &discount.id)?;
        percent(&key("percent"), discount.percent)?;
        if discount.names.iter().all(|name| name.trim().is_empty()) {
            return Err(format!("{} is empty: expected the words that claim it", key("names")));
        }
        if discount.min_learners == 0 {
            return Err(format!("{} is 0: expected at least 1", key("min_learners")));
        }
        self.known_courses(&key("excluded_courses"), &discount.excluded_courses)
    }

    fn known_courses(&self, key: &str, ids: &[String]) -> Checked {
        match ids.iter().find(|id| !self.courses.iter().any(|course| course.id == **id)) {
            Some(id) => Err(format!("{key} names \"{id}\": expected the id of a [[course]]")),
            None => Ok(()),
        }
    }
}

fn plan(plan: &Plan) -> Checked {
    let key = "instalment_plan";
    let parts = plan.percents.len();
    if parts < 2 {
        return Err(format!("{key}.percents has {parts} parts: expected at least 2"));
    }
    if plan.percents.contains(&0)
        || plan.percents.iter().try_fold(0, |sum: u32, part| sum.checked_add(*part)) != Some(100)
    {
        return Err(format!(
            "{key}.percents is {:?}: expected parts above 0 that add up to 100",
            plan.percents
        ));
    }
    if plan.due_en.len() != parts || plan.due_vi.len() != parts {
        return Err(format!("{key}.due_en and due_vi: expected {parts} texts each, one for each part"));
    }
    Ok(())
}

fn route(route: &RouteData) -> Checked {
    let key = |name: &str| format!("route \"{}\": {name}", route.name);
    filled("route.name", &route.name)?;
    match (route.action, &route.tool) {
        (Action::Tool, Some(tool)) if TOOLS.contains(&tool.as_str()) => {}
        (Action::Tool, Some(tool)) => {
            return Err(format!("{} is \"{tool}\": expected one of {}", key("tool"), TOOLS.join(", ")));
        }
        (Action::Tool, None) => {
            return Err(format!("{} is missing: expected one of {}", key("tool"), TOOLS.join(", ")));
        }
        (_, Some(_)) => {
            return Err(format!("{} is given: expected it only with action = \"tool\"", key("tool")));
        }
        (Action::OutOfDomain, None) if route.name != "out_of_domain" => {
            return Err(format!(
                "{} is out_of_domain: expected the route's name to be that too",
                key("action")
            ));
        }
        (_, None) => {}
    }
    if route.examples.iter().all(|example| example.trim().is_empty()) {
        return Err(format!("{} is empty: expected questions that belong to the route", key("examples")));
    }
    Ok(())
}

fn percent(key: &str, value: u32) -> Checked {
    if value > 100 {
        return Err(format!("{key} is {value}: expected 0 to 100"));
    }
    Ok(())
}

fn filled(key: &str, value: &str) -> Checked {
    if value.trim().is_empty() {
        return Err(format!("{key} is empty: expected a text"));
    }
    Ok(())
}

fn slug(key: &str, value: &str) -> Checked {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if value.is_empty()
        || value.len() > 63
        || !value.chars().all(fits)
        || value.starts_with('-')
        || value.ends_with('-')
    {
        return Err(format!(
            "{key} is \"{value}\": expected 1 to 63 lower-case letters, digits and hyphens inside"
        ));
    }
    Ok(())
}

fn unique<'a>(key: &str, values: impl Iterator<Item = &'a str>) -> Checked {
    let mut seen = BTreeSet::new();
    for value in values {
        if !seen.insert(value) {
            return Err(format!("{key} \"{value}\" is given twice: expected each once"));
        }
    }
    Ok(())
}

fn unique_number(key: &str, values: impl Iterator<Item = usize>) -> Checked {
    let mut seen = BTreeSet::new();
    for value in values {
        if !seen.insert(value) {
            return Err(format!("{key} of {value} parts is given twice: expected each number of parts once"));
        }
    }
    Ok(())
}
