#!/usr/bin/env bash
# The requests of this example, to the server at ALFT_URL.
set -euo pipefail
url=${ALFT_URL:-http://127.0.0.1:8765}

say() { printf '\n# %s\n' "$1"; }
# Prints the answer, and fails for any other status than the expected one.
ask() {
    local expected=$1 answer status
    shift
    answer=$(curl -sS -w '\n%{http_code}' "$@")
    status=${answer##*$'\n'}
    echo "$status ${answer%$'\n'*}"
    [ "$status" = "$expected" ]
}
questions='{"questions": [{"id": "q1", "prompt": "1+1=", "gold": "2", "completions": ["2", "it is 2", "3", "two"]}]}'

say "the server is ready"
ask 200 "$url/readyz"

say "scores, and nothing is remembered"
ask 200 "$url/v1/score" --json "$questions"

say "a step of the run \"first\": its targets move"
key="curl-$$-$(date +%s)"
first=$(ask 200 "$url/v1/runs/first/rewards" --json "$questions" -H "Idempotency-Key: $key")
echo "$first"

say "the same request again, as after a broken connection: the same answer, and nothing moves"
again=$(ask 200 "$url/v1/runs/first/rewards" --json "$questions" -H "Idempotency-Key: $key")
[ "$again" = "$first" ]
echo "the same answer"
ask 200 "$url/v1/runs/first"

say "a question that means nothing: the problem names the place"
ask 422 "$url/v1/score" --json '{"questions": [{"prompt": "1+1=", "completions": []}]}'

say "metrics for Prometheus (the first lines)"
curl -sS --fail "$url/metrics" | sed -n 1,12p
