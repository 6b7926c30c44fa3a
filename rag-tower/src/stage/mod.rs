//! The states an ask passes through, and the stages between them.

mod state;

use tower_service::Service;

pub use self::state::{Embedded, Prompt, Retrieved};
use crate::answer::Answer;
use crate::error::Error;

/// A service that turns `Req` into an [`Answer`]. Implemented by every service of that shape; it exists for its name
/// in error messages.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot answer a `{Req}`",
    note = "stages run in the order Ask → EmbedLayer → Embedded → RetrieveLayer → Retrieved → PromptLayer → Prompt → Generate, and every service must be `Clone + Send + Sync`"
)]
pub trait Answers<Req>:
    Service<Req, Response = Answer, Error = Error, Future: Send + 'static> + Clone + Send + Sync + 'static
{
}

impl<S, Req> Answers<Req> for S where
    S: Service<Req, Response = Answer, Error = Error, Future: Send + 'static> + Clone + Send + Sync + 'static
{
}
