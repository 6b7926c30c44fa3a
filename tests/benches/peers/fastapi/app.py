"""A multi-tenant RAG backend as one would write it with FastAPI, Postgres and Qdrant.

One request to `POST /query`: who asks (a look-up of the key), the conversation when there is one, the question's vector, a
search by meaning in Qdrant within the tenant and one by words (BM25), both fused by rank, the question's own words deciding
among the best, the model's answer, and one committed row in `request_traces`.

It leaves out what costs time and is not needed to answer: routing, tools, limits, deadlines, a framework around the model.
"""

import hashlib
import json
import os
import re
import time
import unicodedata
import uuid
from contextlib import asynccontextmanager

import asyncpg
import numpy as np
from fastapi import Depends, FastAPI, Header, HTTPException
from fastapi.responses import StreamingResponse
from openai import AsyncOpenAI, DefaultAioHttpClient
from pydantic import BaseModel, Field
from qdrant_client import AsyncQdrantClient, models
from rank_bm25 import BM25Okapi

COLLECTION = "chunks"
CANDIDATES = 24
TOP_K = 6
RRF_K = 60
REMEMBERED_MESSAGES = 12
MODEL = os.environ["MODEL"]
EMBEDDING_MODEL = os.environ["EMBEDDING_MODEL"]
WORD = re.compile(r"\w+")
SYSTEM = (
    "Answer the question from the numbered passages alone. Cite each passage that you use by its number in brackets. "
    "When they do not hold the answer, say that you do not know."
)


def words(text: str) -> list[str]:
    return WORD.findall(text.lower())


class Corpus:
    """A tenant's chunks in memory, which BM25 needs, cut into words once."""

    def __init__(self, rows):
        self.ids = [str(row["chunk_id"]) for row in rows]
        self.files = [row["file_name"] for row in rows]
        self.texts = [row["content"] for row in rows]
        tokens = [words(text) for text in self.texts]
        self.words = [frozenset(its) for its in tokens]
        self.at = {chunk: n for n, chunk in enumerate(self.ids)}
        self.bm25 = BM25Okapi(tokens)

    def by_words(self, question: list[str]) -> list[int]:
        scores = self.bm25.get_scores(question)
        best = np.argpartition(scores, -min(CANDIDATES, len(scores)))[-CANDIDATES:]
        return [int(n) for n in best[np.argsort(scores[best])[::-1]] if scores[n] > 0]


class State:
    pool: asyncpg.Pool
    qdrant: AsyncQdrantClient
    model: AsyncOpenAI
    corpora: dict[uuid.UUID, Corpus]


state = State()


@asynccontextmanager
async def lifespan(_: FastAPI):
    state.pool = await asyncpg.create_pool(os.environ["DATABASE_URL"], min_size=4, max_size=16)
    state.qdrant = AsyncQdrantClient(
        host="127.0.0.1", grpc_port=int(os.environ["QDRANT_GRPC_PORT"]), prefer_grpc=True, check_compatibility=False
    )
    state.model = AsyncOpenAI(
        base_url=os.environ["OPENAI_BASE_URL"], api_key=os.environ["OPENAI_API_KEY"], http_client=DefaultAioHttpClient()
    )
    rows = await state.pool.fetch("SELECT chunk_id, tenant_id, file_name, content FROM chunks ORDER BY tenant_id, chunk_id")
    of_tenants: dict[uuid.UUID, list] = {}
    for row in rows:
        of_tenants.setdefault(row["tenant_id"], []).append(row)
    state.corpora = {tenant: Corpus(its) for tenant, its in of_tenants.items()}
    yield
    await state.model.close()
    await state.qdrant.close()
    await state.pool.close()


app = FastAPI(lifespan=lifespan)


class Ask(BaseModel):
    question: str = Field(min_length=1, max_length=4000)
    session_id: uuid.UUID | None = None


class Source(BaseModel):
    doc_id: str
    file_name: str


class Answer(BaseModel):
    trace_id: uuid.UUID
    session_id: uuid.UUID | None
    answer: str
    sources: list[Source]
    latency_ms: float


async def tenant_of(authorization: str = Header()) -> uuid.UUID:
    key = authorization.removeprefix("Bearer ")
    found = await state.pool.fetchval(
        "SELECT tenant_id FROM api_keys WHERE key_hash = $1", hashlib.sha256(key.encode()).digest()
    )
    if found is None:
        raise HTTPException(401, "unknown key")
    return found


