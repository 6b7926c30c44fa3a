//! What this program becomes when it starts itself once more: a peer shares neither a process nor a runtime with who
//! measures it.

use rag_tower_tests::qdrant::Qdrant;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};

use crate::programs::Program;
use crate::{calls, pass_through, stub};

/// The argument that makes this program something else, before what.
const ARGUMENT: &str = "--be-the";

/// Something else.
#[derive(Clone, Copy)]
pub(crate) enum Role {
    /// The model server.
    Stub,
    /// A bare proxy, before the model server's address.
    PassThrough,
    /// The calls of an answer and nothing between them, before the model server's address; with a database's and a key.
    Calls,
    /// The same with the search in the engine and a row.
    Floor,
    /// Qdrant's protocol over Qdrant's engine.
    Qdrant,
}

const ROLES: [Role; 5] = [Role::Stub, Role::PassThrough, Role::Calls, Role::Floor, Role::Qdrant];

// === impl Role ===

impl Role {
    const fn name(self) -> &'static str {
        match self {
            Self::Stub => "model-stub",
            Self::PassThrough => "pass-through",
            Self::Calls => "calls",
            Self::Floor => "floor",
            Self::Qdrant => "qdrant",
        }
    }

    /// Starts it. Its first line is its address.
    pub(crate) fn start(self, arguments: &[&str]) -> Program {
        let program = std::env::current_exe().expect("this program");
        let mut command = std::process::Command::new(program);
        command.args([ARGUMENT, self.name()]).args(arguments);
        Program::start(self.name(), command)
    }

    /// Becomes what this process was started as, for good; says when it was started as nothing else.
    pub(crate) fn take_if_asked() -> bool {
        let mut arguments = std::env::args().skip_while(|argument| argument != ARGUMENT).skip(1);
        let Some(name) = arguments.next() else { return false };
        let role = ROLES.into_iter().find(|role| role.name() == name).expect("a role");
        role.runtime().block_on(role.be(arguments));
        true
    }

    /// The model server has one thread, which is enough for all that a peer asks of it; the others have one for each core.
    fn runtime(self) -> Runtime {
        let mut builder = match self {
            Self::Stub => Builder::new_current_thread(),
            _ => Builder::new_multi_thread(),
        };
        builder.enable_all().build().expect("a runtime")
    }

    async fn be(self, mut arguments: impl Iterator<Item = String>) {
        if let Self::Qdrant = self {
            let qdrant = Qdrant::start().await;
            println!("{}", qdrant.url());
            return std::future::pending().await;
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        println!("http://{}", listener.local_addr().expect("an address"));
        let mut argument = || arguments.next().expect("one more argument");
        match self {
            Self::Stub => stub::serve(listener).await,
            Self::Calls | Self::Floor => {
                let search = matches!(self, Self::Floor);
                calls::serve(listener, &argument(), &argument(), &argument(), search).await;
            }
            _ => pass_through::serve(listener, &argument()).await,
        }
    }
}
