"""What a daemon says of the walls around builds as it starts."""

import structlog

from steersman.builds import Policy
from steersman.control.artifacts import Artifacts

log = structlog.get_logger(__name__)


async def tell_of_walls(artifacts: Artifacts, policy: Policy) -> None:
    """Log how builds run here where they can have no walls; decision 17 says what that means."""
    why = await artifacts.walls_missing()
    if why is None:
        return
    if policy == "required":
        way_out = (
            "run steer as a root that may make namespaces, or say `builds: {walls: preferred}`"
        )
        log.error("builds_without_walls_refused", why=why, way_out=f"{way_out} in serve.yaml")
    else:
        way_out = "`builds: {walls: required}` in serve.yaml refuses them"
        log.warning("builds_run_without_walls", why=why, way_out=way_out)
