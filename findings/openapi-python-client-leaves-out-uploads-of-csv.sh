#!/usr/bin/env bash
# openapi-python-client 0.29.1: an operation whose only request body is text/csv gets no function in the client. The generator says
# so on standard output and ends with exit code 0, so a build that looks at the code only ships a client in which the
# operation does not exist. The same operation with application/octet-stream has a function.
#
# Seen with Python 3.11. Prints which functions both descriptions give and fails if that changes.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check openapi-python-client==0.29.1

describe() {
    cat <<JSON
{
    "openapi": "3.1.0",
    "info": {"title": "$1", "version": "1"},
    "paths": {"/stock": {"post": {
        "operationId": "importStock", "tags": ["stock"],
        "requestBody": {"required": true, "content": {"$2": {"schema": {"type": "string", "format": "binary"}}}},
        "responses": {"200": {"description": "imported"}}
    }}}
}
JSON
}

functions() {
    describe "$1" "$2" > "$1.json"
    venv/bin/openapi-python-client generate --path "$1.json" --meta none --output-path "client-$1" > "$1.log" 2>&1
    echo "exit code $?, functions: $(cd "client-$1/api" && find . -name 'import_stock.py' | wc -l)"
}

csv=$(functions csv text/csv)
bytes=$(functions bytes application/octet-stream)
echo "text/csv:                 $csv"
echo "application/octet-stream: $bytes"
grep -i "unsupported" csv.log || true
[ "$csv" = "exit code 0, functions: 0" ] && [ "$bytes" = "exit code 0, functions: 1" ]
