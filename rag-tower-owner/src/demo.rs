//! Demo mode: two tenants with documents, made at the first start and kept as they are while nothing changes.

use rag_tower::ingest::Ingest;
use rag_tower::tenant::TenantId;
use rust_embed::RustEmbed;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::failure::Failure;
use crate::platform::{Platform, failed, refused, scope_of};
use crate::progress::Step;
use crate::secrets::Secrets;
use crate::tenant_data::{Suggestions, TenantData};

#[derive(RustEmbed)]
#[folder = "demo"]
struct Files;

/// The tenants, by folder. The demo key is the first one's.
const FOLDERS: [&str; 2] = ["language-centre", "docs"];
/// The file with the hash of what was taken in.
const MARK: &str = "demo.hash";
/// Files that are taken in together.
const TOGETHER: usize = 16;

/// The demo tenants as the chat page sees them.
#[derive(Clone, Debug)]
pub(crate) struct Demo {
    pub(crate) tenants: Vec<DemoTenant>,
}

/// One of them.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct DemoTenant {
    pub(crate) id: TenantId,
    pub(crate) slug: String,
    pub(crate) name: String,
    suggestions: Suggestions,
}

/// Makes the tenants and the demo key known, and takes their documents in when they, or what they are cut and embedded
/// with, have changed.
pub(crate) async fn load(platform: &Platform, secrets: &Secrets) -> Result<Demo, Failure> {
    let mark = platform.data.path().join(MARK);
    let hash = content_hash(&platform.recipe);
    let mut fresh = std::fs::read_to_string(&mark).is_ok_and(|kept| kept.trim() == hash);
    let mut tenants = Vec::new();
    for folder in FOLDERS {
        let data = tenant_file(folder)?;
        let id = TenantId::named(&data.tenant.slug);
        let scope = scope_of(id);
        let key = (folder == FOLDERS[0]).then(|| secrets.demo_key.expose());
        crate::registry::ensure(&platform.database, id, &data, key).await?;
        // a database that was replaced has none of what the mark speaks of
        fresh &= platform.documents.count_chunks(&scope).await.map_err(refused)? > 0;
        tenants.push(DemoTenant {
            id,
            slug: data.tenant.slug.clone(),
            name: data.tenant.name.clone(),
            suggestions: data.suggestions.clone(),
        });
        let learnt = platform.book.learn(&scope, data).await;
        learnt.map_err(|error| Failure::because("the routes of a demo tenant", &error))?;
    }
    if !fresh {
        take_in(platform).await?;
        std::fs::write(&mark, &hash)
            .map_err(|error| Failure::because(format!("{} cannot be written", mark.display()), &error))?;
    }
    Ok(Demo { tenants })
}

async fn take_in(platform: &Platform) -> Result<(), Failure> {
    let files: Vec<_> = documents().collect();
    let step = Step::bar("Reading the demo documents", files.len() as u64);
    for some in files.chunks(TOGETHER) {
        let requests: Result<Vec<_>, Failure> =
            some.iter().map(|(folder, path)| request(folder, path)).collect();
        for taken in platform.intake.take_all(requests?).await {
            taken.map_err(failed("a demo document"))?;
            step.advance();
        }
    }
    step.done();
    Ok(())
}

fn request(folder: &str, path: &str) -> Result<Ingest, Failure> {
    let file = Files::get(path).ok_or_else(|| Failure::new(format!("{path} is missing from the program")))?;
    let scope = scope_of(TenantId::named(&tenant_file(folder)?.tenant.slug));
    let name = path.rsplit('/').next().unwrap_or(path).to_owned();
    Ok(Ingest::new(scope, name, file.data.into_owned()))
}

/// The documents: folder and path of each.
fn documents() -> impl Iterator<Item = (String, String)> {
    Files::iter().filter(|path| path.ends_with(".md")).filter_map(|path| {
        let (folder, _) = path.split_once('/')?;
        Some((folder.to_owned(), path.into_owned()))
    })
}

fn tenant_file(folder: &str) -> Result<TenantData, Failure> {
    let path = format!("{folder}/tenant.toml");
    let file =
        Files::get(&path).ok_or_else(|| Failure::new(format!("{path} is missing from the program")))?;
    let text = String::from_utf8_lossy(&file.data);
    TenantData::from_toml(&text, &path).map_err(|error| Failure::because("the demo is damaged", &error))
}

/// A hash over every document, and over how they are cut and embedded.
fn content_hash(recipe: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(recipe);
    for (_, path) in documents() {
        let Some(file) = Files::get(&path) else { continue };
        hash.update(path.as_bytes());
        hash.update([0]);
        hash.update(file.metadata.sha256_hash());
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_tenants_have_documents_and_questions_to_begin_with() {
        for folder in FOLDERS {
            let data = tenant_file(folder).unwrap();
            assert_eq!(data.tenant.slug, folder);
            assert!(documents().filter(|(of, _)| of == folder).count() > 5, "{folder}");
        }
    }

    #[test]
    fn another_recipe_is_another_hash() {
        assert_eq!(content_hash("a/400/40"), content_hash("a/400/40"));
        assert_ne!(content_hash("a/400/40"), content_hash("a/300/40"));
    }
}
