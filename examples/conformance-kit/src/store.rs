//! What tenants own, in memory. Every method takes the scope, and every key begins with the tenant.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rag_tower::{TenantId, TenantScope};
use serde::Serialize;
use uuid::Uuid;

/// A note.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Note {
    /// Its id.
    pub id: Uuid,
    /// What is in it.
    pub text: String,
    /// True when it is put away.
    pub archived: bool,
}

/// An invoice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Invoice {
    /// Its id.
    pub id: Uuid,
    /// The note that it was written from.
    pub note: Uuid,
    /// Who is to pay.
    pub payer: String,
}

/// Everything that is kept.
#[derive(Debug, Default)]
pub struct Store(Mutex<Tables>);

#[derive(Debug, Default)]
struct Tables {
    notes: BTreeMap<(TenantId, Uuid), Note>,
    invoices: BTreeMap<(TenantId, Uuid), Invoice>,
}

// === impl Store ===

impl Store {
    /// Keeps a new note.
    pub fn add_note(&self, scope: &TenantScope, text: impl Into<String>) -> Note {
        let note = Note { id: Uuid::now_v7(), text: text.into(), archived: false };
        self.tables().notes.insert((scope.tenant(), note.id), note.clone());
        note
    }

    /// Keeps a new invoice about a note; nothing when the tenant has no such note.
    pub fn add_invoice(&self, scope: &TenantScope, note: Uuid, payer: impl Into<String>) -> Option<Invoice> {
        let mut tables = self.tables();
        tables.notes.get(&(scope.tenant(), note))?;
        let invoice = Invoice { id: Uuid::now_v7(), note, payer: payer.into() };
        tables.invoices.insert((scope.tenant(), invoice.id), invoice.clone());
        Some(invoice)
    }

    /// The tenant's notes.
    pub fn notes(&self, scope: &TenantScope) -> Vec<Note> {
        let tables = self.tables();
        let own = tables.notes.range((scope.tenant(), Uuid::nil())..=(scope.tenant(), Uuid::max()));
        own.map(|(_, note)| note.clone()).collect()
    }

    /// A note of the tenant's.
    pub fn note(&self, scope: &TenantScope, id: Uuid) -> Option<Note> {
        self.tables().notes.get(&(scope.tenant(), id)).cloned()
    }

    /// Takes a note of the tenant's away.
    pub fn delete_note(&self, scope: &TenantScope, id: Uuid) -> Option<Note> {
        self.tables().notes.remove(&(scope.tenant(), id))
    }

    /// Puts notes of the tenant's away: all of them, or none when it lacks one.
    pub fn archive(&self, scope: &TenantScope, ids: &[Uuid]) -> Option<usize> {
        let mut tables = self.tables();
        if ids.iter().any(|id| !tables.notes.contains_key(&(scope.tenant(), *id))) {
            return None;
        }
        for id in ids {
            if let Some(note) = tables.notes.get_mut(&(scope.tenant(), *id)) {
                note.archived = true;
            }
        }
        Some(ids.len())
    }

    /// The tenant's invoices about a note of its own.
    pub fn invoices(&self, scope: &TenantScope, note: Uuid) -> Option<Vec<Invoice>> {
        let tables = self.tables();
        tables.notes.get(&(scope.tenant(), note))?;
        let own = tables.invoices.range((scope.tenant(), Uuid::nil())..=(scope.tenant(), Uuid::max()));
        Some(own.map(|(_, invoice)| invoice).filter(|invoice| invoice.note == note).cloned().collect())
    }

    /// An invoice of the tenant's.
    pub fn invoice(&self, scope: &TenantScope, id: Uuid) -> Option<Invoice> {
        self.tables().invoices.get(&(scope.tenant(), id)).cloned()
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
