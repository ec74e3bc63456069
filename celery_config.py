"""The Celery app: broker, one queue a leg, task routes, beat schedule; no logic.

Messages are nudges: none carries data, each may be lost, and each may come twice. What is to be done stands in rows.
"""

import os
import sys
from datetime import timedelta
from pathlib import Path

# In a checkout `celery -A` puts this folder on the path to find this file, then takes it away; its children need it.
sys.path.append(str(Path(__file__).parent))

# Workers are many processes on few cores: each computes with one thread. Read when the libraries are first imported.
for variable in ("POLARS_MAX_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

from celery import Celery

from crm_sync.settings import Settings

settings = Settings.from_env()

app = Celery("crm_sync")
app.conf.update(
    broker_url=settings.broker_url or "redis://no-broker-is-set/0",
    include=[f"crm_sync.workers.{name}" for name in ("pull", "evaluate", "push", "keep", "training")],
    task_routes={f"{name}.*": name for name in ("pull", "evaluate", "push", "keep", "training")},
    task_default_queue="keep",
    task_ignore_result=True,
    task_store_errors_even_if_ignored=False,
    task_acks_late=False,
    task_time_limit=1800,
    task_serializer="json",
    accept_content=["json"],
    worker_prefetch_multiplier=1,
    worker_hijack_root_logger=False,
    worker_send_task_events=False,
    worker_cancel_long_running_tasks_on_connection_loss=True,
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,  # a broker that is away for a night ends no worker
    broker_transport_options={"socket_keepalive": True, "retry_on_timeout": True},
    timezone="UTC",
    beat_schedule={
        "pull what is due": {"task": "pull.due", "schedule": 5.0, "options": {"expires": 5}},
        "evaluate who waits": {"task": "evaluate.waiting", "schedule": 10.0, "options": {"expires": 10}},
        "let scores age": {"task": "evaluate.ageing", "schedule": 60.0, "options": {"expires": 60}},
        "push what is due": {"task": "push.due", "schedule": 10.0, "options": {"expires": 10}},
        "train a candidate": {"task": "training.train", "schedule": timedelta(days=14), "options": {"expires": 3600}},
        "seal the audit log": {"task": "keep.seal", "schedule": 10.0, "options": {"expires": 10}},
    },
)
