#!/bin/sh
# Deploys without cutting off a turn. Usage: deploy.sh [OPTIONS OF gateway-drain run] -- ACTION...
gateway-drain run --reason "deploy" "$@"
code=$?
case $code in
    0) echo "deployed" ;;
    3) echo "not deployed: work is still in flight" >&2 ;;
    7) echo "not deployed: the gateway can't be reached" >&2 ;;
    *) echo "not deployed, or the action failed: $code" >&2 ;;
esac
exit $code
