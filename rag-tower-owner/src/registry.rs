//! The registry: the demo tenants and the key that opens the first of them, and who has saved settings.

use rag_tower::postgres::{Database, DatabaseError, OwnerTx};
use rag_tower::tenant::{BranchId, KeyHash, TenantId};
use uuid::Uuid;

use crate::failure::Failure;
use crate::platform::refused;
use crate::tenant_data::TenantData;

/// The name that demo keys have in the registry.
const DEMO: &str = "demo";

const PUT_TENANT: &str = "INSERT INTO rag_tower.tenants (id, slug, name) VALUES ($1, $2, $3) \
     ON CONFLICT (id) DO UPDATE SET name = EXCLUDED.name, updated_at = now()";
const PUT_BRANCH: &str = "INSERT INTO rag_tower.branches (tenant_id, id, name) VALUES ($1, $2, $3) \
     ON CONFLICT (tenant_id, id) DO UPDATE SET name = EXCLUDED.name";
const PUT_KEY: &str = "INSERT INTO rag_tower.api_keys (id, tenant_id, hash, name, role) VALUES ($1, $2, $3, $4, 'member') \
     ON CONFLICT (hash) DO UPDATE SET revoked_at = NULL";
const PUT_SYNTHETIC: &str = "INSERT INTO rag_tower.tenants (id, slug, name, synthetic) \
     SELECT id, slug, slug, true FROM UNNEST($1::uuid[], $2::text[]) AS t (id, slug) ON CONFLICT DO NOTHING";
const SYNTHETIC: &str = "SELECT count(*) FROM rag_tower.tenants WHERE id = ANY ($1) AND synthetic";
const CONFIGURED: &str = "SELECT tenant_id FROM rag_tower.tenant_settings ORDER BY tenant_id";
const REVOKE_OTHERS: &str = "UPDATE rag_tower.api_keys SET revoked_at = now() \
     WHERE name = $1 AND hash <> $2 AND revoked_at IS NULL";

/// Makes the tenant, its branches and, when one is given, its demo key known; every other demo key stops counting.
pub(crate) async fn ensure(
    database: &Database,
    id: TenantId,
    data: &TenantData,
    key: Option<&str>,
) -> Result<(), Failure> {
    put(database, id, data, key).await.map_err(refused)
}

/// Makes tenants known that nobody is: id and slug of each. False when somebody is, or another has the slug.
pub(crate) async fn ensure_synthetic(
    database: &Database,
    tenants: &[(TenantId, &str)],
) -> Result<bool, DatabaseError> {
    let ids: Vec<Uuid> = tenants.iter().map(|(id, _)| id.as_uuid()).collect();
    let slugs: Vec<&str> = tenants.iter().map(|(_, slug)| *slug).collect();
    let mut tx = OwnerTx::change(database).await?;
    sqlx::query(PUT_SYNTHETIC).bind(&ids).bind(slugs).execute(tx.connection()).await?;
    let known: i64 = sqlx::query_scalar(SYNTHETIC).bind(&ids).fetch_one(tx.connection()).await?;
    tx.commit().await?;
    Ok(known.unsigned_abs() as usize == tenants.len())
}

/// The tenants that have saved settings. Ids only: what is in them is read with a scope.
pub(crate) async fn configured(database: &Database) -> Result<Vec<TenantId>, Failure> {
    let find = async {
        let mut tx = OwnerTx::begin(database).await?;
        let ids: Vec<Uuid> = sqlx::query_scalar(CONFIGURED).fetch_all(tx.connection()).await?;
        Ok(ids.into_iter().map(TenantId::new).collect())
    };
    find.await.map_err(refused)
}

/// Outside demo mode no demo key counts.
pub(crate) async fn revoke_demo_keys(database: &Database) -> Result<(), Failure> {
    let revoke = async {
        let mut tx = OwnerTx::change(database).await?;
        sqlx::query(REVOKE_OTHERS).bind(DEMO).bind([0_u8].as_slice()).execute(tx.connection()).await?;
        tx.commit().await
    };
    revoke.await.map_err(refused)
}

async fn put(
    database: &Database,
    id: TenantId,
    data: &TenantData,
    key: Option<&str>,
) -> Result<(), DatabaseError> {
    let mut tx = OwnerTx::change(database).await?;
    sqlx::query(PUT_TENANT)
        .bind(id.as_uuid())
        .bind(&data.tenant.slug)
        .bind(&data.tenant.name)
        .execute(tx.connection())
        .await?;
    for branch in &data.branches {
        sqlx::query(PUT_BRANCH)
            .bind(id.as_uuid())
            .bind(BranchId::named(id, &branch.id).as_uuid())
            .bind(&branch.name_en)
            .execute(tx.connection())
            .await?;
    }
    if let Some(key) = key {
        let hash = KeyHash::of(key);
        sqlx::query(PUT_KEY)
            .bind(Uuid::now_v7())
            .bind(id.as_uuid())
            .bind(hash.as_bytes().as_slice())
            .bind(DEMO)
            .execute(tx.connection())
            .await?;
        sqlx::query(REVOKE_OTHERS)
            .bind(DEMO)
            .bind(hash.as_bytes().as_slice())
            .execute(tx.connection())
            .await?;
    }
    tx.commit().await
}
