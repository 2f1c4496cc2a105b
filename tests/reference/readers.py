"""What the reference's own readers say of a home (HERMES_HOME), as one JSON object."""

import json

from gateway.drain_control import drain_notification_suppressed, drain_requested
from gateway.status import (
    derive_gateway_busy,
    derive_gateway_drainable,
    get_running_pid,
    get_runtime_status_running_pid,
    parse_active_agents,
    read_runtime_status,
)

status = read_runtime_status() or {}
pid = get_running_pid() or get_runtime_status_running_pid(status)
state, agents = status.get("gateway_state"), parse_active_agents(status.get("active_agents"))
print(
    json.dumps(
        {
            "pid": pid,
            "gateway_state": state,
            "active_agents": agents,
            "busy": derive_gateway_busy(gateway_running=pid is not None, gateway_state=state, active_agents=agents),
            "drainable": derive_gateway_drainable(gateway_running=pid is not None, gateway_state=state),
            "drain_requested": drain_requested(),
            "notification_suppressed": drain_notification_suppressed(),
        }
    )
)
