#!/bin/sh
# Restarts gateways one after the other; behind a proxy that looks at /readyz no request fails.
# Usage: rolling-restart.sh PORT...     for the units gateway@PORT, with their homes in /var/lib/gateway/PORT
# With FLEET_LOCK (such as etcd://10.0.0.1:2379) several of these share one budget: see docs/fleet.md.
set -eu
for port in "$@"; do
    gateway-drain run --home "${STATE:-/var/lib/gateway}/$port" --reason "rolling restart" \
        ${FLEET_LOCK:+--fleet-lock "$FLEET_LOCK" --fleet-group "${FLEET_GROUP:-gateways}"} \
        --unready-delay "${UNREADY_DELAY:-2s}" --timeout 10m -- ${RESTART:-systemctl restart} "gateway@$port"
    curl -fsS -o /dev/null --retry 60 --retry-delay 1 --retry-connrefused "http://127.0.0.1:$port/readyz"
done
