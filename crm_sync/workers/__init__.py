"""Celery tasks, thin: call one flow, nudge the next leg. Named after the legs: pull, evaluate, push; keep seals."""