async def retrieve(tenant: uuid.UUID, question: str) -> list[int]:
    """The best chunks of the tenant, by their place in its corpus."""
    corpus = state.corpora.get(tenant)
    if corpus is None:
        return []
    embedded = await state.model.embeddings.create(model=EMBEDDING_MODEL, input=[question])
    hits = await state.qdrant.query_points(
        COLLECTION,
        query=embedded.data[0].embedding,
        using="dense",
        query_filter=models.Filter(
            must=[models.FieldCondition(key="tenant_id", match=models.MatchValue(value=str(tenant)))]
        ),
        limit=CANDIDATES,
        with_payload=False,
    )
    asked = words(question)
    scores: dict[int, float] = {}
    for ranking in ([corpus.at[str(hit.id)] for hit in hits.points], corpus.by_words(asked)):
        for rank, n in enumerate(ranking):
            scores[n] = scores.get(n, 0.0) + 1.0 / (RRF_K + rank + 1)
    found = sorted(scores, key=scores.__getitem__, reverse=True)[:CANDIDATES]
    distinct = frozenset(asked)
    return sorted(found, key=lambda n: len(distinct & corpus.words[n]), reverse=True)[:TOP_K]


async def messages_of(tenant: uuid.UUID, session: uuid.UUID) -> list[dict]:
    """What was said before. A session of another tenant is not there."""
    row = await state.pool.fetchrow(
        "SELECT tenant_id, recent_messages_buffer FROM chat_sessions WHERE session_id = $1", session
    )
    if row is None:
        return []
    if row["tenant_id"] != tenant:
        raise HTTPException(404, "no such session")
    return json.loads(row["recent_messages_buffer"])


async def remember(tenant: uuid.UUID, session: uuid.UUID, messages: list[dict]) -> None:
    await state.pool.execute(
        "INSERT INTO chat_sessions (session_id, tenant_id, recent_messages_buffer) VALUES ($1, $2, $3)"
        " ON CONFLICT (session_id) DO UPDATE SET recent_messages_buffer = EXCLUDED.recent_messages_buffer,"
        " updated_at = now() WHERE chat_sessions.tenant_id = EXCLUDED.tenant_id",
        session,
        tenant,
        json.dumps(messages[-REMEMBERED_MESSAGES:]),
    )


async def trace(row: tuple) -> None:
    await state.pool.execute(
        "INSERT INTO request_traces"
        " (trace_id, tenant_id, route, status, latency_ms, sources, tool_metadata, question, answer)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        *row,
    )


async def prepared(ask: Ask, tenant: uuid.UUID):
    question = unicodedata.normalize("NFC", ask.question).strip()
    history = await messages_of(tenant, ask.session_id) if ask.session_id else []
    found = await retrieve(tenant, question)
    corpus = state.corpora[tenant] if found else None
    passages = "\n\n".join(f"[{n}] {corpus.texts[at]}" for n, at in enumerate(found, 1))
    sources = [Source(doc_id=corpus.ids[at], file_name=corpus.files[at]) for at in found]
    prompt = [
        {"role": "system", "content": SYSTEM},
        *history,
        {"role": "user", "content": f"{passages}\n\nQuestion: {question}"},
    ]
    return question, history, sources, prompt


async def finished(ask: Ask, tenant: uuid.UUID, question, history, sources, answer, usage, began) -> Answer:
    """What is kept of an answer, committed before its end is sent."""
    if ask.session_id:
        turn = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
        await remember(tenant, ask.session_id, history + turn)
    whole = Answer(
        trace_id=uuid.uuid4(),
        session_id=ask.session_id,
        answer=answer,
        sources=sources,
        latency_ms=(time.perf_counter() - began) * 1000,
    )
    shown = json.dumps([source.model_dump() for source in sources])
    tokens = {"input_tokens": usage.prompt_tokens, "output_tokens": usage.completion_tokens} if usage else {}
    await trace(
        (whole.trace_id, tenant, "course_search", "SUCCESS", whole.latency_ms, shown, json.dumps(tokens), question, answer)
    )
    return whole


@app.post("/query")
async def query(ask: Ask, tenant: uuid.UUID = Depends(tenant_of)) -> Answer:
    began = time.perf_counter()
    question, history, sources, prompt = await prepared(ask, tenant)
    completion = await state.model.chat.completions.create(model=MODEL, messages=prompt)
    text = completion.choices[0].message.content or ""
    return await finished(ask, tenant, question, history, sources, text, completion.usage, began)


@app.post("/query/stream")
async def stream(ask: Ask, tenant: uuid.UUID = Depends(tenant_of)) -> StreamingResponse:
    began = time.perf_counter()
    question, history, sources, prompt = await prepared(ask, tenant)
    chunks = await state.model.chat.completions.create(
        model=MODEL, messages=prompt, stream=True, stream_options={"include_usage": True}
    )

    async def events():
        shown = json.dumps([source.model_dump() for source in sources])
        yield f"event: sources\ndata: {shown}\n\n"
        text, usage = [], None
        async for chunk in chunks:
            usage = chunk.usage or usage
            piece = chunk.choices[0].delta.content if chunk.choices else None
            if piece:
                text.append(piece)
                yield f"event: delta\ndata: {json.dumps({'text': piece})}\n\n"
        whole = await finished(ask, tenant, question, history, sources, "".join(text), usage, began)
        yield f"event: end\ndata: {json.dumps({'trace_id': str(whole.trace_id)})}\n\n"

    return StreamingResponse(events(), media_type="text/event-stream")
