"""The shop's worker, never started here: such processes are what makes locks long."""

import celery
import structlog

app = celery.Celery("shop", broker="redis://127.0.0.1/0")
log = structlog.get_logger()


@app.task
def pack(order: int) -> None:
    log.info("order_packed", order=order)
