#!/bin/sh
# Deploys without cutting off a turn. Usage: deploy.sh ACTION... (the gateway is that of HERMES_HOME)
gateway-drain run --reason "deploy" --timeout "${DRAIN_TIMEOUT:-10m}" -- "$@"
code=$?
case $code in
    0) echo "deployed" ;;
    3) echo "not deployed: work is still in flight" >&2 ;;
    7) echo "not deployed: the gateway can't be reached" >&2 ;;
    *) echo "not deployed, or the action failed: $code" >&2 ;;
esac
exit $code
