#!/usr/bin/env bash
# Holds the example policies to what they claim, at the moments that matter: `make verify` runs it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

datagate=${DATAGATE_BIN:-../target/debug}/datagate
failed=0

# A training job on one dataset.
job() {
  cat <<YAML
apiVersion: batch/v1
kind: Job
metadata:
  name: train
  namespace: ml
  labels: {datagate.dev/purpose: GenerativeAITraining}
  annotations: {datagate.dev/datasets: "$1"}
spec:
  template:
    spec:
      restartPolicy: Never
      containers:
        - name: trainer
          image: registry.example.com/trainer:1.4
          resources: {limits: {nvidia.com/gpu: 1}}
YAML
}

while read -r policy at dataset decision reasons; do
  [[ -n $policy && $policy != \#* ]] || continue
  found=admitted
  output=$(job "$dataset" | "$datagate" check --policy "policies/$policy.yaml" --record records.yaml --at "$at" \
    --namespace-labels team=ml - 2>&1) || found=refused
  told=$(grep -o '\[[A-Z][A-Za-z]*\]$' <<<"$output" | tr -d '[]' | sort -u | xargs || true)
  if [[ $found != "$decision" || $told != "$reasons" ]]; then
    printf '%s at %s, %s: expected %s %s\n%s\n' "$policy" "$at" "$dataset" "$decision" "$reasons" "$output" >&2
    failed=1
  fi
done <<'TABLE'
# policy              at                    dataset                     decision  reasons (of a warning, if admitted)
first                 2026-01-01T00:00:00Z  posts-europe                admitted  RegionPaused
first                 2026-01-01T00:00:00Z  posts-us                    admitted
pause-and-resumption  2024-09-18T00:00:00Z  posts-undated               refused   RegionPaused StepMissing
pause-and-resumption  2025-11-02T23:59:59Z  posts-europe                refused   RegionPaused
pause-and-resumption  2025-11-03T00:00:00Z  posts-europe                admitted
pause-and-resumption  2025-12-02T00:00:00Z  posts-europe                refused   OptOutListStale
pause-and-resumption  2025-11-03T00:00:00Z  posts-europe-with-messages  refused   AgeBelowMinimum CategoryExcluded
order-with-end        2024-07-01T23:59:59Z  posts-brazil                admitted  RegionPaused
order-with-end        2024-07-02T00:00:00Z  posts-brazil                refused   RegionPaused
order-with-end        2024-08-30T00:00:00Z  posts-brazil                admitted
order-with-end        2024-08-01T00:00:00Z  posts-us                    admitted
data-window           2024-08-08T00:00:00Z  posts-summer-2024           refused   RegionPaused
data-window           2030-01-01T00:00:00Z  posts-summer-2024           refused   RegionPaused
data-window           2030-01-01T00:00:00Z  posts-europe                admitted
data-window           2030-01-01T00:00:00Z  posts-undated               refused   RegionPaused
list-age              2026-08-20T00:00:00Z  posts-us                    admitted
list-age              2026-09-14T00:00:00Z  posts-us                    admitted  OptOutListStale
list-age              2026-09-16T00:00:00Z  posts-us                    refused   OptOutListStale
list-age              2026-09-16T00:00:00Z  posts-brazil                admitted
TABLE

exit "$failed"
