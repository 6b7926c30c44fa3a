"""Fills the database and the collection: JSON lines of chunks in on stdin, each `{"tenant_id", "chunk_id", "file_name",
"content"}`, after one line `{"keys": {key: tenant_id}}`."""

import asyncio
import hashlib
import json
import os
import pathlib
import sys
import uuid

import asyncpg
from openai import AsyncOpenAI
from qdrant_client import AsyncQdrantClient, models

COLLECTION = "chunks"
TOGETHER = 64


async def main() -> None:
    keys = json.loads(sys.stdin.readline())["keys"]
    chunks = [json.loads(line) for line in sys.stdin if line.strip()]
    database = await asyncpg.connect(os.environ["DATABASE_URL"])
    await database.execute(pathlib.Path(__file__).with_name("schema.sql").read_text())
    tenants = {uuid.UUID(chunk["tenant_id"]) for chunk in chunks}
    await database.executemany("INSERT INTO tenants VALUES ($1, $2)", [(tenant, str(tenant)) for tenant in tenants])
    await database.executemany(
        "INSERT INTO api_keys VALUES ($1, $2)",
        [(hashlib.sha256(key.encode()).digest(), uuid.UUID(tenant)) for key, tenant in keys.items()],
    )
    await database.executemany(
        "INSERT INTO chunks (chunk_id, tenant_id, file_name, content) VALUES ($1, $2, $3, $4)",
        [(uuid.UUID(c["chunk_id"]), uuid.UUID(c["tenant_id"]), c["file_name"], c["content"]) for c in chunks],
    )
    await database.execute("ANALYZE")
    await database.close()

    model = AsyncOpenAI(base_url=os.environ["OPENAI_BASE_URL"], api_key=os.environ["OPENAI_API_KEY"])
    qdrant = AsyncQdrantClient(
        host="127.0.0.1", grpc_port=int(os.environ["QDRANT_GRPC_PORT"]), prefer_grpc=True, check_compatibility=False
    )
    created = False
    for at in range(0, len(chunks), TOGETHER):
        some = chunks[at : at + TOGETHER]
        answer = await model.embeddings.create(
            model=os.environ["EMBEDDING_MODEL"], input=[chunk["content"] for chunk in some]
        )
        if not created:
            await qdrant.create_collection(
                COLLECTION,
                vectors_config={
                    "dense": models.VectorParams(
                        size=len(answer.data[0].embedding), distance=models.Distance.COSINE
                    )
                },
            )
            await qdrant.create_payload_index(COLLECTION, "tenant_id", models.PayloadSchemaType.KEYWORD)
            created = True
        await qdrant.upsert(
            COLLECTION,
            points=[
                models.PointStruct(
                    id=chunk["chunk_id"],
                    vector={"dense": one.embedding},
                    payload={"tenant_id": chunk["tenant_id"]},
                )
                for chunk, one in zip(some, answer.data, strict=True)
            ],
        )
    print(f"{len(chunks)} chunks of {len(tenants)} tenants")


asyncio.run(main())
