#!/bin/sh
# Deploys without cutting off a turn. Usage: deploy.sh [OPTIONS OF gateway-drain run] -- ACTION...
result=$(mktemp) || exit
trap 'rm -f "$result"' EXIT
gateway-drain run --reason "deploy" --json-file "$result" "$@"
code=$?
if [ "$code" -eq 0 ]; then
    echo "deployed"
elif ! grep -q '"command_exit":[0-9]' "$result"; then
    # The codes of `run` itself are 200 more than those of the other commands; the action was not run.
    case $code in
        203) echo "not deployed: work is still in flight" >&2 ;;
        207) echo "not deployed: the gateway can't be reached" >&2 ;;
        *) echo "not deployed: $code" >&2 ;;
    esac
elif grep -q '"ending":"done"' "$result"; then
    echo "the action failed: $code" >&2
else
    echo "deployed, and the gateway may still be closed: $code" >&2
fi
exit $code
