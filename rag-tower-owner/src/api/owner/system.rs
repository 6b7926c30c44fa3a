//! What the server is and how it is doing.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use crate::app::App;
use crate::auth::OwnerScope;
use crate::system::Picture;

/// The picture. What is down is part of it, and no error.
pub(super) async fn state(State(app): State<Arc<App>>, owner: OwnerScope) -> Json<Picture> {
    Json(app.system.picture(&owner, &app.owner).await)
}
