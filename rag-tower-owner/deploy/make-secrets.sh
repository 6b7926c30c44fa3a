#!/usr/bin/env bash
# Makes the secrets of compose.yaml, in the folder that is named or in ./secrets. What is there already stays.
set -euo pipefail
umask 077

folder=${1:-$(dirname "$0")/secrets}
mkdir -p "$folder"
chmod 700 "$folder"
if [ -e "$folder/rag-tower.toml" ]; then
  echo "$folder/rag-tower.toml is there: nothing is changed" >&2
  exit 1
fi

random() { head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \n'; }

admin=$(random)
login=$(random)
owner=$(random)
qdrant=$(random)
redis=$(random)

printf '%s' "$admin" >"$folder/postgres-password"
printf '%s' "$(random)" >"$folder/grafana-password"
cat >"$folder/qdrant.yaml" <<YAML
service:
  api_key: $qdrant
YAML
cat >"$folder/redis.conf" <<CONF
requirepass $redis
save ""
appendonly no
maxmemory 64mb
maxmemory-policy noeviction
CONF
cat >"$folder/rag-tower.toml" <<TOML
# Any setting may stand here: rag-tower-owner --help lists them.
DATABASE_URL = "postgres://rag_app:$login@postgres:5432/rag"
QDRANT_API_KEY = "$qdrant"
REDIS_URL = "redis://:$redis@redis:6379"
OWNER_PASSWORD = "$owner"
JWT_SECRET = "$(random)"
TOML
cat >"$folder/migrate.toml" <<TOML
DATABASE_URL = "postgres://rag_app:$login@postgres:5432/rag"
DATABASE_ADMIN_URL = "postgres://postgres:$admin@postgres:5432/rag"
TOML
# A container's user is not this one: compose mounts each file as it is, and the folder keeps everybody else out.
chmod 644 "$folder"/*

echo "made in $folder; the owner's password is in rag-tower.toml, Grafana's in grafana-password"
