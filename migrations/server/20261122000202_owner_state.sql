-- What the owner may change and know of the platform itself.

-- how far the schema is
GRANT SELECT (version, success) ON rag_tower._migrations TO rag_owner;
