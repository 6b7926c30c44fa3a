//! What a tenant has told the server about itself in a structured form: courses, fees, discounts and routes.
//!
//! It is written as a `tenant.toml`, kept per tenant as JSON, and read by the router and by the
//! [tools](crate::tools). Documents are not part of it. Every amount is a whole number of Vietnamese dong.
//!
//! Whatever its form, it is [checked](TenantData::check) before it is used: an unknown key, a percentage above 100, a
//! route to a tool that does not exist or a name given twice is refused, with the key and what was expected.

mod book;
mod check;
mod read;
mod route;

use serde::{Deserialize, Serialize};

pub use self::book::{InMemoryBook, TenantBook};
pub use self::read::{Settings, TenantDataError};

/// Everything structured that is known of a tenant. The default knows nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TenantData {
    /// Who it is.
    pub tenant: Named,
    /// Its branches.
    #[serde(default, rename = "branch")]
    pub branches: Vec<Branch>,
    /// What it sells, in the order in which it is listed to people.
    #[serde(default, rename = "course")]
    pub courses: Vec<Course>,
    /// What lowers a fee.
    #[serde(default, rename = "discount")]
    pub discounts: Vec<Discount>,
    /// How discounts add up.
    #[serde(default)]
    pub stacking: Stacking,
    /// In which parts a fee can be paid.
    #[serde(default, rename = "instalment_plan")]
    pub plans: Vec<Plan>,
    /// The documents that the fees can be read in.
    #[serde(default)]
    pub price_list: PriceList,
    /// Where questions go.
    #[serde(default, rename = "route")]
    pub routes: Vec<RouteData>,
    /// Questions to begin with.
    #[serde(default)]
    pub suggestions: Suggestions,
}

/// A tenant's names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Named {
    /// Its short name: lower-case letters, digits and hyphens.
    pub slug: String,
    /// Its full name.
    pub name: String,
}

/// A place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Branch {
    /// Its short name.
    pub id: String,
    /// Its name in English.
    pub name_en: String,
    /// Its name in Vietnamese.
    pub name_vi: String,
    /// Where it is.
    pub address: String,
    /// Its telephone number, which is public.
    pub phone: String,
}

/// Something with a fee.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Course {
    /// Its short name.
    pub id: String,
    /// Its name in English.
    pub name_en: String,
    /// Its name in Vietnamese.
    pub name_vi: String,
    /// What else people call it. Case and diacritics do not matter.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// For whom, and to which level it leads.
    pub level: String,
    /// The list fee of the whole course for one learner, in dong.
    pub fee_vnd: u64,
    /// Number of lessons.
    pub sessions: u32,
    /// Contact hours of the whole course.
    pub hours: u32,
    /// How long it takes, in weeks.
    pub weeks: u32,
    /// At most so many learners in a class.
    pub class_size: u32,
    /// When the lessons are, in English.
    pub schedule_en: String,
    /// When the lessons are, in Vietnamese.
    pub schedule_vi: String,
    /// When it begins, in English.
    pub starts_en: String,
    /// When it begins, in Vietnamese.
    pub starts_vi: String,
    /// Ids of the branches that offer it.
    #[serde(default)]
    pub branches: Vec<String>,
    /// True when the result is guaranteed.
    #[serde(default)]
    pub guarantee: bool,
    /// In how many parts the fee can be paid at most; 1 is at once.
    pub instalments: u32,
}

/// Something that lowers a fee.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Discount {
    /// Its short name.
    pub id: String,
    /// Percent of the list fee.
    pub percent: u32,
    /// The words by which a question claims it. Case and diacritics do not matter.
    pub names: Vec<String>,
    /// Its condition, in English.
    pub when_en: String,
    /// Its condition, in Vietnamese.
    pub when_vi: String,
    /// Ids of courses it does not apply to.
    #[serde(default)]
    pub excluded_courses: Vec<String>,
    /// It needs at least so many learners, when a question says how many there are.
    #[serde(default = "one")]
    pub min_learners: u32,
    /// It needs the full fee at once, so that it excludes instalments.
    #[serde(default)]
    pub full_payment: bool,
}

/// How discounts add up. Percentages are added, not multiplied, and taken from the list fee.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stacking {
    /// At most so many discounts on one course.
    pub max_discounts: u32,
    /// At most so many percent in all.
    pub max_percent: u32,
    /// Ids of courses without any discount.
    #[serde(default)]
    pub excluded_courses: Vec<String>,
}

/// The parts that a fee is paid in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Percent of the fee that each part is, first part first; together 100.
    pub percents: Vec<u32>,
    /// When each part is due, in English.
    pub due_en: Vec<String>,
    /// When each part is due, in Vietnamese.
    pub due_vi: Vec<String>,
}

/// The documents that the fees can be read in; answers cite them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriceList {
    /// The English document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub en: Option<DocumentName>,
    /// The Vietnamese document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vi: Option<DocumentName>,
}

/// A document of the tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DocumentName {
    /// Its file name, as it was ingested.
    pub file: String,
    /// Its title.
    pub title: String,
}

/// Where a kind of question goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteData {
    /// Its name in the trace.
    pub name: String,
    /// What answers.
    pub action: Action,
    /// The tool that answers, for [`Action::Tool`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
    /// Words that speak for it.
    #[serde(default)]
    pub keywords: Vec<String>,
    /// Questions that belong to it.
    pub examples: Vec<String>,
}

/// What answers the questions of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Action {
    /// The tenant's documents.
    Search,
    /// A tool.
    Tool,
    /// The canned answer that this is not what the assistant is for.
    OutOfDomain,
    /// A person.
    Handoff,
}

/// Questions that a chat page offers to begin with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Suggestions {
    /// In English.
    #[serde(default)]
    pub en: Vec<String>,
    /// In Vietnamese.
    #[serde(default)]
    pub vi: Vec<String>,
}

impl Default for Stacking {
    /// One discount, of any percentage.
    fn default() -> Self {
        Self { max_discounts: 1, max_percent: 100, excluded_courses: Vec::new() }
    }
}

fn one() -> u32 {
    1
}

#[cfg(test)]
mod tests;
